"""Which metrics there are, what each can score, and the error for those that there are not."""

from __future__ import annotations

import numpy as np
import pytest

from automl.errors import UsageError
from automl.metrics.registry import METRICS, get_metric, require_fits
from automl.tasks import Task

TARGETS = {
    Task.BINARY: np.array([0, 1, 1]),
    Task.MULTICLASS: np.array([0, 2, 1]),
    Task.ORDINAL: np.array([0, 2, 1]),
    Task.MULTILABEL: np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]]),
    Task.REGRESSION: np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.9], [0.5, 0.5, 0.5]]),
    Task.MULTIOUTPUT: np.array([[0, 4], [2, 3], [1, 3]]),
}
HEAD_SIZES = (3, 2)


def probs_for(task: Task) -> np.ndarray:
    probs = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    two = np.column_stack([1 - probs[:, 2], probs[:, 2]])
    if task is Task.MULTIOUTPUT:
        return np.column_stack([probs, two])
    return two if task is Task.BINARY else probs


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("task", Task)
def test_every_metric_scores_every_task_it_names(name: str, task: Task) -> None:
    metric = get_metric(
        name,
        weights=(1.0, 2.0, 3.0) if METRICS[name].weighted else None,
        head_sizes=HEAD_SIZES if task is Task.MULTIOUTPUT else (),
    )
    classes = ("a", "b") if task is Task.BINARY else ("a", "b", "c")
    if task in metric.tasks:
        require_fits(metric, task=task, classes=classes)
        for rows in ([0, 1, 2], [0], [2, 2]):  # one row, and one class alone
            assert np.isfinite(metric(TARGETS[task][rows], probs_for(task)[rows]))
    else:
        with pytest.raises(UsageError, match=f"{name} scores .* but these are {task}"):
            require_fits(metric, task=task, classes=classes)


def test_a_constant_prediction_has_a_score_in_every_metric() -> None:
    for name, metric in METRICS.items():
        task = sorted(metric.tasks)[0]
        weights = (1.0, 2.0, 3.0) if metric.weighted else None
        assert np.isfinite(get_metric(name, weights=weights)(TARGETS[task], np.full_like(probs_for(task), 0.5)))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("kappa", "qwk"),
        ("auc", "roc_auc"),
        ("logloss", "log_loss"),
        ("f1-macro", "f1_macro"),
        ("acuracy", "accuracy"),
        ("quadratic_weighted_kappa", "qwk"),
        ("pauc", "partial_auc"),
    ],
)
def test_an_unknown_metric_names_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"there is no metric '{name}'") as error:
        get_metric(name)
    assert error.value.hint.startswith(f"did you mean {meant}?")
    assert "weighted_r2" in error.value.hint


@pytest.mark.parametrize("name", ["f0_macro", "f1_mean", "f_macro", "map@0", "map@", "map@x", "f1_macro ", ""])
def test_a_number_that_is_none_names_no_metric(name: str) -> None:
    with pytest.raises(UsageError):
        get_metric(name)


def test_a_name_with_a_number_is_read_and_kept() -> None:
    assert (get_metric("f0.5_micro").beta, get_metric("f0.5_micro").average) == (0.5, "micro")
    assert get_metric("f1.0_macro").name == "f1_macro"
    assert get_metric("map@12").n_ranked == 12
    for name in (*METRICS, "f0.1234567_macro", "f3_samples", "map@3"):
        assert get_metric(name).name == name


def test_directions_are_natural() -> None:
    falling = {name for name, metric in METRICS.items() if metric.direction == "minimize"}
    assert falling == {"log_loss", "weighted_log_loss", "top1_error", "rmse", "mae"}
    assert get_metric("log_loss").is_better(0.1, 0.2)
    assert get_metric("accuracy").is_better(0.2, 0.1)


def test_weights_are_required_by_a_weighted_metric_and_refused_by_others() -> None:
    with pytest.raises(UsageError, match="accuracy takes no weights"):
        get_metric("accuracy", weights=(1.0, 2.0))
    with pytest.raises(UsageError, match=r"weighted_r2 has 0 weights for 2 columns: green, dead"):
        require_fits(get_metric("weighted_r2"), task=Task.REGRESSION, classes=("green", "dead"))
    with pytest.raises(UsageError, match="has 3 weights for 2 columns"):
        weighted = get_metric("weighted_r2", weights=(1, 2, 3))
        require_fits(weighted, task=Task.REGRESSION, classes=("green", "dead"))
    with pytest.raises(ValueError, match="no weights"):
        get_metric("weighted_log_loss")(TARGETS[Task.MULTILABEL], probs_for(Task.MULTILABEL))


@pytest.mark.parametrize("weights", [(-1.0, 2.0), (0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0), ()])
def test_weights_that_weigh_nothing_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="cannot use the weights"):
        get_metric("weighted_r2", weights=weights)
