"""Files: whole or not there, read without pickle."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import (
    StudyFiles,
    TrialFiles,
    read_arrays,
    read_json,
    require_plain_name,
    write_arrays,
    write_bytes,
    write_json,
    write_table,
)
from automl.errors import DataError, StorageError


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    return StudyFiles(tmp_path).get_trial_files(17)


def test_a_trials_files_lie_in_a_folder_of_its_number(tmp_path: Path) -> None:
    assert StudyFiles(tmp_path).get_trial_files(17).config == tmp_path / "trials" / "00017" / "config.json"


def test_json_and_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1, None, 0.5]})
    assert read_json(tmp_path / "a.json") == {"x": [1, None, 0.5]}
    probs = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    write_arrays(tmp_path / "a.npz", probs=probs, rows=np.arange(5))
    loaded = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded["probs"], probs)
    assert loaded["probs"].dtype == np.float32


def test_what_is_not_finite_never_gets_into_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half", b"{"])
def test_damaged_files_are_storage_errors_that_name_the_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "oof.npz"
    path.write_bytes(content)
    for read in (read_arrays, read_json):
        with pytest.raises(StorageError, match=r"oof\.npz"):
            read(path)
    with pytest.raises(StorageError, match="missing"):
        read_arrays(tmp_path / "none.npz")


def test_an_array_file_with_a_pickle_inside_is_refused_and_not_executed(tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "executed"),))  # type: ignore[return-value]

    content = io.BytesIO()
    np.savez(content, probs=np.array([Canary()], dtype=object))
    (tmp_path / "a.npz").write_bytes(content.getvalue())
    assert pickle.PROTO in content.getvalue()
    with pytest.raises(StorageError):
        read_arrays(tmp_path / "a.npz")
    assert not (tmp_path / "executed").exists()


def test_a_full_disk_is_a_storage_error_and_the_old_file_is_intact(tmp_path: Path) -> None:
    program = (
        "import pathlib, resource, signal, sys\nfrom automl.artifacts import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_bytes(pathlib.Path(sys.argv[1]), bytes(5000))\n"
    )
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    finished = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert "StorageError" in finished.stderr
    assert "cannot be written: File too large" in finished.stderr
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights"]


def test_a_table_is_utf8_with_lf_and_quotes_where_needed(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", ("id", "label"), [("00012", 'a,"b"'), ("é", "NA")])
    assert (tmp_path / "a.csv").read_bytes() == 'id,label\n00012,"a,""b"""\né,NA\n'.encode()


def test_a_temporary_file_that_was_planted_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "a.json").symlink_to(victim)
    write_bytes(tmp_path / "a.json", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "a.json").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "\x1b[2J"])
def test_a_study_is_not_named_so_that_it_leaves_its_folder(name: str) -> None:
    with pytest.raises(DataError):
        require_plain_name(name, "study")
