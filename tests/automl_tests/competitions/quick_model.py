"""A model that is fitted in milliseconds: ridge regression of what a perfect model would say on thumbnails.

Probabilities out of fold and for the test images, in the form that the product's networks have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.data.cache import PixelCache
from automl.data.competition import Competition

SIDE = 12
PENALTY = 3.0
LEAST = 1e-4  # so that no class is impossible


class Probs(NamedTuple):
    """Of the rows out of fold (n_rows, n_classes), which rows they are, and of the test images (n_test, n_classes)."""

    oof: NDArray[np.float64]
    rows: NDArray[np.int64]
    test: NDArray[np.float64]


def fit_and_predict(competition: Competition, folds: NDArray[np.int64], folder: Path) -> Probs:
    """Each fold is predicted by the images of the others, the test images by all of them."""
    cache = PixelCache(competition, folder)
    train, test = _features(cache.load_pixels("train", 32)), _features(cache.load_pixels("test", 32))
    shares = competition.soft_targets.astype(np.float64)
    oof = np.zeros_like(shares)
    for fold in range(folds.max() + 1):
        fitted = folds != fold
        oof[~fitted] = _ridge(train[fitted], shares[fitted], train[~fitted])
    rows = np.flatnonzero(folds >= 0)
    one_each = competition.task.target_kind.is_single_class
    return Probs(_probs(oof[rows], one_each), rows, _probs(_ridge(train, shares, test), one_each))


def _features(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX)) for image in pixels]
    return np.stack(small).reshape(len(pixels), -1) / 255.0


def _ridge(inputs: NDArray[Any], shares: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """In its dual form, as there are fewer images than features."""
    middle, mean = inputs.mean(axis=0), shares.mean(axis=0)
    centred = inputs - middle
    kernel = centred @ centred.T + PENALTY * np.eye(len(inputs))
    answers: NDArray[np.float64] = mean + (wanted - middle) @ centred.T @ np.linalg.solve(kernel, shares - mean)
    return answers


def _probs(answers: NDArray[np.float64], one_class_each: bool) -> NDArray[np.float64]:
    probs = np.clip(answers, LEAST, 1.0 - LEAST)
    return probs / probs.sum(axis=1, keepdims=True) if one_class_each else probs
