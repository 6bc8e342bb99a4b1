"""`automl search` as a user types it: what its flags request, and what is refused before anything begins."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from automl.cli import search as command
from automl.search import run_search
from automl.search.run_search import SearchRequest
from runners.inline import InlineRunner
from tests.conftest import automl_here

INLINE = ("--runner", "inline", "--gpus", "0", "--space", "tiny")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[SearchRequest]:
    """The requests that the command makes of the workflow, which trains nothing."""
    made: list[SearchRequest] = []

    def record(request: SearchRequest, task: Any, runner: Any, **_: Any) -> None:
        assert isinstance(runner, InlineRunner)
        request.files.root.mkdir(parents=True)
        made.append(request)

    monkeypatch.setattr(run_search, "run_search", record)
    return made


@pytest.fixture
def ensembles(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of the ensembles that the command ends with."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(command, "write_ensemble", lambda files, **options: made.append(options))
    return made


def test_by_default_there_are_fifty_trials_of_one_fold_and_an_ensemble_of_five(
    requests: list[SearchRequest], ensembles: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "leaves").mkdir()
    finished = automl_here(tmp_path, "search", "leaves", *INLINE)
    assert finished.exit_code == 0, finished.output
    (request,) = requests
    assert (request.folder, request.files.root) == (tmp_path / "leaves", tmp_path / "automl_runs" / "leaves")
    assert (request.n_trials, request.train_folds, request.keep_weights, request.seed) == (50, 1, 15, 0)
    assert (request.sampler, request.pruner, request.space.name) == ("tpe", "rank", "tiny")
    assert request.deadline.get_training_seconds_left() == math.inf
    assert [(options["top"], options["tta"], options["device"]) for options in ensembles] == [(5, "auto", "cpu")]
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("study 'leaves' in automl_runs/leaves, trials on ")
    assert lines[-1] == "the study takes 0 MB"


def test_flags_reach_the_request(
    requests: list[SearchRequest], ensembles: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "leaves").mkdir()
    flags = ("--trials", "7", "--top", "3", "--train-folds", "all", "--keep-checkpoints", "all", "--seed", "9")
    others = (
        "--probe",
        "3m",
        "--cache-gb",
        "2",
        "--epochs",
        "2",
        "--no-pretrained",
        "--fix",
        "resize=24",
        "--center-lr",
        "3e-3",
        "--timeout",
        "1h",
    )
    ways = ("--sampler", "random", "--pruner", "none", "--metric", "accuracy", "--study", "own", "--quiet")
    finished = automl_here(tmp_path, "search", "leaves", *INLINE, *flags, *others, *ways, "--no-ensemble")
    assert (finished.exit_code, finished.stdout) == (0, "")
    (request,) = requests
    assert (request.n_trials, request.top, request.train_folds, request.keep_weights) == (7, 3, 5, None)
    assert (request.seed, request.sampler, request.pruner, request.files.root.name) == (9, "random", "none", "own")
    assert (request.settings.metric, request.probe_budget, request.cache_gb) == ("accuracy", "3m", 2.0)
    config = request.space.build_first_config()
    assert (config.epochs, config.model.pretrained, config.resize.image_sizes) == (2, False, (24,))
    assert 0 < request.deadline.get_training_seconds_left() < 3600
    assert ensembles == []


@pytest.mark.parametrize(
    ("flags", "exit_code", "words"),
    [
        (("--train-folds", "6"), 2, "--train-folds 6"),
        (("--keep-checkpoints", "2"), 2, "--keep-checkpoints 2"),
        (("--center-lr", "fast"), 2, "--center-lr fast is not a number"),
        (("--weights", "nowhere"), 7, "--weights nowhere is not a folder"),
        (("--study", "a/b"), 3, "cannot name a study"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_begins(
    flags: tuple[str, str], exit_code: int, words: str, requests: list[SearchRequest], tmp_path: Path
) -> None:
    (tmp_path / "leaves").mkdir()
    finished = automl_here(tmp_path, "search", "leaves", *INLINE, *flags)
    assert finished.exit_code == exit_code, finished.output
    assert words in finished.stderr
    assert requests == []
    assert not (tmp_path / "automl_runs").exists()
