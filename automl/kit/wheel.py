"""Wheels for a machine without a network: this very package, and others as the index has them.

The package is packed from where it is imported, so that an installed copy and an editable one give the same wheel, and
neither a source folder nor a build tool is needed. Not responsible for: what predicting needs (automl.kit.needs).
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from automl.errors import StorageError, UnfitEnvironmentError

PACKAGES = ("automl", "runners", "search_spaces")
TAG = "py3-none-any"
LEFT_OUT = ("__pycache__",)
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the same code gives the same bytes, whenever it is packed


def pack_package(folder: Path) -> Path:
    """The wheel of this package, written into the folder.

    Source: Binary distribution format 1.0 (PEP 427), packaging.python.org/specifications.

    Raises:
        UnfitEnvironmentError: it runs from a folder where it is not installed, so that nothing tells what it requires.
        StorageError: the wheel cannot be written.
    """
    try:
        installed = importlib.metadata.distribution("automl")
    except importlib.metadata.PackageNotFoundError as error:
        raise UnfitEnvironmentError(
            "automl is not installed, so nothing tells what it requires", hint="pip install it, editable or not"
        ) from error
    name = f"automl-{installed.version}"
    contents = {path: place.read_bytes() for path, place in _sources()}
    contents |= _described(installed, f"{name}.dist-info")
    record = f"{name}.dist-info/RECORD"
    contents[record] = _record(contents, record).encode()
    wheel = folder / f"{name}-{TAG}.whl"
    try:
        _write(wheel, contents)
    except OSError as error:
        raise StorageError(f"{wheel} cannot be written: {error.strerror or error}", hint="free some space") from error
    return wheel


def download_wheels(packages: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The file names of the wheels of these packages, in the versions that are installed here; they lie in the folder.

    Raises:
        UnfitEnvironmentError: pip cannot get them.
    """
    wanted = [f"{package}=={importlib.metadata.version(package)}" for package in packages]
    before = set(folder.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), *wanted]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        reason = (finished.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        raise UnfitEnvironmentError(
            f"the wheels of {', '.join(wanted)} cannot be had: {reason}",
            hint="leave --wheels out, or run it where pip reaches an index",
        )
    return tuple(sorted(path.name for path in set(folder.glob("*.whl")) - before))


def _sources() -> Iterator[tuple[str, Path]]:
    """(path in the wheel, file) of everything that is imported, in order."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            root = Path(place)
            for path in sorted(root.rglob("*")):
                relative = path.relative_to(root)
                if path.is_file() and path.suffix != ".pyc" and not set(relative.parts) & set(LEFT_OUT):
                    yield f"{package}/{relative.as_posix()}", path


def _described(installed: importlib.metadata.Distribution, folder: str) -> dict[str, bytes]:
    described = {
        f"{folder}/WHEEL": f"Wheel-Version: 1.0\nGenerator: automl\nRoot-Is-Purelib: true\nTag: {TAG}\n".encode(),
        f"{folder}/top_level.txt": "".join(f"{package}\n" for package in PACKAGES).encode(),
    }
    # An egg-info, which is found first in a source folder, calls its metadata otherwise.
    described[f"{folder}/METADATA"] = (
        installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    ).encode()
    described[f"{folder}/entry_points.txt"] = (installed.read_text("entry_points.txt") or "").encode()
    return described


def _record(contents: dict[str, bytes], record: str) -> str:
    lines = []
    for path, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        lines.append(f"{path},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{record},,\n"])


def _write(wheel: Path, contents: dict[str, bytes]) -> None:
    wheel.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path, EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
