"""A learning-rate range test as one HTML page that needs no network.

Not responsible for: the test or its reading (automl.training.lr_range).
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from automl.artifacts import write_bytes
from automl.training.lr_range import smoothed

RAW, SMOOTHED, SUGGESTED = "#9ecae1", "#08519c", "#b2182b"
HEADROOM = 0.25  # of the fall, above the loss at the start; what diverges beyond it is not worth the scale
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<style>body{{font:15px system-ui,sans-serif;margin:2em auto;max-width:1100px;color:#222}}</style>
</head><body><h1>{title}</h1><p>{summary}</p>
{figure}</body></html>
"""


def write_lr_page(
    path: Path,
    *,
    title: str,
    summary: str,
    lrs: Sequence[float],
    losses: Sequence[float],
    suggestion: float | None,
    falling: tuple[float, float] | None,
) -> None:
    """Write the page, atomically.

    Args:
        falling: learning rates between which the loss falls.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = _figure(lrs, losses)
    if falling is not None:
        figure.add_vrect(x0=falling[0], x1=falling[1], fillcolor=SMOOTHED, opacity=0.07, line_width=0)
    if suggestion is not None:
        figure.add_vline(x=suggestion, line={"color": SUGGESTED, "dash": "dash"})
        figure.add_annotation(
            x=math.log10(suggestion),  # of a logarithmic axis, annotations alone want the logarithm
            y=1.0,
            yref="paper",
            text=f"suggestion {suggestion:.1e}",
            font={"color": SUGGESTED},
            showarrow=False,
            xshift=4,
            xanchor="left",
            yanchor="top",
        )
    page = PAGE.format(
        title=html.escape(title),
        summary=html.escape(summary),
        figure=figure.to_html(full_html=False, include_plotlyjs=True),
    )
    write_bytes(path, page.encode())


def _figure(lrs: Sequence[float], losses: Sequence[float]) -> go.Figure:
    averages = smoothed(losses)
    figure = go.Figure(
        layout={
            "xaxis": {"title": "learning rate", "type": "log", "exponentformat": "power", "dtick": 1},
            "yaxis": {"title": "loss of a training batch", "range": _shown_losses(losses, averages)},
            "height": 560,
            "margin": {"t": 40},
            "template": "plotly_white",
            "legend": {"orientation": "h", "x": 0.0, "y": -0.12, "yanchor": "top"},
        }
    )
    figure.add_scatter(x=lrs, y=losses, mode="lines+markers", name="each step", line={"color": RAW}, marker={"size": 4})
    figure.add_scatter(x=lrs, y=averages, mode="lines", name="smoothed", line={"color": SMOOTHED, "width": 3})
    return figure


def _shown_losses(losses: Sequence[float], averages: Sequence[float]) -> list[float]:
    """The lowest and highest loss that the axis shows: the fall whole, of the divergence its beginning."""
    lowest, start = min(losses), max(averages[: len(averages) // 2 + 1])
    margin = HEADROOM * max(start - lowest, 0.2 * abs(start))
    return [lowest - 0.2 * margin, start + margin]
