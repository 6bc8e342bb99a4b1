"""The user's settings for a competition, which replace inference: flags, and a TOML file where they are typed.

They go before what is known of a competition by its name (automl.readers.known_competitions), and that before what its
folder tells (automl.readers.read).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from automl.errors import UsageError
from automl.files.folder_roles import FolderChoice
from automl.tasks import Task

SETTINGS_FILE = "automl.toml"
TYPE_NAMES = {bool: "true or false", int: "a whole number", str: "text in quotes"}
SUBMISSION_FORMS = ("labels", "probabilities")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompetitionSettings:
    """What the user sets about a competition; None where it is to be inferred.

    Attributes:
        competition: Kaggle's name of it, such as "aptos2019-blindness-detection".
        metric: a name of automl.metrics.registry, or "path.py:function".
        metric_weights: (class or column, weight) for a weighted metric.
        group: the column, of any table, whose equal values belong together; "none" for no groups at all.
        flips: whether a mirrored image keeps its label.
        labels: the file of the training labels, by its name in the folder.
        label: the column of the labels in it; several are joined by commas.
        sample: the sample submission, by its name in the folder.
        negative: the class that is 0 where the submission holds one probability and there are more than two classes.
        skip_missing: leave out training rows without an image; a test row without one gets the prior.
        skip_broken: the same for images that cannot be decoded.
        submission: "labels" or "probabilities", where no sample submission says what is asked.
        images, test_images: the folder of the training images and that of the test images, below the competition's.
        class_level: which folder below that of the training images names the class, 1 the first.
        add: folders, joined by commas, whose images are training images too.
        fixed_fold: a folder whose images are training images too, and the fold that trials validate on.
        follow_links: whether links that lead out of the folder are followed.
    """

    competition: str | None = None
    metric: str | None = None
    metric_weights: tuple[tuple[str, float], ...] | None = None
    task: Task | None = None
    group: str | None = None
    flips: bool | None = None
    labels: str | None = None
    label: str | None = None
    sample: str | None = None
    negative: str | None = None
    skip_missing: bool = False
    skip_broken: bool = False
    submission: str | None = None
    images: str | None = None
    test_images: str | None = None
    class_level: int | None = None
    add: str | None = None
    fixed_fold: str | None = None
    follow_links: bool = False

    @property
    def folders(self) -> FolderChoice:
        """The folders of images that the user names."""
        added = tuple(folder.strip() for folder in (self.add or "").split(",") if folder.strip())
        return FolderChoice(images=self.images, test_images=self.test_images, added=added, fixed_fold=self.fixed_fold)


def load_settings(flags: CompetitionSettings, folder: Path) -> CompetitionSettings:
    """Complete the flags by automl.toml in the folder, if there is one; flags go first.

    Raises:
        UsageError: the file is no TOML, or has a key or a value that means nothing.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return flags
    from_file = {key: value for key, value in _read_settings(path).items() if getattr(flags, key) in (None, False)}
    return replace(flags, **from_file)


def _read_settings(path: Path) -> dict[str, Any]:
    """Read the file's fields of `CompetitionSettings`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="fix its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", hint='write lines such as metric = "qwk"') from error
    return {key: _parse_value(key, value, path) for key, value in document.items()}


def _parse_value(key: str, value: Any, path: Path) -> Any:
    if key == "metric_weights":
        return _parse_weights(value, path)
    if key == "task" and value in list(Task):
        return Task(value)
    types = {field.name: _get_type(str(field.type)) for field in fields(CompetitionSettings)}
    if key not in types:
        close = difflib.get_close_matches(key, types, n=1)
        hint = f"did you mean {close[0]}?" if close else f"use {', '.join(types)}"
        raise UsageError(f"{path.name} has the key '{key}', which means nothing", hint=hint)
    if key == "task" or type(value) is not types[key]:
        wanted = ", ".join(Task) if key == "task" else TYPE_NAMES[types[key]]
        raise UsageError(f"{path.name}: {key} = {value!r}", hint=f"give {wanted}")
    return value


def require_settings(settings: CompetitionSettings) -> CompetitionSettings:
    """Require values that mean something.

    Raises:
        UsageError: one does not.
    """
    if settings.submission not in (None, *SUBMISSION_FORMS):
        raise UsageError(f"--submission {settings.submission}", hint=f"give {' or '.join(SUBMISSION_FORMS)}")
    if settings.class_level is not None and settings.class_level < 1:
        raise UsageError(f"--class-level {settings.class_level}", hint="give 1 for the first folder, 2 for the second")
    return settings


def _get_type(annotation: str) -> type:
    return next((value_type for value_type in (bool, int) if value_type.__name__ in annotation), str)


def _parse_weights(value: Any, path: Path) -> tuple[tuple[str, float], ...]:
    numbers = isinstance(value, Mapping) and all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and weight >= 0 for weight in value.values()
    )
    if not numbers or not value:
        raise UsageError(
            f"{path.name}: metric_weights = {value!r}", hint="give a table of classes and their weights, none negative"
        )
    return tuple((str(name), float(weight)) for name, weight in value.items())
