"""Predictions as a table that people and programs read."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.data.competition import Competition, SubmissionKind
from automl.decisions.rules import ClassWeightsRule, ClipRule, Rule, ThresholdsRule, build_plain_rule
from automl.ensemble.predict_images import build_header, build_prediction_table, require_replaceable, write_predictions
from automl.errors import UsageError
from automl.metrics.registry import get_metric
from automl.multi_output import Head
from automl.submission.decide import get_deciding_metric
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.small_studies import competition_of

THIRD = 1.0 / 3.0
PROBS = np.array([[0.5, 0.25, 0.25], [0.1, THIRD, 1 - 0.1 - THIRD]])


def build_competition(kind: SubmissionKind, metric: str, *classes: str, **changes: Any) -> Competition:
    changes = {"targets": np.array([0, 1, 2]), **changes}
    heads = tuple(head.n_classes for head in changes.get("heads", ()))
    return replace(competition_of(kind, classes=classes), metric=get_metric(metric, head_sizes=heads), **changes)


def plain(competition: Competition) -> Rule:
    return build_plain_rule(get_deciding_metric(competition), competition.scorer.context)


def written(competition: Competition, rule: Rule, path: Path, probs: Any = PROBS) -> list[list[str]]:
    names = [f"{place}.jpg" for place in ("a/one", "two")][: len(probs)]
    write_predictions(path, build_prediction_table(competition, names, np.asarray(probs), rule))
    content = path.read_bytes()
    assert content.endswith(b"\n") and b"\r" not in content
    return list(csv.reader(content.decode("utf-8").splitlines()))


def test_each_image_has_a_row_with_a_probability_of_each_class_and_the_likeliest_one(tmp_path: Path) -> None:
    competition = build_competition(SubmissionKind.PROBABILITIES, "log_loss", "cat", "dog", "Käfer, groß")
    rows = written(competition, plain(competition), tmp_path / "p.csv")
    assert rows == [
        ["image", "cat", "dog", "Käfer, groß", "label"],
        ["a/one.jpg", "0.5", "0.25", "0.25", "cat"],
        ["two.jpg", "0.1", "0.333333333", "0.566666667", "Käfer, groß"],
    ]


def test_probabilities_of_one_class_each_sum_to_one(tmp_path: Path) -> None:
    competition = build_competition(SubmissionKind.PROBABILITIES, "log_loss", "a", "b", "c")
    rows = written(competition, plain(competition), tmp_path / "p.csv", PROBS * 1.001)
    assert rows[1][1:4] == ["0.5", "0.25", "0.25"]


def test_the_ensembles_rule_decides_the_label_and_leaves_the_probabilities(tmp_path: Path) -> None:
    competition = build_competition(SubmissionKind.LABEL, "balanced_accuracy", "a", "b", "c")
    rows = written(competition, ClassWeightsRule((0.1, 2.0, 1.0)), tmp_path / "p.csv")
    assert [row[-1] for row in rows] == ["label", "b", "b"]
    assert rows[1][1:4] == ["0.5", "0.25", "0.25"]


def test_probabilities_are_clipped_as_in_the_submission(tmp_path: Path) -> None:
    competition = build_competition(SubmissionKind.PROBABILITIES, "log_loss", "a", "b", "c")
    rule = ClipRule(1.0, 0.2, Task.MULTICLASS)
    rows = written(competition, rule, tmp_path / "p.csv")
    shown = np.array([[float(cell) for cell in row[1:4]] for row in rows[1:]])
    expected = rule(PROBS)
    np.testing.assert_allclose(shown, expected / expected.sum(axis=1, keepdims=True), atol=1e-8)
    assert shown.min() > 0.15
    assert [row[-1] for row in rows[1:]] == ["a", "c"]


MANY = {"task": Task.MULTILABEL, "targets": np.eye(3, dtype=np.int8)}


def test_several_labels_have_a_blank_between_them_and_may_be_none(tmp_path: Path) -> None:
    competition = build_competition(SubmissionKind.LABELS, "f1_samples", "a", "b", "c", **MANY)
    rows = written(competition, ThresholdsRule((0.5, 0.25, 0.5), always_labelled=False), tmp_path / "p.csv")
    assert [row[-1] for row in rows] == ["labels", "a b", "b c"]
    rows = written(competition, ThresholdsRule((2.0, 2.0, 2.0), always_labelled=False), tmp_path / "p.csv")
    assert [row[-1] for row in rows] == ["labels", "", ""]
    assert rows[1][1:4] == ["0.5", "0.25", "0.25"], "several may be true, so that nothing sums to one"


def test_labels_whose_names_hold_blanks_stay_apart(tmp_path: Path) -> None:
    competition = build_competition(SubmissionKind.PROBABILITIES, "roc_auc", "ETT - Abnormal", "b", "c", **MANY)
    rows = written(competition, plain(competition), tmp_path / "p.csv", [[0.5, 0.4999, 0.9]])
    assert rows[1][-1] == "ETT - Abnormal; c"


def test_ranked_labels_begin_with_the_best(tmp_path: Path) -> None:
    competition = build_competition(SubmissionKind.RANKING, "map@5", "a", "b", "c")
    competition = replace(competition, submission=replace(competition.submission, n_ranked=5))
    rows = written(competition, plain(competition), tmp_path / "p.csv")
    assert [row[-1] for row in rows] == ["labels", "a b c", "c b a"]


def test_values_stand_on_their_scales_and_have_no_label(tmp_path: Path) -> None:
    competition = build_competition(
        SubmissionKind.VALUES,
        "rmse",
        "age",
        "weight",
        task=Task.REGRESSION,
        targets=np.array([[1.0, 2.0], [11.0, 102.0]]),
        scales=((1.0, 11.0), (2.0, 102.0)),
    )
    rows = written(competition, plain(competition), tmp_path / "p.csv", [[0.0, 1.0], [0.5, 0.25]])
    assert rows == [["image", "age", "weight"], ["a/one.jpg", "1", "102"], ["two.jpg", "6", "27"]]


def test_classes_keep_their_names_and_the_other_columns_give_way() -> None:
    competition = build_competition(SubmissionKind.PROBABILITIES, "log_loss", "image", "label", "label_")
    assert build_header(competition) == ("image_", "image", "label", "label_", "label__")


def test_no_file_of_another_kind_is_replaced(tmp_path: Path) -> None:
    header = ("image", "cat", "dog", "label")
    path = tmp_path / "predictions.csv"
    require_replaceable(path, header)
    path.write_text("image,cat,dog,label\nold.jpg,1,0,cat\n")
    require_replaceable(path, header)
    for other in ("image,cat,label\n", "image,cat,dog,label,more\n", "", "\0\1\2"):
        path.write_text(other)
        with pytest.raises(UsageError, match="is there already") as refusal:
            require_replaceable(path, header)
        assert "--overwrite" in refusal.value.hint
    with pytest.raises(UsageError, match="is there already"):
        require_replaceable(tmp_path, header)
    with pytest.raises(UsageError, match="no folder"):
        require_replaceable(tmp_path / "gone/predictions.csv", header)


def test_each_head_has_a_column_of_its_label_behind_the_probabilities_of_all_classes(tmp_path: Path) -> None:
    heads = (Head("image", 2), Head("size", 2))
    competition = build_competition(
        SubmissionKind.LABEL,
        "accuracy",
        "image=cat",
        "image=dog",
        "size=s",
        "size=l",
        task=Task.MULTIOUTPUT,
        heads=heads,
        targets=np.array([[0, 2], [1, 3]]),
    )
    probs = np.array([[0.7, 0.3, 0.1, 0.9], [0.2, 0.8, 0.6, 0.4]])
    table = build_prediction_table(competition, ["a.png", "b.png"], probs, plain(competition))
    assert tuple(table.columns) == build_header(competition)
    assert tuple(table.columns) == ("image", "image=cat", "image=dog", "size=s", "size=l", "image_", "size")
    assert table.to_numpy().tolist() == [["a.png", *probs[0], "cat", "l"], ["b.png", *probs[1], "dog", "s"]]
