"""Which metrics there are, what each can score, and what is said of those that there are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.errors import UsageError
from automl.metrics.metric import apply_plain_rule
from automl.metrics.registry import METRICS, get_metric, require_fits
from automl.tasks import Task

TARGETS = {
    Task.BINARY: np.array([0, 1, 1]),
    Task.MULTICLASS: np.array([0, 2, 1]),
    Task.ORDINAL: np.array([0, 2, 1]),
    Task.MULTILABEL: np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]]),
    Task.REGRESSION: np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.9], [0.5, 0.5, 0.5]]),
}


def probs_for(task: Task) -> np.ndarray:
    probs = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    return np.column_stack([1 - probs[:, 2], probs[:, 2]]) if task is Task.BINARY else probs


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("task", Task)
def test_every_metric_scores_every_task_it_names(name: str, task: Task) -> None:
    metric = get_metric(name, weights=(1.0, 2.0, 3.0) if METRICS[name].weighted else None)
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


def test_what_is_not_finite_or_of_another_length_is_no_score() -> None:
    with pytest.raises(ValueError, match="finite"):
        get_metric("accuracy")(np.zeros(1), np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="rows"):
        get_metric("accuracy")(np.zeros(2), np.ones((1, 2)))
    with pytest.raises(ValueError, match="no rows"):
        get_metric("accuracy")(np.zeros(0), np.ones((0, 2)))


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


def test_weights_are_asked_of_a_weighted_metric_and_refused_by_others() -> None:
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


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_users_function_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine.py", "def brier(y_true, y_pred): return ((y_pred[:, 1] - y_true) ** 2).mean()\n")
    monkeypatch.chdir(tmp_path)
    metric = get_metric("mine.py:brier")
    assert metric.name == f"{tmp_path.resolve() / 'mine.py'}:brier"
    monkeypatch.chdir("/")
    again = get_metric(metric.name)
    assert again(np.array([0, 1]), np.array([[0.8, 0.2], [0.4, 0.6]])) == pytest.approx((0.04 + 0.16) / 2)
    assert again.greater_is_better and again.needs == "probabilities"
    require_fits(again, task=Task.MULTILABEL, classes=("a", "b"))


def test_the_users_function_says_what_it_needs(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.py",
        "def wrong(y_true, y_pred): return (y_true != y_pred).sum()\n"
        "wrong.greater_is_better = False\nwrong.needs = 'label'\nwrong.tasks = ['binary']\n",
    )
    metric = get_metric(f"{path}:wrong")
    assert metric(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])) == 1.0
    assert metric.direction == "minimize"
    assert metric.tasks == {Task.BINARY}


def test_another_content_of_the_users_file_is_another_metric(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", "def score(y_true, y_pred): return 1.0\n")
    first = get_metric(f"{path}:score")
    (tmp_path / "moved").mkdir()
    moved = get_metric(f"{write(tmp_path / 'moved' / 'mine.py', path.read_text())}:score")
    write(path, "def score(y_true, y_pred): return 2.0\n")
    assert first.identity == moved.identity
    assert first.identity != get_metric(f"{path}:score").identity
    assert get_metric("accuracy").identity == "accuracy"


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("", "absent.py:score", "there is no file"),
        ("def other(): pass\n", "mine.py:score", "defines no function score"),
        ("score = 3\n", "mine.py:score", "defines no function score"),
        ("def score(: pass\n", "mine.py:score", "cannot be loaded: SyntaxError"),
        ("import nothing_of_this_name\n", "mine.py:score", "cannot be loaded: ModuleNotFoundError"),
        ("def score(): pass\n", "mine.py", "names no function"),
        ("def score(): pass\n", "mine.py:", "names no function"),
        ("def score(): pass\nscore.needs = 'logits'\n", "mine.py:score", "needs 'logits'"),
        ("def score(): pass\nscore.needs = 'ranking'\n", "mine.py:score", "ranking of 0 classes"),
        ("def score(): pass\nscore.tasks = ['detection']\n", "mine.py:score", "detection"),
    ],
)
def test_a_file_without_a_usable_function_is_named(tmp_path: Path, text: str, name: str, problem: str) -> None:
    write(tmp_path / "mine.py", text)
    with pytest.raises(UsageError, match=problem):
        get_metric(f"{tmp_path}/{name}")


@pytest.mark.parametrize("result", ["None", "'0.5'", "float('nan')", "float('inf')", "[1.0, 2.0]", "1 / 0"])
def test_what_is_no_number_is_no_score_of_the_users_function(tmp_path: Path, result: str) -> None:
    path = write(tmp_path / "mine.py", f"def score(y_true, y_pred): return {result}\n")
    with pytest.raises(UsageError, match=r"mine.py:score (returns|fails)"):
        get_metric(f"{path}:score")(np.array([0, 1]), np.eye(2))


@pytest.mark.parametrize("n_classes", [6, 40, 300])
def test_a_ranking_names_each_class_once_and_the_first_of_equals_first(n_classes: int) -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(n_classes), 50).round(2)
    metric = get_metric("map@5")
    ranking = apply_plain_rule(metric, probs)
    alone = [apply_plain_rule(metric, probs[row : row + 1]) for row in range(len(probs))]
    np.testing.assert_array_equal(ranking, np.concatenate(alone))
    np.testing.assert_array_equal(np.take_along_axis(probs, ranking, axis=1), -np.sort(-probs, axis=1)[:, :5])
    assert all(len(set(row)) == 5 for row in ranking.tolist())
    assert apply_plain_rule(metric, np.array([[0.2, 0.5, 0.2]])).tolist() == [[1, 0, 2]]
