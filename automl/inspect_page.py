"""What was found out about a competition's images, as one HTML page that needs no network.

The page holds everything it shows: figures, plotly, and small copies of some images. Not responsible for: finding it
out (automl.inspection).
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from automl.artifacts import write_bytes
from automl.data.competition import Competition
from automl.data.survey import ImageFacts
from automl.errors import DataError
from automl.files.decoding import decode
from automl.inspection import Inspection, Told, rows_to_show
from automl.suggestions import suggestions_of

TRAIN, TEST = "#2166ac", "#d6604d"
SHOWN_SIDE = 96
MAX_CLASSES = 12
MAX_OF_CLASS = 8
MAX_PAIRS = 12
MAX_BARS = 60
MAX_POINTS = 3_000
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<style>body{{font:15px system-ui,sans-serif;margin:2em auto;max-width:1100px;color:#222}}
h2{{margin-top:2em}}table{{border-collapse:collapse;font-size:14px}}
td,th{{padding:4px 12px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}}
img{{height:{side}px;margin:0 4px 4px 0;vertical-align:middle}}code{{background:#f3f3f3;padding:1px 4px}}
ul{{padding-left:1.2em;font-size:14px}}</style></head><body><h1>{title}</h1>
{sections}</body></html>
"""


def write_inspection(inspection: Inspection, path: Path) -> None:
    """Write the page, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    sections = [
        _understood(inspection.competition),
        _suggested(inspection),
        _balance(inspection),
        _sizes(inspection),
        _colours(inspection),
        _samples(inspection),
        _duplicates(inspection),
        _comparisons(inspection),
        _broken(inspection),
    ]
    title = html.escape(f"Before the search: {inspection.competition.root.name}")
    page = PAGE.format(title=title, side=SHOWN_SIDE, sections="\n".join(sections))
    write_bytes(path, page.encode())


def _understood(competition: Competition) -> str:
    return f"<h2>What was understood</h2>{_list(competition.evidence)}"


def _suggested(inspection: Inspection) -> str:
    rows = [(f"<code>{html.escape(what)}</code>", html.escape(why)) for what, why in suggestions_of(inspection)]
    return f"<h2>What is suggested, and why</h2>{_table(('suggestion', 'reason'), rows)}"


def _balance(inspection: Inspection) -> str:
    counts = sorted(inspection.counts, key=lambda item: -item[1])
    shown = counts if len(counts) <= MAX_BARS else [*counts[: MAX_BARS // 2], *counts[-MAX_BARS // 2 :]]
    names, numbers = zip(*shown, strict=True)
    title = f"{len(counts)} classes" if len(shown) == len(counts) else f"the ends of {len(counts)} classes"
    figure = _figure(title, x="", y="training images")
    figure.add_bar(x=[html.escape(name) for name in names], y=numbers, marker_color=TRAIN)
    figure.update_xaxes(type="category")
    # The first figure of the page brings plotly along.
    return f"<h2>Class balance</h2>{figure.to_html(full_html=False, include_plotlyjs=True)}"


def _sizes(inspection: Inspection) -> str:
    sizes = _figure("width and height", x="width, px", y="height, px")
    ratios = _figure("aspect ratio: width over height, as a share of the images", x="aspect ratio", y="")
    for name, facts, colour in _splits(inspection):
        rows = _shown_rows(facts)
        widths, heights = facts.widths[rows], facts.heights[rows]
        marker = {"color": colour, "size": 5, "opacity": 0.5}
        sizes.add_scatter(x=widths, y=heights, mode="markers", name=name, marker=marker)
        _add_shares(ratios, widths / heights, name, colour)
    return f"<h2>Image sizes</h2>{_html(sizes)}{_html(ratios)}"


def _colours(inspection: Inspection) -> str:
    brightness = _figure("mean brightness of an image, as a share of the images", x="0 black, 255 white", y="")
    rows = []
    for name, facts, colour in _splits(inspection):
        seen = facts.thumbnails[_shown_rows(facts)].astype(np.float64)
        _add_shares(brightness, seen.mean(axis=(1, 2, 3)), name, colour)
        gray = np.ptp(seen, axis=3).max(axis=(1, 2)) < 8
        means, spreads = seen.mean(axis=(0, 1, 2)) / 255, seen.std(axis=(0, 1, 2)) / 255
        cells = [f"{mean:.3f} +- {spread:.3f}" for mean, spread in zip(means, spreads, strict=True)]
        rows.append((name, *cells, f"{100 * gray.mean():.0f} %"))
    table = _table(("images", "red", "green", "blue", "gray images"), rows)
    return f"<h2>Colours</h2>{_html(brightness)}{table}"


def _samples(inspection: Inspection) -> str:
    chosen = rows_to_show(inspection, n_classes=MAX_CLASSES, n_images=MAX_OF_CLASS)
    paths, counts = inspection.competition.image_paths, dict(inspection.counts)
    rows = [
        (f"{html.escape(name)}<br>{counts[name]} images", "".join(_image(paths[row]) for row in members))
        for name, members in chosen
    ]
    return f"<h2>Some images of each class</h2>{_table(('class', 'images'), rows)}"


def _duplicates(inspection: Inspection) -> str:
    competition, duplicates = inspection.competition, inspection.duplicates
    pairs = [(competition.image_paths[a], competition.image_paths[b]) for a, b, *_ in duplicates.clusters]
    shared = [(competition.image_paths[a], competition.test_paths[b]) for a, b in duplicates.shared]
    parts = []
    for title, found in (("among the training images", pairs), ("between training and test", shared)):
        rows = [
            (_image(one) + _image(other), "<br>".join(_name(path, competition.root) for path in (one, other)))
            for one, other in found[:MAX_PAIRS]
        ]
        heading = f"{len(found)} {title}" + (f", the first {MAX_PAIRS} of them" if len(found) > MAX_PAIRS else "")
        parts.append(f"<p>{heading}</p>" + (_table(("images", "names"), rows) if rows else ""))
    return f"<h2>Duplicates</h2>{''.join(parts)}"


def _comparisons(inspection: Inspection) -> str:
    asked: Sequence[tuple[str, Told | None]] = (
        ("training from test images, by width, height and bytes", inspection.shift_in_files),
        ("training from test images, by their pixels", inspection.shift_in_pixels),
        ("labels, by width, height and bytes alone", inspection.label_in_files),
        ("images from their mirror images", inspection.mirrored),
        ("images from themselves, turned by 90 degrees", inspection.turned),
    )
    rows = [
        (what, "cannot be asked of so few images, or all are alike" if told is None else str(told))
        for what, told in asked
    ]
    note = "Ridge regression on 8 x 8 pixels or on what the files are, cross-validated: 0.5 is chance, 1 is certain."
    return f"<h2>What can be told apart</h2><p>{note}</p>{_table(('what', 'AUC'), rows)}"


def _broken(inspection: Inspection) -> str:
    problems = [*inspection.survey.train.problems.values(), *inspection.survey.test.problems.values()]
    listed = _list(problems) if problems else "<p>none</p>"
    return f"<h2>Images that cannot be decoded</h2>{listed}"


def _splits(inspection: Inspection) -> Iterable[tuple[str, ImageFacts, str]]:
    splits = (("training", inspection.survey.train, TRAIN), ("test", inspection.survey.test, TEST))
    return (split for split in splits if (split[1].widths > 0).any())


def _shown_rows(facts: ImageFacts) -> NDArray[np.int64]:
    rows = np.flatnonzero(facts.widths > 0)
    return rows[:: max(1, -(-len(rows) // MAX_POINTS))]


def _figure(title: str, *, x: str, y: str) -> go.Figure:
    return go.Figure(
        layout={
            "title": {"text": title, "font": {"size": 15}},
            "xaxis_title": x,
            "yaxis_title": y,
            "height": 360,
            "margin": {"t": 50, "b": 50},
            "template": "plotly_white",
        }
    )


def _add_shares(figure: go.Figure, values: NDArray[np.float64], name: str, colour: str) -> None:
    """A histogram over those of the other splits, with the same bins."""
    figure.add_histogram(x=values, name=name, marker_color=colour, opacity=0.6, histnorm="probability", bingroup=1)
    figure.update_layout(barmode="overlay")


def _html(figure: go.Figure) -> str:
    text: str = figure.to_html(full_html=False, include_plotlyjs=False)
    return text


def _image(path: Path) -> str:
    """A small copy inside the page; a broken image is a gap."""
    try:
        image = decode(path, min_side=SHOWN_SIDE)
    except DataError:
        return "<i>unreadable</i> "
    image.thumbnail((4 * SHOWN_SIDE, SHOWN_SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}">'


def _name(path: Path, root: Path) -> str:
    return html.escape(path.relative_to(root).as_posix())


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    header = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{header}</tr>{body}</table>"
