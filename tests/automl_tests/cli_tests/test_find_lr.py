"""`automl find-lr` and `automl search --center-lr` as a user meets them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import torch
from typer.testing import Result

from automl.artifacts import StudyFiles
from automl.suggest import format_number
from tests.automl_tests.lr_finder_tests.curves import completed
from tests.automl_tests.training_tests.toy_competitions import SIDE, shape_image
from tests.conftest import automl_here

pytestmark = pytest.mark.slow

QUICK = ("--space", "tiny", "--no-pretrained", "--no-flips", "--fix", "backbone=test_resnet", "--fix", "resize=24")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A test in this process sets the number of torch's threads."""
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


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
    assert re.search(
        r"suggestion: lr (\d(\.\d)?e-[34]|0\.0\d+), where the loss falls most steeply, in \d+ steps", finished.stdout
    )
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
    assert f"lr is searched within a decade of {format_number(kept['suggestion'], digits=2)}" in finished.stdout
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
    assert "no suggestion: from 1e-7 to" in finished.stdout
    refused = automl_here(tmp_path, "search", str(folder), *QUICK, "--center-lr", "auto", "--trials", "1")
    assert refused.exit_code == 2
    assert "--center-lr auto found no learning rate" in refused.stderr
    assert "give a number" in refused.stderr
    assert not (tmp_path / "automl_runs" / "shapes" / "study.db").exists()


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
