"""A competition of each task: what it derives from its targets, and that its file brings it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.data.competition import (
    Competition,
    SubmissionKind,
    SubmissionTemplate,
    load_competition,
    save_competition,
)
from automl.metrics.registry import get_metric
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of

LABELS = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 1, 1]], dtype=np.int8)
VALUES = np.array([[10.0], [20.0], [12.5], [10.0]])


def of_task(task: Task, **changes: Any) -> Competition:
    root = Path("/competition")
    by_task: dict[Task, dict[str, Any]] = {
        Task.BINARY: {},
        Task.MULTICLASS: {"classes": ("a", "b", "c"), "targets": np.array([2, 0, 0, 1])},
        Task.ORDINAL: {"classes": ("0", "1", "2"), "targets": np.array([2, 0, 0, 1]), "metric": get_metric("qwk")},
        Task.MULTILABEL: {"classes": ("a", "b", "c"), "targets": LABELS, "metric": get_metric("roc_auc")},
        Task.REGRESSION: {
            "classes": ("age",),
            "targets": VALUES,
            "metric": get_metric("rmse"),
            "scales": ((10.0, 20.0),),
        },
    }
    names = [f"train/{row}.png" for row in range(4)]
    return competition_of(root, names, ["test/0.png"], task=task, **{**by_task[task], **changes})


@pytest.mark.parametrize("task", list(Task))
def test_a_competition_comes_back_from_its_file(task: Task, tmp_path: Path) -> None:
    competition = of_task(task, groups=np.array([0, 1, 1, 2]), grouped_by="patient", unreadable_test=(0,), flips=False)
    save_competition(competition, tmp_path / "competition.json")
    loaded = load_competition(tmp_path / "competition.json")
    for name in Competition.__slots__:
        mine, theirs = getattr(competition, name), getattr(loaded, name)
        assert np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs, name
    assert loaded.targets.dtype.kind == competition.targets.dtype.kind
    assert loaded.fingerprint == competition.fingerprint


def test_the_long_form_comes_back_from_its_file(tmp_path: Path) -> None:
    template = SubmissionTemplate(
        header=("id", "p"),
        id_column=0,
        submission_kind=SubmissionKind.PROBABILITIES,
        ids=("0_a", "0_b", "0_c"),
        cells=((0, 0), (0, 1), (0, 2)),
    )
    competition = of_task(Task.MULTILABEL, submission=template)
    save_competition(competition, tmp_path / "competition.json")
    assert load_competition(tmp_path / "competition.json").submission == template


def test_a_share_is_what_a_perfect_model_would_predict() -> None:
    assert of_task(Task.ORDINAL).soft_targets.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert of_task(Task.MULTILABEL).soft_targets.tolist() == LABELS.tolist()
    assert of_task(Task.REGRESSION).soft_targets.tolist() == [[0.0], [1.0], [0.25], [0.0]]


def test_a_value_that_never_changes_has_a_share_nevertheless() -> None:
    constant = of_task(Task.REGRESSION, targets=np.full((4, 1), 7.0), scales=((7.0, 7.0),))
    assert constant.soft_targets.tolist() == [[0.0]] * 4


@pytest.mark.parametrize("task", list(Task))
def test_the_prior_is_the_mean_share(task: Task) -> None:
    competition = of_task(task)
    assert competition.prior == pytest.approx(competition.soft_targets.mean(axis=0))


def test_losses_take_class_numbers_or_shares() -> None:
    assert of_task(Task.MULTICLASS).training_targets.tolist() == [2, 0, 0, 1]
    assert of_task(Task.MULTILABEL).training_targets.tolist() == LABELS.tolist()
    assert of_task(Task.REGRESSION).training_targets.tolist() == [[0.0], [1.0], [0.25], [0.0]]


def test_the_stratum_of_many_labels_is_the_rarest_one() -> None:
    assert of_task(Task.MULTILABEL).strata.tolist() == [0, 2, 3, 1]


def test_the_strata_of_values_are_their_tenths() -> None:
    values = np.random.default_rng(0).permutation(200.0 * np.arange(100))[:, None]
    competition = of_task(Task.REGRESSION, targets=values, scales=((0.0, 19_800.0),))
    assert np.bincount(competition.strata).tolist() == [10] * 10
    assert (np.diff(competition.strata[values[:, 0].argsort()]) >= 0).all()


def test_whether_every_image_has_a_label_is_a_fact_for_decisions() -> None:
    assert not of_task(Task.MULTILABEL).scorer.context.always_labelled
    assert of_task(Task.MULTILABEL, targets=LABELS | 1).scorer.context.always_labelled


@pytest.mark.parametrize(
    "change",
    [
        {"task": Task.ORDINAL},
        {"flips": False},
        {"grouped_by": "patient"},
        {"unreadable_test": (0,)},
        {"metric": get_metric("log_loss")},
        {"targets": np.array([0, 0, 0, 1])},
    ],
)
def test_whatever_changes_scores_changes_the_fingerprint(change: dict[str, Any]) -> None:
    competition = of_task(Task.BINARY)
    assert replace(competition).fingerprint == competition.fingerprint
    assert replace(competition, **change).fingerprint != competition.fingerprint
