"""Read a competition's folder, survey its images once, and clean it for training.

See also: automl.readers.read reads the folder, automl.data.survey the images.
"""

from __future__ import annotations

import time
from pathlib import Path

from automl.data.cleaning import clean_competition
from automl.data.competition import Competition
from automl.data.survey import Survey, survey_images
from automl.errors import Notify
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings

PROGRESS_INTERVAL_S = 10.0


def prepare_competition(
    folder: Path, settings: CompetitionSettings, *, cache: Path, n_threads: int, notify: Notify
) -> Competition:
    """Return the competition in a folder without unusable images; notify of each inference.

    Args:
        cache: folder that keeps the survey of the images.

    Raises:
        AutomlError: the folder, its files or the settings do not fit.
    """
    competition, survey = survey_competition(folder, settings, cache=cache, n_threads=n_threads, notify=notify)
    usable = clean_competition(competition, survey, skip_broken=settings.skip_broken)
    for line in usable.evidence[len(competition.evidence) :]:
        notify(line)
    return usable


def survey_competition(
    folder: Path, settings: CompetitionSettings, *, cache: Path, n_threads: int, notify: Notify
) -> tuple[Competition, Survey]:
    """Return the competition as its names and tables have it, and the survey of every image.

    Raises:
        AutomlError: the folder, its tables or the settings do not fit.
    """
    competition = read_competition(folder, settings)
    for line in competition.evidence:
        notify(line)
    return competition, survey_images(competition, cache, n_threads=n_threads, on_progress=_ProgressLines(notify))


class _ProgressLines:
    """Notify of a long survey's progress every PROGRESS_INTERVAL_S."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._last = time.monotonic()

    def __call__(self, n_done: int, n_images: int) -> None:
        now = time.monotonic()
        if now - self._last >= PROGRESS_INTERVAL_S and n_done < n_images:
            self._last = now
            self._notify(f"looked at {n_done} of {n_images} images")
