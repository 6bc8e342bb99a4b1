"""Errors shown to the user, each with its exit code; names and texts made safe for a message.

    AutomlError                 exit code
    ├── UsageError                  2   a flag, a space or a study that does not fit
    ├── DataError                   3   the competition's folder or a file in it
    ├── NoUsableModelError          4   nothing to ensemble, or nothing but failures
    ├── StorageError                5   study.db, a checkpoint, the disk
    ├── StudyInUseError             6   another process uses the study
    └── UnfitEnvironmentError       7   GPUs, weights, the network

Anything else that escapes is a bug: exit code 1, with its traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Print one line to the user; callers pass it down as the parameter `notify`.
Notify = Callable[[str], None]

LONGEST_NAME = 200  # letters; a cell of a table may hold thousands


class AutomlError(Exception):
    """Base of all errors shown to the user: the problem in one line, and a hint in one line.

    Attributes:
        category: a word by which a program tells errors apart.
        problem: one line that contains the offending value.
        hint: one line in the imperative.
        seen: lines about what was found instead, such as an id of a table beside the name of a file.
    """

    exit_code = 1
    category = "error"

    def __init__(self, problem: str, *, hint: str, seen: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.seen = tuple(seen)


class UsageError(AutomlError):
    """A flag, a space or a study that does not fit."""

    exit_code = 2
    category = "usage"


class DataError(AutomlError):
    """The competition's folder, or a file in it."""

    exit_code = 3
    category = "data"


class NoUsableModelError(AutomlError):
    """Nothing to ensemble, or nothing but failures."""

    exit_code = 4
    category = "no usable model"


class StorageError(AutomlError):
    """The study's database, a checkpoint, or the disk."""

    exit_code = 5
    category = "storage"


class StudyInUseError(AutomlError):
    """Another process uses the study."""

    exit_code = 6
    category = "study in use"


class UnfitEnvironmentError(AutomlError):
    """GPUs, pretrained weights or the network do not fit the request."""

    exit_code = 7
    category = "environment"


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


def join_names(names: list[str] | tuple[str, ...], *, at_most: int = 3) -> str:
    """Join the first names and the number of the rest, for a problem line."""
    joined = ", ".join(_shorten(name) if name.isprintable() else repr(_shorten(name)) for name in names[:at_most])
    rest = len(names) - at_most
    return f"{joined} and {rest} more" if rest > 0 else joined


def _shorten(name: str) -> str:
    """Return the name, truncated to LONGEST_NAME."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."


def escape_control_characters(text: str) -> str:
    """Escape control characters, so that no file name and no log controls the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else repr(character)[1:-1] for character in text
    )
