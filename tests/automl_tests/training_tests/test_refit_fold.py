"""A single fold that is trained after the search: the same bits, what an interruption leaves of it, and damage."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from automl.artifacts import StudyFiles, TrialFiles, read_arrays, read_json, remove_leftovers
from automl.config import AugmentConfig, OptimConfig, TransferConfig
from automl.data.competition import load_competition
from automl.errors import StorageError
from automl.training import reporting, trial_run
from automl.training.entry_points import run_fold, run_trial
from automl.training.fold_outputs import load_fold
from automl.training.refit_fold import delete_fold, has_weights, load_valid_fold
from runners.base import JobStopped
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    ScriptedContext,
    config_of,
    payload_of,
    write_study,
)

pytestmark = pytest.mark.slow

# Two sizes, random augmentation, dropout and averaged weights: whatever might depend on what was trained before.
CONFIG = config_of(
    sizes="24-32",
    epochs=2,
    dropout=0.2,
    augment=AugmentConfig(policy="medium", mixup_alpha=0.4),
    transfer=TransferConfig(freeze_epochs=0, layer_decay=0.9),
    ema_horizon=0.2,
)
FOLD = 3


def fold_payload(study: StudyFiles, fold: int = FOLD, **changes: Any) -> dict[str, Any]:
    """What the refit sends to run_fold."""
    whole = payload_of(study, CONFIG, fold=fold, refit_kind="refit", soft_targets=None, **changes)
    return {name: value for name, value in whole.items() if name != "train_folds"}


def contents(files: TrialFiles, fold: int) -> dict[str, bytes]:
    """All bits of a finished fold's weights and probabilities."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in load_file(files.get_weights_path(fold)).items()}
    oof = read_arrays(files.get_fold_oof_path(fold))
    arrays = {name: oof[name].tobytes() for name in ("rows", "probs", "n_parameters", "micro_batch")}
    return {**weights, **arrays, "test": read_arrays(files.get_fold_test_path(fold))["probs"].tobytes()}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """A study whose trial 0 trained all folds in the search."""
    study = write_study(tmp_path_factory.mktemp("searched"))
    answer = run_trial(payload_of(study, CONFIG, train_folds=5), ScriptedContext())
    assert answer["outcome"] == "completed"
    return study


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFiles, dict[str, Any], ScriptedContext]:
    """A study whose trial 0 trained one fold in the search, and another one after it; that one's answer and reports."""
    study, context = write_study(tmp_path_factory.mktemp("refitted")), ScriptedContext()
    run_trial(payload_of(study, CONFIG), ScriptedContext())
    return study, run_fold(fold_payload(study), context), context


def test_a_fold_is_bit_for_bit_that_of_a_search_with_all_folds(
    searched: StudyFiles, refitted: tuple[StudyFiles, dict[str, Any], ScriptedContext]
) -> None:
    trial, files = searched.get_trial_files(0), refitted[0].get_trial_files(0).get_refit_files("refit")
    theirs, own = load_file(trial.get_weights_path(FOLD)), load_file(files.get_weights_path(FOLD))
    assert {name: tensor.numpy().tobytes() for name, tensor in own.items()} == {
        name: tensor.numpy().tobytes() for name, tensor in theirs.items()
    }
    oof = read_arrays(trial.oof)
    finished = load_fold(files, FOLD)
    assert finished is not None
    assert finished.rows.tolist() == oof["rows"][oof["folds"] == FOLD].tolist()
    assert finished.probs.tobytes() == oof["probs"][oof["folds"] == FOLD].tobytes()


def test_the_mean_of_all_folds_test_probabilities_is_that_of_a_search_with_all_folds(
    searched: StudyFiles, refitted: tuple[StudyFiles, dict[str, Any], ScriptedContext]
) -> None:
    study = refitted[0]
    files = study.get_trial_files(0).get_refit_files("refit")
    for fold in (1, 2, 4):
        run_fold(fold_payload(study, fold), ScriptedContext())
    later = [read_arrays(files.get_fold_test_path(fold))["probs"] for fold in range(1, 5)]
    stacked = np.stack([read_arrays(study.get_trial_files(0).test)["probs"], *later])
    expected = read_arrays(searched.get_trial_files(0).test)["probs"]
    assert np.array_equal(stacked.mean(axis=0).astype(np.float32), expected)


def test_a_fold_reports_its_epochs_as_a_trial_does_and_answers_with_its_score(
    refitted: tuple[StudyFiles, dict[str, Any], ScriptedContext],
) -> None:
    study, answer, context = refitted
    assert [step for step, _ in context.reports] == [0, 1]
    assert [detail["image_size"] for detail in context.details] == [24, 32]
    assert answer["outcome"] == "completed"
    competition, finished = (
        load_competition(study.competition),
        load_fold(study.get_trial_files(0).get_refit_files("refit"), FOLD),
    )
    assert finished is not None
    assert answer["score"] == competition.scorer(competition.targets[finished.rows], finished.probs)
    assert answer["score"] == context.reports[-1][1]
    assert answer["attributes"]["micro_batch"] == 16
    assert answer["attributes"]["seconds"] > 0


def test_a_fold_leaves_the_trials_own_files_alone_and_no_checkpoint(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    run_trial(payload_of(study, CONFIG), ScriptedContext())
    trial = study.get_trial_files(0)
    before = {path.name: path.read_bytes() for path in trial.root.iterdir()}
    run_fold(fold_payload(study), ScriptedContext())
    assert {path.name: path.read_bytes() for path in trial.root.iterdir() if path.is_file()} == before
    files = trial.get_refit_files("refit")
    kept = {
        files.get_weights_path(FOLD),
        files.get_fold_oof_path(FOLD),
        files.get_fold_test_path(FOLD),
        files.get_fold_lock_path(FOLD),
        files.config,
    }
    assert set(files.root.iterdir()) == kept | {files.get_stage_weights_path(FOLD, 0)}


@pytest.mark.parametrize("stop", [{"stop_at_step": 0}, {"stop_at_step": 1}, {"stop_at_beat": 5}])
def test_a_stopped_fold_goes_on_bit_for_bit(
    stop: dict[str, int],
    tmp_path: Path,
    refitted: tuple[StudyFiles, dict[str, Any], ScriptedContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "BEAT_INTERVAL_S", 0.0)
    first, answer, context = refitted
    study, resumed = write_study(tmp_path), ScriptedContext()
    with pytest.raises(JobStopped):
        run_fold(fold_payload(study), ScriptedContext(**stop))
    assert run_fold(fold_payload(study), resumed)["score"] == answer["score"]
    assert resumed.reports == context.reports
    own, theirs = (files.get_trial_files(0).get_refit_files("refit") for files in (study, first))
    assert contents(own, FOLD) == contents(theirs, FOLD)


def test_a_finished_fold_answers_at_once_and_reports_again(
    refitted: tuple[StudyFiles, dict[str, Any], ScriptedContext],
) -> None:
    study, answer, context = refitted
    files, again = study.get_trial_files(0).get_refit_files("refit"), ScriptedContext()
    written = files.get_weights_path(FOLD).stat().st_mtime_ns
    assert run_fold(fold_payload(study), again)["score"] == answer["score"]
    assert again.reports == context.reports
    assert files.get_weights_path(FOLD).stat().st_mtime_ns == written


@pytest.mark.parametrize("part", ["get_weights_path", "get_fold_oof_path", "get_fold_test_path"])
@pytest.mark.parametrize("harm", ["gone", "cut short"])
def test_a_fold_of_which_a_part_is_gone_or_damaged_is_trained_again_to_the_same_bits(
    part: str, harm: str, tmp_path: Path
) -> None:
    study = write_study(tmp_path)
    run_fold(fold_payload(study), ScriptedContext())
    files = study.get_trial_files(0).get_refit_files("refit")
    before = contents(files, FOLD)
    path: Path = getattr(files, part)(FOLD)
    path.unlink() if harm == "gone" else path.write_bytes(path.read_bytes()[:-50])
    assert load_valid_fold(files, FOLD) is None
    assert run_fold(fold_payload(study), ScriptedContext())["outcome"] == "completed"
    assert contents(files, FOLD) == before


def test_weights_that_are_gone_cut_short_or_none_at_all_are_no_weights(tmp_path: Path, searched: StudyFiles) -> None:
    files, whole = TrialFiles(tmp_path), searched.get_trial_files(0).get_weights_path(0).read_bytes()
    assert has_weights(searched.get_trial_files(0), 0)
    assert not has_weights(files, 0)
    for content in (b"", whole[:-1], b"no tensors", json.dumps({}).encode()):
        files.get_weights_path(0).write_bytes(content)
        assert not has_weights(files, 0)


def test_a_forgotten_fold_is_begun_anew(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    with pytest.raises(JobStopped):
        run_fold(fold_payload(study), ScriptedContext(stop_at_step=0))
    files = study.get_trial_files(0).get_refit_files("refit")
    assert files.get_checkpoint_path(FOLD).exists()
    delete_fold(files, FOLD)
    assert not files.get_checkpoint_path(FOLD).exists()
    run_fold(fold_payload(study), ScriptedContext())
    delete_fold(files, FOLD)
    assert load_valid_fold(files, FOLD) is None
    assert not files.get_weights_path(FOLD).exists()


def test_two_folds_of_a_trial_may_be_trained_at_one_time_but_one_fold_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_run, "LOCK_TIMEOUT_S", 0.1)
    study = write_study(tmp_path)
    files = study.get_trial_files(0).get_refit_files("refit")
    files.root.mkdir(parents=True)
    with files.get_fold_lock_path(FOLD).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="another process works on"):
            run_fold(fold_payload(study), ScriptedContext())
        assert run_fold(fold_payload(study, 1), ScriptedContext())["outcome"] == "completed"


def test_a_fold_that_diverges_or_does_not_fit_into_memory_is_a_dead_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path)
    wild = OptimConfig(optimizer="sgd", lr=1e30, clip_norm=None, schedule="constant", warmup_fraction=0.0)
    answer = run_fold({**fold_payload(study), "config": config_of(optim=wild).to_json()}, ScriptedContext())
    assert (answer["outcome"], answer["constraint"]) == ("dead_end", "diverged")
    monkeypatch.setattr("automl.training.fold.build_model", lambda model, **rest: PlainNet(capacity=1))
    answer = run_fold({**fold_payload(study), "trial": 1, "config": config_of().to_json()}, ScriptedContext())
    assert (answer["outcome"], answer["constraint"]) == ("dead_end", "memory")


def test_a_fold_that_cannot_be_trained_here_is_refused_in_words(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    answer = run_fold({**fold_payload(study), "config": config_of(backbone="resnet81").to_json()}, ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 2)
    run_fold(fold_payload(study), ScriptedContext())
    other = {**fold_payload(study, 1), "config": config_of(epochs=1).to_json()}
    assert run_fold(other, ScriptedContext())["exit_code"] == 5


def test_what_a_trial_began_with_is_kept_for_its_other_folds(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    run_trial(payload_of(study, config_of(epochs=1), weights_dir="/weights"), ScriptedContext())
    assert read_json(study.get_trial_files(0).origin) == {"weights_dir": "/weights", "init_from": None}


def test_what_a_killed_process_left_half_written_beside_a_fold_is_removed(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    run_fold(fold_payload(study), ScriptedContext())
    files = study.get_trial_files(0).get_refit_files("refit")
    leftover = files.root / f".{files.get_weights_path(FOLD).name}.tmp.999999999.0a"
    leftover.write_bytes(b"half")
    remove_leftovers(study)
    assert not leftover.exists()
    assert load_valid_fold(files, FOLD) is not None
