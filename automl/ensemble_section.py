"""The ensemble's part of the report: what it scores, who its members are, what each part adds, how alike they err.

Reads ensemble.json alone. Not responsible for: the page around it (automl.report).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from automl.artifacts import read_json
from automl.errors import StorageError

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
