"""Which trials a refit trains, and why these: chosen once, kept in the study's folder, gone on with until done.

The choice is that of an ensemble on what the search itself said out of fold, so it does not depend on what a refit has
trained already. Not responsible for: training (automl.refit.run_refit).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from automl.data.changed import changed_images
from automl.data.competition import Competition, load_competition
from automl.data.folds import N_FOLDS, load_folds
from automl.ensemble.candidates import Candidate, Member, read_member, read_pool
from automl.ensemble.selection import chosen_members
from automl.errors import DataError, NoUsableModelError, StorageError, UnfitEnvironmentError, UsageError, listed
from automl.refit.refit_loop import PLAIN, WantedFold
from automl.search.run_search import told_of_lessons
from automl.study.study import Terms, best_trials, read_study, terms_of
from automl.training.refit_fold import forget_fold, has_weights, whole_fold

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked: trials by number, or up to `top` that an ensemble of the best `n_pool` would choose now."""

    top: int
    n_pool: int
    numbers: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        if self.numbers is not None:
            return {"trials": sorted(self.numbers)}
        return {"top": self.top, "pool": self.n_pool}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The trials whose folds are trained.

    Attributes:
        wanted: what was asked, as its to_json has it.
        numbers: of the trials, the heaviest in the ensemble first.
        n_complete: trials that there were to choose from.
        finished: whether every fold has been trained, or was found impossible to train.
    """

    wanted: dict[str, Any]
    numbers: tuple[int, ...]
    n_complete: int
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTrials:
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
    def of(cls, files: StudyFiles) -> EndedTrials:
        """Those of the study in its folder.

        Raises:
            UsageError: there is no study, or its competition is another one now.
            DataError: training images are others now.
            NoUsableModelError: no trial is complete.
            StorageError: a file is missing or damaged.
        """
        study = read_study(files)
        complete = best_trials(study)
        if not complete:
            raise NoUsableModelError(
                f"no trial of study '{files.root.name}' is complete", hint="see with automl status why, then search on"
            )
        terms, competition = terms_of(study), load_competition(files.competition)
        if competition.fingerprint != terms.competition_fingerprint:
            raise UsageError(
                f"{files.competition} is of another competition than study '{files.root.name}' was begun with",
                hint="restore the file, or run the search's command again, which writes it",
            )
        folds = load_folds(files.folds, competition)
        _require_same_images(files, competition)
        return cls(files=files, competition=competition, folds=folds, terms=terms, study=study, complete=complete)

    def trial(self, number: int) -> FrozenTrial:
        """The complete trial with that number."""
        return next(trial for trial in self.complete if trial.number == number)

    def config(self, number: int) -> TrialConfig:
        """With the image sizes that the trial was trained at.

        Raises:
            StorageError: its file is missing or damaged.
        """
        return TrialConfig.from_json(read_json(self.files.trial(number).config))

    def member(self, number: int, kind: str = "search", *, refits: bool = True) -> Member:
        """What is known of a trial by now; without refits, what the search alone has left of it.

        Raises:
            StorageError: its files are missing, damaged, or of another split.
        """
        return read_member(
            self.candidate(number, kind),
            self.files.trial(number),
            competition=self.competition,
            folds=self.folds,
            refits=refits,
        )

    def candidate(self, number: int, kind: str = "search") -> Candidate:
        """A trial that may become a member.

        Raises:
            StorageError: its configuration is missing or damaged.
        """
        score = self.trial(number).value or 0.0
        return Candidate(number=number, score=score, config=self.config(number), kind=kind)


def planned(ended: EndedTrials, wanted: Wanted, *, note: Note) -> Plan:
    """The plan that was begun for the same flags, or else a new one; its trials are fit to be members.

    A plan that is not finished is gone on with, even if the search has completed more trials since; once it is, the
    same flags choose among all that are complete by then.

    Raises:
        UsageError: a trial that was named is not complete.
        NoUsableModelError: no trial has usable predictions.
        StorageError: those of a trial are missing, damaged, or of other folds.
    """
    plan = _resumed(ended, wanted, note) or _begun(ended, wanted, note)
    for number in plan.numbers:
        ended.member(number, refits=False)
    return plan


def write_plan(files: StudyFiles, plan: Plan, **outcome: Any) -> None:
    """Keep the plan, and beside it what came of it; until that is known, what lessons gained before."""
    document = {
        "lines": told_of_lessons(files),
        "asked": plan.wanted,
        "trials": list(plan.numbers),
        "n_complete": plan.n_complete,
        "finished": plan.finished,
    }
    write_json(files.refit, document | outcome)


def named(numbers: Sequence[int]) -> str:
    """Trials in words."""
    return f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {', '.join(map(str, numbers))}"


def _require_same_images(files: StudyFiles, competition: Competition) -> None:
    """A trial's folds are one model only as long as all are trained on the same images."""
    changed = changed_images(competition, "train", files.train_sizes)
    if changed:
        raise DataError(
            f"{len(changed)} of {len(competition.image_ids)} training images changed since the search: "
            f"{listed(changed)}",
            hint="restore them, or begin another study with --study",
        )


def _resumed(ended: EndedTrials, wanted: Wanted, note: Note) -> Plan | None:
    kept = _kept_plan(ended.files)
    if kept is None or kept.finished or kept.wanted != wanted.to_json():
        return None
    _require_complete(ended, kept.numbers)
    note(f"going on with the refit of {named(kept.numbers)}")
    if len(ended.complete) > kept.n_complete:
        note("more trials are complete since these were chosen; once these are done, a refit considers them too")
    return kept


def _begun(ended: EndedTrials, wanted: Wanted, note: Note) -> Plan:
    n_complete = len(ended.complete)
    if wanted.numbers is not None:
        _require_complete(ended, wanted.numbers)
        numbers = tuple(dict.fromkeys(wanted.numbers))
    else:
        numbers = _chosen(ended, wanted, note)
        verb = "is" if len(numbers) == 1 else "are"
        note(f"{named(numbers)} {verb} what an ensemble would take of {n_complete} complete trials")
    return Plan(wanted=wanted.to_json(), numbers=numbers, n_complete=n_complete)


def _kept_plan(files: StudyFiles) -> Plan | None:
    """The plan in the study's folder; None where there is none, or none that can be read, as it can be made again."""
    if not files.refit.exists():
        return None
    try:
        document = read_json(files.refit)
        return Plan(
            wanted=dict(document["asked"]),
            numbers=tuple(int(number) for number in document["trials"]),
            n_complete=int(document["n_complete"]),
            finished=bool(document["finished"]),
        )
    except (StorageError, KeyError, TypeError, ValueError):
        return None


def _chosen(ended: EndedTrials, wanted: Wanted, note: Note) -> tuple[int, ...]:
    """The trials that an ensemble of the pool would take, by what the search said of its own folds."""
    candidates = []
    for trial in ended.complete[: max(wanted.n_pool, wanted.top)]:
        try:
            candidates.append(ended.candidate(trial.number))
        except StorageError as error:
            note(f"trial {trial.number} is left out: {error.problem}")
    pool = read_pool(candidates, ended.files, ended.competition, ended.folds, note=note, refits=False)
    return tuple(member.number for member in chosen_members(pool, ended.competition, wanted.top))


def _require_complete(ended: EndedTrials, numbers: Sequence[int]) -> None:
    states = {trial.number: trial.state for trial in ended.study.get_trials(deepcopy=False)}
    for number in numbers:
        if states.get(number) == TrialState.COMPLETE:
            continue
        name = ended.files.root.name
        state = f"is {states[number].name}, not COMPLETE" if number in states else "does not exist"
        best = ", ".join(str(trial.number) for trial in ended.complete[:5])
        raise UsageError(f"trial {number} of study '{name}' {state}", hint=f"name complete trials, such as {best}")


def missing_folds(ended: EndedTrials, number: int, kind: str) -> list[int]:
    """The trial's folds of that kind that are not there, or of which a part is missing or cut short."""
    own = ended.files.trial(number)
    searched = ended.terms.train_folds if kind == PLAIN else 0
    return [
        fold
        for fold in range(N_FOLDS)
        if not (fold < searched and has_weights(own, fold)) and whole_fold(own.retrained(kind), fold) is None
    ]


def of_unknown_origin(ended: EndedTrials, wanted: Sequence[WantedFold]) -> list[int]:
    """The trials of wanted folds of which an older search did not write down what they began with."""
    numbers = dict.fromkeys(fold.number for fold in wanted)
    return [number for number in numbers if not ended.files.trial(number).origin.exists()]


def wanted_folds(
    ended: EndedTrials, number: int, kind: str, *, lesson: Path | None, weights_dir: Path | None
) -> Iterator[WantedFold]:
    """The trial's missing folds, to be trained.

    Args:
        weights_dir: of pretrained weights, instead of the folder that the search had.

    Raises:
        UnfitEnvironmentError: the folder of pretrained weights is gone.
        UsageError: the trial whose weights it began with is gone.
        StorageError: the trial's files are damaged.
    """
    files, config = ended.files.trial(number), ended.config(number)
    if lesson is not None:
        _begin_lesson(files.retrained(kind), lesson)
    seconds = float(ended.trial(number).user_attrs.get("seconds", 0.0))
    for fold in missing_folds(ended, number, kind):
        if kind == PLAIN:
            # Cut short if there at all; as long as it is there, the ensemble takes it for the fold's.
            files.weights(fold).unlink(missing_ok=True)
        payload = {
            "trial": number,
            "study_dir": str(ended.files.root),
            "config": config.to_json(),
            "seed": ended.terms.seed,
            "fold": fold,
            "kind": kind,
            "lesson": None if lesson is None else str(lesson),
            **_origin(files, number, config, weights_dir),
        }
        yield WantedFold(number=number, fold=fold, payload=payload, expected_s=seconds / ended.terms.train_folds)


def _begin_lesson(files: TrialFiles, lesson: Path) -> None:
    """Forget what was trained with another lesson."""
    origin = {"lesson": lesson.name}
    with suppress(StorageError):  # missing or damaged: nobody knows what the folds were taught
        if read_json(files.origin) == origin:
            return
    for fold in range(N_FOLDS):
        forget_fold(files, fold)
    write_json(files.origin, origin)


def _origin(files: TrialFiles, number: int, config: TrialConfig, weights_dir: Path | None) -> dict[str, str | None]:
    """What the trial began with: weights_dir and init_from of a payload."""
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
    return {"weights_dir": folder, "init_from": init_from}
