"""Store the probes of a study as a second Optuna study, NAME-probes, in the same SQLite file.

So the dashboard shows them beside the trials. A probe's number here is that of its folder. Imports no torch: the driver
of a search keeps it, everybody else reads it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from automl.artifacts import StudyFiles
from automl.data.competition import Competition
from automl.errors import StorageError, UsageError
from automl.probing.probe_job import COMPLETED, SKIPPED, VIEWS, ProbeCandidate, ProbeReport
from automl.study.probe_evidence import ProbeScore
from automl.study.study import create_optuna_study, load_optuna_study

SUFFIX = "-probes"  # of the study's name
REPORT = "report"  # user attribute: what the worker reported
CANDIDATE = "candidate"  # user attribute: what was asked for
TERMS = "terms"  # user attribute of the study
BACKBONES = "backbones"  # user attribute of the study: the choices of the parameter
SIZES = (8, 4096)  # as automl.config.ResizeConfig has them


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTerms:
    """What all probes of a study have in common; others cannot be compared with them."""

    competition_fingerprint: str
    metric: str
    direction: str
    seed: int


TERM_NAMES = {
    "competition_fingerprint": "competition folder (its images, ids or labels)",
    "metric": "metric",
    "direction": "direction",
    "seed": "seed",
}


class ProbeStudy:
    """The study of probes as its driver uses it: begin, record, list."""

    def __init__(self, optuna_study: optuna.Study) -> None:
        self._study = optuna_study

    def begin(self, candidates: Sequence[ProbeCandidate]) -> dict[int, ProbeCandidate]:
        """Return the numbers of those candidates that have not been probed yet; an interrupted one keeps its own."""
        done = {report.candidate for report in self.list_reports()}
        running = {_get_candidate(trial): trial.number for trial in self._list_trials(TrialState.RUNNING)}
        begun = {}
        for candidate in candidates:
            if candidate not in done:
                number = running[candidate] if candidate in running else self._add(candidate, candidates)
                begun[number] = candidate
        return begun

    def record(self, report: ProbeReport) -> None:
        """Record how a probe ended; doing it twice does no harm."""
        trial = self._study.get_trials(deepcopy=False)[report.number]
        if trial.state.is_finished():
            return
        storage = self._study._storage
        for name, value in {REPORT: report.to_json(), **_list_attributes(report)}.items():
            storage.set_trial_user_attr(trial._trial_id, name, value)
        completed = report.outcome == COMPLETED
        self._study.tell(
            report.number,
            report.score if completed else None,
            state=TrialState.COMPLETE if completed else TrialState.PRUNED,
            skip_if_finished=True,
        )

    def record_unfinished(self, reason: str) -> list[ProbeReport]:
        """Record every probe that is not done as skipped, for that reason; return their reports."""
        skipped = [
            ProbeReport(number=trial.number, candidate=_get_candidate(trial), outcome=SKIPPED, reason=reason)
            for trial in self._list_trials(TrialState.RUNNING)
        ]
        for report in skipped:
            self.record(report)
        return skipped

    def list_reports(self) -> list[ProbeReport]:
        """Return the reports of all completed probes, best first; equal ones in the order of their numbers."""
        reports = [ProbeReport.from_json(trial.user_attrs[REPORT]) for trial in self._list_trials(TrialState.COMPLETE)]
        sign = -1.0 if self._study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
        return sorted(reports, key=lambda report: (sign * report.value, report.number))

    def list_skipped(self) -> list[ProbeReport]:
        """Return the reports of probes that could not be made, but for those that were completed later."""
        done = {report.candidate for report in self.list_reports()}
        reports = [ProbeReport.from_json(trial.user_attrs[REPORT]) for trial in self._list_trials(TrialState.PRUNED)]
        latest = {report.candidate: report for report in reports if report.candidate not in done}
        return list(latest.values())

    def _add(self, candidate: ProbeCandidate, candidates: Sequence[ProbeCandidate]) -> int:
        """Add a running trial.

        Its parameters are for plots alone: Optuna lets the choices of a parameter never change, so that a backbone that
        an earlier run did not offer is an attribute only.
        """
        if BACKBONES not in self._study.user_attrs:
            self._study.set_user_attr(BACKBONES, sorted({own.backbone for own in candidates}))
        backbones = self._study.user_attrs[BACKBONES]
        distributions: dict[str, optuna.distributions.BaseDistribution] = {
            "image_size": IntDistribution(*SIZES),
            "view": CategoricalDistribution(VIEWS),
        }
        if candidate.backbone in backbones:
            distributions["backbone"] = CategoricalDistribution(backbones)
        document = asdict(candidate)
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params={name: document[name] for name in distributions},
                distributions=distributions,
                user_attrs={CANDIDATE: document},
            )
        )
        return len(self._study.get_trials(deepcopy=False)) - 1

    def _list_trials(self, state: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(state,))


@contextlib.contextmanager
def open_probe_study(files: StudyFiles, terms: ProbeTerms) -> Iterator[ProbeStudy]:
    """Open the probes of a study, made if they are new; the caller holds the study's lock.

    Raises:
        UsageError: they were made with other terms.
        StorageError: their file is damaged, or cannot be written.
    """
    with create_optuna_study(files, files.root.name + SUFFIX, direction=terms.direction) as optuna_study:
        begun, now = optuna_study.user_attrs.get(TERMS), asdict(terms)
        if begun is None:
            optuna_study.set_user_attr(TERMS, now)
        elif different := [name for name in now if now[name] != begun.get(name)]:
            raise UsageError(
                f"the probes of study '{files.root.name}' were made with another {TERM_NAMES[different[0]]}",
                hint="give the same flags as before to go on with it, or begin another with --study",
            )
        yield ProbeStudy(optuna_study)


def read_probe_study(files: StudyFiles) -> ProbeStudy | None:
    """Open the probes of a study read-only; None where it has none.

    Raises:
        StorageError: their file is damaged.
    """
    if not files.study_db.exists():
        return None
    try:
        return ProbeStudy(load_optuna_study(files, files.root.name + SUFFIX))
    except KeyError:  # Optuna's, of a study that is not in the file
        return None


def list_probe_scores(study: ProbeStudy, *, sign: float) -> list[ProbeScore]:
    """List the best score of each backbone and size, as evidence for trials.

    Args:
        sign: by which scores are multiplied so that greater is better.
    """
    best: dict[tuple[str, int], float] = {}
    for report in study.list_reports():
        best.setdefault((report.candidate.backbone, report.candidate.image_size), sign * report.value)
    return [ProbeScore(backbone=backbone, image_size=size, score=score) for (backbone, size), score in best.items()]


def build_probe_terms(competition: Competition, *, seed: int) -> ProbeTerms:
    """Return the terms of probes of a competition on its folds of that seed."""
    return ProbeTerms(
        competition_fingerprint=competition.fingerprint,
        metric=competition.metric.name,
        direction=competition.metric.direction,
        seed=seed,
    )


def _get_candidate(trial: FrozenTrial) -> ProbeCandidate:
    try:
        return ProbeCandidate(**trial.user_attrs[CANDIDATE])
    except (KeyError, TypeError) as error:
        raise StorageError(
            f"probe {trial.number} is of another version", hint="begin another study with --study"
        ) from error


def _list_attributes(report: ProbeReport) -> dict[str, object]:
    """List what the dashboard shows of a probe beside its score, a column each."""
    numbers = {"score_error": report.score_error, "ms_per_image": report.ms_per_image, "seconds": report.seconds}
    known = {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    words = {"head": report.head, "skipped": report.reason}
    return {**known, **{name: value for name, value in words.items() if value}}
