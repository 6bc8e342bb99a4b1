"""What only the whole chain shows of a competition that is not a plain folder of classes: one search each, as typed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from automl.artifacts import StudyFiles, read_json
from tests.conftest import automl_here

N_TRAIN, N_TEST = 40, 10
SEARCH = ("search", "leaves", "--space", "tiny", "--no-pretrained", "--trials", "1", "--epochs", "1")
NARROWED = ("--runner", "inline", "--fix", "backbone=test_resnet", "--fix", "resize=32", "--tta", "none")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with the competition `leaves`: bright leaves and dark ones, four of each plant."""
    root, rng = tmp_path / "leaves", np.random.default_rng(0)
    for split, n_images in (("train", N_TRAIN), ("test", N_TEST)):
        (root / split).mkdir(parents=True)
        for number in range(n_images):
            noise = rng.integers(0, 120, (32, 32, 3)) + 130 * (number % 2)
            Image.fromarray(noise.astype(np.uint8)).save(root / split / f"{number}.png")
    rows = [f"{number},{number % 2},p{number // 4}" for number in range(N_TRAIN)]
    (root / "train.csv").write_text("\n".join(["id,target,plant_id", *rows, ""]))
    (root / "sample_submission.csv").write_text("\n".join(["id,target", *(f"{n},0.5" for n in range(N_TEST)), ""]))
    return tmp_path


def searched(work: Path, *flags: str) -> Result:
    return automl_here(work, *SEARCH, *NARROWED, *flags)


def submitted(work: Path) -> dict[str, float]:
    lines = StudyFiles(work / "automl_runs" / "leaves").submission.read_text().splitlines()[1:]
    return {row.split(",")[0]: float(row.split(",")[1]) for row in lines}


def test_broken_and_missing_images_stop_a_search_until_they_are_left_out(work: Path) -> None:
    for name in ("train/3.png", "test/7.png"):
        (work / "leaves" / name).write_bytes(b"<html>not found</html>")
    for name in ("train/5.png", "test/2.png"):
        (work / "leaves" / name).unlink()
    missing = searched(work)
    assert missing.exit_code == 3
    assert "--skip-missing" in missing.stderr
    broken = searched(work, "--skip-missing")
    assert broken.exit_code == 3
    assert "train/3.png" in broken.stderr
    assert "test/7.png" in broken.stderr
    assert "--skip-broken" in broken.stderr

    finished = searched(work, "--skip-missing", "--skip-broken")
    assert finished.exit_code == 0, finished.output
    assert "decoded 38 train images" in finished.stdout
    assert "decoded 8 test images" in finished.stdout
    rows = submitted(work)
    assert len(rows) == N_TEST
    assert rows["2"] == rows["7"] == pytest.approx(18 / 38)  # those left out, 3 and 5, were both of class 1


def test_a_competition_left_in_its_archives_is_searched_and_its_folder_left_alone(work: Path) -> None:
    root = work / "leaves"
    for split in ("train", "test"):
        with zipfile.ZipFile(root / f"{split}.zip", "w") as archive:
            for path in sorted((root / split).iterdir()):
                archive.write(path, f"{split}/{path.name}")
                path.unlink()
        (root / split).rmdir()
    before = sorted(path.name for path in root.rglob("*"))
    finished = searched(work)
    assert finished.exit_code == 0, finished.output
    assert len(submitted(work)) == N_TEST
    assert sorted(path.name for path in root.rglob("*")) == before


def test_a_group_is_proposed_kept_in_one_fold_and_bound_to_the_study(work: Path) -> None:
    finished = searched(work)
    assert finished.exit_code == 0, finished.output
    assert "groups: 10 of up to 4 images, from column plant_id" in finished.stdout
    files = StudyFiles(work / "automl_runs" / "leaves")
    folds = np.array([int(row.split(",")[1]) for row in files.folds.read_text().splitlines()[1:]])
    assert all(len(set(folds[start : start + 4])) == 1 for start in range(0, N_TRAIN, 4))
    assert read_json(files.competition)["grouped_by"] == "plant_id"

    for flags, words in (
        (("--group", "none"), "another origin of groups: plant_id, not none"),
        (("--metric", "log_loss"), "another metric: roc_auc, not log_loss"),
        (("--no-flips",), "another rule of flips: on, not off"),
    ):
        refused = searched(work, *flags)
        assert refused.exit_code == 2
        assert words in refused.stderr
