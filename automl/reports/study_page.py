"""The study as one self-contained HTML page: what the trials scored, how they learned, which parameters mattered.

The page holds everything it shows, plotly included; it asks no network and needs no server. Not responsible for: the
images (automl.reports.inspection_page) or the ensemble itself (automl.ensemble).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState
from plotly.offline import get_plotlyjs

from automl.artifacts import read_json, write_bytes
from automl.errors import StorageError
from automl.study.study import best_trials, terms_of

CHOSEN_WITHOUT = "each with choices made without it"
CELL_PX = 70  # of a correlation's square
OUTDATED = "<h2>Ensemble</h2><p>ensemble.json is damaged or of an earlier version; automl ensemble writes it again.</p>"


def ensemble_section(path: Path) -> str:
    """HTML of the ensemble that is written at path; a line where it cannot be understood."""
    try:
        document = read_json(path)
        parts = [_scores(document), _members(document), _views(document), _correlations(document), _notes(document)]
    except (StorageError, KeyError, TypeError, ValueError, IndexError):
        return OUTDATED
    return "<h2>Ensemble</h2>" + "\n".join(parts)


def _scores(document: Mapping[str, Any]) -> str:
    better = "greater" if document["greater_is_better"] else "smaller"
    told = "which also told what to leave out for lack of time" if document["is_trimmed"] else CHOSEN_WITHOUT
    lines = [
        f"<b>{html.escape(document['metric'])} {document['score']:.4f} &plusmn; {document['score_error']:.4f}</b>, on "
        f"{document['n_rows']} images out of fold, {told}; {better} is better.",
    ]
    if len(document["views"]) > 1:
        lines.append(f"Without views {document['score_without_tta']:.4f}.")
    single = f"Trial {document['best_single_number']} alone {document['best_single_score']:.4f}"
    if document["n_trials"] > 1:
        single += (
            f", the best of {document['n_trials']} trials, which by luck looks about {document['luck']:.4f} better "
            "than it is"
        )
    lines += [f"{single}.", f"The submission is {html.escape(document['decided'])}."]
    return f"<p>{'<br>'.join(lines)}</p>"


def _members(document: Mapping[str, Any]) -> str:
    head = ("member", "weight", "own score", "adds", "ms per image", "temperature", "network", "folds", "views")
    rows = [
        [
            f"trial {member['name']}",
            f"{member['weight']:.3f}",
            f"{member['score']:.4f}",
            _added(member["adds"]),
            f"{1000.0 * member['seconds_per_image']:.1f}",
            f"{member['temperature']:.2f}",
            f"{member['backbone']}, {member['image_size']} px",
            str(len(member["folds"])),
            str(len(member["views"])),
        ]
        for member in document["members"]
    ]
    note = "<p>What something adds is by how much the ensemble is worse without it, positive where it helps.</p>"
    return _table(head, rows, numbers=range(1, 6)) + note


def _views(document: Mapping[str, Any]) -> str:
    adds = document["view_adds"]
    return _table(("view", "adds"), [[view, _added(own)] for view, own in adds.items()], numbers=(1,)) if adds else ""


def _correlations(document: Mapping[str, Any]) -> str:
    names = [f"trial {member['name']}" for member in document["members"]]
    if len(names) < 2:
        return ""
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
    figure: str = go.Figure(heatmap, layout).to_html(full_html=False, include_plotlyjs=False)
    return figure


def _notes(document: Mapping[str, Any]) -> str:
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in document["notes"])
    return f"<ul>{lines}</ul>" if lines else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int]) -> str:
    def cells(texts: Sequence[str], tag: str) -> str:
        sides = [' class="number"' if column in numbers else "" for column in range(len(texts))]
        return "".join(f"<{tag}{side}>{html.escape(text)}</{tag}>" for side, text in zip(sides, texts, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{cells(head, 'th')}</tr>{body}</table>"


def _added(adds: float | None) -> str:
    return "" if adds is None else f"{adds:+.4f}"


COLOURS = {
    TrialState.COMPLETE: "#1b7837",
    TrialState.PRUNED: "#9e9e9e",
    TrialState.FAIL: "#b2182b",
    TrialState.RUNNING: "#2166ac",
}
MIN_COMPLETE_FOR_IMPORTANCE = 10  # below that the importances are noise
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<style>body{{font:15px system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}}
table{{border-collapse:collapse;font-size:13px}}td,th{{padding:3px 10px;text-align:left;border-bottom:1px solid #ddd}}
td.number,th.number{{text-align:right;font-variant-numeric:tabular-nums}}
</style><script>{plotly}</script></head><body><h1>{title}</h1><p>{summary}</p>
{ensemble}
<h2>Trials</h2>
{figures}
<h2>Best trials</h2>{table}</body></html>
"""


def write_report(study: optuna.Study, path: Path, *, ensemble: Path | None = None) -> None:
    """Write the page, atomically.

    Args:
        ensemble: ensemble.json; there is no section about it where there is no such file.

    Raises:
        StorageError: the file cannot be written.
    """
    trials = [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
    metric = terms_of(study).metric
    figures = [
        _history(trials, metric),
        _learning_curves(trials, metric),
        *_importance(study),
        *_slices(trials, metric),
    ]
    page = PAGE.format(
        title=html.escape(f"Study {study.study_name}"),
        summary=html.escape(_summary(study, trials, metric)),
        plotly=get_plotlyjs(),
        ensemble="" if ensemble is None or not ensemble.exists() else ensemble_section(ensemble),
        figures="\n".join(figure.to_html(full_html=False, include_plotlyjs=False) for figure in figures),
        table=_best_table(best_trials(study, 15)),
    )
    write_bytes(path, page.encode())


def _summary(study: optuna.Study, trials: Sequence[FrozenTrial], metric: str) -> str:
    counts = [f"{sum(t.state == state for t in trials)} {state.name.lower()}" for state in COLOURS]
    best = best_trials(study, 1)
    ending = f"; best {metric} {best[0].value:.4f} (trial {best[0].number})" if best else ""
    return f"{len(trials)} trials: {', '.join(counts)}{ending}."


def _history(trials: Sequence[FrozenTrial], metric: str) -> go.Figure:
    figure = go.Figure(layout={"title": "Score of each trial", "xaxis_title": "trial", "yaxis_title": metric})
    for state, colour in COLOURS.items():
        shown = [(trial.number, _last_value(trial)) for trial in trials if trial.state == state]
        shown = [point for point in shown if point[1] is not None]
        if shown:
            x, y = zip(*shown, strict=True)
            figure.add_scatter(x=x, y=y, mode="markers", name=state.name.lower(), marker={"color": colour, "size": 9})
    return figure


def _learning_curves(trials: Sequence[FrozenTrial], metric: str) -> go.Figure:
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


def _importance(study: optuna.Study) -> list[go.Figure]:
    complete = best_trials(study)
    if len(complete) < MIN_COMPLETE_FOR_IMPORTANCE:
        return []
    try:
        importances = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError):  # all trials scored the same, or share no parameter
        return []
    names = list(importances)[::-1]
    title = f"Importance of the parameters, from {len(complete)} complete trials"
    return [go.Figure(go.Bar(x=[importances[name] for name in names], y=names, orientation="h"), {"title": title})]


def _slices(trials: Sequence[FrozenTrial], metric: str) -> Iterable[go.Figure]:
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


def _best_table(best: Sequence[FrozenTrial]) -> str:
    names = list(dict.fromkeys(name for trial in best for name in trial.params))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("trial", "score", *names))
    rows = "".join(_row([trial.number, trial.value, *[trial.params.get(n, "") for n in names]]) for trial in best)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _row(cells: Sequence[Any]) -> str:
    texts = [f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells]
    return "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in texts) + "</tr>"


def _last_value(trial: FrozenTrial) -> float | None:
    if trial.value is not None:
        return trial.value
    return trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None
