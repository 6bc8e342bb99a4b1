"""JSON files of labels are parsed with their numbers as text, and damage is named by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automl.errors import DataError
from automl.readers.labels.coco import read_json_labels
from automl.readers.labels.json_records import (
    is_coco,
    parse_annotations,
    parse_categories,
    parse_images,
    parse_plain_labels,
    read_document,
)
from tests.automl_tests.readers_tests.annotations import CATS, coco, put_cats, with_annotations
from tests.automl_tests.readers_tests.sources import source_of


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (CATS | {"images": 3}, "train.json: 'images' is not a list of objects"),
        (CATS | {"images": [3]}, "train.json: 'images' is not a list of objects"),
        (CATS | {"annotations": {"a": 1}}, "train.json: 'annotations' is not a list of objects"),
        (CATS | {"annotations": []}, "train.json: 'annotations' is empty"),
        (CATS | {"images": [{"width": 3}]}, r"train.json: images\[0\] has no text or number at 'id'"),
        (CATS | {"images": [{"id": None}]}, r"train.json: images\[0\] has no text or number at 'id'"),
        (CATS | {"annotations": [{"image_id": 7}]}, r"annotations\[0\] has no text or number at 'category_id'"),
        (with_annotations(("7", 1), ("8", {})), r"annotations\[1\] has no text or number at 'category_id'"),  # type: ignore[arg-type]
        (CATS | {"annotations": [{"category_id": 7}]}, r"annotations\[0\] has no text or number at 'image_id'"),
        (CATS | {"categories": [{"name": "x"}]}, r"categories\[0\] has no text or number at 'id'"),
        (with_annotations(("404", 1)), "train.json: no annotation is of one of its images: 404"),
        (coco({"7": "gone.png", "8": "b.png"}, {"7": 1, "8": 2}), "names 1 image that is not in train/: gone.png"),
        (coco({"7": "\ud800"}, {"7": 1}), "which is no text"),
        (
            {"images": [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}], "annotations": []},
            "'annotations' is empty|has the id 7, as another",
        ),
        ([{"id": "a", "label": 1}, {"id": "a", "label": 2}], "train.json: a has the labels 1, 2"),
    ],
)
def test_what_is_missing_or_of_a_wrong_type_is_named(tmp_path: Path, document: Any, problem: str) -> None:
    put_cats(tmp_path, document)
    with pytest.raises(DataError, match=problem):
        read_json_labels(source_of(tmp_path))


def test_damaged_json_is_refused_where_it_should_hold_labels_and_passed_over_elsewhere(tmp_path: Path) -> None:
    put_cats(tmp_path, CATS)
    (tmp_path / "notes.json").write_bytes(b'{"images": [')
    assert len(read_json_labels(source_of(tmp_path)).ids) == 3
    for content in (b'{"images": [', b"\xff\xfe{", b"[" * 200_000, b""):
        (tmp_path / "train.json").write_bytes(content)
        with pytest.raises(DataError, match=r"train.json is damaged"):
            read_json_labels(source_of(tmp_path))


def test_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf[1.50, 12345678901234567890123, 1e999, NaN]")
    assert read_document(tmp_path / "x.json") == ["1.50", "12345678901234567890123", "1e999", "NaN"]


def test_images_are_read_under_any_of_their_usual_keys() -> None:
    document = {
        "images": [{"id": "7", "filename": "a.png", "coco_url": "http://x.org/a", "location": "3"}, {"id": "8"}]
    }
    images = parse_images(document, "train.json")
    assert images is not None
    assert (images.ids, images.file_names, images.urls) == (("7", "8"), ("a.png", ""), ("http://x.org/a", ""))
    assert images.others == {"location": ("3", "")}
    listed = parse_images([{"image_id": "7", "file": "a.png"}], "test.json")
    assert listed is not None and listed.file_names == ("a.png",)
    assert parse_images({"annotations": []}, "train.json") is None
    assert parse_images([], "train.json") is None


def test_the_same_image_twice_counts_once_and_another_of_its_id_is_refused() -> None:
    same = {"id": "7", "file_name": "a.png"}
    images = parse_images({"images": [same, dict(same)]}, "train.json")
    assert images is not None and images.ids == ("7",)
    with pytest.raises(DataError, match=r"train.json: images\[1\] has the id 7, as another"):
        parse_images({"images": [same, {"id": "7", "file_name": "b.png"}]}, "train.json")


def test_each_category_of_an_image_counts_once_in_the_order_of_the_file() -> None:
    entries = [("7", "2"), ("8", ["1", "3"]), ("7", "1"), ("7", "2")]
    document = {"annotations": [{"image_id": image, "label_id": label} for image, label in entries]}
    assert is_coco(document)
    assert not is_coco([document])
    assert parse_annotations(document, "train.json") == {"7": ("2", "1"), "8": ("1", "3")}


def test_categories_without_a_name_are_left_out() -> None:
    document = {
        "categories": [{"id": "1", "name": "fern"}, {"id": "2"}, {"category_id": "3", "scientificName": " moss "}]
    }
    assert parse_categories(document, "train.json") == {"1": "fern", "3": "moss"}
    assert parse_categories({}, "train.json") == {}


def test_plain_labels_are_a_mapping_or_records_and_nothing_else() -> None:
    assert parse_plain_labels({" a.jpg ": "cat", "b.jpg": ["x", "y"]}, "x.json") == {
        "a.jpg": ("cat",),
        "b.jpg": ("x", "y"),
    }
    assert parse_plain_labels([{"id": "a.jpg", "class": "cat"}, {"note": "x"}], "x.json") == {"a.jpg": ("cat",)}
    for document in ({"a.jpg": None}, {"a.jpg": []}, {}, [], "text"):
        assert parse_plain_labels(document, "x.json") is None
