"""Render the status of a study for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from automl.artifacts import StudyFiles, read_json
from automl.data.folds import N_FOLDS
from automl.deadline import format_duration
from automl.errors import StorageError, escape_control_characters
from automl.study.pruners import IMAGE_SIZES
from automl.study.study import Terms, read_terms, select_best_trials


def render_status(study: optuna.Study, files: StudyFiles, *, driver: str | None, top: int) -> Iterator[str | Table]:
    """Yield the study's terms, counts by state, best trials, what runs, what failed, and how far a refit is.

    Args:
        driver: the process that drives the study at this moment, or None.
        top: how many of the best trials to show.
    """
    trials = study.get_trials(deepcopy=False)
    terms = read_terms(study)
    yield f"study '{study.study_name}': {terms.metric} ({terms.direction}), space {terms.space}, {terms.epochs} epochs"
    counts = [f"{sum(t.state == state for t in trials)} {state.name.lower()}" for state in TrialState]
    trained = format_duration(_sum_durations(trials).total_seconds())
    yield f"{len(trials)} trials: {', '.join(counts)}; {trained} of training"
    yield f"{driver} works on it" if driver else "it is idle"
    if best := select_best_trials(study, top):
        yield _build_table(best)
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            yield _format_running(trial, terms.epochs, is_driven=driver is not None)
        elif trial.state == TrialState.FAIL:
            reason = escape_control_characters(str(trial.user_attrs.get("fail_reason", "for an unknown reason")))
            yield f"trial {trial.number} failed: {reason}"
            yield from _indent(str(trial.user_attrs.get("last_death_log", "")))
    yield from _format_refit(files, terms)


def _format_refit(files: StudyFiles, terms: Terms) -> Iterator[str]:
    """Yield how far the last refit has come, one line for each kind of its folds; none without a refit."""
    try:
        document = read_json(files.refit)
        numbers = [int(number) for number in document["trials"]]
        n_lost = len(document.get("lost", []))
        state = "finished" if document["finished"] else "not finished"
    except (StorageError, KeyError, TypeError, ValueError):  # a refit makes it again
        return
    trials = f"refit of {'trial' if len(numbers) == 1 else 'trials'} {', '.join(map(str, numbers))}"
    for refit_kind in ("refit", "pseudo", "distilled"):
        retrained = [files.get_trial_files(number).get_refit_files(refit_kind) for number in numbers]
        trained = [{fold for fold in range(N_FOLDS) if own.get_fold_oof_path(fold).exists()} for own in retrained]
        if refit_kind == "refit":
            n_trained = sum(len(folds | set(range(terms.train_folds))) for folds in trained)
            lost = f", {n_lost} could not be trained" if n_lost else ""
            yield f"{trials}: {n_trained} of {N_FOLDS * len(numbers)} folds trained, {state}{lost}"
        elif n_trained := sum(map(len, trained)):
            yield f"{trials}, {refit_kind}: {n_trained} of {N_FOLDS * len(numbers)} folds trained"


def _build_table(best: list[FrozenTrial]) -> Table:
    names = [name for name in best[0].params if any(t.params.get(name) != best[-1].params.get(name) for t in best)]
    table = Table("trial", "score", "time", *names, box=None, header_style="bold", pad_edge=False)
    for trial in best:
        cells = [_format_cell(trial.params.get(name)) for name in names]
        table.add_row(
            str(trial.number), f"{trial.value:.4f}", format_duration(_get_duration(trial).total_seconds()), *cells
        )
    return table


def _format_running(trial: FrozenTrial, epochs: int, *, is_driven: bool) -> str:
    n_epochs = len(trial.intermediate_values)
    sizes = trial.user_attrs.get(IMAGE_SIZES, [])
    at_size = f" at {sizes[min(n_epochs, len(sizes) - 1)]} px" if sizes else ""
    state = "is running" if is_driven else "was interrupted and will go on"
    return f"trial {trial.number} {state}: {n_epochs} of {epochs} epochs{at_size}"


def _sum_durations(trials: list[FrozenTrial]) -> timedelta:
    return sum((_get_duration(trial) for trial in trials), timedelta())


def _get_duration(trial: FrozenTrial) -> timedelta:
    if "seconds" in trial.user_attrs:
        return timedelta(seconds=float(trial.user_attrs["seconds"]))
    return (trial.datetime_complete or datetime.now()) - (trial.datetime_start or datetime.now())


def _format_cell(value: object) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _indent(text: str) -> list[str]:
    return [f"    {escape_control_characters(line)}" for line in text.splitlines()[-8:]]
