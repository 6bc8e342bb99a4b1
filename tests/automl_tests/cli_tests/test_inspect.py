"""`automl inspect` and `automl check`, as they are typed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.automl_tests.small_competitions import put_table_competition
from tests.conftest import automl_here


@pytest.fixture
def folder(digits: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    shutil.copytree(digits, folder)
    return folder


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def submission(folder: Path, label: str = "0") -> Path:
    header, *rows = (folder / "sample_submission.csv").read_text().splitlines()
    path = folder.parent / "mine.csv"
    lines = [header, *(f"{row.rpartition(',')[0]},{(number + int(label)) % 10}" for number, row in enumerate(rows))]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_inspect_says_what_was_understood_and_from_what(digits: Path, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "inspect", str(digits), "--names-only")
    assert finished.exit_code == 0, finished.stderr
    assert "labels: 1437 images, from column label of train.csv" in finished.stdout
    assert "metric: accuracy" in finished.stdout
    assert names_below(tmp_path) == []


@pytest.mark.slow
def test_inspect_looks_at_the_images_and_writes_a_page(folder: Path, tmp_path: Path) -> None:
    before = names_below(folder)
    finished = automl_here(tmp_path, "inspect", str(folder), "--html")
    assert finished.exit_code == 0, finished.stderr
    assert "mirror: images and their mirror images clearly differ" in finished.stdout
    assert "suggestion: --no-flips" in finished.stdout
    page = (tmp_path / "automl_runs" / "digits" / "inspect.html").read_text()
    for section in ("Class balance", "Image sizes", "Colours", "Some images of each class", "Duplicates", "separable"):
        assert f"<h2>{section}" in page or section in page
    assert page.count("data:image/jpeg;base64,") >= 80
    assert 'src="http' not in page
    assert names_below(folder) == before


@pytest.mark.slow
def test_inspect_names_broken_images_and_goes_on(folder: Path, tmp_path: Path) -> None:
    broken = sorted((folder / "train").iterdir())[:2]
    for path in broken:
        path.write_bytes(b"")
    finished = automl_here(tmp_path, "inspect", str(folder))
    assert finished.exit_code == 0, finished.stderr
    assert all(path.name in finished.stdout for path in broken)
    assert "suggestion:" in finished.stdout


def test_a_program_reads_what_was_understood(digits: Path, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "inspect", str(digits), "--names-only", "--json", "--table", "table.csv")
    assert finished.exit_code == 0
    document = json.loads(finished.stdout)
    assert document["schema"] == 1
    assert document["task"] == "multiclass"
    assert document["classes"] == [str(digit) for digit in range(10)]
    assert (document["n_train"], document["n_test"], document["n_left_out"]) == (1437, 360, 0)
    assert "train.csv" in document["labels_from"]
    assert "train" in document["images_from"]
    assert document["submission"] == {"kind": "label", "columns": ["id", "label"]}
    assert any(line.startswith("task: ") for line in document["evidence"])
    assert {"metric", "groups", "warnings", "flags"} <= document.keys()
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (digits / "train.csv").open(newline="") as file:
        label_of = {row["id"]: row["label"] for row in csv.DictReader(file)}
    train = {row["id"]: row for row in rows if row["split"] == "train"}
    assert {name: row["label"] for name, row in train.items()} == label_of
    assert all((digits / row["path"]).is_file() for row in rows)
    assert sum(row["split"] == "test" for row in rows) == 360


@pytest.mark.slow
def test_a_program_reads_what_was_seen_in_the_images_too(folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "stray.txt").write_text("x")
    sorted((folder / "train").glob("*.png"))[0].write_bytes(b"")
    finished = automl_here(tmp_path, "inspect", str(folder), "--json")
    assert finished.exit_code == 0, finished.output
    document = json.loads(finished.stdout)
    assert document["n_train"] == 1436
    assert "--no-flips" in [suggested["flag"] for suggested in document["flags"]]
    assert all(suggested["reason"] for suggested in document["flags"])


@pytest.mark.parametrize(
    ("words", "kind", "exit_code"),
    [
        (["--metric", "rmsle"], "usage", 2),
        (["--class-level", "2", "--submission", "guesses"], "usage", 2),
        ([], "data", 3),
    ],
)
def test_an_error_is_a_document_too_and_the_exit_code_stays(
    words: list[str], kind: str, exit_code: int, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    finished = automl_here(tmp_path, "inspect", str(tmp_path / "empty"), "--json", "--names-only", *words)
    assert finished.exit_code == exit_code
    document = json.loads(finished.stdout)
    assert document["schema"] == 1
    assert document["error"].keys() == {"kind", "problem", "hint", "seen"}
    assert document["error"]["kind"] == kind
    assert finished.stderr == ""


def test_a_name_in_the_folder_commands_no_terminal(tmp_path: Path) -> None:
    put_table_competition(tmp_path / "odd", labels=["cat", "dog\x1b[2J"] * 4)
    for flags in (["--names-only"], []):
        finished = automl_here(tmp_path, "inspect", str(tmp_path / "odd"), *flags)
        assert finished.exit_code == 0, finished.stderr
        assert "\x1b" not in finished.stdout
        assert "dog\\x1b[2J" in finished.stdout


def test_automl_toml_in_the_working_folder_is_read(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "automl.toml").write_text('metric = "balanced_accuracy"\nflips = false\n')
    finished = automl_here(tmp_path, "inspect", str(digits), "--names-only")
    assert "metric: balanced_accuracy" in finished.stdout
    finished = automl_here(tmp_path, "inspect", str(digits), "--names-only", "--metric", "f1_macro")
    assert "metric: f1_macro" in finished.stdout


def test_a_mistake_in_automl_toml_is_named(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "automl.toml").write_text('metrics = "qwk"\n')
    finished = automl_here(tmp_path, "inspect", str(digits), "--names-only")
    assert finished.exit_code == 2
    assert "did you mean metric?" in finished.stderr


def test_check_accepts_a_file_that_the_competition_would(folder: Path, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "check", str(submission(folder)), str(folder))
    assert finished.exit_code == 0, finished.stderr
    assert "would be accepted: 360 rows" in finished.stdout


def test_check_remarks_that_the_sample_itself_was_submitted(folder: Path, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "check", str(folder / "sample_submission.csv"), str(folder))
    assert finished.exit_code == 0, finished.stderr
    assert "remark:" in finished.stdout


def test_check_names_every_problem_at_once(folder: Path, tmp_path: Path) -> None:
    path = submission(folder)
    lines = path.read_text().splitlines()
    lines[5] = "elsewhere,1"
    lines[-1] = lines[-1].rpartition(",")[0] + ",ten"
    path.write_text("".join(f"{line}\n" for line in lines))
    finished = automl_here(tmp_path, "check", str(path), str(folder))
    assert finished.exit_code == 3
    assert "'elsewhere'" in finished.stdout + finished.stderr
    assert "'ten'" in finished.stdout + finished.stderr
    assert finished.stderr.count("Error:") == 1


def test_check_of_a_file_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    finished = automl_here(tmp_path, "check", "nowhere.csv", str(folder))
    assert finished.exit_code == 5
    assert "nowhere.csv cannot be read" in finished.stderr
