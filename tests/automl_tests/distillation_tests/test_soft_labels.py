"""Soft targets made of members' predictions: which fold gets whose, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import read_json
from automl.config import OptimConfig, TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from automl.decisions.temperature import apply_temperature
from automl.distillation.soft_labels import (
    build_pseudo_labels,
    compute_confidence,
    fit_teachers,
)
from automl.ensemble.candidates import Candidate, read_member
from automl.ensemble.predictor import Predictor
from automl.errors import UsageError
from automl.metrics.registry import get_metric
from automl.tasks import Task
from automl.training.entry_points import run_trial
from automl.training.inference import predict_probs
from automl.training.loss.soft_targets import EVERY_FOLD, SoftTargets, load_soft_targets
from automl.training.network.create import load_trained
from tests.automl_tests.distillation_tests.worlds import (
    N_TEST,
    K,
    N,
    World,
)
from tests.automl_tests.training_tests.trial_builders import ScriptedContext, config_of, payload_of, write_study

# ---- Pseudo-labels ---------------------------------------------------------------------------------------------------


def test_a_fold_gets_as_pseudo_labels_what_its_own_models_are_sure_of(world: World) -> None:
    soft_targets = world.pseudo(0.8)
    assert soft_targets.target_kind == "pseudo"
    for teacher in fit_teachers(world.members, world.competition, world.folds):
        predicted = {number: world.predictor.predictions[f"{number}-{teacher.fold}"] for number in (3, 7)}
        blended = sum(
            weight * apply_temperature(predicted[number], float(temperature), Task.MULTICLASS)
            for number, weight, temperature in zip((3, 7), teacher.weights, teacher.temperatures, strict=True)
        )
        sure = np.flatnonzero(np.max(blended, axis=1) >= 0.8)
        own_rows = soft_targets.folds == teacher.fold
        assert (soft_targets.rows[own_rows] - N).tolist() == sure.tolist()
        assert np.allclose(soft_targets.targets[own_rows], blended[sure], atol=1e-5)
        assert 0 < len(sure) < N_TEST


@pytest.mark.slow
def test_labels_of_a_folds_rows_have_no_part_in_its_pseudo_labels(world: World) -> None:
    def of_fold(soft_targets: SoftTargets, fold: int) -> tuple[bytes, bytes]:
        own_rows = soft_targets.folds == fold
        return soft_targets.rows[own_rows].tobytes(), soft_targets.targets[own_rows].tobytes()

    before, moved_elsewhere = world.pseudo(0.4), False
    for fold in range(K):
        targets = world.competition.targets.copy()
        targets[world.folds == fold] = (targets[world.folds == fold] + 1) % 3
        after = world.of_task(Task.MULTICLASS, targets).pseudo(0.4)
        assert of_fold(after, fold) == of_fold(before, fold)
        moved_elsewhere |= any(of_fold(after, other) != of_fold(before, other) for other in range(K))
    assert moved_elsewhere, "a test that sees no label matter anywhere would prove nothing"


def test_predictions_of_other_folds_networks_have_no_part_in_a_folds_pseudo_labels(world: World) -> None:
    before = world.pseudo()
    for name in list(world.predictor.predictions):
        if not name.endswith("-2"):
            world.predictor.predictions[name] = np.roll(world.predictor.predictions[name], 1, axis=1)
    after = world.pseudo()
    assert np.array_equal(before.targets[before.folds == 2], after.targets[after.folds == 2])
    assert not np.array_equal(before.targets[before.folds == 1], after.targets[after.folds == 1])


def test_unreadable_test_images_are_neither_predicted_nor_pseudo_labelled(world: World) -> None:
    world = replace(world, competition=replace(world.competition, unreadable_test=(0, 5, 39)))
    soft_targets = world.pseudo(0.4)
    assert not np.isin(soft_targets.rows, [N, N + 5, N + 39]).any()
    assert all(not np.isin(rows, [0, 5, 39]).any() for rows in world.predictor.requested_rows)


def test_what_is_added_and_how_far_to_trust_it_is_reported(world: World) -> None:
    soft_targets = world.pseudo(0.8)
    many, by_class, trusted = world.notes
    counts = np.bincount(soft_targets.folds)
    assert many == (
        f"pseudo-labels: {counts.min()} to {counts.max()} of {N_TEST} test images in a fold, those that the models of "
        "trials 3, 7 predict with a confidence of 0.8"
    )
    of_class = np.bincount(soft_targets.targets.argmax(axis=1), minlength=3) / K
    for name, count in zip(world.competition.classes, of_class, strict=True):
        assert f"{name} {count:.0f}" in by_class
    blended = np.empty((N, 3))
    for teacher in fit_teachers(world.members, world.competition, world.folds):
        blended[teacher.rows] = teacher.predict_own_rows()
    sure = blended.max(axis=1) >= 0.8
    right = (blended.argmax(axis=1) == world.competition.targets)[sure].mean()
    assert trusted == (
        f"pseudo-labels to be trusted: {100 * right:.1f} % are right of training images that are as sure, from "
        f"{sure.sum()} of {N} out of fold"
    )


def test_too_few_sure_images_are_refused(world: World) -> None:
    with pytest.raises(UsageError, match=r"only \d of 40 test images .* confidence of 0.9999 in fold 0") as caught:
        world.pseudo(0.9999)
    assert "lower the confidence" in caught.value.hint


def test_sure_images_of_one_class_alone_are_refused(world: World) -> None:
    for name in world.predictor.predictions:
        world.predictor.predictions[name] = np.tile([0.02, 0.95, 0.03], (N_TEST, 1))
    with pytest.raises(UsageError, match=r"all 40 test images .* are 'bee'"):
        world.pseudo(0.8)


@pytest.mark.parametrize("confidence", [0.0, -1.0, 1.01, float("nan")])
def test_a_confidence_that_is_none_is_refused(confidence: float, world: World) -> None:
    with pytest.raises(UsageError, match="is no share"):
        world.pseudo(confidence)


def test_values_have_no_confidence_and_can_be_distilled(world: World) -> None:
    values = np.random.default_rng(1).random((N, 3)) * 10
    regression = world.of_task(
        Task.REGRESSION, values, scales=((0.0, 10.0),) * 3, metric=get_metric("rmse"), classes=("x", "y", "z")
    )
    with pytest.raises(UsageError, match="predicted values do not say so"):
        regression.pseudo()
    soft_targets = regression.distilled(0.5)
    assert np.array_equal(np.sort(soft_targets.rows), np.arange(N))
    labels = regression.competition.soft_targets[soft_targets.rows]
    assert not np.allclose(soft_targets.targets, labels, atol=0.05)
    assert np.abs(soft_targets.targets - labels).max() <= 0.5


def test_a_member_without_all_folds_is_no_teacher(world: World) -> None:
    first, second = world.members
    models = {fold: model for fold, model in second.models.items() if fold != 4}
    without_rows = second.select_rows(np.flatnonzero(world.folds != 4))
    for members in ([first, replace(second, models=models)], [first, without_rows]):
        for make in (replace(world, members=members).pseudo, replace(world, members=members).distilled):
            with pytest.raises(UsageError, match="trial 7 cannot be a teacher of fold 4") as caught:
                make()
            assert caught.value.hint == "train the remaining folds first: automl refit"


def test_an_image_with_several_labels_is_known_once_its_least_sure_label_is(world: World) -> None:
    probs = np.array([[0.95, 0.05, 0.9], [0.95, 0.4, 0.9], [0.02, 0.03, 0.01]])
    labels = (np.arange(N)[:, None] % 4 == np.arange(3)).astype(np.int8)
    some_without = world.of_task(Task.MULTILABEL, labels).competition
    assert compute_confidence(probs, some_without) == pytest.approx([0.9, 0.6, 0.97])
    always = world.of_task(Task.MULTILABEL, np.maximum(labels, [1, 0, 0]).astype(np.int8)).competition
    assert compute_confidence(probs, always) == pytest.approx([0.9, 0.6, 0.0])


@pytest.mark.slow
def test_labels_are_pseudo_labelled_as_they_were_predicted_each_by_itself(world: World) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random((N, 3)) < 0.5).astype(np.int8)
    world = world.of_task(Task.MULTILABEL, labels, metric=get_metric("roc_auc"))
    hidden = rng.random((N_TEST, 3)) < 0.5
    for name in world.predictor.predictions:
        world.predictor.predictions[name] = np.clip(hidden + rng.normal(0, 0.15, hidden.shape), 0.01, 0.99) % 1.0
    soft_targets = world.pseudo(0.7)
    assert (np.maximum(soft_targets.targets, 1 - soft_targets.targets).min(axis=1) >= 0.7 - 1e-6).all()
    assert "of the labels are right" in world.notes[-1]
    assert not np.allclose(soft_targets.targets.sum(axis=1), 1.0)


# ---- Distillation ----------------------------------------------------------------------------------------------------


def test_labels_move_by_the_share_towards_the_predictions_out_of_fold(world: World) -> None:
    soft_targets = world.distilled(0.3)
    assert soft_targets.target_kind == "distilled"
    assert (soft_targets.folds == EVERY_FOLD).all()
    blended = np.empty((N, 3))
    for teacher in fit_teachers(world.members, world.competition, world.folds):
        own = world.folds == teacher.fold
        pairs = zip(world.members, teacher.weights, teacher.temperatures, strict=True)
        blended[own] = sum(w * apply_temperature(member.oof[own], float(t), Task.MULTICLASS) for member, w, t in pairs)
    expected = 0.7 * np.eye(3)[world.competition.targets] + 0.3 * blended
    assert np.allclose(soft_targets.targets, expected[soft_targets.rows], atol=1e-6)
    assert sorted(soft_targets.rows.tolist()) == list(range(N))
    assert "may be flattered a little" in world.notes[0]


def test_images_that_are_never_validated_keep_their_labels(world: World) -> None:
    folds = np.where(np.arange(N) < 10, -1, world.folds)
    members = [replace(m, rows=m.rows[10:], folds=folds[10:], oof=m.oof[10:]) for m in world.members]
    soft_targets = replace(world, folds=folds, members=members).distilled()
    assert sorted(soft_targets.rows.tolist()) == list(range(10, N))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float, world: World) -> None:
    with pytest.raises(UsageError, match="is no share"):
        world.distilled(share)


# ---- Gains -----------------------------------------------------------------------------------------------------------


# ---- With trained networks -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_pseudo_labels_are_what_the_trained_networks_of_the_fold_say(tmp_path: Path) -> None:
    study = write_study(tmp_path, n_train=60, n_test=30, metric="log_loss")
    config = config_of(epochs=3, augment="none", sizes="24", optim=OptimConfig(lr=5e-3))
    answer = run_trial(payload_of(study, config, train_folds=5), ScriptedContext())
    competition = load_competition(study.competition)
    folds = load_folds(study.folds, competition)
    config = TrialConfig.from_json(read_json(study.get_trial_files(0).config))
    candidate = Candidate(number=0, score=answer["score"], config=config)
    member = read_member(candidate, study.get_trial_files(0), competition=competition, folds=folds)
    cache = PixelCache(competition, study.cache)
    predictor = Predictor(competition, cache, device="cpu", cache_folder=None)
    notes: list[str] = []
    path = build_pseudo_labels([member], study, competition, folds, predictor, confidence=0.4, notify=notes.append)
    soft_targets = load_soft_targets(path, competition, folds)
    for teacher in fit_teachers([member], competition, folds):
        weights = member.models[teacher.fold].weights
        model = load_trained(config, weights, competition=competition, device="cpu")
        evaluation = member.models[teacher.fold].evaluation
        pixels = predictor.load_pixels("test", evaluation)
        probs = predict_probs(model, pixels, np.arange(30), evaluation=evaluation, device="cpu")
        blended = apply_temperature(probs, float(teacher.temperatures[0]), competition.task)
        own_rows = soft_targets.folds == teacher.fold
        rows = soft_targets.rows[own_rows] - 60
        assert np.allclose(soft_targets.targets[own_rows], blended[rows], atol=1e-5)
        assert (blended[rows].max(axis=1) >= 0.4 - 1e-6).all()
    assert len(notes) == 3
