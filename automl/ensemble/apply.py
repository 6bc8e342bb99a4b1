"""Predict images by an ensemble's recipe: the one path that `automl ensemble`, `automl predict` and a kit share.

Each member's probabilities are averaged over its folds and views in double precision and in a fixed order, divided by
its temperature, and then blended; the same images and recipe give the same bits.

Not responsible for: the predictions of a single network (automl.ensemble.predictor) or the decision rule
(automl.decisions.choose).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles
from automl.data.resize import EvaluationPixels
from automl.decisions.temperature import apply_temperature
from automl.ensemble.blending import blend_probs
from automl.ensemble.ensemble_recipe import IDENTITY_VIEW, PROBE, SEARCH, Recipe, RecipeMember
from automl.ensemble.predictor import TrainedFold
from automl.ensemble.saved_folds import REFIT, get_member_files
from automl.ensemble.time_budget import (
    MeasuredSpeed,
    RunningMean,
    TimeBudget,
    keep_members,
    list_further_views,
    trim_recipe,
)
from automl.ensemble.tta import VIEWS
from automl.errors import Notify, StorageError, join_names
from automl.training.network.shared_backbone import BACKBONE_KEY, find_backbone, read_metadata

if TYPE_CHECKING:
    from automl.ensemble.predictor import Predictor

Floats = NDArray[np.float64]
LocateWeights = Callable[[RecipeMember, int], Path]  # where a fold's network lies

RESERVED_FRACTION = 0.1  # of a budget: for what measuring on a few images does not foresee, and for writing the file
N_NAMED = 5  # missing networks in a message


def predict_ensemble(
    recipe: Recipe, locate_weights: LocateWeights, predictor: Predictor, *, rows: NDArray[np.int64] | None = None
) -> Floats:
    """Predict (n_rows, n_classes) of the predictor's test images, or of those rows of them.

    Images that cannot be read (competition.unreadable_test) are not ranked among others; their rows are zeros.

    Raises:
        StorageError: a member's weights are missing or damaged, or the recipe has a view that this version has not.
    """
    _require_known_views(recipe)
    images = _create_images(predictor, locate_weights, rows)
    return _blend_members(recipe, (_average_member(recipe, member, images) for member in recipe.members), images)


def predict_ensemble_within(
    recipe: Recipe,
    locate_weights: LocateWeights,
    predictor: Predictor,
    *,
    budget_s: float,
    rows: NDArray[np.int64] | None = None,
    notify: Notify = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Floats:
    """Predict as `predict_ensemble`, within a time, and the same bits where there is time for everything.

    How slow this machine is, is measured on a few blank images; what then has no time is left out, as the recipe orders
    it.
    What is left is predicted in this order, so that it can end at any point with what it has:

    1. the images as they are, by the first fold's model of each member, the heaviest first; by all folds' models of one
       whose folds share a backbone, as that costs hardly more;
    2. the same by the further folds' models;
    3. the further views, the one that gains most first, by all folds' models of each member.

    A step whose time has run out, going by the steps so far, is left out. The first one is always taken.

    Args:
        budget_s: seconds from now on.
        notify: takes a line for each thing that is left out.

    Raises:
        StorageError: as `predict_ensemble`.
    """
    _require_known_views(recipe)
    deadline_s = clock() + (1.0 - RESERVED_FRACTION) * budget_s
    images = _create_images(predictor, locate_weights, rows)
    n_images = len(images.rows)
    if not n_images:
        return predict_ensemble(recipe, locate_weights, predictor, rows=rows)
    first = recipe.members[0]
    n_sizes = len({EvaluationPixels.from_config(member.config) for member in recipe.members})
    speed = _measure_speed(first, images)
    began_s = clock()
    images.decode(first)
    decoding_s = clock() - began_s
    left_s = deadline_s - clock() - decoding_s * (n_sizes - 1)
    kept = trim_recipe(recipe, n_images=n_images, budget_s=left_s, slower=speed.slower)
    budget = TimeBudget(kept, images.decode, images.predict_view, n_images, deadline_s, clock, speed)
    budget.record_decoding(first, decoding_s)
    for line in _describe_trimming(recipe, kept, speed):
        notify(line)
    budget.run()
    for line in budget.describe_skipped():
        notify(line)
    predicted = keep_members(kept, [member for member in kept.members if member.name in budget.means])
    means = (images.apply_temperature(budget.means[own.name].mean, own) for own in predicted.members)
    return _blend_members(predicted, means, images)


def locate_fold_weights(files: StudyFiles, member: RecipeMember, fold: int) -> Path:
    """Return where a fold's network lies: with the trial's or probe's own, or with those trained after the search."""
    trial = get_member_files(files, member.number, member.member_kind)
    if member.member_kind == PROBE:
        return trial.get_weights_path(fold)
    if member.member_kind != SEARCH:
        return trial.get_refit_files(member.member_kind).get_weights_path(fold)
    refit = trial.get_refit_files(REFIT).get_weights_path(fold)
    return refit if refit.exists() and not trial.get_weights_path(fold).exists() else trial.get_weights_path(fold)


def require_weights(recipe: Recipe, locate_weights: LocateWeights, *, hint: str) -> None:
    """Require the networks of all of a recipe's members to be there, and the backbones that heads among them share.

    Args:
        hint: what makes missing ones again, in the imperative.

    Raises:
        StorageError: it names those that are gone.
    """
    paths = [locate_weights(member, fold) for member in recipe.members for fold in member.folds]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise StorageError(
            f"{len(missing)} of the ensemble's {len(paths)} networks are gone: {join_names(missing, at_most=N_NAMED)}",
            hint=hint,
        )
    locate_backbones(paths, hint=hint)


def locate_backbones(paths: Iterable[Path], *, hint: str) -> dict[str, Path]:
    """Locate the backbones that files of weights name in place of their own, each once, by its digest.

    Raises:
        StorageError: a file is damaged, or its backbone is gone.
    """
    digests = {path: read_metadata(path, hint=hint).get(BACKBONE_KEY) for path in paths}
    named = {digest: path for path, digest in digests.items() if digest is not None}
    return {digest: find_backbone(path, digest, hint=hint) for digest, path in named.items()}


@dataclass(frozen=True, slots=True)
class _Images:
    """Images, and what predicts them.

    Attributes:
        rows: (n_images,) of the predictor's test images: those that can be read.
        are_readable: (n_rows,) which of the requested rows these are.
    """

    predictor: Predictor
    locate_weights: LocateWeights
    rows: NDArray[np.int64]
    are_readable: NDArray[np.bool_]

    def decode(self, member: RecipeMember) -> None:
        """Make the pixels of all images for the member's size."""
        self.predictor.load_pixels("test", EvaluationPixels.from_config(member.config))

    def predict_views(self, member: RecipeMember, fold: int, *views: str) -> Floats:
        """(n_views, n_images, n_classes) by a fold's model, which is not loaded where there are no images."""
        if not len(self.rows):
            return np.zeros((len(views), 0, self.predictor.competition.n_classes))
        trained = self.get_fold(member, fold)
        probs = self.predictor.predict_views(trained, [VIEWS[view] for view in views], "test", self.rows)
        return np.asarray(probs, dtype=np.float64)

    def predict_view(self, member: RecipeMember, fold: int, view: str) -> Floats:
        """(n_images, n_classes) by a fold's model under one view."""
        (probs,) = self.predict_views(member, fold, view)
        return np.asarray(probs)

    def apply_temperature(self, probs: Floats, member: RecipeMember) -> Floats:
        """The probabilities at the member's temperature."""
        competition = self.predictor.competition
        return np.asarray(apply_temperature(probs, member.temperature, competition), dtype=np.float64)

    def get_fold(self, member: RecipeMember, fold: int) -> TrainedFold:
        """A fold's network on the disk."""
        return TrainedFold(member.config, self.locate_weights(member, fold))


def _create_images(predictor: Predictor, locate_weights: LocateWeights, rows: NDArray[np.int64] | None) -> _Images:
    requested = np.arange(len(predictor.competition.test_ids)) if rows is None else rows
    are_readable = np.isin(requested, predictor.competition.unreadable_test, invert=True)
    return _Images(predictor, locate_weights, requested[are_readable], are_readable)


def _average_member(recipe: Recipe, member: RecipeMember, images: _Images) -> Floats:
    """(n_images, n_classes): of the sums over the folds of each view the sum, in the order of the views' worth.

    It is the order in which `predict_ensemble_within` gets to them, as the last bits of a sum depend on it.
    """
    views = (IDENTITY_VIEW, *(view for view in list_further_views(recipe) if view in member.views))
    per_view = np.zeros((len(views), len(images.rows), images.predictor.competition.n_classes))
    for fold in member.folds:
        per_view += images.predict_views(member, fold, *views)
    mean = RunningMean(np.zeros(per_view.shape[1:]))
    for total in per_view:
        mean.add(total, len(member.folds))
    return images.apply_temperature(mean.mean, member)


def _blend_members(recipe: Recipe, means: Iterable[Floats], images: _Images) -> Floats:
    """(n_rows, n_classes), the members added up one after the other, so that one of them at a time is in memory."""
    blended = np.zeros((len(images.are_readable), images.predictor.competition.n_classes))
    for probs, member in zip(means, recipe.members, strict=True):
        weight = np.array([member.weight])
        blended[images.are_readable] += blend_probs(probs[None], weight, by_rank=recipe.by_rank)
    return blended


def _require_known_views(recipe: Recipe) -> None:
    unknown = sorted({view for member in recipe.members for view in member.views} - VIEWS.keys())
    if unknown:
        raise StorageError(
            f"the ensemble has views that this version has not: {join_names(unknown)}",
            hint="use the version of automl that made it, or make it again: automl ensemble",
        )


def _measure_speed(member: RecipeMember, images: _Images) -> MeasuredSpeed:
    """That of the member's first fold. It counts as one image: what is measured later on outweighs it."""
    trained = images.get_fold(member, member.folds[0])
    n_sharing = len(member.folds) if member.shares_backbone else 1
    return MeasuredSpeed(images.predictor.measure_seconds_per_image(trained) / n_sharing, member.seconds_per_image)


def _describe_trimming(recipe: Recipe, kept: Recipe, speed: MeasuredSpeed) -> Iterator[str]:
    """What trimming has left out, in lines."""
    members = {member.name for member in kept.members}
    dropped = (
        ("views", [view for view in list_further_views(recipe) if view not in list_further_views(kept)]),
        ("members", [member.name for member in recipe.members if member.name not in members]),
    )
    if recipe is not kept:
        yield f"time: an image takes {speed.slower:.2g} times as long as where the ensemble was made"
    for noun, names in dropped:
        if names:
            yield f"time: {noun} left out: {join_names(names, at_most=10)}"
