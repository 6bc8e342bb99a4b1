"""The README's commands run as they stand, on a small competition; its space is a space; its map is the tree."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from automl.cli.app import app
from automl.cli.options import FLAGS
from automl.config import (
    ATTENTIONS,
    AUGMENT_POLICIES,
    CLASS_SAMPLINGS,
    CLASS_WEIGHTS,
    LOSSES,
    OPTIMIZERS,
    POOLINGS,
    SCHEDULES,
)
from automl.metrics.registry import METRICS, get_metric
from automl.readers.settings import CompetitionSettings, load_settings
from automl.space import describe, load_space
from tests.conftest import automl_here

README = (Path(__file__).parent.parent / "README.md").read_text()
BIN = Path(sys.executable).parent
COMMANDS = list(dict.fromkeys(re.findall(r"^    (automl [^#\n]+?) *(?:#.*)?$", README, flags=re.MULTILINE)))
SMALL = ["--space", "leaves.py", "--no-pretrained", "--no-flips", "--epochs", "2", "--cpu-slots", "2", "--no-ensemble"]


@pytest.fixture(scope="module")
def folder(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A competition's folder as the README means it, with its own space beside it and a study of two trials."""
    folder = tmp_path_factory.mktemp("readme") / "digits"
    shutil.copytree(digits, folder)
    (folder / "leaves.py").write_text(own_space())
    search = "automl search --trials 2 --fix backbone=test_resnet --fix resize=16-32"
    finished = run([*shlex.split(search), *SMALL], folder)
    assert finished.returncode == 0, finished.stderr
    return folder


def own_space() -> str:
    return program_with("def suggest(")


def program_with(text: str) -> str:
    """The one Python program of the README that holds this text."""
    (program,) = [program for program in re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL) if text in program]
    return str(program)


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / words[0]), *words[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)


def test_the_readme_shows_the_commands_that_there_are() -> None:
    shown = {shlex.split(command)[1] for command in COMMANDS}
    assert shown == {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]


QUICK = [
    command
    for command in COMMANDS
    if shlex.split(command)[1] in ("inspect", "check", "spaces", "status", "report", "ensemble", "predict", "kit")
]
HERE = {
    "--top 5": "--top 2",
    "--top 3": "--top 1",
    "path/to/photos": "test",
    "path/to/competition": ".",
    "automl_runs/leaves": "automl_runs/digits",
}


@pytest.mark.parametrize("command", QUICK)
def test_a_command_of_the_readme_runs_as_it_stands(command: str, folder: Path) -> None:
    for shown, here in HERE.items():
        command = command.replace(shown, here)
    finished = run(shlex.split(command), folder)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("automl search")])
def test_the_flags_of_a_search_of_the_readme_are_understood(command: str, folder: Path, tmp_path: Path) -> None:
    """Flags, space and narrowing up to the first trial: a folder without images ends it there."""
    words = [word.replace("path/to/competition", ".") for word in shlex.split(command)]
    (tmp_path / "path" / "to" / "weights").mkdir(parents=True)
    (tmp_path / "leaves.py").write_text(own_space())
    (tmp_path / "my_metric.py").write_text(program_with("def score("))
    shutil.copytree(folder / "automl_runs" / "digits" / "trials" / "00000", tmp_path / "automl_runs/pets/trials/00017")
    finished = automl_here(tmp_path, *words[1:])
    if "--gpus" in words:
        assert finished.exit_code == 7
        assert f"Error: --gpus {words[words.index('--gpus') + 1]} was asked, but 0 are visible" in finished.stderr
    else:
        assert finished.exit_code == 3, finished.stderr
        assert "images" in finished.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("automl refit")])
def test_a_refit_of_the_readme_is_understood(command: str, folder: Path, tmp_path: Path) -> None:
    """Flags and study, up to the choice of trials: one that the study has not ends it there."""
    shutil.copytree(folder / "automl_runs", tmp_path / "automl_runs")
    words = shlex.split(command)[1:]
    trials = words[words.index("--trials") + 1] if "--trials" in words else None
    finished = automl_here(tmp_path, *[word for word in words if word not in ("--trials", trials)], "--trials", "7")
    assert finished.exit_code == 2, finished.stderr
    assert "7" in finished.stderr.splitlines()[-2]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[1] in ("submit", "download")])
def test_a_command_for_kaggle_says_what_is_missing(
    command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    shutil.copy(folder / "automl_runs" / "digits" / "submission.csv", folder / "plain.csv")
    finished = automl_here(folder, *shlex.split(command)[1:])
    assert finished.exit_code == 7, finished.stderr
    assert "Error: " in finished.stderr
    assert "hint: " in finished.stderr


def test_the_learning_rate_is_tested_as_the_readme_says(folder: Path) -> None:
    (command,) = [command for command in COMMANDS if command.startswith("automl find-lr")]
    small = ["--space", "leaves.py", "--no-pretrained", "--fix", "backbone=test_resnet", "--fix", "resize=16-32"]
    finished = automl_here(folder, *shlex.split(command)[1:], *small, "--epochs", "2")
    assert finished.exit_code == 0, finished.stderr
    assert "suggest" in finished.stdout
    study = folder / "automl_runs" / "digits"
    assert (study / "find_lr.html").stat().st_size > 10_000
    assert (study / "find_lr.json").exists()


def words_of_the_vocabulary() -> Iterator[str]:
    for kind in (AUGMENT_POLICIES, ATTENTIONS, CLASS_SAMPLINGS, CLASS_WEIGHTS, LOSSES, OPTIMIZERS, POOLINGS, SCHEDULES):
        yield from kind
    for space in ("default", "recipe", "ordinal"):
        yield from (dimension.name for dimension in describe(load_space(space)))


def test_the_readme_explains_every_word_that_a_space_may_say() -> None:
    section = README.partition("## What a trial can be")[2].partition("## The learning rate")[0]
    explained = set(re.findall(r"`([a-z_0-9]+)`", section))
    assert set(words_of_the_vocabulary()) - explained <= {"natural", "backbone", "mix_alpha"}


def test_the_metric_of_the_readme_scores(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "my_metric.py").write_text(program_with("def score("))
    finished = automl_here(tmp_path, "inspect", str(folder), "--names-only", "--metric", "my_metric.py:score")
    assert finished.exit_code == 0, finished.stderr
    targets = np.array([0, 1, 1, 2])
    assert get_metric(f"{tmp_path}/my_metric.py:score")(targets, np.eye(3)[targets]) == 1.0


def test_the_settings_of_the_readme_are_understood(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.+?)```", README, flags=re.DOTALL)
    (tmp_path / "automl.toml").write_text(text)
    said = load_settings(CompetitionSettings(), tmp_path)
    assert (said.metric, said.group, said.flips) == ("weighted_log_loss", "PatientID", False)
    assert said.metric_weights == (("any", 2.0),)


def test_the_readme_names_every_metric_and_every_flag_that_says_what_a_folder_does_not() -> None:
    section = README.partition("## Point it at a competition")[2].partition("## Search")[0]
    for name in METRICS:
        assert re.search(rf"`{re.escape(name)}`|`f[0-9.]+_", section), name
    for flag in FLAGS:
        assert flag in section or f"--{flag.replace('_', '-')}" in section, flag


def test_the_dashboard_command_of_the_readme_prints_its_address(folder: Path) -> None:
    with dashboard(folder) as line:
        assert "http://127.0.0.1:" in line


class dashboard:  # noqa: N801
    """`automl dashboard` on a free port."""

    def __init__(self, folder: Path) -> None:
        self._server = subprocess.Popen(
            [BIN / "automl", "dashboard", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait()


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)) - {"it"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_help_page_explains_each_of_its_flags() -> None:
    for command in (shlex.split(command)[1] for command in COMMANDS):
        page = subprocess.run([BIN / "automl", command, "--help"], capture_output=True, text=True, check=True).stdout
        options = page.partition("Options:")[2]
        for line in options.splitlines():
            flag, _, explanation = line.strip().partition("  ")
            if flag.startswith("--"):
                assert explanation.strip() or len(flag) > 20, f"{command}: {line}"


def files_of_the_map() -> Iterator[str]:
    yield from re.findall(r"\b[a-z_]+\.py\b", README.partition("## A map of the code")[2])


def test_the_map_of_the_readme_is_the_tree() -> None:
    tree = {path.name for path in Path(__file__).parent.parent.glob("automl/**/*.py")}
    assert set(files_of_the_map()) <= tree
