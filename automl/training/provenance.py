"""What a trial was trained with: versions, commit, device.

Not responsible for: the study's own provenance (automl.study).
"""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata

PACKAGES = ("torch", "timm", "albumentations", "automl")


def package_versions() -> dict[str, str]:
    """Version by name of Python and of the packages that the result depends on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def git_commit() -> str | None:
    """The commit that is checked out in the current directory, or None where there is none."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
