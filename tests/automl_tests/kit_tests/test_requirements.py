"""This package as a wheel, packed from where it is imported."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import automl
from automl import __version__
from automl.errors import UnfitEnvironmentError
from automl.kit import kaggle_script, requirements
from automl.kit.requirements import download_wheels, pack_package

ROOT = Path(automl.__file__).parent.parent


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_package(tmp_path_factory.mktemp("wheels"))


def test_the_wheel_holds_every_source_file_and_nothing_that_was_compiled(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    sources = [path for name in requirements.PACKAGES for path in (ROOT / name).rglob("*.py")]
    sources += [ROOT / name / "py.typed" for name in requirements.PACKAGES]
    assert {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sources} == held


def test_the_wheel_s_record_has_the_digest_of_each_file(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        name = f"automl-{__version__}.dist-info/RECORD"
        record = {row[0]: row[1:] for row in csv.reader(io.StringIO(archive.read(name).decode()))}
        assert record.pop(name) == ["", ""]
        assert set(record) == set(archive.namelist()) - {name}
        for path, (digest, size) in record.items():
            content = archive.read(path)
            sha = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={sha}", str(len(content)))


@pytest.mark.slow
def test_pip_installs_the_wheel_and_it_runs_from_there(packed: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]
    subprocess.run([*pip, tmp_path, packed], check=True)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport automl, importlib.metadata as m\n"
    program += "print(automl.__file__, m.version('automl'), *[e.value for e in m.distribution('automl').entry_points])"
    finished = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == [f"{tmp_path}/automl/__init__.py", __version__, "automl.cli.app:main"]
    assert kaggle_script.compute_code_digest(tmp_path / "automl") == kaggle_script.compute_code_digest(ROOT / "automl")


def test_the_same_code_gives_the_same_wheel(packed: Path, tmp_path: Path) -> None:
    assert pack_package(tmp_path).read_bytes() == packed.read_bytes()


def test_wheels_that_no_index_has_are_an_error_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UnfitEnvironmentError, match=r"wheels of safetensors==.* cannot be had") as raised:
        download_wheels(("safetensors",), tmp_path)
    assert "leave --wheels out" in raised.value.hint


def test_wheels_are_taken_in_the_installed_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = tmp_path / "index"
    places.mkdir()
    installed = pack_package(places)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(places))
    assert download_wheels(("automl",), tmp_path / "kit") == (installed.name,)
    assert (tmp_path / "kit" / installed.name).read_bytes() == installed.read_bytes()
