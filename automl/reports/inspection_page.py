"""Render what was found out about a competition's images, as one HTML page with figures and small copies of images."""

from __future__ import annotations

import base64
import html  # for texts in figures, of which plotly reads some tags
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.data.survey import ImageFacts
from automl.errors import DataError
from automl.files.decoding import decode_image
from automl.files.tables import format_count
from automl.inspection.adversarial_validation import Separability
from automl.inspection.inspection import Inspection, format_label, select_example_rows
from automl.inspection.recommendations import recommend
from automl.reports.page_shell import (
    render_figure,
    render_list,
    render_paragraph,
    render_section,
    render_table,
    write_page,
)

TRAIN, TEST = "#2166ac", "#d6604d"
SHOWN_SIDE = 96
MAX_CLASSES = 12
MAX_OF_CLASS = 8
MAX_SETS = 12  # of duplicates, and of images in each of them 4
MAX_OF_SET = 4
MAX_TARGETS = 12
MAX_NAMED = 60  # names below bars, and lines of broken images
MAX_POINTS = 3_000


def write_inspection(inspection: Inspection, path: Path) -> None:
    """Write the page, atomically.

    Raises:
        StorageError: the file cannot be written.
    """
    sections = [
        _render_evidence(inspection.competition),
        _render_suggestions(inspection),
        _render_balance(inspection),
        _render_sizes(inspection),
        _render_colours(inspection),
        _render_samples(inspection),
        _render_duplicates(inspection),
        _render_separability(inspection),
        _render_broken_images(inspection),
    ]
    write_page(path, f"Before the search: {inspection.competition.root.name}", sections)


def _render_evidence(competition: Competition) -> Markup:
    return render_section("What was understood", render_list(competition.evidence))


def _render_suggestions(inspection: Inspection) -> Markup:
    rows = [(Markup("<code>{}</code>").format(what), why) for what, why in recommend(inspection)]
    return render_section("What is suggested, and why", render_table(("suggestion", "reason"), rows))


def _render_balance(inspection: Inspection) -> Markup:
    competition = inspection.competition
    if not competition.target_kind.has_classes:
        figures = [
            _plot_histogram(name, values)
            for name, values in zip(competition.classes, competition.targets.T, strict=True)
        ]
        n_more = len(figures) - MAX_TARGETS
        more = render_paragraph(*([f"and {n_more} more targets"] if n_more > 0 else []))
        return render_section("Values", *map(_render_plot, figures[:MAX_TARGETS]), more)
    names, numbers = zip(*sorted(inspection.counts, key=lambda item: -item[1]), strict=True)
    figure = _build_figure(f"{len(names)} classes, the most frequent first", x="", y="training images")
    figure.add_bar(x=[html.escape(name) for name in names], y=numbers, marker_color=TRAIN)
    figure.update_xaxes(type="category", showticklabels=len(names) <= MAX_NAMED)
    several = [_describe_label_counts(competition)] if competition.target_kind.is_multi_label else []
    return render_section("Class balance", render_paragraph(*several), _render_plot(figure))


def _plot_histogram(name: str, values: NDArray[np.float64]) -> go.Figure:
    figure = _build_figure("", x=html.escape(name), y="training images")
    figure.add_histogram(x=values, marker_color=TRAIN)
    return figure


def _describe_label_counts(competition: Competition) -> str:
    """ "200 images have 1 label, 1300 have 2 labels"."""
    counts = np.bincount(competition.targets.sum(axis=1))
    parts = [f"{counts[n]} have {format_count(n, 'label')}" for n in np.flatnonzero(counts).tolist()]
    return "Of the training images " + ", ".join(parts) + "."


def _render_sizes(inspection: Inspection) -> Markup:
    shown = [(name, facts, _select_plotted_rows(facts), colour) for name, facts, colour in _list_splits(inspection)]
    distinct = {
        size for _, facts, rows, _ in shown for size in zip(facts.widths[rows], facts.heights[rows], strict=True)
    }
    if len(distinct) < 2:
        return render_section(
            "Image sizes", *(render_paragraph(f"All images have {width} x {height} px.") for width, height in distinct)
        )
    sizes = _build_figure("width and height", x="width, px", y="height, px")
    ratios = _build_figure("aspect ratio: width over height, as a share of the images", x="aspect ratio", y="")
    for name, facts, rows, colour in shown:
        widths, heights = facts.widths[rows], facts.heights[rows]
        marker = {"color": colour, "size": 5, "opacity": 0.5}
        sizes.add_scatter(x=widths, y=heights, mode="markers", name=name, marker=marker)
        _add_histogram(ratios, widths / heights, name, colour)
    alike = len({width / height for width, height in distinct}) == 1
    return render_section("Image sizes", *map(_render_plot, [sizes] if alike else [sizes, ratios]))


def _render_colours(inspection: Inspection) -> Markup:
    brightness = _build_figure("mean brightness of an image, as a share of the images", x="0 black, 255 white", y="")
    rows = []
    for name, facts, colour in _list_splits(inspection):
        seen = facts.thumbnails[_select_plotted_rows(facts)].astype(np.float64)
        _add_histogram(brightness, seen.mean(axis=(1, 2, 3)), name, colour)
        gray = np.ptp(seen, axis=3).max(axis=(1, 2)) < 8
        means, spreads = seen.mean(axis=(0, 1, 2)) / 255, seen.std(axis=(0, 1, 2)) / 255
        cells = [f"{mean:.3f} +- {spread:.3f}" for mean, spread in zip(means, spreads, strict=True)]
        rows.append((name, *cells, f"{100 * gray.mean():.0f} %"))
    table = render_table(("images", "red", "green", "blue", "gray images"), rows)
    return render_section("Colours", _render_plot(brightness), table)


def _render_samples(inspection: Inspection) -> Markup:
    chosen = select_example_rows(inspection, n_classes=MAX_CLASSES, n_images=MAX_OF_CLASS)
    paths, counts = inspection.competition.image_paths, dict(inspection.counts)
    rows = [
        (
            Markup("{}<br>{}").format(name, format_count(counts[name], "image")),
            Markup("").join(_render_image(paths[row]) for row in members),
        )
        for name, members in chosen
    ]
    has_classes = inspection.competition.target_kind.has_classes
    title, column = (
        ("Some images of each class", "class") if has_classes else ("Some images, by their values", "values")
    )
    return render_section(title, render_table((column, "images"), rows))


def _render_duplicates(inspection: Inspection) -> Markup:
    competition, found = inspection.competition, inspection.duplicates
    conflicting = set(found.find_label_conflicts(competition.targets))
    sets = sorted(found.clusters, key=lambda rows: rows[0] not in conflicting)  # those that ask for a decision first
    n_conflicting = sum(rows[0] in conflicting for rows in sets)
    labelled = f", {n_conflicting} of them with different labels" if n_conflicting else ""
    among = [
        [(competition.image_paths[row], f": {format_label(competition, row)}") for row in rows[:MAX_OF_SET]]
        for rows in sets[:MAX_SETS]
    ]
    across = [
        [(competition.image_paths[row], f": {format_label(competition, row)}"), (competition.test_paths[test_row], "")]
        for row, test_row in found.shared[:MAX_SETS]
    ]
    return render_section(
        "Duplicates",
        render_paragraph(f"{format_count(len(sets), 'set')} of copies among the training images{labelled}"),
        _render_copies(competition, among),
        render_paragraph(f"{format_count(len(found.shared), 'test image')} with a copy among the training images"),
        _render_copies(competition, across),
    )


def _render_copies(competition: Competition, sets: Sequence[Sequence[tuple[Path, str]]]) -> Markup:
    rows = [
        (
            Markup("").join(_render_image(path) for path, _ in images),
            Markup("<br>").join(f"{path.relative_to(competition.root).as_posix()}{label}" for path, label in images),
        )
        for images in sets
    ]
    return render_table(("images", "names and labels"), rows) if rows else Markup("")


def _render_separability(inspection: Inspection) -> Markup:
    measured: Sequence[tuple[str, Separability | None]] = (
        ("training from test images, by width, height and bytes", inspection.shift_in_files),
        ("training from test images, by their pixels", inspection.shift_in_pixels),
        ("labels, by width, height and bytes alone", inspection.label_leak),
        ("images from their mirror images", inspection.mirror_separability),
        ("images from themselves, turned by 90 degrees", inspection.rotation_separability),
    )
    rows = [
        (what, "cannot be measured of so few images, or all are alike" if separability is None else str(separability))
        for what, separability in measured
    ]
    method = "Ridge regression on 8 x 8 pixels or on what the files are, cross-validated: 0.5 is chance, 1 is certain."
    return render_section("What is separable", render_paragraph(method), render_table(("what", "AUC"), rows))


def _render_broken_images(inspection: Inspection) -> Markup:
    problems = [*inspection.survey.train.problems.values(), *inspection.survey.test.problems.values()]
    more = [f"and {len(problems) - MAX_NAMED} more"] if len(problems) > MAX_NAMED else []
    shown = render_list([*problems[:MAX_NAMED], *more]) if problems else render_paragraph("none")
    return render_section("Images that cannot be decoded", shown)


def _list_splits(inspection: Inspection) -> Iterable[tuple[str, ImageFacts, str]]:
    splits = (("training", inspection.survey.train, TRAIN), ("test", inspection.survey.test, TEST))
    return (split for split in splits if (split[1].widths > 0).any())


def _select_plotted_rows(facts: ImageFacts) -> NDArray[np.int64]:
    rows = np.flatnonzero(facts.widths > 0)
    return rows[:: max(1, -(-len(rows) // MAX_POINTS))]


def _build_figure(title: str, *, x: str, y: str) -> go.Figure:
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


def _add_histogram(figure: go.Figure, values: NDArray[np.float64], name: str, colour: str) -> None:
    """Add a histogram over those of the other splits, with the same bins."""
    figure.add_histogram(x=values, name=name, marker_color=colour, opacity=0.6, histnorm="probability", bingroup=1)
    figure.update_layout(barmode="overlay")


def _render_plot(figure: go.Figure) -> Markup:
    return render_figure(figure, mode_bar=False)


def _render_image(path: Path) -> Markup:
    """Return a small copy inside the page; a broken image is a gap."""
    try:
        image = decode_image(path, min_side=SHOWN_SIDE)
    except DataError:
        return Markup("<i>unreadable</i> ")
    image.thumbnail((4 * SHOWN_SIDE, SHOWN_SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    source = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
    return Markup('<img alt="" height="{}" src="{}">').format(SHOWN_SIDE, source)
