"""Parquet files of encoded images or of a column a pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.errors import DataError
from automl.files.containers.container import NoImagesError
from automl.files.containers.opening import open_container
from automl.files.containers.parquet import ParquetFile, infer_shape
from tests.automl_tests.competitions.container_files import jpeg, parquet

RED = jpeg(Image.new("RGB", (8, 8), "red"))


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("with_paths", [False, True])
def test_hugging_face_s_images_have_their_class_names_beside_them(tmp_path: Path, with_paths: bool) -> None:
    images = [{"bytes": RED + bytes([n]), "path": f"a{n}.jpg" if with_paths else None} for n in range(6)]
    columns = {"image": images, "label": [0, 1, 0, 1, 0, 1]}
    path = put(tmp_path / "train-00000-of-00001.parquet", parquet(columns, class_names={"label": ["cat", "dog"]}))
    opened = ParquetFile(path)
    assert opened.is_named == with_paths
    assert opened.keys[5] == ("a5.jpg" if with_paths else "row5")
    assert opened.read_columns()["label"] == ("cat", "dog") * 3
    assert [opened.read(key) for key in opened.keys] == [RED + bytes([n]) for n in range(6)]
    with pytest.raises(DataError, match="has no image row9"):
        opened.read("row9")


def test_binary_columns_of_encoded_images_will_do(tmp_path: Path) -> None:
    opened = ParquetFile(put(tmp_path / "a.parquet", parquet({"picture": [RED, RED], "tags": [["a"], ["a", "b"]]})))
    assert opened.read("row1") == RED
    assert opened.read_columns() == {"tags": ("a", "a b")}


def test_columns_of_pixels_are_images_of_a_known_shape(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 137 * 236), dtype=np.uint8)
    columns = {"image_id": [f"Train_{n}" for n in range(5)], **{str(n): pixels[:, n] for n in range(pixels.shape[1])}}
    opened = ParquetFile(put(tmp_path / "train_image_data_0.parquet", parquet(columns)))
    assert opened.keys == tuple(f"Train_{n}" for n in range(5))
    assert np.array_equal(opened.read("Train_4"), pixels[4].reshape(137, 236))
    assert opened.read_columns() == {"image_id": opened.keys}


def test_squares_and_rectangles_are_told_by_their_pixels(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:12, 0:20]
    smooth = np.stack([np.sin(rows / 3 + n) * 50 + columns * 5 for n in range(8)])
    assert infer_shape(smooth.reshape(8, -1)) == (12, 20)
    with pytest.raises(NoImagesError, match="no rectangle that is clear"):
        infer_shape(np.random.default_rng(0).normal(size=(8, 240)))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64))
    opened = ParquetFile(put(tmp_path / "a.parquet", parquet({f"pixel{n}": pixels[:, n - 1] for n in range(1, 65)})))
    assert np.array_equal(opened.read("row2"), pixels[2].reshape(8, 8))


def test_other_tables_are_no_images(tmp_path: Path) -> None:
    for number, columns in enumerate(({"id": ["a"], "label": [1]}, {"image": [{"bytes": None, "path": "a.jpg"}]})):
        with pytest.raises(NoImagesError, match="no column of images"):
            ParquetFile(put(tmp_path / f"{number}.parquet", parquet(columns)))


@pytest.mark.parametrize("damage", [lambda content: b"junk" * 9, lambda content: content[:-30], lambda content: b""])
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, damage: object) -> None:
    content = parquet({"image": [{"bytes": RED, "path": None}], "label": [1]})
    with pytest.raises(DataError, match=r"bad\.parquet") as caught:
        open_container(put(tmp_path / "bad.parquet", damage(content)))  # type: ignore[operator]
    assert "\n" not in caught.value.problem
