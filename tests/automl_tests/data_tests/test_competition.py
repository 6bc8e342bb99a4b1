"""A competition of each task: what it derives from its targets, and that its file brings it back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.artifacts import read_json, write_json
from automl.data.competition import (
    Competition,
    SubmissionKind,
    SubmissionTemplate,
    load_competition,
    save_competition,
)
from automl.metrics.registry import get_metric
from automl.multi_output import Head
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of

LABELS = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 1, 1]], dtype=np.int8)
ROOTS_AND_VOWELS = np.array([[2, 3], [0, 3], [0, 4], [1, 3]])
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
        Task.MULTIOUTPUT: {
            "classes": ("root=a", "root=b", "root=c", "vowel=0", "vowel=1"),
            "targets": ROOTS_AND_VOWELS,
            "metric": get_metric("balanced_accuracy", weights=(2.0, 1.0), head_sizes=(3, 2)),
            "heads": (Head("root", 3), Head("vowel", 2)),
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


@pytest.mark.parametrize(
    ("separator", "listed"), [(" ", "a b"), (", ", "a, b"), ("|", "a|b"), ("[', ']", "['a', 'b']"), ("[,]", "[a,b]")]
)
def test_the_form_of_lists_comes_back_from_its_file(separator: str, listed: str, tmp_path: Path) -> None:
    template = SubmissionTemplate(
        header=("id", "tags"), id_column=0, submission_kind=SubmissionKind.LABELS, ids=("0",), separator=separator
    )
    assert template.join_labels(["a", "b"]) == listed
    assert template.split_labels(listed) == ["a", "b"]
    assert template.split_labels(template.join_labels([])) == []
    save_competition(of_task(Task.MULTILABEL, submission=template), tmp_path / "competition.json")
    assert load_competition(tmp_path / "competition.json").submission == template
    document = json.loads((tmp_path / "competition.json").read_text())
    del document["submission"]["separator"]  # as an earlier version wrote it
    (tmp_path / "competition.json").write_text(json.dumps(document))
    assert load_competition(tmp_path / "competition.json").submission.separator == " "


def test_labels_in_columns_are_flags_but_not_those_of_heads() -> None:
    header = ("id", "a", "b", "c")
    for kind in SubmissionKind:
        template = SubmissionTemplate(header=header, id_column=0, submission_kind=kind, ids=("0",))
        is_label = kind in (SubmissionKind.LABEL, SubmissionKind.LABELS)
        assert of_task(Task.MULTILABEL, submission=template).has_flags == is_label
        assert not of_task(Task.MULTIOUTPUT, submission=template).has_flags
        alone = replace(template, header=("id", "label"))
        assert not of_task(Task.MULTILABEL, submission=alone).has_flags


def test_rows_of_several_images_come_back_from_their_file_and_an_older_file_has_none(tmp_path: Path) -> None:
    template = SubmissionTemplate(
        header=("id", "p"),
        id_column=0,
        submission_kind=SubmissionKind.PROBABILITY,
        ids=("0", "1"),
        images_of_row=((0, 2), (1,)),
        has_sample=False,
    )
    path = tmp_path / "competition.json"
    save_competition(of_task(Task.MULTILABEL, submission=template), path)
    assert load_competition(path).submission == template
    document = read_json(path)
    for key in ("images_of_row", "has_sample"):
        del document["submission"][key]
    write_json(path, document)
    assert load_competition(path).submission == replace(template, images_of_row=None, has_sample=True)


def test_a_share_is_what_a_perfect_model_would_predict() -> None:
    assert of_task(Task.ORDINAL).soft_targets.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert of_task(Task.MULTILABEL).soft_targets.tolist() == LABELS.tolist()
    assert of_task(Task.REGRESSION).soft_targets.tolist() == [[0.0], [1.0], [0.25], [0.0]]


def test_the_soft_targets_of_several_heads_are_one_hot_in_each() -> None:
    heads = [[0, 0, 1, 1, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 0]]
    assert of_task(Task.MULTIOUTPUT).soft_targets.tolist() == heads
    assert of_task(Task.MULTIOUTPUT).training_targets.tolist() == heads


def test_labels_of_several_heads_are_as_their_tables_write_them() -> None:
    assert of_task(Task.MULTIOUTPUT).label_texts == ("a", "b", "c", "0", "1")
    assert of_task(Task.MULTILABEL).label_texts == ("a", "b", "c")


def test_the_file_of_another_task_says_nothing_of_heads(tmp_path: Path) -> None:
    save_competition(of_task(Task.MULTILABEL), tmp_path / "competition.json")
    assert "heads" not in read_json(tmp_path / "competition.json")


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


def test_the_stratum_of_several_heads_is_the_rarest_class_of_them_all() -> None:
    assert of_task(Task.MULTIOUTPUT).strata.tolist() == [2, 0, 4, 1]


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
        {"fixed_fold": "val/"},
        {"metric": get_metric("log_loss")},
        {"targets": np.array([0, 0, 0, 1])},
    ],
)
def test_whatever_changes_scores_changes_the_fingerprint(change: dict[str, Any]) -> None:
    competition = of_task(Task.BINARY)
    assert replace(competition).fingerprint == competition.fingerprint
    assert replace(competition, **change).fingerprint != competition.fingerprint


def test_a_fixed_fold_comes_back_and_is_in_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "competition.json"
    save_competition(replace(of_task(Task.BINARY), fixed_fold="val/"), path)
    assert load_competition(path).fixed_fold == "val/"
    save_competition(of_task(Task.BINARY), path)
    assert "fixed_fold" not in read_json(path)
    assert load_competition(path).fixed_fold is None
