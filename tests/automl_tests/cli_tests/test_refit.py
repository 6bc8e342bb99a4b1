"""`automl refit` as a user meets it: real training in this process and in others, signals, kills, bad input."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from typer.testing import Result

from automl.artifacts import StudyFiles, read_arrays, read_json
from automl.study.lock import lock_study
from automl.training.entry_points import run_trial
from runners.base import Context
from tests.automl_tests.refit_tests.studies import trained_study, written_study
from tests.automl_tests.training_tests.trial_builders import ScriptedContext, config_of, payload_of, write_study
from tests.conftest import automl_here
from tests.soak.processes import wait_until

CONFIGS = (config_of(), config_of(backbone="test_efficientnet", epochs=3, dropout=0.1))
HERE = ("--gpus", "0", "--runner", "inline")
OTHERS = ("--gpus", "0", "--cpu-slots", "2")
MAIN = "from automl.cli.app import main; main()"
QUIETLY = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Two trials that trained one fold each; to be copied, not to be refitted."""
    return trained_study(tmp_path_factory.mktemp("searched"), CONFIGS)


@pytest.fixture
def files(tmp_path: Path, searched: StudyFiles) -> StudyFiles:
    shutil.copytree(searched.root, tmp_path / "study")
    return StudyFiles(tmp_path / "study")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """Two trials that were never trained, of which the second was pruned; not to be refitted either."""
    return written_study(tmp_path_factory.mktemp("pruned"), n=2, pruned=[1])


@pytest.fixture(scope="module")
def all_folds(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """The same trials, with all folds trained by the search."""
    files = write_study(tmp_path_factory.mktemp("all-folds"))
    for number, config in enumerate(CONFIGS):
        run_trial(payload_of(files, config, trial=number, train_folds=5), ScriptedContext())
    return files


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other numbers of threads may change the last bits, and many are slow where others compute as well."""
    for place in ("automl.search.placement", "runners.devices"):
        monkeypatch.setattr(f"{place}.count_cpus", lambda: 1)


def refit(files: StudyFiles, *flags: str, study: str | None = None) -> Result:
    """The command in this process, in the folder above its working folder."""
    where = ["--workdir", str(files.root.parent), "--study", study or files.root.name]
    return automl_here(files.root.parent, "refit", *where, *flags)


def command(files: StudyFiles, *flags: str) -> list[str]:
    """The command as a process."""
    return [
        sys.executable,
        "-c",
        MAIN,
        "refit",
        "--workdir",
        str(files.root.parent),
        "--study",
        files.root.name,
        *flags,
    ]


def weights_of(files: StudyFiles, number: int, fold: int) -> dict[str, bytes]:
    trial = files.get_trial_files(number)
    searched, refitted = trial.get_weights_path(fold), trial.get_refit_files("refit").get_weights_path(fold)
    path = searched if searched.exists() else refitted
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


def require_all_folds(files: StudyFiles, all_folds: StudyFiles, numbers: tuple[int, ...]) -> None:
    """All folds of the trials are bit for bit those of a search that trained all of them."""
    for number in numbers:
        oof = read_arrays(all_folds.get_trial_files(number).oof)
        for fold in range(5):
            assert weights_of(files, number, fold) == weights_of(all_folds, number, fold)
            if fold > 0:
                own = read_arrays(files.get_trial_files(number).get_refit_files("refit").get_fold_oof_path(fold))
                assert own["probs"].tobytes() == oof["probs"][oof["folds"] == fold].tobytes()


def test_a_refit_tells_of_each_fold_and_leaves_an_ensemble_of_all_folds(
    files: StudyFiles, all_folds: StudyFiles
) -> None:
    result = refit(files, "--top", "2", "--tta", "none", *HERE)
    assert result.exit_code == 0, result.output
    require_all_folds(files, all_folds, tuple(read_json(files.refit)["trials"]))
    lines = result.stdout.splitlines()
    begins = r"trial \d fold 1 starts on cpu: test_\w+, 32 px, adamw 3e-3, batch 16"
    ends = r"trial \d fold 4 is trained with \d\.\d{4} after \d+ s; \d of \d folds trained.*"
    scores = r"trial \d: \d\.\d{4} on 60 rows of 5 folds \(.*\); \d\.\d{4} in the search"
    for form in (begins, ends, scores):
        assert any(re.fullmatch(form, line) for line in lines), form
    assert files.submission.exists()
    document = read_json(files.ensemble)
    assert document["n_rows"] == 60
    assert all(member["folds"] == [0, 1, 2, 3, 4] for member in document["recipe"]["members"])


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(files: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        context.beat()
        raise AssertionError("the job should have been stopped")

    monkeypatch.setattr("automl.training.entry_points.run_fold", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        result = refit(files, "--trials", "0", "--no-ensemble", *HERE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "the same command goes on" in result.stdout
    assert read_json(files.refit)["finished"] is False


def test_folds_that_cannot_be_trained_end_the_command_with_4_after_the_ensemble(
    files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl.training.entry_points import run_fold

    def but_one(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
        if payload["fold"] == 2:
            return {"outcome": "dead_end", "constraint": "memory", "reason": "2 images do not fit into memory of cpu"}
        return run_fold(payload, context)

    monkeypatch.setattr("automl.training.entry_points.run_fold", but_one)
    result = refit(files, "--trials", "0", "--tta", "none", *HERE)
    assert result.exit_code == 4, result.output
    assert "trial 0 fold 2 (memory: 2 images do not fit into memory of cpu)" in result.stderr
    assert files.submission.exists()


def test_quiet_prints_the_result_alone(files: StudyFiles) -> None:
    result = refit(files, "--trials", "0", "--no-ensemble", "--quiet", *HERE)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    assert result.stdout.startswith("trial 0: ")


@pytest.mark.parametrize(
    ("flags", "exit_code", "problem"),
    [
        (("--study", "nothing"), 2, "there is no study in"),
        (("--trials", "7"), 2, "trial 7 of study 'study' does not exist"),
        (("--trials", "1"), 2, "trial 1 of study 'study' is PRUNED, not COMPLETE"),
        (("--trials", "best"), 2, "--trials best are no numbers of trials"),
        (("--trials", ""), 2, "--trials  are no numbers of trials"),
        (("--runner", "rocket"), 2, "there is no runner 'rocket'"),
        (("--gpus", "99"), 7, "--gpus 99 was asked"),
        (("--weights", "nowhere"), 7, "--weights nowhere is not a folder"),
        (("--timeout", "soon"), 2, "'soon' is not a duration"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(
    flags: tuple[str, ...], exit_code: int, problem: str, pruned: StudyFiles
) -> None:
    files = pruned
    result = refit(files, *flags) if "--study" not in flags else refit(files, study="nothing")
    assert result.exit_code == exit_code
    assert problem in result.stderr
    assert "hint: " in result.stderr
    assert not files.refit.exists()
    assert not (files.root.parent / "nothing").exists()


def test_a_study_without_complete_trials_is_refused_with_4_and_one_in_use_with_6(
    tmp_path: Path, pruned: StudyFiles
) -> None:
    files = written_study(tmp_path, n=1, pruned=[0])
    assert refit(files).exit_code == 4
    with lock_study(pruned):
        result = refit(pruned)
    assert result.exit_code == 6
    assert "study 'study' is in use by process" in result.stderr


@pytest.mark.slow
def test_folds_in_processes_of_their_own_come_out_as_in_one(files: StudyFiles, all_folds: StudyFiles) -> None:
    finished = subprocess.run(
        command(files, "--trials", "0,1", "--no-ensemble", "--cpus-per-trial", "1", *OTHERS),
        env=QUIETLY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    require_all_folds(files, all_folds, (0, 1))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_driver_that_is_killed_loses_nothing_and_the_same_command_goes_on(
    number: signal.Signals, exit_code: int, files: StudyFiles, all_folds: StudyFiles
) -> None:
    again = command(files, "--trials", "0", "--no-ensemble", "--cpus-per-trial", "1", *OTHERS)
    own = files.get_trial_files(0).get_refit_files("refit")
    driver = subprocess.Popen(again, env=QUIETLY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: bool(list(own.root.glob("*.checkpoint"))), patience_s=120.0, what="a fold's first epoch")
    driver.send_signal(number)
    driver.communicate(timeout=30)
    assert driver.returncode == exit_code
    assert read_json(files.refit)["finished"] is False
    finished = subprocess.run(again, env=QUIETLY, capture_output=True, text=True, timeout=240, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "going on with the refit of trial 0" in finished.stdout
    require_all_folds(files, all_folds, (0,))
    assert not list(own.root.glob("*.checkpoint*"))
