"""Write the submission of the ensemble that lies beside this file, without a network.

    python submit.py [--input DIR] [--out submission.csv] [--max-minutes M] [--device cuda:0]

A copy of this file stands in each kit. It needs nothing but Python until it has found the automl that wrote the kit:
the one that is installed, where its code is the same, and else the one in the kit's wheels. Nothing is installed for
good, and nothing is written but the submission and temporary files. automl.kit.running does the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

STARTED = time.monotonic()
KIT = Path(__file__).resolve().parent
STORAGE, ENVIRONMENT = 5, 7  # exit codes, as automl.errors has them
LEAST_PYTHON = (3, 11)


def main(arguments: Sequence[str] | None = None, *, kit: Path = KIT) -> int:
    """Write the submission; return 0, or the exit code of an error, which is printed with a hint."""
    options = _parse_arguments(arguments)
    _require_python()
    document = _read_document(kit)
    _require_whole(kit, document["files"])
    with tempfile.TemporaryDirectory(prefix="automl-kit-", ignore_cleanup_errors=True) as scratch:
        _make_importable(kit, document, Path(scratch))
        from automl.kit.running import KitRun, run_kit

        run = KitRun(
            folder=options.input,
            out=options.out,
            max_minutes=options.max_minutes,
            device=options.device,
            scratch=Path(scratch),
            started=STARTED,
        )
        return run_kit(kit, run)


def compute_code_digest(package: Path) -> str:
    """Return the SHA-256 of the names and contents of a package's Python files: another one means other code."""
    hashed = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).parts):
        content = path.read_bytes()
        hashed.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode() + content)
    return hashed.hexdigest()


def compute_file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the submission of the ensemble that lies beside this file, without a network."
    )
    parser.add_argument("--input", type=Path, metavar="DIR", help="the competition's data; looked for by default")
    parser.add_argument("--out", type=Path, default=Path("submission.csv"), help="the file to write")
    parser.add_argument("--max-minutes", type=_parse_minutes, metavar="M", help="leave out what does not fit into them")
    parser.add_argument("--device", help="cuda:0 or cpu; the first GPU by default")
    return parser.parse_args(arguments)


def _parse_minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of minutes")
    return minutes


def _require_python() -> None:
    if sys.version_info < LEAST_PYTHON:
        wanted, here = (".".join(map(str, version[:2])) for version in (LEAST_PYTHON, sys.version_info))
        _fail(ENVIRONMENT, f"predicting needs Python {wanted} or newer, but here is {here}", "take a newer environment")


def _read_document(kit: Path) -> dict[str, Any]:
    place = kit / "kit.json"
    try:
        document = json.loads(place.read_bytes())
    except FileNotFoundError:
        _fail(STORAGE, f"{kit} has no kit.json, so it is no whole kit", "make it again: automl kit")
    except (OSError, ValueError) as error:
        _fail(STORAGE, f"{place} cannot be read: {error}", "copy the kit again, its folders included")
    if not isinstance(document, dict) or not document.keys() >= {"files", "needs", "code", "wheel"}:
        _fail(STORAGE, f"{place} is not a kit's", "make the kit again: automl kit")
    return document


def _require_whole(kit: Path, files: Mapping[str, str]) -> None:
    """End where a file of the kit is missing or has another content than when the kit was made."""
    missing = [name for name in files if not (kit / name).is_file()]
    changed = [name for name in files if name not in missing and compute_file_digest(kit / name) != files[name]]
    for names, what in ((missing, "missing"), (changed, "damaged")):
        if names:
            _fail(STORAGE, f"{what} in the kit: {', '.join(names)}", "copy the kit again, its folders included")


def _make_importable(kit: Path, document: Mapping[str, Any], scratch: Path) -> None:
    """Have the kit's automl, and whatever else is too old here, first on the path."""
    for requirement in document["needs"]:
        _provide_package(kit, requirement, scratch / "packages")
    installed = importlib.util.find_spec("automl")
    places = [] if installed is None else installed.submodule_search_locations or []
    if any(compute_code_digest(Path(place)) == document["code"] for place in places):
        return
    sys.path.insert(0, str(kit / document["wheel"]))  # of Python alone, so that it need not be unpacked
    importlib.invalidate_caches()


def _provide_package(kit: Path, requirement: Mapping[str, str | None], folder: Path) -> None:
    """Provide a package that predicting needs: as installed, or a wheel of the kit where it is missing or too old."""
    module, package, least = requirement["module"], requirement["package"], requirement["least"]
    assert module is not None and package is not None
    found = _find_version(module, package)
    if found is not None and (least is None or _parse_release(found) >= _parse_release(least)):
        return
    wheels = sorted((kit / "wheels").glob(f"{re.sub('[-_.]+', '_', package)}-*.whl"))
    if not wheels:
        here = f"here is {found}" if found else "it is not installed"
        wanted = f"{package} {least} or newer" if least else package
        _fail(ENVIRONMENT, f"predicting needs {wanted}, but {here}", "make the kit again with automl kit --wheels")
    folder.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
    installed = subprocess.run([*pip, str(wheels[-1])], capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        reason = (installed.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        _fail(ENVIRONMENT, f"{wheels[-1].name} cannot be used here: {reason}", "add a wheel for this Python to wheels/")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _find_version(module: str, package: str) -> str | None:
    """Return the version of an installed package; "0" where it has none, None where there is none."""
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _parse_release(version: str) -> tuple[int, ...]:
    """Return the release's numbers without zeros at their end: (2, 6) of 2.6.0+cu124."""
    release = re.match(r"\d+(\.[1-9]\d*|\.0+(?=\.[\d.]*[1-9]))*", version)
    return tuple(int(number) for number in release[0].split(".")) if release else ()


def _fail(exit_code: int, problem: str, hint: str) -> NoReturn:
    print(f"Error: {problem}\n  hint: {hint}", file=sys.stderr)
    raise SystemExit(exit_code)


if __name__ == "__main__":
    sys.exit(main())
