"""HDF5, .npz and .npy: which arrays are images, and what stands beside them."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from automl.errors import DataError
from automl.files.containers.array_files import open_hdf5, open_npy, open_npz
from automl.files.containers.container import NoImagesError
from automl.files.containers.opening import open_container
from tests.automl_tests.competitions.container_files import jpeg, npy, npz, put_hdf5

RED = jpeg(Image.new("RGB", (8, 8), "red"))


def pixels(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_encoded_files_under_keys_are_images_by_these_names(tmp_path: Path) -> None:
    names = [f"ISIC_{n:07d}" for n in range(300)]  # so many that not each of them is opened
    put_hdf5(tmp_path / "train-image.hdf5", {name: RED + name.encode() for name in names})
    opened = open_hdf5(tmp_path / "train-image.hdf5")
    assert (list(opened.keys), opened.is_named, opened.read_columns()) == (names, True, {})
    assert opened.read("ISIC_0000299") == RED + b"ISIC_0000299"
    with pytest.raises(DataError, match=r"train-image\.hdf5 has no image ISIC_9"):
        opened.read("ISIC_9")


def test_groups_make_paths_and_each_array_of_an_image_s_shape_is_one(tmp_path: Path) -> None:
    arrays = {"cat/a": pixels(8, 9), "cat/b": pixels(8, 9, 3), "dog/c": np.frombuffer(RED, np.uint8), "n": pixels(5)}
    put_hdf5(tmp_path / "a.h5", arrays)
    opened = open_hdf5(tmp_path / "a.h5")
    assert opened.keys == ("cat/a", "cat/b", "dog/c")
    assert np.array_equal(opened.read("cat/b"), arrays["cat/b"])
    assert opened.read("dog/c") == RED
    assert opened.remarks == ("1 arrays that are no images",)


def test_a_stack_of_images_has_rows_and_the_arrays_beside_it_are_columns(tmp_path: Path) -> None:
    stack = pixels(5, 8, 9, 3)
    ids = np.array([b"a", b"b", b"c", b"d", b"e"])
    put_hdf5(tmp_path / "a.h5", {"images": stack, "labels": np.arange(5)[:, None], "scores": pixels(5, 2), "id": ids})
    opened = open_hdf5(tmp_path / "a.h5")
    assert (opened.keys[1], opened.is_named) == ("images/b", True)
    assert np.array_equal(opened.read("images/b"), stack[1])
    columns = opened.read_columns()
    assert (columns["labels"], columns["id"]) == (("0", "1", "2", "3", "4"), ("a", "b", "c", "d", "e"))
    assert {"scores_0", "scores_1"} <= set(columns)


def test_labels_may_lie_in_the_file_beside(tmp_path: Path) -> None:
    put_hdf5(tmp_path / "camelyon_train_x.h5", {"x": pixels(6, 8, 8, 3)})
    put_hdf5(tmp_path / "camelyon_train_y.h5", {"y": np.array([0, 1] * 3).reshape(6, 1, 1, 1)})
    assert open_hdf5(tmp_path / "camelyon_train_x.h5").read_columns() == {"y": ("0", "1") * 3}


def test_what_leads_out_of_an_hdf5_file_is_not_followed(tmp_path: Path) -> None:
    put_hdf5(tmp_path / "other.h5", {"secret": pixels(8, 8)})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["whole"] = pixels(8, 8)
        file["link"] = h5py.ExternalLink("other.h5", "/secret")
        file["soft"] = h5py.SoftLink("/whole")
        layout = h5py.VirtualLayout(shape=(8, 8), dtype="u1")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "secret", shape=(8, 8))
        file.create_virtual_dataset("virtual", layout)
    opened = open_hdf5(tmp_path / "a.h5")
    assert set(opened.keys) == {"virtual", "whole"}
    with pytest.raises(DataError, match="virtual lies in other files"):
        opened.read("virtual")


def test_the_three_parts_of_a_npz_file_have_their_own_labels(tmp_path: Path) -> None:
    parts = {"train": 4, "val": 2, "test": 2}
    arrays = {f"{part}_images": pixels(n, 8, 8) for part, n in parts.items()}
    labels = {f"{part}_labels": np.full((n, 1), place) for place, (part, n) in enumerate(parts.items())}
    for compressed in (True, False):
        content = npz(compressed=compressed, **arrays, **labels)
        opened = open_npz(put(tmp_path / f"{compressed}.npz", content))
        assert opened.keys[:1] + opened.keys[-1:] == ("train_images/row0", "test_images/row1")
        assert not opened.is_named
        assert opened.read_columns() == {"labels": ("0",) * 4 + ("1",) * 2 + ("2",) * 2}
        assert np.array_equal(opened.read("val_images/row1"), arrays["val_images"][1])


def test_flattened_rows_are_images_where_labels_lie_beside_them(tmp_path: Path) -> None:
    x = pixels(4, 64)
    opened = open_npz(put(tmp_path / "a.npz", npz(x_train=x, y_train=np.array([1, 0, 1, 0]))))
    assert np.array_equal(opened.read("x_train/row2"), x[2].reshape(8, 8))
    with pytest.raises(NoImagesError, match="no array in it is a stack of images"):
        open_npz(put(tmp_path / "b.npz", npz(weights=x / 255, bias=np.zeros(4))))


def test_a_stack_in_a_npy_file_has_the_labels_of_the_file_beside(tmp_path: Path) -> None:
    x = pixels(4, 8, 8)
    put(tmp_path / "y_train.npy", npy(np.array(["cat", "dog", "cat", "dog"])))
    opened = open_npy(put(tmp_path / "X_train.npy", npy(x)))
    assert (opened.keys[3], opened.is_named) == ("X_train/row3", False)
    assert opened.read_columns() == {"y": ("cat", "dog", "cat", "dog")}
    assert np.array_equal(opened.read("X_train/row3"), x[3])
    with pytest.raises(NoImagesError, match="one image, or none"):
        open_npy(put(tmp_path / "a.npy", npy(pixels(8, 8))))


class Opened:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pickled",)


def test_objects_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.empty(1, dtype=object)
    array[0] = Opened()
    with pytest.raises(DataError, match="it holds objects, not numbers"):
        open_container(put(tmp_path / "X.npy", npy(array)))
    with pytest.raises(NoImagesError):
        open_container(put(tmp_path / "X.npz", npz(x=array)))
    assert not (tmp_path / "pickled").exists()


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "X.npy"])
@pytest.mark.parametrize("damage", ["junk", "cut", "empty"])
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    if name == "a.h5":
        put_hdf5(path, {"images": pixels(40, 8, 8), "labels": pixels(40)})
    else:
        path.write_bytes(npz(images=pixels(40, 8, 8)) if name == "a.npz" else npy(pixels(40, 8, 8)))
    content = path.read_bytes()
    path.write_bytes({"junk": b"junk" * 20, "cut": content[: len(content) // 2], "empty": b""}[damage])
    with pytest.raises(DataError) as caught:
        opened = open_container(path)
        for key in opened.keys:
            opened.read(key)
    assert name in caught.value.problem and "\n" not in caught.value.problem


def test_a_file_is_opened_once_until_it_changes(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz", npz(images=pixels(4, 8, 8)))
    first = open_container(path)
    assert open_container(path) is first
    path.write_bytes(npz(images=pixels(5, 8, 8)))
    assert len(open_container(path).keys) == 5
