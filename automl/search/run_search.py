"""Run a search from the folder to the submission, and an ensemble of a study: the order of steps, and their files.

The caller brings the runner that carries the jobs, and prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from automl.artifacts import StudyFiles, TrialFiles, read_json
from automl.config import TrialConfig
from automl.data.cache import PixelCache
from automl.data.changed import describe_change, record_file_sizes
from automl.data.competition import Competition, load_competition, save_competition
from automl.data.folds import N_FOLDS, find_rare_classes, load_folds, make_folds, save_folds
from automl.errors import AutomlError, Notify, NoUsableModelError, StorageError, UsageError, join_names
from automl.inspection.prepare import prepare_competition
from automl.readers.settings import CompetitionSettings
from automl.search.search_loop import SearchLoop, search
from automl.search.upkeep import StudyKeeper, Upkeep
from automl.space import Space, describe
from automl.study.deadline import Deadline, format_duration
from automl.study.study import ENDED, SearchStudy, Terms, open_study, read_study, select_best_trials
from automl.training.loss.by_task import require_losses_fit
from automl.training.trial_job import TrialJob
from runners.base import Runner, Supervisor, Task

if TYPE_CHECKING:
    from automl.ensemble.candidates import Candidate
    from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult

N_POOL = 15  # complete trials from which an ensemble's members are chosen; see automl.ensemble.build


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """The flags of `automl search`."""

    folder: Path
    files: StudyFiles
    space: Space
    n_trials: int
    top: int = 5
    settings: CompetitionSettings = field(default_factory=CompetitionSettings)
    weights_dir: Path | None = None
    train_folds: int = 1
    seed: int = 0
    sampler: str = "tpe"
    pruner: str = "rank"
    n_threads: int = 1
    deadline: Deadline = field(default_factory=Deadline)
    keep_weights: int | None = N_POOL


MonitorFactory = Callable[[SearchLoop, SearchStudy], Supervisor]


def run_search(
    request: SearchRequest, task: Task, runner: Runner, *, build_monitor: MonitorFactory, notify: Notify
) -> None:
    """Search until the request's number of trials has ended.

    Args:
        task: what trains a trial, `automl.training.trial.run_trial`.
        build_monitor: wraps the loop in a supervisor that displays its progress.
        notify: takes one line for each thing worth knowing.

    Raises:
        AutomlError: the folder, the study or the environment does not fit.
        Interrupted: a signal arrived.
    """
    competition = prepare_competition(
        request.folder, request.settings, cache=request.files.cache, n_threads=request.n_threads, notify=notify
    )
    _require_unchanged(request.files, competition)
    require_losses_fit(_list_losses(request.space), competition.task)
    terms = _build_terms(request, competition)
    with open_study(request.files, terms, sampler=request.sampler, pruner=request.pruner) as study:
        _prepare_files(request, competition, study, notify)
        notify(_describe_study(study))
        loop = SearchLoop(
            study,
            request.space,
            task,
            lambda number, config: _make_job(request, number, config).to_json(),
            n_trials=request.n_trials,
            keep_complete=2 * request.top,
            time_left_s=request.deadline.get_training_seconds_left,
        )
        keeper = StudyKeeper(
            study.optuna_study, request.files, competition, top=request.top, keep_weights=request.keep_weights
        )
        search(loop, runner, Upkeep(build_monitor(loop, study), keeper.tidy))
        if study.count_trials(*ENDED) < request.n_trials:
            notify("the time is up; the same command goes on with the search")


def run_ensemble(files: StudyFiles, request: EnsembleRequest, *, notify: Notify) -> EnsembleResult:
    """Ensemble the study's best complete trials and write the submission.

    Raises:
        AutomlError: the study, its files or its trials do not suffice.
    """
    trials = select_best_trials(read_study(files))
    if not trials:
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
    """Return the trials in their order, each followed by its refits on soft targets whose folds are finished."""
    from automl.ensemble.candidates import Candidate
    from automl.ensemble.ensemble_recipe import MEMBER_KINDS, SEARCH

    return [
        Candidate(number=trial.number, score=trial.value or 0.0, config=config, member_kind=member_kind)
        for trial, config in _read_configs(files, trials, notify)
        for member_kind in MEMBER_KINDS
        if member_kind == SEARCH or _has_all_folds(files.get_trial_files(trial.number).get_refit_files(member_kind))
    ]


def _has_all_folds(files: TrialFiles) -> bool:
    """Return whether all folds have been trained."""
    return all(
        files.get_fold_oof_path(fold).exists() and files.get_fold_test_path(fold).exists() for fold in range(N_FOLDS)
    )


def _require_unchanged(files: StudyFiles, competition: Competition) -> None:
    """Refuse what has changed since the study was begun; where that is not known any more, its terms decide."""
    if not files.study_db.exists():
        return
    try:
        begun = load_competition(files.competition)
    except (AutomlError, KeyError, TypeError, ValueError):  # gone, damaged, or of another version; written again below
        return
    if change := describe_change(begun, competition):
        raise UsageError(
            f"study '{files.root.name}' was begun with another {change}",
            hint="give the same flags as before to go on with it, or begin another with --study",
        )


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


def _list_losses(space: Space) -> list[str]:
    """Return the losses that the space may choose."""
    choices = [dimension.domain.split(", ") for dimension in describe(space) if dimension.name == "loss"]
    return choices[0] if choices else [space.build_first_config().loss.name]


def _describe_study(study: SearchStudy) -> str:
    """Return what earlier runs have left behind, in a line."""
    n_ended, n_running = study.count_trials(*ENDED), study.count_trials(TrialState.RUNNING)
    if not n_ended + n_running:
        return "a new study"
    trained_s = sum(trial.user_attrs.get("seconds", 0.0) for trial in study.optuna_study.get_trials(deepcopy=False))
    trained = format_duration(trained_s)
    return f"going on: {n_ended} trials ended and {n_running} interrupted in {trained} of training so far"


def _prepare_files(request: SearchRequest, competition: Competition, study: SearchStudy, notify: Notify) -> None:
    """Write competition and folds, and decode every image once, before the first trial."""
    files = request.files
    has_trials = bool(study.optuna_study.get_trials(deepcopy=False))
    if files.folds.exists():
        load_folds(files.folds, competition)
    elif has_trials:
        raise StorageError(
            f"{files.folds} is missing, but the study has trials that were trained on its folds",
            hint="restore the file from a backup, or begin another study with --study",
        )
    else:
        folds = make_folds(competition, seed=request.seed)
        if rare := find_rare_classes(competition, folds):
            several = competition.task == "multilabel"
            fate = "be in every fold" if several else "be validated, so used for training only"
            notify(f"too few images to {fate}: {join_names(rare)}")
        save_folds(folds, competition, files.folds)
    save_competition(competition, files.competition)
    record_file_sizes(competition, "train", files.train_sizes)
    record_file_sizes(competition, "test", files.test_sizes)
    cache = PixelCache(competition, files.cache)
    image_size = request.space.build_first_config().resize.image_sizes[0]
    n_unreadable = {"train": 0, "test": len(competition.unreadable_test)}
    for split, n_left_out in n_unreadable.items():
        _decode_images(cache, split, image_size, n_left_out=n_left_out, n_threads=request.n_threads, notify=notify)


def _decode_images(
    cache: PixelCache, split: Any, image_size: int, *, n_left_out: int, n_threads: int, notify: Notify
) -> NDArray[np.uint8]:
    def report(n_done: int, n_images: int) -> None:
        if n_done == n_images:
            notify(f"decoded {n_images - n_left_out} {split} images at {image_size} px")

    return cache.load_pixels(split, image_size, n_threads=n_threads, on_progress=report)


def _make_job(request: SearchRequest, number: int, config: TrialConfig) -> TrialJob:
    return TrialJob(
        trial=number,
        study_dir=request.files.root,
        config=config,
        train_folds=request.train_folds,
        seed=request.seed,
        weights_dir=request.weights_dir,
        init_from=request.space.init_from,
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
