"""The table of file formats is consistent with itself and with Pillow."""

from __future__ import annotations

from collections import Counter

import pytest
from PIL import Image

from automl.files.image_formats import FORMATS, IMAGE_SUFFIXES, PILLOW_FORMATS, find_unread_format


def test_every_suffix_stands_in_one_row() -> None:
    counts = Counter(suffix for each in FORMATS for suffix in each.suffixes)
    assert [suffix for suffix, count in counts.items() if count > 1] == []


def test_a_format_is_either_read_or_says_what_to_make_of_it() -> None:
    assert all(each.is_read != bool(each.advice) for each in FORMATS)


def test_images_are_named_as_pillow_names_them() -> None:
    Image.init()
    pillow = Image.registered_extensions()
    assert all(pillow[suffix] in PILLOW_FORMATS for suffix in IMAGE_SUFFIXES)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a/1.DCM", ".dcm"),
        ("train.tar.gz", ".tar.gz"),
        ("1.nii.gz", ".nii.gz"),
        ("notes.gz", ".gz"),
        ("train.zip.007", ".zip.001"),
        ("train.z12", ".z01"),
        ("1.jpg", None),
        ("train.csv", None),
        ("README", None),
    ],
)
def test_a_file_that_is_not_read_is_known_by_its_suffix(name: str, suffix: str | None) -> None:
    assert find_unread_format(name) == suffix
