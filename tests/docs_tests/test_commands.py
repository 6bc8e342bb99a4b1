"""The commands in README.md and docs/ run as they stand, on a small competition with one study that all share."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from automl.cli.app import app
from automl.metrics.registry import get_metric
from automl.readers.settings import CompetitionSettings, load_settings
from tests.conftest import automl_here
from tests.docs_tests.pages import PAGES, ROOT, automl_commands, blocks, command_lines, program_with

BIN = Path(sys.executable).parent
SMALL = "--space leaves.py --no-pretrained --no-flips --epochs 2 --cpu-slots 2 --no-ensemble"
N_TEST = 60
QUICK = automl_commands("inspect", "check", "spaces", "status", "report", "ensemble", "predict", "kit")
HERE = {
    "--top 5": "--top 2",
    "--top 3": "--top 1",
    "path/to/photos": "test",
    "path/to/competition": ".",
    "automl_runs/leaves": "automl_runs/digits",
}


@pytest.fixture(scope="module")
def folder(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A competition's folder as the pages mean it, with its own space beside it and a study of two trials."""
    folder = tmp_path_factory.mktemp("docs") / "digits"
    copy_first_images(digits, folder)
    (folder / "leaves.py").write_text(program_with("def suggest("))
    search = f"search --trials 2 --fix backbone=test_resnet --fix resize=16-32 {SMALL}"
    finished = automl_here(folder, *shlex.split(search))
    assert finished.exit_code == 0, finished.stderr
    return folder


def copy_first_images(whole: Path, folder: Path) -> None:
    """A competition of 300 training and N_TEST test images, so that nothing here takes long."""
    shutil.copytree(whole, folder)
    for table, images, n_rows in (("train.csv", "train", 300), ("sample_submission.csv", "test", N_TEST)):
        lines = (folder / table).read_text().splitlines(keepends=True)
        (folder / table).write_text("".join(lines[: n_rows + 1]))
        for line in lines[n_rows + 1 :]:
            for image in (folder / images).glob(f"{line.partition(',')[0]}*"):
                image.unlink()


def words_of(command: str) -> list[str]:
    return shlex.split(command)[1:]


def test_the_pages_show_the_commands_that_there_are() -> None:
    shown = {words_of(command)[0] for command in automl_commands()}
    assert shown == {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]


def test_no_command_of_the_pages_is_left_out_here() -> None:
    """A command of another kind needs a test of its own."""
    kinds = ("automl ", "make ", "pip install ", "python submit.py ", "UPDATE_GOLDEN=1 pytest ")
    assert [line for line in command_lines() if not line.startswith(kinds)] == []
    tested = {*QUICK, *automl_commands("search", "probe", "refit", "submit", "download", "find-lr", "dashboard")}
    assert set(automl_commands()) == tested


@pytest.mark.slow
@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_runs_as_it_stands(command: str, folder: Path) -> None:
    for shown, here in HERE.items():
        command = command.replace(shown, here)
    finished = automl_here(folder, *words_of(command))
    assert finished.exit_code == 0, finished.stderr
    assert finished.stdout


@pytest.mark.parametrize("command", automl_commands("search", "probe"))
def test_the_flags_of_a_search_and_of_probes_are_understood(command: str, folder: Path, tmp_path: Path) -> None:
    """Flags, space and narrowing up to the first trial: a folder without images ends it there."""
    words = [word.replace("path/to/competition", ".") for word in words_of(command)]
    (tmp_path / "path" / "to" / "weights").mkdir(parents=True)
    (tmp_path / "leaves.py").write_text(program_with("def suggest("))
    (tmp_path / "my_metric.py").write_text(program_with("def score("))
    shutil.copytree(folder / "automl_runs" / "digits" / "trials" / "00000", tmp_path / "automl_runs/pets/trials/00017")
    finished = automl_here(tmp_path, *words)
    if "--gpus" in words:
        assert finished.exit_code == 7
        assert f"Error: --gpus {words[words.index('--gpus') + 1]} was asked, but 0 are visible" in finished.stderr
    else:
        assert finished.exit_code == (2 if "--images" in words else 3), finished.stderr
        assert "images" in finished.stderr


@pytest.mark.parametrize("command", automl_commands("refit"))
def test_a_refit_is_understood(command: str, folder: Path, tmp_path: Path) -> None:
    """Flags and study, up to the choice of trials: one that the study has not ends it there."""
    shutil.copytree(folder / "automl_runs", tmp_path / "automl_runs")
    words = words_of(command)
    trials = words[words.index("--trials") + 1] if "--trials" in words else None
    finished = automl_here(tmp_path, *[word for word in words if word not in ("--trials", trials)], "--trials", "7")
    assert finished.exit_code == 2, finished.stderr
    assert "7" in finished.stderr.splitlines()[-2]


@pytest.mark.parametrize("command", automl_commands("submit", "download"))
def test_a_command_for_kaggle_says_what_is_missing(
    command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    make_sure_of(folder, "submission.csv", "ensemble --top 1 --tta none")
    shutil.copy(folder / "automl_runs" / "digits" / "submission.csv", folder / "plain.csv")
    finished = automl_here(folder, *words_of(command))
    assert finished.exit_code == 7, finished.stderr
    assert "Error: " in finished.stderr
    assert "hint: " in finished.stderr


def make_sure_of(folder: Path, made: str, command: str) -> None:
    """Run a command that an earlier test may have run, if what it makes is not there."""
    if not (folder / "automl_runs" / "digits" / made).exists():
        assert automl_here(folder, *command.split()).exit_code == 0


@pytest.mark.slow
def test_the_learning_rate_is_tested_as_the_pages_say(folder: Path) -> None:
    (command,) = automl_commands("find-lr")
    small = "--space leaves.py --no-pretrained --fix backbone=test_resnet --fix resize=16-32 --epochs 2"
    finished = automl_here(folder, *words_of(command), *small.split())
    assert finished.exit_code == 0, finished.stderr
    assert "suggest" in finished.stdout
    study = folder / "automl_runs" / "digits"
    assert (study / "find_lr.html").stat().st_size > 10_000
    assert (study / "find_lr.json").exists()


@pytest.mark.slow
def test_the_script_of_a_kit_writes_the_submission(folder: Path) -> None:
    (command,) = [line for line in command_lines() if line.startswith("python submit.py")]
    make_sure_of(folder, "kit/submit.py", "kit")
    kit = folder / "automl_runs" / "digits" / "kit"
    words = shlex.split(command.replace("path/to/competition", str(folder)))
    finished = subprocess.run([sys.executable, *words[1:]], cwd=kit, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert (kit / "submission.csv").read_bytes().count(b"\n") == N_TEST + 1


def test_the_metric_scores(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "my_metric.py").write_text(program_with("def score("))
    finished = automl_here(tmp_path, "inspect", str(folder), "--names-only", "--metric", "my_metric.py:score")
    assert finished.exit_code == 0, finished.stderr
    targets = np.array([0, 1, 1, 2])
    assert get_metric(f"{tmp_path}/my_metric.py:score")(targets, np.eye(3)[targets]) == 1.0


@pytest.mark.slow
def test_optuna_opens_the_study(folder: Path) -> None:
    program = program_with("optuna.load_study(").replace("leaves", "digits")
    finished = subprocess.run(
        [sys.executable, "-c", f"{program}\nprint(len(study.trials))"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split() == ["2"]


def test_the_settings_are_understood(tmp_path: Path) -> None:
    (text,) = [block for page in PAGES for block in blocks(page, "toml")]
    (tmp_path / "automl.toml").write_text(text)
    settings = load_settings(CompetitionSettings(), tmp_path)
    assert (settings.metric, settings.group, settings.flips) == ("weighted_log_loss", "PatientID", False)
    assert settings.metric_weights == (("any", 2.0),)


@pytest.mark.slow
def test_the_dashboard_prints_its_address(folder: Path) -> None:
    (command,) = automl_commands("dashboard")
    words = [BIN / "automl", *words_of(command), "--port", "0"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert "http://127.0.0.1:" in server.stdout.readline()
        finally:
            server.kill()


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    texts = [page.read_text() for page in PAGES]
    for target in {
        name for text in texts for name in re.findall(r"(?:`|^    |^)make ([a-z-]+)", text, flags=re.MULTILINE)
    }:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_what_pip_installs_and_pytest_runs_is_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        assert set(re.findall(r"pip install '(?:automl|\.)\[(\w+)\]'", page.read_text())) <= set(extras)
    paths = [path for line in command_lines() for path in line.partition(" pytest ")[2].split()]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_help_page_explains_each_of_its_flags() -> None:
    for command in {words_of(command)[0] for command in automl_commands()}:
        page = automl_here(ROOT, command, "--help").stdout
        options = page.partition("Options:")[2]
        assert options
        for line in options.splitlines():
            flag, _, explanation = line.strip().partition("  ")
            if flag.startswith("--"):
                assert explanation.strip() or len(flag) > 20, f"{command}: {line}"
