"""How far float16 weights move what an ensemble says of the test images at hand.

Not responsible for: writing them (automl.kit.halving).
"""

from __future__ import annotations

import numpy as np

from automl.artifacts import StudyFiles
from automl.data.cache import PixelCache
from automl.data.competition import Competition
from automl.ensemble.apply import WeightsOf, blended_probs
from automl.ensemble.looking import Looker
from automl.ensemble.recipe import Recipe
from automl.errors import DataError

N_TRIED = 1000  # test images


def described_move(
    files: StudyFiles, competition: Competition, recipe: Recipe, *, before: WeightsOf, after: WeightsOf, device: str
) -> str:
    """The largest difference between what the two sets of weights say of some of the test images, in a line."""
    seen = np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)
    rows = seen[:: max(1, -(-len(seen) // N_TRIED))]
    if len(rows) == 0:
        return "float16: not tried out, as there are no test images here"
    cache = PixelCache(competition, files.cache, short_side=recipe.short_side)
    threads = recipe.n_threads
    whole = Looker(competition, cache, device=device, remembered=files.predictions, n_threads=threads)
    half = Looker(competition, cache, device=device, remembered=None, n_threads=threads)
    try:
        moved = np.abs(blended_probs(recipe, after, half, rows=rows) - blended_probs(recipe, before, whole, rows=rows))
    except DataError as error:
        return f"float16: not tried out: {error.problem}"
    what = f"the {'ranks' if recipe.by_rank else 'probabilities'} of {len(rows)} test images"
    return f"float16: moves {what} by {moved.max():.2g} at most, {moved.mean():.2g} in the mean"
