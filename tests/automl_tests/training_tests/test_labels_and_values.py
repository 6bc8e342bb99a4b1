"""Labels and values go through the whole of training: they are learned, resumed and trained on two devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from automl.artifacts import StudyFiles, read_arrays, read_json
from automl.config import (
    AugmentConfig,
    LossConfig,
    OptimConfig,
    TransferConfig,
)
from automl.data.cache import PixelCache
from automl.data.competition import load_competition
from automl.data.resize import EvaluationPixels
from automl.tasks import Task
from automl.training.batches import build_fold_loss, iterate_batches
from automl.training.entry_points import run_lr_sweep, run_trial
from automl.training.fold import prepare_fold
from automl.training.inference import predict_probs
from automl.training.loss.by_task import OBJECTIVES
from automl.training.network.create import load_trained
from automl.training.optim.accumulation import accumulate_gradients
from automl.training.optim.optimizers import set_lr
from automl.training.optim.step import take_step
from automl.training.trial_context import TrialContext
from automl.training.trial_job import TrialJob
from runners.base import JobStopped
from tests.automl_tests.training_tests.toy_competitions import ToyCompetition
from tests.automl_tests.training_tests.trial_builders import (
    MANY_HOT,
    NEW,
    TOY_COMPETITIONS,
    WHOLE,
    ScriptedContext,
    config_of,
    contents,
    loss_named,
    payload_of,
    seeded_model,
    state_of,
    task_of,
    trained,
    write_study,
)

EVERY_LOSS = [(task, name) for task in TOY_COMPETITIONS for name in OBJECTIVES[task]]
EVERYTHING = config_of(
    sizes="24-32",
    epochs=3,
    dropout=0.2,
    augment=AugmentConfig(policy="heavy", mixup_alpha=0.4, cutmix_alpha=1.0, mix_off_fraction=0.3),
    loss=LossConfig(name="focal", focal_gamma=1.0, class_weights="balanced", label_smoothing=0.1),
    optim=OptimConfig(optimizer="sam", lr=3e-3, schedule="plateau"),
    transfer=TransferConfig(freeze_epochs=1, layer_decay=0.9),
    class_sampling="sqrt",
    ema_horizon=0.2,
    epoch_choice="best",
)


# ---- Learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "name"), EVERY_LOSS)
def test_one_step_with_each_loss_lowers_it(task: Task, name: str, studies: dict[Task, StudyFiles]) -> None:
    config = config_of(loss=loss_named(name), optim=OptimConfig(optimizer="sgd", lr=1e-3, clip_norm=0.1), **WHOLE)
    state = state_of(seeded_model(config, TOY_COMPETITIONS[task]), config)
    fold = task_of(studies[task], config, TOY_COMPETITIONS[task])
    set_lr(state.optimizer, config.optim.lr)
    (batch,) = iterate_batches(fold, state, 0, fold.train_rows, seed=0, features=None)

    def gradients() -> float:
        return accumulate_gradients(state, batch, compute_loss=build_fold_loss(fold), device="cpu")

    before = gradients()
    take_step(state, config.optim, closure=gradients)
    assert gradients() < before


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), [pair for pair in EVERY_LOSS if pair[0] in MANY_HOT])
def test_what_is_learned_with_each_loss_scores_better_than_the_prior(
    task: Task, name: str, studies: dict[Task, StudyFiles]
) -> None:
    toy, competition = TOY_COMPETITIONS[task], load_competition(studies[task].competition)
    config = config_of(loss=loss_named(name), optim=OptimConfig(lr=1e-2), augment="none", epochs=8)
    state = trained(studies[task], config, toy=toy)
    targets = competition.targets[48:60]
    constant = competition.scorer(targets, np.tile(competition.prior, (len(targets), 1)))
    learned = state.history[-1].score
    assert learned < 0.6 * constant if task is Task.REGRESSION else learned > 0.8
    assert competition.scorer.is_better(learned, constant)


@pytest.mark.parametrize("task", NEW)
def test_the_outputs_begin_at_the_frequencies_of_training(task: Task, studies: dict[Task, StudyFiles]) -> None:
    config = config_of(loss=loss_named("bce"), optim=OptimConfig(lr=1e-2))
    setting = TrialContext.open_job(TrialJob.from_json(payload_of(studies[task], config)), ScriptedContext())
    fold, state = prepare_fold(setting, 0)
    bias = state.model.get_submodule("head.fc").get_parameter("bias")
    expected = setting.competition.soft_targets[fold.train_rows].mean(axis=0)
    assert np.allclose(bias.sigmoid().detach().numpy(), expected, atol=1e-5)


def test_labels_are_predicted_each_by_itself_and_values_as_scaled_targets(studies: dict[Task, StudyFiles]) -> None:
    for task in NEW:
        model = seeded_model(config_of(), TOY_COMPETITIONS[task])
        n_outputs = len(TOY_COMPETITIONS[task].classes)
        outputs = torch.linspace(-200, 200, 3 * n_outputs).reshape(3, n_outputs)
        probs = model.output_layer.to_probs(outputs)  # type: ignore[union-attr, operator]
        assert torch.equal(probs, 1 / (1 + torch.exp(-outputs)))
        assert probs.min() >= 0
        assert probs.max() <= 1


# ---- Whole trials ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=NEW, ids=str)
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ToyCompetition, StudyFiles, ScriptedContext]]:
    """A trial with every trick at once, from beginning to end."""
    toy, context = TOY_COMPETITIONS[request.param], ScriptedContext()
    study = write_study(tmp_path_factory.mktemp("undisturbed"), toy)
    answer = run_trial(payload_of(study, EVERYTHING), context)
    assert answer["outcome"] == "completed", answer
    yield toy, study, context


def test_a_trial_leaves_probabilities_that_come_back_from_its_weights(
    undisturbed: tuple[ToyCompetition, StudyFiles, ScriptedContext],
) -> None:
    toy, study, _ = undisturbed
    competition, files = load_competition(study.competition), study.get_trial_files(0)
    oof, test = read_arrays(files.oof), read_arrays(files.test)["probs"]
    assert oof["probs"].shape == (len(oof["rows"]), len(toy.classes))
    assert test.shape == (7, len(toy.classes))
    assert (test >= 0).all()
    assert (test <= 1).all()
    assert not np.allclose(test.sum(axis=1), 1, atol=0.01)
    answer = read_json(files.result)["answer"]
    assert competition.scorer(competition.targets[oof["rows"]], oof["probs"]) == answer["score"]
    model = load_trained(EVERYTHING, files.get_weights_path(0), competition=competition, device="cpu")
    pixels = PixelCache(competition, study.cache).load_pixels("test", 32, interpolation="bicubic")
    evaluation = EvaluationPixels(32, "bicubic")
    assert np.array_equal(predict_probs(model, pixels, np.arange(7), evaluation=evaluation, device="cpu"), test)


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1])
def test_a_stopped_trial_goes_on_bit_for_bit(
    step: int, undisturbed: tuple[ToyCompetition, StudyFiles, ScriptedContext], tmp_path: Path
) -> None:
    toy, study, context = undisturbed
    again, resumed = write_study(tmp_path, toy), ScriptedContext()
    with pytest.raises(JobStopped):
        run_trial(payload_of(again, EVERYTHING), ScriptedContext(stop_at_step=step))
    run_trial(payload_of(again, EVERYTHING), resumed)
    assert resumed.reports == context.reports
    assert contents(again.get_trial_files(0)) == contents(study.get_trial_files(0))


@pytest.mark.parametrize(("task", "name"), [(Task.MULTILABEL, "ordinal"), (Task.REGRESSION, "ordinal")])
def test_a_trial_whose_loss_has_no_meaning_is_refused(task: Task, name: str, studies: dict[Task, StudyFiles]) -> None:
    payload = payload_of(studies[task], config_of(loss=loss_named(name)), trial=9)
    answer = run_trial(payload, ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 2)
    assert answer["problem"] == f"loss = '{name}' cannot be trained where the task is {task.value}"


@pytest.mark.slow
@pytest.mark.parametrize("task", MANY_HOT)
def test_a_range_test_of_learning_rates_sees_losses_fall(task: Task, studies: dict[Task, StudyFiles]) -> None:
    config = config_of(optim=OptimConfig(lr=1e-3), loss=loss_named("focal", class_weights="balanced"))
    answer = run_lr_sweep(
        {**payload_of(studies[task], config), "pixel_cache": str(studies[task].cache)}, ScriptedContext()
    )
    assert answer["outcome"] == "completed"
    assert min(answer["losses"]) < 0.8 * answer["losses"][0]


@pytest.mark.slow
@pytest.mark.parametrize("task", MANY_HOT)
def test_a_trial_on_two_devices_is_that_of_one(task: Task, tmp_path: Path) -> None:
    config = config_of(
        backbone="test_efficientnet_ln",  # without batch norm, which treats the parts of a batch in another way
        augment="medium",
        loss=LossConfig(class_weights="balanced"),
        transfer=TransferConfig(freeze_epochs=1),
        class_sampling="balanced",
    )
    probs, scores = [], []
    for device in ("cpu", "cpu+cpu"):
        study = write_study(tmp_path / device, TOY_COMPETITIONS[task])
        context = ScriptedContext(device=device, n_threads=device.count("cpu"))
        scores.append(run_trial(payload_of(study, config), context)["score"])
        probs.append(read_arrays(study.get_trial_files(0).oof)["probs"])
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)
    assert np.allclose(probs[0], probs[1], atol=1e-4)
