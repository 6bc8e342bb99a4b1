"""submit.py before it has found automl: a whole kit, what is installed, and where the code comes from.

The kits here hold another package in place of automl, which takes milliseconds to import.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from automl.kit import kaggle_script

RUNNING = """
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class KitRun:
    folder: object
    out: object
    max_minutes: object
    device: object
    scratch: object
    started: float

def run_kit(kit, asked):
    import {module}
    told = f"{place} {{{module}.__file__}} {{asked.folder}} {{asked.out}} {{asked.max_minutes}} {{asked.device}}"
    print(told, asked.scratch.is_dir(), asked.scratch)
    return 0
"""


def put_wheel(path: Path, sources: dict[str, str], *, version: str = "1.0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    package = path.name.partition("-")[0]
    name, metadata = f"{package}-{version}.dist-info", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in sources.items():
            archive.writestr(place, text)
        archive.writestr(f"{name}/METADATA", metadata)
        archive.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}/RECORD", "")


def sources_of(place: str, module: str = "json") -> dict[str, str]:
    running = RUNNING.format(place=place, module=module)
    return {"automl/__init__.py": "", "automl/kit/__init__.py": "", "automl/kit/running.py": running}


def put_kit(root: Path, *, module: str = "json", needs: Sequence[dict[str, str | None]] = ()) -> Path:
    wheel = root / "wheels" / "automl-1.0-py3-none-any.whl"
    put_wheel(wheel, sources_of("wheel", module))
    (root / "submit.py").write_bytes(Path(kaggle_script.__file__).read_bytes())
    (root / "weights.bin").write_bytes(b"weights")
    write_manifest(root, code="of the wheel", needs=list(needs))
    return root


def write_manifest(root: Path, **values: object) -> None:
    names = ("weights.bin", "wheels/automl-1.0-py3-none-any.whl")
    files = {name: kaggle_script.compute_file_digest(root / name) for name in names}
    document = {"wheel": "wheels/automl-1.0-py3-none-any.whl", "files": files, **values}
    (root / "kit.json").write_text(json.dumps(document))


def run(kit: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """submit.py in a Python that sees nothing but the standard library, and a folder if it is given."""
    added = "" if path is None else f"sys.path.append({str(path)!r}); "
    program = f"import runpy, sys; {added}sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", program, str(kit / "submit.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=kit.parent, check=False)


def test_without_an_installed_automl_the_kit_s_wheel_is_used_and_cleared_away(tmp_path: Path) -> None:
    finished = run(put_kit(tmp_path / "kit"))
    assert finished.returncode == 0, finished.stderr
    words = finished.stdout.split()
    assert words[0] == "wheel"
    assert words[2:7] == ["None", "submission.csv", "None", "None", "True"]
    assert not Path(words[7]).exists()


def test_arguments_are_passed_on(tmp_path: Path) -> None:
    arguments = ("--input", "data", "--out", "mine.csv", "--max-minutes", "90", "--device", "cpu")
    assert run(put_kit(tmp_path / "kit"), *arguments).stdout.split()[2:6] == ["data", "mine.csv", "90.0", "cpu"]


@pytest.mark.parametrize("minutes", ["0", "-3", "inf", "nan", "soon"])
def test_minutes_that_are_none_are_refused(tmp_path: Path, minutes: str) -> None:
    finished = run(put_kit(tmp_path / "kit"), "--max-minutes", minutes)
    assert finished.returncode == 2
    assert f"argument --max-minutes: {minutes} is not a positive number of minutes" in finished.stderr


def test_an_installed_automl_is_used_where_its_code_is_the_same_and_not_where_it_is_another(tmp_path: Path) -> None:
    kit, installed = put_kit(tmp_path / "kit"), tmp_path / "site"
    for place, text in sources_of("installed").items():
        (installed / place).parent.mkdir(parents=True, exist_ok=True)
        (installed / place).write_text(text)
    assert run(kit, path=installed).stdout.split()[0] == "wheel"
    write_manifest(kit, code=kaggle_script.compute_code_digest(installed / "automl"), needs=[])
    assert run(kit, path=installed).stdout.split()[0] == "installed"


def test_a_python_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kaggle_script.sys, "version_info", (3, 10, 14))
    with pytest.raises(SystemExit) as ended:
        kaggle_script.main([], kit=put_kit(tmp_path / "kit"))
    monkeypatch.undo()
    assert ended.value.code == 7
    assert "predicting needs Python 3.11 or newer, but here is 3.10" in capsys.readouterr().err


def test_the_python_that_the_script_asks_for_is_the_one_that_the_package_requires() -> None:
    required = importlib.metadata.metadata("automl")["Requires-Python"]
    assert required == f">={'.'.join(map(str, kaggle_script.LEAST_PYTHON))}"


def test_code_of_another_name_or_content_has_another_digest(tmp_path: Path) -> None:
    digests = []
    for number, (name, text) in enumerate((("a.py", "x = 1\n"), ("a.py", "x = 2\n"), ("b.py", "x = 1\n"))):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / name).write_text(text)
        digests.append(kaggle_script.compute_code_digest(tmp_path / str(number)))
    assert len(set(digests)) == 3


def test_an_interrupted_kit_is_no_kit(tmp_path: Path) -> None:
    kit = put_kit(tmp_path / "kit")
    (kit / "kit.json").unlink()
    finished = run(kit)
    assert finished.returncode == 5
    assert "has no kit.json, so it is no whole kit\n  hint: make it again: automl kit" in finished.stderr


@pytest.mark.parametrize("content", [b"{", b"\xff", b"", b"[]", b'{"files": {}}'])
def test_a_damaged_kit_json_is_refused(tmp_path: Path, content: bytes) -> None:
    kit = put_kit(tmp_path / "kit")
    (kit / "kit.json").write_bytes(content)
    finished = run(kit)
    assert (finished.returncode, finished.stdout) == (5, "")
    assert "Error: " in finished.stderr and "kit.json" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_damaged_and_missing_files_are_named_before_anything_runs(tmp_path: Path) -> None:
    kit = put_kit(tmp_path / "kit")
    (kit / "weights.bin").write_bytes(b"weighty")
    damaged = run(kit)
    assert (damaged.returncode, damaged.stdout) == (5, "")
    assert "Error: damaged in the kit: weights.bin" in damaged.stderr
    (kit / "weights.bin").unlink()
    assert "Error: missing in the kit: weights.bin" in run(kit).stderr


def put_installed(folder: Path, version: str) -> Path:
    (folder / f"quaint-{version}.dist-info").mkdir(parents=True)
    (folder / f"quaint-{version}.dist-info" / "METADATA").write_text(f"Name: quaint\nVersion: {version}\n")
    (folder / "quaint.py").write_text("")
    return folder


NEED: dict[str, str | None] = {"module": "quaint", "package": "quaint", "least": "1.2.0"}


def test_a_package_that_is_new_enough_is_left_alone(tmp_path: Path) -> None:
    kit = put_kit(tmp_path / "kit", module="quaint", needs=[NEED])
    for version in ("1.2", "1.10.0+cu1"):
        installed = put_installed(tmp_path / version, version)
        assert run(kit, path=installed).stdout.split()[1] == str(installed / "quaint.py")


def test_a_package_that_is_too_old_or_missing_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    kit = put_kit(tmp_path / "kit", module="quaint", needs=[NEED])
    old = run(kit, path=put_installed(tmp_path / "old", "1.1.9"))
    assert old.returncode == 7
    assert "predicting needs quaint 1.2.0 or newer, but here is 1.1.9\n  hint: " in old.stderr
    assert "automl kit --wheels" in old.stderr
    assert "but it is not installed" in run(kit).stderr


@pytest.mark.slow
def test_a_package_that_is_too_old_is_taken_from_the_kit_s_wheels(tmp_path: Path) -> None:
    kit = put_kit(tmp_path / "kit", module="quaint", needs=[NEED])
    put_wheel(kit / "wheels" / "quaint-1.3-py3-none-any.whl", {"quaint.py": ""}, version="1.3")
    finished = run(kit, path=put_installed(tmp_path / "old", "1.1.9"))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split()[1].startswith(finished.stdout.split()[7])


def test_a_wheel_for_another_python_is_an_error_that_names_it(tmp_path: Path) -> None:
    kit = put_kit(tmp_path / "kit", module="quaint", needs=[NEED])
    put_wheel(kit / "wheels" / "quaint-1.3-cp27-cp27m-win32.whl", {"quaint.py": ""}, version="1.3")
    finished = run(kit)
    assert finished.returncode == 7
    assert "quaint-1.3-cp27-cp27m-win32.whl cannot be used here" in finished.stderr
