"""List what predicting needs of other packages, less than searching does, and pack this package as a wheel."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from automl.errors import StorageError, UnfitEnvironmentError
from automl.study.provenance import read_versions

# Import name -> the package's own name on the index. A test predicts with these alone.
PREDICTING = {
    "cv2": "opencv-python-headless",
    "huggingface_hub": "huggingface_hub",
    "numpy": "numpy",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
}
UNVERSIONED = ("cv2",)  # it comes by several names, of which any will do

# What moves faster than a notebook's image does. Their wheels fit every Python 3 of the same kind of machine.
CARRIED = ("timm", "safetensors")

PACKAGES = ("automl", "runners", "search_spaces")
TAG = "py3-none-any"
LEFT_OUT = ("__pycache__",)
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the same code gives the same bytes, whenever it is packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A package that predicting imports.

    Attributes:
        least: the lowest version that will do; None where any will.
        version: the one that is installed here.
    """

    module: str
    package: str
    least: str | None
    version: str


@cache
def list_requirements() -> tuple[Requirement, ...]:
    """Return what predicting imports, as it is installed here."""
    required, distributions = _read_least_versions(), importlib.metadata.packages_distributions()
    requirements = []
    for module, package in PREDICTING.items():
        own_name = next(iter(distributions.get(module, ())), package)
        least = None if module in UNVERSIONED else required.get(_normalize_name(package))
        requirements.append(Requirement(module=module, package=own_name, least=least, version=_read_version(own_name)))
    return tuple(requirements)


def collect_versions() -> dict[str, str]:
    """Return the versions of Python, of automl and of what predicting needs, by the names in PREDICTING."""
    of_modules = {PREDICTING[required.module]: required.version for required in list_requirements()}
    return read_versions(["automl"]) | of_modules


def _read_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _read_least_versions() -> dict[str, str]:
    """Return package -> the lowest version that automl requires."""
    least = {}
    for line in importlib.metadata.requires("automl") or []:
        name = re.match(r"[A-Za-z0-9_.-]+", line)
        bound = re.search(r">=\s*([0-9.]+)", line)
        if name and bound and "extra ==" not in line:
            least[_normalize_name(name[0])] = bound[1]
    return least


def _normalize_name(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def pack_package(folder: Path) -> Path:
    """Pack this package as a wheel in the folder.

    Source: Binary distribution format 1.0 (PEP 427), packaging.python.org/specifications.

    Raises:
        UnfitEnvironmentError: it runs from a folder where it is not installed, so that its requirements are unknown.
        StorageError: the wheel cannot be written.
    """
    try:
        installed = importlib.metadata.distribution("automl")
    except importlib.metadata.PackageNotFoundError as error:
        raise UnfitEnvironmentError(
            "automl is not installed, so its requirements are unknown", hint="pip install it, editable or not"
        ) from error
    name = f"automl-{installed.version}"
    contents = {path: place.read_bytes() for path, place in _list_sources()}
    contents |= _build_metadata(installed, f"{name}.dist-info")
    record = f"{name}.dist-info/RECORD"
    contents[record] = _build_record(contents, record).encode()
    wheel = folder / f"{name}-{TAG}.whl"
    try:
        _write(wheel, contents)
    except OSError as error:
        raise StorageError(f"{wheel} cannot be written: {error.strerror or error}", hint="free some space") from error
    return wheel


def download_wheels(packages: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Download the wheels of these packages, as installed here, into the folder; return their file names.

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


def _list_sources() -> Iterator[tuple[str, Path]]:
    """Yield (path in the wheel, file) of everything that is imported, in order."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            root = Path(place)
            for path in sorted(root.rglob("*")):
                relative = path.relative_to(root)
                if path.is_file() and path.suffix != ".pyc" and not set(relative.parts) & set(LEFT_OUT):
                    yield f"{package}/{relative.as_posix()}", path


def _build_metadata(installed: importlib.metadata.Distribution, folder: str) -> dict[str, bytes]:
    metadata = {
        f"{folder}/WHEEL": f"Wheel-Version: 1.0\nGenerator: automl\nRoot-Is-Purelib: true\nTag: {TAG}\n".encode(),
        f"{folder}/top_level.txt": "".join(f"{package}\n" for package in PACKAGES).encode(),
    }
    # An egg-info, which is found first in a source folder, calls its metadata otherwise.
    metadata[f"{folder}/METADATA"] = (installed.read_text("METADATA") or installed.read_text("PKG-INFO") or "").encode()
    metadata[f"{folder}/entry_points.txt"] = (installed.read_text("entry_points.txt") or "").encode()
    return metadata


def _build_record(contents: dict[str, bytes], record: str) -> str:
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
