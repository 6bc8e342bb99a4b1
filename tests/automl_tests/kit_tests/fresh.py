"""An environment with nothing in it but what predicting needs: no automl, and none of what searching needs."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

from automl.kit.requirements import PREDICTING

# What these packages require in turn is there too, but for what only searching imports.
REFUSED = {
    "albumentations",
    "automl",
    "optuna",
    "pandas",
    "plotly",
    "ray",
    "rich",
    "scikit-learn",
    "scipy",
    "sqlalchemy",
    "typer",
}

# Whatever asks for a name or a connection is told that there is no network, and remembered.
PROGRAM = """
import runpy, socket, sys
sys.path.append(sys.argv[1])
asked = []
def refuse(*arguments, **named):
    asked.append(arguments)
    raise OSError("there is no network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
sys.argv = sys.argv[2:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("asked the network for", asked)
    print("imported", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def put_packages(folder: Path) -> Path:
    """A folder of links to the installed packages that predicting needs, to be put on the path."""
    folder.mkdir()
    for package in sorted(_closure()):
        distribution = importlib.metadata.distribution(package)
        files = distribution.files or []
        for name in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            place = folder / name
            if not place.exists():
                place.symlink_to(Path(str(distribution.locate_file(name))))
    return folder


def run_fresh(packages: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A script in a Python that sees the standard library and these packages."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(packages), *map(str, arguments)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def _closure() -> set[str]:
    found: set[str] = set()
    waiting = [_normal(package) for package in PREDICTING.values()]
    while waiting:
        package = waiting.pop()
        if package in found or package in REFUSED:
            continue
        try:
            required = importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:  # of another system
            continue
        found.add(package)
        waiting += [_normal(re.match(r"[\w.-]+", line)[0]) for line in required if "extra ==" not in line]  # type: ignore[index]
    return found


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
