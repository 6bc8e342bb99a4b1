"""The plan of a refit: chosen once, resumed, made again, and refused where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import read_json, write_json
from automl.errors import (
    StorageError,
    UnfitEnvironmentError,
    UsageError,
)
from automl.refit.refit_loop import REFIT
from runners.base import Event, Finished, Interrupted, Job, Verdict
from tests.automl_tests.refit_tests import studies
from tests.automl_tests.refit_tests.studies import Refit, add_trials, four_more


@pytest.mark.slow
def test_an_unfinished_refit_goes_on_with_its_trials_though_better_ones_are_complete_by_now(refit: Refit) -> None:
    class Cut:
        """Ends the run after two folds, as a signal does."""

        def __init__(self, loop: Any) -> None:
            self.loop, self.n_done = loop, 0

        def next_job(self) -> Job | None:
            if self.n_done == 2:
                raise Interrupted(2)
            return self.loop.next_job()  # type: ignore[no-any-return]

        def handle(self, event: Event) -> Verdict:
            self.n_done += isinstance(event, Finished)
            return self.loop.handle(event)  # type: ignore[no-any-return]

    refit.watch = Cut
    with pytest.raises(Interrupted):
        refit.run(top=1)
    assert refit.trained == four_more(0)[:2]
    add_trials(refit.files, 2, skill=lambda number: 2.0)
    refit.watch = lambda loop: loop
    refit.run(top=1)
    assert refit.trained == four_more(0)[2:]
    assert any("more trials are complete" in note for note in refit.notes)
    better = refit.run(top=1)
    assert better.scores[0].trial in (6, 7)


def test_other_flags_make_another_plan_and_what_is_trained_stays(refit: Refit) -> None:
    refit.run(numbers=(2,))
    assert refit.trained == four_more(2)
    refit.run(numbers=(2, 4))
    assert refit.trained == four_more(4)
    assert read_json(refit.files.refit)["asked"] == {"trials": [2, 4]}


def test_the_choice_does_not_depend_on_how_far_a_refit_has_come(refit: Refit) -> None:
    refit.run(numbers=(4, 5))  # these alone have all folds by now
    result = refit.run(top=1)
    assert [score.trial for score in result.scores] == [0]


def test_a_plan_that_is_damaged_is_made_again(refit: Refit) -> None:
    refit.run(top=1)
    refit.files.refit.write_text("{")
    assert refit.run(top=1).finished


def test_a_fold_is_given_what_the_search_gave_its_trial(refit: Refit, tmp_path: Path) -> None:
    inherited, seen = tmp_path / "other", []
    inherited.mkdir()
    write_json(refit.files.get_trial_files(1).origin, {"weights_dir": "/weights", "init_from": str(inherited)})

    def task(payload: Any, context: Any) -> dict[str, Any]:
        seen.append(payload)
        return studies.quick_fold(payload, context)

    refit.task = task
    refit.run(numbers=(1,))
    config = read_json(refit.files.get_trial_files(1).config)
    assert seen[0] == {
        "trial": 1,
        "study_dir": str(refit.files.root),
        "config": config,
        "seed": studies.SEED,
        "refit_kind": "refit",
        "soft_targets": None,
        "pixel_cache": None,
        "train_folds": 1,
        "fold": 1,
        "weights_dir": "/weights",
        "init_from": str(inherited),
    }
    inherited.rmdir()
    refit.files.get_trial_files(1).get_refit_files(REFIT).get_fold_oof_path(1).unlink()
    with pytest.raises(UsageError, match=f"trial 1 began with the weights of {inherited}, which is gone"):
        refit.run(numbers=(1,))


def test_a_folder_of_pretrained_weights_that_is_gone_is_required(refit: Refit, tmp_path: Path) -> None:
    trial = refit.files.get_trial_files(1)
    config = read_json(trial.config)
    config["model"]["pretrained"] = True
    write_json(trial.config, config)
    write_json(trial.origin, {"weights_dir": "/nowhere", "init_from": None})
    with pytest.raises(UnfitEnvironmentError, match="trial 1 began with pretrained weights in /nowhere") as refused:
        refit.run(numbers=(1,))
    assert "--weights" in refused.value.hint
    assert refit.run(numbers=(1,), weights_dir=tmp_path).finished


@pytest.mark.slow
def test_where_an_older_search_wrote_no_origin_there_is_a_warning(refit: Refit) -> None:
    refit.files.get_trial_files(1).origin.unlink()
    refit.run(numbers=(0, 1), distill=0.3)
    warnings = [note for note in refit.notes if "did not record" in note]
    assert len(warnings) == 1
    assert warnings[0].startswith("trial 1: this older search did not record --weights and --init-from")
    refit.notes.clear()
    refit.run(numbers=(0, 1), distill=0.3)  # nothing is left to be trained
    assert not [note for note in refit.notes if "did not record" in note]


@pytest.mark.parametrize("content", ["[]", "{"])
def test_a_damaged_origin_is_refused_by_its_file(content: str, refit: Refit) -> None:
    refit.files.get_trial_files(1).origin.write_text(content)
    with pytest.raises(StorageError, match=rf"{refit.files.get_trial_files(1).origin} .*damaged"):
        refit.run(numbers=(1,))


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [((3,), "trial 3 of study 'study' is PRUNED, not COMPLETE"), ((0, 99), "trial 99 of study 'study' does not exist")],
)
def test_a_trial_that_is_not_complete_is_refused_by_its_number(
    numbers: tuple[int, ...], problem: str, refit: Refit
) -> None:
    with pytest.raises(UsageError, match=f"^{problem}$"):
        refit.run(numbers=numbers)
    assert not refit.files.refit.exists()


@pytest.mark.slow
def test_what_was_trained_on_other_soft_targets_is_trained_anew(refit: Refit) -> None:
    refit.run(numbers=(1,), distill=0.3)
    refit.run(numbers=(1,), distill=0.5)
    assert refit.trained == [(1, fold, "distilled") for fold in range(5)]


def test_what_was_trained_on_unknown_soft_targets_is_trained_anew(refit: Refit) -> None:
    refit.run(numbers=(1,), distill=0.3)
    refit.files.get_trial_files(1).get_refit_files("distilled").origin.write_text("{")
    refit.run(numbers=(1,), distill=0.3)
    assert refit.trained == [(1, fold, "distilled") for fold in range(5)]
