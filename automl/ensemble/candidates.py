"""The pool that an ensemble's members are chosen from: complete trials, read, and compared on the same rows.

What cannot be used is left out and said so. Not responsible for: choosing among them (automl.ensemble.blending).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import Arrays, StudyFiles, TrialFiles, read_arrays
from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.ensemble.ensemble_recipe import member_name
from automl.ensemble.predictor import Looker, Trained
from automl.ensemble.tta import IDENTITY, View
from automl.errors import NoUsableModelError, StorageError
from automl.training.fold_outputs import classes_in
from automl.training.network.create import classes_digest, missing_weights

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


# Members beyond these do not make a blend better: in simulated families of models the mean of the best 10 of 50 scores
# better than that of all at every number of rows.
MANY = 10

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete trial that may become a member.

    Attributes:
        kind: how it was trained: search, pseudo or distilled. Several kinds of one trial are several candidates.
    """

    number: int
    score: float
    config: TrialConfig
    kind: str = "search"

    @property
    def name(self) -> str:
        """As that of the member that it may become."""
        return member_name(self.number, self.kind)


def read_pool(
    candidates: Sequence[Candidate],
    files: StudyFiles,
    competition: Competition,
    folds: NDArray[np.int64],
    *,
    note: Note,
    refits: bool = True,
) -> list[Member]:
    """The usable candidates in their order, all with the same rows out of fold.

    Args:
        refits: with the folds that were trained after the search; without them the pool is what the search left,
            however far a refit has come.

    Raises:
        NoUsableModelError: there is none.
    """
    members = []
    for candidate in _of_distinct_configs(candidates, note):
        try:
            trial = files.trial(candidate.number)
            member = read_member(candidate, trial, competition=competition, folds=folds, refits=refits)
        except StorageError as error:
            note(f"trial {candidate.name} is left out: {error.problem}")
        else:
            members.append(member)
    return _on_common_rows(require_some(members), note)


def require_some(members: list[Member]) -> list[Member]:
    """The members themselves.

    Raises:
        NoUsableModelError: there are none.
    """
    if not members:
        raise NoUsableModelError(
            "no complete trial has usable predictions and weights", hint="search on, or restore the study's trials"
        )
    return members


def _of_distinct_configs(candidates: Sequence[Candidate], note: Note) -> list[Candidate]:
    """The first candidate of each config and kind: a second one would add weight, not knowledge."""
    kept: dict[tuple[TrialConfig, str], Candidate] = {}
    for candidate in candidates:
        first = kept.setdefault((candidate.config, candidate.kind), candidate)
        if first is not candidate:
            note(f"trial {candidate.name} is left out: it has the configuration of trial {first.name}")
    return list(kept.values())


def _on_common_rows(members: list[Member], note: Note) -> list[Member]:
    """Those members that can be compared on the same rows, known by these rows alone.

    Where the trials predicted different rows, the choice with the most predictions (members times rows) is taken, and
    of equal ones that with more members. More than MANY members count as many: so of 15 trials with one fold of five,
    three or more that were trained on all folds since go before all, while two would leave too little to choose from.
    """
    row_sets = list({member.rows.tobytes(): member.rows for member in members}.values())
    if len(row_sets) == 1:
        return members
    shared_by_all = reduce(np.intersect1d, row_sets)
    choices = [(rows, _covering(rows, members)) for rows in (*row_sets, shared_by_all)]
    rows, kept = max(choices, key=lambda choice: (len(choice[0]) * min(len(choice[1]), MANY), len(choice[1])))
    if others := [member.name for member in members if member not in kept]:
        trials = f"trial {others[0]} is left out: it has" if len(others) == 1 else _left_out(others)
        note(f"{trials} no prediction for some rows that the others share")
    note(f"members are compared on the {len(rows)} rows that all of them have out of fold")
    return [member.on_rows(rows) for member in kept]


def _left_out(names: list[str]) -> str:
    return f"trials {', '.join(names[:-1])} and {names[-1]} are left out: they have"


def _covering(rows: NDArray[np.int64], members: list[Member]) -> list[Member]:
    return [member for member in members if np.isin(rows, member.rows, assume_unique=True).all()]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
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


def searched_part(files: TrialFiles) -> Part:
    """What the search left of a complete trial.

    Raises:
        StorageError: files are missing or damaged.
    """
    oof, test = read_arrays(files.oof), read_arrays(files.test)
    trained = np.unique(oof["folds"]).tolist() if "folds" in oof else []
    return Part(
        oof_file=files.oof,
        test_file=files.test,
        weights={int(fold): files.weights(int(fold)) for fold in trained},
        oof=oof,
        test=test,
    )


def finished_parts(files: TrialFiles, folds: NDArray[np.int64]) -> list[Part]:
    """The folds that were trained after the search and are finished.

    Raises:
        StorageError: one of their files is damaged.
    """
    parts = []
    for fold in range(int(folds.max()) + 1):
        if not files.fold_oof(fold).exists():
            continue
        oof = read_arrays(files.fold_oof(fold))
        if "rows" in oof:
            oof["folds"] = np.full(oof["rows"].shape, fold)
        part = Part(
            oof_file=files.fold_oof(fold),
            test_file=files.fold_test(fold),
            weights={fold: files.weights(fold)},
            oof=oof,
            test=read_arrays(files.fold_test(fold)),
        )
        parts.append(part)
    return parts


def require_fits(part: Part, competition: Competition, folds: NDArray[np.int64]) -> None:
    """Let a part pass whose rows, folds, classes and test images are those of the competition and the split.

    Raises:
        StorageError: it names the file that is of others.
    """
    classes = classes_digest(competition)
    for path, arrays in ((part.oof_file, part.oof), (part.test_file, part.test)):
        same = classes_in(arrays) in (None, classes)
        _require(same, f"{path} is of other classes, or of another order of them")
    _require(_is_oof_of(part.oof, competition, folds), f"{part.oof_file} is not of this competition and split")
    _require(
        _are_probs(part.test.get("probs"), len(competition.test_ids), competition.n_classes),
        f"{part.test_file} is not of this competition",
    )


def mean_test(parts: Sequence[Part]) -> NDArray[np.float32]:
    """(n_test, n_classes) over the folds of all parts; a fold of several counts in the first."""
    if len(parts) == 1:
        return np.asarray(parts[0].test["probs"], np.float32)
    counted: set[int] = set()
    total: NDArray[np.float64] = np.zeros(parts[0].test["probs"].shape)
    for part in parts:
        total += len(part.weights.keys() - counted) * part.test["probs"].astype(np.float64)
        counted |= part.weights.keys()
    return np.asarray(total / len(counted), np.float32)


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
