"""Predict new images by the ensemble of a study or a kit: from a folder to a table.

The competition's own folder is not needed.

Not responsible for: how an ensemble predicts (automl.ensemble.apply), flags and printing (automl.cli.predict).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_bytes
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.decisions.rules import ClipRule, Rule, parse_rule
from automl.ensemble.apply import (
    LocateWeights,
    locate_fold_weights,
    predict_ensemble,
    predict_ensemble_within,
    require_weights,
)
from automl.ensemble.ensemble_recipe import Recipe, read_recipe
from automl.ensemble.predictor import Predictor
from automl.errors import DataError, Notify, StorageError, UsageError, join_names
from automl.files.tables import read_header
from automl.readers.new_images import find_broken_test_images, read_image_folder
from automl.submission.decide import get_deciding_metric
from automl.submission.write import NUMBER_FORMAT

if TYPE_CHECKING:
    import pandas

IMAGE, LABEL, LABELS = "image", "label", "labels"
N_NAMED = 10  # broken images in lines of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEnsemble:
    """An ensemble that can predict.

    Attributes:
        competition: that it was trained for; its images need not be there any more.
        scratch: the folder in which pixels are kept while it predicts; None for the system's own.
        retrain_hint: what makes missing weights again, in the imperative.
    """

    recipe: Recipe
    competition: Competition
    locate_weights: LocateWeights
    scratch: Path | None
    retrain_hint: str

    @property
    def rule(self) -> Rule:
        """The decision rule."""
        competition = self.competition
        return parse_rule(self.recipe.rule, get_deciding_metric(competition), competition.scorer.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """The request for predictions of new images.

    Attributes:
        images: a folder, or a single image.
        views: whether the images are also predicted under the ensemble's views, not only as they are.
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


def load_ensemble(files: StudyFiles) -> TrainedEnsemble:
    """Load the ensemble that `automl ensemble` left in the study.

    Raises:
        UsageError: there is none.
        StorageError: its files are damaged or of another version.
    """
    recipe = read_recipe(files.ensemble)
    competition = load_competition(files.competition)
    return TrainedEnsemble(
        recipe=recipe,
        competition=competition,
        locate_weights=partial(locate_fold_weights, files),
        scratch=files.cache,
        retrain_hint="restore them, or train trials again with automl refit; then run automl ensemble",
    )


def predict_images(ensemble: TrainedEnsemble, request: PredictRequest, *, notify: Notify) -> int:
    """Write the table of predictions for all images that can be decoded; return how many these are.

    Probabilities are averaged also where a submission averages ranks, as the rank of an image depends on the others.

    Raises:
        DataError: there is no image, or none that can be decoded.
        UsageError: what is at request.out is no table of predictions.
        StorageError: weights are missing or damaged, or the disk is full.
    """
    if not request.overwrite:
        require_replaceable(request.out, build_header(ensemble.competition))
    require_weights(ensemble.recipe, ensemble.locate_weights, hint=ensemble.retrain_hint)
    competition = read_image_folder(request.images, ensemble.competition)
    for line in competition.evidence:
        notify(line)
    with _make_scratch_folder(ensemble.scratch) as scratch:
        competition = _exclude_broken(competition, scratch, notify)
        probs = _predict(ensemble, competition, request, scratch, notify)
    rows = _list_readable(competition)
    table = build_prediction_table(competition, [competition.test_ids[row] for row in rows], probs[rows], ensemble.rule)
    write_predictions(request.out, table)
    return len(rows)


def build_header(competition: Competition) -> tuple[str, ...]:
    """Return the columns: the image, the classes by their names, and `label`, or `labels` where there may be several.

    Where there are several heads, each has a column of its label. Values have no label. Where a class is called as one
    of the other columns, that one gets a _ behind its name.
    """
    columns = (_make_unique(IMAGE, competition), *competition.classes)
    if not competition.target_kind.has_classes:
        return columns
    return (*columns, *_list_label_columns(competition))


def build_prediction_table(
    competition: Competition, image_ids: Sequence[str], probs: NDArray[np.float64], rule: Rule
) -> pandas.DataFrame:
    """Build the table for probabilities (n, n_classes): with REGRESSION of values on their scales.

    Several labels have a blank between them, or "; " where a name holds blanks; of ranked ones the first is the best.

    Args:
        rule: the ensemble's, fitted on rows out of fold. Where it decides no labels, the most probable class is the
            label, and labels are those from one half on.
    """
    import pandas as pd  # here, because a kit imports this module and has no pandas

    columns, decided = build_header(competition), rule(probs)
    if not competition.target_kind.has_classes:
        table = pd.DataFrame(decided, columns=columns[1:])
        table.insert(0, columns[0], pd.Series(image_ids, dtype=object))
        return table
    values = decided if isinstance(rule, ClipRule) else probs
    if competition.target_kind.is_single_class:
        values = values / values.sum(axis=1, keepdims=True)
    table = pd.DataFrame(values, columns=columns[1 : 1 + competition.n_classes])
    table.insert(0, columns[0], pd.Series(image_ids, dtype=object))
    named = _name_heads(competition, decided) if competition.heads else [_name_labels(competition, decided)]
    for column, labels in zip(columns[1 + competition.n_classes :], named, strict=True):
        table[column] = pd.Series(labels, dtype=object)
    return table


def write_predictions(path: Path, table: pandas.DataFrame) -> None:
    """Write the table as CSV at path, atomically: UTF-8, LF, numbers of nine digits."""
    text: str = table.to_csv(index=False, lineterminator="\n", float_format=NUMBER_FORMAT, na_rep="nan")
    write_bytes(path, text.encode())


def require_replaceable(path: Path, header: Sequence[str]) -> None:
    """Require that nothing is at path, or a table with these columns.

    Raises:
        UsageError: there is something else.
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


@contextmanager
def _make_scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder that is gone afterwards."""
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="predict-", dir=parent))
    except OSError as error:
        raise StorageError(
            f"{parent or tempfile.gettempdir()} cannot be written: {error.strerror or error}",
            hint="free some space or fix the permissions, then run the same command again",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exclude_broken(competition: Competition, scratch: Path, notify: Notify) -> Competition:
    problems = find_broken_test_images(competition, scratch, n_threads=os.cpu_count() or 1)
    reasons = list(problems.values())
    for reason in reasons[:N_NAMED]:
        notify(f"left out: {reason}")
    if len(reasons) > N_NAMED:
        notify(f"left out: {len(reasons) - N_NAMED} more images that cannot be decoded")
    if len(problems) == len(competition.test_ids):
        raise DataError(
            f"none of {len(problems)} images can be decoded: {join_names(reasons, at_most=1)}",
            hint="replace them by whole ones",
        )
    return replace(competition, unreadable_test=tuple(sorted(problems)))


def _predict(
    ensemble: TrainedEnsemble, competition: Competition, request: PredictRequest, scratch: Path, notify: Notify
) -> NDArray[np.float64]:
    """(n_images, n_classes); zeros where an image cannot be decoded."""
    recipe = ensemble.recipe if request.views else _without_views(ensemble.recipe)
    if recipe.by_rank:
        notify("probabilities are averaged here, where the submission averages ranks")
        recipe = replace(recipe, by_rank=False)
    cache = PixelCache(competition, scratch, short_side=recipe.short_side)
    predictor = Predictor(
        competition, cache, device=request.device, cache_folder=None, n_threads=recipe.n_threads, notify=notify
    )
    if request.max_minutes is None:
        return predict_ensemble(recipe, ensemble.locate_weights, predictor)
    budget_s = 60.0 * request.max_minutes - (time.monotonic() - request.started)
    return predict_ensemble_within(
        recipe, ensemble.locate_weights, predictor, budget_s=max(0.0, budget_s), notify=notify
    )


def _without_views(recipe: Recipe) -> Recipe:
    return replace(recipe, members=tuple(replace(member, views=member.views[:1]) for member in recipe.members))


def _list_readable(competition: Competition) -> Sequence[int]:
    unreadable = set(competition.unreadable_test)
    return [row for row in range(len(competition.test_ids)) if row not in unreadable]


def _list_label_columns(competition: Competition) -> list[str]:
    if competition.heads:
        return [f"{head.name}_" if head.name == IMAGE else head.name for head in competition.heads]
    return [_make_unique(LABELS if _has_several(competition) else LABEL, competition)]


def _make_unique(name: str, competition: Competition) -> str:
    while name in competition.classes:
        name += "_"
    return name


def _has_several(competition: Competition) -> bool:
    return competition.target_kind.is_multi_label or get_deciding_metric(competition).needs == "ranking"


def _name_heads(competition: Competition, decided: NDArray[Any]) -> list[list[str]]:
    """What was decided for each image, by name, of one head after the other."""
    if np.issubdtype(decided.dtype, np.floating):  # a rule that clips
        decided = competition.target_kind.convert_soft_targets(decided, scales=competition.scales)
    texts = competition.label_texts
    return [[texts[index] for index in column] for column in decided.T]


def _name_labels(competition: Competition, decided: NDArray[Any]) -> list[str]:
    """What was decided for each image, by name."""
    classes, needs = competition.classes, get_deciding_metric(competition).needs
    if decided.ndim == 1:
        return [classes[index] for index in decided]
    separator = "; " if any(" " in name for name in classes) else " "
    if needs == "ranking":
        return [separator.join(classes[index] for index in row) for row in decided]
    target_kind = competition.target_kind
    targets = target_kind.convert_soft_targets(decided, scales=competition.scales)
    return [separator.join(target_kind.list_labels(target, classes)) for target in targets]
