"""What must be true of a study that was disturbed, compared with the same study left in peace."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter

from optuna.trial import FrozenTrial, TrialState

from automl.artifacts import StudyFiles
from automl.search.search_loop import DEATHS, FAIL_REASON, MAX_DEATHS, PRUNED_AT
from automl.study.study import ENDED, read_study
from runners.inline import InlineRunner
from tests.soak.driver import run
from tests.soak.journal import Journal, read_journal
from tests.soak.killer import Plan, Story
from tests.soak.space import EPOCHS
from tests.soak.task import score_of


def check(files: StudyFiles, undisturbed: StudyFiles, plan: Plan, story: Story) -> dict[str, object]:
    """A table of figures, once all that must hold does.

    Raises:
        AssertionError: something does not hold.
    """
    trials = read_study(files).get_trials()
    _require_each_number_once(trials, plan)
    for trial in trials:
        _require_whole(trial, story)
    _require_the_same(trials, undisturbed, plan)
    journal = read_journal(files)
    _require_little_repeated(journal, story)
    _require_sound_file(files)
    assert not story.orphans, f"still alive: {story.orphans}"
    states = Counter(trial.state.name for trial in trials)
    return {
        "ended trials": f"{len(trials)} ({', '.join(f'{n} {state}' for state, n in sorted(states.items()))})",
        "kills landed": f"{len(story.kills)} ({', '.join(f'{n} {kind}' for kind, n in Counter(story.kills).items())})",
        "processes killed": story.n_victims,
        "drivers": story.n_drivers,
        "attempts lost": journal.n_lost_attempts,
        "epochs": f"{journal.n_epochs}, of which {journal.n_repeated} repeated",
        "slowest orphan": f"{story.slowest_orphan_s:.2f} s",
        "seconds": f"{story.seconds:.1f}",
    }


def search_in_peace(files: StudyFiles, plan: Plan) -> None:
    """The same search, with nothing to disturb it and nothing to wait for."""
    run(files, InlineRunner(), n_trials=plan.n_trials, sampler=plan.sampler, epoch_seconds=0.0)


def _require_each_number_once(trials: list[FrozenTrial], plan: Plan) -> None:
    assert [trial.number for trial in trials] == list(range(plan.n_trials))
    unended = [trial.number for trial in trials if trial.state not in ENDED]
    assert not unended, f"not ended: {unended}"


def _require_whole(trial: FrozenTrial, story: Story) -> None:
    """That the trial holds the very values that its epochs have, and no reason to have ended but a true one."""
    steps = range(EPOCHS)
    if trial.state == TrialState.PRUNED:
        steps = range(trial.user_attrs[PRUNED_AT] + 1)
    if trial.state == TrialState.FAIL:
        assert trial.user_attrs[DEATHS] == MAX_DEATHS, f"trial {trial.number} failed: {trial.user_attrs[FAIL_REASON]}"
        n_deaths = story.deaths_seen.get(trial.number, 0) + story.deaths_seen.get(None, 0)
        assert n_deaths >= MAX_DEATHS, f"nobody killed trial {trial.number} twice"
        steps = range(len(trial.intermediate_values))
    expected = {step: score_of(trial.number, step, trial.params["lr"]) for step in steps}
    assert trial.intermediate_values == expected, f"trial {trial.number} ({trial.state.name})"
    if trial.state == TrialState.COMPLETE:
        assert trial.value == expected[EPOCHS - 1]


def _require_the_same(trials: list[FrozenTrial], undisturbed: StudyFiles, plan: Plan) -> None:
    """The same parameters for each number where no history decides them; with one slot and no trial lost, all alike."""
    others = read_study(undisturbed).get_trials()
    has_failures = any(trial.state == TrialState.FAIL for trial in trials)
    for trial, other in zip(trials, others, strict=True):
        if plan.n_slots == 1 and not has_failures:
            assert _outcome(trial) == _outcome(other), f"trial {trial.number}"
        elif plan.sampler == "random":
            assert trial.params == other.params, f"trial {trial.number}"


def _outcome(trial: FrozenTrial) -> tuple[object, ...]:
    return trial.params, trial.state, trial.value, trial.intermediate_values


def _require_little_repeated(journal: Journal, story: Story) -> None:
    """That each attempt went on at most one epoch behind where the one before it was killed."""
    for trial, attempts in journal.attempts.items():
        reached = -1
        for epochs in attempts:
            assert epochs == list(range(epochs[0], epochs[0] + len(epochs))) if epochs else True
            assert not epochs or epochs[0] in (reached, reached + 1), (
                f"trial {trial} went on at {epochs[0]}: {attempts}"
            )
            reached = max([reached, *epochs])
    assert journal.n_repeated <= journal.n_lost_attempts <= story.n_victims


def _require_sound_file(files: StudyFiles) -> None:
    with contextlib.closing(sqlite3.connect(files.study_db)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
