"""The errors a user can meet, and the exit code of each kind.

    AutomlError                 exit code
    ├── UsageError                  2   a flag, a space or a study that does not fit
    ├── DataError                   3   the competition's folder or a file in it
    ├── NoUsableModelError          4   nothing to ensemble, or nothing but failures
    ├── StorageError                5   study.db, a checkpoint, the disk
    ├── StudyInUseError             6   another process works on the study
    └── UnfitEnvironmentError       7   GPUs, weights, the network

Anything else that escapes is a bug: exit code 1, with its traceback.
"""

from __future__ import annotations

LONGEST_NAME = 200  # letters; a cell of a table may hold thousands


class AutomlError(Exception):
    """What went wrong in one line, and what to do about it in one line.

    Attributes:
        problem: one line that contains the offending value.
        hint: one line in the imperative.
    """

    exit_code = 1

    def __init__(self, problem: str, *, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class UsageError(AutomlError):
    """A flag, a space or a study that does not fit."""

    exit_code = 2


class DataError(AutomlError):
    """The competition's folder, or a file in it."""

    exit_code = 3


class NoUsableModelError(AutomlError):
    """Nothing to ensemble, or nothing but failures."""

    exit_code = 4


class StorageError(AutomlError):
    """The study's database, a checkpoint, or the disk."""

    exit_code = 5


class StudyInUseError(AutomlError):
    """Another process works on the study."""

    exit_code = 6


class UnfitEnvironmentError(AutomlError):
    """GPUs, pretrained weights or the network are not as asked."""

    exit_code = 7


ERROR_OF_EXIT_CODE: dict[int, type[AutomlError]] = {
    error.exit_code: error
    for error in (
        UsageError,
        DataError,
        NoUsableModelError,
        StorageError,
        StudyInUseError,
        UnfitEnvironmentError,
    )
}


def listed(names: list[str] | tuple[str, ...], *, at_most: int = 3) -> str:
    """The first names and how many more there are, for use inside a problem line."""
    shown = ", ".join(_short(name) if name.isprintable() else repr(_short(name)) for name in names[:at_most])
    rest = len(names) - at_most
    return f"{shown} and {rest} more" if rest > 0 else shown


def _short(name: str) -> str:
    """The name, or the beginning of one that would fill a screen."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."


def printable(text: str) -> str:
    """The text with its control characters escaped, so that no file's name and no log commands a terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else repr(sign)[1:-1] for sign in text)
