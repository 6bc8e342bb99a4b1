"""What a trained trial predicts, through its files and through views."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.artifacts import StudyFiles, TrialFiles, read_arrays, write_arrays
from automl.data.folds import save_folds
from automl.ensemble.candidates import Candidate, Member, predict_mean, predict_oof, predict_test, read_member
from automl.ensemble.predictor import Predictor
from automl.ensemble.tta import IDENTITY, MIRROR, TTA_GROUPS, VIEWS
from automl.errors import StorageError
from automl.training.checkpoints import serialize_model
from automl.training.fold_outputs import FoldResult, load_fold, save_fold
from automl.training.inference import predict_probs
from automl.training.network.create import load_trained
from tests.automl_tests.ensemble_tests.worlds import N_TEST, N_TRAIN, SIDE, TrainedStudy


def member_of(study: TrainedStudy, files: TrialFiles | None = None, kind: str = "search", **changes: Any) -> Member:
    best = replace(study.candidates[0], member_kind=kind)
    files = files or study.files.get_trial_files(best.number)
    given = {"competition": study.competition, "folds": study.folds, **changes}
    return read_member(best, files, **given)


def create_predictor(study: TrainedStudy) -> Predictor:
    return Predictor(study.competition, study.cache, device="cpu", cache_folder=None)


@pytest.fixture
def copied(study: TrainedStudy, tmp_path: Path) -> TrialFiles:
    """A trial's files to damage."""
    shutil.copytree(study.files.get_trial_files(study.candidates[0].number).root, tmp_path / "trial")
    return TrialFiles(tmp_path / "trial")


def put_fold(study: TrainedStudy, files: TrialFiles, fold: int, *, shade: float = 0.25) -> FoldResult:
    """A finished fold of a network that says the same of every image, with the weights of fold 0."""
    own = study.files.get_trial_files(study.candidates[0].number)
    model = load_trained(
        study.candidates[0].config, own.get_weights_path(0), competition=study.competition, device="cpu"
    )
    rows = np.flatnonzero(study.folds == fold)
    finished = FoldResult(
        rows=rows,
        probs=np.tile(np.float32([1 - shade, shade]), (len(rows), 1)),
        test_probs=np.tile(np.float32([shade, 1 - shade]), (N_TEST, 1)),
        history=[],
        micro_batch=10,
        n_parameters=5,
    )
    save_fold(files, fold, model, finished)
    return finished


def test_a_member_is_read_with_its_rows_ascending_and_its_score_comes_out_again(study: TrainedStudy) -> None:
    member = member_of(study)
    assert np.array_equal(member.rows, np.flatnonzero(np.isin(study.folds, [0, 1])))
    assert np.array_equal(member.folds, study.folds[member.rows])
    assert sorted(member.models) == [0, 1]
    assert member.missing_weights == ()
    assert member.name == str(member.number)
    score = study.competition.metric(study.competition.targets[member.rows], member.oof)
    assert score == pytest.approx(member.score)


def test_views_are_predicted_one_by_one_and_averaged_over_views_and_folds(study: TrainedStudy) -> None:
    """Against every view and fold predicted in a plain loop, the identity included."""
    member, views = member_of(study), TTA_GROUPS["shifts"]
    train, test = study.cache.load_pixels("train", SIDE), study.cache.load_pixels("test", SIDE)
    expected_oof, expected_test = np.zeros((5, *member.oof.shape)), np.zeros_like(member.test)
    for fold in (0, 1):
        weights = study.files.get_trial_files(member.number).get_weights_path(fold)
        model = load_trained(member.config, weights, competition=study.competition, device="cpu")
        rows = np.flatnonzero(study.folds == fold)
        for index, view in enumerate(views):
            look = {"image_size": SIDE, "device": "cpu", "view": lambda batch, view=view: view.apply(batch, SIDE)}
            expected_oof[index, np.searchsorted(member.rows, rows)] = predict_probs(model, train, rows, **look)
            expected_test += predict_probs(model, test, np.arange(len(test)), **look) / 10
    oof = predict_oof(member, views, create_predictor(study))
    assert np.array_equal(oof[0], member.oof)
    assert oof == pytest.approx(expected_oof, abs=1e-5)
    assert predict_test(member, views, create_predictor(study)) == pytest.approx(expected_test, abs=1e-5)


def test_the_identity_may_stand_anywhere_among_the_views_or_be_absent(study: TrainedStudy) -> None:
    member, predictor = member_of(study), create_predictor(study)
    one = predict_oof(member, [MIRROR], predictor)
    assert np.array_equal(predict_oof(member, [MIRROR, IDENTITY, VIEWS["up"]], predictor)[:2], [one[0], member.oof])


def test_a_member_on_some_rows_predicts_the_same_there(study: TrainedStudy) -> None:
    member, views, predictor = member_of(study), TTA_GROUPS["flips"], create_predictor(study)
    some = member.select_rows(member.rows[::4])
    assert np.array_equal(some.oof, member.oof[::4])
    assert predict_oof(some, views, predictor) == pytest.approx(predict_oof(member, views, predictor)[:, ::4], abs=1e-5)
    assert some.models == member.models


def test_a_mean_of_looks_is_over_models_and_views(study: TrainedStudy) -> None:
    member, predictor, rows = member_of(study), create_predictor(study), np.array([5, 2])
    views = TTA_GROUPS["dihedral"][:3]
    looks = [predictor.predict_views(member.models[fold], views, "test", rows).astype(np.float64) for fold in (1, 0)]
    expected = np.concatenate(looks).mean(axis=0)
    assert predict_mean([member.models[1], member.models[0]], views, predictor, rows) == pytest.approx(expected, 1e-12)


@pytest.mark.parametrize("name", ["oof", "test"])
def test_missing_and_damaged_predictions_are_named(study: TrainedStudy, copied: TrialFiles, name: str) -> None:
    path = getattr(copied, name)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StorageError, match=f"{name}.npz"):
        member_of(study, copied)
    path.unlink()
    with pytest.raises(StorageError, match=f"{name}.npz"):
        member_of(study, copied)


@pytest.mark.parametrize("changed", ["rows", "folds", "probs", "nan", "twice", "none", "float rows", "no folds"])
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
        "no folds": {},
    }
    kept = {name: array for name, array in arrays.items() if not (name == "folds" and changed == "no folds")}
    write_arrays(copied.oof, **{**kept, **changes[changed]})
    with pytest.raises(StorageError, match="not of this competition and split"):
        member_of(study, copied)


def test_test_predictions_for_other_images_are_refused(study: TrainedStudy, copied: TrialFiles) -> None:
    write_arrays(copied.test, probs=read_arrays(copied.test)["probs"][1:])
    with pytest.raises(StorageError, match="not of this competition"):
        member_of(study, copied)


def test_predictions_and_weights_of_another_order_of_classes_are_refused(study: TrainedStudy) -> None:
    turned = replace(study.competition, classes=study.competition.classes[::-1])
    with pytest.raises(StorageError, match=r"oof\.npz is of other classes, or of another order of them"):
        member_of(study, competition=turned)
    weights = study.files.get_trial_files(study.candidates[0].number).get_weights_path(0)
    with pytest.raises(StorageError, match=r"fold0\.safetensors are of other classes"):
        load_trained(study.candidates[0].config, weights, competition=turned, device="cpu")


def test_files_of_earlier_versions_name_no_classes_and_are_taken(study: TrainedStudy, copied: TrialFiles) -> None:
    for path, names in ((copied.oof, ("rows", "folds", "probs")), (copied.test, ("probs",))):
        arrays = read_arrays(path)
        assert arrays.keys() > set(names)
        write_arrays(path, **{name: arrays[name] for name in names})
    config, competition = study.candidates[0].config, study.competition
    model = load_trained(config, copied.get_weights_path(0), competition=competition, device="cpu")
    copied.get_weights_path(0).write_bytes(serialize_model(model))
    turned = replace(competition, classes=competition.classes[::-1])
    assert np.array_equal(member_of(study, copied, competition=turned).oof, member_of(study).oof)
    load_trained(config, copied.get_weights_path(0), competition=turned, device="cpu")


def test_a_member_whose_weights_are_gone_serves_with_its_files_alone(study: TrainedStudy, copied: TrialFiles) -> None:
    copied.get_weights_path(1).unlink()
    member, predictor = member_of(study, copied), create_predictor(study)
    assert member.missing_weights == (copied.get_weights_path(1),)
    assert sorted(member.models) == [0]
    assert np.array_equal(predict_oof(member, [IDENTITY], predictor)[0], member.oof)
    assert np.array_equal(predict_test(member, [IDENTITY], predictor), member.test)
    for predict in (predict_oof, predict_test):
        with pytest.raises(StorageError, match=r"fold1\.safetensors") as caught:
            predict(member, TTA_GROUPS["flips"], predictor)
        assert "automl refit" in caught.value.hint


def test_folds_that_were_trained_after_the_search_are_the_members_too(study: TrainedStudy, copied: TrialFiles) -> None:
    before = member_of(study, copied)
    late = put_fold(study, copied.get_refit_files("refit"), 2)
    member = member_of(study, copied)
    assert np.array_equal(member.rows, np.arange(N_TRAIN))
    assert np.array_equal(member.folds, study.folds)
    assert np.array_equal(member.oof[study.folds != 2], before.oof)
    assert np.array_equal(member.oof[study.folds == 2], late.probs)
    assert member.test == pytest.approx((2 * before.test + late.test_probs) / 3, abs=1e-6)
    assert member.models[2].weights == copied.get_refit_files("refit").get_weights_path(2)
    assert member.models[0] == before.models[0]
    assert np.array_equal(member_of(study, copied, refits=False).rows, before.rows)


def test_a_fold_whose_weights_were_made_again_is_that_of_the_refit(study: TrainedStudy, copied: TrialFiles) -> None:
    again = put_fold(study, copied.get_refit_files("refit"), 1)
    assert member_of(study, copied).models[1].weights == copied.get_weights_path(1)
    copied.get_weights_path(1).unlink()
    member = member_of(study, copied)
    assert member.missing_weights == ()
    assert member.models[1].weights == copied.get_refit_files("refit").get_weights_path(1)
    assert np.array_equal(member.oof[member.folds == 1], again.probs)
    assert np.array_equal(member.rows, member_of(study).rows)
    assert member.test == pytest.approx(member_of(study).test, abs=1e-6)  # which the fold is in already


def test_a_fold_of_a_refit_that_does_not_fit_is_named(study: TrainedStudy, copied: TrialFiles) -> None:
    refit = copied.get_refit_files("refit")
    put_fold(study, refit, 2)
    arrays = read_arrays(refit.get_fold_oof_path(2))
    write_arrays(refit.get_fold_oof_path(2), **{**arrays, "rows": arrays["rows"][::-1] - 1})
    with pytest.raises(StorageError, match=r"refit/fold2\.oof\.npz is not of this competition and split"):
        member_of(study, copied)


def test_a_fold_that_is_not_finished_is_no_fold(study: TrainedStudy, copied: TrialFiles) -> None:
    refit = copied.get_refit_files("refit")
    put_fold(study, refit, 2)
    refit.get_fold_oof_path(2).unlink()
    assert np.array_equal(member_of(study, copied).rows, member_of(study).rows)


@pytest.mark.parametrize("kind", ["pseudo", "distilled"])
def test_a_member_of_another_kind_has_its_own_folds_alone_and_all_of_them(
    study: TrainedStudy, copied: TrialFiles, kind: str
) -> None:
    own = copied.get_refit_files(kind)
    put_fold(study, copied.get_refit_files("refit"), 2)
    parts = [put_fold(study, own, fold, shade=0.1 + 0.1 * fold) for fold in (0, 1)]
    with pytest.raises(StorageError, match="only 2 of its 3 folds"):
        member_of(study, copied, kind)
    parts.append(put_fold(study, own, 2, shade=0.6))
    member = member_of(study, copied, kind)
    assert member.name == f"{member.number}-{kind}"
    assert np.array_equal(member.rows, np.arange(N_TRAIN))
    assert np.array_equal(member.oof[study.folds == 1], parts[1].probs)
    assert member.test == pytest.approx(np.mean([part.test_probs for part in parts], axis=0), abs=1e-6)
    assert {model.weights.parent for model in member.models.values()} == {own.root}


def test_what_a_fold_was_trained_for_comes_back_from_its_files(study: TrainedStudy, tmp_path: Path) -> None:
    files = TrialFiles(tmp_path)
    finished = put_fold(study, files, 1)
    again = load_fold(files, 1)
    assert again is not None
    assert again.classes is None
    config, own = study.candidates[0].config, study.files.get_trial_files(study.candidates[0].number)
    model = load_trained(config, own.get_weights_path(0), competition=study.competition, device="cpu")
    save_fold(files, 1, model, replace(finished, classes="abc"))
    again = load_fold(files, 1)
    assert again is not None
    assert again.classes == "abc"
    assert np.array_equal(again.probs, finished.probs)


def test_a_split_of_other_images_is_not_this_one(study: TrainedStudy, tmp_path: Path) -> None:
    turned = np.roll(study.folds, 1)
    save_folds(turned, study.competition, StudyFiles(tmp_path).folds)
    with pytest.raises(StorageError, match="not of this competition and split"):
        member_of(study, folds=turned)


def test_a_candidate_is_named_as_its_member(study: TrainedStudy) -> None:
    config = study.candidates[0].config
    assert Candidate(17, 0.5, config).name == "17"
    assert Candidate(17, 0.5, config, "pseudo").name == "17-pseudo"
