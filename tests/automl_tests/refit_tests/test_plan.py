"""The plan of a refit: chosen once, resumed, made again, and refused where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_json, write_json
from automl.data.competition import load_competition
from automl.errors import (
    NoUsableModelError,
    StorageError,
    UnfitEnvironmentError,
    UsageError,
)
from automl.probing.probe_job import COMPLETED, ProbeCandidate, ProbeReport
from automl.refit.refit_loop import REFIT
from automl.training.fold_outputs import join_folds
from runners.base import Event, Finished, Interrupted, Job, Verdict
from tests.automl_tests.refit_tests import studies
from tests.automl_tests.refit_tests.studies import Refit, add_trials, finished_fold, four_more, written_study
from tests.automl_tests.training_tests.trial_builders import config_of


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
    refit.run(numbers=(1,), cache_gb=1.5)
    config = read_json(refit.files.get_trial_files(1).config)
    assert seen[0] == {
        "trial": 1,
        "study_dir": str(refit.files.root),
        "config": config,
        "seed": studies.SEED,
        "refit_kind": "refit",
        "soft_targets": None,
        "pixel_cache": None,
        "cache_gb": 1.5,
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


def put_probe(files: StudyFiles, number: int, *, skill: float) -> None:
    """A finished probe without weights, which no choice looks at."""
    own, folds = files.get_probe_files(number), [finished_fold(files, number, fold, skill=skill) for fold in range(5)]
    join_folds(own, folds)
    write_json(own.config, config_of(backbone="test_efficientnet").to_json())
    competition = load_competition(files.competition)
    score = np.mean([competition.scorer(competition.targets[fold.rows], fold.probs) for fold in folds])
    candidate = ProbeCandidate("test_efficientnet", 32)
    report = ProbeReport(number=number, candidate=candidate, outcome=COMPLETED, score=float(score), head="linear")
    write_json(own.result, report.to_json())


def test_probes_take_part_in_the_choice_and_are_not_trained(refit: Refit) -> None:
    refit.run(top=2)
    plain = read_json(refit.files.refit)["trials"]
    assert len(plain) == 2
    put_probe(refit.files, 1, skill=0.85)
    refit.run(top=2)
    assert read_json(refit.files.refit)["trials"] == plain[:1]
    assert f"trial {plain[0]} is what an ensemble would take of 5 complete trials" in refit.notes


def test_where_an_ensemble_would_take_probes_alone_nothing_is_trained(refit: Refit) -> None:
    put_probe(refit.files, 0, skill=3.0)
    result = refit.run(top=1)
    assert refit.trained == []
    assert result.finished and result.scores == ()
    result.require_all()
    assert [note for note in refit.notes if "probes alone" in note] == [
        "an ensemble would take probes alone, and all folds of these are there: nothing is to be trained"
    ]
    assert not [note for note in refit.notes if "are to be trained" in note]
    assert read_json(refit.files.refit)["trials"] == []
    refit.run(numbers=(2,))
    assert refit.trained == four_more(2)


def test_a_study_of_probes_without_a_complete_trial_has_nothing_to_refit(tmp_path: Path) -> None:
    files = written_study(tmp_path, n=1, pruned=[0])
    with pytest.raises(NoUsableModelError, match="no trial of study 'study' is complete"):
        Refit(files).run()
    put_probe(files, 0, skill=0.8)
    assert Refit(files).run().finished
