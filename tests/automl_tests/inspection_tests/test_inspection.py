"""What an inspection finds in images of known content, how it describes it, and the examples that it selects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.data.survey import Survey
from automl.inspection.inspection import describe_inspection, inspect_competition, select_example_rows
from automl.tasks import Task
from tests.automl_tests.inspection_tests.surveys import (
    N,
    drawn,
    facts_of,
    inspected,
    landscape,
    make_competition,
    noise,
)


@pytest.mark.slow
def test_test_images_of_another_camera_are_separable_by_their_files() -> None:
    other = facts_of(drawn(landscape, seed=1), widths=np.full(N, 640, np.int32), heights=np.full(N, 480, np.int32))
    found = inspected(facts_of(drawn(landscape)), other)
    assert found.shift_in_files is not None
    assert found.shift_in_files.auc == 1.0
    assert any("by their files clearly differ (AUC 1.00" in line for line in describe_inspection(found))


@pytest.mark.slow
def test_sizes_that_are_all_alike_tell_nothing() -> None:
    assert inspected(facts_of(drawn(landscape))).label_leak is None


def test_too_few_images_answer_nothing() -> None:
    found = inspected(facts_of(drawn(landscape, 30)), facts_of(drawn(landscape, 3)))
    assert found.shift_in_pixels is None
    assert found.mirror_separability is None
    assert "too few" in "\n".join(describe_inspection(found))


@pytest.mark.slow
def test_broken_images_are_passed_over() -> None:
    facts = facts_of(drawn(landscape))
    widths = facts.widths.copy()
    widths[::3] = 0
    found = inspected(replace(facts, widths=widths, problems={0: "train/0.jpg cannot be decoded"}))
    assert found.rotation_separability is not None
    assert all(row % 3 for _, rows in select_example_rows(found, n_classes=2, n_images=50) for row in rows)


@pytest.mark.slow
def test_of_many_classes_the_ends_are_shown() -> None:
    targets = np.repeat(np.arange(20), np.arange(1, 21))
    competition = make_competition(Path("/nowhere"), targets)
    facts = facts_of(drawn(noise, len(targets)))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    shown = select_example_rows(found, n_classes=4, n_images=3)
    assert [name for name, _ in shown] == [competition.classes[index] for index in (19, 18, 1, 0)]
    assert [len(rows) for _, rows in shown] == [3, 3, 2, 1]


def test_values_are_shown_by_tenths() -> None:
    values = np.random.default_rng(0).uniform(0, 100, (N, 1))
    competition = make_competition(
        Path("/nowhere"), values, task=Task.REGRESSION, classes=("score",), scales=((0.0, 100.0),)
    )
    facts = facts_of(drawn(noise))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    assert [count for _, count in found.counts] == [30] * 10
    first = select_example_rows(found, n_classes=10, n_images=5)[0]
    assert first[0] == f"{values.min():.4g} to {np.sort(values[:, 0])[29]:.4g}"
    assert values[first[1]].max() < 15
    assert [rows[0] for _, rows in select_example_rows(found, n_classes=10, n_images=1)] == [
        int(np.flatnonzero(found.competition.strata == tenth)[0]) for tenth in range(10)
    ]


@pytest.mark.slow
def test_values_that_repeat_have_as_many_parts_as_there_are() -> None:
    values = np.repeat([1.0, 7.0], [N // 10 * 6, N // 10 * 4])[:, None]
    competition = make_competition(
        Path("/nowhere"), values, task=Task.REGRESSION, classes=("score",), scales=((0.0, 10.0),)
    )
    facts = facts_of(drawn(noise))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    assert found.counts == (("1", N // 10 * 6), ("7", N // 10 * 4))
    assert {name: len(rows) for name, rows in select_example_rows(found, n_classes=10, n_images=N)} == dict(
        found.counts
    )


@pytest.mark.slow
def test_images_of_one_group_do_not_give_each_other_away() -> None:
    """Each of ten scenes has a side of its own, but scenes have none; without groups each would be known by heart."""
    scenes = [noise(np.random.default_rng(seed)) for seed in range(10)]
    rng = np.random.default_rng(0)
    shots = np.array([scenes[row % 10] + rng.normal(0, 8, (32, 32, 3)) for row in range(N)]).clip(0, 255)
    facts = facts_of(shots)
    competition = make_competition(Path("/nowhere"), np.arange(N) % 2)
    survey = Survey(train=facts, test=facts)
    mistaken = inspect_competition(competition, survey).mirror_separability
    assert mistaken is not None
    assert mistaken.is_clear
    grouped = inspect_competition(replace(competition, groups=np.arange(N) % 10), survey)
    assert grouped.mirror_separability is not None
    assert not grouped.mirror_separability.is_slight


def test_fewer_groups_than_parts_answer_nothing() -> None:
    competition = make_competition(Path("/nowhere"), np.arange(N) % 2)
    facts = facts_of(drawn(landscape))
    found = inspect_competition(replace(competition, groups=np.arange(N) % 3), Survey(train=facts, test=facts))
    assert found.mirror_separability is None
    assert "not compared" in describe_inspection(found)[-1]


@pytest.mark.slow
def test_images_of_one_size_are_described_in_a_word() -> None:
    assert "sizes: training images of 320x240 px, all of them" in describe_inspection(inspected(facts_of(drawn(noise))))
