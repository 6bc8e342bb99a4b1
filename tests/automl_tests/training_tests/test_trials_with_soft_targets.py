"""Trials with soft targets: no validated row is trained on, students get better, interruptions change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_arrays
from automl.config import OptimConfig, TransferConfig
from automl.data.competition import load_competition
from automl.data.folds import save_folds
from automl.training import batches
from automl.training.entry_points import run_trial
from automl.training.loss.soft_targets import (
    SoftTargets,
)
from runners.base import JobStopped
from tests.automl_tests.training_tests.forks import fork_ranks
from tests.automl_tests.training_tests.soft_target_builders import (
    N_TEST,
    N_TRAIN,
    PLAIN,
    Rows,
    opened,
    payload_with,
    pseudo,
    soft,
    truth,
)
from tests.automl_tests.training_tests.test_trial import RICH, contents
from tests.automl_tests.training_tests.toy_competitions import SHAPES, shape_image
from tests.automl_tests.training_tests.trial_builders import (
    TWO_DEVICES,
    UNNORMALISED,
    ScriptedContext,
    config_of,
    payload_of,
    write_study,
)


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Rows]:
    """The rows of every batch that is trained on from now on, as images or as features."""
    trained_rows: list[Rows] = []

    def spied(function: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*arguments: Any, **named: Any) -> Any:
            for item in function(*arguments, **named):
                trained_rows.append(item[1] if isinstance(item, tuple) else item)
                yield item

        return spy

    monkeypatch.setattr(batches, "iterate_training_batches", spied(batches.iterate_training_batches))
    monkeypatch.setattr(batches, "split_batches", spied(batches.split_batches))
    return trained_rows


@pytest.mark.parametrize("freeze_epochs", [0, 1])
def test_no_row_that_is_validated_is_ever_trained_on(
    freeze_epochs: int, tmp_path: Path, trained_on: list[Rows]
) -> None:
    study = write_study(tmp_path, n_train=N_TRAIN, n_test=N_TEST)
    config = config_of(epochs=2, transfer=TransferConfig(freeze_epochs=freeze_epochs), **PLAIN)
    answer = run_trial(payload_with(study, config, pseudo(study)), ScriptedContext())
    competition, folds = opened(study)
    of_epochs = np.sort(np.concatenate(trained_on))
    fold_targets = [*np.flatnonzero(folds != 0).tolist(), *range(N_TRAIN, N_TRAIN + N_TEST, 2)]
    assert of_epochs.tolist() == sorted(fold_targets * 2)
    oof = read_arrays(study.get_trial_files(0).oof)
    assert oof["rows"].tolist() == np.flatnonzero(folds == 0).tolist()
    assert answer["score"] == competition.scorer(competition.targets[oof["rows"]], oof["probs"])


FAINT = replace(
    SHAPES,
    image=lambda label, rng: (0.45 * shape_image(label, rng) + rng.integers(0, 140, (24, 24, 3))).astype(np.uint8),
)


def few_labels(root: Path) -> StudyFiles:
    """A study with 9 training images for fold 0, 111 to validate it on and 100 test images."""
    study = write_study(root, FAINT, n_train=120, n_test=100)
    save_folds(np.where(np.arange(120) < 9, 1, 0), load_competition(study.competition), study.folds)
    return study


@pytest.mark.slow
def test_many_test_images_make_a_student_better_and_shuffled_ones_worse(tmp_path: Path) -> None:
    """As many steps for all; a tenth of the pseudo-labels is wrong."""
    rng, right = np.random.default_rng(0), truth(SHAPES, 120, 100)
    classes = np.where(rng.random(100) < 0.1, (right + 1) % 3, right)
    scores = {}
    for name, labels in (("right", classes), ("shuffled", rng.permutation(classes))):
        study = few_labels(tmp_path / name)
        rows, folds = 120 + np.arange(100), np.zeros(100, np.int64)
        soft_targets = SoftTargets(target_kind="pseudo", rows=rows, folds=folds, targets=soft(labels))
        config = config_of(epochs=5, optim=OptimConfig(lr=5e-3), **PLAIN)
        scores[name] = run_trial(payload_with(study, config, soft_targets), ScriptedContext())["score"]
    config = config_of(epochs=35, optim=OptimConfig(lr=5e-3), **PLAIN)
    scores["plain"] = run_trial(payload_of(few_labels(tmp_path / "plain"), config), ScriptedContext())["score"]
    assert scores["right"] > scores["plain"] + 0.2
    assert scores["shuffled"] < scores["right"] - 0.3


@pytest.mark.slow
def test_a_stopped_trial_with_soft_targets_goes_on_bit_for_bit(tmp_path: Path) -> None:
    ended = []
    for name, stops in (("undisturbed", ()), ("stopped", (0, 2))):
        study = write_study(tmp_path / name, n_train=N_TRAIN, n_test=N_TEST)
        payload = payload_with(study, RICH, pseudo(study))
        for step in stops:
            with pytest.raises(JobStopped):
                run_trial(payload, ScriptedContext(stop_at_step=step))
        run_trial(payload, ScriptedContext())
        ended.append(contents(study.get_trial_files(0)))
    assert ended[0] == ended[1]
    plain = write_study(tmp_path / "plain", n_train=N_TRAIN, n_test=N_TEST)
    run_trial(payload_of(plain, RICH), ScriptedContext())
    assert contents(plain.get_trial_files(0)) != ended[0]


@pytest.mark.slow
def test_two_devices_train_on_the_same_soft_targets_as_one(tmp_path: Path) -> None:
    config = config_of(backbone=UNNORMALISED.model.backbone, epochs=2, **PLAIN)
    probs = []
    for device in ("cpu", TWO_DEVICES):
        study = write_study(tmp_path / str(len(probs)), n_train=N_TRAIN, n_test=N_TEST)
        context = ScriptedContext(device=device, n_threads=device.count("cpu"))
        with fork_ranks():
            run_trial(payload_with(study, config, pseudo(study)), context)
        probs.append(read_arrays(study.get_trial_files(0).oof)["probs"])
    assert np.allclose(probs[0], probs[1], atol=1e-4)
