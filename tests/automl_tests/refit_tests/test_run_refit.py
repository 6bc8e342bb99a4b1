"""A refit: which trials, which folds, what is gone on with, and what it says of it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automl.artifacts import StudyFiles, read_arrays, read_json, write_json
from automl.data.changed import record_file_sizes
from automl.data.competition import load_competition
from automl.errors import (
    AutomlError,
    DataError,
    NoUsableModelError,
    StudyInUseError,
    UnfitEnvironmentError,
    UsageError,
)
from automl.refit.plan import CompleteTrials
from automl.refit.refit_loop import REFIT
from automl.search.run_search import read_soft_target_report
from automl.study.deadline import Deadline
from automl.study.lock import lock_study
from tests.automl_tests.refit_tests import studies
from tests.automl_tests.refit_tests.studies import Refit, four_more, written_study


def test_the_folds_that_the_search_left_out_are_trained_of_the_trials_that_an_ensemble_takes(refit: Refit) -> None:
    result = refit.run(top=2)
    numbers = [score.trial for score in result.scores]
    assert len(numbers) in (1, 2)
    assert 0 in numbers
    assert refit.trained == four_more(*numbers)
    assert result.finished
    assert not result.lost


def test_the_same_refit_again_trains_nothing_and_says_so(refit: Refit) -> None:
    first = refit.run(top=2)
    assert refit.trained
    again = refit.run(top=2)
    assert refit.trained == []
    assert again.scores == first.scores
    assert "are trained" in refit.notes[-1]


@pytest.mark.parametrize("harm", ["gone", "cut short"])
def test_weights_that_are_gone_or_damaged_are_made_again(harm: str, refit: Refit) -> None:
    refit.run(numbers=(1,))
    trial = refit.files.get_trial_files(1)
    for path in (trial.get_weights_path(0), trial.get_refit_files(REFIT).get_weights_path(3)):
        path.unlink() if harm == "gone" else path.write_bytes(path.read_bytes()[:-3])
    refit.run(numbers=(1,))
    assert refit.trained == [(1, 0, REFIT), (1, 3, REFIT)]
    member = CompleteTrials.from_study(refit.files).read_member(1)
    assert not member.missing_weights
    assert member.models[0].weights == trial.get_refit_files(REFIT).get_weights_path(0)
    refit.run(numbers=(1,))
    assert refit.trained == []


def test_a_fold_of_which_a_part_is_damaged_is_trained_again(refit: Refit) -> None:
    refit.run(numbers=(1,))
    refit.files.get_trial_files(1).get_refit_files(REFIT).get_fold_oof_path(2).write_bytes(b"PK")
    refit.run(numbers=(1,))
    assert refit.trained == [(1, 2, REFIT)]


def test_training_images_that_changed_since_the_search_are_refused_by_name(refit: Refit) -> None:
    competition = load_competition(refit.files.competition)
    record_file_sizes(competition, "train", refit.files.train_sizes)
    path = competition.image_paths[3]
    content = path.read_bytes()
    try:
        path.write_bytes(content + b"more")
        with pytest.raises(DataError, match=rf"^1 of 60 training images changed since the search: {path.name}$"):
            refit.run(numbers=(1,))
    finally:
        path.write_bytes(content)  # the studies of this module share it
    assert refit.trained == []
    assert refit.run(numbers=(1,)).finished


def test_a_fold_that_cannot_be_trained_is_reported_and_the_others_are_trained(refit: Refit) -> None:
    reason = {"outcome": "dead_end", "constraint": "memory", "reason": "2 images do not fit"}
    studies.FATES[1, 2] = lambda: reason
    result = refit.run(numbers=(1, 2))
    assert [(fold.name, loss.reason) for fold, loss in result.lost.items()] == [
        ("trial 1 fold 2", "memory: 2 images do not fit")
    ]
    assert len(refit.trained) == 8
    assert sorted(result.scores[0].fold_scores) == [0, 1, 3, 4]
    assert read_json(refit.files.refit)["lost"] == [
        {"trial": 1, "fold": 2, "kind": "refit", "reason": "memory: 2 images do not fit", "log": ""}
    ]
    studies.FATES.clear()
    refit.run(numbers=(1, 2))
    assert refit.trained == [(1, 2, REFIT)]


def test_a_refusal_stops_the_refit_with_its_error(refit: Refit) -> None:
    refusal = {"outcome": "refused", "exit_code": 7, "problem": "no weights of 'resnet18'", "hint": "pass --weights"}
    studies.FATES[0, 2] = lambda: refusal
    with pytest.raises(UnfitEnvironmentError, match="no weights of 'resnet18'"):
        refit.run(numbers=(0,))
    assert refit.trained == four_more(0)[:2]


@pytest.mark.slow
def test_when_the_time_is_up_it_says_so_and_the_same_refit_goes_on(refit: Refit) -> None:
    clock = [0.0]
    deadline = Deadline(at_s=25.0, clock=lambda: clock[0])  # folds are expected to take 10 s, as in the search

    def task(payload: Any, context: Any) -> dict[str, Any]:
        answer = studies.quick_fold(payload, context)
        clock[0] += 10.0
        return answer

    refit.task = task
    result = refit.run(numbers=(1,), deadline=deadline)
    assert refit.trained == four_more(1)[:2]
    assert not result.finished
    assert refit.notes[-1] == "the time is up; the same command goes on with the refit"
    assert refit.run(numbers=(1,)).finished
    assert refit.trained == four_more(1)[2:]


def test_a_study_without_complete_trials_or_without_its_files_is_refused(tmp_path: Path, refit: Refit) -> None:
    with pytest.raises(NoUsableModelError, match="no trial of study 'study' is complete"):
        Refit(written_study(tmp_path / "pruned", n=1, pruned=[0])).run()
    nowhere = StudyFiles(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="there is no study"):
        Refit(nowhere).run()
    assert not nowhere.root.exists()
    folds = refit.files.folds.read_text()
    for harm in ("", folds.replace("\n1,", "\n1x,")):
        refit.files.folds.write_text(harm)
        with pytest.raises(AutomlError):
            refit.run()
    refit.files.folds.write_text(folds)
    competition = read_json(refit.files.competition)
    write_json(refit.files.competition, {**competition, "image_ids": [*competition["image_ids"][:-1], "other"]})
    with pytest.raises(AutomlError, match=r"another competition|damaged|other ids"):
        refit.run()


def test_folds_that_are_not_the_searchs_are_refused(refit: Refit) -> None:
    text = refit.files.folds.read_text().splitlines()
    rolled = [
        f"{line.split(',')[0]},{other.split(',')[1]}"
        for line, other in zip(text[1:], [*text[2:], text[1]], strict=True)
    ]
    refit.files.folds.write_text("\n".join([text[0], *rolled]) + "\n")
    with pytest.raises(AutomlError, match=r"not of this competition and split"):
        refit.run(numbers=(1,))
    assert refit.trained == []


def test_a_study_that_a_search_works_on_is_left_alone(refit: Refit) -> None:
    with lock_study(refit.files), pytest.raises(StudyInUseError):
        refit.run()
    assert refit.trained == []


@pytest.mark.slow
def test_no_search_may_begin_while_folds_are_trained(refit: Refit) -> None:
    held = []

    def task(payload: Any, context: Any) -> dict[str, Any]:
        with pytest.raises(StudyInUseError), lock_study(refit.files):
            pass
        held.append(payload["fold"])
        return studies.quick_fold(payload, context)

    refit.task = task
    refit.run(numbers=(1,))
    assert held == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_distilled_refit_trains_all_folds_again_and_says_what_it_gained(refit: Refit) -> None:
    result = refit.run(numbers=(1, 2), distill=0.3)
    everything = [(number, fold, "distilled") for number in (1, 2) for fold in range(5)]
    assert refit.trained == [*four_more(1, 2), *everything]
    assert {gain.trial for gain in result.soft_target_gains["distilled"]} == {1, 2, None}
    document = read_json(refit.files.refit)
    assert len(document["gains"]["distilled"]) == 3
    assert document["lines"] == list(result.lines)
    assert any("trial 2" in line for line in result.lines)
    refit.run(numbers=(1, 2), distill=0.3)
    assert refit.trained == []
    assert refit.run(numbers=(1, 2)).lines == result.lines  # what was learned before is not forgotten


def test_gains_of_soft_targets_stay_reported_through_refits_of_other_trials(refit: Refit) -> None:
    lines = refit.run(numbers=(1,), distill=0.3).lines
    assert len(lines) == 2
    reports = []

    def task(payload: Any, context: Any) -> dict[str, Any]:
        reports.append(read_soft_target_report(refit.files))
        return studies.quick_fold(payload, context)

    refit.task = task
    assert refit.run(numbers=(2,)).lines == lines  # the student of trial 1 may still become a member
    assert reports == [list(lines)] * 4
    assert read_soft_target_report(refit.files) == list(lines)
    refit.files.get_trial_files(1).get_refit_files("distilled").get_fold_oof_path(0).unlink()
    assert refit.run(numbers=(2,)).lines == ()


@pytest.mark.parametrize("flags", [{"pseudo_labels": 0.0}, {"distill": 0.0}])
def test_a_share_of_soft_targets_that_is_none_is_refused_before_anything_is_trained(
    flags: dict[str, float], refit: Refit
) -> None:
    with pytest.raises(UsageError, match="0 is no share"):
        refit.run(numbers=(1,), **flags)
    assert refit.trained == []


def test_soft_targets_that_cannot_be_made_leave_the_plain_refit_and_are_reported_at_the_end(
    refit: Refit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: Any, **options: Any) -> Path:
        raise UsageError("only 5 of 180 test images are sure", hint="lower --pseudo-labels")

    monkeypatch.setattr("automl.refit.run_refit.build_pseudo_labels", refused)
    result = refit.run(numbers=(1,), pseudo_labels=1.0, distill=0.3)
    assert {kind for _, _, kind in refit.trained} == {REFIT, "distilled"}
    assert result.finished
    with pytest.raises(UsageError, match="only 5 of 180 test images are sure"):
        result.require_all()


def test_soft_targets_reach_the_folds_that_are_distilled_and_no_others(refit: Refit) -> None:
    soft_targets: dict[str, set[Any]] = {}

    def task(payload: Any, context: Any) -> dict[str, Any]:
        soft_targets.setdefault(payload["refit_kind"], set()).add(payload["soft_targets"])
        return studies.quick_fold(payload, context)

    refit.task = task
    refit.run(numbers=(1,), distill=0.3)
    assert soft_targets["refit"] == {None}
    (path,) = soft_targets["distilled"]
    assert set(read_arrays(Path(path))) >= {"rows", "folds", "targets"}


def test_trials_that_lack_a_fold_are_no_teachers(refit: Refit) -> None:
    studies.FATES[1, 2] = lambda: {"outcome": "dead_end", "constraint": "memory", "reason": "none"}
    result = refit.run(numbers=(1,), distill=0.3)
    assert [kind for _, _, kind in refit.trained] == [REFIT] * 4
    assert result.soft_target_gains == {}
    assert "distilled: no trial has all folds, so none can be a teacher" in refit.notes
