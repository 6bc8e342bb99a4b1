"""What has changed of a competition is said in words that name the flag or the folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.data.changed import describe_change
from automl.metrics.registry import get_metric
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of

NAMES = ["train/0.png", "train/1.png", "train/2.png"]
BEGUN = competition_of(Path("/here"), NAMES, ["test/0.png"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": Task.MULTICLASS}, "task: binary, not multiclass"),
        ({"metric": get_metric("roc_auc")}, "metric: accuracy, not roc_auc"),
        ({"grouped_by": "patient_id"}, "origin of groups: none, not patient_id"),
        ({"flips": False}, "rule of flips: on, not off"),
        ({"unreadable_test": (0,)}, "competition folder: 0 test images that cannot be read, not 1"),
        ({"test_ids": ("other",)}, "competition folder: its images have other ids"),
        ({"classes": ("dog", "cat")}, "competition folder: its images have other labels"),
        ({"targets": np.array([1, 1, 0])}, "competition folder: its images have other labels"),
        (
            {"image_paths": tuple(Path("/here") / "moved" / name for name in NAMES)},
            "competition folder: its images have other names",
        ),
    ],
)
def test_a_change_is_named(change: dict[str, Any], words: str) -> None:
    assert describe_change(BEGUN, replace(BEGUN, **change)) == words


def test_weights_of_a_metric_are_a_change() -> None:
    light, heavy = (
        replace(BEGUN, metric=get_metric("weighted_log_loss", weights=weights)) for weights in ((1.0, 1.0), (1.0, 2.0))
    )
    assert describe_change(light, heavy) == "set of metric weights: 1, 1, not 1, 2"


def test_images_that_are_gone_are_counted() -> None:
    fewer = competition_of(Path("/here"), NAMES[:2], ["test/0.png"])
    assert describe_change(BEGUN, fewer) == "competition folder: 3 training images, not 2"


def test_a_folder_that_was_moved_as_a_whole_is_the_same() -> None:
    assert describe_change(BEGUN, competition_of(Path("/there"), NAMES, ["test/0.png"])) is None
