"""What a trained trial predicts, as it left it in its files and as seen through the views of test-time augmentation.

A member has the folds that the search trained, and those that were trained after it. Not responsible for: which members
are wanted or how they are blended (automl.ensemble.build), or how models look (automl.ensemble.looking).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import TrialFiles
from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.ensemble.looking import Looker, Trained
from automl.ensemble.parts import Part, finished_parts, mean_test, require_fits, searched_part
from automl.ensemble.recipe import member_name
from automl.ensemble.tta import IDENTITY, View
from automl.errors import StorageError
from automl.training.models import missing_weights

if TYPE_CHECKING:
    from automl.ensemble.pool import Candidate

SEARCHED = "search"
REFIT = "refit"  # the folder of the folds that complete a searched trial


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """A complete trial and what it predicted with the identity view.

    Attributes:
        kind: how it was trained: search, pseudo or distilled.
        score: the study's.
        models: each fold's network, as far as its weights are there.
        missing_weights: of the folds whose weights are not.
        rows: (n_oof,) rows of the competition, ascending, that one of its models did not train on.
        folds: (n_oof,) the fold of each row.
        oof: (n_oof, n_classes) probabilities.
        test: (n_test, n_classes) probabilities, the mean over the trained folds.
    """

    number: int
    kind: str = SEARCHED
    score: float
    config: TrialConfig
    competition: Competition
    models: Mapping[int, Trained]
    missing_weights: tuple[Path, ...]
    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    oof: NDArray[Any]
    test: NDArray[Any]

    @property
    def name(self) -> str:
        """Unlike that of any other member: "17", or "17-pseudo"."""
        return member_name(self.number, self.kind)

    @property
    def image_size(self) -> int:
        """The one it trained with last."""
        return self.config.resize.image_sizes[-1]

    def on_rows(self, rows: NDArray[np.int64]) -> Member:
        """The same member, knowing only some of its rows; its models stay."""
        positions = np.searchsorted(self.rows, rows)
        return replace(self, rows=rows, folds=self.folds[positions], oof=self.oof[positions])


def read_member(
    candidate: Candidate,
    files: TrialFiles,
    *,
    competition: Competition,
    folds: NDArray[np.int64],
    refits: bool = True,
) -> Member:
    """The member that a complete trial left in its files.

    Of kind search: what the search trained and, with refits, the further folds that were finished after it. Of another
    kind: the folds that were trained for it alone, all of them.

    Raises:
        StorageError: files are missing, damaged, or not of this competition and split.
    """
    searched = candidate.kind == SEARCHED
    parts = [searched_part(files)] if searched else []
    if refits or not searched:
        parts += finished_parts(files.retrained(REFIT if searched else candidate.kind), folds)
    if not searched and len(parts) < folds.max() + 1:
        raise StorageError(
            f"only {len(parts)} of its {folds.max() + 1} folds are trained", hint="go on with the same automl refit"
        )
    for part in parts:
        require_fits(part, competition, folds)
    return _joined(candidate, parts, competition)


def predict_oof(member: Member, views: Sequence[View], looker: Looker) -> NDArray[np.float32]:
    """(n_views, n_oof, n_classes), each row predicted by the model that did not train on it.

    The identity view is what the member's files say.

    Raises:
        StorageError: a fold's weights are missing or damaged.
    """
    probs = np.empty((len(views), *member.oof.shape), np.float32)
    is_other = np.array([view is not IDENTITY for view in views])
    probs[~is_other] = member.oof
    others = [view for view in views if view is not IDENTITY]
    for fold in np.unique(member.folds).tolist() if others else ():
        of_fold = np.flatnonzero(member.folds == fold)
        looked = looker.look(_model(member, fold), others, "train", member.rows[of_fold])
        probs[np.ix_(is_other, of_fold)] = looked
    return probs


def predict_test(member: Member, views: Sequence[View], looker: Looker) -> NDArray[np.float64]:
    """(n_test, n_classes): the mean over the views and the trained folds.

    A member without weights serves with what its files say, through the identity view alone.

    Raises:
        StorageError: weights are missing or damaged.
    """
    if member.missing_weights:
        if any(view is not IDENTITY for view in views):
            raise missing_weights(member.missing_weights)
        return member.test.astype(np.float64)
    models = [member.models[fold] for fold in sorted(member.models)]
    return mean_of_looks(models, views, looker, np.arange(len(member.competition.test_ids)))


def mean_of_looks(
    models: Sequence[Trained], views: Sequence[View], looker: Looker, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n_rows, n_classes): the mean over the models, in their order, and the views of test images."""
    total = np.zeros((len(rows), looker.competition.n_classes))
    for trained in models:
        total += looker.look(trained, views, "test", rows).sum(axis=0, dtype=np.float64)
    total /= len(models) * len(views)
    return total


def _joined(candidate: Candidate, parts: Sequence[Part], competition: Competition) -> Member:
    """The member of all folds. One that is there twice was trained again, since its first weights are gone."""
    source: dict[int, Part] = {}
    for part in parts:
        for fold, weights in part.weights.items():
            if fold not in source or (weights.exists() and not source[fold].weights[fold].exists()):
                source[fold] = part
    chosen = {fold: source[fold] for fold in sorted(source)}
    own = [(part.oof["folds"] == fold, part.oof) for fold, part in chosen.items()]
    rows = np.concatenate([oof["rows"][of_fold] for of_fold, oof in own])
    ascending = np.argsort(rows)
    paths = {fold: part.weights[fold] for fold, part in chosen.items()}
    return Member(
        number=candidate.number,
        kind=candidate.kind,
        score=candidate.score,
        config=candidate.config,
        competition=competition,
        models={fold: Trained(candidate.config, path) for fold, path in paths.items() if path.exists()},
        missing_weights=tuple(path for path in paths.values() if not path.exists()),
        rows=rows[ascending].astype(np.int64),
        folds=np.concatenate([oof["folds"][of_fold] for of_fold, oof in own])[ascending].astype(np.int64),
        oof=np.concatenate([oof["probs"][of_fold] for of_fold, oof in own])[ascending],
        test=mean_test([part for part in parts if part in chosen.values()]),
    )


def _model(member: Member, fold: int) -> Trained:
    if fold not in member.models:
        raise missing_weights(member.missing_weights)
    return member.models[fold]
