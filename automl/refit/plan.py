"""Choose the trials that a refit trains: once, kept in the study's folder, and resumed until done.

The choice is that of an ensemble on the search's own out-of-fold predictions, so it does not depend on what a refit has
trained already. Probes are members of that ensemble as well, but all of their folds are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from automl.artifacts import StudyFiles, TrialFiles, read_json, write_json
from automl.config import TrialConfig
from automl.data.changed import find_changed_images
from automl.data.competition import Competition, load_competition
from automl.data.folds import N_FOLDS, load_folds
from automl.ensemble.candidates import (
    Candidate,
    Member,
    list_probes,
    read_member,
    read_members,
    select_candidates,
)
from automl.ensemble.selection import select_members
from automl.errors import (
    DataError,
    Notify,
    NoUsableModelError,
    StorageError,
    UnfitEnvironmentError,
    UsageError,
    join_names,
)
from automl.refit.refit_loop import REFIT, FoldJob
from automl.search.run_search import read_soft_target_report
from automl.study.study import Terms, read_study, read_terms, select_best_trials
from automl.training.refit_fold import delete_fold, has_weights, load_valid_fold
from automl.training.trial_job import TrialJob


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitSelection:
    """The trials to refit: by number, or up to `top` that an ensemble of the best `n_pool` would choose now."""

    top: int
    n_pool: int
    numbers: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        if self.numbers is not None:
            return {"trials": sorted(self.numbers)}
        return {"top": self.top, "pool": self.n_pool}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitPlan:
    """The trials whose folds are trained.

    Attributes:
        selection: the flags, as their to_json has them.
        numbers: of the trials, the heaviest in the ensemble first; none where it would be of probes alone.
        n_complete: trials that there were to choose from.
        finished: whether every fold has been trained, or was found impossible to train.
    """

    selection: dict[str, Any]
    numbers: tuple[int, ...]
    n_complete: int
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteTrials:
    """A study's complete trials, and what they were trained on; none of it changes any more.

    Attributes:
        folds: (n,) of each training image.
        complete: best first.
    """

    files: StudyFiles
    competition: Competition
    folds: NDArray[np.int64]
    terms: Terms
    study: optuna.Study
    complete: Sequence[FrozenTrial]

    @classmethod
    def from_study(cls, files: StudyFiles) -> CompleteTrials:
        """Read those of the study in its folder.

        Raises:
            UsageError: there is no study, or its competition is another one now.
            DataError: training images are others now.
            NoUsableModelError: no trial is complete, and no probe finished.
            StorageError: a file is missing or damaged.
        """
        study = read_study(files)
        complete = select_best_trials(study)
        if not complete and not any(files.probes.glob("*/result.json")):
            raise NoUsableModelError(
                f"no trial of study '{files.root.name}' is complete", hint="see with automl status why, then search on"
            )
        terms, competition = read_terms(study), load_competition(files.competition)
        if competition.fingerprint != terms.competition_fingerprint:
            raise UsageError(
                f"{files.competition} is of another competition than study '{files.root.name}' was begun with",
                hint="restore the file, or run the search's command again, which writes it",
            )
        folds = load_folds(files.folds, competition)
        _require_same_images(files, competition)
        return cls(files=files, competition=competition, folds=folds, terms=terms, study=study, complete=complete)

    def get_trial(self, number: int) -> FrozenTrial:
        """Return the complete trial with that number."""
        return next(trial for trial in self.complete if trial.number == number)

    def read_config(self, number: int) -> TrialConfig:
        """Read a trial's configuration, with the image sizes that it was trained at.

        Raises:
            StorageError: its file is missing or damaged.
        """
        return TrialConfig.from_json(read_json(self.files.get_trial_files(number).config))

    def read_member(self, number: int, member_kind: str = "search", *, refits: bool = True) -> Member:
        """Read a trial's predictions and models by now; without refits, what the search alone has left.

        Raises:
            StorageError: its files are missing, damaged, or of another split.
        """
        return read_member(
            self.build_candidate(number, member_kind),
            self.files.get_trial_files(number),
            competition=self.competition,
            folds=self.folds,
            refits=refits,
        )

    def build_candidate(self, number: int, member_kind: str = "search") -> Candidate:
        """Build the candidate of a trial that may become a member.

        Raises:
            StorageError: its configuration is missing or damaged.
        """
        score = self.get_trial(number).value or 0.0
        return Candidate(number=number, score=score, config=self.read_config(number), member_kind=member_kind)


def choose_plan(trials: CompleteTrials, selection: RefitSelection, *, notify: Notify) -> RefitPlan:
    """Return the plan that was begun for the same flags, or else a new one; its trials are fit to be members.

    A plan that is not finished is gone on with, even if the search has completed more trials since; once it is, the
    same flags choose among all that are complete by then.

    Raises:
        UsageError: a trial that was named is not complete.
        NoUsableModelError: no trial has usable predictions.
        StorageError: those of a trial are missing, damaged, or of other folds.
    """
    plan = _resume_plan(trials, selection, notify) or _begin_plan(trials, selection, notify)
    for number in plan.numbers:
        trials.read_member(number, refits=False)
    return plan


def write_plan(files: StudyFiles, plan: RefitPlan, **outcome: Any) -> None:
    """Write the plan and its outcome; until that is known, what soft targets gained before."""
    document = {
        "lines": read_soft_target_report(files),
        "asked": plan.selection,
        "trials": list(plan.numbers),
        "n_complete": plan.n_complete,
        "finished": plan.finished,
    }
    write_json(files.refit, document | outcome)


def format_trials(numbers: Sequence[int]) -> str:
    """Return "trial 3" or "trials 3, 7"."""
    return f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {', '.join(map(str, numbers))}"


def _require_same_images(files: StudyFiles, competition: Competition) -> None:
    """A trial's folds are one model only as long as all are trained on the same images."""
    changed = find_changed_images(competition, "train", files.train_sizes)
    if changed:
        raise DataError(
            f"{len(changed)} of {len(competition.image_ids)} training images changed since the search: "
            f"{join_names(changed)}",
            hint="restore them, or begin another study with --study",
        )


def _resume_plan(trials: CompleteTrials, selection: RefitSelection, notify: Notify) -> RefitPlan | None:
    kept = _read_plan(trials.files)
    if kept is None or kept.finished or not kept.numbers or kept.selection != selection.to_json():
        return None
    _require_complete(trials, kept.numbers)
    notify(f"going on with the refit of {format_trials(kept.numbers)}")
    if len(trials.complete) > kept.n_complete:
        notify("more trials are complete since these were chosen; once these are done, a refit considers them too")
    return kept


def _begin_plan(trials: CompleteTrials, selection: RefitSelection, notify: Notify) -> RefitPlan:
    n_complete = len(trials.complete)
    if selection.numbers is not None:
        _require_complete(trials, selection.numbers)
        numbers = tuple(dict.fromkeys(selection.numbers))
    else:
        numbers = _choose_trials(trials, selection, notify)
        notify(_describe_choice(numbers, n_complete))
    return RefitPlan(selection=selection.to_json(), numbers=numbers, n_complete=n_complete)


def _describe_choice(numbers: Sequence[int], n_complete: int) -> str:
    if not numbers:
        return "an ensemble would take probes alone, and all folds of these are there: nothing is to be trained"
    verb = "is" if len(numbers) == 1 else "are"
    return f"{format_trials(numbers)} {verb} what an ensemble would take of {n_complete} complete trials"


def _read_plan(files: StudyFiles) -> RefitPlan | None:
    """Read the plan in the study's folder; None where none can be read, as it can be made again."""
    if not files.refit.exists():
        return None
    try:
        document = read_json(files.refit)
        return RefitPlan(
            selection=dict(document["asked"]),
            numbers=tuple(int(number) for number in document["trials"]),
            n_complete=int(document["n_complete"]),
            finished=bool(document["finished"]),
        )
    except (StorageError, KeyError, TypeError, ValueError):
        return None


def _choose_trials(trials: CompleteTrials, selection: RefitSelection, notify: Notify) -> tuple[int, ...]:
    """Return the trials that an ensemble of the pool would take, by their predictions for the search's own folds.

    Probes take part in the choice, as they do in an ensemble's.
    """
    candidates = []
    for trial in trials.complete[: max(selection.n_pool, selection.top)]:
        try:
            candidates.append(trials.build_candidate(trial.number))
        except StorageError as error:
            notify(f"trial {trial.number} is left out: {error.problem}")
    best = select_candidates([*candidates, *list_probes(trials.files, notify)], len(candidates))
    pool = read_members(best, trials.files, trials.competition, trials.folds, notify=notify, refits=False)
    chosen = select_members(pool, trials.competition, selection.top)
    return tuple(member.number for member in chosen if not member.is_probe)


def _require_complete(trials: CompleteTrials, numbers: Sequence[int]) -> None:
    states = {trial.number: trial.state for trial in trials.study.get_trials(deepcopy=False)}
    for number in numbers:
        if states.get(number) == TrialState.COMPLETE:
            continue
        name = trials.files.root.name
        state = f"is {states[number].name}, not COMPLETE" if number in states else "does not exist"
        best = ", ".join(str(trial.number) for trial in trials.complete[:5])
        raise UsageError(f"trial {number} of study '{name}' {state}", hint=f"name complete trials, such as {best}")


def list_missing_folds(trials: CompleteTrials, number: int, refit_kind: str) -> list[int]:
    """Return the trial's folds of that kind that are not there, or of which a part is missing or cut short."""
    own = trials.files.get_trial_files(number)
    refitted = own.get_refit_files(refit_kind)
    searched = trials.terms.train_folds if refit_kind == REFIT else 0
    return [
        fold
        for fold in range(N_FOLDS)
        if not (fold < searched and has_weights(own, fold)) and load_valid_fold(refitted, fold) is None
    ]


def find_unknown_origins(trials: CompleteTrials, jobs: Sequence[FoldJob]) -> list[int]:
    """Return the trials of these folds of which an older search did not write down what they began with."""
    numbers = dict.fromkeys(fold.number for fold in jobs)
    return [number for number in numbers if not trials.files.get_trial_files(number).origin.exists()]


def build_fold_jobs(
    trials: CompleteTrials,
    number: int,
    refit_kind: str,
    *,
    soft_targets: Path | None,
    weights_dir: Path | None,
    cache_gb: float | None = None,
) -> Iterator[FoldJob]:
    """Yield a job for each of the trial's missing folds.

    Args:
        weights_dir: of pretrained weights, instead of the folder that the search had.

    Raises:
        UnfitEnvironmentError: the folder of pretrained weights is gone.
        UsageError: the trial whose weights it began with is gone.
        StorageError: the trial's files are damaged.
    """
    files, config = trials.files.get_trial_files(number), trials.read_config(number)
    if soft_targets is not None:
        _discard_other_targets(files.get_refit_files(refit_kind), soft_targets)
    seconds = float(trials.get_trial(number).user_attrs.get("seconds", 0.0))
    for fold in list_missing_folds(trials, number, refit_kind):
        if refit_kind == REFIT:
            # Cut short if there at all; as long as it is there, the ensemble takes it for the fold's.
            files.get_weights_path(fold).unlink(missing_ok=True)
        origin_weights_dir, init_from = _read_origin(files, number, config, weights_dir)
        job = TrialJob(
            trial=number,
            study_dir=trials.files.root,
            config=config,
            seed=trials.terms.seed,
            fold=fold,
            refit_kind=refit_kind,
            soft_targets=soft_targets,
            weights_dir=origin_weights_dir,
            cache_gb=cache_gb,
            init_from=init_from,
        )
        yield FoldJob(number=number, fold=fold, job=job, expected_s=seconds / trials.terms.train_folds)


def _discard_other_targets(files: TrialFiles, soft_targets: Path) -> None:
    """Delete what was trained on other soft targets."""
    origin = {"lesson": soft_targets.name}
    with suppress(StorageError):  # missing or damaged: unknown targets
        if read_json(files.origin) == origin:
            return
    for fold in range(N_FOLDS):
        delete_fold(files, fold)
    write_json(files.origin, origin)


def _read_origin(
    files: TrialFiles, number: int, config: TrialConfig, weights_dir: Path | None
) -> tuple[Path | None, Path | None]:
    """Return what the trial began with: weights_dir and init_from of a `TrialJob`."""
    origin = read_json(files.origin) if files.origin.exists() else {}
    if not isinstance(origin, dict):
        raise StorageError(f"{files.origin} is damaged: it holds no object", hint="restore the file, or remove it")
    init_from, own = origin.get("init_from"), origin.get("weights_dir")
    if init_from is not None and not Path(init_from).is_dir():
        raise UsageError(
            f"trial {number} began with the weights of {init_from}, which is gone",
            hint="restore that folder, or name other trials with --trials",
        )
    folder = own if weights_dir is None else str(weights_dir)
    if config.model.pretrained and folder is not None and not Path(folder).is_dir():
        raise UnfitEnvironmentError(
            f"trial {number} began with pretrained weights in {folder}, which is gone",
            hint="say with --weights where they are now",
        )
    return None if folder is None else Path(folder), None if init_from is None else Path(init_from)
