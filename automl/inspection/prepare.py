"""A competition ready to be trained on: its folder read, its images looked at once, duplicates held together.

Not responsible for: what a folder means (automl.readers.read) or what is seen in an image (automl.data.survey).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from automl.data.cleaning import refined
from automl.data.competition import Competition
from automl.data.survey import Survey, survey_images
from automl.readers.read import read_competition
from automl.readers.settings import Asked

Note = Callable[[str], None]
TOLD_EVERY_S = 10.0


def prepare_competition(folder: Path, asked: Asked, *, cache: Path, n_threads: int, note: Note) -> Competition:
    """The competition in a folder without what cannot be used; each thing that was understood is noted.

    Args:
        cache: where the look at the images is kept.

    Raises:
        AutomlError: the folder, its files or what was asked do not fit.
    """
    competition, survey = look_at(folder, asked, cache=cache, n_threads=n_threads, note=note)
    usable = refined(competition, survey, skip_broken=asked.skip_broken)
    for line in usable.evidence[len(competition.evidence) :]:
        note(line)
    return usable


def look_at(folder: Path, asked: Asked, *, cache: Path, n_threads: int, note: Note) -> tuple[Competition, Survey]:
    """The competition in a folder as its names and tables have it, and one look at every image.

    Raises:
        AutomlError: the folder, its tables or what was asked do not fit.
    """
    competition = read_competition(folder, asked)
    for line in competition.evidence:
        note(line)
    return competition, survey_images(competition, cache, n_threads=n_threads, on_progress=_Ticker(note))


class _Ticker:
    """Tells of a long look now and then."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._last = time.monotonic()

    def __call__(self, n_done: int, n_images: int) -> None:
        now = time.monotonic()
        if now - self._last >= TOLD_EVERY_S and n_done < n_images:
            self._last = now
            self._note(f"looked at {n_done} of {n_images} images")
