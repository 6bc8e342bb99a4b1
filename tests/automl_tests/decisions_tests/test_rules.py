"""Rules decide as written, row by row, and survive JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from automl.decisions.choose import fit_matched_rule
from automl.decisions.rules import (
    ClassWeightsRule,
    ClipRule,
    CutPointsRule,
    ThresholdsRule,
    parse_rule,
)
from automl.errors import StorageError
from automl.metrics.registry import METRICS
from automl.tasks import Task
from tests.automl_tests.decisions_tests.drawn_probs import (
    CASES,
    LOG_LOSS,
    TWO,
    context_of,
    draw,
)


def test_a_row_gets_a_label_where_every_training_row_has_one() -> None:
    probs = np.array([[0.30, 0.11, 0.01], [0.9, 0.8, 0.0]])
    thresholds = (0.5, 0.15, 0.5)
    assert ThresholdsRule(thresholds, False)(probs).tolist() == [[0, 0, 0], [1, 1, 0]]
    assert ThresholdsRule(thresholds, True)(probs).tolist() == [[0, 1, 0], [1, 1, 0]]  # 0.11 / 0.15 is nearest


def test_the_plain_rule_gives_a_label_where_every_training_row_has_one() -> None:
    context = context_of(Task.MULTILABEL, [0.5, 0.5], always_labelled=True)
    plain = parse_rule({"rule": "plain"}, METRICS["f1_samples"], context)
    assert plain(np.array([[0.4, 0.2], [0.6, 0.5]])).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("name", CASES)
def test_rules_survive_json(name: str) -> None:
    metric, context, _, probs = draw(name, 60)
    rule = fit_matched_rule(metric, context, probs)
    again = parse_rule(json.loads(json.dumps(rule.to_json())), metric, context)
    assert again == rule
    assert np.array_equal(again(probs), rule(probs))


@pytest.mark.parametrize(
    "document", [{}, {"rule": "none"}, {"rule": "threshold"}, {"rule": "thresholds", "thresholds": ["x"]}]
)
def test_what_describes_no_rule_is_an_error(document: dict[str, object]) -> None:
    with pytest.raises(StorageError, match="describes no rule"):
        parse_rule(document, METRICS["f1"], context_of(Task.BINARY, [0.5, 0.5]))


def test_rules_of_classes_weigh_and_cut_as_written() -> None:
    assert ClassWeightsRule((1.0, 3.0))(np.array([[0.7, 0.3], [0.8, 0.2]])).tolist() == [1, 0]
    probs = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.0]])
    assert CutPointsRule((0.5, 1.6))(probs).tolist() == [0, 1, 1, 1]  # expected 0, 0.5, 1.5, and the middle


def test_a_clip_keeps_rows_summing_to_one_and_the_order_of_classes() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(6) * 0.1, 200)
    rule = ClipRule(1.5, 0.01, Task.MULTICLASS)
    submitted = rule(probs)
    assert submitted.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-12)
    assert submitted.min() >= 0.01 / (0.99 + 5 * 0.01) - 1e-12
    assert np.array_equal(submitted.argmax(axis=1), probs.argmax(axis=1))
    assert np.array_equal(rule(2 * probs), submitted)
    alone = np.concatenate([rule(probs[row : row + 1]) for row in range(200)])
    assert np.array_equal(alone, submitted)
    both = ClipRule(1.0, 0.2, Task.BINARY)(np.array([[0.0, 1.0], [0.5, 0.5]]))
    assert both == pytest.approx(np.array([[0.2, 0.8], [0.5, 0.5]]))
    labels = ClipRule(1.0, 0.2, Task.MULTILABEL)(np.array([[0.0, 1.0, 0.5]]))
    assert labels.tolist() == [[0.2, 0.8, 0.5]]


def test_a_clip_survives_json_and_an_impossible_one_is_an_error() -> None:
    rule = ClipRule(0.8, 0.02, Task.BINARY)
    assert parse_rule(json.loads(json.dumps(rule.to_json())), LOG_LOSS, TWO) == rule
    for document in ({"edge": 0.1}, {"temperature": 0.0, "edge": 0.1}, {"temperature": 1.0, "edge": 0.5}):
        with pytest.raises(StorageError, match="describes no rule"):
            parse_rule({"rule": "clip", **document}, LOG_LOSS, TWO)
