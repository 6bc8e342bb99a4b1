"""The sample's ids find their images by every way that competitions use, or are named as missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from automl.errors import AutomlError, DataError
from automl.files.images import find_images
from automl.files.tables import find_documents, find_tables
from automl.readers.find_test_images import TestImages, find_test_images
from automl.readers.read import read_competition
from automl.readers.sample_submission import find_sample_submission
from automl.readers.settings import CompetitionSettings
from tests.automl_tests.readers_tests.folders import (
    FolderFault,
    require_folder_refusal,
    sample_rows,
)
from tests.automl_tests.readers_tests.sources import put_json, put_pixels
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition


def found_in(root: Path, *, skip_missing: bool = False) -> TestImages:
    files, tables = find_images(root), find_tables(root)
    found = find_sample_submission(root, files, tables)
    assert found is not None
    sample, _ = found
    return find_test_images(sample, files, tables, find_documents(root), skip_missing=skip_missing)


def put_sample(root: Path, *ids: str, header: str = "id,label") -> None:
    put_csv(root / "sample_submission.csv", header, *(f"{image_id},0" for image_id in ids))


@pytest.mark.parametrize(
    ("images", "ids", "expected"),
    [
        (["test/a.png", "test/b.png"], ["b", "a"], ["test/b.png", "test/a.png"]),
        (["test/a.b.png"], ["a.b.png"], ["test/a.b.png"]),
        (["test_stg1/1.jpg", "test_stg2/1.jpg"], ["1.jpg", "test_stg2/1.jpg"], None),
        (["test_stg1/1.jpg", "test_stg2/2.jpg"], ["1.jpg", "test_stg2/2.jpg"], ["test_stg1/1.jpg", "test_stg2/2.jpg"]),
        (["test_stg1/1.jpg", "test/2.jpg"], ["1.jpg", "test_stg2/2.jpg"], ["test_stg1/1.jpg", "test/2.jpg"]),
        (
            ["test-jpg-v2/test_0.jpg", "test-jpg-additional/file_9999.jpg"],
            ["test_0", "file_9999"],
            ["test-jpg-v2/test_0.jpg", "test-jpg-additional/file_9999.jpg"],
        ),
        (["images/Train_0.jpg", "images/Test_0.jpg"], ["Test_0"], ["images/Test_0.jpg"]),
    ],
)
def test_ids_find_images_by_path_name_and_stem(
    tmp_path: Path, images: list[str], ids: list[str], expected: list[str] | None
) -> None:
    put_images(tmp_path, images)
    put_sample(tmp_path, *ids)
    if expected is None:
        with pytest.raises(DataError, match=r"1 id that may be several images"):
            found_in(tmp_path)
        return
    test_images = found_in(tmp_path)
    assert test_images.addresses == tuple(expected)
    assert test_images.evidence[0].startswith(f"test: {len(ids)} image")
    assert test_images.evidence[0].endswith("from the ids of sample_submission.csv")


def test_a_table_of_the_test_says_which_file_an_id_means(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/1.png", "test/2.png", "test/3.png"])
    put_csv(tmp_path / "test.csv", "row,file,age", "1,images/3.png,1", "2,2.png,2", "3,test/1.png,3")
    put_sample(tmp_path, "1", "2", "3")
    test_images = found_in(tmp_path)
    assert test_images.addresses == ("test/3.png", "test/2.png", "test/1.png")
    assert test_images.evidence == ("test: 3 images in test/, from column file of test.csv",)


@pytest.mark.parametrize(
    "lines",
    [
        ["id,file", "1,1.png", "2,1.png"],
        ["id,age", "1,2", "2,1"],
        ["id,file", "1,nowhere.png", "2,gone.png"],
        ["id,file", "1,2.png"],
        ["id,file", "1,2.png", "1,1.png", "2,1.png"],
        ["id,file", "damaged"],
    ],
)
def test_a_table_of_the_test_that_says_no_file_for_each_id_leaves_it_to_the_ids(
    tmp_path: Path, lines: list[str]
) -> None:
    put_images(tmp_path, ["test/1.png", "test/2.png"])
    put_csv(tmp_path / "test.csv", *lines)
    put_sample(tmp_path, "1", "2")
    assert found_in(tmp_path).addresses == ("test/1.png", "test/2.png")


def test_numbers_of_inaturalist_find_their_file_names_in_json(tmp_path: Path) -> None:
    put_images(tmp_path, ["test2019/aa.jpg", "test2019/bb.jpg", "train_val2019/Birds/1/cc.jpg"])
    entries = [{"id": 268243, "file_name": "test2019/bb.jpg"}, {"id": 268244, "file_name": "test2019/aa.jpg"}]
    put_json(tmp_path / "test2019.json", {"images": entries, "info": {}})
    put_csv(tmp_path / "kaggle_sample_submission.csv", "id,predicted", "268244,1 2 3 4 5", "268243,1 2 3 4 5")
    test_images = found_in(tmp_path)
    assert test_images.addresses == ("test2019/aa.jpg", "test2019/bb.jpg")
    assert test_images.evidence == ("test: 2 images in test2019/, from the file names in test2019.json",)


def test_numbers_of_herbarium_find_their_file_names_in_a_list(tmp_path: Path) -> None:
    put_images(tmp_path, ["test_images/000/test-000000.jpg", "test_images/000/test-000001.jpg"])
    records = [{"image_id": str(n), "file_name": f"000/test-00000{n}.jpg", "license": 1} for n in range(2)]
    put_json(tmp_path / "test_metadata.json", records)
    put_sample(tmp_path, "0", "1", header="Id,Predicted")
    assert found_in(tmp_path).addresses == ("test_images/000/test-000000.jpg", "test_images/000/test-000001.jpg")


def test_annotations_of_training_say_nothing_of_the_test(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/1.png", "test/2.png"])
    entries = [{"id": "1", "file_name": "2.png"}, {"id": "2", "file_name": "1.png"}]
    put_json(tmp_path / "latest.json", {"images": entries, "annotations": []})
    put_sample(tmp_path, "1", "2")
    assert found_in(tmp_path).addresses == ("test/1.png", "test/2.png")


def put_digits(root: Path, *, n_rows: int, ids: Sequence[object] | None = None, id_name: str = "id") -> None:
    pixels = np.zeros((n_rows, 16), dtype=np.uint8)
    put_pixels(root / "test.csv", pixels, None if ids is None else {id_name: ids})


def test_rows_of_pixels_without_ids_are_in_the_order_of_the_sample(tmp_path: Path) -> None:
    put_digits(tmp_path, n_rows=3)
    put_sample(tmp_path, "1", "2", "3", header="ImageId,Label")
    test_images = found_in(tmp_path)
    assert test_images.addresses == ("test.csv/0", "test.csv/1", "test.csv/2")
    assert test_images.evidence == (
        "test: 3 images among the rows of test.csv, from the rows of test.csv in their order",
    )


@pytest.mark.parametrize("id_name", ["id", "ImageId", "image_id"])
def test_rows_of_pixels_with_ids_are_joined_by_them(tmp_path: Path, id_name: str) -> None:
    put_digits(tmp_path, n_rows=3, ids=[7, 5, 6], id_name=id_name)
    put_sample(tmp_path, "5", "6", header="imageId,Label")
    assert found_in(tmp_path).addresses == ("test.csv/1", "test.csv/2")


def test_rows_of_pixels_that_fit_no_id_are_refused(tmp_path: Path) -> None:
    put_digits(tmp_path, n_rows=3)
    put_sample(tmp_path, "1", "2")
    with pytest.raises(DataError, match=r"sample_submission.csv has 2 rows, but test.csv has 3 and no column of ids"):
        found_in(tmp_path)
    put_digits(tmp_path, n_rows=3, ids=[1, 3, 4])
    with pytest.raises(DataError, match=r"names 1 image without a file among the rows of test.csv: 2"):
        found_in(tmp_path)
    assert found_in(tmp_path, skip_missing=True).addresses == ("test.csv/0", None)
    put_digits(tmp_path, n_rows=2, ids=[8, 9])
    with pytest.raises(DataError, match=r"none of the 2 ids in sample_submission.csv names an image among the rows"):
        found_in(tmp_path)


def test_missing_images_are_refused_or_left_to_the_prior(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/1.png"])
    put_sample(tmp_path, "1", "2", "../1", "test/9.png")
    with pytest.raises(DataError, match=r"names 3 images without a file in test/: 2, \.\./1, test/9\.png"):
        found_in(tmp_path)
    test_images = found_in(tmp_path, skip_missing=True)
    assert test_images.addresses[:2] == ("test/1.png", None)
    assert test_images.evidence[-1].startswith("warning: 3 test images are missing: their rows get the prior")


def test_a_folder_without_any_test_image_is_refused_even_if_missing_ones_are_skipped(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/1.png"])
    put_sample(tmp_path, "8", "9")
    with pytest.raises(DataError, match=r"none of the 2 ids in sample_submission.csv names an image in test/: 8, 9"):
        found_in(tmp_path, skip_missing=True)
    (tmp_path / "test" / "1.png").unlink()
    with pytest.raises(DataError, match=r"holds no images"):
        found_in(tmp_path, skip_missing=True)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["test/7_left.png", "test/7_right.png", "test/8_left.png"], ((0, 1), (2,))),
        (["test/7-1.png", "test/7-2.png", "test/8-1.png", "test/8-2.png"], ((0, 1), (2, 3))),
        (["test/7/a.png", "test/7/b.png", "test/8/a.png"], ((0, 1), (2,))),
        (["test/7/x/a.png", "test/7/y/b.png", "test/8/x/a.png"], ((0, 1), (2,))),
    ],
)
def test_an_id_stands_for_the_images_of_its_folder_or_whose_names_begin_with_it(
    tmp_path: Path, images: list[str], expected: tuple[tuple[int, ...], ...]
) -> None:
    put_images(tmp_path, images)
    put_sample(tmp_path, "7", "8")
    found = found_in(tmp_path)
    assert found.addresses == tuple(images)
    assert found.images_of_row == expected
    assert found.ids == (*images[:2], *(["8"] if len(expected[1]) == 1 else images[2:]))
    said = f"submission: 2 rows of {len(images)} images, up to 2 together: the mean of their predictions"
    assert said in found.evidence


def test_a_table_of_the_test_says_which_images_an_id_stands_for(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/7/10.png", "test/7/11.png", "test/7/12.png", "test/8/13.png"])
    put_sample(tmp_path, "7_L", "8_R", "7_R", header="prediction_id,cancer")
    rows = ("7,12,R,7_R", "7,10,L,7_L", "7,11,L,7_L", "8,13,R,8_R")
    put_csv(tmp_path / "test.csv", "patient_id,image_id,laterality,prediction_id", *rows)
    found = found_in(tmp_path)
    assert found.addresses == ("test/7/10.png", "test/7/11.png", "test/8/13.png", "test/7/12.png")
    assert found.images_of_row == ((0, 1), (2,), (3,))
    assert found.ids == ("test/7/10.png", "test/7/11.png", "8_R", "7_R")
    assert found.evidence[0] == "test: 4 images in test/, from column image_id of test.csv"


def test_a_missing_image_is_not_made_up_of_others_that_begin_with_its_id(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/1.png", "test/2_mask.png", "test/2_edges.png"])
    put_sample(tmp_path, "1", "2")
    with pytest.raises(DataError, match=r"names 1 image without a file in test/: 2"):
        found_in(tmp_path)


def test_an_id_without_any_image_keeps_its_row_among_those_of_several(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/7/a.png", "test/7/b.png", "test/9/a.png", "test/9/b.png"])
    put_sample(tmp_path, "7", "8", "9")
    with pytest.raises(DataError, match=r"names 1 image without a file in test/: 8"):
        found_in(tmp_path)
    found = found_in(tmp_path, skip_missing=True)
    assert found.addresses == ("test/7/a.png", "test/7/b.png", None, "test/9/a.png", "test/9/b.png")
    assert found.images_of_row == ((0, 1), (2,), (3, 4))
    assert "warning: 1 test image is missing: its row gets the prior (8)" in found.evidence


def test_a_name_goes_before_a_number_that_is_a_name_too(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/0.png", "test/1.png", "test/a.png", "test/b.png"])
    put_sample(tmp_path, "0", "1")
    for names in (("b.png", "a.png"), ("b", "a"), ("1", "0.png")):
        put_csv(tmp_path / "test.csv", "id,filename", f"0,{names[0]}", f"1,{names[1]}")
        found = found_in(tmp_path).addresses
        assert found == (("test/0.png", "test/1.png") if names[0] == "1" else ("test/b.png", "test/a.png"))


def test_test_images_that_nobody_asks_for_are_counted(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/0.png", "test/1.png", "test/2.png", "test/3.png"])
    put_sample(tmp_path, "2", "1")
    line = "warning: 2 test images that sample_submission.csv does not ask for: test/0.png, test/3.png"
    assert found_in(tmp_path).evidence[-1] == line


def test_a_damaged_table_of_the_test_is_named_where_nothing_else_helps(tmp_path: Path) -> None:
    put_images(tmp_path, ["test/a.png"])
    (tmp_path / "test.json").write_text("{", encoding="utf-8")
    put_sample(tmp_path, "8")
    with pytest.raises(DataError, match=r"test.json is damaged"):
        found_in(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder")
    put_images(root, ["test/1.png", "test/2.png"])
    put_sample(root, "1", "2")
    return root


odd_text = st.text(alphabet='id,file\n"12.png;{}[]: \x00\u00e9', max_size=60).map(str.encode)
damaged = st.one_of(st.binary(max_size=60), odd_text)


@settings(max_examples=60, deadline=None, database=None)
@given(table=damaged, document=damaged, header=st.sampled_from([b"", b"id,file\n", b"id,pixels\n"]))
def test_whatever_the_files_of_the_test_hold_is_read_or_refused(
    table: bytes, document: bytes, header: bytes, folder: Path
) -> None:
    (folder / "test.csv").write_bytes(header + table)
    (folder / "test.json").write_bytes(document)
    try:
        test_images = found_in(folder)
    except AutomlError as error:
        assert "\n" not in error.problem
    else:
        assert sorted(address or "" for address in test_images.addresses) == ["test/1.png", "test/2.png"]


def test_test_images_that_are_training_images_too_are_told(tmp_path: Path) -> None:
    put_images(tmp_path, ["images/1.png", "images/2.png", "images/3.png"])
    put_csv(tmp_path / "train.csv", "id,label", "1,cat", "2,dog")
    put_csv(tmp_path / "sample_submission.csv", "id,label", "2,cat", "3,cat")
    assert "warning: test: 1 test image also among the training images" in read_competition(tmp_path).evidence


def test_a_missing_test_image_is_refused_or_gets_a_row_that_is_never_opened(tmp_path: Path) -> None:
    put_table_competition(tmp_path)
    put_csv(tmp_path / "sample_submission.csv", "id,label", "s0,cat", "../x,cat", "s1,cat")
    competition = read_competition(tmp_path, CompetitionSettings(skip_missing=True))
    assert competition.unreadable_test == (1,)
    assert not competition.test_paths[1].exists()
    assert competition.test_paths[1].resolve().is_relative_to(competition.root)


FOLDER_FAULTS: dict[str, FolderFault] = {
    "a sample of other images": (
        sample_rows("x1,cat", "x2,cat"),
        "none of the 2 ids in sample_submission.csv names an image in test/: x1, x2",
        "check that the test images are unpacked",
    ),
    "a test id without a file": (
        sample_rows("s0,cat", "s9,cat"),
        "sample_submission.csv names 1 image without a file in test/: s9",
        "unpack all test images",
    ),
    "a test id that is only in train": (sample_rows("s0,cat", "t0,cat"), "without a file in test/: t0", "unpack"),
    "an ambiguous test id": (
        lambda root: put_images(root, ["test/a/s0.png", "test/b/s0.png"]) or (root / "test" / "s0.png").unlink(),
        "1 id that may be several images: s0 (test/a/s0.png, test/b/s0.png)",
        "leave one image",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_ids_of_the_sample_without_one_image_are_refused(tmp_path: Path, fault: str) -> None:
    require_folder_refusal(tmp_path, FOLDER_FAULTS[fault])
