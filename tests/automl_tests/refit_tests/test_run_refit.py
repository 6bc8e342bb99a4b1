"""A refit: which trials, which folds, what is gone on with, and what it says of it all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_arrays, read_json, write_json
from automl.data.changed import record_file_sizes
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from automl.deadline import Deadline
from automl.errors import (
    AutomlError,
    DataError,
    NoUsableModelError,
    StorageError,
    StudyInUseError,
    UnfitEnvironmentError,
    UsageError,
)
from automl.refit.plan import CompleteTrials
from automl.refit.refit_loop import REFIT
from automl.reports.study_status import render_status
from automl.search.run_search import read_soft_target_report
from automl.study.lock import lock_study
from automl.study.study import read_study
from runners.base import Event, Finished, Interrupted, Job, Verdict
from tests.automl_tests.refit_tests import studies
from tests.automl_tests.refit_tests.studies import Refit, add_trials, finished_fold, written_study


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Six trials with one fold each, the first ones the best; trial 3 was pruned."""
    return written_study(tmp_path_factory.mktemp("written"), n=6, pruned=[3])


@pytest.fixture
def files(tmp_path: Path, written: StudyFiles) -> StudyFiles:
    """A copy of that study."""
    shutil.copytree(written.root, tmp_path / "study")
    return StudyFiles(tmp_path / "study")


@pytest.fixture
def refit(files: StudyFiles) -> Iterator[Refit]:
    yield Refit(files)
    studies.FATES.clear()


def four_more(*numbers: int, kind: str = REFIT) -> list[tuple[int, int, str]]:
    return [(number, fold, kind) for number in numbers for fold in range(1, 5)]


def test_the_folds_that_the_search_left_out_are_trained_of_the_trials_that_an_ensemble_takes(refit: Refit) -> None:
    result = refit.run(top=2)
    numbers = [score.trial for score in result.scores]
    assert len(numbers) in (1, 2)
    assert 0 in numbers
    assert refit.trained == four_more(*numbers)
    assert result.finished
    assert not result.lost


def test_the_score_is_that_of_all_rows_beside_each_folds_and_the_searchs(refit: Refit) -> None:
    (score,) = refit.run(numbers=(1,)).scores
    competition = load_competition(refit.files.competition)
    folds = load_folds(refit.files.folds, competition)
    by_hand = {0: finished_fold(refit.files, 1, 0, skill=0.8)}
    by_hand |= {fold: finished_fold(refit.files, 1, fold) for fold in range(1, 5)}
    for fold, finished in by_hand.items():
        assert score.fold_scores[fold] == competition.scorer(competition.targets[finished.rows], finished.probs)
    rows = np.concatenate([finished.rows for finished in by_hand.values()])
    probs = np.concatenate([finished.probs for finished in by_hand.values()])
    assert score.score == pytest.approx(competition.scorer(competition.targets[rows], probs))
    assert (score.n_rows, score.searched) == (int((folds >= 0).sum()), score.fold_scores[0])
    document = read_json(refit.files.refit)
    assert document["trials"] == [1]
    assert document["results"][0]["score"] == score.score
    assert document["results"][0]["fold_scores"]["4"] == score.fold_scores[4]


def test_the_same_refit_again_trains_nothing_and_says_so(refit: Refit) -> None:
    first = refit.run(top=2)
    assert refit.trained
    again = refit.run(top=2)
    assert refit.trained == []
    assert again.scores == first.scores
    assert "are trained" in refit.notes[-1]


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


def test_a_folder_of_pretrained_weights_that_is_gone_is_asked_for(refit: Refit, tmp_path: Path) -> None:
    trial = refit.files.get_trial_files(1)
    config = read_json(trial.config)
    config["model"]["pretrained"] = True
    write_json(trial.config, config)
    write_json(trial.origin, {"weights_dir": "/nowhere", "init_from": None})
    with pytest.raises(UnfitEnvironmentError, match="trial 1 began with pretrained weights in /nowhere") as refused:
        refit.run(numbers=(1,))
    assert "--weights" in refused.value.hint
    assert refit.run(numbers=(1,), weights_dir=tmp_path).finished


def test_where_an_older_search_wrote_no_origin_it_is_said(refit: Refit) -> None:
    refit.files.get_trial_files(1).origin.unlink()
    refit.run(numbers=(0, 1), distill=0.3)
    told = [note for note in refit.notes if "did not record" in note]
    assert len(told) == 1
    assert told[0].startswith("trial 1: this older search did not record --weights and --init-from")
    refit.notes.clear()
    refit.run(numbers=(0, 1), distill=0.3)  # nothing is left to be trained
    assert not [note for note in refit.notes if "did not record" in note]


@pytest.mark.parametrize("content", ["[]", "{"])
def test_a_damaged_origin_is_refused_by_its_file(content: str, refit: Refit) -> None:
    refit.files.get_trial_files(1).origin.write_text(content)
    with pytest.raises(StorageError, match=rf"{refit.files.get_trial_files(1).origin} .*damaged"):
        refit.run(numbers=(1,))


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


def test_a_fold_that_cannot_be_trained_is_told_and_the_others_are_trained(refit: Refit) -> None:
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


def test_what_lessons_gained_stays_told_through_refits_of_other_trials(refit: Refit) -> None:
    lines = refit.run(numbers=(1,), distill=0.3).lines
    assert len(lines) == 2
    told = []

    def task(payload: Any, context: Any) -> dict[str, Any]:
        told.append(read_soft_target_report(refit.files))
        return studies.quick_fold(payload, context)

    refit.task = task
    assert refit.run(numbers=(2,)).lines == lines  # the student of trial 1 may still become a member
    assert told == [list(lines)] * 4
    assert read_soft_target_report(refit.files) == list(lines)
    refit.files.get_trial_files(1).get_refit_files("distilled").get_fold_oof_path(0).unlink()
    assert refit.run(numbers=(2,)).lines == ()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"lines": 3}'])
def test_a_plan_that_nobody_can_read_tells_of_no_lesson(content: str, refit: Refit) -> None:
    refit.files.refit.write_text(content)
    assert read_soft_target_report(refit.files) == []


@pytest.mark.parametrize("asked", [{"pseudo_labels": 0.0}, {"distill": 0.0}])
def test_a_lesson_that_is_none_is_refused_before_anything_is_trained(asked: dict[str, float], refit: Refit) -> None:
    with pytest.raises(UsageError, match="0 is no share"):
        refit.run(numbers=(1,), **asked)
    assert refit.trained == []


def test_a_lesson_that_cannot_be_made_leaves_the_plain_refit_and_is_told_at_the_end(
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


def test_what_was_trained_with_another_lesson_is_trained_anew(refit: Refit) -> None:
    refit.run(numbers=(1,), distill=0.3)
    refit.run(numbers=(1,), distill=0.5)
    assert refit.trained == [(1, fold, "distilled") for fold in range(5)]


def test_what_was_trained_with_nobody_knows_which_lesson_is_trained_anew(refit: Refit) -> None:
    refit.run(numbers=(1,), distill=0.3)
    refit.files.get_trial_files(1).get_refit_files("distilled").origin.write_text("{")
    refit.run(numbers=(1,), distill=0.3)
    assert refit.trained == [(1, fold, "distilled") for fold in range(5)]


def test_the_lesson_reaches_the_folds_that_are_taught_and_no_others(refit: Refit) -> None:
    lessons: dict[str, set[Any]] = {}

    def task(payload: Any, context: Any) -> dict[str, Any]:
        lessons.setdefault(payload["refit_kind"], set()).add(payload["soft_targets"])
        return studies.quick_fold(payload, context)

    refit.task = task
    refit.run(numbers=(1,), distill=0.3)
    assert lessons["refit"] == {None}
    (path,) = lessons["distilled"]
    assert set(read_arrays(Path(path))) >= {"rows", "folds", "targets"}


def test_trials_that_lack_a_fold_teach_nobody(refit: Refit) -> None:
    studies.FATES[1, 2] = lambda: {"outcome": "dead_end", "constraint": "memory", "reason": "none"}
    result = refit.run(numbers=(1,), distill=0.3)
    assert [kind for _, _, kind in refit.trained] == [REFIT] * 4
    assert result.soft_target_gains == {}
    assert "distilled: no trial has all folds, so none can be a teacher" in refit.notes


def test_status_tells_how_far_a_refit_has_come(refit: Refit) -> None:
    def told() -> list[str]:
        lines = render_status(read_study(refit.files), refit.files, driver=None, top=1)
        return [line for line in lines if isinstance(line, str) and line.startswith("refit of")]

    assert told() == []
    during = []

    def task(payload: Any, context: Any) -> dict[str, Any]:
        during.append(told())
        return studies.quick_fold(payload, context)

    refit.task = task
    studies.FATES[2, 3] = lambda: {"outcome": "dead_end", "constraint": "memory", "reason": "none"}
    refit.run(numbers=(1, 2), distill=0.3)
    assert during[0] == ["refit of trials 1, 2: 2 of 10 folds trained, not finished"]
    assert during[5] == ["refit of trials 1, 2: 7 of 10 folds trained, not finished"]
    assert told() == [
        "refit of trials 1, 2: 9 of 10 folds trained, finished, 1 could not be trained",
        "refit of trials 1, 2, distilled: 5 of 10 folds trained",
    ]
    refit.files.refit.write_text("[]")
    assert told() == []
