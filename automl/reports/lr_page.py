"""Plot a learning-rate range test as one HTML page that needs no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from automl.reports.page_shell import render_figure, render_paragraph, write_page
from automl.suggest import format_number

RAW, SMOOTHED, SUGGESTED = "#9ecae1", "#08519c", "#b2182b"
HEADROOM = 0.25  # of the fall, above the loss at the start; what diverges beyond it is not worth the scale


def write_lr_page(
    path: Path,
    *,
    title: str,
    summary: str,
    lrs: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
    falling: tuple[float, float] | None,
) -> None:
    """Write the page, atomically.

    Args:
        smoothed: the losses without most of their noise.
        falling: learning rates between which the loss falls.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = _plot_losses(lrs, losses, smoothed)
    if falling is not None:
        figure.add_vrect(x0=falling[0], x1=falling[1], fillcolor=SMOOTHED, opacity=0.07, line_width=0)
    if suggestion is not None:
        figure.add_vline(x=suggestion, line={"color": SUGGESTED, "dash": "dash"})
        figure.add_annotation(
            x=math.log10(suggestion),  # of a logarithmic axis, annotations alone want the logarithm
            y=1.0,
            yref="paper",
            text=f"suggestion {format_number(suggestion, digits=2)}",
            font={"color": SUGGESTED},
            showarrow=False,
            xshift=4,
            xanchor="left",
            yanchor="top",
        )
    write_page(path, title, [render_paragraph(summary), render_figure(figure)])


def _plot_losses(lrs: Sequence[float], losses: Sequence[float], smoothed: Sequence[float]) -> go.Figure:
    figure = go.Figure(
        layout={
            "xaxis": {"title": "learning rate", "type": "log", "exponentformat": "power", "dtick": 1},
            "yaxis": {"title": "loss of a training batch", "range": _choose_range(losses, smoothed)},
            "height": 560,
            "margin": {"t": 40},
            "template": "plotly_white",
            "legend": {"orientation": "h", "x": 0.0, "y": -0.12, "yanchor": "top"},
        }
    )
    figure.add_scatter(x=lrs, y=losses, mode="lines+markers", name="each step", line={"color": RAW}, marker={"size": 4})
    figure.add_scatter(x=lrs, y=smoothed, mode="lines", name="smoothed", line={"color": SMOOTHED, "width": 3})
    return figure


def _choose_range(losses: Sequence[float], smoothed: Sequence[float]) -> list[float]:
    """Return the lowest and highest loss of the axis: the fall whole, of the divergence its beginning."""
    lowest, start = min(losses), max(smoothed[: len(smoothed) // 2 + 1])
    margin = HEADROOM * max(start - lowest, 0.2 * abs(start))
    return [lowest - 0.2 * margin, start + margin]
