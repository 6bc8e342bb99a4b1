"""Find a study in the working folder, and format its paths for display."""

from __future__ import annotations

from pathlib import Path

from automl.artifacts import StudyFiles, require_plain_name
from automl.errors import UsageError


def get_study_files(workdir: Path, name: str) -> StudyFiles:
    """Return the files of the study of that name.

    Raises:
        DataError: the name cannot be a folder's.
    """
    return StudyFiles(workdir.resolve() / require_plain_name(name, "study"))


def find_study(workdir: Path, name: str | None) -> StudyFiles:
    """Find the study of that name, or the one named like the working folder, or the only one there is.

    Raises:
        UsageError: there is none, or there are several.
    """
    if name is not None:
        return get_study_files(workdir, name)
    found = sorted(path.parent for path in workdir.resolve().glob("*/study.db"))
    same_name = [root for root in found if root.name == Path.cwd().name]
    if len(same_name or found) != 1:
        names = ", ".join(root.name for root in found)
        raise UsageError(
            f"{format_path(workdir.resolve())} holds {len(found)} studies" + (f": {names}" if names else ""),
            hint="name one with --study" if found else "begin one with automl search, or name its place with --workdir",
        )
    return StudyFiles((same_name or found)[0])


def format_path(path: Path) -> str:
    """Format the path relative to the current folder where it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
