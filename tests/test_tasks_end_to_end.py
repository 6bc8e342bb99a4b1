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


PAINTS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}


def paint_mark(path: Path, colour: str, shape: str, rng: np.random.Generator) -> None:
    """A square or a bar of the colour, anywhere on a bright ground."""
    image = rng.integers(225, 255, (32, 32, 3), dtype=np.uint8)
    top, left = rng.integers(3, 12, 2)
    height, width = (14, 14) if shape == "square" else (5, 20)
    image[top : top + height, left : left + width] = PAINTS[colour]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.mark.slow
def test_several_heads_are_searched_blended_submitted_and_predicted(tmp_path: Path) -> None:
    root, rng = tmp_path / "marks", np.random.default_rng(0)
    marks = {
        f"{split}/{number}.png": (str(rng.choice(list(PAINTS))), str(rng.choice(["bar", "square"])))
        for split, n_images in (("train", 120), ("test", 20))
        for number in range(n_images)
    }
    for name, (colour, shape) in marks.items():
        paint_mark(root / name, colour, shape, rng)
    rows = [f"{name[6:-4]},{','.join(own)}" for name, own in marks.items() if name.startswith("train/")]
    (root / "train.csv").write_text("\n".join(["id,colour,shape", *rows, ""]))
    truth = {
        f"{name[5:-4]}_{head}": label
        for name, own in marks.items()
        if name.startswith("test/")
        for head, label in (("shape", own[1]), ("colour", own[0]))
    }
    sample = [f"{row_id},{'bar' if row_id.endswith('shape') else 'red'}" for row_id in truth]
    (root / "sample_submission.csv").write_text("\n".join(["row_id,target", *sample, ""]))

    trials = ("search", "marks", "--space", "tiny", "--no-pretrained", "--trials", "2", "--epochs", "12")
    searched = automl_here(tmp_path, *trials, *NARROWED, "--fix", "lr=0.005", "--metric", "balanced_accuracy")
    assert searched.exit_code == 0, searched.output
    assert "task: multioutput" in searched.stdout
    files = StudyFiles(tmp_path / "automl_runs" / "marks")
    lines = [line.split(",") for line in files.submission.read_text().splitlines()[1:]]
    assert [row_id for row_id, _ in lines] == list(truth)
    assert sum(truth[row_id] == label for row_id, label in lines) >= 0.9 * len(truth)
    accepted = automl_here(tmp_path, "check", str(files.submission), "marks")
    assert accepted.exit_code == 0, accepted.output

    predicted = automl_here(tmp_path, "predict", "marks/test", "--study", "marks", "--out", "p.csv")
    assert predicted.exit_code == 0, predicted.output
    header, *table = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()]
    assert header[-2:] == ["shape", "colour"]
    named = {f"{row[0][:-4]}_{head}": label for row in table for head, label in zip(header[-2:], row[-2:], strict=True)}
    assert sum(truth[row_id] == label for row_id, label in named.items()) >= 0.9 * len(truth)


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
