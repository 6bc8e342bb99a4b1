"""Labels beside pixels in a CSV file are read, with the rows of the table as images."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.errors import DataError, UsageError
from automl.files.pixel_tables import load_pixel_table
from automl.readers.labels.csv_pixels import read_pixel_labels
from automl.readers.labels.source import LayoutMismatchError
from tests.automl_tests.readers_tests.sources import noise, put_pixels, source_of
from tests.automl_tests.small_competitions import put_csv


def put_digits(root: Path, n_train: int = 4, n_test: int = 2) -> NDArray[np.uint8]:
    """The files of digit-recognizer with 4x4 images; the pixels of its training images."""
    pixels = noise(n_train, 16)
    put_pixels(root / "train.csv", pixels, {"label": [row % 2 for row in range(n_train)]})
    put_pixels(root / "test.csv", noise(n_test, 16, seed=1))
    put_csv(root / "sample_submission.csv", "ImageId,Label", *(f"{row + 1},0" for row in range(n_test)))
    return pixels


def test_labels_beside_pixels_are_read_with_the_rows_as_images(tmp_path: Path) -> None:
    put_digits(tmp_path)
    labels = read_pixel_labels(source_of(tmp_path))
    assert labels.ids == ("0", "1", "2", "3")
    assert labels.images == ("train.csv/0", "train.csv/1", "train.csv/2", "train.csv/3")
    assert (labels.columns, labels.texts) == (("label",), ("0", "1", "0", "1"))
    assert labels.evidence == ("labels: 4 images, from column label and the pixels of train.csv",)


def test_an_id_column_gives_the_ids_and_further_tables_are_named(tmp_path: Path) -> None:
    put_digits(tmp_path)
    put_pixels(tmp_path / "train.csv", noise(2, 16), {"id": ["007", "008"], "label": ["a", "b"], "Usage": ["x", "y"]})
    put_pixels(tmp_path / "Dig-MNIST.csv", noise(2, 16), {"label": [0, 1]})
    labels = read_pixel_labels(source_of(tmp_path))
    assert labels.ids == ("007", "008")
    assert labels.others == {"Usage": ("x", "y")}
    assert labels.evidence[1] == "labels: further tables of pixels left out: Dig-MNIST.csv"


def test_an_id_column_with_repeated_ids_names_no_rows(tmp_path: Path) -> None:
    put_digits(tmp_path)
    put_pixels(tmp_path / "train.csv", noise(3, 16), {"id": ["7", "8", "7"], "label": ["a", "b", "a"]})
    labels = read_pixel_labels(source_of(tmp_path))
    assert (labels.ids, labels.columns) == (("0", "1", "2"), ("label",))


def test_a_table_in_an_archive_of_its_own_is_read(tmp_path: Path) -> None:
    pixels = put_digits(tmp_path)
    with zipfile.ZipFile(tmp_path / "train.csv.zip", "w") as archive:
        archive.write(tmp_path / "train.csv", "train.csv")
    (tmp_path / "train.csv").unlink()
    source = source_of(tmp_path)
    assert read_pixel_labels(source).images[3] == "train.csv.zip/train.csv/3"
    assert (load_pixel_table(source.tables["train.csv"]) == pixels.reshape(-1, 4, 4)).all()


def test_the_label_column_is_the_one_asked_for(tmp_path: Path) -> None:
    put_digits(tmp_path)
    put_pixels(tmp_path / "train.csv", noise(2, 16), {"label": ["a", "b"], "mood": ["good", "bad"]})
    assert read_pixel_labels(source_of(tmp_path, label="mood")).texts == ("good", "bad")
    with pytest.raises(UsageError, match=r"--label colour: train.csv has no such column beside its pixels"):
        read_pixel_labels(source_of(tmp_path, label="colour"))


def test_folders_without_labels_beside_pixels_are_of_another_kind(tmp_path: Path) -> None:
    put_digits(tmp_path)
    put_pixels(tmp_path / "train.csv", noise(2, 16), {"mood": ["a", "b"], "season": ["a", "b"]})
    with pytest.raises(LayoutMismatchError, match=r"unclear which column of train.csv holds the label"):
        read_pixel_labels(source_of(tmp_path))
    (tmp_path / "train.csv").unlink()
    with pytest.raises(LayoutMismatchError, match=r"unclear which table of pixels"):
        read_pixel_labels(source_of(tmp_path))
    (tmp_path / "test.csv").unlink()
    with pytest.raises(LayoutMismatchError, match=r"no file holds pixels"):
        read_pixel_labels(source_of(tmp_path))


def test_a_row_without_a_label_is_named(tmp_path: Path) -> None:
    put_digits(tmp_path)
    put_pixels(tmp_path / "train.csv", noise(3, 16), {"label": ["a", " ", "b"]})
    with pytest.raises(DataError, match=r"train.csv has no label in 1 row: row 1, counted from 0"):
        read_pixel_labels(source_of(tmp_path))
