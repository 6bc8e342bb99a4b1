"""Studies without a test set or a sample submission, and with rows for several images: one search each, as typed."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from automl.artifacts import StudyFiles, read_arrays, read_json
from automl.data.competition import load_competition
from automl.kit.running import KitRun, run_kit
from tests.conftest import automl_here

pytestmark = pytest.mark.slow

N_TRAIN = 40
SEARCH = ("search", "leaves", "--space", "tiny", "--no-pretrained", "--trials", "1", "--epochs", "1")
NARROWED = ("--runner", "inline", "--fix", "backbone=test_resnet", "--fix", "resize=32", "--tta", "none")
NO_SUBMISSION = "no test images, so there is no submission: automl predict FOLDER predicts new ones"


def paint(*paths: Path) -> None:
    """Leaves, every other one of them bright."""
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 120, (32, 32, 3)) + 130 * (number % 2)
        Image.fromarray(noise.astype(np.uint8)).save(path)


def searched(work: Path, *flags: str) -> Result:
    finished = automl_here(work, *SEARCH, *NARROWED, *flags)
    assert finished.exit_code == 0, finished.output
    return finished


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path / "automl_runs" / "leaves")


def test_class_folders_alone_end_with_an_ensemble_that_predicts_new_images(tmp_path: Path, files: StudyFiles) -> None:
    paint(*(tmp_path / "leaves" / ("bright" if n % 2 else "dark") / f"{n}.png" for n in range(N_TRAIN)))
    paint(*(tmp_path / "new" / f"n{n}.png" for n in range(6)))
    inspected = automl_here(tmp_path, "inspect", "leaves", "--html")
    assert inspected.exit_code == 0, inspected.output
    assert "shift" not in inspected.stdout
    finished = searched(tmp_path)
    assert NO_SUBMISSION in finished.stdout
    assert not files.submission.exists()
    assert not files.current_submission.exists()
    assert read_json(files.ensemble)["submission"] is None
    assert read_arrays(files.get_trial_files(0).test)["probs"].shape == (0, 2)

    for command in (["status"], ["report"], ["ensemble", "--device", "cpu", "--tta", "none"]):
        again = automl_here(tmp_path, *command)
        assert again.exit_code == 0, again.output
    predicted = automl_here(tmp_path, "predict", "new", "--device", "cpu", "--out", "study.csv")
    assert predicted.exit_code == 0, predicted.output
    rows = read_rows(tmp_path / "study.csv")
    assert [row["image"] for row in rows] == [f"n{n}.png" for n in range(6)]
    assert {row["label"] for row in rows} <= {"bright", "dark"}

    built = automl_here(tmp_path, "kit", "--device", "cpu", "--half")
    assert built.exit_code == 0, built.output
    assert "try it: automl predict FOLDER --kit" in built.stdout
    kit = str(files.kit)
    by_kit = automl_here(tmp_path, "predict", "new", "--kit", kit, "--device", "cpu", "--out", "kit.csv")
    assert by_kit.exit_code == 0, by_kit.output
    assert [row["label"] for row in read_rows(tmp_path / "kit.csv")] == [row["label"] for row in rows]

    for command, words in (
        (["submit"], "nothing to submit"),
        (["check", "study.csv", "leaves"], "nothing to submit"),
        (["ensemble", "--max-minutes", "1", "--device", "cpu"], "--max-minutes is for no test images"),
        (["refit", "--pseudo-labels", "0.9", "--gpus", "0"], "pseudo-labels are predictions of test images"),
    ):
        refused = automl_here(tmp_path, *command)
        assert refused.exit_code in (2, 3)
        assert words in refused.stderr


def test_tables_without_a_sample_end_with_a_submission_that_is_accepted(tmp_path: Path, files: StudyFiles) -> None:
    root = tmp_path / "leaves"
    paint(*(root / "train" / f"{n}.png" for n in range(N_TRAIN)), *(root / "test" / f"t{n}.png" for n in range(6)))
    (root / "train.csv").write_text("\n".join(["id,kind", *(f"{n},{'ab'[n % 2]}" for n in range(N_TRAIN)), ""]))
    (root / "test.csv").write_text("\n".join(["id,file", *(f"x{n},t{5 - n}.png" for n in range(6)), ""]))
    for flags, columns in (((), ["id", "kind"]), (("--submission", "probabilities"), ["id", "a", "b"])):
        finished = searched(tmp_path, *flags, "--study", f"leaves{len(columns)}")
        assert "no sample submission: one is made, of 6 rows after column id of test.csv" in finished.stdout
        submission = tmp_path / "automl_runs" / f"leaves{len(columns)}" / "submission.csv"
        rows = read_rows(submission)
        assert list(rows[0]) == columns
        assert [row["id"] for row in rows] == [f"x{n}" for n in range(6)]
        checked = automl_here(tmp_path, "check", str(submission), "leaves", *flags)
        assert checked.exit_code == 0, checked.output
        assert "would be accepted: 6 rows" in checked.stdout


def test_rows_of_several_images_are_means_also_of_a_hidden_test_with_other_numbers(
    tmp_path: Path, files: StudyFiles
) -> None:
    root, hidden = tmp_path / "leaves", tmp_path / "hidden"
    paint(*(root / "train" / f"{n}.png" for n in range(N_TRAIN)))
    (root / "train.csv").write_text("\n".join(["id,target", *(f"{n},{n % 2}" for n in range(N_TRAIN)), ""]))
    for folder, numbers in ((root, (1, 2, 3)), (hidden, (2, 4, 1, 1))):
        paint(*(folder / "test" / f"q{row}" / f"{n}.png" for row, many in enumerate(numbers) for n in range(many)))
        rows = [f"q{row},0.5" for row in range(len(numbers))]
        (folder / "sample_submission.csv").write_text("\n".join(["id,target", *rows, ""]))
    (root / "test" / "q2" / "1.png").write_bytes(b"<html>not found</html>")
    finished = searched(tmp_path, "--skip-broken")
    assert "submission: 3 rows of 6 images, up to 3 together: the mean of their predictions" in finished.stdout
    competition = load_competition(files.competition)
    assert competition.test_ids == (
        "q0",
        *(f"test/q1/{n}.png" for n in range(2)),
        *(f"test/q2/{n}.png" for n in range(3)),
    )
    assert competition.unreadable_test == (4,)
    probs = read_arrays(files.get_trial_files(0).test)["probs"][:, 1].astype(float)
    written = [float(row["target"]) for row in read_rows(files.submission)]
    assert written == pytest.approx([probs[0], probs[1:3].mean(), probs[[3, 5]].mean()], abs=1e-6)

    built = automl_here(tmp_path, "kit", "--device", "cpu")
    assert built.exit_code == 0, built.output
    run = KitRun(
        folder=hidden,
        out=tmp_path / "hidden.csv",
        max_minutes=None,
        device="cpu",
        scratch=tmp_path / "scratch",
        started=time.monotonic(),
    )
    lines: list[str] = []
    assert run_kit(files.kit, run, notify=lines.append) == 0
    assert "submission: 4 rows of 8 images, up to 4 together: the mean of their predictions" in lines
    assert [row["id"] for row in read_rows(tmp_path / "hidden.csv")] == ["q0", "q1", "q2", "q3"]
    predicted = automl_here(tmp_path, "predict", "hidden/test", "--device", "cpu")
    assert predicted.exit_code == 0, predicted.output
    probability = {row["image"]: float(row["1"]) for row in read_rows(tmp_path / "predictions.csv")}
    means = [np.mean([probability[f"q{row}/{n}.png"] for n in range(many)]) for row, many in enumerate((2, 4, 1, 1))]
    assert [float(row["target"]) for row in read_rows(tmp_path / "hidden.csv")] == pytest.approx(means, abs=1e-6)
