"""Which study in the working folder is meant, and how paths are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.cli.workdir import find_study, format_path, get_study_files
from automl.errors import DataError, UsageError


def begin(workdir: Path, *names: str) -> None:
    for name in names:
        (workdir / name).mkdir(parents=True)
        (workdir / name / "study.db").write_bytes(b"")


def test_a_study_is_found_by_its_name_whether_it_is_begun_or_not(tmp_path: Path) -> None:
    assert find_study(tmp_path, "leaves") == get_study_files(tmp_path, "leaves")
    assert get_study_files(tmp_path, "leaves").root == tmp_path / "leaves"
    with pytest.raises(DataError, match="cannot name a study"):
        find_study(tmp_path, "../leaves")


def test_the_only_study_is_meant_and_of_several_the_one_named_like_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, runs = tmp_path / "leaves", tmp_path / "leaves" / "runs"
    begin(runs, "cats")
    (runs / "no-study").mkdir()
    monkeypatch.chdir(here)
    assert find_study(Path("runs"), None).root == runs / "cats"
    begin(runs, "leaves")
    assert find_study(Path("runs"), None).root == runs / "leaves"


def test_without_a_study_and_with_several_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds 0 studies") as none:
        find_study(tmp_path, None)
    assert "automl search" in none.value.hint
    begin(tmp_path, "b", "a")
    with pytest.raises(UsageError, match="holds 2 studies: a, b") as several:
        find_study(tmp_path, None)
    assert several.value.hint == "name one with --study"


def test_a_path_below_the_working_folder_is_shown_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert format_path(tmp_path / "runs" / "a.csv") == "runs/a.csv"
    assert format_path(tmp_path.parent / "a.csv") == str(tmp_path.parent / "a.csv")
