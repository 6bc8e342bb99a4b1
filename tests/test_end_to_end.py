"""The whole chain as a user runs it: commands in a terminal, on scikit-learn's digits, with a kill in the middle."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from automl import demo
from automl.artifacts import StudyFiles, read_json
from automl.study.study import read_study

pytestmark = pytest.mark.slow

AUTOML = Path(sys.executable).parent / "automl"
EPOCHS = 6
SPACE = f'''"""One small network, so that the chain is what is tested."""
from automl.config import ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.space import Suggest
FIRST_TRIALS = ({{"lr": 3e-3}},)
def suggest(trial: Suggest) -> TrialConfig:
    lr = trial.suggest_float("lr", 1e-3, 1e-2, log=True)
    resize = ResizeConfig.parse(trial.suggest_categorical("resize", ["32", "24-32"]))
    model = ModelConfig(backbone="test_resnet", pretrained=False)
    return TrialConfig(model=model, resize=resize, optim=OptimConfig(lr=lr), epochs={EPOCHS})
'''


def automl(folder: Path, *arguments: str | Path, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder, as a user does."""
    return subprocess.run(
        [AUTOML, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def search_arguments(digits: Path, folder: Path) -> list[str]:
    return [
        "search",
        str(digits),
        "--space",
        str(folder / "mine.py"),
        "--no-flips",
        "--trials",
        "3",
        "--cpu-slots",
        "2",
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the user works: not the competition's folder."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "mine.py").write_text(SPACE)
    return folder


@pytest.fixture(scope="module")
def killed(digits: Path, folder: Path) -> dict[int, dict[int, float]]:
    """A search whose driver was killed in the middle of an epoch; epoch -> score of each trial that was running."""
    files = StudyFiles(folder / "automl_runs" / "digits")
    driver = subprocess.Popen(
        [AUTOML, *search_arguments(digits, folder)], cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
    )
    wait_until(lambda: files.study_db.exists() and max(epochs_of_running(files), default=0) >= 2)
    workers = children_of(driver.pid)
    assert workers
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_until(lambda: not any(is_alive(worker) for worker in workers), timeout_s=10)
    study = read_study(files)
    running = study.get_trials(states=(TrialState.RUNNING,))
    assert running
    return {trial.number: dict(trial.intermediate_values) for trial in running}


@pytest.fixture(scope="module")
def resumed(killed: dict[int, dict[int, float]], digits: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same command again."""
    return automl(folder, *search_arguments(digits, folder))


def test_the_same_command_goes_on_after_kill_9_and_ends_with_a_submission(
    resumed: subprocess.CompletedProcess[str],
    killed: dict[int, dict[int, float]],
    digits: Path,
    folder: Path,
) -> None:
    assert resumed.returncode == 0, resumed.stderr
    files = StudyFiles(folder / "automl_runs" / "digits")
    trials = read_study(files).get_trials()
    assert [(trial.number, trial.state) for trial in trials] == [(number, TrialState.COMPLETE) for number in range(3)]
    for number, before in killed.items():
        after = trials[number].intermediate_values
        assert sorted(after) == list(range(EPOCHS))
        assert {step: after[step] for step in before} == before
    assert demo.score(digits, files.submission) > 0.9


def test_epochs_before_the_kill_were_not_trained_again(
    resumed: subprocess.CompletedProcess[str], killed: dict[int, dict[int, float]], folder: Path
) -> None:
    files = StudyFiles(folder / "automl_runs" / "digits")
    for number, before in killed.items():
        with files.get_trial_files(number).history.open() as file:
            scores = {int(row["epoch"]): float(row["score"]) for row in csv.DictReader(file)}
        assert len(scores) == EPOCHS
        assert {step: scores[step] for step in before} == pytest.approx(before)
        trained = optuna.load_study(study_name="digits", storage=f"sqlite:///{files.study_db}").trials[number]
        assert trained.user_attrs["epochs_trained"] == EPOCHS


def test_the_competitions_folder_is_only_read(resumed: object, digits: Path) -> None:
    assert sorted(entry.name for entry in digits.iterdir()) == ["sample_submission.csv", "test", "train", "train.csv"]


def test_ensemble_again_trains_nothing_and_says_each_member(
    resumed: object, folder: Path, digits: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.csv"
    finished = automl(folder, "ensemble", "--top", "2", "--tta", "shifts", "--out", out)
    assert finished.returncode == 0, finished.stderr
    assert 1 <= len(re.findall(r"^\d+ +[01]\.\d{3} ", finished.stdout, flags=re.MULTILINE)) <= 2
    assert "best single trial" in finished.stdout
    assert demo.score(digits, out) > 0.9
    assert read_json(folder / "automl_runs" / "digits" / "ensemble.json")["tta"] == "shifts"
    again = tmp_path / "again.csv"
    assert automl(folder, "ensemble", "--top", "2", "--tta", "shifts", "--out", again).returncode == 0
    assert again.read_bytes() == out.read_bytes()


def test_an_ensemble_has_as_many_members_as_there_are_trials_at_most(resumed: object, folder: Path) -> None:
    finished = automl(folder, "ensemble", "--top", "5", "--tta", "none")
    assert finished.returncode == 0, finished.stderr
    assert 1 <= len(read_json(folder / "automl_runs" / "digits" / "ensemble.json")["members"]) <= 3


def test_flips_of_digits_are_refused(resumed: object, folder: Path) -> None:
    finished = automl(folder, "ensemble", "--top", "2", "--tta", "flips")
    assert finished.returncode == 2
    assert "flip" in finished.stderr


def test_status_shows_the_best_trials_and_the_states(resumed: object, folder: Path) -> None:
    finished = automl(folder, "status")
    assert "3 complete" in finished.stdout
    assert "it is idle" in finished.stdout
    assert "lr" in finished.stdout


def test_the_report_holds_all_it_shows(resumed: object, folder: Path) -> None:
    assert automl(folder, "report").returncode == 0
    page = (folder / "automl_runs" / "digits" / "report.html").read_text()
    assert "3 complete" in page
    assert "<script src=" not in page
    assert "plotly" in page.lower()


def test_a_study_begun_with_another_space_or_folder_is_refused_and_nothing_is_lost(
    resumed: object, folder: Path, digits: Path, tmp_path: Path
) -> None:
    other_space = automl(folder, "search", digits, "--space", "tiny", "--no-pretrained", "--no-flips", "--trials", "9")
    assert other_space.returncode == 2
    assert "search space: mine, not tiny" in other_space.stderr
    demo.build(tmp_path / "digits")
    (tmp_path / "digits" / "train" / "0000.png").unlink()
    arguments = search_arguments(tmp_path / "digits", folder)
    other_folder = automl(folder, *arguments, "--skip-missing")
    assert other_folder.returncode == 2
    assert "another competition folder" in other_folder.stderr
    assert len(read_study(StudyFiles(folder / "automl_runs" / "digits")).trials) == 3


@pytest.mark.slow
def test_a_search_with_a_deadline_stops_early_enough_to_submit_and_goes_on_later(digits: Path, folder: Path) -> None:
    flags = [
        "--space",
        "mine.py",
        "--no-flips",
        "--cpu-slots",
        "2",
        "--study",
        "timed",
        "--keep-checkpoints",
        "5",
        "--quiet",
    ]
    begun = time.monotonic()
    finished = automl(folder, "search", digits, *flags, "--trials", "50", "--timeout", "120s")
    assert finished.returncode == 0, finished.stderr
    assert time.monotonic() - begun < 150
    assert "trial 0 starts" not in finished.stdout
    files = StudyFiles(folder / "automl_runs" / "timed")
    assert demo.score(digits, files.submission) > 0.8
    trials = read_study(files).get_trials()
    n_complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
    assert 1 <= n_complete < 50
    assert len(list(files.trials.glob("*/fold0.safetensors"))) == min(5, n_complete)
    again = automl(folder, "search", digits, *flags[:-1], "--trials", str(len(trials)))
    assert again.returncode == 0, again.stderr
    assert "going on: " in again.stdout
    ended = read_study(files).get_trials()
    assert len(ended) == len(trials)
    assert all(trial.state.is_finished() for trial in ended)


@pytest.fixture
def dashboard(resumed: object, folder: Path) -> Iterator[str]:
    """The address that `automl dashboard` prints."""
    with subprocess.Popen(
        [AUTOML, "dashboard", "--study", "digits", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield line.split(": ", 1)[1].split()[0]
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 130


def test_the_dashboard_shows_the_study_to_this_machine_and_lets_nobody_change_it(dashboard: str) -> None:
    assert dashboard.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{dashboard}api/studies", timeout=20) as answer:
        assert b'"digits"' in answer.read()
    for request, status in (
        (urllib.request.Request(f"{dashboard}api/studies/1", method="DELETE"), 405),
        (urllib.request.Request(f"{dashboard}api/studies", headers={"Host": "evil.example"}), 403),
    ):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=20)
        assert error.value.code == status


def wait_until(condition: object, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def epochs_of_running(files: StudyFiles) -> list[int]:
    try:
        trials = read_study(files).get_trials(states=(TrialState.RUNNING,))
    except Exception:  # the file is just being made
        return []
    return [len(trial.intermediate_values) for trial in trials]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
