"""Trials and probes loaded as members of an ensemble: usable, and compared on the same rows; others are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, TrialFiles, read_json
from automl.config import TrialConfig
from automl.data.competition import Competition, load_competition
from automl.ensemble.ensemble_recipe import PROBE, SEARCH, describe_member, format_member_name
from automl.ensemble.predictor import Predictor, TrainedFold
from automl.ensemble.saved_folds import (
    REFIT,
    SavedFolds,
    average_test_probs,
    get_member_files,
    read_finished_folds,
    read_search_folds,
    require_same_competition,
)
from automl.ensemble.tta import IDENTITY, View
from automl.errors import Notify, NoUsableModelError, StorageError, UsageError
from automl.probing.probe_job import COMPLETED, ProbeReport
from automl.training.network.create import build_missing_weights_error

# Members beyond these do not make a blend better: in simulated families of models the mean of the best 10 of 50 scores
# better than that of all at every number of rows.
MAX_COUNTED_MEMBERS = 10
N_PROBES = 5  # that members are selected from, beside the trials
PROBE_HINT = "restore the file, or leave this probe out"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete trial or a finished probe that may become a member.

    Attributes:
        member_kind: how it was trained: search, pseudo, distilled or probe. Several of one trial are several
            candidates.
    """

    number: int
    score: float
    config: TrialConfig
    member_kind: str = SEARCH

    @property
    def name(self) -> str:
        """As that of the member that it may become."""
        return format_member_name(self.number, self.member_kind)

    @property
    def title(self) -> str:
        """What a message calls it: "trial 17", or "probe 3"."""
        return describe_member(self.number, self.member_kind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """A complete trial or a finished probe, and what it predicted with the identity view.

    Attributes:
        member_kind: how it was trained: search, pseudo, distilled or probe.
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
        """Unlike that of any other member: "17", "17-pseudo", or "3-probe"."""
        return format_member_name(self.number, self.member_kind)

    @property
    def title(self) -> str:
        """What a message calls it: "trial 17", or "probe 3"."""
        return describe_member(self.number, self.member_kind)

    @property
    def is_probe(self) -> bool:
        """Whether it is a light head on a frozen backbone."""
        return self.member_kind == PROBE

    @property
    def image_size(self) -> int:
        """The one it trained with last."""
        return self.config.resize.image_sizes[-1]

    def select_rows(self, rows: NDArray[np.int64]) -> Member:
        """Return the same member with only some of its rows; its models stay."""
        positions = np.searchsorted(self.rows, rows)
        return replace(self, rows=rows, folds=self.folds[positions], oof=self.oof[positions])


def list_probes(files: StudyFiles, notify: Notify) -> list[Candidate]:
    """List the study's finished probes, best first; unreadable ones are left out.

    Raises:
        StorageError: there are probes, but the competition's file is missing or damaged.
    """
    probes = [probe for folder in sorted(files.probes.glob("*/")) if (probe := _read_probe(files, folder, notify))]
    if not probes:
        return []
    sign = -1.0 if load_competition(files.competition).metric.greater_is_better else 1.0
    return sorted(probes, key=lambda probe: (sign * probe.score, probe.number))


def select_candidates(candidates: Sequence[Candidate], n_trials: int) -> list[Candidate]:
    """Select those that come from the first so many trials, and at most N_PROBES probes; best first in each part.

    Of the probes the best one of each backbone goes first: heads on the same features err alike.
    """
    trials = [candidate for candidate in candidates if candidate.member_kind != PROBE]
    numbers = list(dict.fromkeys(trial.number for trial in trials))[:n_trials]
    probes = [candidate for candidate in candidates if candidate.member_kind == PROBE]
    first_of = {probe.config.model.backbone: probe for probe in reversed(probes)}
    by_turn = sorted(probes, key=lambda probe: first_of[probe.config.model.backbone] is not probe)[:N_PROBES]
    kept = {probe.number for probe in by_turn}
    return [trial for trial in trials if trial.number in numbers] + [own for own in probes if own.number in kept]


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
            own = get_member_files(files, candidate.number, candidate.member_kind)
            member = read_member(candidate, own, competition=competition, folds=folds, refits=refits)
        except StorageError as error:
            notify(f"{candidate.title} is left out: {error.problem}")
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
    """Read the member that a complete trial or a finished probe left in its files.

    A searched one: what the search trained and, with refits, the further folds that were finished after it. A probe:
    its folds. Another: the folds that were trained for it alone, all of them.

    Raises:
        StorageError: files are missing, damaged, or not of this competition and split.
    """
    searched, probed = candidate.member_kind == SEARCH, candidate.member_kind == PROBE
    sources = [read_search_folds(files)] if searched or probed else []
    if not probed and (refits or not searched):
        sources += read_finished_folds(files.get_refit_files(REFIT if searched else candidate.member_kind), folds)
    if not (searched or probed) and len(sources) < folds.max() + 1:
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
        predicted = predictor.predict_views(get_model(member, fold), others, "train", member.rows[of_fold])
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
            raise _build_missing_error(member)
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


def _drop_repeated_configs(candidates: Sequence[Candidate], notify: Notify) -> list[Candidate]:
    """The first candidate of each config and way of training: a second one would add weight, not knowledge."""
    kept: dict[tuple[TrialConfig, str], Candidate] = {}
    for candidate in candidates:
        first = kept.setdefault((candidate.config, candidate.member_kind), candidate)
        if first is not candidate:
            notify(f"{candidate.title} is left out: it has the configuration of {first.title}")
    return list(kept.values())


def _restrict_to_common_rows(members: list[Member], notify: Notify) -> list[Member]:
    """Those members that can be compared on the same rows, restricted to these rows.

    The trials choose them; probes, which have predicted every row that is in a fold, are cut to them, and choose among
    themselves where there is no trial.
    """
    if len({member.rows.tobytes() for member in members}) == 1:
        return members
    rows = _choose_rows([member for member in members if not member.is_probe] or members)
    kept = _find_covering(rows, members)
    if others := [member for member in members if member not in kept]:
        left_out = f"{others[0].title} is left out: it has" if len(others) == 1 else _join_left_out(others)
        notify(f"{left_out} no prediction for some rows that the others share")
    notify(f"members are compared on the {len(rows)} rows that all of them have out of fold")
    return [member.select_rows(rows) for member in kept]


def _choose_rows(members: list[Member]) -> NDArray[np.int64]:
    """The rows on which members are compared.

    Where they predicted different rows, the choice with the most predictions (members times rows) is taken, and
    of equal ones that with more members. More than MAX_COUNTED_MEMBERS count as that many: so of 15 trials with
    one fold of five, three or more that were trained on all folds since go before all, while two would leave too little
    to choose from.
    """
    row_sets = list({member.rows.tobytes(): member.rows for member in members}.values())
    choices = row_sets if len(row_sets) == 1 else [*row_sets, reduce(np.intersect1d, row_sets)]

    def count(rows: NDArray[np.int64]) -> tuple[int, int]:
        n_members = len(_find_covering(rows, members))
        return len(rows) * min(n_members, MAX_COUNTED_MEMBERS), n_members

    return max(choices, key=count)


def _join_left_out(members: Sequence[Member]) -> str:
    probes = any(member.is_probe for member in members)
    names = [member.title if probes else member.name for member in members]
    return f"{'' if probes else 'trials '}{', '.join(names[:-1])} and {names[-1]} are left out: they have"


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


def get_model(member: Member, fold: int) -> TrainedFold:
    """Return a fold's network.

    Raises:
        StorageError: its weights are gone.
    """
    if fold not in member.models:
        raise _build_missing_error(member)
    return member.models[fold]


def _build_missing_error(member: Member) -> StorageError:
    error = build_missing_weights_error(member.missing_weights)
    return StorageError(error.problem, hint=PROBE_HINT) if member.is_probe else error


def _read_probe(files: StudyFiles, folder: Path, notify: Notify) -> Candidate | None:
    """The probe in a folder; None where it is not finished, or has none of its files."""
    number = int(folder.name) if folder.name.isdecimal() else -1
    own = files.get_probe_files(number)
    if own.root != folder or not own.result.exists():
        return None
    try:
        report = ProbeReport.from_json(read_json(own.result))
        if report.outcome != COMPLETED or report.score is None:
            return None
        config = TrialConfig.from_json(read_json(own.config))
    except (StorageError, UsageError, KeyError, TypeError) as error:
        reason = getattr(error, "problem", f"{own.result} cannot be understood: {error!r}")
        notify(f"{describe_member(number, PROBE)} is left out: {reason}")
        return None
    return Candidate(number=number, score=report.score, config=config, member_kind=PROBE)
