"""A search that begins with probes, by its commands: the second study, the submission, status, members, and a kill."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import optuna
import pytest
import timm
from safetensors.torch import save_file

from automl import demo
from automl.artifacts import StudyFiles, read_json
from automl.probing.probe_study import read_probe_study
from automl.search.current_submission import read_summary
from tests.test_end_to_end import AUTOML, automl

BACKBONES = ("test_resnet", "test_efficientnet")
SPACE = """
from automl.config import ModelConfig, OptimConfig, ResizeConfig, TransferConfig, TrialConfig


def suggest(trial):
    backbone = trial.suggest_categorical("backbone", ["test_resnet", "test_efficientnet"])
    sizes = trial.suggest_categorical("resize", ["32", "48"])
    lr = trial.suggest_float("lr", 1e-3, 1e-2, log=True)
    return TrialConfig(
        model=ModelConfig(backbone=backbone),
        resize=ResizeConfig.parse(sizes),
        optim=OptimConfig(lr=lr),
        transfer=TransferConfig(head_init="probe"),
        epochs=1,
    )
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def flags(digits: Path, tmp_path: Path) -> list[str]:
    """A space of tiny networks, and files of weights that these could have been pretrained to."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in BACKBONES:
        save_file(timm.create_model(name, pretrained=False).state_dict(), weights / f"{name}.safetensors")
    (tmp_path / "mine.py").write_text(SPACE)
    return [str(digits), "--space", "mine.py", "--weights", str(weights), "--no-flips", "--study", "s"]


def test_a_search_probes_first_and_its_ensemble_may_take_probes(flags: list[str], digits: Path, tmp_path: Path) -> None:
    finished = automl(tmp_path, "search", *flags, "--trials", "2", "--cpu-slots", "1", "--tta", "none")
    assert finished.returncode == 0, finished.stderr
    files = StudyFiles(tmp_path / "automl_runs" / "s")
    lines = finished.stdout.splitlines()
    first_probe = next(index for index, line in enumerate(lines) if line.startswith("probe 0: "))
    first_trial = next(index for index, line in enumerate(lines) if line.startswith("trial 0 starts"))
    assert first_probe < first_trial
    probes = read_probe_study(files)
    assert probes is not None and probes.list_reports()
    assert sorted(optuna.study.get_all_study_names(f"sqlite:///{files.study_db}")) == ["s", "s-probes"]
    assert demo.score(digits, files.submission) > 0.5
    members = read_json(files.ensemble)["members"]
    assert {member["kind"] for member in members} & {"probe", "search"}
    status = automl(tmp_path, "status")
    assert "probes, " in status.stdout and "test_resnet" in status.stdout
    report = automl(tmp_path, "report")
    assert report.returncode == 0 and "<h2>Probes</h2>" in files.report.read_text()


def test_probes_alone_make_a_submission_an_ensemble_and_a_status(
    flags: list[str], digits: Path, tmp_path: Path
) -> None:
    probed = automl(tmp_path, "probe", *flags)
    assert probed.returncode == 0, probed.stderr
    files = StudyFiles(tmp_path / "automl_runs" / "s")
    assert demo.score(digits, files.submission) > 0.5
    assert "ms/image" in probed.stdout and "linear" in probed.stdout
    ensemble = automl(tmp_path, "ensemble", "--tta", "none")
    assert ensemble.returncode == 0, ensemble.stderr
    assert {member["kind"] for member in read_json(files.ensemble)["members"]} == {"probe"}
    assert "test_resnet" in automl(tmp_path, "status").stdout


def test_a_probe_that_was_killed_goes_on_to_the_same_scores(flags: list[str], tmp_path: Path) -> None:
    whole = automl(tmp_path, "probe", *[*flags[:-1], "whole"])
    assert whole.returncode == 0, whole.stderr
    runs = tmp_path / "automl_runs"
    with subprocess.Popen([AUTOML, "probe", *flags], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 120
        while not list((runs / "s").glob("features/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    assert list((runs / "s").glob("features/*"))
    again = automl(tmp_path, "probe", *flags)
    assert again.returncode == 0, again.stderr
    scores = []
    for name in ("whole", "s"):
        probes = read_probe_study(StudyFiles(runs / name))
        assert probes is not None
        scores.append({report.candidate: report.score for report in probes.list_reports()})
    assert scores[0] == scores[1] and len(scores[0]) >= 2


def test_without_a_complete_trial_or_a_probe_the_last_epoch_of_a_trial_is_submitted(
    flags: list[str], digits: Path, tmp_path: Path
) -> None:
    space = (tmp_path / "mine.py").read_text().replace("epochs=1", "epochs=10000")
    (tmp_path / "mine.py").write_text(space)
    finished = automl(
        tmp_path, "search", *flags, "--trials", "1", "--cpu-slots", "1", "--probe", "none", "--timeout", "60s"
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "no trial is complete: the submission is trial 0 after " in finished.stdout
    files = StudyFiles(tmp_path / "automl_runs" / "s")
    assert demo.score(digits, files.submission) > 0.2
    assert read_summary(files) is None
