"""The ensemble of a study, or of a kit, on images that its competition never had: from a folder to a table.

The competition's own folder is not needed. Not responsible for: how an ensemble predicts (automl.ensemble.apply), what
the table looks like (automl.ensemble.predict_images), flags and printing (automl.cli.predict).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_table
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.decisions.rules import ClipRule, Rule, rule_from_json
from automl.ensemble.apply import WeightsOf, blended_in_time, blended_probs, require_networks, study_weights
from automl.ensemble.ensemble_recipe import Recipe, read_recipe
from automl.ensemble.predictor import Looker
from automl.errors import DataError, StorageError, UsageError, listed
from automl.files.tables import read_header
from automl.readers.new_images import broken_test_images, image_folder
from automl.submission.decide import deciding_metric
from automl.submission.write import WRITTEN
from automl.tasks import Task

IMAGE, LABEL, LABELS = "image", "label", "labels"


@dataclass(frozen=True, slots=True)
class Table:
    """What is written: a header and a row for each image."""

    header: tuple[str, ...]
    rows: Iterable[Sequence[str]]


def header_of(competition: Competition) -> tuple[str, ...]:
    """The columns: the image, the classes by their names, and `label`, or `labels` where there may be several.

    Values have no label. Where a class is called as one of the other columns, that one gets a _ behind its name.
    """
    columns = (_free(IMAGE, competition), *competition.classes)
    if competition.task is Task.REGRESSION:
        return columns
    return (*columns, _free(LABELS if _has_several(competition) else LABEL, competition))


def prediction_table(
    competition: Competition, image_ids: Sequence[str], probs: NDArray[np.float64], rule: Rule
) -> Table:
    """The table for probabilities (n, n_classes): with REGRESSION values on their scales, else what is decided besides.

    Several labels have a blank between them, or "; " where a name holds blanks; of ranked ones the first is the best.

    Args:
        rule: the ensemble's, fitted on rows out of fold. Where it decides no labels, the most probable class is the
            label, and labels are those from one half on.
    """
    decided = rule(probs)
    if competition.task is Task.REGRESSION:
        return Table(header_of(competition), _rows(image_ids, decided, None))
    shown = decided if isinstance(rule, ClipRule) else probs
    if competition.task.one_class_each:
        shown = shown / shown.sum(axis=1, keepdims=True)
    return Table(header_of(competition), _rows(image_ids, shown, _labels(competition, decided)))


def write_predictions(path: Path, table: Table) -> None:
    """Put the table at path, atomically: UTF-8, LF, numbers of nine digits."""
    write_table(path, table.header, table.rows)


def require_replaceable(path: Path, header: Sequence[str]) -> None:
    """Raises:
    UsageError: there is something at path that is no table with these columns.
    """
    if not path.exists():
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", hint="make it first, or name another file with --out")
        return
    try:
        replaceable = path.is_file() and read_header(path) == tuple(header)
    except DataError:
        replaceable = False
    if not replaceable:
        raise UsageError(
            f"{path} is there already, and is no table of such predictions",
            hint="name another file with --out, or pass --overwrite",
        )


def _free(name: str, competition: Competition) -> str:
    while name in competition.classes:
        name += "_"
    return name


def _has_several(competition: Competition) -> bool:
    return competition.task is Task.MULTILABEL or deciding_metric(competition).needs == "ranking"


def _rows(image_ids: Sequence[str], values: NDArray[Any], labels: Sequence[str] | None) -> Iterable[Sequence[str]]:
    for row, image_id in enumerate(image_ids):
        numbers = [WRITTEN % value for value in values[row].tolist()]
        yield [image_id, *numbers] if labels is None else [image_id, *numbers, labels[row]]


def _labels(competition: Competition, decided: NDArray[Any]) -> list[str]:
    """What was decided for each image, by name."""
    classes, needs = competition.classes, deciding_metric(competition).needs
    if decided.ndim == 1:
        return [classes[index] for index in decided]
    separator = "; " if any(" " in name for name in classes) else " "
    if needs == "ranking":
        return [separator.join(classes[index] for index in row) for row in decided]
    if competition.task.one_class_each:
        return [classes[index] for index in decided.argmax(axis=1)]
    return [separator.join(classes[index] for index in np.flatnonzero(row >= 0.5)) for row in decided]


Note = Callable[[str], None]
N_NAMED = 10  # broken images in lines of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEnsemble:
    """An ensemble that can predict.

    Attributes:
        competition: that it was trained for; its images need not be there any more.
        scratch: the folder in which pixels are kept while it predicts; None for the system's own.
        again: what makes missing weights again, in the imperative.
    """

    recipe: Recipe
    competition: Competition
    weights_of: WeightsOf
    scratch: Path | None
    again: str

    @property
    def rule(self) -> Rule:
        """What decides."""
        competition = self.competition
        return rule_from_json(self.recipe.rule, deciding_metric(competition), competition.scorer.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """What `automl predict` was asked.

    Attributes:
        images: a folder, or a single image.
        views: whether the images are also seen through the ensemble's views, not only as they are.
        max_minutes: from `started` on, by time.monotonic.
        overwrite: whether `out` may be any file.
    """

    images: Path
    out: Path
    device: str
    views: bool = True
    max_minutes: float | None = None
    overwrite: bool = False
    started: float = 0.0


def ensemble_of_study(files: StudyFiles) -> TrainedEnsemble:
    """The ensemble that `automl ensemble` left in the study.

    Raises:
        UsageError: there is none.
        StorageError: its files are damaged or of another version.
    """
    recipe = read_recipe(files.ensemble)
    competition = load_competition(files.competition)
    return TrainedEnsemble(
        recipe=recipe,
        competition=competition,
        weights_of=partial(study_weights, files),
        scratch=files.cache,
        again="train them again with automl refit, then run automl ensemble",
    )


def predict_images(ensemble: TrainedEnsemble, request: PredictRequest, *, note: Note) -> int:
    """Write the table of predictions for all images that can be decoded; how many these are.

    Probabilities are averaged also where a submission averages ranks, as the rank of an image depends on the others.

    Raises:
        DataError: there is no image, or none that can be decoded.
        UsageError: what is at request.out is no table of predictions.
        StorageError: weights are missing or damaged, or the disk is full.
    """
    if not request.overwrite:
        require_replaceable(request.out, header_of(ensemble.competition))
    require_networks(ensemble.recipe, ensemble.weights_of, again=ensemble.again)
    competition = image_folder(request.images, ensemble.competition)
    for line in competition.evidence:
        note(line)
    with _scratch(ensemble.scratch) as scratch:
        competition = _without_broken(competition, scratch, note)
        probs = _predicted(ensemble, competition, request, scratch, note)
    rows = _readable(competition)
    table = prediction_table(competition, [competition.test_ids[row] for row in rows], probs[rows], ensemble.rule)
    write_predictions(request.out, table)
    return len(rows)


@contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    """A new folder that is gone afterwards."""
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="predict-", dir=parent))
    except OSError as error:
        raise StorageError(
            f"{parent or tempfile.gettempdir()} cannot be written: {error.strerror or error}",
            hint="free some space or mend the permissions, then run the same command again",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_broken(competition: Competition, scratch: Path, note: Note) -> Competition:
    problems = broken_test_images(competition, scratch, n_threads=os.cpu_count() or 1)
    reasons = list(problems.values())
    for reason in reasons[:N_NAMED]:
        note(f"left out: {reason}")
    if len(reasons) > N_NAMED:
        note(f"left out: {len(reasons) - N_NAMED} more images that cannot be decoded")
    if len(problems) == len(competition.test_ids):
        raise DataError(
            f"none of {len(problems)} images can be decoded: {listed(reasons, at_most=1)}",
            hint="replace them by whole ones",
        )
    return replace(competition, unreadable_test=tuple(sorted(problems)))


def _predicted(
    ensemble: TrainedEnsemble, competition: Competition, request: PredictRequest, scratch: Path, note: Note
) -> NDArray[np.float64]:
    """(n_images, n_classes); zeros where an image cannot be decoded."""
    recipe = ensemble.recipe if request.views else _without_views(ensemble.recipe)
    if recipe.by_rank:
        note("probabilities are averaged here, where the submission averages ranks")
        recipe = replace(recipe, by_rank=False)
    cache = PixelCache(competition, scratch, short_side=recipe.short_side)
    looker = Looker(competition, cache, device=request.device, remembered=None, n_threads=recipe.n_threads, tell=note)
    if request.max_minutes is None:
        return blended_probs(recipe, ensemble.weights_of, looker)
    budget_s = 60.0 * request.max_minutes - (time.monotonic() - request.started)
    return blended_in_time(recipe, ensemble.weights_of, looker, budget_s=max(0.0, budget_s), tell=note)


def _without_views(recipe: Recipe) -> Recipe:
    return replace(recipe, members=tuple(replace(member, views=member.views[:1]) for member in recipe.members))


def _readable(competition: Competition) -> Sequence[int]:
    unreadable = set(competition.unreadable_test)
    return [row for row in range(len(competition.test_ids)) if row not in unreadable]
