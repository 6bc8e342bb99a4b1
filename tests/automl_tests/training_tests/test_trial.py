"""A whole trial: its answer, its files, and what an interruption leaves of it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from automl.artifacts import StudyFiles, read_arrays, read_json
from automl.config import AugmentConfig, LossConfig, OptimConfig, TransferConfig, TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from automl.data.resize import EvaluationPixels
from automl.training import reporting
from automl.training.entry_points import run_trial
from automl.training.inference import predict_probs
from automl.training.network.create import load_trained
from runners.base import JobStopped
from tests.automl_tests.training_tests.toy_competitions import CLASSES
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    contents,
    payload_of,
    write_study,
)

RICH = config_of(
    sizes="24-32",
    epochs=4,
    dropout=0.2,
    augment=AugmentConfig(policy="heavy", mixup_alpha=0.4, cutmix_alpha=1.0, mix_off_fraction=0.25),
    loss=LossConfig(name="focal", focal_gamma=1.0, class_weights="balanced"),
    optim=OptimConfig(optimizer="lookahead_adam", lr=1e-2, schedule="plateau"),
    transfer=TransferConfig(freeze_epochs=1, layer_decay=0.9),
    class_sampling="sqrt",
    ema_horizon=0.2,
    epoch_choice="best",
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFiles, dict[str, Any], ScriptedContext]:
    """A study whose trial 0 ran without interruption, its answer and what it reported."""
    study, context = write_study(tmp_path_factory.mktemp("undisturbed")), ScriptedContext()
    return study, run_trial(payload_of(study, RICH), context), context


def test_a_trial_beats_chance_and_says_how_it_came_about(tmp_path: Path) -> None:
    study, context = write_study(tmp_path, n_train=90), ScriptedContext()
    answer = run_trial(payload_of(study, config_of(sizes="24-32", epochs=8)), context)
    assert answer["outcome"] == "completed"
    assert answer["score"] > 0.6
    assert answer["score"] == context.reports[-1][1]
    attributes = answer["attributes"]
    assert attributes["seconds"] > 0
    assert attributes["micro_batch"] == 16
    assert attributes["n_parameters"] > 100_000
    assert [step for step, _ in context.reports] == list(range(8))
    assert [detail["image_size"] for detail in context.details] == [24] * 4 + [32] * 4
    assert {"image_size", "lr", "train_loss", "images_per_s", "seconds"} <= context.details[0].keys()


def test_the_files_of_a_trial_are_complete_and_nothing_else_is_left(
    undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext],
) -> None:
    study, answer, _ = undisturbed
    files = study.get_trial_files(0)
    competition = load_competition(study.competition)
    folds = load_folds(study.folds, competition)
    oof, test = read_arrays(files.oof), read_arrays(files.test)
    assert oof["rows"].tolist() == np.flatnonzero(folds == 0).tolist()
    assert set(oof["folds"].tolist()) == {0}
    assert np.allclose(oof["probs"].sum(axis=1), 1, atol=1e-5)
    assert test["probs"].shape == (7, len(CLASSES))
    assert competition.metric(competition.targets[oof["rows"]], oof["probs"]) == answer["score"]
    assert TrialConfig.from_json(read_json(files.config)) == replace(
        RICH, resize=replace(RICH.resize, interpolation="bicubic")
    )
    with files.history.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert list(rows[0]) == ["epoch", "image_size", "lr", "train_loss", "score", "seconds"]
    names = {path.name for path in files.root.iterdir()}
    kept = (files.oof, files.test, files.config, files.history, files.lock, files.get_weights_path(0), files.result)
    kept = (*kept, files.get_stage_weights_path(0, 0), files.origin)
    assert names == {path.name for path in kept}


def test_the_saved_weights_give_the_saved_probabilities(
    undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext],
) -> None:
    study, _, _ = undisturbed
    competition, files = load_competition(study.competition), study.get_trial_files(0)
    model = load_trained(RICH, files.get_weights_path(0), competition=competition, device="cpu")
    pixels = PixelCache(competition, study.cache).load_pixels("test", 32, interpolation="bicubic")
    evaluation = EvaluationPixels(32, "bicubic")
    probs = predict_probs(model, pixels, np.arange(7), evaluation=evaluation, device="cpu")
    assert np.array_equal(probs, read_arrays(files.test)["probs"])
    assert not model.training


def test_a_trial_says_which_epoch_predicts_and_the_score_at_each_size(
    undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext],
) -> None:
    _, answer, context = undisturbed
    attributes, scores = answer["attributes"], [score for _, score in context.reports]
    assert attributes["epoch_choice"] == "best"
    assert attributes["chosen_epoch"] == 2 + int(np.argmax(scores[2:]))
    assert answer["score"] == scores[attributes["chosen_epoch"]] == max(scores[2:])
    assert attributes["score_by_size"] == {"24": scores[1], "32": scores[3]}


def test_the_weights_at_the_end_of_a_stage_are_kept_and_those_of_the_last_stage_are_the_trials(
    undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext],
) -> None:
    files = undisturbed[0].get_trial_files(0)
    early, final = load_file(files.get_stage_weights_path(0, 0)), load_file(files.get_weights_path(0))
    assert early.keys() == final.keys()
    assert any(not torch.equal(tensor, final[name]) for name, tensor in early.items())
    assert not files.get_stage_weights_path(0, 1).exists()


def test_two_runs_give_the_same_scores_and_the_same_weights(
    tmp_path: Path, undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext]
) -> None:
    first, answer, context = undisturbed
    second, again = write_study(tmp_path), ScriptedContext()
    assert run_trial(payload_of(second, RICH), again)["score"] == answer["score"]
    assert again.reports == context.reports
    assert contents(second.get_trial_files(0)) == contents(first.get_trial_files(0))


def test_another_seed_trains_another_model(
    tmp_path: Path, undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext]
) -> None:
    first, _, _ = undisturbed
    second = write_study(tmp_path)
    run_trial(payload_of(second, RICH, seed=6), ScriptedContext())
    assert contents(second.get_trial_files(0)) != contents(first.get_trial_files(0))


@pytest.mark.parametrize("stop", [{"stop_at_step": 0}, {"stop_at_step": 2}, {"stop_at_beat": 9}, {"stop_at_beat": 1}])
def test_a_stopped_trial_goes_on_bit_for_bit_as_if_it_had_never_stopped(
    stop: dict[str, int],
    tmp_path: Path,
    undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "BEAT_INTERVAL_S", 0.0)
    first, answer, context = undisturbed
    study, resumed = write_study(tmp_path), ScriptedContext()
    with pytest.raises(JobStopped):
        run_trial(payload_of(study, RICH), ScriptedContext(**stop))
    assert run_trial(payload_of(study, RICH), resumed)["score"] == answer["score"]
    assert resumed.reports == context.reports
    assert contents(study.get_trial_files(0)) == contents(first.get_trial_files(0))


def test_a_damaged_checkpoint_costs_one_epoch_and_changes_nothing(
    tmp_path: Path, undisturbed: tuple[StudyFiles, dict[str, Any], ScriptedContext]
) -> None:
    first, _, context = undisturbed
    study, resumed = write_study(tmp_path), ScriptedContext()
    with pytest.raises(JobStopped):
        run_trial(payload_of(study, RICH), ScriptedContext(stop_at_step=1))
    checkpoint = study.get_trial_files(0).get_checkpoint_path(0)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    run_trial(payload_of(study, RICH), resumed)
    assert resumed.reports == context.reports
    assert contents(study.get_trial_files(0)) == contents(first.get_trial_files(0))


def test_a_finished_trial_answers_at_once_and_reports_again(tmp_path: Path) -> None:
    study, config = write_study(tmp_path), config_of(epochs=2)
    first, second = ScriptedContext(), ScriptedContext()
    answer = run_trial(payload_of(study, config), first)
    for image in (tmp_path / "images").iterdir():
        image.unlink()
    assert run_trial(payload_of(study, config), second) == answer
    assert second.reports == first.reports


def test_a_trial_whose_weights_are_gone_is_trained_again(tmp_path: Path) -> None:
    study, config = write_study(tmp_path), config_of(epochs=1)
    answer = run_trial(payload_of(study, config), ScriptedContext())
    before = contents(study.get_trial_files(0))
    study.get_trial_files(0).get_weights_path(0).unlink()
    assert run_trial(payload_of(study, config), ScriptedContext())["score"] == answer["score"]
    assert contents(study.get_trial_files(0)) == before


def test_all_requested_folds_are_pooled_and_only_the_first_one_reports(tmp_path: Path) -> None:
    study, context = write_study(tmp_path), ScriptedContext()
    answer = run_trial(payload_of(study, config_of(epochs=2), train_folds=3), context)
    competition = load_competition(study.competition)
    folds = load_folds(study.folds, competition)
    oof = read_arrays(study.get_trial_files(0).oof)
    assert [step for step, _ in context.reports] == [0, 1]
    assert oof["folds"].tolist() == sorted(oof["folds"].tolist())
    assert (folds[oof["rows"]] == oof["folds"]).all()
    assert set(oof["rows"].tolist()) == set(np.flatnonzero((folds >= 0) & (folds < 3)).tolist())
    assert answer["score"] == competition.metric(competition.targets[oof["rows"]], oof["probs"])
    assert all(study.get_trial_files(0).get_weights_path(fold).exists() for fold in range(3))
