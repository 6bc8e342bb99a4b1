"""Progressive resizing: stages, image sizes, batch sizes and numbers of steps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.config import ResizeConfig
from automl.training.resizing import (
    count_batches,
    count_steps,
    get_batch_size,
    get_image_size,
    is_end_of_stage,
)
from tests.automl_tests.training_tests.trial_builders import (
    config_of,
)


def sizes_of(image_sizes: tuple[int, ...], epochs: int) -> list[int]:
    return [get_image_size(image_sizes, epoch, epochs) for epoch in range(epochs)]


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
    with pytest.raises(ValueError, match="does not fit into"):
        get_image_size((160, 224), epoch, epochs)


def test_a_stage_ends_where_the_next_epoch_has_another_stage_and_never_with_the_trial() -> None:
    sizes = (16, 32, 32)
    assert [get_image_size(sizes, epoch, 7) for epoch in range(7)] == [16, 16, 32, 32, 32, 32, 32]
    ends = [epoch for epoch in range(7) if is_end_of_stage(sizes, epoch, 7)]
    assert ends == [1, 3]  # also where the size stays the same
    assert not is_end_of_stage((16,), 0, 1)


@given(st.integers(2, 300), st.integers(2, 64))
def test_the_number_of_batches_is_what_the_data_side_makes(n_images: int, batch_size: int) -> None:
    rows = list(range(n_images))
    parts = [rows[start : start + batch_size] for start in range(0, n_images, batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts.pop()
    assert count_batches(n_images, batch_size) == len(parts)


def test_steps_are_those_of_the_batch_size_of_each_epoch() -> None:
    config = replace(config_of(batch_size=8, epochs=3), resize=ResizeConfig(image_sizes=(16, 32), scale_batch=True))
    assert [get_batch_size(config, epoch) for epoch in range(3)] == [32, 8, 8]
    assert [count_steps(config, 48, epochs) for epochs in range(4)] == [0, 2, 8, 14]
    assert count_steps(replace(config, resize=ResizeConfig(image_sizes=(16, 32))), 48, 3) == 18
