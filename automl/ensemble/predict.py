"""What a trained trial predicts, as it left it in its files and as seen through the views of test-time augmentation.

The trial's own predictions are those of the identity view; only the other views are computed, with one model in memory
at a time. Not responsible for: which members are wanted or how they are blended (automl.ensemble.build).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import Arrays, TrialFiles, read_arrays
from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.ensemble.tta import IDENTITY, View
from automl.errors import StorageError
from automl.training.inference import predict_probs
from automl.training.models import load_trained


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """A complete trial and what it predicted with the identity view.

    Attributes:
        score: the study's.
        trained_folds: each has its weights.
        rows: (n_oof,) rows of the competition, ascending, that one of its models did not train on.
        folds: (n_oof,) the fold of each row.
        oof: (n_oof, n_classes) probabilities.
        test: (n_test, n_classes) probabilities, the mean over the trained folds.
    """

    number: int
    score: float
    config: TrialConfig
    files: TrialFiles
    competition: Competition
    trained_folds: tuple[int, ...]
    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    oof: NDArray[Any]
    test: NDArray[Any]

    @property
    def image_size(self) -> int:
        """The one it trained with last."""
        return self.config.resize.image_sizes[-1]

    def on_rows(self, rows: NDArray[np.int64]) -> Member:
        """The same member, knowing only some of its rows."""
        positions = np.searchsorted(self.rows, rows)
        return replace(self, rows=rows, folds=self.folds[positions], oof=self.oof[positions])


def read_member(
    number: int,
    score: float,
    config: TrialConfig,
    files: TrialFiles,
    *,
    competition: Competition,
    folds: NDArray[np.int64],
) -> Member:
    """The member that a complete trial left in its files.

    Raises:
        StorageError: they are missing, damaged, or not of this competition and split.
    """
    oof = read_arrays(files.oof)
    test = read_arrays(files.test)
    _require(_is_oof_of(oof, competition, folds), f"{files.oof} is not of this competition and split")
    _require(
        _are_probs(test.get("probs"), len(competition.test_ids), competition.n_classes),
        f"{files.test} is not of this competition",
    )
    ascending = np.argsort(oof["rows"])
    return Member(
        number=number,
        score=score,
        config=config,
        files=files,
        competition=competition,
        trained_folds=tuple(int(fold) for fold in np.unique(oof["folds"])),
        rows=oof["rows"][ascending].astype(np.int64),
        folds=oof["folds"][ascending].astype(np.int64),
        oof=oof["probs"][ascending],
        test=test["probs"],
    )


def predict_oof(
    member: Member, views: Sequence[View], pixels: NDArray[np.uint8], *, device: str
) -> NDArray[np.float64]:
    """(n_oof, n_classes): the mean over the views, each row predicted by the model that did not train on it.

    Args:
        views: the identity and others.
        pixels: (n, C, C, 3) of the training images.

    Raises:
        StorageError: a fold's weights are missing or damaged.
    """
    others = [view for view in views if view is not IDENTITY]
    total = member.oof.astype(np.float64)
    for fold in member.trained_folds:
        of_fold = member.folds == fold
        total[of_fold] += _sum_over_views(member, fold, others, pixels, member.rows[of_fold], device)
    total /= len(views)
    return total


def predict_test(
    member: Member, views: Sequence[View], pixels: NDArray[np.uint8], *, device: str
) -> NDArray[np.float64]:
    """(n_test, n_classes): the mean over the views and the trained folds.

    Args:
        views: the identity and others.
        pixels: (n_test, C, C, 3) of the test images.

    Raises:
        StorageError: a fold's weights are missing or damaged.
    """
    others = [view for view in views if view is not IDENTITY]
    total = member.test.astype(np.float64)
    for fold in member.trained_folds:
        summed = _sum_over_views(member, fold, others, pixels, np.arange(len(pixels)), device)
        total += summed / len(member.trained_folds)
    total /= len(views)
    return total


def _sum_over_views(
    member: Member,
    fold: int,
    views: Sequence[View],
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    device: str,
) -> NDArray[np.float64]:
    """One fold's model asked once for each view; the model is gone when this returns."""
    model = load_trained(member.config, member.files, fold, competition=member.competition, device=device)
    total = np.zeros((len(rows), member.oof.shape[1]))
    for view in views:
        total += predict_probs(model, pixels, rows, image_size=member.image_size, device=device, view=view.apply)
    return total


def _is_oof_of(oof: Arrays, competition: Competition, folds: NDArray[np.int64]) -> bool:
    rows, own_folds = oof.get("rows"), oof.get("folds")
    if rows is None or own_folds is None or rows.ndim != 1 or rows.dtype.kind != "i" or len(rows) == 0:
        return False
    if rows.min() < 0 or rows.max() >= len(folds) or len(np.unique(rows)) < len(rows):
        return False
    return np.array_equal(folds[rows], own_folds) and _are_probs(oof.get("probs"), len(rows), competition.n_classes)


def _are_probs(probs: NDArray[Any] | None, n_rows: int, n_classes: int) -> bool:
    if probs is None or probs.shape != (n_rows, n_classes) or probs.dtype.kind != "f":
        return False
    return bool(np.isfinite(probs).all() and (probs >= 0).all() and (probs <= 1).all())


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise StorageError(problem, hint="leave this trial out, or run the search again")
