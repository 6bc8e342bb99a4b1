"""What a trained trial predicts, through its files and through views."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import TrialFiles, read_arrays, write_arrays
from automl.ensemble.predict import Member, predict_oof, predict_test, read_member
from automl.ensemble.tta import GROUPS
from automl.errors import StorageError
from automl.training.inference import predict_probs
from automl.training.models import load_trained
from tests.automl_tests.ensemble_tests.worlds import SIDE, TrainedStudy


def member_of(study: TrainedStudy, files: TrialFiles | None = None) -> Member:
    best = study.candidates[0]
    files = files or study.files.trial(best.number)
    return read_member(best.number, best.score, best.config, files, competition=study.competition, folds=study.folds)


@pytest.fixture
def copied(study: TrainedStudy, tmp_path: Path) -> TrialFiles:
    """A trial's files to damage."""
    shutil.copytree(study.files.trial(study.candidates[0].number).root, tmp_path / "trial")
    return TrialFiles(tmp_path / "trial")


def test_a_member_is_read_with_its_rows_ascending_and_its_score_comes_out_again(study: TrainedStudy) -> None:
    member = member_of(study)
    assert np.array_equal(member.rows, np.flatnonzero(np.isin(study.folds, [0, 1])))
    assert np.array_equal(member.folds, study.folds[member.rows])
    assert member.trained_folds == (0, 1)
    score = study.competition.metric(study.competition.targets[member.rows], member.oof)
    assert score == pytest.approx(member.score)


def test_views_are_averaged_over_views_and_folds(study: TrainedStudy) -> None:
    """Against every view and fold predicted one by one, the identity included."""
    member, views = member_of(study), GROUPS["shifts"]
    train, test = study.cache.pixels("train", SIDE), study.cache.pixels("test", SIDE)
    expected_oof, expected_test = np.zeros_like(member.oof), np.zeros_like(member.test)
    for fold in (0, 1):
        files = study.files.trial(member.number)
        model = load_trained(member.config, files, fold, competition=study.competition, device="cpu")
        rows = np.flatnonzero(study.folds == fold)
        for view in views:
            look = {"image_size": SIDE, "device": "cpu", "view": view.apply}
            expected_oof[np.searchsorted(member.rows, rows)] += predict_probs(model, train, rows, **look) / 5
            expected_test += predict_probs(model, test, np.arange(len(test)), **look) / 10
    assert predict_oof(member, views, train, device="cpu") == pytest.approx(expected_oof, abs=1e-5)
    assert predict_test(member, views, test, device="cpu") == pytest.approx(expected_test, abs=1e-5)


def test_a_member_on_some_rows_predicts_the_same_there(study: TrainedStudy) -> None:
    member, views = member_of(study), GROUPS["flips"]
    some = member.on_rows(member.rows[::4])
    train = study.cache.pixels("train", SIDE)
    expected = predict_oof(member, views, train, device="cpu")[::4]
    assert np.array_equal(some.oof, member.oof[::4])
    assert predict_oof(some, views, train, device="cpu") == pytest.approx(expected, abs=1e-5)
    assert some.trained_folds == member.trained_folds


@pytest.mark.parametrize("name", ["oof", "test"])
def test_missing_and_damaged_predictions_are_named(study: TrainedStudy, copied: TrialFiles, name: str) -> None:
    path = getattr(copied, name)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StorageError, match=f"{name}.npz"):
        member_of(study, copied)
    path.unlink()
    with pytest.raises(StorageError, match=f"{name}.npz"):
        member_of(study, copied)


@pytest.mark.parametrize("changed", ["rows", "folds", "probs", "nan", "twice", "none", "float rows"])
def test_predictions_of_another_competition_or_split_are_refused(
    study: TrainedStudy, copied: TrialFiles, changed: str
) -> None:
    arrays = read_arrays(copied.oof)
    rows, folds, probs = arrays["rows"], arrays["folds"], arrays["probs"]
    changes = {
        "rows": {"rows": rows + len(study.folds)},
        "folds": {"folds": 1 - folds},
        "probs": {"probs": probs[:, :1]},
        "nan": {"probs": np.where(probs == probs[0, 0], np.nan, probs)},
        "twice": {"rows": np.where(rows == rows[1], rows[0], rows)},
        "none": {"rows": rows[:0], "folds": folds[:0], "probs": probs[:0]},
        "float rows": {"rows": rows.astype(float)},
    }
    write_arrays(copied.oof, **{**arrays, **changes[changed]})
    with pytest.raises(StorageError, match="not of this competition and split"):
        member_of(study, copied)


def test_test_predictions_for_other_images_are_refused(study: TrainedStudy, copied: TrialFiles) -> None:
    write_arrays(copied.test, probs=read_arrays(copied.test)["probs"][1:])
    with pytest.raises(StorageError, match="not of this competition"):
        member_of(study, copied)


def test_a_member_whose_weights_are_gone_cannot_look_through_views(study: TrainedStudy, copied: TrialFiles) -> None:
    member = replace(member_of(study), files=copied)
    copied.weights(1).unlink()
    with pytest.raises(StorageError, match=r"fold1\.safetensors"):
        predict_oof(member, GROUPS["flips"], study.cache.pixels("train", SIDE), device="cpu")
