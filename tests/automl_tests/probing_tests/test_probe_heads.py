"""Heads on features: each task is learned out of fold, no row is seen by its own head, the best one is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from automl.config import LossConfig
from automl.probing import probe_heads
from automl.probing.probe_heads import (
    FittedHead,
    can_fit_mlp,
    choose_head,
    fit_linear_heads,
    fit_mlp_head,
    score_neighbours,
)
from automl.tasks import Task
from tests.automl_tests.probing_tests.feature_problems import problem_of

# What knowing nothing but the targets' frequencies scores, and what a good head reaches.
KNOWN_NOTHING = {
    Task.BINARY: 0.69,
    Task.MULTICLASS: 0.4,
    Task.ORDINAL: 0.0,
    Task.MULTILABEL: 0.5,
    Task.REGRESSION: 0.63,
    Task.MULTIOUTPUT: 5 / 12,  # a third and a half
}
REACHED = {
    Task.BINARY: 0.35,
    Task.MULTICLASS: 0.8,
    Task.ORDINAL: 0.75,
    Task.MULTILABEL: 0.93,
    Task.REGRESSION: 0.3,
    Task.MULTIOUTPUT: 0.8,
}
each_task = pytest.mark.parametrize("task", list(Task))


def is_reached(task: Task, score: float) -> bool:
    lower = task in (Task.BINARY, Task.REGRESSION)
    return score < REACHED[task] if lower else score > REACHED[task]


def measure_progress(task: Task, score: float) -> float:
    """From 0 for a head that knows nothing to 1 for a good one."""
    return (score - KNOWN_NOTHING[task]) / (REACHED[task] - KNOWN_NOTHING[task])


@each_task
def test_linear_heads_learn_each_task_out_of_fold(task: Task) -> None:
    problem = problem_of(task)
    fitted = fit_linear_heads(problem)
    assert [head.name for head in fitted] == (["linear", "ridge"] if task is Task.ORDINAL else ["linear"])
    for head in fitted:
        assert is_reached(task, head.score)
        assert 0.0 < head.score_error < 0.2
        assert sorted(head.heads) == [0, 1, 2, 3, 4]
        assert head.oof.shape == (118, problem.competition.n_classes)
        assert {probs.shape for probs in head.test.values()} == {(9, problem.competition.n_classes)}


@each_task
def test_the_score_is_that_of_the_probabilities(task: Task) -> None:
    problem = problem_of(task)
    (head, *_) = fit_linear_heads(problem)
    competition, rows = problem.competition, problem.validated_rows
    assert head.score == competition.scorer(competition.targets[rows], head.oof)
    if task in (Task.BINARY, Task.MULTICLASS, Task.ORDINAL):
        np.testing.assert_allclose(head.oof.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("fit", [fit_linear_heads, lambda problem: [fit_mlp_head(problem)]], ids=["linear", "mlp"])
def test_no_row_is_seen_by_the_head_that_predicts_it(fit: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_heads, "MLP_EPOCHS", 2)
    problem = problem_of(Task.MULTICLASS)
    targets = problem.competition.targets.copy()
    of_fold = problem.folds == 3
    targets[of_fold] = (targets[of_fold] + 1) % 3
    changed = replace(problem, competition=replace(problem.competition, targets=targets))
    (head, *_), (other, *_) = fit(problem), fit(changed)  # type: ignore[operator]
    for name, tensor in head.heads[3].state_dict().items():
        assert torch.equal(tensor, other.heads[3].state_dict()[name])
    assert not torch.equal(head.heads[2].state_dict()["fc.weight"], other.heads[2].state_dict()["fc.weight"])


def test_rows_of_no_fold_are_trained_on() -> None:
    problem = problem_of(Task.MULTICLASS)
    targets = problem.competition.targets.copy()
    targets[:2] = (targets[:2] + 1) % 3
    changed = replace(problem, competition=replace(problem.competition, targets=targets))
    (head,), (other,) = fit_linear_heads(problem), fit_linear_heads(changed)
    assert not torch.equal(head.heads[0].state_dict()["fc.weight"], other.heads[0].state_dict()["fc.weight"])


def test_the_score_of_two_views_is_that_of_their_mean_and_the_files_hold_the_first() -> None:
    problem = problem_of(Task.BINARY, n_views=2)
    (head,) = fit_linear_heads(problem)
    rows, competition = problem.validated_rows, problem.competition
    alone = competition.scorer(competition.targets[rows], head.oof)
    assert head.score != alone
    own = problem.train_views[0][problem.folds == 1]
    with torch.no_grad():
        expected = head.heads[1](torch.from_numpy(own)).softmax(dim=1).numpy()
    np.testing.assert_allclose(head.oof[problem.folds[rows] == 1], expected, atol=1e-6)


@each_task
@pytest.mark.slow
def test_an_mlp_learns_each_task_out_of_fold(task: Task) -> None:
    head = fit_mlp_head(problem_of(task, n=800))
    assert measure_progress(task, head.score) > 0.7
    assert head.hidden == (256,)


def test_an_mlp_takes_features_as_they_are_and_is_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_heads, "MLP_EPOCHS", 3)
    problem = problem_of(Task.BINARY, n_views=2)
    standardised = replace(
        problem,
        train_views=tuple((view - 5.0) / 10.0 for view in problem.train_views),
        test_views=tuple((view - 5.0) / 10.0 for view in problem.test_views),
    )
    head, again, other = fit_mlp_head(problem), fit_mlp_head(problem), fit_mlp_head(standardised)
    assert head.oof.tobytes() == again.oof.tobytes()
    np.testing.assert_allclose(head.oof, other.oof, atol=1e-3)


def test_an_mlp_is_fitted_where_there_are_rows_enough_and_the_backbone_is_dear() -> None:
    assert can_fit_mlp(problem_of(Task.BINARY, n=2000), 1e9)
    assert not can_fit_mlp(problem_of(Task.BINARY, n=1990), 1e9)
    assert not can_fit_mlp(problem_of(Task.BINARY, n=2000), 1e5)


@each_task
def test_neighbours_learn_each_task(task: Task) -> None:
    assert measure_progress(task, score_neighbours(problem_of(task, n=400))) > 0.5


def test_neighbours_are_of_other_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pairs of copies in one fold, with labels that say nothing else, none can be known."""
    rng = np.random.default_rng(0)
    copies = np.repeat(rng.normal(size=(100, 6)), 2, axis=0).astype(np.float32)
    problem = problem_of(Task.BINARY, n=200, metric="accuracy", train_views=(copies,))
    targets = np.repeat(rng.integers(2, size=100), 2)
    competition = replace(problem.competition, targets=targets)
    together = replace(problem, competition=competition, folds=np.arange(200) // 2 % 5)
    apart = replace(problem, competition=competition, folds=np.arange(200) % 5)
    assert score_neighbours(together) < 0.65
    assert score_neighbours(apart) > 0.8


def test_many_images_are_compared_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_heads, "MAX_KNN_ROWS", 60)
    monkeypatch.setattr(probe_heads, "MAX_GATHERED", 100)
    monkeypatch.setattr(probe_heads, "KNN_CHUNK", 7)
    assert 0.0 < score_neighbours(problem_of(Task.BINARY)) < 0.69


def head_of(name: str, score: float, log_loss: float) -> FittedHead:
    return FittedHead(
        name=name,
        hidden=(),
        dropout=0.0,
        loss=LossConfig(),
        heads={},
        oof=np.empty((0, 2), np.float32),
        test={},
        score=score,
        score_error=0.0,
        log_loss=log_loss,
    )


def test_the_best_head_is_chosen_and_of_equal_ones_the_surest() -> None:
    accuracy, loss = problem_of(Task.MULTICLASS), problem_of(Task.BINARY)
    low, high, sure = head_of("low", 0.5, 0.1), head_of("high", 0.9, 0.4), head_of("sure", 0.9, 0.3)
    assert choose_head(accuracy, [low, high, sure]).name == "sure"
    assert choose_head(loss, [low, high, sure]).name == "low"
