"""Best epochs, patience and plateaus, also across image sizes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from automl.training.checkpoints import EpochRecord
from automl.training.early_stopping import count_plateaus, find_best_epoch, is_out_of_patience, select_epoch

PERFECT_FIRST = [(16, 0.99), (16, 0.98), (32, 0.5), (32, 0.7), (32, 0.7), (32, 0.6)]


def history_of(epochs: Sequence[tuple[int, float]]) -> list[EpochRecord]:
    """Epochs of these image sizes and scores."""
    return [
        EpochRecord(epoch=number, image_size=size, lr=0.1, train_loss=1.0, score=score, seconds=1.0, images_per_s=1.0)
        for number, (size, score) in enumerate(epochs)
    ]


def at_one_size(scores: Sequence[float]) -> list[EpochRecord]:
    return history_of([(32, score) for score in scores])


@pytest.mark.parametrize(("greater_is_better", "best"), [(True, 3), (False, 2)])
def test_the_best_epoch_is_the_first_of_equals_at_the_last_size(greater_is_better: bool, best: int) -> None:
    history = history_of(PERFECT_FIRST)
    assert find_best_epoch(history, final_size=32, greater_is_better=greater_is_better) == best
    assert select_epoch(history, "best", final_size=32, greater_is_better=greater_is_better) == best


def test_the_last_epoch_is_chosen_where_the_choice_is_the_last() -> None:
    assert select_epoch(history_of(PERFECT_FIRST), "last", final_size=32, greater_is_better=True) == 5


def test_before_the_last_stage_no_epoch_is_the_best_and_the_last_is_chosen() -> None:
    history = history_of(PERFECT_FIRST[:2])
    assert select_epoch(history, "best", final_size=32, greater_is_better=True) == 1
    with pytest.raises(ValueError, match="none of 2 epochs was trained at 32 pixels"):
        find_best_epoch(history, final_size=32, greater_is_better=True)


def test_a_stage_that_returns_to_the_final_size_does_not_count_its_first_visit() -> None:
    history = history_of([(32, 0.9), (16, 0.5), (32, 0.6), (32, 0.7)])
    assert find_best_epoch(history, final_size=32, greater_is_better=True) == 3


def test_patience_ends_that_many_epochs_after_the_best_one() -> None:
    scores = [0.5, 0.7, 0.6, 0.7, 0.65]
    ended = [
        is_out_of_patience(at_one_size(scores[:n]), patience=2, final_size=32, greater_is_better=True)
        for n in range(len(scores) + 1)
    ]
    assert ended == [False, False, False, False, True, True]


def test_patience_counts_falling_scores_as_better_where_they_are() -> None:
    history = at_one_size([0.5, 0.4, 0.3])
    assert not is_out_of_patience(history, patience=1, final_size=32, greater_is_better=False)
    assert is_out_of_patience(history, patience=2, final_size=32, greater_is_better=True)


def test_no_trial_is_ended_before_its_last_stage() -> None:
    history = history_of([(16, 0.9), *[(16, 0.1)] * 9, (32, 0.2)])
    for n_epochs in range(len(history) + 1):
        assert not is_out_of_patience(history[:n_epochs], patience=1, final_size=32, greater_is_better=True)


def test_without_patience_a_trial_is_never_ended() -> None:
    assert not is_out_of_patience(at_one_size([0.9] * 99), patience=None, final_size=32, greater_is_better=True)


@given(
    st.lists(st.integers(0, 5).map(float), max_size=30),
    st.booleans(),
    st.integers(0, 4),
)
def test_plateaus_are_those_at_which_torchs_scheduler_falls(
    scores: list[float], greater_is_better: bool, patience: int
) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(
        optimizer, mode="max" if greater_is_better else "min", factor=0.5, patience=patience, threshold=0.0, eps=0.0
    )
    for score in scores:
        scheduler.step(score)
    found = count_plateaus(at_one_size(scores), greater_is_better=greater_is_better, patience=patience)
    assert optimizer.param_groups[0]["lr"] == 0.5**found


def test_a_plateau_is_two_epochs_in_a_row_that_are_no_better() -> None:
    scores = [0.5, 0.4, 0.6, 0.6, 0.6, 0.5, 0.5]
    found = [count_plateaus(at_one_size(scores[:n]), greater_is_better=True) for n in range(len(scores) + 1)]
    assert found == [0, 0, 0, 0, 0, 1, 1, 2]


def test_a_new_image_size_begins_without_a_best_score_but_keeps_the_plateaus() -> None:
    epochs = [(16, 0.9), (16, 0.8), (16, 0.8), (16, 0.8), (32, 0.5), (32, 0.6), (32, 0.5), (32, 0.5)]
    found = [count_plateaus(history_of(epochs[:n]), greater_is_better=True) for n in range(len(epochs) + 1)]
    assert found == [0, 0, 0, 1, 1, 1, 1, 1, 2]
