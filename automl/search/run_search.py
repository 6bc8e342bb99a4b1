"""A search from the folder to the submission, and an ensemble from a study: the order of things, and the files between.

Not responsible for: flags and printing (automl.cli.app), who carries the jobs (the caller brings a runner).
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
from automl.data.changed import change_since, note_sizes
from automl.data.competition import Competition, load_competition, save_competition
from automl.data.folds import N_FOLDS, load_folds, make_folds, rare_classes, save_folds
from automl.deadline import Deadline, duration
from automl.errors import AutomlError, NoUsableModelError, StorageError, UsageError, listed
from automl.inspection.prepare import prepare_competition
from automl.readers.settings import Asked
from automl.search.search_loop import SearchLoop, search
from automl.search.upkeep import StudyKeeper, Upkeep
from automl.space import Space, describe
from automl.study.study import ENDED, SearchStudy, Terms, best_trials, open_study, read_study
from automl.training.loss.by_task import require_losses_fit
from runners.base import Runner, Supervisor, Task
from runners.devices import cpu_count

if TYPE_CHECKING:
    from automl.ensemble.candidates import Candidate
    from automl.ensemble.ensemble_result import EnsembleResult

Note = Callable[[str], None]
N_POOL = 15  # complete trials from which an ensemble's members are chosen; see automl.ensemble.build


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What `automl search` was asked."""

    folder: Path
    files: StudyFiles
    space: Space
    n_trials: int
    top: int = 5
    asked: Asked = field(default_factory=Asked)
    weights_dir: Path | None = None
    train_folds: int = 1
    seed: int = 0
    sampler: str = "tpe"
    pruner: str = "rank"
    n_threads: int = 1
    deadline: Deadline = field(default_factory=Deadline)
    keep_weights: int | None = N_POOL


Watch = Callable[[SearchLoop, SearchStudy], Supervisor]


def run_search(request: SearchRequest, task: Task, runner: Runner, *, watch: Watch, note: Note) -> None:
    """Search until the request's number of trials has ended.

    Args:
        task: what trains a trial, `automl.training.trial.run_trial`.
        watch: wraps the loop, so that somebody can look on.
        note: takes one line for each thing worth knowing.

    Raises:
        AutomlError: the folder, the study or the environment does not fit.
        Interrupted: a signal arrived.
    """
    competition = prepare_competition(
        request.folder, request.asked, cache=request.files.cache, n_threads=request.n_threads, note=note
    )
    _require_unchanged(request.files, competition)
    require_losses_fit(_losses(request.space), competition.task)
    terms = _terms(request, competition)
    with open_study(request.files, terms, sampler=request.sampler, pruner=request.pruner) as study:
        _freeze(request, competition, study, note)
        note(_story(study))
        loop = SearchLoop(
            study,
            request.space,
            task,
            lambda number, config: _payload(request, number, config),
            n_trials=request.n_trials,
            keep_complete=2 * request.top,
            time_left_s=request.deadline.left_for_training_s,
        )
        keeper = StudyKeeper(
            study.optuna_study, request.files, competition, top=request.top, keep_weights=request.keep_weights
        )
        search(loop, runner, Upkeep(watch(loop, study), keeper.tidy))
        if study.n_in(*ENDED) < request.n_trials:
            note("the time is up; the same command goes on with the search")


def run_ensemble(
    files: StudyFiles,
    *,
    top: int,
    tta: str,
    device: str,
    out: Path,
    note: Note,
    pool: int = N_POOL,
    max_minutes: float | None = None,
    n_images: int | None = None,
) -> EnsembleResult:
    """Ensemble the study's best complete trials and write the submission.

    Args:
        pool: of how many trials, the best ones, the members are chosen; `top` where that is more.
        max_minutes: for predicting n_images test images, or those there are.

    Raises:
        AutomlError: the study, its files or its trials do not suffice.
    """
    trials = best_trials(read_study(files))
    if not trials:
        raise NoUsableModelError(
            f"no trial of study '{files.root.name}' is complete", hint="see with automl status why, then search on"
        )
    from automl.ensemble.build import build_ensemble  # torch: seconds to import

    competition = load_competition(files.competition)
    return build_ensemble(
        competition,
        load_folds(files.folds, competition),
        candidates_of(files, trials, note),
        files,
        top=top,
        tta=tta,
        device=device,
        out=out,
        cache=PixelCache(competition, files.cache),
        pool=max(pool, top),
        max_minutes=max_minutes,
        n_images=n_images,
        n_threads=cpu_count(),
        told_of_lessons=told_of_lessons(files),
        on_progress=note,
    )


def told_of_lessons(files: StudyFiles) -> list[str]:
    """What trials gained by lessons, a line each, as the last refit has written it; none where nobody can read it."""
    try:
        return [str(line) for line in read_json(files.refit)["lines"]]
    except (StorageError, KeyError, TypeError):
        return []


def candidates_of(files: StudyFiles, trials: Sequence[FrozenTrial], note: Note) -> list[Candidate]:
    """The trials in their order, each followed by what lessons have made of it, where their folds are finished."""
    from automl.ensemble.candidates import Candidate
    from automl.ensemble.ensemble_recipe import KINDS

    return [
        Candidate(number=trial.number, score=trial.value or 0.0, config=config, kind=kind)
        for trial, config in _with_configs(files, trials, note)
        for kind in KINDS
        if kind == "search" or _is_taught(files.trial(trial.number).retrained(kind))
    ]


def _is_taught(files: TrialFiles) -> bool:
    """Whether a lesson has been learned on all folds."""
    return all(files.fold_oof(fold).exists() and files.fold_test(fold).exists() for fold in range(N_FOLDS))


def _require_unchanged(files: StudyFiles, competition: Competition) -> None:
    """Say what has changed since the study was begun; where that is not known any more, its terms still tell."""
    if not files.study_db.exists():
        return
    try:
        begun = load_competition(files.competition)
    except (AutomlError, KeyError, TypeError, ValueError):  # gone, damaged, or of another version; written again below
        return
    if change := change_since(begun, competition):
        raise UsageError(
            f"study '{files.root.name}' was begun with another {change}",
            hint="give the same flags as before to go on with it, or begin another with --study",
        )


def _terms(request: SearchRequest, competition: Competition) -> Terms:
    config = request.space.first_config()
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


def _losses(space: Space) -> list[str]:
    """The losses that the space may ask for."""
    asked = [dimension.domain.split(", ") for dimension in describe(space) if dimension.name == "loss"]
    return asked[0] if asked else [space.first_config().loss.name]


def _story(study: SearchStudy) -> str:
    """What earlier runs have left behind."""
    n_ended, n_running = study.n_in(*ENDED), study.n_in(TrialState.RUNNING)
    if not n_ended + n_running:
        return "a new study"
    trained_s = sum(trial.user_attrs.get("seconds", 0.0) for trial in study.optuna_study.get_trials(deepcopy=False))
    return f"going on: {n_ended} trials ended and {n_running} interrupted in {duration(trained_s)} of training so far"


def _freeze(request: SearchRequest, competition: Competition, study: SearchStudy, note: Note) -> None:
    """Write down what was understood, and decode every image once, before the first trial."""
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
        if rare := rare_classes(competition, folds):
            several = competition.task == "multilabel"
            fate = "be in every fold" if several else "be validated, so used for training only"
            note(f"too few images to {fate}: {listed(rare)}")
        save_folds(folds, competition, files.folds)
    save_competition(competition, files.competition)
    note_sizes(competition, "train", files.train_sizes)
    note_sizes(competition, "test", files.test_sizes)
    cache = PixelCache(competition, files.cache)
    image_size = request.space.first_config().resize.image_sizes[0]
    n_unreadable = {"train": 0, "test": len(competition.unreadable_test)}
    for split, n_left_out in n_unreadable.items():
        _warm(cache, split, image_size, n_left_out=n_left_out, n_threads=request.n_threads, note=note)


def _warm(
    cache: PixelCache, split: Any, image_size: int, *, n_left_out: int, n_threads: int, note: Note
) -> NDArray[np.uint8]:
    def say(n_done: int, n_images: int) -> None:
        if n_done == n_images:
            note(f"decoded {n_images - n_left_out} {split} images at {image_size} px")

    return cache.pixels(split, image_size, n_threads=n_threads, on_progress=say)


def _payload(request: SearchRequest, number: int, config: TrialConfig) -> dict[str, Any]:
    return {
        "trial": number,
        "study_dir": str(request.files.root),
        "config": config.to_json(),
        "train_folds": request.train_folds,
        "seed": request.seed,
        "weights_dir": None if request.weights_dir is None else str(request.weights_dir),
        "init_from": None if request.space.init_from is None else str(request.space.init_from),
    }


def _with_configs(
    files: StudyFiles, trials: Sequence[FrozenTrial], note: Note
) -> Iterator[tuple[FrozenTrial, TrialConfig]]:
    """The trials whose configurations are still there."""
    for trial in trials:
        try:
            yield trial, TrialConfig.from_json(read_json(files.trial(trial.number).config))
        except StorageError as error:
            note(f"trial {trial.number} is left out: {error.problem}")
