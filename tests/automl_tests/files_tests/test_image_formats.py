"""The table of file formats is consistent with itself and with Pillow."""

from __future__ import annotations

from collections import Counter

import pytest
from PIL import Image, features

from automl.errors import DataError
from automl.files.image_formats import (
    FORMATS,
    IMAGE_SUFFIXES,
    PILLOW_FORMATS,
    TGA,
    Content,
    FileFormat,
    find_unread_format,
    load_library,
)


def test_every_suffix_stands_in_one_row() -> None:
    counts = Counter(suffix for each in FORMATS for suffix in each.suffixes)
    assert [suffix for suffix, count in counts.items() if count > 1] == []


def test_a_format_is_either_read_or_says_what_to_make_of_it() -> None:
    assert [each.name for each in FORMATS if not each.is_read and not each.advice] == []
    assert [each.name for each in FORMATS if each.content is not Content.IMAGE and not each.conversion] == []


def test_images_are_named_as_pillow_names_them() -> None:
    Image.init()
    pillow = Image.registered_extensions()
    others = {".heic", ".heif", ".dcm", ".dicom"}  # of other libraries
    assert {pillow[suffix] for suffix in IMAGE_SUFFIXES if suffix not in others} == {*PILLOW_FORMATS, TGA}


def test_a_part_of_pillow_is_found_without_importing_it() -> None:
    avif = next(each for each in FORMATS if each.name == "AVIF")
    assert avif.is_read == features.check("avif")


def test_formats_that_start_programs_are_not_opened() -> None:
    assert not {"EPS", "WMF", "GRIB", "HDF5", "FITS", "IPTC"} & set(PILLOW_FORMATS)


def test_a_format_without_its_library_says_how_to_install_it() -> None:
    missing = FileFormat(
        name="X", suffixes=(".x",), content=Content.IMAGE, library="no_such_library", extra="x", conversion="convert it"
    )
    assert (missing.is_read, missing.advice) == (False, "pip install 'automl[x]', which reads such files")
    old = FileFormat(
        name="Y", suffixes=(".y",), content=Content.IMAGE, pillow_module="_no_such_module", conversion="convert it"
    )
    assert (old.is_read, old.advice) == (False, "convert it")
    with pytest.raises(DataError, match="no_such_library is needed") as caught:
        load_library("no_such_library", "x")
    assert caught.value.hint == missing.advice


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a/1.MAT", ".mat"),
        ("train.tar.gz", ".tar.gz"),
        ("1.nii.gz", ".nii.gz"),
        ("notes.gz", ".gz"),
        ("train.zip.007", ".zip.001"),
        ("train.z12", ".z01"),
        ("1.jpg", None),
        ("1.dcm", None),
        ("train.csv", None),
        ("README", None),
    ],
)
def test_a_file_that_is_not_read_is_known_by_its_suffix(name: str, suffix: str | None) -> None:
    assert find_unread_format(name) == suffix
