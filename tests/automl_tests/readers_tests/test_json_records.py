"""JSON files of labels are parsed with their numbers as text, and damage is named by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automl.errors import DataError
from automl.readers.labels.coco import read_json_labels
from automl.readers.labels.json_records import read_document
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
