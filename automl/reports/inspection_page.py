"""What was found out about a competition's images, as one HTML page that needs no network.

The page holds everything it shows: figures, plotly, and small copies of some images. Not responsible for: finding it
out (automl.inspection.inspection).
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
from automl.files.tables import counted
from automl.inspection.adversarial_validation import Told
from automl.inspection.inspection import Inspection, label_of, rows_to_show
from automl.inspection.recommendations import suggestions_of
from automl.tasks import Task

TRAIN, TEST = "#2166ac", "#d6604d"
SHOWN_SIDE = 96
MAX_CLASSES = 12
MAX_OF_CLASS = 8
MAX_SETS = 12  # of duplicates, and of images in each of them 4
MAX_OF_SET = 4
MAX_TARGETS = 12
MAX_NAMED = 60  # names below bars, and lines of broken images
MAX_POINTS = 3_000
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<style>body{{font:15px system-ui,sans-serif;margin:2em auto;max-width:1100px;color:#222}}
h2{{margin-top:2em}}table{{border-collapse:collapse;font-size:14px}}
td,th{{padding:4px 12px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}}
img{{height:{side}px;margin:0 4px 4px 0;vertical-align:middle}}code{{background:#f3f3f3;padding:1px 4px}}
ul{{padding-left:1.2em;font-size:14px;overflow-wrap:anywhere}}</style></head><body><h1>{title}</h1>
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
    """The first figures of the page, which bring plotly along."""
    competition = inspection.competition
    if competition.task is Task.REGRESSION:
        figures = [
            _histogram(name, values) for name, values in zip(competition.classes, competition.targets.T, strict=True)
        ]
        more = f"<p>and {len(figures) - MAX_TARGETS} more targets</p>" if len(figures) > MAX_TARGETS else ""
        return f"<h2>Values</h2>{_html(figures[0], first=True)}{''.join(map(_html, figures[1:MAX_TARGETS]))}{more}"
    names, numbers = zip(*sorted(inspection.counts, key=lambda item: -item[1]), strict=True)
    figure = _figure(f"{len(names)} classes, the most frequent first", x="", y="training images")
    figure.add_bar(x=[html.escape(name) for name in names], y=numbers, marker_color=TRAIN)
    figure.update_xaxes(type="category", showticklabels=len(names) <= MAX_NAMED)
    several = f"<p>{_labels_of_an_image(competition)}</p>" if competition.task is Task.MULTILABEL else ""
    return f"<h2>Class balance</h2>{several}{_html(figure, first=True)}"


def _histogram(name: str, values: NDArray[np.float64]) -> go.Figure:
    figure = _figure("", x=html.escape(name), y="training images")
    figure.add_histogram(x=values, marker_color=TRAIN)
    return figure


def _labels_of_an_image(competition: Competition) -> str:
    """ "200 images have 1 label, 1300 have 2 labels"."""
    counts = np.bincount(competition.targets.sum(axis=1))
    parts = [f"{counts[n]} have {counted(n, 'label')}" for n in np.flatnonzero(counts).tolist()]
    return "Of the training images " + ", ".join(parts) + "."


def _sizes(inspection: Inspection) -> str:
    shown = [(name, facts, _shown_rows(facts), colour) for name, facts, colour in _splits(inspection)]
    distinct = {
        size for _, facts, rows, _ in shown for size in zip(facts.widths[rows], facts.heights[rows], strict=True)
    }
    if len(distinct) < 2:
        return f"<h2>Image sizes</h2>{''.join(f'<p>All images have {w} x {h} px.</p>' for w, h in distinct)}"
    sizes = _figure("width and height", x="width, px", y="height, px")
    ratios = _figure("aspect ratio: width over height, as a share of the images", x="aspect ratio", y="")
    for name, facts, rows, colour in shown:
        widths, heights = facts.widths[rows], facts.heights[rows]
        marker = {"color": colour, "size": 5, "opacity": 0.5}
        sizes.add_scatter(x=widths, y=heights, mode="markers", name=name, marker=marker)
        _add_shares(ratios, widths / heights, name, colour)
    alike = len({width / height for width, height in distinct}) == 1
    return f"<h2>Image sizes</h2>{_html(sizes)}{'' if alike else _html(ratios)}"


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
        (f"{html.escape(name)}<br>{counted(counts[name], 'image')}", "".join(_image(paths[row]) for row in members))
        for name, members in chosen
    ]
    regression = inspection.competition.task is Task.REGRESSION
    title, kind = ("Some images, by their values", "values") if regression else ("Some images of each class", "class")
    return f"<h2>{title}</h2>{_table((kind, 'images'), rows)}"


def _duplicates(inspection: Inspection) -> str:
    competition, found = inspection.competition, inspection.duplicates
    conflicting = set(found.conflicting(competition.targets))
    sets = sorted(found.clusters, key=lambda rows: rows[0] not in conflicting)  # those that ask for a decision first
    n_conflicting = sum(rows[0] in conflicting for rows in sets)
    labelled = f", {n_conflicting} of them with different labels" if n_conflicting else ""
    among = [
        [(competition.image_paths[row], f": {label_of(competition, row)}") for row in rows[:MAX_OF_SET]]
        for rows in sets[:MAX_SETS]
    ]
    across = [
        [(competition.image_paths[row], f": {label_of(competition, row)}"), (competition.test_paths[test_row], "")]
        for row, test_row in found.shared[:MAX_SETS]
    ]
    return (
        f"<h2>Duplicates</h2><p>{counted(len(sets), 'set')} of copies among the training images{labelled}</p>"
        f"{_copies(competition, among)}"
        f"<p>{counted(len(found.shared), 'test image')} with a copy among the training images</p>"
        f"{_copies(competition, across)}"
    )


def _copies(competition: Competition, sets: Sequence[Sequence[tuple[Path, str]]]) -> str:
    rows = [
        (
            "".join(_image(path) for path, _ in images),
            "<br>".join(_name(path, competition.root) + html.escape(label) for path, label in images),
        )
        for images in sets
    ]
    return _table(("images", "names and labels"), rows) if rows else ""


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
    more = [f"and {len(problems) - MAX_NAMED} more"] if len(problems) > MAX_NAMED else []
    shown = _list([*problems[:MAX_NAMED], *more]) if problems else "<p>none</p>"
    return f"<h2>Images that cannot be decoded</h2>{shown}"


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


def _html(figure: go.Figure, *, first: bool = False) -> str:
    text: str = figure.to_html(full_html=False, include_plotlyjs=first, config={"displayModeBar": False})
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
