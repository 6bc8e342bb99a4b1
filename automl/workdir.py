"""The folder that holds studies: which study is meant, and how its paths are shown.

Not responsible for: what is in a study's folder (automl.artifacts).
"""

from __future__ import annotations

from pathlib import Path

from automl.artifacts import StudyFiles, require_plain_name
from automl.errors import UsageError


def study_files(workdir: Path, name: str) -> StudyFiles:
    """The files of the study of that name.

    Raises:
        DataError: the name cannot be a folder's.
    """
    return StudyFiles(workdir.resolve() / require_plain_name(name, "study"))


def existing_study(workdir: Path, name: str | None) -> StudyFiles:
    """The study of that name, or the one named like the working folder, or the only one there is.

    Raises:
        UsageError: there is none, or there are several.
    """
    if name is not None:
        return study_files(workdir, name)
    found = sorted(path.parent for path in workdir.resolve().glob("*/study.db"))
    own = [root for root in found if root.name == Path.cwd().name]
    if len(own or found) != 1:
        names = ", ".join(root.name for root in found)
        raise UsageError(
            f"{shown(workdir.resolve())} holds {len(found)} studies" + (f": {names}" if names else ""),
            hint="name one with --study" if found else "begin one with automl search, or name its place with --workdir",
        )
    return StudyFiles((own or found)[0])


def shown(path: Path) -> str:
    """The path from here where it lies below, which is shorter to read and to type."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
