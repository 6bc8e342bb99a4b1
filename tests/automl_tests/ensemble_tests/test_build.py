"""From trained trials to the submission."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import log_loss

from automl.artifacts import StudyFiles, read_arrays, write_arrays
from automl.config import AugmentConfig
from automl.data.changed import record_file_sizes
from automl.data.competition import Competition
from automl.decisions.rules import parse_rule
from automl.decisions.temperature import apply_temperature
from automl.ensemble import predictor as predictor_module
from automl.ensemble.apply import predict_ensemble
from automl.ensemble.candidates import Candidate
from automl.ensemble.ensemble_recipe import parse_recipe
from automl.ensemble.ensemble_result import EnsembleResult
from automl.ensemble.predictor import Predictor
from automl.errors import DataError, NoUsableModelError, UsageError
from automl.metrics.registry import METRICS
from automl.submission.decide import get_deciding_metric
from automl.submission.write import check_submission, write_submission
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.small_studies import (
    N_TEST,
    N_TRAIN,
    SIDE,
    TrainedStudy,
)


@pytest.fixture
def copied(study: TrainedStudy, tmp_path: Path) -> TrainedStudy:
    """The study with trials to damage."""
    files = StudyFiles(tmp_path / "copy")
    shutil.copytree(study.files.root, files.root, ignore=shutil.ignore_patterns("predictions"))
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
    mean = np.zeros((N_TEST, 2))
    for member in result.members:
        test = read_arrays(study.files.get_trial_files(member.number).test)["probs"]
        mean += member.weight * apply_temperature(test, member.temperature, Task.BINARY)
    rule = parse_rule(result.recipe.rule, get_deciding_metric(study.competition), study.competition.scorer.context)
    expected = rule(mean)[:, 1]
    assert submitted(tmp_path / "s.csv") == pytest.approx(expected, rel=1e-4)
    assert sum(member.weight for member in result.members) == pytest.approx(1.0)
    assert result.views == ("identity",)
    assert result.score == result.score_without_tta


def test_the_same_trials_give_the_same_bytes(study: TrainedStudy, tmp_path: Path) -> None:
    first = study.build(tmp_path / "first.csv", tta="shifts")
    second = study.build(tmp_path / "second.csv", tta="shifts")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    assert untimed(first) == untimed(second)


def untimed(result: EnsembleResult) -> EnsembleResult:
    """The result without what depends on the clock."""
    members = tuple(replace(member, seconds_per_image=0.0) for member in result.members)
    recipe = replace(result.recipe, members=members, drop_order=())
    return replace(result, seconds=0.0, submission=Path(), recipe=recipe)


@pytest.fixture
def model_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each call of a model."""
    calls: list[int] = []
    really = predictor_module.predict_and_time

    def counted(model: Any, views: Any, *rest: Any, **named: Any) -> Any:
        calls.append(1)
        return really(model, views, *rest, **named)

    monkeypatch.setattr(predictor_module, "predict_and_time", counted)
    return calls


def test_a_second_ensemble_runs_no_model_again(copied: TrainedStudy, tmp_path: Path, model_calls: list[int]) -> None:
    copied.build(tmp_path / "first.csv", tta="shifts")
    assert model_calls
    model_calls.clear()
    copied.build(tmp_path / "second.csv", tta="shifts")
    assert not model_calls
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()


def test_an_interrupted_ensemble_goes_on_where_it_stopped(
    copied: TrainedStudy, tmp_path: Path, model_calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied.build(tmp_path / "undisturbed.csv", tta="shifts")
    n_undisturbed = len(model_calls)
    model_calls.clear()
    shutil.rmtree(copied.files.predictions)
    really, left = predictor_module.predict_and_time, [n_undisturbed // 2]

    def interrupted(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return really(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(predictor_module, "predict_and_time", interrupted)
        with pytest.raises(KeyboardInterrupt):
            copied.build(tmp_path / "resumed.csv", tta="shifts")
    n_first = len(model_calls)
    assert 0 < n_first < n_undisturbed
    copied.build(tmp_path / "resumed.csv", tta="shifts")
    assert len(model_calls) == n_undisturbed
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()


def test_the_result_is_written_beside_the_study(study: TrainedStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv", tta="shifts")
    document = json.loads(study.files.ensemble.read_text())
    assert document["score"] == result.score
    assert [member["number"] for member in document["members"]] == [member.number for member in result.members]
    assert document["views"] == ["identity", "up", "down", "left", "right"]
    assert document["submission"] == str(tmp_path / "s.csv")
    assert document["submission_digest"] == hashlib.sha256((tmp_path / "s.csv").read_bytes()).hexdigest()
    assert document["device"] == "cpu"
    assert document["score_without_tta"] != document["score"]


def test_a_busy_moment_makes_no_member_slower_than_its_like(
    copied: TrainedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, paces = predictor_module.predict_and_time, iter((0.4, 0.03))
    monkeypatch.setattr(
        predictor_module, "predict_and_time", lambda *given, **named: (really(*given, **named)[0], next(paces, 0.01))
    )
    result = copied.build(tmp_path / "s.csv", tta="none")
    backbones = [member.config.model.backbone for member in result.recipe.members]
    assert backbones.count("test_byobnet") == 2
    seconds = {(own.config.model.backbone, own.seconds_per_image) for own in result.recipe.members}
    assert len(seconds) == len(set(backbones))
    assert 0.4 not in [own.seconds_per_image for own in result.recipe.members if backbones[0] == "test_byobnet"]


def lightly_augmented(study: TrainedStudy) -> TrainedStudy:
    """The same trials, as if their training had shown them mirrored images and crops."""
    light = AugmentConfig(policy="light")
    candidates = [replace(own, config=replace(own.config, augment=light)) for own in study.candidates]
    return replace(study, candidates=candidates)


def test_auto_leaves_views_out_that_do_not_help(study: TrainedStudy, tmp_path: Path) -> None:
    """The classes are left and right, and yet the competition allows flips."""
    result = lightly_augmented(study).build(tmp_path / "auto.csv", tta="auto")
    study.build(tmp_path / "none.csv", tta="none")
    assert "mirror" not in result.views
    assert any(note.startswith("views:") and "mirror" in note for note in result.notes)
    if result.tta == "none":
        assert (tmp_path / "auto.csv").read_bytes() == (tmp_path / "none.csv").read_bytes()


def test_auto_tries_no_view_that_training_has_not_shown(
    study: TrainedStudy, tmp_path: Path, model_calls: list[int]
) -> None:
    fresh = replace(study, files=StudyFiles(tmp_path / "copy"))
    shutil.copytree(study.files.root, fresh.files.root, ignore=shutil.ignore_patterns("predictions"))
    result = fresh.build(tmp_path / "s.csv", tta="auto")
    assert result.tta == "none"
    assert result.notes == ("views: none, as no member's training has shown it any that could be tried",)


def test_requested_views_are_used_though_they_worsen_the_score(study: TrainedStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv", tta="flips")
    assert result.tta == "flips"
    assert result.score > result.score_without_tta
    assert any("worsen" in note for note in result.notes)
    assert submitted(tmp_path / "s.csv") == pytest.approx(np.full(N_TEST, 0.5), abs=0.2)  # left and right cancel


def test_no_mirror_is_tried_where_flips_are_forbidden(study: TrainedStudy, tmp_path: Path) -> None:
    unflippable = replace(study.competition, flips=False)
    result = lightly_augmented(study).build(tmp_path / "s.csv", tta="auto", competition=unflippable)
    assert any("crops" in note for note in result.notes)
    assert not any("mirror" in note for note in result.notes)
    with pytest.raises(UsageError, match="flips"):
        study.build(tmp_path / "s.csv", tta="flips", competition=unflippable)


def test_no_more_members_than_requested(study: TrainedStudy, tmp_path: Path) -> None:
    assert len(study.build(tmp_path / "s.csv", top=1).members) == 1


def test_a_trial_of_the_same_configuration_counts_once(study: TrainedStudy, tmp_path: Path) -> None:
    best = study.candidates[0]
    again = Candidate(number=17, score=best.score, config=best.config)
    result = study.build(tmp_path / "s.csv", candidates=[*study.candidates, again])
    assert 17 not in [member.number for member in result.members]
    assert f"trial 17 is left out: it has the configuration of trial {best.number}" in result.notes


def test_a_damaged_trial_is_left_out_with_a_note(copied: TrainedStudy, tmp_path: Path) -> None:
    damaged, *sound = copied.candidates
    copied.files.get_trial_files(damaged.number).oof.write_bytes(b"not an archive")
    result = copied.build(tmp_path / "s.csv")
    assert {member.number for member in result.members} <= {candidate.number for candidate in sound}
    assert result.n_pool == 2
    assert any(note.startswith(f"trial {damaged.number} is left out") for note in result.notes)


def test_a_trial_without_weights_is_left_out_only_where_views_need_them(copied: TrainedStudy, tmp_path: Path) -> None:
    best = copied.candidates[0].number
    copied.files.get_trial_files(best).get_weights_path(0).unlink()
    assert best in [member.number for member in copied.build(tmp_path / "none.csv", tta="none").members]
    result = copied.build(tmp_path / "shifts.csv", tta="shifts")
    assert best not in [member.number for member in result.members]
    assert any("fold0.safetensors" in note for note in result.notes)


def test_nothing_usable_is_an_error_and_the_earlier_submission_stays(copied: TrainedStudy, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    out.write_text("earlier")
    for candidate in copied.candidates:
        copied.files.get_trial_files(candidate.number).get_weights_path(1).write_bytes(b"damaged")
    with pytest.raises(NoUsableModelError):
        copied.build(out, tta="shifts")
    for candidate in copied.candidates:
        copied.files.get_trial_files(candidate.number).test.unlink()
    with pytest.raises(NoUsableModelError):
        copied.build(out)
    assert out.read_text() == "earlier"


def test_members_are_compared_on_the_rows_they_share(copied: TrainedStudy, tmp_path: Path) -> None:
    """One trial has predicted the rows of one fold alone: all are scored there."""
    oof = copied.files.get_trial_files(copied.candidates[1].number).oof
    arrays = read_arrays(oof)
    of_first_fold = arrays["folds"] == 0
    write_arrays(oof, **{name: array[of_first_fold] if array.ndim else array for name, array in arrays.items()})
    alone = copied.build(tmp_path / "alone.csv", candidates=copied.candidates[1:2])
    assert (alone.n_pool, alone.n_rows) == (1, 30)
    both = copied.build(tmp_path / "both.csv", candidates=copied.candidates[:2])
    assert (both.n_pool, both.n_rows) == (2, 30)
    assert any("30 rows" in note for note in both.notes)


def test_a_trial_that_shares_too_few_rows_is_left_out(copied: TrainedStudy, tmp_path: Path) -> None:
    odd = copied.candidates[2].number
    oof = copied.files.get_trial_files(odd).oof
    arrays = read_arrays(oof)
    write_arrays(oof, **{name: array[:4] if array.ndim else array for name, array in arrays.items()})
    result = copied.build(tmp_path / "s.csv")
    assert (result.n_pool, result.n_rows) == (2, 60)
    assert any(note.startswith(f"trial {odd} is left out") for note in result.notes)


def test_a_rank_blend_is_submitted_as_ranks(study: TrainedStudy, tmp_path: Path) -> None:
    ranking = replace(study.competition, metric=METRICS["roc_auc"], metric_given=True)
    result = study.build(tmp_path / "s.csv", competition=ranking, candidates=study.candidates[:1])
    assert result.recipe.by_rank
    assert sorted(submitted(tmp_path / "s.csv")) == pytest.approx(np.arange(N_TEST) / (N_TEST - 1))


def test_the_recipe_repeats_the_submission(study: TrainedStudy, tmp_path: Path) -> None:
    study.build(tmp_path / "s.csv", tta="shifts")
    recipe = parse_recipe(json.loads(study.files.ensemble.read_text())["recipe"])
    rule = parse_rule(recipe.rule, get_deciding_metric(study.competition), study.competition.scorer.context)
    predictor = Predictor(study.competition, study.cache, device="cpu", cache_folder=None, n_threads=recipe.n_threads)
    probs = predict_ensemble(
        recipe, lambda member, fold: study.files.get_trial_files(member.number).get_weights_path(fold), predictor
    )
    write_submission(study.competition, probs, tmp_path / "again.csv", rule)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "s.csv").read_bytes()


def test_figures_stand_beside_the_score(study: TrainedStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv", tta="shifts")
    targets = study.competition.targets
    own = {}
    for candidate in study.candidates:
        oof = read_arrays(study.files.get_trial_files(candidate.number).oof)
        own[candidate.number] = log_loss(targets[oof["rows"]], oof["probs"][:, 1])
    assert (result.n_trials, result.n_pool) == (3, 3)
    assert result.best_single_score == pytest.approx(min(own.values()), rel=1e-5)
    assert own[result.best_single_number] == min(own.values())
    assert result.optimism >= 0.0
    assert [result.member_scores[member.name] for member in result.members] == pytest.approx(
        [own[m.number] for m in result.members]
    )
    assert list(result.view_gains) == ["up", "down", "left", "right"]
    assert np.shape(result.error_correlations) == (len(result.members),) * 2
    assert all(member.seconds_per_image > 0 for member in result.members)


def test_members_come_from_the_best_trials_and_luck_from_all(study: TrainedStudy, tmp_path: Path) -> None:
    result = study.build(tmp_path / "s.csv", top=1, pool=1)
    assert [member.number for member in result.members] == [study.candidates[0].number]
    assert (result.n_pool, result.n_trials) == (1, 3)


def test_a_short_time_leaves_out_views_then_members_and_scores_what_is_left(
    study: TrainedStudy, tmp_path: Path
) -> None:
    whole = study.build(tmp_path / "whole.csv", tta="shifts")
    cheapest = min(member.cost / 5 for member in whole.members)
    minutes = 1.01 * cheapest * 1000 / 60
    result = study.build(tmp_path / "s.csv", tta="shifts", max_minutes=minutes * 1e-6, n_images=1000)
    assert (len(result.members), result.views, result.tta) == (1, ("identity",), "none")
    assert result.members[0].weight == 1.0
    oof = read_arrays(study.files.get_trial_files(result.members[0].number).oof)
    assert result.member_scores[result.members[0].name] == pytest.approx(
        log_loss(study.competition.targets[oof["rows"]], oof["probs"][:, 1]), rel=1e-5
    )
    assert result.score_without_tta == result.score
    assert (whole.is_trimmed, result.is_trimmed) == (False, True)
    line = next(note for note in result.notes if note.startswith("time:"))
    assert "left out" in line and "for 1000 test images" in line and "trial" in line
    document = json.loads(study.files.ensemble.read_text())
    assert [member["views"] for member in document["recipe"]["members"]] == [["identity"]]


def test_enough_time_leaves_nothing_out(study: TrainedStudy, tmp_path: Path) -> None:
    whole = study.build(tmp_path / "whole.csv", tta="shifts")
    result = study.build(tmp_path / "s.csv", tta="shifts", max_minutes=1000.0)
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert result.score == whole.score
    assert any("nothing is left out" in note for note in result.notes)
    assert not result.is_trimmed


def test_test_images_that_changed_since_the_search_are_named_and_seen_anew(
    copied: TrainedStudy, tmp_path: Path
) -> None:
    root = tmp_path / "moved"
    shutil.copytree(copied.competition.root, root)
    competition = replace(
        copied.competition,
        root=root,
        image_paths=tuple(root / path.name for path in copied.competition.image_paths),
        test_paths=tuple(root / path.name for path in copied.competition.test_paths),
    )
    record_file_sizes(competition, "test", copied.files.test_sizes)
    shutil.rmtree(copied.files.cache, ignore_errors=True)
    before = submitted_by(copied, competition, tmp_path / "before.csv")
    first, second, *_ = competition.test_paths
    Image.new("RGB", (SIDE, SIDE), (90, 90, 90)).save(first)
    after = submitted_by(copied, competition, tmp_path / "after.csv")
    notes = json.loads(copied.files.ensemble.read_text())["notes"]
    assert f"1 of {N_TEST} test images changed since the search: {first.name}; all members see them anew" in notes
    assert after[0] != before[0]
    assert after[1:] == pytest.approx(before[1:], rel=1e-5)
    second.unlink()
    with pytest.raises(DataError, match=second.name):
        submitted_by(copied, competition, tmp_path / "gone.csv")


def submitted_by(study: TrainedStudy, competition: Competition, out: Path) -> np.ndarray:
    study.build(out, competition=competition)
    return submitted(out)


def test_a_member_without_weights_answers_with_its_files(copied: TrainedStudy, tmp_path: Path) -> None:
    whole = copied.build(tmp_path / "whole.csv")
    for fold in (0, 1):
        copied.files.get_trial_files(whole.members[0].number).get_weights_path(fold).unlink()
    result = copied.build(tmp_path / "s.csv")
    assert submitted(tmp_path / "s.csv") == pytest.approx(submitted(tmp_path / "whole.csv"), rel=1e-4)
    assert [member.weight for member in result.members] == [member.weight for member in whole.members]
