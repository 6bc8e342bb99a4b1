"""Learning rates and image sizes at their boundaries."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.config import OptimConfig
from automl.training.resizing import image_size_of_epoch
from automl.training.schedules import lr_at


def sizes_of(image_sizes: tuple[int, ...], epochs: int) -> list[int]:
    return [image_size_of_epoch(image_sizes, epoch, epochs) for epoch in range(epochs)]


@pytest.mark.parametrize(
    ("image_sizes", "epochs", "expected"),
    [
        ((224,), 3, [224, 224, 224]),
        ((160, 224), 4, [160, 160, 224, 224]),
        ((160, 224), 5, [160, 160, 224, 224, 224]),
        ((160, 240, 320), 3, [160, 240, 320]),
        ((160, 240, 320), 8, [160, 160, 240, 240, 320, 320, 320, 320]),
        ((320, 160), 2, [320, 160]),
    ],
)
def test_stages_follow_each_other_and_the_last_has_the_remainder(
    image_sizes: tuple[int, ...], epochs: int, expected: list[int]
) -> None:
    assert sizes_of(image_sizes, epochs) == expected


@given(st.lists(st.integers(8, 512), min_size=1, max_size=5, unique=True), st.integers(0, 40))
def test_every_stage_has_its_epochs_in_order(image_sizes: list[int], more: int) -> None:
    epochs = len(image_sizes) + more
    stages = [(size, len(list(group))) for size, group in itertools.groupby(sizes_of(tuple(image_sizes), epochs))]
    assert [size for size, _ in stages] == image_sizes
    lengths = [length for _, length in stages]
    assert set(lengths[:-1]) <= {epochs // len(image_sizes)}
    assert lengths[-1] == epochs - sum(lengths[:-1]) >= epochs // len(image_sizes)


@pytest.mark.parametrize(("epoch", "epochs"), [(-1, 4), (4, 4), (0, 1)])
def test_an_epoch_outside_the_schedule_has_no_size(epoch: int, epochs: int) -> None:
    with pytest.raises(ValueError, match="has no place"):
        image_size_of_epoch((160, 224), epoch, epochs)


def test_warmup_rises_in_equal_steps_to_the_peak_and_the_cosine_falls_to_nearly_zero() -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.1, schedule="cosine")
    rates = [lr_at(step, 100, optim) for step in range(100)]
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert rates[10] == 0.1
    assert rates[55] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-3 * 0.1
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_a_constant_schedule_stays_at_the_peak_after_the_warmup() -> None:
    optim = OptimConfig(lr=0.1, warmup_fraction=0.2, schedule="constant")
    rates = [lr_at(step, 10, optim) for step in range(10)]
    assert rates == pytest.approx([0.05, *[0.1] * 9])


@given(
    st.integers(1, 500),
    st.floats(0, 0.99),
    st.sampled_from(["cosine", "constant"]),
)
def test_a_rate_is_always_positive_and_never_above_the_peak(n_steps: int, warmup: float, schedule: str) -> None:
    optim = OptimConfig(lr=0.3, warmup_fraction=warmup, schedule=schedule)
    assert all(0 < lr_at(step, n_steps, optim) <= 0.3 * (1 + 1e-12) for step in range(n_steps))
