"""Read what a trial was trained with: package versions and the working folder's commit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence

# The packages that decide what a trial computes.
TRAINING_PACKAGES = ("automl", "torch", "timm", "albumentations", "optuna", "numpy")


def read_versions(packages: Sequence[str] = TRAINING_PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def read_git_commit() -> str | None:
    """Return the commit checked out in the working folder, with "+" where it has changes; None outside a repository."""
    try:
        commit = _run_git("rev-parse", "--short=12", "HEAD")
        return commit + "+" if commit and _run_git("status", "--porcelain", "-uno") else commit or None
    except (OSError, subprocess.SubprocessError):
        return None


def _run_git(*arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    return finished.stdout.strip() if finished.returncode == 0 else ""
