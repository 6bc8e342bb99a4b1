"""Render the status of a study for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from automl.artifacts import StudyFiles, read_json
from automl.data.folds import N_FOLDS
from automl.errors import StorageError, escape_control_characters
from automl.reports.probe_table import render_probe_status
from automl.study.deadline import format_duration
from automl.study.pruners import IMAGE_SIZES
from automl.study.study import PARAMS, Terms, build_trials_table, read_terms, select_best_trials
from automl.suggest import format_number

NO_VALUE = "-"


def render_status(study: optuna.Study, files: StudyFiles, *, driver: str | None, top: int) -> Iterator[str | Table]:
    """Yield the study's terms, counts by state, best trials, what runs, what failed, and how far a refit is.

    Args:
        driver: the process that drives the study at this moment, or None.
        top: how many of the best trials to show.
    """
    trials = study.get_trials(deepcopy=False)
    terms = read_terms(study)
    yield f"study '{study.study_name}': {terms.metric} ({terms.direction}), space {terms.space}, {terms.epochs} epochs"
    table = build_trials_table(trials)
    counts = [f"{(table['state'] == state.name.lower()).sum()} {state.name.lower()}" for state in TrialState]
    trained = format_duration(float(table["seconds"].sum()))
    yield f"{len(trials)} trials: {', '.join(counts)}; {trained} of training"
    yield f"{driver} works on it" if driver else "it is idle"
    yield from render_probe_status(study, files, top=top)
    if best := select_best_trials(study, top):
        yield _build_table(build_trials_table(best))
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


def _build_table(best: pd.DataFrame) -> Table:
    """Build the table of the best trials, with those of the first one's parameters in which they differ."""
    params = best.filter(regex=f"^{PARAMS}").fillna(NO_VALUE)
    params = params[[name for name in params if best[name].iloc[0] is not pd.NA and params[name].nunique() > 1]]
    names = params.columns.str.removeprefix(PARAMS)
    table = Table("trial", "score", "time", *names, box=None, header_style="bold", pad_edge=False)
    for trial, cells in zip(best.itertuples(), params.itertuples(index=False), strict=True):
        table.add_row(
            str(trial.number), f"{trial.score:.4f}", format_duration(trial.seconds), *map(_format_cell, cells)
        )
    return table


def _format_running(trial: FrozenTrial, epochs: int, *, is_driven: bool) -> str:
    n_epochs = len(trial.intermediate_values)
    sizes = trial.user_attrs.get(IMAGE_SIZES, [])
    at_size = f" at {sizes[min(n_epochs, len(sizes) - 1)]} px" if sizes else ""
    state = "is running" if is_driven else "was interrupted and will go on"
    return f"trial {trial.number} {state}: {n_epochs} of {epochs} epochs{at_size}"


def _format_cell(value: object) -> str:
    return format_number(value, digits=3) if isinstance(value, float) else str(value)


def _indent(text: str) -> list[str]:
    return [f"    {escape_control_characters(line)}" for line in text.splitlines()[-8:]]
