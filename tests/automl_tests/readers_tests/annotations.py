"""JSON documents of labels in the style of COCO, and the folder that they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.automl_tests.readers_tests.sources import put_json
from tests.automl_tests.small_competitions import put_csv, put_images


def put_sample(root: Path, *values: str, header: str = "Id,Category") -> None:
    """A sample submission for test/s0.png and so on."""
    put_images(root, [f"test/s{number}.png" for number in range(len(values))])
    put_csv(root / "sample_submission.csv", header, *(f"s{number},{value}" for number, value in enumerate(values)))


def coco(names: dict[str, str], labels: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A COCO-style document of (id -> file name) and (id -> category)."""
    return {
        "images": [{"id": image_id, "file_name": name} for image_id, name in names.items()],
        "annotations": [{"image_id": image_id, "category_id": label} for image_id, label in labels.items()],
        **more,
    }


def put_cats(root: Path, document: Any, sample: str = "1") -> None:
    """train/a.png to train/d.png, and train.json."""
    put_images(root, [f"train/{name}.png" for name in "abcd"])
    put_sample(root, sample)
    put_json(root / "train.json", document)


CATS = coco({"7": "a.png", "8": "b.png", "9": "c.png"}, {"7": 1, "8": 2, "9": 1})


def with_annotations(*pairs: tuple[str, int]) -> dict[str, Any]:
    return CATS | {"annotations": [{"image_id": image, "category_id": label} for image, label in pairs]}
