"""Soft targets in training: what a fold trains on, what it never sees, and what they are worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, read_arrays, write_arrays
from automl.config import AugmentConfig, LossConfig, OptimConfig, TransferConfig, TrialConfig
from automl.data.competition import load_competition, save_competition
from automl.data.folds import save_folds
from automl.errors import StorageError, UsageError
from automl.tasks import Task
from automl.training.batches import FoldTask, build_fold_loss, draw_epoch_rows, iterate_batches
from automl.training.entry_points import run_trial
from automl.training.fold import prepare_fold
from automl.training.loss.soft_targets import (
    EVERY_FOLD,
    SoftTargets,
    append_test_images,
    load_soft_targets,
    save_soft_targets,
    select_fold_targets,
)
from automl.training.training_loop import train_epoch
from automl.training.trial_context import TrialContext
from automl.training.trial_job import TrialJob
from tests.automl_tests.training_tests.soft_target_builders import (
    N_TEST,
    N_TRAIN,
    PLAIN,
    opened,
    payload_with,
    pseudo,
    soft,
    truth,
)
from tests.automl_tests.training_tests.toy_competitions import GLOWS, PATCHES, SHAPES
from tests.automl_tests.training_tests.trial_builders import ScriptedContext, config_of, payload_of, write_study

TOY_COMPETITIONS = {toy.task: toy for toy in (SHAPES, PATCHES, GLOWS)}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, StudyFiles]:
    """A study for each kind of target, to be read only."""
    roots = {task: tmp_path_factory.mktemp(task.value) for task in TOY_COMPETITIONS}
    return {
        task: write_study(roots[task], toy, n_train=N_TRAIN, n_test=N_TEST) for task, toy in TOY_COMPETITIONS.items()
    }


def task_with(study: StudyFiles, config: TrialConfig, soft_targets: SoftTargets, fold: int = 0) -> FoldTask:
    setting = TrialContext.open_job(TrialJob.from_json(payload_with(study, config, soft_targets)), ScriptedContext())
    return prepare_fold(setting, fold)[0]


# ---- What a fold trains on ------------------------------------------------------------------------------------------


def test_a_fold_trains_on_its_own_pseudo_labels_beside_its_labels(studies: dict[Task, StudyFiles]) -> None:
    study = studies[Task.MULTICLASS]
    (competition, folds), soft_targets = opened(study), pseudo(study)
    fold_targets = select_fold_targets(soft_targets, 0, competition, folds)
    own = np.flatnonzero(folds != 0)
    assert fold_targets.rows.tolist() == [*own.tolist(), *range(N_TRAIN, N_TRAIN + N_TEST, 2)]
    assert np.array_equal(fold_targets.targets[own], competition.soft_targets[own])
    assert np.array_equal(fold_targets.targets[N_TRAIN::2], soft_targets.targets[::2])
    unused = np.setdiff1d(np.arange(N_TRAIN + N_TEST), fold_targets.rows)
    assert np.isnan(fold_targets.targets[unused]).all()
    assert fold_targets.labelled.targets[fold_targets.rows].tolist() == [*competition.targets[own], *truth(SHAPES)[::2]]


def test_distilled_targets_move_the_labels_of_training_rows_alone(studies: dict[Task, StudyFiles]) -> None:
    competition, folds = opened(studies[Task.MULTICLASS])
    rows = np.arange(0, N_TRAIN, 2)
    softened = soft(competition.targets[rows], 0.7)
    soft_targets = SoftTargets(
        target_kind="distilled", rows=rows, folds=np.full(len(rows), EVERY_FOLD), targets=softened
    )
    for fold in range(5):
        fold_targets = select_fold_targets(soft_targets, fold, competition, folds)
        assert fold_targets.rows.tolist() == np.flatnonzero(folds != fold).tolist()
        assert np.isnan(fold_targets.targets[:N_TRAIN][folds == fold]).all()
        for row in fold_targets.rows:
            expected = softened[row // 2] if row % 2 == 0 else competition.soft_targets[row]
            assert np.array_equal(fold_targets.targets[row], expected)


@pytest.mark.parametrize("task", list(TOY_COMPETITIONS))
def test_the_likeliest_target_of_an_image_counts_in_sampling_and_weights(
    task: Task, studies: dict[Task, StudyFiles]
) -> None:
    competition, _ = opened(studies[task])
    soft_labels = np.concatenate([competition.soft_targets, competition.soft_targets[:N_TEST] * 0.9 + 0.02]).astype(
        np.float32
    )
    labelled = append_test_images(competition, soft_labels)
    assert len(labelled.image_ids) == len(labelled.image_paths) == len(labelled.targets) == N_TRAIN + N_TEST
    assert labelled.targets.dtype == (np.int8 if task is Task.MULTILABEL else competition.targets.dtype)
    assert np.allclose(labelled.targets[:N_TRAIN], competition.targets, rtol=1e-6, atol=1e-5)
    assert np.allclose(
        labelled.soft_targets[N_TRAIN:] if task is Task.REGRESSION else soft_labels[N_TRAIN:], soft_labels[N_TRAIN:]
    )
    if task is not Task.REGRESSION:
        assert np.array_equal(labelled.targets[N_TRAIN:], competition.targets[:N_TEST])


def test_balanced_sampling_evens_out_what_test_images_show(studies: dict[Task, StudyFiles]) -> None:
    study = studies[Task.MULTICLASS]
    rows = N_TRAIN + np.arange(N_TEST)
    one_sided = SoftTargets(
        target_kind="pseudo", rows=rows, folds=np.zeros(N_TEST, np.int64), targets=soft(np.zeros(N_TEST, np.int64))
    )
    class_counts = {}
    for sampling in ("natural", "balanced"):
        task = task_with(study, config_of(class_sampling=sampling, **PLAIN), one_sided)
        of_epoch = draw_epoch_rows(task, np.random.default_rng(0))
        class_counts[sampling] = np.bincount(task.labelled.targets[of_epoch], minlength=3)
    assert class_counts["natural"].tolist() == [36, 16, 16]
    assert class_counts["balanced"].max() - class_counts["balanced"].min() <= 1


def test_class_weights_count_test_images(studies: dict[Task, StudyFiles]) -> None:
    study, config = studies[Task.MULTICLASS], config_of(loss=LossConfig(class_weights="balanced"), **PLAIN)
    rows = N_TRAIN + np.arange(16)
    one_sided = SoftTargets(
        target_kind="pseudo", rows=rows, folds=np.zeros(16, np.int64), targets=soft(np.zeros(16, np.int64))
    )
    loss = build_fold_loss(task_with(study, config, one_sided))
    outputs = torch.zeros(1, 3)
    common, rare = (loss(outputs, torch.tensor([number])).item() for number in (0, 1))
    assert rare == pytest.approx(2 * common)


@pytest.mark.parametrize("task", [Task.MULTILABEL, Task.REGRESSION])
def test_outputs_begin_at_the_mean_of_the_soft_targets(task: Task, studies: dict[Task, StudyFiles]) -> None:
    study = studies[task]
    n_classes = len(TOY_COMPETITIONS[task].classes)
    high = SoftTargets(
        target_kind="pseudo",
        rows=N_TRAIN + np.arange(N_TEST),
        folds=np.zeros(N_TEST, np.int64),
        targets=np.full((N_TEST, n_classes), 0.95, np.float32),
    )
    setting = TrialContext.open_job(
        TrialJob.from_json(payload_with(study, config_of(loss=LossConfig(name="bce")), high)), ScriptedContext()
    )
    _, state = prepare_fold(setting, 0)
    bias = state.model.get_submodule("head.fc").get_parameter("bias")
    own = setting.competition.soft_targets[setting.folds != 0]
    expected = (own.sum(axis=0) + 0.95 * N_TEST) / (len(own) + N_TEST)
    assert np.allclose(bias.sigmoid().detach().numpy(), expected, atol=1e-5)


# ---- What a fold sees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freeze_epochs", [0, 1])
def test_each_image_comes_with_its_own_target(freeze_epochs: int, studies: dict[Task, StudyFiles]) -> None:
    study = studies[Task.MULTICLASS]
    config = config_of(batch_size=100, transfer=TransferConfig(freeze_epochs=freeze_epochs), **PLAIN)
    setting = TrialContext.open_job(TrialJob.from_json(payload_with(study, config, pseudo(study))), ScriptedContext())
    task, state = prepare_fold(setting, 0)
    rows = draw_epoch_rows(task, np.random.default_rng(1))
    (batch,) = iterate_batches(task, state, 0, rows, seed=0, features=None)
    assert task.fold_targets is not None
    assert np.array_equal(batch.targets.numpy(), task.fold_targets.targets[rows])
    images = np.concatenate([setting.load_pixels("train", 24), setting.load_pixels("test", 24)])
    state.model.eval()
    expected = state.model(torch.from_numpy(_normalised(state.model, images[rows])))
    assert torch.allclose(batch.forward(slice(0, len(rows)), True), expected, atol=1e-5)


def _normalised(model: torch.nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    configured = model.pretrained_cfg
    mean, std = (np.array(configured[name], np.float32) for name in ("mean", "std"))  # type: ignore[index]
    return np.asarray(((images / np.float32(255) - mean) / std).transpose(0, 3, 1, 2), np.float32)


# ---- What targets do -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", list(TOY_COMPETITIONS))
@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "weighed"])
def test_soft_targets_that_are_the_labels_train_as_the_labels_do(
    task: Task, loss: str, studies: dict[Task, StudyFiles]
) -> None:
    study, (competition, _) = studies[task], opened(studies[task])
    named = LossConfig(name="focal", focal_gamma=1.0) if loss == "focal" else LossConfig()
    named = replace(named, class_weights="balanced", label_smoothing=0.1) if loss == "weighed" else named
    config = config_of(loss=named, optim=OptimConfig(optimizer="sgd", lr=1e-2), epochs=1, **PLAIN)
    rows = np.arange(N_TRAIN)
    soft_targets = SoftTargets(
        target_kind="distilled", rows=rows, folds=np.full(N_TRAIN, EVERY_FOLD), targets=competition.soft_targets[rows]
    )
    weights, losses = [], []
    for payload in (payload_of(study, config), payload_with(study, config, soft_targets)):
        fold_task, state = prepare_fold(TrialContext.open_job(TrialJob.from_json(payload), ScriptedContext()), 0)
        losses.append(train_epoch(fold_task, state, 0, plateaus=0, on_batch=lambda now: None).train_loss)
        weights.append(state.model.state_dict())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


def test_soft_targets_are_mixed_like_labels(studies: dict[Task, StudyFiles]) -> None:
    study = studies[Task.MULTICLASS]
    config = config_of(augment=AugmentConfig(policy="none", mixup_alpha=0.4), batch_size=100, sizes="24")
    setting = TrialContext.open_job(TrialJob.from_json(payload_with(study, config, pseudo(study))), ScriptedContext())
    task, state = prepare_fold(setting, 0)
    (mixed,) = iterate_batches(task, state, 0, task.train_rows, seed=0, features=None)
    plain = task.targets[task.train_rows]
    assert np.allclose(mixed.targets.numpy().mean(axis=0), plain.mean(axis=0), atol=1e-5)
    assert not np.allclose(mixed.targets.numpy(), plain, atol=0.01)


# ---- Files -----------------------------------------------------------------------------------------------------------


def test_soft_targets_come_back_as_they_were_and_their_name_follows_their_content(tmp_path: Path) -> None:
    study = write_study(tmp_path, n_test=N_TEST)
    (competition, folds), soft_targets = opened(study), pseudo(study)
    path = save_soft_targets(soft_targets, study, competition, folds)
    back = load_soft_targets(path, competition, folds)
    assert back.target_kind == "pseudo"
    for name in ("rows", "folds", "targets"):
        assert np.array_equal(getattr(back, name), getattr(soft_targets, name))
    assert path.parent == study.soft_targets
    assert save_soft_targets(soft_targets, study, competition, folds) == path
    other = replace(soft_targets, targets=soft((truth(SHAPES) + 1) % 3))
    assert save_soft_targets(other, study, competition, folds) != path


def test_soft_targets_of_another_study_are_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path, n_test=N_TEST)
    competition, folds = opened(study)
    path = save_soft_targets(pseudo(study), study, competition, folds)
    others = [
        (competition, np.roll(folds, 1)),
        (replace(competition, targets=(competition.targets + 1) % 3), folds),
        (replace(competition, classes=("frame", "disc", "stripes")), folds),
        (replace(competition, test_ids=competition.test_ids[::-1]), folds),
    ]
    for other, split in others:
        with pytest.raises(UsageError, match="were made for other images, labels or folds"):
            load_soft_targets(path, other, split)
    save_folds(np.roll(folds, 1), competition, study.folds)
    answer = run_trial(payload_of(study, config_of(**PLAIN), soft_targets=str(path)), ScriptedContext())
    assert answer["outcome"] == "refused"
    assert "made for other images" in answer["problem"]


def test_damaged_soft_targets_are_refused_and_never_half_believed(tmp_path: Path) -> None:
    study = write_study(tmp_path, n_test=N_TEST)
    competition, folds = opened(study)
    path = save_soft_targets(pseudo(study), study, competition, folds)
    whole = read_arrays(path)
    damages: list[dict[str, Any]] = [
        {"targets": whole["targets"] + np.nan},
        {"targets": whole["targets"] * 2},
        {"targets": whole["targets"] * 0.5},
        {"targets": whole["targets"][:, :2]},
        {"rows": whole["rows"] + 1},
        {"rows": whole["rows"] - 70},
        {"rows": whole["rows"][::-1] * 0 + whole["rows"][0], "folds": whole["folds"] * 0},
        {"folds": whole["folds"] + 4},
        {"kind": np.array("hearsay")},
    ]
    for damage in damages:
        write_arrays(path, **{**whole, **damage})
        with pytest.raises(StorageError, match="damaged"):
            load_soft_targets(path, competition, folds)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match="cannot be read"):
        load_soft_targets(path, competition, folds)
    path.unlink()
    with pytest.raises(StorageError, match="missing") as caught:
        load_soft_targets(path, competition, folds)
    assert "automl refit" in caught.value.hint


def test_soft_targets_of_an_image_that_nobody_can_read_are_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path, n_test=N_TEST)
    competition = replace(load_competition(study.competition), unreadable_test=(3,))
    save_competition(competition, study.competition)
    competition, folds = opened(study)
    with pytest.raises(StorageError, match="damaged"):
        load_soft_targets(save_soft_targets(pseudo(study), study, competition, folds), competition, folds)
