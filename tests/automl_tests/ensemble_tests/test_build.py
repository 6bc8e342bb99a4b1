"""From trained trials to the submission."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_arrays, write_arrays
from automl.data.competition import SubmissionKind
from automl.ensemble.build import Candidate
from automl.ensemble.choose import Looking, choose
from automl.ensemble.deciding import blends_ranks
from automl.ensemble.pool import read_pool
from automl.ensemble.predict import predict_oof
from automl.ensemble.submission import check_submission
from automl.ensemble.tta import GROUPS
from automl.ensemble.weights import ranks_of
from automl.errors import NoUsableModelError, UsageError
from automl.metrics import METRICS
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.worlds import (
    N_TEST,
    N_TRAIN,
    SIDE,
    TrainedStudy,
    competition_of,
    one_family_probs,
)


@pytest.fixture
def copied(study: TrainedStudy, tmp_path: Path) -> TrainedStudy:
    """The study with trials to damage."""
    files = StudyFiles(tmp_path / "copy")
    shutil.copytree(study.files.root, files.root)
    return replace(study, files=files)


def submitted(path: Path) -> np.ndarray:
    with path.open(newline="") as file:
        return np.array([float(row["label"]) for row in csv.DictReader(file)])


def test_the_ensemble_learns_what_its_members_learned(study: TrainedStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv")
    assert result.score < 0.9 * np.log(2)
    check_submission(study.competition, tmp_path / "s.csv")
    right = np.arange(N_TRAIN, N_TRAIN + N_TEST) % 2
    assert ((submitted(tmp_path / "s.csv") > 0.5) == right).mean() > 0.8


def test_without_views_the_submission_is_the_weighted_mean_of_the_trials_own_files(
    study: TrainedStudy, tmp_path: Path
) -> None:
    result = study.build(tmp_path / "s.csv", tta="none")
    expected = sum(
        member.weight * read_arrays(study.files.trial(member.number).test)["probs"][:, 1].astype(float)
        for member in result.members
    )
    assert submitted(tmp_path / "s.csv") == pytest.approx(expected, rel=1e-8)
    assert sum(member.weight for member in result.members) == pytest.approx(1.0)
    assert result.views == ("identity",)
    assert result.score == result.score_without_tta


def test_the_same_trials_give_the_same_bytes(study: TrainedStudy, tmp_path: Path) -> None:
    first = study.build(tmp_path / "first.csv", tta="shifts")
    second = study.build(tmp_path / "second.csv", tta="shifts")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    assert replace(first, seconds=0.0, submission=Path()) == replace(second, seconds=0.0, submission=Path())


def test_the_result_is_written_beside_the_study(study: TrainedStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv", tta="shifts")
    document = json.loads(study.files.ensemble.read_text())
    assert document["score"] == result.score
    assert [member["number"] for member in document["members"]] == [member.number for member in result.members]
    assert document["views"] == ["identity", "up", "down", "left", "right"]
    assert document["submission"] == str(tmp_path / "s.csv")
    assert document["score_without_tta"] != document["score"]


def test_auto_leaves_views_out_that_worsen_the_score(study: TrainedStudy, tmp_path: Path) -> None:
    """The classes are left and right, and yet the competition is said to allow flips."""
    result = study.build(tmp_path / "auto.csv", tta="auto")
    study.build(tmp_path / "none.csv", tta="none")
    assert result.tta == "none"
    assert any("flips" in note and "left out" in note for note in result.notes)
    assert (tmp_path / "auto.csv").read_bytes() == (tmp_path / "none.csv").read_bytes()


def test_views_that_were_asked_for_are_used_though_they_worsen_the_score(study: TrainedStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv", tta="flips")
    assert result.tta == "flips"
    assert result.score > result.score_without_tta
    assert any("worsen" in note for note in result.notes)
    assert submitted(tmp_path / "s.csv") == pytest.approx(np.full(N_TEST, 0.5), abs=0.2)  # left and right cancel


def test_auto_shifts_where_flips_are_forbidden(study: TrainedStudy, tmp_path: Path) -> None:
    lines: list[str] = []
    unflippable = replace(study.competition, flips=False)
    result = study.build(tmp_path / "s.csv", tta="auto", competition=unflippable, on_progress=lines.append)
    assert result.tta in ("shifts", "none")
    assert any("in 5 views" in line for line in lines)
    with pytest.raises(UsageError, match="flips"):
        study.build(tmp_path / "s.csv", tta="flips", competition=unflippable)


def test_no_more_members_than_asked(study: TrainedStudy, tmp_path: Path) -> None:
    assert len(study.build(tmp_path / "s.csv", top=1).members) == 1


def test_views_are_judged_on_the_members_of_every_split(study: TrainedStudy) -> None:
    """One member is asked for, but not the same one wins in all splits: each must have looked through the views."""
    lines: list[str] = []
    read = read_pool(study.candidates, study.files, study.competition, study.folds, note=lines.append)
    right = np.eye(study.competition.n_classes)[study.competition.targets[read[0].rows]]
    knows = np.arange(len(right)) % 2 == 0  # one member knows every other row, its rival the rest
    pool = [
        replace(read[0], oof=np.where(knows[:, None], right, 0.5)),
        replace(read[1], oof=np.where(knows[:, None], 0.5, right)),
    ]
    looking = Looking(study.cache, "cpu", lines.append)
    views = GROUPS["shifts"]
    choice = choose(pool, views, competition=study.competition, looking=looking, max_members=1, note=lines.append)
    assert np.count_nonzero(choice.blend.weights) == 1
    assert np.count_nonzero(choice.blend.split_weights.sum(axis=0)) > 1
    pixels = study.cache.pixels("train", SIDE)
    seen = np.stack([predict_oof(member, views, pixels, device="cpu") for member in pool])
    targets = study.competition.targets[pool[0].rows]
    expected = study.competition.metric(targets, choice.blend.cross_fitted_probs(seen))
    assert choice.with_views.score == pytest.approx(expected)


def test_a_trial_of_the_same_configuration_counts_once(study: TrainedStudy, tmp_path: Path) -> None:
    best = study.candidates[0]
    again = Candidate(number=17, score=best.score, config=best.config)
    result = study.build(tmp_path / "s.csv", candidates=[*study.candidates, again])
    assert 17 not in [member.number for member in result.members]
    assert f"trial 17 is left out: it has the configuration of trial {best.number}" in result.notes


def test_a_damaged_trial_is_left_out_with_a_note(copied: TrainedStudy, tmp_path: Path) -> None:
    damaged, *sound = copied.candidates
    copied.files.trial(damaged.number).oof.write_bytes(b"not an archive")
    result = copied.build(tmp_path / "s.csv")
    assert {member.number for member in result.members} <= {candidate.number for candidate in sound}
    assert result.n_pool == 2
    assert any(note.startswith(f"trial {damaged.number} is left out") for note in result.notes)


def test_a_trial_without_weights_is_left_out_only_where_views_need_them(copied: TrainedStudy, tmp_path: Path) -> None:
    best = copied.candidates[0].number
    copied.files.trial(best).weights(0).unlink()
    assert best in [member.number for member in copied.build(tmp_path / "none.csv", tta="none").members]
    result = copied.build(tmp_path / "shifts.csv", tta="shifts")
    assert best not in [member.number for member in result.members]
    assert any("fold0.safetensors" in note for note in result.notes)


def test_nothing_usable_is_an_error_and_the_earlier_submission_stays(copied: TrainedStudy, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    out.write_text("earlier")
    for candidate in copied.candidates:
        copied.files.trial(candidate.number).weights(1).write_bytes(b"damaged")
    with pytest.raises(NoUsableModelError):
        copied.build(out, tta="shifts")
    for candidate in copied.candidates:
        copied.files.trial(candidate.number).test.unlink()
    with pytest.raises(NoUsableModelError):
        copied.build(out)
    assert out.read_text() == "earlier"


def test_members_are_compared_on_the_rows_they_share(copied: TrainedStudy, tmp_path: Path) -> None:
    """One trial has predicted the rows of one fold alone: all are scored there."""
    oof = copied.files.trial(copied.candidates[1].number).oof
    arrays = read_arrays(oof)
    of_first_fold = arrays["folds"] == 0
    write_arrays(oof, **{name: array[of_first_fold] for name, array in arrays.items()})
    alone = copied.build(tmp_path / "alone.csv", candidates=copied.candidates[1:2])
    assert (alone.n_pool, alone.n_rows) == (1, 30)
    both = copied.build(tmp_path / "both.csv", candidates=copied.candidates[:2])
    assert (both.n_pool, both.n_rows) == (2, 30)
    assert any("30 rows" in note for note in both.notes)


def test_a_trial_that_shares_too_few_rows_is_left_out(copied: TrainedStudy, tmp_path: Path) -> None:
    odd = copied.candidates[2].number
    oof = copied.files.trial(odd).oof
    arrays = read_arrays(oof)
    write_arrays(oof, **{name: array[:4] for name, array in arrays.items()})
    result = copied.build(tmp_path / "s.csv")
    assert (result.n_pool, result.n_rows) == (2, 60)
    assert any(note.startswith(f"trial {odd} is left out") for note in result.notes)


def test_ranks_are_averaged_only_where_columns_are_independent_and_the_user_named_a_ranking_metric() -> None:
    competition = competition_of(SubmissionKind.PROBABILITY)
    ranking = replace(competition, metric=METRICS["roc_auc"], metric_given=True)
    assert blends_ranks(ranking)
    assert not blends_ranks(competition)
    assert not blends_ranks(replace(ranking, metric_given=False))
    three = replace(ranking, classes=("a", "b", "c"))
    assert not blends_ranks(three)
    assert blends_ranks(replace(three, task=Task.MULTILABEL))
    assert not blends_ranks(replace(three, task=Task.MULTILABEL, metric=METRICS["log_loss"]))
    for kind in (SubmissionKind.LABEL, SubmissionKind.LABELS, SubmissionKind.RANKING):
        decided = replace(ranking, submission=competition_of(kind).submission)
        assert not blends_ranks(decided)
        assert not blends_ranks(replace(decided, task=Task.MULTILABEL))


def test_a_rank_blend_is_scored_on_ranks(study: TrainedStudy) -> None:
    """Two made-up members of which one is much more confident than the other."""
    ranking = replace(study.competition, metric=METRICS["roc_auc"], metric_given=True)
    real = read_pool(study.candidates[:1], study.files, ranking, study.folds, note=print)[0]
    targets = ranking.targets[real.rows]
    probs = one_family_probs(targets, 2, np.random.default_rng(0), n_models=2)
    probs[0] = probs[0] ** 20 / (probs[0] ** 20).sum(axis=1, keepdims=True)
    pool = [replace(real, number=number, oof=member) for number, member in enumerate(probs)]
    looking = Looking(study.cache, "cpu", print)
    choice = choose(pool, GROUPS["none"], competition=ranking, looking=looking, max_members=2, note=print)
    by_rank = ranking.metric(targets, choice.blend.cross_fitted_probs(ranks_of(probs)))
    assert choice.plain.score == pytest.approx(by_rank)
    assert choice.plain.score != pytest.approx(ranking.metric(targets, choice.blend.cross_fitted_probs(probs)))


def test_a_rank_blend_is_submitted_as_ranks(study: TrainedStudy, tmp_path: Path) -> None:
    ranking = replace(study.competition, metric=METRICS["roc_auc"], metric_given=True)
    result = study.build(tmp_path / "s.csv", competition=ranking, candidates=study.candidates[:1])
    assert result.by_rank
    assert sorted(submitted(tmp_path / "s.csv")) == pytest.approx(np.arange(N_TEST) / (N_TEST - 1))
