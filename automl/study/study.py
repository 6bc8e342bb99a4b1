"""Store a study in Optuna's SQLite file, with its terms, and resume its interrupted trials.

One process, the driver, writes it; everybody else opens it read-only.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import optuna
import sqlalchemy.exc
from optuna.trial import FrozenTrial, Trial, TrialState

from automl.artifacts import StudyFiles, remove_leftovers
from automl.errors import StorageError, UsageError
from automl.space import Space
from automl.study.lock import lock_study
from automl.study.probe_evidence import Prior, ProbeScore, build_prior, rank_probes
from automl.study.pruners import build_pruner
from automl.study.samplers import SeededQuestions, build_sampler
from automl.suggest import Suggest

if TYPE_CHECKING:
    import pandas

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
TERMS = "terms"  # user attribute of the study
PARAMS = "params_"  # what columns of parameters begin with, as in optuna.Study.trials_dataframe
SQLITE_TIMEOUT_S = 60.0  # how long a write waits for somebody else's lock on the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all trials of a study have in common; a study refuses to go on with other ones."""

    space: str
    space_fingerprint: str
    competition_fingerprint: str
    metric: str
    direction: str
    epochs: int
    train_folds: int
    seed: int


TERM_NAMES = {
    "space": "search space",
    "space_fingerprint": "search space (its choices, ranges, --fix or --choices)",
    "competition_fingerprint": "competition folder (its images, ids or labels)",
    "metric": "metric",
    "direction": "direction",
    "epochs": "number of epochs",
    "train_folds": "number of training folds",
    "seed": "seed",
}


class SearchStudy:
    """A study as its driver uses it: ask, report, tell, adopt.

    Attributes:
        optuna_study: the study itself; its sampler is seeded anew for each trial.
    """

    def __init__(self, optuna_study: optuna.Study, *, sampler: str = "tpe", seed: int = 0) -> None:
        self.optuna_study = optuna_study
        self._sampler = sampler
        self._seed = seed
        self._ranking: list[tuple[str, int]] = []
        self._prior: Prior = {}

    def set_probe_evidence(self, scores: Sequence[ProbeScore]) -> None:
        """Have the first trials take the backbones that probed best, and tpe draw from a prior that follows from them.

        It steers the trials that are asked for from now on; without scores all is as if nothing had been probed.
        """
        self._ranking = rank_probes(scores)
        self._prior = build_prior(scores)

    def ask(self, space: Space) -> Trial:
        """Start a new trial: the next of the space's first trials while they last, then the sampler's choice.

        The sampler is seeded by the trial's number, since a resumed process would otherwise draw again what the
        process before it drew.
        """
        trials = self.optuna_study.get_trials(deepcopy=False)
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        proposals = space.list_proposals(self._ranking) if len(trials) < 64 else []
        if not waiting and len(trials) < len(proposals):
            self.optuna_study.enqueue_trial(proposals[len(trials)])
        self._seed_sampler(len(trials))
        return self.optuna_study.ask()

    def list_running(self) -> list[Trial]:
        """Return the trials that an earlier process left unfinished, in the order of their numbers, fit to go on."""
        frozen = self.optuna_study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [self._adopt(trial) for trial in frozen]

    def seed_questions(self, trial: Trial) -> Suggest:
        """Return the trial that answers a space's questions; each answer is seeded by trial number and question.

        So a trial that was cut short between two questions gets the answers that it would have got.
        """
        return SeededQuestions(trial, lambda question: self._seed_sampler(trial.number, question))

    def report(self, trial: Trial, step: int, value: float) -> bool:
        """Record a step's value once; return whether the pruner would stop the trial there, False for a known step."""
        if step in self.get_frozen_trial(trial).intermediate_values:
            return False
        trial.report(value, step)
        return bool(trial.should_prune())

    def tell(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        """End a trial; ending it twice in the same way does no harm."""
        self.optuna_study.tell(trial, value, state=state, skip_if_finished=True)

    def get_frozen_trial(self, trial: Trial) -> FrozenTrial:
        """Return the trial as the study holds it."""
        frozen: FrozenTrial = self.optuna_study._storage.get_trial(trial._trial_id)
        return frozen

    def count_trials(self, *states: TrialState) -> int:
        """Return how many trials are in one of the states."""
        return len(self.optuna_study.get_trials(deepcopy=False, states=states))

    def compute_median_seconds(self) -> float:
        """Return the median seconds of a complete trial; 0 where none is complete."""
        complete = self.optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        seconds = [float(trial.user_attrs.get("seconds", 0.0)) for trial in complete]
        return statistics.median(seconds) if seconds else 0.0

    def _adopt(self, frozen: FrozenTrial) -> Trial:
        # `ask` returns just this object for a new trial; Optuna has no public way to get it for a running one.
        return Trial(self.optuna_study, frozen._trial_id)

    def _seed_sampler(self, number: int, question: str = "") -> None:
        self.optuna_study.sampler = build_sampler(
            self._sampler, study_seed=self._seed, trial_number=number, question=question, prior=self._prior
        )


@contextlib.contextmanager
def open_study(files: StudyFiles, terms: Terms, *, sampler: str = "tpe", pruner: str = "rank") -> Iterator[SearchStudy]:
    """Open the study in its folder, made there if it is new, and locked against a second driver.

    Raises:
        StudyInUseError: another process has it.
        UsageError: it was begun with other terms.
        StorageError: its file is damaged, of another version, or missing beside the trials that it should hold; or it
            cannot be written, also later on.
    """
    build_sampler(sampler, study_seed=0, trial_number=0)
    chosen_pruner = build_pruner(pruner, epochs=terms.epochs)
    with (
        lock_study(files),
        create_optuna_study(files, files.root.name, direction=terms.direction, pruner=chosen_pruner) as optuna_study,
    ):
        _check_terms(optuna_study, terms, files)
        _name_metric(optuna_study, terms.metric)
        yield SearchStudy(optuna_study, sampler=sampler, seed=terms.seed)


@contextlib.contextmanager
def create_optuna_study(
    files: StudyFiles, name: str, *, direction: str, pruner: optuna.pruners.BasePruner | None = None
) -> Iterator[optuna.Study]:
    """Open one of the studies in the file of a study's folder, made if it is new; the caller holds the study's lock.

    Raises:
        StorageError: the file is damaged, of another version, or missing beside the trials that it should hold; or it
            cannot be written, also later on.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _convert_storage_errors(files):
        _check_file(files)
        remove_leftovers(files)
        yield optuna.create_study(
            study_name=name,
            storage=_open_storage(f"sqlite:///{files.study_db}"),
            direction=optuna.study.StudyDirection[direction.upper()],
            pruner=pruner,
            load_if_exists=True,
        )


def read_study(files: StudyFiles) -> optuna.Study:
    """Open the study read-only.

    Raises:
        UsageError: there is none.
        StorageError: its file is damaged.
    """
    if not files.study_db.exists():
        raise UsageError(
            f"there is no study in {files.root}", hint="begin one with automl search, or name it with --study"
        )
    try:
        return load_optuna_study(files, files.root.name)
    except KeyError as error:  # Optuna's, of a study that is not in the file
        raise UsageError(
            f"study '{files.root.name}' holds probes alone",
            hint="go on with automl search, or see them with automl probe",
        ) from error


def load_optuna_study(files: StudyFiles, name: str) -> optuna.Study:
    """Open one of the studies in the file of a study's folder, read-only.

    Raises:
        KeyError: the file holds no study of that name.
        StorageError: it is damaged.
    """
    _check_file(files)
    storage = _open_storage(f"sqlite:///file:{files.study_db}?mode=ro&uri=true")
    return optuna.load_study(study_name=name, storage=storage)


def read_terms(optuna_study: optuna.Study) -> Terms:
    """Return the terms that a study was begun with."""
    return Terms(**optuna_study.user_attrs[TERMS])


def select_best_trials(optuna_study: optuna.Study, k: int | None = None) -> list[FrozenTrial]:
    """Return the k best complete trials (all for None), best first; equal ones in the order of their numbers."""
    complete = optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = -1.0 if optuna_study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    ranked = sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))
    return ranked[:k]


def build_trials_table(trials: Sequence[FrozenTrial]) -> pandas.DataFrame:
    """Return a table with a row for each trial and a column `params_<name>` for each parameter of any of them.

    Beside these: number, state, score (NaN before a trial is complete), epochs, seconds and device. A parameter that
    a trial does not have is pandas.NA; values are as they were suggested, in columns of objects.
    """
    import pandas as pd  # here, because the driver of a search does without

    names = dict.fromkeys(name for trial in trials for name in trial.params)
    columns = {
        "number": pd.Series([trial.number for trial in trials], dtype="int64"),
        "state": pd.Series([trial.state.name.lower() for trial in trials], dtype=object),
        "score": pd.Series([trial.value for trial in trials], dtype="float64"),
        "epochs": pd.Series([len(trial.intermediate_values) for trial in trials], dtype="int64"),
        "seconds": pd.Series([_measure_seconds(trial) for trial in trials], dtype="float64"),
        "device": pd.Series([trial.user_attrs.get("device") for trial in trials], dtype=object),
    }
    params = {
        f"{PARAMS}{name}": pd.Series([trial.params.get(name, pd.NA) for trial in trials], dtype=object)
        for name in names
    }
    return pd.DataFrame(columns | params)


def _measure_seconds(trial: FrozenTrial) -> float:
    """Return how long a trial has trained; where it is not recorded, since it was begun."""
    if "seconds" in trial.user_attrs:
        return float(trial.user_attrs["seconds"])
    duration = (trial.datetime_complete or datetime.now()) - (trial.datetime_start or datetime.now())
    return duration.total_seconds()


@contextlib.contextmanager
def _convert_storage_errors(files: StudyFiles) -> Iterator[None]:
    """Convert SQLite's errors, however Optuna and SQLAlchemy have wrapped them, to one line."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        cause: BaseException = error
        while not isinstance(cause, sqlite3.Error) and cause.__context__ is not None:
            cause = cause.__context__
        raise StorageError(
            f"{files.study_db} cannot be written: {cause}",
            hint="free some space, or end what locks the file, then run the same command again: nothing is lost",
        ) from error


def _open_storage(url: str) -> optuna.storages.RDBStorage:
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": SQLITE_TIMEOUT_S}})
    except RuntimeError as error:  # its tables are of another version
        raise StorageError(
            f"{url.removeprefix('sqlite:///')} is not of this version: {str(error).splitlines()[0]}",
            hint="copy it, then run optuna storage upgrade --storage sqlite:///FILE, or use the optuna that wrote it",
        ) from error


def _check_file(files: StudyFiles) -> None:
    path = files.study_db
    if not path.exists():
        if files.trials.exists():
            raise StorageError(
                f"{path} is missing, but {files.trials} holds trials",
                hint="restore the file from a backup, or begin another study with --study",
            )
        return
    try:
        # Not read-only: after a kill in the middle of a commit, the first to look has to undo that commit.
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=SQLITE_TIMEOUT_S)) as db:
            (verdict,) = db.execute("PRAGMA quick_check").fetchone()
            has_studies = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'studies'").fetchone()[0]
    except sqlite3.DatabaseError as error:
        verdict, has_studies = str(error), True
    # A file without tables is what a kill during the very first second leaves: whole, if no trial exists yet.
    if verdict != "ok" or (not has_studies and files.trials.exists()):
        reason = verdict if verdict != "ok" else "it has no tables"
        raise StorageError(
            f"{path} is damaged: {reason}",
            hint="restore the file from a backup, or begin another study with --study",
        )


def _check_terms(optuna_study: optuna.Study, terms: Terms, files: StudyFiles) -> None:
    begun = optuna_study.user_attrs.get(TERMS)
    if begun is None:
        optuna_study.set_user_attr(TERMS, asdict(terms))
        return
    now = json.loads(json.dumps(asdict(terms)))
    different = [name for name in now if now[name] != begun.get(name)]
    if different:
        raise UsageError(
            f"study '{files.root.name}' was begun with another {_describe_difference(different[0], begun, now)}",
            hint="give the same flags as before to go on with it, or begin another with --study",
        )


def _name_metric(optuna_study: optuna.Study, metric: str) -> None:
    """Have the dashboard write the metric's name on its axes."""
    if optuna_study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna_study.set_metric_names([metric])


def _describe_difference(name: str, begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    words = TERM_NAMES[name]
    return words if name.endswith("fingerprint") else f"{words}: {begun.get(name)}, not {now[name]}"
