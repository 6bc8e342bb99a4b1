"""Keep a current submission from the first probe on, and replace it only by one that scores better out of fold.

What it is made of, and its score, stand in current_submission.json. Not the ensemble, which ends a search: plain means
of a few probes and trials, in no time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import TrialState

from automl.artifacts import Arrays, StudyFiles, TrialFiles, read_arrays, read_json, write_bytes, write_json
from automl.config import TrialConfig
from automl.data.competition import Competition
from automl.decisions.bootstrap import bootstrap_scores
from automl.ensemble.ensemble_recipe import describe_member
from automl.errors import StorageError
from automl.study.study import read_study, read_terms, select_best_trials
from automl.submission.decide import is_decided_by_fitted_rule, match_training_frequencies
from automl.submission.write import write_submission
from automl.training.trial_job import TrialJob

if TYPE_CHECKING:
    from automl.ensemble.ensemble_result import EnsembleResult

ENSEMBLE = "ensemble"  # in place of members, once an ensemble was written
SET_ASIDE = "submission-ensemble.csv"
N_PROBES = 3  # that a mean is made of at most


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSummary:
    """The current submission.

    Attributes:
        members: names such as "probe 2" and "trial 7", whose plain mean it is.
        score: out of fold, on n_rows rows that all that was compared have.
        score_error: its standard error, by a bootstrap.
    """

    members: tuple[str, ...]
    score: float
    score_error: float
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    """What a probe or a trial predicted: (n_oof, n_classes) of some rows; of the test images in its files."""

    files: TrialFiles
    oof: Arrays

    def select(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The probabilities of those rows, all of which it has."""
        order = np.argsort(self.oof["rows"])
        return self.oof["probs"][order[np.searchsorted(self.oof["rows"], rows, sorter=order)]]


class CurrentSubmission:
    """Writes the submission of the best mean of probes and trials.

    Args:
        top: how many trials a mean has at most.
    """

    def __init__(self, files: StudyFiles, competition: Competition, *, top: int) -> None:
        self._files, self._competition, self._top = files, competition, top
        self._compared: tuple[tuple[str, ...], ...] = ()

    def update(self, probes: Sequence[int], trials: Sequence[int]) -> SubmissionSummary | None:
        """Write a submission if one is better than that which stands; return what has been written, or None.

        Nothing is written where there are no test images.

        Args:
            probes: numbers of completed probes, best first.
            trials: numbers of complete trials, best first.

        Raises:
            StorageError: the disk is full.
        """
        options = _list_options(
            [f"probe {number}" for number in probes], [f"trial {number}" for number in trials], self._top
        )
        if options == self._compared or not self._competition.has_test_images:
            return None
        self._compared = options
        before = None
        if self._files.submission.exists():
            before = read_summary(self._files) or _read_ensemble(self._files)
        compared = [*options, *([before.members] if before is not None else [])]
        sources = self._read_sources({name for option in compared for name in option})
        usable = [option for option in options if all(name in sources for name in option)]
        if not usable:
            return None
        if before is not None and all(name in sources for name in before.members):
            usable.insert(0, before.members)  # the first of equally good ones is taken
        rows = reduce(np.intersect1d, [source.oof["rows"] for source in sources.values()])
        scores = [self._score(_average(sources, option, rows), rows) for option in usable]
        sign = -1.0 if self._competition.metric.greater_is_better else 1.0
        for number in sorted(range(len(usable)), key=lambda number: sign * scores[number]):
            members, score = usable[number], scores[number]
            if before is not None and (members == before.members or self._is_worse(score, before, sources)):
                return None
            if (test := _average_test(sources, members)) is not None:
                return self._write(members, test, _average(sources, members, rows), rows, score)
        return None

    def score_again(self, summary: SubmissionSummary, others: Sequence[str]) -> float | None:
        """Return the score of what stands on the rows that it shares with all others; None where files are gone."""
        sources = self._read_sources({*summary.members, *others})
        if not all(name in sources for name in (*summary.members, *others)):
            return None
        rows = reduce(np.intersect1d, [source.oof["rows"] for source in sources.values()])
        return self._score(_average(sources, summary.members, rows), rows)

    def _write(
        self,
        members: tuple[str, ...],
        test: NDArray[Any],
        oof: NDArray[Any],
        rows: NDArray[np.int64],
        score: float,
    ) -> SubmissionSummary:
        competition = self._competition
        rule = match_training_frequencies(competition, oof) if is_decided_by_fitted_rule(competition) else None
        summary = SubmissionSummary(
            members=members, score=score, score_error=self._estimate_error(oof, rows), n_rows=len(rows)
        )
        write_submission(competition, test, self._files.submission, rule)
        write_summary(self._files, summary)
        return summary

    def _is_worse(self, score: float, before: SubmissionSummary, sources: dict[str, _Source]) -> bool:
        """Whether a score is no better than that of a submission that cannot be scored again, as an ensemble's."""
        if all(name in sources for name in before.members):
            return False
        return score <= before.score if self._competition.metric.greater_is_better else score >= before.score

    def _score(self, probs: NDArray[Any], rows: NDArray[np.int64]) -> float:
        return float(self._competition.scorer(self._competition.targets[rows], probs))

    def _estimate_error(self, probs: NDArray[Any], rows: NDArray[np.int64]) -> float:
        competition = self._competition
        groups = None if competition.groups is None else competition.groups[rows]
        return float(bootstrap_scores([probs], competition.targets[rows], competition.scorer, groups=groups).std())

    def _read_sources(self, names: set[str]) -> dict[str, _Source]:
        """Those whose predictions are there."""
        sources = {}
        for name in sorted(names):
            with contextlib.suppress(StorageError, KeyError, ValueError):
                own = _find_files(self._files, name)
                sources[name] = _Source(files=own, oof=read_arrays(own.oof))
        return sources


def write_unfinished(files: StudyFiles, competition: Competition, *, device: str, n_threads: int) -> str | None:
    """Write a submission of the trial that has come furthest, where none is complete; return what it is, in a line.

    None where no trial has a whole epoch, or there are no test images.

    Raises:
        AutomlError: its weights, images or files are not as needed.
    """
    from automl.training.unfinished import predict_unfinished  # torch: seconds to import

    study = read_study(files)
    if not competition.has_test_images:
        return None
    if select_best_trials(study, 1):  # what made these unusable is the news, not that others have not ended
        return None
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    begun = [trial for trial in running if trial.intermediate_values]
    for trial in sorted(begun, key=lambda own: (-len(own.intermediate_values), own.number)):
        job = _build_job(files, trial.number, seed=read_terms(study).seed)
        predicted = None if job is None else predict_unfinished(job, device=device, n_threads=n_threads)
        if predicted is None:
            continue
        score = float(competition.scorer(competition.targets[predicted.rows], predicted.probs))
        fitted = is_decided_by_fitted_rule(competition)
        rule = match_training_frequencies(competition, predicted.probs) if fitted else None
        write_submission(competition, predicted.test_probs, files.submission, rule)
        epochs = f"{predicted.n_epochs} epoch{'s' * (predicted.n_epochs > 1)}"
        return f"no trial is complete: the submission is trial {trial.number} after {epochs}, {score:.4f} out of fold"
    return None


def summarize_ensemble(result: EnsembleResult) -> SubmissionSummary:
    """Return the summary of a submission that an ensemble wrote."""
    return SubmissionSummary(
        members=(ENSEMBLE,), score=result.score, score_error=result.score_error, n_rows=result.n_rows
    )


def keep_better(
    files: StudyFiles,
    competition: Competition,
    result: EnsembleResult,
    *,
    before: SubmissionSummary,
    submission: bytes,
) -> str | None:
    """Put the submission before an ensemble back, where it scores clearly better than that on the same rows.

    Its members were chosen for that score, while the ensemble's is cross-fitted: it has to be better by the standard
    error and by what the choice of the best flatters.

    Args:
        result: the ensemble, whose submission has taken its place.
        before: what it was made of.
        submission: its content.

    Returns:
        a line if it was put back; the ensemble's is beside it then.
    """
    members = [describe_member(member.number, member.member_kind) for member in result.members]
    score = CurrentSubmission(files, competition, top=1).score_again(before, members)
    sign = 1.0 if competition.metric.greater_is_better else -1.0
    if score is None or sign * (score - result.score) <= result.score_error + result.optimism:
        return None
    files.submission.replace(files.submission.with_name(SET_ASIDE))
    write_bytes(files.submission, submission)
    write_summary(files, before)
    made_of = " + ".join(before.members)
    return f"{made_of} scores {score:.4f} on the same rows, better: submission.csv stays, the ensemble's is {SET_ASIDE}"


def write_summary(files: StudyFiles, summary: SubmissionSummary) -> None:
    """Write what the current submission is made of."""
    write_json(files.current_submission, asdict(summary))


def read_summary(files: StudyFiles) -> SubmissionSummary | None:
    """Return what the current submission is made of; None where that is not known."""
    try:
        document = read_json(files.current_submission)
        return SubmissionSummary(
            members=tuple(str(name) for name in document["members"]),
            score=float(document["score"]),
            score_error=float(document["score_error"]),
            n_rows=int(document["n_rows"]),
        )
    except (StorageError, KeyError, TypeError, ValueError):
        return None


def _read_ensemble(files: StudyFiles) -> SubmissionSummary | None:
    """What an ensemble of an earlier version wrote, which left no current_submission.json."""
    try:
        document = read_json(files.ensemble)
        score, error, n_rows = (document[name] for name in ("score", "score_error", "n_rows"))
        return SubmissionSummary(members=(ENSEMBLE,), score=float(score), score_error=float(error), n_rows=int(n_rows))
    except (StorageError, KeyError, TypeError, ValueError):
        return None


def describe_summary(summary: SubmissionSummary) -> str:
    """Return the current submission in a line."""
    score = f"{summary.score:.4f} ± {summary.score_error:.4f}"
    return f"submission: {' + '.join(summary.members)}, {score} on {summary.n_rows} rows out of fold"


def _build_job(files: StudyFiles, number: int, *, seed: int) -> TrialJob | None:
    """The job of a trial as it was begun; None where it has not come so far."""
    own = files.get_trial_files(number)
    try:
        origin = read_json(own.origin)
        config = TrialConfig.from_json(read_json(own.config))
    except StorageError:
        return None
    paths = {name: Path(path) for name, path in origin.items() if path is not None}
    return TrialJob(
        trial=number,
        study_dir=files.root,
        config=config,
        seed=seed,
        weights_dir=paths.get("weights_dir"),
        init_from=paths.get("init_from"),
    )


def _list_options(probes: Sequence[str], trials: Sequence[str], top: int) -> tuple[tuple[str, ...], ...]:
    """List the means that are compared, the simplest first, each once."""
    few, best = tuple(probes[:N_PROBES]), tuple(trials[:top])
    options = (few[:1], few, best[:1], best, (*few[:1], *best[:1]), (*few, *best))
    return tuple(dict.fromkeys(option for option in options if option))


def _find_files(files: StudyFiles, name: str) -> TrialFiles:
    source, _, number = name.partition(" ")
    return files.get_probe_files(int(number)) if source == "probe" else files.get_trial_files(int(number))


def _average(sources: dict[str, _Source], names: Sequence[str], rows: NDArray[np.int64]) -> NDArray[Any]:
    mean: NDArray[Any] = np.mean([sources[name].select(rows) for name in names], axis=0)
    return mean


def _average_test(sources: dict[str, _Source], names: Sequence[str]) -> NDArray[Any] | None:
    """The mean for the test images, which is read where it is submitted alone; None where a file is gone or damaged."""
    try:
        mean: NDArray[Any] = np.mean([read_arrays(sources[name].files.test)["probs"] for name in names], axis=0)
    except (StorageError, KeyError):
        return None
    return mean
