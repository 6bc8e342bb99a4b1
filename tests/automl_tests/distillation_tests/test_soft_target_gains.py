"""What students gained by soft targets, with its error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl.distillation.soft_target_gains import compute_gains, describe_gains
from automl.ensemble.candidates import Member
from tests.automl_tests.distillation_tests.worlds import (
    N,
    World,
    probs_of,
)


def moved(world: World, strength: float) -> list[Member]:
    """Students whose predictions lie nearer to the truth, or further from it where the strength is negative."""
    truth = np.eye(3)[world.competition.targets]
    away = (1 - truth) / 2
    aim, share = (truth, strength) if strength > 0 else (away, -strength)
    return [replace(m, member_kind="pseudo", oof=(1 - share) * m.oof + share * aim) for m in world.members]


@pytest.mark.parametrize(("strength", "word"), [(0.3, "better"), (-0.3, "worse")])
def test_a_gain_is_the_difference_of_scores_on_the_same_rows(strength: float, word: str, world: World) -> None:
    students = moved(world, strength)
    found = compute_gains(world.members, students[::-1], world.competition)
    assert [gain.trial for gain in found] == [7, 3, None]
    scorer, targets = world.competition.scorer, world.competition.targets
    last = found[1]
    assert last.plain == pytest.approx(scorer(targets, world.members[0].oof))
    assert last.student == pytest.approx(scorer(targets, students[0].oof))
    assert last.gain == pytest.approx(last.plain - last.student)
    assert (last.gain > 0) == (strength > 0)
    means = [np.mean([member.oof for member in members], axis=0) for members in (world.members, students)]
    assert found[2].gain == pytest.approx(scorer(targets, means[0]) - scorer(targets, means[1]))
    lines = describe_gains(found, "pseudo", world.competition)
    assert len(lines) == 3
    assert all(word in line for line in lines)
    assert "mean of all" in lines[2]


def test_the_error_of_a_gain_is_that_of_the_paired_difference(world: World) -> None:
    (first, *_) = compute_gains(world.members, moved(world, 0.3), world.competition)
    own = np.arange(N), world.competition.targets
    losses = [-np.log(np.asarray(member.oof, np.float64)[own]) for member in (world.members[0], moved(world, 0.3)[0])]
    expected = (losses[0] - losses[1]).std(ddof=1) / np.sqrt(N)
    assert first.error == pytest.approx(expected, rel=0.15)
    assert first.error < losses[0].std() / np.sqrt(N)


def test_groups_are_drawn_whole(world: World) -> None:
    competition = replace(world.competition, groups=np.arange(N) // 10)
    (alone, *_), (grouped, *_) = (
        compute_gains(world.members, moved(world, 0.3), own) for own in (world.competition, competition)
    )
    assert alone.gain == grouped.gain
    assert alone.error != grouped.error


def test_a_gain_no_larger_than_its_error_is_called_so(world: World) -> None:
    rng = np.random.default_rng(0)
    students = [replace(m, oof=probs_of(world.competition.targets, rng)) for m in world.members[:1]]
    (gain,) = compute_gains(world.members, students, world.competition)
    lines = describe_gains([replace(gain, gain=0.5 * gain.error)], "pseudo", world.competition)
    assert lines[0].endswith("within its error")
    sure = describe_gains([replace(gain, gain=2 * gain.error)], "pseudo", world.competition)
    assert not sure[0].endswith("within its error")


def test_students_without_a_plain_trial_and_none_at_all_gain_nothing(world: World) -> None:
    stranger = replace(world.members[0], number=99)
    assert compute_gains(world.members, [stranger], world.competition) == []
    assert describe_gains([], "distilled", world.competition) == []


def test_distilled_gains_come_with_their_leak(world: World) -> None:
    found = compute_gains(world.members, moved(world, 0.3), world.competition)
    assert "may be flattered a little" in describe_gains(found, "distilled", world.competition)[-1]
