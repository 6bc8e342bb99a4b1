"""Which files of many images in a folder are taken, and what is left out of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.errors import DataError
from automl.files.containers.members import group_members, list_rows, split_address
from automl.files.decoding import decode_image, inspect_image
from automl.files.images import ImageFiles, find_images, require_images
from tests.automl_tests.competitions.container_files import bson, dicom, jpeg, npy, npz, parquet, put_hdf5, tfrecord
from tests.automl_tests.small_competitions import put_images, put_zip

RED = jpeg(Image.new("RGB", (8, 8), "red"))
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)


def put(root: Path, files: dict[str, bytes]) -> ImageFiles:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return find_images(root)


def records(*names: str) -> bytes:
    return tfrecord([{"id": name, "image": RED, "class": 1} for name in names])


def test_images_in_files_of_many_are_listed_by_the_part_that_the_file_is_named_for(tmp_path: Path) -> None:
    put_hdf5(tmp_path / "train-image.hdf5", {"a": RED, "b": RED})
    files = put(
        tmp_path,
        {
            "data/test-00000-of-00001.parquet": parquet({"image": [{"bytes": RED, "path": None}]}),
            "other.npz": npz(x_train=PIXELS, x_test=PIXELS[:1]),
        },
    )
    assert files.train[:2] == ("other.npz/x_train/row0", "other.npz/x_train/row1")
    assert files.train[3:] == ("train-image.hdf5/a", "train-image.hdf5/b")
    assert files.test == ("data/test-00000-of-00001.parquet/row0", "other.npz/x_test/row0")
    assert files.notes[0].startswith("images: 7 in 3 files of many images: data/test-00000-of-00001.parquet")
    assert all(decode_image(tmp_path / image).size == (8, 8) for image in (*files.train, *files.test))


def test_where_images_are_files_those_in_files_of_many_are_left_out_and_told(tmp_path: Path) -> None:
    put_images(tmp_path, ["train/a.jpg", "overview.png"])
    files = put(tmp_path, {"train.tfrec": records("a"), "test.tfrec": records("b"), "model.npz": npz(w=PIXELS / 255)})
    assert (files.train, files.test) == (("train/a.jpg",), ("test.tfrec/b",))
    line = "2 files that may hold images left out, as image files are there: model.npz, train.tfrec"
    assert files.notes == (f"warning: images: {line}", "images: 1 in one file of many images: test.tfrec")


def test_of_several_sizes_the_largest_is_taken_unless_another_is_named(tmp_path: Path) -> None:
    names = [f"records-{side}x{side}/train/0-{side}x{side}-2.tfrec" for side in (8, 16, 12)]
    files = put(tmp_path, {name.replace("8x8", "08x08"): records("a", "b") for name in names})
    assert files.train == ("records-16x16/train/0-16x16-2.tfrec/a", "records-16x16/train/0-16x16-2.tfrec/b")
    line = "records-16x16/ taken, and left out as the same in other sizes: records-08x08/, records-12x12/"
    assert f"warning: images: {line}" in files.notes


def test_a_file_whose_images_are_all_in_a_larger_one_is_left_out_and_told(tmp_path: Path) -> None:
    products = [{"_id": number, "imgs": [{"picture": RED}]} for number in range(3)]
    files = put(tmp_path, {"train.bson": bson(products), "train_example.bson": bson(products[:1])})
    assert files.train == ("train.bson/0/0", "train.bson/1/0", "train.bson/2/0")
    assert any(note.startswith("warning: images: train_example.bson left out") for note in files.notes)


def test_npy_files_are_images_but_those_that_are_called_as_stacks_are(tmp_path: Path) -> None:
    files = put(
        tmp_path,
        {
            "train/0/0a.npy": npy(np.zeros((6, 9, 8), np.float16)),
            "train/1/1b.npy": npy(PIXELS[0]),
            "stack/X_test.npy": npy(PIXELS),
            "stack/y_test.npy": npy(np.arange(3)),
            "features/f.npy": npy(np.zeros((3, 40), np.float32)[0]),
        },
    )
    assert files.train == ("train/0/0a.npy", "train/1/1b.npy")
    assert files.test == tuple(f"stack/X_test.npy/X_test/row{row}" for row in range(3))
    assert (inspected := inspect_image(tmp_path / "train/0/0a.npy")).size == (8, 54)
    assert inspected.format_name == "6x9x8 float16 array"
    assert files.unread == {".npy": 1}


def test_dicom_files_without_a_suffix_are_images_where_there_are_no_others(tmp_path: Path) -> None:
    content = dicom(np.zeros((8, 8), np.uint8))
    files = put(
        tmp_path,
        {"train/1.2.840.113619.2": content, "train/IM-0001": content, "train/README": b"text", "DICOMDIR": content},
    )
    assert files.train == ("train/1.2.840.113619.2", "train/IM-0001")
    put_images(tmp_path, ["train/a.png"])
    assert find_images(tmp_path).train == ("train/a.png",)


def test_files_without_images_are_told_with_what_to_make_of_them(tmp_path: Path) -> None:
    put_hdf5(tmp_path / "features.hdf5", {"vectors": np.zeros(5)})
    put(
        tmp_path,
        {"a.tfrec": tfrecord([{"text": "x"}]), "table.parquet": parquet({"id": ["a"]}), "b.bson": bson([{"a": 1}])},
    )
    with pytest.raises(DataError, match=r"1 \.bson \(BSON\), 1 \.hdf5 \(HDF5\), 1 \.tfrec") as caught:
        require_images(find_images(tmp_path))
    assert "b/<_id>.jpg" in caught.value.hint


def test_a_damaged_file_is_told_beside_others_and_refused_alone(tmp_path: Path) -> None:
    put(tmp_path, {"train.tfrec": records("a")})
    files = put(tmp_path, {"test.tfrec": b"junk"})
    assert files.test == ()
    assert any("test.tfrec is left out: test.tfrec is damaged" in note for note in files.notes)
    (tmp_path / "train.tfrec").unlink()
    with pytest.raises(DataError, match=r"test\.tfrec is damaged"):
        find_images(tmp_path)


def test_addresses_are_split_at_the_file(tmp_path: Path) -> None:
    assert split_address("data/train.h5/cat/a") == ("data/train.h5", "cat/a")
    assert split_address("train/0/0a.npy") is None
    assert group_members(["a.npz/x/row1", "a.jpg", "a.npz/x/row0"]) == {"a.npz": ["x/row1", "x/row0"]}
    images = put(tmp_path, {"test.npz": npz(images=np.zeros((12, 8, 8), np.uint8))}).test
    assert list_rows(tmp_path, images) == [f"test.npz/images/row{row}" for row in range(12)]
    images = put(tmp_path, {"test.tfrec": records("a", "b")}).test
    assert list_rows(tmp_path, images) == [], "these have names"


def test_a_file_of_many_images_in_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    put_zip(tmp_path / "contest.zip", {"train/0.tfrec": records("a"), "train.parquet": parquet({"id": ["a"]})})
    with pytest.raises(
        DataError, match=r"contest\.zip/train/0\.tfrec is a file of many images in an archive"
    ) as caught:
        find_images(tmp_path)
    assert caught.value.hint == "unpack contest.zip there"


def test_arrays_in_an_archive_are_images_one_each(tmp_path: Path) -> None:
    put_zip(tmp_path / "train.zip", {"0/a.npy": npy(PIXELS[0]), "1/b.npy": npy(PIXELS[1])})
    assert find_images(tmp_path).train == ("train.zip/0/a.npy", "train.zip/1/b.npy")
    assert decode_image(tmp_path / "train.zip/1/b.npy").size == (8, 8)
