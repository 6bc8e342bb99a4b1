"""Folds of a trial: what they need to be trained, and that none is trained twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from automl.artifacts import StudyFiles
from automl.config import LossConfig, ModelConfig, TransferConfig, TrialConfig
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from automl.errors import DataError
from automl.tasks import Task
from automl.training import fold, reporting
from automl.training.batches import FoldTask, build_fold_loss
from automl.training.checkpoints import TrainingState
from automl.training.distributed.rank_group import SingleProcess
from automl.training.entry_points import run_trial
from automl.training.fold import prepare_fold
from automl.training.linear_head import HeadTask, LinearHead, fit_linear_head
from automl.training.network.create import Normalisation
from automl.training.trial_context import TrialContext
from automl.training.trial_job import TrialJob
from runners.base import JobStopped
from tests.automl_tests.training_tests.trial_builders import (
    TOY_COMPETITIONS,
    ScriptedContext,
    config_of,
    contents,
    payload_of,
    seeded_model,
    write_study,
)


@pytest.mark.slow
def test_a_fold_that_is_finished_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BEAT_INTERVAL_S", 0.0)
    whole, cut = write_study(tmp_path / "whole"), write_study(tmp_path / "cut")
    config, first = config_of(epochs=2), ScriptedContext()
    run_trial(payload_of(whole, config, train_folds=2), first)
    files = cut.get_trial_files(0)
    with pytest.raises(JobStopped):
        run_trial(payload_of(cut, config, train_folds=2), ScriptedContext(stop_at_beat=len(first.beats) - 3))
    assert files.get_fold_oof_path(0).exists()
    assert not files.get_fold_oof_path(1).exists()
    written = files.get_weights_path(0).stat().st_mtime_ns
    resumed = ScriptedContext()
    run_trial(payload_of(cut, config, train_folds=2), resumed)
    assert files.get_weights_path(0).stat().st_mtime_ns == written
    assert resumed.reports == first.reports
    assert contents(files) == contents(whole.get_trial_files(0))


def test_an_image_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    (tmp_path / "images" / "7.png").write_bytes(b"no image")
    answer = run_trial(payload_of(study, config_of()), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 3)
    assert "7.png" in answer["problem"]


def test_batch_norm_is_never_given_one_image_by_itself(tmp_path: Path) -> None:
    # At 32 pixels the last feature maps of test_resnet are single pixels, which batch norm refuses for one image.
    study = write_study(tmp_path)
    assert (load_folds(study.folds, load_competition(study.competition)) != 0).sum() % 47 == 1
    answer = run_trial(payload_of(study, config_of(batch_size=47, epochs=1)), ScriptedContext())
    assert answer["outcome"] == "completed"


def open_trial(study: StudyFiles) -> TrialContext:
    return TrialContext.open_job(TrialJob.from_json(payload_of(study, config_of())), ScriptedContext())


def test_a_fold_trains_on_the_rows_of_the_others_and_on_those_of_none(shapes: StudyFiles) -> None:
    trial = open_trial(shapes)
    folds = trial.folds.copy()
    folds[:4] = -1
    task, state = prepare_fold(replace(trial, folds=folds), 2)
    assert task.valid_rows.tolist() == np.flatnonzero(folds == 2).tolist()
    assert sorted([*task.train_rows, *task.valid_rows]) == list(range(len(folds)))
    assert task.seeds == (5, 0, 2)
    assert state.history == []


def test_a_fold_with_too_few_images_is_refused_with_their_numbers(shapes: StudyFiles) -> None:
    trial = open_trial(shapes)
    folds = np.ones(len(trial.folds), dtype=np.int64)
    folds[0] = 0
    lopsided = replace(trial, folds=folds)
    assert prepare_fold(lopsided, 0)[0].valid_rows.tolist() == [0]
    with pytest.raises(DataError, match="fold 1 has 1 images to train on and 59 to validate on"):
        prepare_fold(lopsided, 1)
    with pytest.raises(DataError, match="fold 2 has 60 images to train on and 0 to validate on"):
        prepare_fold(lopsided, 2)


PROBED = TransferConfig(head_init="probe")


def pretrained_config(
    transfer: TransferConfig = PROBED, *, loss: LossConfig | None = None, **model: Any
) -> TrialConfig:
    config = config_of(transfer=transfer, loss=loss, epochs=1, augment="none", ema_horizon=0.1)
    return replace(config, model=ModelConfig(backbone="test_resnet", **model))


def prepare(study: StudyFiles, config: TrialConfig, **changes: Any) -> tuple[FoldTask, TrainingState]:
    weights = study.root.parent / "weights"
    if not weights.exists():
        weights.mkdir()
        save_file(seeded_model(config_of()).get_submodule("body").state_dict(), weights / "test_resnet.safetensors")
    job = TrialJob.from_json(payload_of(study, config, weights_dir=str(weights)))
    return prepare_fold(replace(TrialContext.open_job(job, ScriptedContext()), **changes), 0)


@torch.no_grad()
def training_loss(task: FoldTask, state: TrainingState) -> float:
    images = Normalisation.from_model(state.model)(np.asarray(task.pixels(32)[task.train_rows][:, :32, :32]), "cpu")
    outputs = state.model.eval()(images)
    return float(build_fold_loss(task)(outputs, torch.from_numpy(task.soft_targets[task.train_rows])))


def head_of(state: TrainingState) -> torch.Tensor:
    return state.model.get_parameter("head.fc.weight").detach()


@pytest.mark.parametrize(
    ("toy", "loss"),
    [
        (Task.MULTICLASS, LossConfig()),
        (Task.MULTICLASS, LossConfig(name="bce", label_smoothing=0.1, class_weights="balanced")),
        (Task.MULTILABEL, LossConfig(name="focal", focal_gamma=1.0)),
        (Task.REGRESSION, LossConfig(name="bce", class_weights="balanced")),
    ],
)
def test_a_head_that_is_probed_begins_at_the_minimum_for_the_backbones_features(
    toy: Task, loss: LossConfig, tmp_path: Path
) -> None:
    study = write_study(tmp_path, TOY_COMPETITIONS[toy])
    task, state = prepare(study, pretrained_config(loss=loss))
    _, random = prepare(study, pretrained_config(TransferConfig(), loss=loss))
    assert training_loss(task, state) < 0.9 * training_loss(task, random)
    assert state.ema is not None
    assert torch.equal(state.ema.model.get_parameter("head.fc.weight"), head_of(state))
    assert torch.equal(head_of(prepare(study, pretrained_config(loss=loss))[1]), head_of(state))
    body = random.model.get_submodule("body").state_dict()
    assert all(
        torch.equal(tensor, body[name]) for name, tensor in state.model.get_submodule("body").state_dict().items()
    )


@pytest.mark.parametrize("model", [{"pretrained": False}, {"hidden": (8,)}, {"pooling": "gem"}])
def test_a_head_that_cannot_be_probed_begins_by_chance(model: dict[str, Any], tmp_path: Path) -> None:
    study = write_study(tmp_path)
    _, probed = prepare(study, pretrained_config(**model))
    _, random = prepare(study, pretrained_config(TransferConfig(), **model))
    assert torch.equal(head_of(probed), head_of(random))


def test_the_head_is_probed_by_the_first_rank_and_before_the_first_epoch_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SecondRank(SingleProcess):
        rank = 1

    study, fits = write_study(tmp_path), list[HeadTask]()

    def fit(task: HeadTask, *rest: Any, **options: Any) -> LinearHead:
        fits.append(task)
        return fit_linear_head(task, *rest, **options)

    monkeypatch.setattr(fold, "fit_linear_head", fit)
    config = replace(pretrained_config(), epochs=2)
    prepare(study, config, ranks=SecondRank())
    assert fits == []
    weights = str(study.root.parent / "weights")
    with pytest.raises(JobStopped):
        run_trial(payload_of(study, config, weights_dir=weights), ScriptedContext(stop_at_step=0))
    _, state = prepare(study, config)
    assert (len(fits), len(state.history)) == (1, 1)
