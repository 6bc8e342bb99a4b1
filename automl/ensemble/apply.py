"""The ensemble on test images: the one path by which `automl ensemble`, `automl predict` and a kit predict.

Each member's probabilities are averaged over its folds and views in double precision and in a fixed order, divided by
its temperature, and then blended; the same images and recipe give the same bits. Not responsible for: asking a model
(automl.ensemble.predictor), weighing (automl.ensemble.blending) or deciding (automl.decisions.choose).
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
from automl.decisions.temperature import tempered
from automl.ensemble.blending import blend
from automl.ensemble.ensemble_recipe import IDENTITY_NAME, Recipe, RecipeMember
from automl.ensemble.predictor import Trained
from automl.ensemble.time_budget import Heard, Hurry, Pace, further_views, trimmed, with_members
from automl.ensemble.tta import VIEWS
from automl.errors import StorageError, listed

if TYPE_CHECKING:
    from automl.ensemble.predictor import Looker

Floats = NDArray[np.float64]
WeightsOf = Callable[[RecipeMember, int], Path]  # where a fold's network lies
Tell = Callable[[str], None]

RESERVED = 0.1  # of a budget: for what measuring on a few images does not foresee, and for writing the file


def blended_probs(
    recipe: Recipe, weights_of: WeightsOf, looker: Looker, *, rows: NDArray[np.int64] | None = None
) -> Floats:
    """(n_rows, n_classes) of the looker's test images, or of those rows of them.

    Images that nobody can see (competition.unreadable_test) are not ranked among others; their rows are zeros.

    Raises:
        StorageError: a member's weights are missing or damaged, or the recipe has a view that this version has not.
    """
    _require_known_views(recipe)
    images = _images(looker, weights_of, rows)
    return _blended(recipe, (_mean_of_member(recipe, member, images) for member in recipe.members), images)


def blended_in_time(
    recipe: Recipe,
    weights_of: WeightsOf,
    looker: Looker,
    *,
    budget_s: float,
    rows: NDArray[np.int64] | None = None,
    tell: Tell = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Floats:
    """As `blended_probs`, and the same bits where there is time for everything.

    How slow this machine is, is measured on a few blank images; what then has no time is left out, as the recipe orders
    it.
    What is left is predicted in this order, so that it can end at any point with what it has:

    1. the images as they are, through the first fold's model of each member, the heaviest first;
    2. the same through the further folds' models;
    3. the further views, the one that is worth most first, through all folds' models of each member.

    A step whose time has run out, going by the steps so far, is left out. The first one is always taken.

    Args:
        budget_s: seconds from now on.
        tell: takes a line for each thing that is left out.

    Raises:
        StorageError: as `blended_probs`.
    """
    _require_known_views(recipe)
    deadline_s = clock() + (1.0 - RESERVED) * budget_s
    images = _images(looker, weights_of, rows)
    n_images = len(images.rows)
    if not n_images:
        return blended_probs(recipe, weights_of, looker, rows=rows)
    first, sizes = recipe.members[0], {member.image_size for member in recipe.members}
    pace = _measured_pace(first, images)
    began_s = clock()
    images.decode(first)
    decoding_s = clock() - began_s
    left_s = deadline_s - clock() - decoding_s * (len(sizes) - 1)
    kept = trimmed(recipe, n_images=n_images, budget_s=left_s, slower=pace.slower)
    hurry = Hurry(kept, images.decode, images.look_through, n_images, deadline_s, clock, pace)
    hurry.note_prepared(first.image_size, decoding_s)
    for line in _left_out(recipe, kept, pace):
        tell(line)
    hurry.run()
    for line in hurry.lines():
        tell(line)
    heard = with_members(kept, [member for member in kept.members if member.name in hurry.heard])
    return _blended(heard, (images.tempered(hurry.heard[member.name].mean, member) for member in heard.members), images)


@dataclass(frozen=True, slots=True)
class _Images:
    """Images, and who is asked about them.

    Attributes:
        rows: (n_images,) of the looker's test images: those that can be seen.
        are_seen: (n_rows,) which of the rows that were asked for these are.
    """

    looker: Looker
    weights_of: WeightsOf
    rows: NDArray[np.int64]
    are_seen: NDArray[np.bool_]

    def decode(self, member: RecipeMember) -> None:
        """Make the pixels of all images for the member's size."""
        self.looker.pixels("test", member.image_size)

    def look(self, member: RecipeMember, fold: int, *views: str) -> Floats:
        """(n_views, n_images, n_classes) that a fold's model says; nobody is asked where there are no images."""
        if not len(self.rows):
            return np.zeros((len(views), 0, self.looker.competition.n_classes))
        said = self.looker.look(self.trained(member, fold), [VIEWS[view] for view in views], "test", self.rows)
        return np.asarray(said, dtype=np.float64)

    def look_through(self, member: RecipeMember, fold: int, view: str) -> Floats:
        """(n_images, n_classes) that a fold's model says through one view."""
        (said,) = self.look(member, fold, view)
        return np.asarray(said)

    def tempered(self, probs: Floats, member: RecipeMember) -> Floats:
        """The probabilities with the member's temperature."""
        return np.asarray(tempered(probs, member.temperature, self.looker.competition.task), dtype=np.float64)

    def trained(self, member: RecipeMember, fold: int) -> Trained:
        """A fold's network on the disk."""
        return Trained(member.config, self.weights_of(member, fold))


def _images(looker: Looker, weights_of: WeightsOf, rows: NDArray[np.int64] | None) -> _Images:
    asked = np.arange(len(looker.competition.test_ids)) if rows is None else rows
    are_seen = np.isin(asked, looker.competition.unreadable_test, invert=True)
    return _Images(looker, weights_of, asked[are_seen], are_seen)


def _mean_of_member(recipe: Recipe, member: RecipeMember, images: _Images) -> Floats:
    """(n_images, n_classes): of the sums over the folds of each view the sum, in the order of the views' worth.

    It is the order in which `blended_in_time` gets to them, as the last bits of a sum depend on it.
    """
    views = (IDENTITY_NAME, *(view for view in further_views(recipe) if view in member.views))
    of_views = np.zeros((len(views), len(images.rows), images.looker.competition.n_classes))
    for fold in member.folds:
        of_views += images.look(member, fold, *views)
    heard = Heard(np.zeros(of_views.shape[1:]))
    for of_view in of_views:
        heard.add(of_view, len(member.folds))
    return images.tempered(heard.mean, member)


def _blended(recipe: Recipe, means: Iterable[Floats], images: _Images) -> Floats:
    """(n_rows, n_classes), the members added up one after the other, so that one of them at a time is in memory."""
    blended = np.zeros((len(images.are_seen), images.looker.competition.n_classes))
    for probs, member in zip(means, recipe.members, strict=True):
        blended[images.are_seen] += blend(probs[None], np.array([member.weight]), by_rank=recipe.by_rank)
    return blended


def _require_known_views(recipe: Recipe) -> None:
    unknown = sorted({view for member in recipe.members for view in member.views} - VIEWS.keys())
    if unknown:
        raise StorageError(
            f"the ensemble has views that this version has not: {listed(unknown)}",
            hint="use the version of automl that made it, or make it again: automl ensemble",
        )


def _measured_pace(member: RecipeMember, images: _Images) -> Pace:
    """The pace of the member's first fold. It counts as one image: what is seen later on outweighs it."""
    return Pace(images.looker.seconds_per_image(images.trained(member, member.folds[0])), member.seconds_per_image)


def _left_out(recipe: Recipe, kept: Recipe, pace: Pace) -> Iterator[str]:
    """What trimming has left out, in lines."""
    members = {member.name for member in kept.members}
    lacking = (
        ("views", [view for view in further_views(recipe) if view not in further_views(kept)]),
        ("members", [member.name for member in recipe.members if member.name not in members]),
    )
    if recipe is not kept:
        yield f"time: an image takes {pace.slower:.2g} times as long as where the ensemble was made"
    for what, names in lacking:
        if names:
            yield f"time: {what} left out: {listed(names, at_most=10)}"


N_NAMED = 5


def study_weights(files: StudyFiles, member: RecipeMember, fold: int) -> Path:
    """Where a fold's network lies: with the trial's own folds, or with those trained after the search."""
    trial = files.trial(member.number)
    if member.kind != "search":
        return trial.retrained(member.kind).weights(fold)
    refit = trial.retrained("refit").weights(fold)
    return refit if refit.exists() and not trial.weights(fold).exists() else trial.weights(fold)


def require_networks(recipe: Recipe, weights_of: WeightsOf, *, again: str) -> None:
    """Let a recipe pass whose members' networks are all there.

    Args:
        again: what makes missing ones again, in the imperative.

    Raises:
        StorageError: it names those that are gone.
    """
    wanted = [weights_of(member, fold) for member in recipe.members for fold in member.folds]
    missing = [str(path) for path in wanted if not path.is_file()]
    if missing:
        raise StorageError(
            f"{len(missing)} of the ensemble's {len(wanted)} networks are gone: {listed(missing, at_most=N_NAMED)}",
            hint=again,
        )
