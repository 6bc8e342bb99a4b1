"""Trials loaded as members of an ensemble: complete, usable, and compared on the same rows; others are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import Arrays, StudyFiles, TrialFiles, read_arrays
from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.ensemble.ensemble_recipe import SEARCH, format_member_name
from automl.ensemble.predictor import Predictor, TrainedFold
from automl.ensemble.tta import IDENTITY, View
from automl.errors import Notify, NoUsableModelError, StorageError
from automl.training.fold_outputs import read_classes_digest
from automl.training.network.create import build_missing_weights_error, compute_classes_digest

REFIT = "refit"  # the folder of the folds that complete a searched trial
# Members beyond these do not make a blend better: in simulated families of models the mean of the best 10 of 50 scores
# better than that of all at every number of rows.
MAX_COUNTED_MEMBERS = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete trial that may become a member.

    Attributes:
        member_kind: how it was trained: search, pseudo or distilled. Several of one trial are several candidates.
    """

    number: int
    score: float
    config: TrialConfig
    member_kind: str = SEARCH

    @property
    def name(self) -> str:
        """As that of the member that it may become."""
        return format_member_name(self.number, self.member_kind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """A complete trial and what it predicted with the identity view.

    Attributes:
        member_kind: how it was trained: search, pseudo or distilled.
        score: the study's.
        models: each fold's network, as far as its weights are there.
        missing_weights: of the folds whose weights are not.
        rows: (n_oof,) rows of the competition, ascending, that one of its models did not train on.
        folds: (n_oof,) the fold of each row.
        oof: (n_oof, n_classes) probabilities.
        test: (n_test, n_classes) probabilities, the mean over the trained folds.
    """

    number: int
    member_kind: str = SEARCH
    score: float
    config: TrialConfig
    competition: Competition
    models: Mapping[int, TrainedFold]
    missing_weights: tuple[Path, ...]
    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    oof: NDArray[Any]
    test: NDArray[Any]

    @property
    def name(self) -> str:
        """Unlike that of any other member: "17", or "17-pseudo"."""
        return format_member_name(self.number, self.member_kind)

    @property
    def image_size(self) -> int:
        """The one it trained with last."""
        return self.config.resize.image_sizes[-1]

    def select_rows(self, rows: NDArray[np.int64]) -> Member:
        """Return the same member with only some of its rows; its models stay."""
        positions = np.searchsorted(self.rows, rows)
        return replace(self, rows=rows, folds=self.folds[positions], oof=self.oof[positions])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedFolds:
    """Some folds of a member, from one place.

    Attributes:
        weights: of each fold, whether they are there or not.
        oof: the arrays rows, folds, probs, and perhaps classes.
    """

    oof_file: Path
    test_file: Path
    weights: Mapping[int, Path]
    oof: Arrays
    test: Arrays


def read_members(
    candidates: Sequence[Candidate],
    files: StudyFiles,
    competition: Competition,
    folds: NDArray[np.int64],
    *,
    notify: Notify,
    refits: bool = True,
) -> list[Member]:
    """Read the usable candidates in their order, all with the same rows out of fold.

    Args:
        refits: with the folds that were trained after the search; without them the pool is what the search left,
            however far a refit has come.

    Raises:
        NoUsableModelError: there is none.
    """
    members = []
    for candidate in _drop_repeated_configs(candidates, notify):
        try:
            trial = files.get_trial_files(candidate.number)
            member = read_member(candidate, trial, competition=competition, folds=folds, refits=refits)
        except StorageError as error:
            notify(f"trial {candidate.name} is left out: {error.problem}")
        else:
            members.append(member)
    return _restrict_to_common_rows(require_members(members), notify)


def require_members(members: list[Member]) -> list[Member]:
    """Return the members themselves.

    Raises:
        NoUsableModelError: there are none.
    """
    if not members:
        raise NoUsableModelError(
            "no complete trial has usable predictions and weights", hint="search on, or restore the study's trials"
        )
    return members


def read_member(
    candidate: Candidate,
    files: TrialFiles,
    *,
    competition: Competition,
    folds: NDArray[np.int64],
    refits: bool = True,
) -> Member:
    """Read the member that a complete trial left in its files.

    A searched one: what the search trained and, with refits, the further folds that were finished after it. Another:
    the folds that were trained for it alone, all of them.

    Raises:
        StorageError: files are missing, damaged, or not of this competition and split.
    """
    searched = candidate.member_kind == SEARCH
    sources = [read_search_folds(files)] if searched else []
    if refits or not searched:
        sources += read_finished_folds(files.get_refit_files(REFIT if searched else candidate.member_kind), folds)
    if not searched and len(sources) < folds.max() + 1:
        raise StorageError(
            f"only {len(sources)} of its {folds.max() + 1} folds are trained", hint="go on with the same automl refit"
        )
    for source in sources:
        require_same_competition(source, competition, folds)
    return _join_folds(candidate, sources, competition)


def predict_oof(member: Member, views: Sequence[View], predictor: Predictor) -> NDArray[np.float32]:
    """Predict (n_views, n_oof, n_classes), each row by the model that did not train on it.

    The identity view comes from the member's files.

    Raises:
        StorageError: a fold's weights are missing or damaged.
    """
    probs = np.empty((len(views), *member.oof.shape), np.float32)
    is_other = np.array([view is not IDENTITY for view in views])
    probs[~is_other] = member.oof
    others = [view for view in views if view is not IDENTITY]
    for fold in np.unique(member.folds).tolist() if others else ():
        of_fold = np.flatnonzero(member.folds == fold)
        predicted = predictor.predict_views(_get_model(member, fold), others, "train", member.rows[of_fold])
        probs[np.ix_(is_other, of_fold)] = predicted
    return probs


def predict_test(member: Member, views: Sequence[View], predictor: Predictor) -> NDArray[np.float64]:
    """Predict (n_test, n_classes): the mean over the views and the trained folds.

    A member without weights serves with the predictions in its files, under the identity view alone.

    Raises:
        StorageError: weights are missing or damaged.
    """
    if member.missing_weights:
        if any(view is not IDENTITY for view in views):
            raise build_missing_weights_error(member.missing_weights)
        return member.test.astype(np.float64)
    models = [member.models[fold] for fold in sorted(member.models)]
    return predict_mean(models, views, predictor, np.arange(len(member.competition.test_ids)))


def predict_mean(
    models: Sequence[TrainedFold], views: Sequence[View], predictor: Predictor, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Predict (n_rows, n_classes): the mean over the models, in their order, and the views of test images."""
    total = np.zeros((len(rows), predictor.competition.n_classes))
    for trained in models:
        total += predictor.predict_views(trained, views, "test", rows).sum(axis=0, dtype=np.float64)
    total /= len(models) * len(views)
    return total


def read_search_folds(files: TrialFiles) -> SavedFolds:
    """Read what the search left of a complete trial.

    Raises:
        StorageError: files are missing or damaged.
    """
    oof, test = read_arrays(files.oof), read_arrays(files.test)
    trained = np.unique(oof["folds"]).tolist() if "folds" in oof else []
    return SavedFolds(
        oof_file=files.oof,
        test_file=files.test,
        weights={int(fold): files.get_weights_path(int(fold)) for fold in trained},
        oof=oof,
        test=test,
    )


def read_finished_folds(files: TrialFiles, folds: NDArray[np.int64]) -> list[SavedFolds]:
    """Read the folds that were trained after the search and are finished.

    Raises:
        StorageError: one of their files is damaged.
    """
    sources = []
    for fold in range(int(folds.max()) + 1):
        if not files.get_fold_oof_path(fold).exists():
            continue
        oof = read_arrays(files.get_fold_oof_path(fold))
        if "rows" in oof:
            oof["folds"] = np.full(oof["rows"].shape, fold)
        source = SavedFolds(
            oof_file=files.get_fold_oof_path(fold),
            test_file=files.get_fold_test_path(fold),
            weights={fold: files.get_weights_path(fold)},
            oof=oof,
            test=read_arrays(files.get_fold_test_path(fold)),
        )
        sources.append(source)
    return sources


def require_same_competition(source: SavedFolds, competition: Competition, folds: NDArray[np.int64]) -> None:
    """Require rows, folds, classes and test images to be those of the competition and the split.

    Raises:
        StorageError: it names the file that is of others.
    """
    classes = compute_classes_digest(competition)
    for path, arrays in ((source.oof_file, source.oof), (source.test_file, source.test)):
        same = read_classes_digest(arrays) in (None, classes)
        _require(same, f"{path} is of other classes, or of another order of them")
    _require(_is_oof_of(source.oof, competition, folds), f"{source.oof_file} is not of this competition and split")
    _require(
        _are_probs(source.test.get("probs"), len(competition.test_ids), competition.n_classes),
        f"{source.test_file} is not of this competition",
    )


def average_test_probs(sources: Sequence[SavedFolds]) -> NDArray[np.float32]:
    """Average (n_test, n_classes) over the folds of all sources; a fold of several counts in the first."""
    if len(sources) == 1:
        return np.asarray(sources[0].test["probs"], np.float32)
    counted: set[int] = set()
    total: NDArray[np.float64] = np.zeros(sources[0].test["probs"].shape)
    for source in sources:
        total += len(source.weights.keys() - counted) * source.test["probs"].astype(np.float64)
        counted |= source.weights.keys()
    return np.asarray(total / len(counted), np.float32)


def _drop_repeated_configs(candidates: Sequence[Candidate], notify: Notify) -> list[Candidate]:
    """The first candidate of each config and way of training: a second one would add weight, not knowledge."""
    kept: dict[tuple[TrialConfig, str], Candidate] = {}
    for candidate in candidates:
        first = kept.setdefault((candidate.config, candidate.member_kind), candidate)
        if first is not candidate:
            notify(f"trial {candidate.name} is left out: it has the configuration of trial {first.name}")
    return list(kept.values())


def _restrict_to_common_rows(members: list[Member], notify: Notify) -> list[Member]:
    """Those members that can be compared on the same rows, restricted to these rows.

    Where the trials predicted different rows, the choice with the most predictions (members times rows) is taken, and
    of equal ones that with more members. More than MAX_COUNTED_MEMBERS count as that many: so of 15 trials with
    one fold of five, three or more that were trained on all folds since go before all, while two would leave too little
    to choose from.
    """
    row_sets = list({member.rows.tobytes(): member.rows for member in members}.values())
    if len(row_sets) == 1:
        return members
    shared_by_all = reduce(np.intersect1d, row_sets)
    choices = [(rows, _find_covering(rows, members)) for rows in (*row_sets, shared_by_all)]
    rows, kept = max(
        choices, key=lambda choice: (len(choice[0]) * min(len(choice[1]), MAX_COUNTED_MEMBERS), len(choice[1]))
    )
    if others := [member.name for member in members if member not in kept]:
        trials = f"trial {others[0]} is left out: it has" if len(others) == 1 else _join_left_out(others)
        notify(f"{trials} no prediction for some rows that the others share")
    notify(f"members are compared on the {len(rows)} rows that all of them have out of fold")
    return [member.select_rows(rows) for member in kept]


def _join_left_out(names: list[str]) -> str:
    return f"trials {', '.join(names[:-1])} and {names[-1]} are left out: they have"


def _find_covering(rows: NDArray[np.int64], members: list[Member]) -> list[Member]:
    return [member for member in members if np.isin(rows, member.rows, assume_unique=True).all()]


def _join_folds(candidate: Candidate, sources: Sequence[SavedFolds], competition: Competition) -> Member:
    """The member of all folds. One that is there twice was trained again, since its first weights are gone."""
    source_of: dict[int, SavedFolds] = {}
    for source in sources:
        for fold, weights in source.weights.items():
            if fold not in source_of or (weights.exists() and not source_of[fold].weights[fold].exists()):
                source_of[fold] = source
    chosen = {fold: source_of[fold] for fold in sorted(source_of)}
    own = [(source.oof["folds"] == fold, source.oof) for fold, source in chosen.items()]
    rows = np.concatenate([oof["rows"][of_fold] for of_fold, oof in own])
    ascending = np.argsort(rows)
    paths = {fold: source.weights[fold] for fold, source in chosen.items()}
    return Member(
        number=candidate.number,
        member_kind=candidate.member_kind,
        score=candidate.score,
        config=candidate.config,
        competition=competition,
        models={fold: TrainedFold(candidate.config, path) for fold, path in paths.items() if path.exists()},
        missing_weights=tuple(path for path in paths.values() if not path.exists()),
        rows=rows[ascending].astype(np.int64),
        folds=np.concatenate([oof["folds"][of_fold] for of_fold, oof in own])[ascending].astype(np.int64),
        oof=np.concatenate([oof["probs"][of_fold] for of_fold, oof in own])[ascending],
        test=average_test_probs([source for source in sources if source in chosen.values()]),
    )


def _get_model(member: Member, fold: int) -> TrainedFold:
    if fold not in member.models:
        raise build_missing_weights_error(member.missing_weights)
    return member.models[fold]


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
