"""What a trial was trained with: package versions and the working folder's commit.

Not responsible for: where they are kept (automl.search.search_loop).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import subprocess


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide what a trial computes."""
    names = ("automl", "torch", "timm", "albumentations", "optuna", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_commit() -> str | None:
    """The commit checked out in the working folder, with "+" where it has changes; None outside a repository."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + "+" if commit and _git("status", "--porcelain", "-uno") else commit or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    return finished.stdout.strip() if finished.returncode == 0 else ""
