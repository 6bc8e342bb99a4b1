"""Labels beside images in one file are read: rows of a table of pixels, or members of a file of many images."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from automl.errors import DataError, UsageError
from automl.files.pixel_tables import load_pixel_table
from automl.readers.labels.csv_pixels import read_pixel_labels
from automl.readers.labels.source import LayoutMismatchError
from tests.automl_tests.competitions.container_files import bson, jpeg, put_hdf5, tfrecord
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


def put_records(root: Path, **columns: list[str]) -> None:
    """A TFRecord file of training images with these fields, a test file, and the sample submission."""
    image = jpeg(Image.new("RGB", (8, 8), "red"))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    (root / "train.tfrec").write_bytes(tfrecord([{"image": image, **row} for row in rows]))
    (root / "test.tfrec").write_bytes(tfrecord([{"image": image, "id": "t"}]))
    put_csv(root / "sample_submission.csv", "id,label", "t,0")


def test_labels_beside_images_in_a_file_of_many_are_read_with_its_members_as_images(tmp_path: Path) -> None:
    put_records(tmp_path, id=["a", "b"], label=["0", "1"], site=["x", "y"])
    labels = read_pixel_labels(source_of(tmp_path))
    assert (labels.ids, labels.images) == (("a", "b"), ("train.tfrec/a", "train.tfrec/b"))
    assert (labels.columns, labels.texts, labels.others) == (("label",), ("0", "1"), {"site": ("x", "y")})
    assert labels.evidence == ("labels: 2 images, from column label and the images of train.tfrec",)
    assert labels.rows is None
    assert read_pixel_labels(source_of(tmp_path, label="site")).texts == ("x", "y")


def test_an_unclear_column_beside_images_is_refused_and_never_guessed(tmp_path: Path) -> None:
    put_records(tmp_path, id=["a", "b"], mood=["0", "1"], site=["x", "y"])
    with pytest.raises(
        DataError, match=r"unclear which column of train\.tfrec holds the label \(mood, site\)"
    ) as caught:
        read_pixel_labels(source_of(tmp_path))
    assert "--label" in caught.value.hint


def test_nothing_beside_images_is_of_another_kind(tmp_path: Path) -> None:
    put_hdf5(tmp_path / "train.h5", {"cat/a": jpeg(Image.new("RGB", (8, 8))), "dog/b": jpeg(Image.new("RGB", (8, 8)))})
    put_csv(tmp_path / "sample_submission.csv", "id,label", "t,0")
    with pytest.raises(LayoutMismatchError, match=r"nothing stands beside the images of train\.h5"):
        read_pixel_labels(source_of(tmp_path))


def test_the_images_of_one_document_are_of_one_row(tmp_path: Path) -> None:
    image = jpeg(Image.new("RGB", (8, 8), "red"))
    products = [{"_id": n, "category": f"c{n}", "imgs": [{"picture": image}] * n} for n in (1, 2)]
    (tmp_path / "train.bson").write_bytes(bson(products))
    put_csv(tmp_path / "sample_submission.csv", "_id,category", "9,c1")
    labels = read_pixel_labels(source_of(tmp_path))
    assert labels.ids == ("1", "train.bson/2/0", "train.bson/2/1")
    assert (labels.rows, labels.texts) == ((0, 1, 1), ("c1", "c2", "c2"))
