"""Lay out an HTML page that needs no network: one style, plotly inside, and all text escaped that is not markup yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from automl.artifacts import write_bytes

PAGE = Markup(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<style>body{{font:15px system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}}
h2{{margin-top:2em}}table{{border-collapse:collapse;font-size:14px}}
td,th{{padding:4px 12px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}}
td.number,th.number{{text-align:right;font-variant-numeric:tabular-nums}}
img{{margin:0 4px 4px 0;vertical-align:middle}}code{{background:#f3f3f3;padding:1px 4px}}
ul{{padding-left:1.2em;font-size:14px;overflow-wrap:anywhere}}</style>
<script>{plotly}</script></head><body><h1>{title}</h1>
{content}</body></html>
"""
)


def write_page(path: Path, title: str, parts: Iterable[Markup]) -> None:
    """Write the page, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    page = PAGE.format(title=title, plotly=Markup(get_plotlyjs()), content=Markup("\n").join(parts))
    write_bytes(path, page.encode())


def render_section(title: str, *parts: Markup) -> Markup:
    """Return the parts under a heading."""
    return Markup("<h2>{}</h2>{}").format(title, Markup("").join(parts))


def render_paragraph(*lines: str) -> Markup:
    """Return a paragraph of these lines; none without lines."""
    return Markup("<p>{}</p>").format(Markup("<br>").join(lines)) if lines else Markup("")


def render_list(lines: Iterable[str]) -> Markup:
    """Return a list with an item for each line."""
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(line) for line in lines))


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[int] = ()) -> Markup:
    """Return a table; columns whose positions are in numbers are aligned at the right."""
    lines = [_render_row("th", head, numbers), *(_render_row("td", row, numbers) for row in rows)]
    return Markup("<table>{}</table>").format(Markup("").join(lines))


def render_figure(figure: go.Figure, *, mode_bar: bool = True) -> Markup:
    """Return a plotly figure, drawn by the script that the page brings along."""
    config = {} if mode_bar else {"displayModeBar": False}
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=config))


def _render_row(tag: str, cells: Sequence[str], numbers: Collection[int]) -> Markup:
    sides = [Markup(' class="number"') if column in numbers else "" for column in range(len(cells))]
    filled = [Markup("<{0}{1}>{2}</{0}>").format(tag, side, cell) for side, cell in zip(sides, cells, strict=True)]
    return Markup("<tr>{}</tr>").format(Markup("").join(filled))
