"""Members as their files have them, what they predict, which candidates can be used, and the rows that all share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles, TrialFiles, read_arrays, write_arrays
from automl.config import ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.data.competition import Competition
from automl.data.folds import save_folds
from automl.data.resize import EvaluationPixels
from automl.ensemble.candidates import (
    Candidate,
    Member,
    predict_mean,
    predict_oof,
    predict_test,
    read_members,
)
from automl.ensemble.tta import IDENTITY, MIRROR, TTA_GROUPS, VIEWS
from automl.errors import NoUsableModelError, StorageError
from automl.training.checkpoints import serialize_model
from automl.training.fold_outputs import load_fold, save_fold
from automl.training.inference import predict_probs
from automl.training.network.create import compute_classes_digest, load_trained
from tests.automl_tests.ensemble_tests.small_studies import (
    N_TRAIN,
    SIDE,
    TrainedStudy,
    create_predictor,
    put_fold,
    read_study_member,
)
from tests.automl_tests.small_competitions import competition_of

N, N_FOLDS = 50, 5
FOLDS = np.arange(N) % N_FOLDS
COMPETITION = competition_of(Path("/nowhere"), [f"{number}.png" for number in range(N)], ["a.png", "b.png"])


def config_of(number: int) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone="resnet18"),
        resize=ResizeConfig(image_sizes=(32,)),
        optim=OptimConfig(lr=1e-4 * (number + 1)),
    )


def put_trial(files: StudyFiles, number: int, *, n_folds: int = 1, refitted: Sequence[int] = ()) -> Candidate:
    """A trial's predictions without its weights, as the search and a refit leave them."""
    trial, rng = files.get_trial_files(number), np.random.default_rng(number)

    def probs(n: int) -> np.ndarray:
        second = rng.random((n, 1), dtype=np.float32)
        return np.concatenate([1 - second, second], axis=1)

    rows = np.concatenate([np.flatnonzero(fold == FOLDS) for fold in range(n_folds)])
    write_arrays(trial.oof, rows=rows, folds=FOLDS[rows], probs=probs(len(rows)))
    write_arrays(trial.test, probs=probs(2))
    for fold in refitted:
        own = trial.get_refit_files("refit")
        write_arrays(own.get_fold_oof_path(fold), rows=np.flatnonzero(fold == FOLDS), probs=probs(N // N_FOLDS))
        write_arrays(own.get_fold_test_path(fold), probs=probs(2))
    return Candidate(number, 0.1 * number, config_of(number))


def pool_of(
    files: StudyFiles, candidates: Sequence[Candidate], competition: Competition = COMPETITION, refits: bool = True
) -> tuple[list[Member], list[str]]:
    notes: list[str] = []
    return read_members(candidates, files, competition, FOLDS, notify=notes.append, refits=refits), notes


@pytest.mark.parametrize(("n_refitted", "expected"), [(5, 5), (3, 3), (2, 15), (1, 15), (0, 15)])
def test_of_fifteen_trials_three_with_all_folds_go_before_all_with_one(
    n_refitted: int, expected: int, tmp_path: Path
) -> None:
    """Two would leave too little to choose from; all then know the rows of the first fold."""
    files = StudyFiles(tmp_path)
    numbers = [3, 7, 11, 0, 14][:n_refitted]
    candidates = [put_trial(files, number, refitted=(1, 2, 3, 4) * (number in numbers)) for number in range(15)]
    pool, notes = pool_of(files, candidates)
    assert len(pool) == expected
    assert [member.number for member in pool] == (sorted(numbers) if expected < 15 else list(range(15)))
    n_rows = N if expected < 15 else N // N_FOLDS
    assert all(np.array_equal(member.rows, pool[0].rows) and len(member.rows) == n_rows for member in pool)
    if n_refitted == 5:
        assert notes[0] == (
            "trials 1, 2, 4, 5, 6, 8, 9, 10, 12 and 13 are left out: "
            "they have no prediction for some rows that the others share"
        )
        assert notes[1] == "members are compared on the 50 rows that all of them have out of fold"


def test_a_refit_that_was_interrupted_leaves_the_pool_as_it_was(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    further: dict[int, tuple[int, ...]] = {0: (1, 2, 3, 4), 1: (1, 2)}
    candidates = [put_trial(files, number, refitted=further.get(number, ())) for number in range(15)]
    pool, _ = pool_of(files, candidates)
    assert len(pool) == 15
    assert np.array_equal(pool[0].rows, np.flatnonzero(FOLDS == 0))


def test_without_refits_the_pool_is_that_of_the_search(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    candidates = [put_trial(files, number, refitted=(1, 2, 3, 4) * (number < 6)) for number in range(15)]
    assert len(pool_of(files, candidates)[0]) == 6
    pool, notes = pool_of(files, candidates, refits=False)
    assert [member.number for member in pool] == list(range(15))
    assert len(pool[0].rows) == N // N_FOLDS
    assert notes == []


def test_kinds_of_one_config_are_several_candidates_and_copies_of_one_are_not(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    first = put_trial(files, 4, n_folds=5)
    shutil.copytree(files.get_trial_files(4).root, files.get_trial_files(9).root)
    for fold in range(N_FOLDS):
        rows = np.flatnonzero(fold == FOLDS)
        probs = np.full((len(rows), 2), 0.5, np.float32)
        for number in (4, 9):
            own = files.get_trial_files(number).get_refit_files("pseudo")
            write_arrays(own.get_fold_oof_path(fold), rows=rows, probs=probs)
            write_arrays(own.get_fold_test_path(fold), probs=probs[:2])
    pool, notes = pool_of(
        files,
        [
            first,
            replace(first, member_kind="pseudo"),
            replace(first, number=9),
            replace(first, number=9, member_kind="pseudo"),
        ],
    )
    assert [member.name for member in pool] == ["4", "4-pseudo"]
    assert notes == [
        "trial 9 is left out: it has the configuration of trial 4",
        "trial 9-pseudo is left out: it has the configuration of trial 4-pseudo",
    ]


def test_members_with_another_class_order_other_folds_or_other_rows_are_refused_by_name(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    candidates = [put_trial(files, number) for number in range(17, 22)]
    digest = np.array(compute_classes_digest(replace(COMPETITION, classes=("dog", "cat"))))
    oof = {number: read_arrays(files.get_trial_files(number).oof) for number in (17, 18, 19)}
    write_arrays(files.get_trial_files(17).oof, **oof[17], classes=digest)
    write_arrays(files.get_trial_files(18).oof, **{**oof[18], "folds": oof[18]["folds"] + 1})
    write_arrays(files.get_trial_files(19).oof, **{**oof[19], "rows": oof[19]["rows"] + N})
    write_arrays(files.get_trial_files(20).test, **read_arrays(files.get_trial_files(20).test), classes=digest)
    pool, notes = pool_of(files, candidates)
    assert [member.number for member in pool] == [21]
    named = [note.split(":")[0] for note in notes]
    assert named == [f"trial {number} is left out" for number in (17, 18, 19, 20)]
    assert "another order" in notes[0]
    assert "another order" in notes[3]
    assert all("not of this competition and split" in note for note in notes[1:3])


def test_a_pool_of_nothing_usable_is_an_error(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path)
    candidate = put_trial(files, 0)
    files.get_trial_files(0).oof.unlink()
    with pytest.raises(NoUsableModelError):
        pool_of(files, [candidate])


@pytest.fixture
def copied(study: TrainedStudy, tmp_path: Path) -> TrialFiles:
    """A trial's files to damage."""
    shutil.copytree(study.files.get_trial_files(study.candidates[0].number).root, tmp_path / "trial")
    return TrialFiles(tmp_path / "trial")


def test_a_member_is_read_with_its_rows_ascending_and_its_score_comes_out_again(study: TrainedStudy) -> None:
    member = read_study_member(study)
    assert np.array_equal(member.rows, np.flatnonzero(np.isin(study.folds, [0, 1])))
    assert np.array_equal(member.folds, study.folds[member.rows])
    assert sorted(member.models) == [0, 1]
    assert member.missing_weights == ()
    assert member.name == str(member.number)
    score = study.competition.metric(study.competition.targets[member.rows], member.oof)
    assert score == pytest.approx(member.score)


def test_views_are_predicted_one_by_one_and_averaged_over_views_and_folds(study: TrainedStudy) -> None:
    """Against every view and fold predicted in a plain loop, the identity included."""
    member, views = read_study_member(study), TTA_GROUPS["shifts"]
    train, test = study.cache.load_pixels("train", SIDE), study.cache.load_pixels("test", SIDE)
    expected_oof, expected_test = np.zeros((5, *member.oof.shape)), np.zeros_like(member.test)
    evaluation = EvaluationPixels.from_config(member.config)
    for fold in (0, 1):
        weights = study.files.get_trial_files(member.number).get_weights_path(fold)
        model = load_trained(member.config, weights, competition=study.competition, device="cpu")
        rows = np.flatnonzero(study.folds == fold)
        for index, view in enumerate(views):
            options = {
                "evaluation": evaluation,
                "device": "cpu",
                "view": lambda batch, view=view: view.apply(batch, SIDE),
            }
            expected_oof[index, np.searchsorted(member.rows, rows)] = predict_probs(model, train, rows, **options)
            expected_test += predict_probs(model, test, np.arange(len(test)), **options) / 10
    oof = predict_oof(member, views, create_predictor(study))
    assert np.array_equal(oof[0], member.oof)
    assert oof == pytest.approx(expected_oof, abs=1e-5)
    assert predict_test(member, views, create_predictor(study)) == pytest.approx(expected_test, abs=1e-5)


def test_the_identity_may_stand_anywhere_among_the_views_or_be_absent(study: TrainedStudy) -> None:
    member, predictor = read_study_member(study), create_predictor(study)
    one = predict_oof(member, [MIRROR], predictor)
    assert np.array_equal(predict_oof(member, [MIRROR, IDENTITY, VIEWS["up"]], predictor)[:2], [one[0], member.oof])


def test_a_member_on_some_rows_predicts_the_same_there(study: TrainedStudy) -> None:
    member, views, predictor = read_study_member(study), TTA_GROUPS["flips"], create_predictor(study)
    some = member.select_rows(member.rows[::4])
    assert np.array_equal(some.oof, member.oof[::4])
    assert predict_oof(some, views, predictor) == pytest.approx(predict_oof(member, views, predictor)[:, ::4], abs=1e-5)
    assert some.models == member.models


def test_a_mean_prediction_is_over_models_and_views(study: TrainedStudy) -> None:
    member, predictor, rows = read_study_member(study), create_predictor(study), np.array([5, 2])
    views = TTA_GROUPS["dihedral"][:3]
    per_fold = [predictor.predict_views(member.models[fold], views, "test", rows).astype(np.float64) for fold in (1, 0)]
    expected = np.concatenate(per_fold).mean(axis=0)
    assert predict_mean([member.models[1], member.models[0]], views, predictor, rows) == pytest.approx(expected, 1e-12)


@pytest.mark.parametrize("name", ["oof", "test"])
def test_missing_and_damaged_predictions_are_named(study: TrainedStudy, copied: TrialFiles, name: str) -> None:
    path = getattr(copied, name)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StorageError, match=f"{name}.npz"):
        read_study_member(study, copied)
    path.unlink()
    with pytest.raises(StorageError, match=f"{name}.npz"):
        read_study_member(study, copied)


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
        read_study_member(study, copied)


def test_test_predictions_for_other_images_are_refused(study: TrainedStudy, copied: TrialFiles) -> None:
    write_arrays(copied.test, probs=read_arrays(copied.test)["probs"][1:])
    with pytest.raises(StorageError, match="not of this competition"):
        read_study_member(study, copied)


def test_predictions_and_weights_of_another_order_of_classes_are_refused(study: TrainedStudy) -> None:
    turned = replace(study.competition, classes=study.competition.classes[::-1])
    with pytest.raises(StorageError, match=r"oof\.npz is of other classes, or of another order of them"):
        read_study_member(study, competition=turned)
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
    assert np.array_equal(read_study_member(study, copied, competition=turned).oof, read_study_member(study).oof)
    load_trained(config, copied.get_weights_path(0), competition=turned, device="cpu")


def test_a_member_whose_weights_are_gone_serves_with_its_files_alone(study: TrainedStudy, copied: TrialFiles) -> None:
    copied.get_weights_path(1).unlink()
    member, predictor = read_study_member(study, copied), create_predictor(study)
    assert member.missing_weights == (copied.get_weights_path(1),)
    assert sorted(member.models) == [0]
    assert np.array_equal(predict_oof(member, [IDENTITY], predictor)[0], member.oof)
    assert np.array_equal(predict_test(member, [IDENTITY], predictor), member.test)
    for predict in (predict_oof, predict_test):
        with pytest.raises(StorageError, match=r"fold1\.safetensors") as caught:
            predict(member, TTA_GROUPS["flips"], predictor)
        assert "automl refit" in caught.value.hint


def test_folds_that_were_trained_after_the_search_are_the_members_too(study: TrainedStudy, copied: TrialFiles) -> None:
    before = read_study_member(study, copied)
    late = put_fold(study, copied.get_refit_files("refit"), 2)
    member = read_study_member(study, copied)
    assert np.array_equal(member.rows, np.arange(N_TRAIN))
    assert np.array_equal(member.folds, study.folds)
    assert np.array_equal(member.oof[study.folds != 2], before.oof)
    assert np.array_equal(member.oof[study.folds == 2], late.probs)
    assert member.test == pytest.approx((2 * before.test + late.test_probs) / 3, abs=1e-6)
    assert member.models[2].weights == copied.get_refit_files("refit").get_weights_path(2)
    assert member.models[0] == before.models[0]
    assert np.array_equal(read_study_member(study, copied, refits=False).rows, before.rows)


def test_a_fold_whose_weights_were_made_again_is_that_of_the_refit(study: TrainedStudy, copied: TrialFiles) -> None:
    again = put_fold(study, copied.get_refit_files("refit"), 1)
    assert read_study_member(study, copied).models[1].weights == copied.get_weights_path(1)
    copied.get_weights_path(1).unlink()
    member = read_study_member(study, copied)
    assert member.missing_weights == ()
    assert member.models[1].weights == copied.get_refit_files("refit").get_weights_path(1)
    assert np.array_equal(member.oof[member.folds == 1], again.probs)
    assert np.array_equal(member.rows, read_study_member(study).rows)
    assert member.test == pytest.approx(read_study_member(study).test, abs=1e-6)  # which the fold is in already


def test_a_fold_of_a_refit_that_does_not_fit_is_named(study: TrainedStudy, copied: TrialFiles) -> None:
    refit = copied.get_refit_files("refit")
    put_fold(study, refit, 2)
    arrays = read_arrays(refit.get_fold_oof_path(2))
    write_arrays(refit.get_fold_oof_path(2), **{**arrays, "rows": arrays["rows"][::-1] - 1})
    with pytest.raises(StorageError, match=r"refit/fold2\.oof\.npz is not of this competition and split"):
        read_study_member(study, copied)


def test_a_fold_that_is_not_finished_is_no_fold(study: TrainedStudy, copied: TrialFiles) -> None:
    refit = copied.get_refit_files("refit")
    put_fold(study, refit, 2)
    refit.get_fold_oof_path(2).unlink()
    assert np.array_equal(read_study_member(study, copied).rows, read_study_member(study).rows)


@pytest.mark.parametrize("kind", ["pseudo", "distilled"])
def test_a_member_of_another_kind_has_its_own_folds_alone_and_all_of_them(
    study: TrainedStudy, copied: TrialFiles, kind: str
) -> None:
    own = copied.get_refit_files(kind)
    put_fold(study, copied.get_refit_files("refit"), 2)
    parts = [put_fold(study, own, fold, shade=0.1 + 0.1 * fold) for fold in (0, 1)]
    with pytest.raises(StorageError, match="only 2 of its 3 folds"):
        read_study_member(study, copied, kind)
    parts.append(put_fold(study, own, 2, shade=0.6))
    member = read_study_member(study, copied, kind)
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
        read_study_member(study, folds=turned)


def test_a_candidate_is_named_as_its_member(study: TrainedStudy) -> None:
    config = study.candidates[0].config
    assert Candidate(17, 0.5, config).name == "17"
    assert Candidate(17, 0.5, config, "pseudo").name == "17-pseudo"
