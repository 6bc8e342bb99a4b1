"""Render a study as one HTML page: scores, learning curves, parameters that mattered, and the ensemble."""

from __future__ import annotations

import html  # for texts in figures, of which plotly reads some tags
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from optuna.trial import FrozenTrial, TrialState

from automl.artifacts import StudyFiles, read_json
from automl.ensemble.ensemble_recipe import SEARCH, describe_member
from automl.errors import StorageError
from automl.probing.probe_study import read_probe_study
from automl.reports.page_shell import (
    render_figure,
    render_list,
    render_paragraph,
    render_section,
    render_table,
    write_page,
)
from automl.reports.probe_table import COLUMNS, FIRST_NUMBER, describe_agreement, format_probe_rows
from automl.study.study import PARAMS, build_trials_table, read_terms, select_best_trials
from automl.suggest import format_number

CHOSEN_WITHOUT = "each with choices made without it"
CELL_PX = 70  # of a correlation's square
OUTDATED = "ensemble.json is damaged or of an earlier version; automl ensemble writes it again."
COLOURS = {
    TrialState.COMPLETE: "#1b7837",
    TrialState.PRUNED: "#9e9e9e",
    TrialState.FAIL: "#b2182b",
    TrialState.RUNNING: "#2166ac",
}
MIN_COMPLETE_FOR_IMPORTANCE = 10  # below that the importances are noise


def write_report(study: optuna.Study, files: StudyFiles) -> None:
    """Write the page of a study into its folder, atomically; with sections about probes and ensemble where there are.

    Raises:
        StorageError: the file cannot be written.
    """
    trials = [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
    metric = read_terms(study).metric
    figures = [
        _plot_history(trials, metric),
        _plot_learning_curves(trials, metric),
        *_plot_importances(study),
        *_plot_slices(trials, metric),
    ]
    sections = [
        render_paragraph(_summarise(study, trials, metric)),
        render_ensemble_section(files.ensemble) if files.ensemble.exists() else Markup(""),
        _render_probes(study, files, metric),
        render_section("Trials", *map(render_figure, figures)),
        render_section("Best trials", _render_best_table(build_trials_table(select_best_trials(study, 15)))),
    ]
    write_page(files.report, f"Study {study.study_name}", sections)


def _render_probes(study: optuna.Study, files: StudyFiles, metric: str) -> Markup:
    """Return the section about the probes: score against cost, and their table."""
    probes = read_probe_study(files)
    reports = [] if probes is None else probes.list_reports()
    if probes is None or not reports:
        return Markup("")
    figure = go.Figure(
        go.Scatter(
            x=[report.ms_per_image for report in reports],
            y=[report.score for report in reports],
            error_y={"array": [report.score_error or 0.0 for report in reports]},
            text=[html.escape(str(report.candidate)) for report in reports],
            mode="markers",
        ),
        {
            "title": "Score of each probe against its cost",
            "xaxis": {"title": "ms per image", "type": "log"},
            "yaxis_title": metric,
            "height": 380,
        },
    )
    agreement = describe_agreement(probes, study)
    return render_section(
        "Probes",
        render_paragraph("Light heads on the features of frozen pretrained backbones, scored out of fold."),
        render_figure(figure),
        render_table(COLUMNS, format_probe_rows(reports), numbers=range(FIRST_NUMBER, len(COLUMNS))),
        render_paragraph(f"{agreement}.") if agreement else Markup(""),
    )


def _summarise(study: optuna.Study, trials: Sequence[FrozenTrial], metric: str) -> str:
    counts = [f"{sum(t.state == state for t in trials)} {state.name.lower()}" for state in COLOURS]
    best = select_best_trials(study, 1)
    ending = f"; best {metric} {best[0].value:.4f} (trial {best[0].number})" if best else ""
    return f"{len(trials)} trials: {', '.join(counts)}{ending}."


def _plot_history(trials: Sequence[FrozenTrial], metric: str) -> go.Figure:
    figure = go.Figure(layout={"title": "Score of each trial", "xaxis_title": "trial", "yaxis_title": metric})
    for state, colour in COLOURS.items():
        shown = [(trial.number, _get_last_value(trial)) for trial in trials if trial.state == state]
        shown = [point for point in shown if point[1] is not None]
        if shown:
            x, y = zip(*shown, strict=True)
            figure.add_scatter(x=x, y=y, mode="markers", name=state.name.lower(), marker={"color": colour, "size": 9})
    return figure


def _plot_learning_curves(trials: Sequence[FrozenTrial], metric: str) -> go.Figure:
    figure = go.Figure(layout={"title": "Learning curves", "xaxis_title": "epoch", "yaxis_title": metric})
    for trial in trials:
        steps = sorted(trial.intermediate_values)
        figure.add_scatter(
            x=[step + 1 for step in steps],
            y=[trial.intermediate_values[step] for step in steps],
            mode="lines+markers",
            name=f"trial {trial.number} ({trial.state.name.lower()})",
            line={"color": COLOURS[trial.state], "width": 1},
            marker={"size": 4},
            showlegend=False,
        )
    return figure


def _plot_importances(study: optuna.Study) -> list[go.Figure]:
    complete = select_best_trials(study)
    if len(complete) < MIN_COMPLETE_FOR_IMPORTANCE:
        return []
    try:
        importances = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError):  # all trials scored the same, or share no parameter
        return []
    names = list(importances)[::-1]
    title = f"Importance of the parameters, from {len(complete)} complete trials"
    return [go.Figure(go.Bar(x=[importances[name] for name in names], y=names, orientation="h"), {"title": title})]


def _plot_slices(trials: Sequence[FrozenTrial], metric: str) -> Iterable[go.Figure]:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    for name in dict.fromkeys(name for trial in complete for name in trial.params):
        shown = [(trial.params[name], trial.value, trial.number) for trial in complete if name in trial.params]
        if len({value for value, _, _ in shown}) < 2:
            continue
        values, scores, numbers = zip(*shown, strict=True)
        is_log = any(getattr(trial.distributions.get(name), "log", False) for trial in complete)
        yield go.Figure(
            go.Scatter(x=values, y=scores, mode="markers", text=[f"trial {number}" for number in numbers]),
            {
                "title": html.escape(name),
                "xaxis": {"title": html.escape(name), "type": "log" if is_log else None},
                "yaxis_title": metric,
                "height": 320,
            },
        )


def _render_best_table(best: pd.DataFrame) -> Markup:
    shown = best.filter(regex=f"^(number|score|{PARAMS}.*)$")
    names = shown.columns[2:].str.removeprefix(PARAMS)
    rows = [
        [str(number), f"{score:.4g}", *map(_format_cell, values)]
        for number, score, *values in shown.itertuples(index=False)
    ]
    return render_table(("trial", "score", *names), rows)


def _format_cell(value: object) -> str:
    if value is pd.NA:
        return ""
    return format_number(value, digits=4) if isinstance(value, float) else str(value)


def _get_last_value(trial: FrozenTrial) -> float | None:
    if trial.value is not None:
        return trial.value
    return trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None


def render_ensemble_section(path: Path) -> Markup:
    """Return the section about the ensemble of this ensemble.json; a line where it cannot be understood."""
    try:
        document = read_json(path)
        parts = [
            _render_scores(document),
            _render_members(document),
            _render_views(document),
            _render_correlations(document),
            render_list(document["notes"]) if document["notes"] else Markup(""),
        ]
    except (StorageError, KeyError, TypeError, ValueError, IndexError):
        parts = [render_paragraph(OUTDATED)]
    return render_section("Ensemble", *parts)


def _render_scores(document: Mapping[str, Any]) -> Markup:
    better = "greater" if document["greater_is_better"] else "smaller"
    choices = "which also told what to leave out for lack of time" if document["is_trimmed"] else CHOSEN_WITHOUT
    score = f"{document['metric']} {document['score']:.4f} \N{PLUS-MINUS SIGN} {document['score_error']:.4f}"
    lines: list[str] = [
        Markup("<b>{}</b>, on {} images out of fold, {}; {} is better.").format(
            score, document["n_rows"], choices, better
        )
    ]
    if len(document["views"]) > 1:
        lines.append(f"Without views {document['score_without_tta']:.4f}.")
    name = describe_member(document["best_single_number"], document.get("best_single_kind", SEARCH))
    single = f"{name.capitalize()} alone {document['best_single_score']:.4f}"
    if document["n_trials"] > 1:
        single += (
            f", the best of {document['n_trials']} trials, which by luck looks about {document['luck']:.4f} better "
            "than it is"
        )
    subject = "Predictions are" if document.get("submission", "") is None else "The submission is"
    return render_paragraph(*lines, f"{single}.", f"{subject} {document['decided']}.")


def _render_members(document: Mapping[str, Any]) -> Markup:
    head = ("member", "weight", "own score", "adds", "ms per image", "temperature", "network", "folds", "views")
    rows = [
        [
            describe_member(member["number"], member["kind"]),
            f"{member['weight']:.3f}",
            f"{member['score']:.4f}",
            _format_gain(member["adds"]),
            f"{1000.0 * member['seconds_per_image']:.1f}",
            f"{member['temperature']:.2f}",
            f"{member['backbone']}, {member['image_size']} px",
            str(len(member["folds"])),
            str(len(member["views"])),
        ]
        for member in document["members"]
    ]
    note = "What something adds is by how much the ensemble is worse without it, positive where it helps."
    return render_table(head, rows, numbers=range(1, 6)) + render_paragraph(note)


def _render_views(document: Mapping[str, Any]) -> Markup:
    rows = [[view, _format_gain(gain)] for view, gain in document["view_adds"].items()]
    return render_table(("view", "adds"), rows, numbers=(1,)) if rows else Markup("")


def _render_correlations(document: Mapping[str, Any]) -> Markup:
    names = [describe_member(member["number"], member["kind"]) for member in document["members"]]
    if len(names) < 2:
        return Markup("")
    correlations = document["error_correlations"]
    heatmap = go.Heatmap(
        z=correlations,
        x=names,
        y=names,
        zmin=0.0,
        zmax=1.0,
        colorscale="Blues",
        text=[[f"{own:.2f}" for own in row] for row in correlations],
        texttemplate="%{text}",
        hovertemplate="%{y} and %{x}: %{text}<extra></extra>",
    )
    side = CELL_PX * len(names)
    layout = {
        "title": "How much members err alike: 1 in the same way, 0 not at all",
        "width": side + 330,
        "height": side + 190,
        "xaxis": {"type": "category"},
        "yaxis": {"type": "category", "autorange": "reversed"},
    }
    return render_figure(go.Figure(heatmap, layout))


def _format_gain(gain: float | None) -> str:
    return "" if gain is None else f"{gain:+.4f}"
