"""The steps of a learning-rate range test on a small competition."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.config import OptimConfig, TransferConfig, TrialConfig
from automl.training.batches import FoldTask
from automl.training.entry_points import run_lr_sweep
from automl.training.entry_points import run_lr_sweep as carried_sweep
from automl.training.lr_range import has_diverged
from automl.training.lr_sweep import measure_losses
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    payload_of,
    seeded_model,
    state_of,
    task_of,
    write_study,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    return write_study(tmp_path_factory.mktemp("toy"))


def losses_with(
    study: StudyFiles, config: TrialConfig, lrs: list[float], *, epoch: int = 0, **changes: object
) -> list[float]:
    state = state_of(seeded_model(config), config)
    task: FoldTask = task_of(study, config, **changes)
    return measure_losses(task, state, lrs, epoch=epoch, on_step=lambda: None)


@pytest.mark.slow
def test_a_learning_rate_that_trains_lowers_the_loss_and_the_lowest_does_not(study: StudyFiles) -> None:
    config = config_of(augment="none")
    idle, trained = losses_with(study, config, [1e-9] * 20), losses_with(study, config, [1e-2] * 20)
    assert idle[0] == trained[0]
    assert abs(np.mean(idle[-6:]) - np.mean(idle[:6])) < 0.05
    assert np.mean(trained[-6:]) < 0.7 * np.mean(idle[-6:])


@pytest.mark.slow
def test_the_same_seeds_give_the_same_losses_and_each_pass_another_order(study: StudyFiles) -> None:
    config = config_of()
    lrs = [1e-9] * 9  # three passes of three batches
    losses = losses_with(study, config, lrs)
    assert losses == losses_with(study, config, lrs)
    assert len(set(losses)) == 9
    assert losses != losses_with(study, config, lrs, seeds=(6, 0, 0))


def test_each_step_shows_a_sign_of_life(study: StudyFiles) -> None:
    config, signs = config_of(), list[int]()
    task, state = task_of(study, config), state_of(seeded_model(config), config)
    losses = measure_losses(task, state, [1e-9] * 4, epoch=0, on_step=lambda: signs.append(1))
    assert len(signs) == len(losses) == 4


def test_validation_rows_are_never_seen(study: StudyFiles) -> None:
    config = config_of(augment="none")
    task = task_of(study, config)

    def spoilt(image_size: int) -> NDArray[np.uint8]:
        pixels = task.pixels(image_size).copy()
        pixels[task.valid_rows] = 255
        return pixels

    assert losses_with(study, config, [1e-3] * 8, pixels=spoilt) == losses_with(study, config, [1e-3] * 8)


def test_the_steps_end_where_the_loss_explodes_and_the_last_one_is_returned(study: StudyFiles) -> None:
    config = config_of(optim=OptimConfig(optimizer="sgd", clip_norm=None))
    losses = losses_with(study, config, [1e4] * 60)
    assert len(losses) < 60
    assert has_diverged(losses)
    assert not has_diverged(losses[:-1])


@pytest.mark.parametrize(("epoch", "expected"), [(0, True), (1, False)])
def test_what_is_frozen_in_the_epoch_is_frozen_in_the_test(study: StudyFiles, epoch: int, expected: bool) -> None:
    config = config_of(transfer=TransferConfig(freeze_epochs=1))
    model = seeded_model(config)
    before = {name: value.clone() for name, value in model.named_parameters()}
    measure_losses(task_of(study, config), state_of(model, config), [1e-2] * 2, epoch=epoch, on_step=lambda: None)
    changed = [name for name, value in model.named_parameters() if not value.equal(before[name])]
    assert changed
    assert all("conv" not in name for name in changed) is expected


@pytest.mark.slow
def test_the_task_answers_with_losses_of_the_first_epoch_in_which_everything_trains(study: StudyFiles) -> None:
    config = config_of(sizes="24-32", transfer=TransferConfig(freeze_epochs=2))
    context = ScriptedContext()
    payload = {**payload_of(study, config), "init_from": None, "pixel_cache": str(study.cache)}
    answer = carried_sweep(payload, context)
    assert (answer["outcome"], answer["image_size"], answer["batch_size"]) == ("completed", 32, 16)
    assert len(answer["lrs"]) == len(answer["losses"]) <= 50
    assert all(map(math.isfinite, answer["losses"]))
    assert context.beats
    assert not study.trials.exists()


def test_a_backbone_that_is_unknown_is_refused_as_in_a_trial(study: StudyFiles) -> None:
    config = config_of()
    unknown = replace(config, model=replace(config.model, backbone="resnet18x"))
    payload = {**payload_of(study, unknown), "init_from": None, "pixel_cache": str(study.cache)}
    answer = run_lr_sweep(payload, ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 2)
    assert "resnet18x" in answer["problem"]


def test_what_does_not_fit_into_memory_is_refused_with_a_way_out(
    study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl.training import lr_sweep
    from automl.training.optim.accumulation import InfeasibleConfig

    def too_large(*args: object, **kwargs: object) -> list[float]:
        raise InfeasibleConfig("memory", "2 images of 32 pixels do not fit into memory of cpu")

    monkeypatch.setattr(lr_sweep, "measure_losses", too_large)
    payload = {**payload_of(study, config_of()), "init_from": None, "pixel_cache": str(tmp_path)}
    answer = run_lr_sweep(payload, ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 2)
    assert "--fix" in answer["hint"]
