"""Files that are there and not read are told by their names and formats."""

from __future__ import annotations

import pytest

from automl.errors import DataError
from automl.files.unread import count_unread, describe_unread, find_unread_file, index_unread, require_read

FILES = ["train/a000.jxl", "train/B1.PSD", "scans/1.nii.gz", "train.7z", "x.mp4"]


def test_files_are_counted_by_format_with_archives_first() -> None:
    counts, examples = count_unread([*FILES, "train/a001.jxl", "a.jpg"])
    assert counts == {".jxl": 2, ".psd": 1, ".nii.gz": 1, ".7z": 1, ".mp4": 1}
    assert examples[".jxl"] == "train/a000.jxl"
    assert describe_unread(counts).startswith("1 .7z (7-Zip archive), 2 .jxl (image of another format), ")


def test_an_id_names_an_unread_file_with_or_without_extension_in_any_case() -> None:
    by_stem = index_unread(FILES)
    wanted = {"a000": "train/a000.jxl", "train/a000.jpg": "train/a000.jxl", "C:\\x\\b1.psd": "train/B1.PSD", "a1": None}
    assert {image_id: find_unread_file(image_id, by_stem) for image_id in wanted} == wanted
    assert find_unread_file("train", by_stem) is None, "an archive is no image"


def test_an_image_whose_file_is_there_is_not_called_missing() -> None:
    with pytest.raises(
        DataError, match=r"train\.csv names 1 image that lies there and cannot be read: train/a000\.jxl"
    ) as caught:
        require_read(["a000", "b7"], "train.csv", index_unread(FILES))
    assert caught.value.hint == "convert each one to a .png of the same name, such as train/a000.png"
    require_read(["b7"], "train.csv", index_unread(FILES))
