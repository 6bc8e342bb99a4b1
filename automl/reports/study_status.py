"""A study at a glance, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from automl.artifacts import StudyFiles, read_json
from automl.data.folds import N_FOLDS
from automl.deadline import duration
from automl.errors import StorageError, printable
from automl.study.pruners import IMAGE_SIZES
from automl.study.study import Terms, best_trials, terms_of


def status_lines(study: optuna.Study, files: StudyFiles, *, driver: str | None, top: int) -> Iterator[str | Table]:
    """Lines and tables: the study's terms, counts by state, best trials, what runs, what failed, how far a refit is.

    Args:
        driver: who works on the study at this moment, or None.
        top: how many of the best trials to show.
    """
    trials = study.get_trials(deepcopy=False)
    terms = terms_of(study)
    yield f"study '{study.study_name}': {terms.metric} ({terms.direction}), space {terms.space}, {terms.epochs} epochs"
    counts = [f"{sum(t.state == state for t in trials)} {state.name.lower()}" for state in TrialState]
    yield f"{len(trials)} trials: {', '.join(counts)}; {duration(_trained(trials).total_seconds())} of training"
    yield f"{driver} works on it" if driver else "nobody works on it"
    if best := best_trials(study, top):
        yield _table(best)
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            yield _running_line(trial, terms.epochs, is_driven=driver is not None)
        elif trial.state == TrialState.FAIL:
            reason = printable(str(trial.user_attrs.get("fail_reason", "for an unknown reason")))
            yield f"trial {trial.number} failed: {reason}"
            yield from _indented(str(trial.user_attrs.get("last_death_log", "")))
    yield from _refit_lines(files, terms)


def _refit_lines(files: StudyFiles, terms: Terms) -> Iterator[str]:
    """How far the last refit has come, one line for each kind of folds that it has trained; none without a refit."""
    try:
        document = read_json(files.refit)
        numbers = [int(number) for number in document["trials"]]
        n_lost = len(document.get("lost", []))
        state = "finished" if document["finished"] else "not finished"
    except (StorageError, KeyError, TypeError, ValueError):  # a refit makes it again
        return
    trials = f"refit of {'trial' if len(numbers) == 1 else 'trials'} {', '.join(map(str, numbers))}"
    for kind in ("refit", "pseudo", "distilled"):
        retrained = [files.trial(number).retrained(kind) for number in numbers]
        trained = [{fold for fold in range(N_FOLDS) if own.fold_oof(fold).exists()} for own in retrained]
        if kind == "refit":
            n_trained = sum(len(folds | set(range(terms.train_folds))) for folds in trained)
            lost = f", {n_lost} could not be trained" if n_lost else ""
            yield f"{trials}: {n_trained} of {N_FOLDS * len(numbers)} folds trained, {state}{lost}"
        elif n_trained := sum(map(len, trained)):
            yield f"{trials}, {kind}: {n_trained} of {N_FOLDS * len(numbers)} folds trained"


def _table(best: list[FrozenTrial]) -> Table:
    names = [name for name in best[0].params if any(t.params.get(name) != best[-1].params.get(name) for t in best)]
    table = Table("trial", "score", "time", *names, box=None, header_style="bold", pad_edge=False)
    for trial in best:
        cells = [_cell(trial.params.get(name)) for name in names]
        table.add_row(str(trial.number), f"{trial.value:.4f}", duration(_time_of(trial).total_seconds()), *cells)
    return table


def _running_line(trial: FrozenTrial, epochs: int, *, is_driven: bool) -> str:
    n_epochs = len(trial.intermediate_values)
    sizes = trial.user_attrs.get(IMAGE_SIZES, [])
    at_size = f" at {sizes[min(n_epochs, len(sizes) - 1)]} px" if sizes else ""
    state = "is running" if is_driven else "was interrupted and will go on"
    return f"trial {trial.number} {state}: {n_epochs} of {epochs} epochs{at_size}"


def _trained(trials: list[FrozenTrial]) -> timedelta:
    return sum((_time_of(trial) for trial in trials), timedelta())


def _time_of(trial: FrozenTrial) -> timedelta:
    if "seconds" in trial.user_attrs:
        return timedelta(seconds=float(trial.user_attrs["seconds"]))
    return (trial.datetime_complete or datetime.now()) - (trial.datetime_start or datetime.now())


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _indented(text: str) -> list[str]:
    return [f"    {printable(line)}" for line in text.splitlines()[-8:]]
