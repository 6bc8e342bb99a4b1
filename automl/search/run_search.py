"""Run a search from the folder to the submission, and an ensemble of a study: the order of steps, and their files.

The caller brings the runner that carries the jobs, and prints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from automl.artifacts import StudyFiles, TrialFiles, read_json
from automl.config import TrialConfig
from automl.data.competition import Competition, load_competition
from automl.data.folds import N_FOLDS, load_folds
from automl.errors import Notify, NoUsableModelError, StorageError, UsageError
from automl.inspection.prepare import prepare_competition
from automl.probing.probe_study import ProbeStudy, list_probe_scores, read_probe_study
from automl.search.probe_loop import ProbeLoop
from automl.search.run_probes import (
    NONE,
    ProbeRequest,
    build_probe_supervisor,
    explain_no_probes,
    list_choices,
    open_probes,
    require_budget,
)
from automl.search.search_loop import SearchLoop
from automl.search.study_files import decode_images, require_unchanged, write_study_files
from automl.search.upkeep import StudyKeeper, Upkeep
from automl.study.deadline import format_duration
from automl.study.probe_evidence import ProbeScore
from automl.study.study import ENDED, SearchStudy, Terms, open_study, read_study, select_best_trials
from automl.training.loss.by_task import require_losses_fit
from automl.training.trial_job import TrialJob
from runners.base import Runner, Supervisor, Task

if TYPE_CHECKING:
    from automl.ensemble.candidates import Candidate
    from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult

N_POOL = 15  # complete trials from which an ensemble's members are chosen; see automl.ensemble.build


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest(ProbeRequest):
    """The flags of `automl search`: those about probes, and those about trials."""

    n_trials: int
    top: int = 5
    train_folds: int = 1
    sampler: str = "tpe"
    pruner: str = "rank"
    keep_weights: int | None = N_POOL


MonitorFactory = Callable[[SearchLoop, SearchStudy], Supervisor]


@dataclass(frozen=True, slots=True)
class SearchTasks:
    """What runs in a worker: `automl.training.entry_points.run_trial` trains a trial, the other makes probes."""

    trial: Task
    probes: Task


def run_search(
    request: SearchRequest, tasks: SearchTasks, runner: Runner, *, build_monitor: MonitorFactory, notify: Notify
) -> None:
    """Probe the space's backbones, then search until the request's number of trials has ended.

    Args:
        tasks: what trains a trial and makes probes.
        build_monitor: wraps the loop in a supervisor that displays its progress.
        notify: takes one line for each thing worth knowing.

    Raises:
        AutomlError: the folder, the study or the environment does not fit.
        Interrupted: a signal arrived.
    """
    require_budget(request.probe_budget)
    competition = prepare_competition(
        request.folder, request.settings, cache=request.files.cache, n_threads=request.n_threads, notify=notify
    )
    require_unchanged(request.files, competition)
    losses = list_choices(request.space, "loss") or [request.space.build_first_config().loss.name]
    require_losses_fit(losses, competition.task)
    with contextlib.ExitStack() as stack:
        study = stack.enter_context(
            open_study(
                request.files, _build_terms(request, competition), sampler=request.sampler, pruner=request.pruner
            )
        )
        probes = _open_probes(request, competition, stack)
        has_trials = bool(study.optuna_study.get_trials(deepcopy=False))
        write_study_files(request.files, competition, seed=request.seed, has_trials=has_trials, notify=notify)
        notify(_describe_study(study))
        _Search(request, competition, study, probes, tasks, build_monitor, notify).run(runner)
        if study.count_trials(*ENDED) < request.n_trials:
            notify("the time is up; the same command goes on with the search")


class _Search:
    """A search under way: its probes, then its trials, on one runner."""

    def __init__(
        self,
        request: SearchRequest,
        competition: Competition,
        study: SearchStudy,
        probes: ProbeStudy | None,
        tasks: SearchTasks,
        build_monitor: MonitorFactory,
        notify: Notify,
    ) -> None:
        self._request, self._competition, self._study, self._probes = request, competition, study, probes
        self._tasks, self._build_monitor, self._notify = tasks, build_monitor, notify
        self._loop: SearchLoop | None = None
        self._keeper = StudyKeeper(
            study.optuna_study,
            request.files,
            competition,
            probes=probes,
            top=request.top,
            keep_weights=request.keep_weights,
        )

    def run(self, runner: Runner) -> None:
        """Carry out all jobs.

        Raises:
            AutomlError: it cannot go on; what has ended stays ended.
            Interrupted: a signal arrived.
        """
        probe_loop, supervisor = self._build_supervisor()
        runner.run(supervisor)
        for loop in (probe_loop, self._loop):
            if loop is not None and loop.error is not None:
                raise loop.error

    def _build_supervisor(self) -> tuple[ProbeLoop | None, Supervisor]:
        reason = explain_no_probes(self._request.space)
        if self._probes is None or self._request.probe_budget == NONE or reason is not None:
            if reason is not None and self._request.probe_budget != NONE:
                self._notify(f"no probes: {reason}")
            return None, self._begin_trials()
        return build_probe_supervisor(
            self._request,
            self._competition,
            self._probes,
            self._tasks.probes,
            after_report=self._keeper.tidy,
            build_next=self._begin_trials,
            notify=self._notify,
        )

    def _begin_trials(self) -> Supervisor:
        request = self._request
        evidence = [] if self._probes is None else self._list_evidence(self._probes)
        self._study.set_probe_evidence(evidence)
        if not evidence:  # otherwise probes have opened every image, at the sizes that trials begin with
            image_size = request.space.build_first_config().resize.image_sizes[0]
            decode_images(
                request.files, self._competition, image_size, n_threads=request.n_threads, notify=self._notify
            )
        self._loop = SearchLoop(
            self._study,
            request.space,
            self._tasks.trial,
            lambda number, config: _make_job(request, number, config).to_json(),
            n_trials=request.n_trials,
            keep_complete=2 * request.top,
            time_left_s=request.deadline.get_training_seconds_left,
        )
        return Upkeep(self._build_monitor(self._loop, self._study), self._keeper.tidy)

    def _list_evidence(self, probes: ProbeStudy) -> list[ProbeScore]:
        return list_probe_scores(probes, sign=1.0 if self._competition.metric.greater_is_better else -1.0)


def run_ensemble(files: StudyFiles, request: EnsembleRequest, *, notify: Notify) -> EnsembleResult:
    """Ensemble the study's best complete trials and probes and write the submission.

    Raises:
        AutomlError: the study, its files, its trials or its probes do not suffice.
    """
    has_probes = any(files.probes.glob("*/result.json"))
    trials = _list_complete_trials(files, has_probes=has_probes)
    if not trials and not has_probes:
        raise NoUsableModelError(
            f"no trial of study '{files.root.name}' is complete", hint="see with automl status why, then search on"
        )
    from automl.ensemble.build import build_ensemble  # torch: seconds to import

    competition = load_competition(files.competition)
    return build_ensemble(
        competition,
        load_folds(files.folds, competition),
        list_candidates(files, trials, notify),
        files,
        request,
        distillation_notes=read_soft_target_report(files),
        notify=notify,
    )


def read_soft_target_report(files: StudyFiles) -> list[str]:
    """Return what trials gained by pseudo-labels and distillation, a line each, as the last refit wrote it."""
    try:
        return [str(line) for line in read_json(files.refit)["lines"]]
    except (StorageError, KeyError, TypeError):
        return []


def list_candidates(files: StudyFiles, trials: Sequence[FrozenTrial], notify: Notify) -> list[Candidate]:
    """Return the trials in their order, each followed by its refits on soft targets that are finished; then probes."""
    from automl.ensemble.candidates import Candidate, list_probes
    from automl.ensemble.ensemble_recipe import SEARCH, TRIAL_KINDS

    candidates = [
        Candidate(number=trial.number, score=trial.value or 0.0, config=config, member_kind=member_kind)
        for trial, config in _read_configs(files, trials, notify)
        for member_kind in TRIAL_KINDS
        if member_kind == SEARCH or _has_all_folds(files.get_trial_files(trial.number).get_refit_files(member_kind))
    ]
    return candidates + list_probes(files, notify)


def _list_complete_trials(files: StudyFiles, *, has_probes: bool) -> list[FrozenTrial]:
    """The best first; none where the study holds probes alone."""
    try:
        return select_best_trials(read_study(files))
    except UsageError:
        if has_probes and files.study_db.exists():
            return []
        raise


def _has_all_folds(files: TrialFiles) -> bool:
    """Return whether all folds have been trained."""
    return all(
        files.get_fold_oof_path(fold).exists() and files.get_fold_test_path(fold).exists() for fold in range(N_FOLDS)
    )


def _open_probes(request: SearchRequest, competition: Competition, stack: contextlib.ExitStack) -> ProbeStudy | None:
    """Open the study of probes; None where none are wanted and there are none."""
    if request.probe_budget == NONE and read_probe_study(request.files) is None:
        return None
    return stack.enter_context(open_probes(request, competition))


def _build_terms(request: SearchRequest, competition: Competition) -> Terms:
    config = request.space.build_first_config()
    return Terms(
        space=request.space.name,
        space_fingerprint=request.space.fingerprint,
        competition_fingerprint=competition.fingerprint,
        metric=competition.metric.name,
        direction=competition.metric.direction,
        epochs=config.epochs,
        train_folds=request.train_folds,
        seed=request.seed,
    )


def _describe_study(study: SearchStudy) -> str:
    """Return what earlier runs have left behind, in a line."""
    n_ended, n_running = study.count_trials(*ENDED), study.count_trials(TrialState.RUNNING)
    if not n_ended + n_running:
        return "a new study"
    trained_s = sum(trial.user_attrs.get("seconds", 0.0) for trial in study.optuna_study.get_trials(deepcopy=False))
    trained = format_duration(trained_s)
    return f"going on: {n_ended} trials ended and {n_running} interrupted in {trained} of training so far"


def _make_job(request: SearchRequest, number: int, config: TrialConfig) -> TrialJob:
    return TrialJob(
        trial=number,
        study_dir=request.files.root,
        config=config,
        train_folds=request.train_folds,
        seed=request.seed,
        weights_dir=request.weights_dir,
        init_from=request.space.init_from,
        cache_gb=request.cache_gb,
    )


def _read_configs(
    files: StudyFiles, trials: Sequence[FrozenTrial], notify: Notify
) -> Iterator[tuple[FrozenTrial, TrialConfig]]:
    """Yield the trials whose configurations are still there."""
    for trial in trials:
        try:
            yield trial, TrialConfig.from_json(read_json(files.get_trial_files(trial.number).config))
        except StorageError as error:
            notify(f"trial {trial.number} is left out: {error.problem}")
