"""`automl find-lr` and `automl search --center-lr` as a user meets them: what is found, kept, shown and left alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from typer.testing import Result

from automl.artifacts import StudyFiles, write_json
from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.errors import StorageError, UsageError
from automl.lr_finder.lr_finder import LrRequest, find_lr, read_finding
from automl.reports.lr_page import write_lr_page
from automl.space import Space, load_space, narrow_space
from automl.suggest import Suggest
from runners.base import Finished, Job, Supervisor
from tests.automl_tests.training_tests.pictures import SIDE, shape_image
from tests.conftest import automl_here

QUICK = ("--space", "tiny", "--no-pretrained", "--no-flips", "--fix", "backbone=test_resnet", "--fix", "resize=24")
LOSSES = [0.7] * 40 + [0.7 - 0.02 * step for step in range(20)] + [0.3] * 5 + [0.5, 1.0, 2.0, 8.0]
LRS = [10.0 ** (-7 + 8 * step / 99) for step in range(len(LOSSES))]


class Scripted:
    """A runner whose job answers at once; notes the payloads."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        self.jobs: list[Job] = []
        self.folders: list[set[str]] = []

    def run(self, supervisor: Supervisor) -> None:
        job = supervisor.next_job()
        assert job is not None
        self.jobs.append(job)
        self.folders.append({path.name for path in Path(job.payload["study_dir"]).iterdir()})
        supervisor.handle(Finished(job_id=job.id, result=dict(self.answer)))
        assert supervisor.next_job() is None


def completed(losses: list[float] = LOSSES) -> Scripted:
    swept = {"lrs": LRS[: len(losses)], "losses": losses, "image_size": 24, "batch_size": 32}
    return Scripted({"outcome": "completed", **swept})


def requested(folder: Path, workdir: Path, *fix: str, **changes: Any) -> LrRequest:
    space = narrow_space(load_space("tiny"), fix=["backbone=test_resnet", *fix])
    return LrRequest(**{"folder": folder, "files": StudyFiles(workdir / "digits"), "space": space, **changes})


def silent(text: str) -> None:
    """Take a note."""


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A test in this process sets the number of torch's threads."""
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


# ---- What is made of the losses -------------------------------------------------------------------------------------


def test_the_finding_is_kept_with_its_curve_and_the_study_is_not_begun(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    runner = completed()
    finding = find_lr(request, runner, notify=silent)
    assert finding.suggestion is not None
    assert LRS[40] < finding.suggestion < LRS[60]
    kept = json.loads(request.files.find_lr.read_text())
    assert (kept["backbone"], kept["optimizer"], kept["batch_size"], kept["image_size"]) == (
        "test_resnet",
        "adamw",
        32,
        24,
    )
    assert (kept["suggestion"], kept["lrs"], kept["losses"]) == (finding.suggestion, LRS, LOSSES)
    assert kept["falling"][0] < kept["suggestion"] < kept["falling"][1]
    assert {path.name for path in request.files.root.iterdir()} == {"cache", "find_lr.json", "find_lr.html"}
    assert runner.folders == [{"competition.json", "folds.csv"}]


def test_a_finding_of_the_same_configuration_is_found_again(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    assert read_finding(request) is None
    finding = find_lr(request, completed(), notify=silent)
    assert read_finding(request) == finding
    assert read_finding(requested(digits, tmp_path, "lr=1e-4")) == finding
    assert read_finding(requested(digits, tmp_path, "batch_size=16")) is None
    assert read_finding(requested(digits, tmp_path, "optimizer=adam")) is None


def test_a_damaged_finding_is_named(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    find_lr(request, completed(), notify=silent)
    kept = json.loads(request.files.find_lr.read_text())
    write_json(request.files.find_lr, {**kept, "losses": None})
    with pytest.raises(StorageError, match="is damaged"):
        read_finding(request)


def test_the_folds_of_a_study_that_was_begun_are_those_of_the_test(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    seen: list[str] = []

    class Reading(Scripted):
        def run(self, supervisor: Supervisor) -> None:
            seen.append((request.files.find_lr_study.folds).read_text())
            super().run(supervisor)

    answer = completed().answer
    find_lr(request, Reading(answer), notify=silent)
    request.files.folds.write_text(seen[0])
    find_lr(requested(digits, tmp_path, seed=1), Reading(answer), notify=silent)
    request.files.folds.unlink()
    find_lr(requested(digits, tmp_path, seed=1), Reading(answer), notify=silent)
    assert seen[0] == seen[1] != seen[2]


def test_what_the_task_refuses_is_raised_and_nothing_is_kept(digits: Path, tmp_path: Path) -> None:
    request = requested(digits, tmp_path)
    refusal = {"outcome": "refused", "exit_code": 2, "problem": "too large", "hint": "smaller"}
    with pytest.raises(UsageError, match="too large"):
        find_lr(request, Scripted(refusal), notify=silent)
    assert [path.name for path in request.files.root.iterdir()] == ["cache"]  # the look at the images is


def test_the_page_needs_no_network_and_shows_the_suggestion_only_if_there_is_one(tmp_path: Path) -> None:
    marked, plain = tmp_path / "a.html", tmp_path / "b.html"
    shown: dict[str, Any] = {"title": "<leaf>", "summary": "s", "lrs": LRS, "losses": LOSSES, "smoothed": LOSSES}
    write_lr_page(marked, **shown, suggestion=2.5e-3, falling=(1e-4, 1e-2))
    write_lr_page(plain, **shown, suggestion=None, falling=None)
    assert "suggestion 2.5e-03" in marked.read_text()
    assert "suggestion 2" not in plain.read_text()
    for path in (marked, plain):
        text = path.read_text()
        assert "&lt;leaf&gt;" in text
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
        assert '"type":"log"' in text


# ---- The commands ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A competition's folder of 120 images in three classes that are learned within a hundred steps."""
    import numpy as np
    from PIL import Image

    root, rng = tmp_path_factory.mktemp("shapes") / "shapes", np.random.default_rng(0)
    for split, n in (("train", 120), ("test", 6)):
        (root / split).mkdir(parents=True)
        for number in range(n):
            Image.fromarray(shape_image(number % 3, rng)).save(root / split / f"{split}{number}.png")
    labels = [f"train{number},{('disc', 'frame', 'stripes')[number % 3]}" for number in range(120)]
    (root / "train.csv").write_text("\n".join(["id,label", *labels]) + "\n")
    sample = [f"test{number},disc" for number in range(6)]
    (root / "sample_submission.csv").write_text("\n".join(["id,label", *sample]) + "\n")
    assert SIDE == 24
    return root


@pytest.fixture(scope="module")
def found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A working folder in which `automl find-lr` has run, and what it printed."""
    here = tmp_path_factory.mktemp("here")
    return here, automl_here(here, "find-lr", str(folder), *QUICK)


def test_find_lr_says_what_it_suggests_and_where_the_plot_is(found: tuple[Path, Result]) -> None:
    here, finished = found
    assert finished.exit_code == 0, finished.stderr
    assert re.search(r"suggestion: lr \d\.\de-0[234], where the loss falls most steeply, in \d+ steps", finished.stdout)
    assert "wrote automl_runs/shapes/find_lr.html and automl_runs/shapes/find_lr.json" in finished.stdout
    files = StudyFiles(here / "automl_runs" / "shapes")
    assert {path.name for path in files.root.iterdir()} == {"cache", "find_lr.html", "find_lr.json"}


def test_a_search_with_another_seed_may_follow_and_takes_the_suggestion(
    found: tuple[Path, Result], folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(found[0] / "automl_runs", tmp_path / "automl_runs")
    kept = json.loads((tmp_path / "automl_runs" / "shapes" / "find_lr.json").read_text())
    options = ("--trials", "2", "--seed", "9", "--runner", "inline", "--no-ensemble", "--center-lr", "auto")
    finished = automl_here(tmp_path, "search", str(folder), *QUICK, *options, "--fix", "freeze_epochs=0")
    assert finished.exit_code == 0, finished.stderr
    assert f"lr is searched within a decade of {kept['suggestion']:.1e}" in finished.stdout
    assert "testing learning rates" not in finished.stdout
    study = optuna.load_study(study_name="shapes", storage=f"sqlite:///{tmp_path}/automl_runs/shapes/study.db")
    domain = study.trials[0].distributions["lr"]
    assert isinstance(domain, optuna.distributions.FloatDistribution)
    assert domain.low == pytest.approx(max(1e-3, kept["suggestion"] / 10))
    assert domain.high == pytest.approx(min(1e-2, kept["suggestion"] * 10))


def test_a_search_without_a_test_makes_it_first_and_says_so(folder: Path, tmp_path: Path) -> None:
    options = ("--trials", "1", "--runner", "inline", "--no-ensemble", "--center-lr", "auto", "--epochs", "1")
    finished = automl_here(tmp_path, "search", str(folder), *QUICK, *options)
    assert finished.exit_code == 0, finished.stderr
    assert "holds no test of the first trial's configuration: making it now" in finished.stdout
    assert "testing learning rates with test_resnet, 24 px, adamw, batch 32" in finished.stdout
    assert (tmp_path / "automl_runs" / "shapes" / "find_lr.html").exists()


def test_a_loss_that_does_not_fall_has_no_suggestion_and_a_search_asks_for_a_number(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runners import inline

    monkeypatch.setattr(inline, "InlineRunner", lambda *args, **kwargs: completed([0.7] * 60))
    finished = automl_here(tmp_path, "find-lr", str(folder), *QUICK)
    assert finished.exit_code == 0, finished.stderr
    assert "no suggestion: from 1e-07 to" in finished.stdout
    refused = automl_here(tmp_path, "search", str(folder), *QUICK, "--center-lr", "auto", "--trials", "1")
    assert refused.exit_code == 2
    assert "--center-lr auto found no learning rate" in refused.stderr
    assert "give a number" in refused.stderr
    assert not (tmp_path / "automl_runs" / "shapes" / "study.db").exists()


def constant(trial: Suggest) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone=trial.suggest_categorical("backbone", ["test_resnet"]), pretrained=False),
        resize=ResizeConfig.parse("32"),
    )


def test_the_test_needs_no_question_about_lr(digits: Path, tmp_path: Path) -> None:
    space = Space(name="constant", suggest=constant)
    assert find_lr(requested(digits, tmp_path, space=space), completed(), notify=silent).suggestion is not None


# ---- Spaces ---------------------------------------------------------------------------------------------------------


def test_a_space_is_shown_with_what_every_trial_has_in_common_and_a_centred_lr(tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "spaces", "tiny", "--center-lr", "2e-3")
    assert finished.exit_code == 0, finished.stderr
    assert "epochs: 8 (--epochs), epoch choice: last (--epoch-choice), patience: none (--patience)" in finished.stdout
    assert re.search(r"^lr +0\.001 \.\. 0\.01 \(log\)$", finished.stdout, flags=re.MULTILINE)
    centred = automl_here(tmp_path, "spaces", "tiny", "--center-lr", "1e-4")
    assert re.search(r"^lr +1e-05 \.\. 0\.001 \(log\)$", centred.stdout, flags=re.MULTILINE)
    assert "lr=0.001" in centred.stdout


@pytest.mark.parametrize(
    ("flags", "exit_code", "words"),
    [
        (("--space", "tinny"), 2, "did you mean tiny?"),
        (("--fix", "loss=hinge"), 2, "loss cannot be 'hinge'"),
        (("--fix", "learning=1"), 2, "no parameter 'learning'"),
        (("--choices", "backbone=resnet18x"), 2, "timm has no backbone 'resnet18x'"),
        (("--device", "cuda:7"), 7, "there is no device 'cuda:7'"),
        (("--weights", "nowhere"), 7, "--weights nowhere is not a folder"),
        (("--study", "../elsewhere"), 3, "cannot name a study"),
        (("--init-from", "nowhere"), 2, "--init-from nowhere is not the folder of a trial"),
    ],
)
def test_a_test_of_what_does_not_fit_is_refused_in_one_line(
    flags: tuple[str, ...], exit_code: int, words: str, folder: Path, tmp_path: Path
) -> None:
    space = () if "--space" in flags else ("--space", "tiny")
    finished = automl_here(tmp_path, "find-lr", str(folder), *space, "--no-pretrained", "--no-flips", *flags)
    assert finished.exit_code == exit_code, finished.stderr
    assert words in finished.stderr
    assert len(finished.stderr.splitlines()) == 2
    assert not (tmp_path / "automl_runs" / "shapes" / "find_lr.json").exists()
