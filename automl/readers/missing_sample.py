"""Stand in for a sample submission where the folder has none: rows of the test images, columns of the training labels.

The rows are those of a table of the test, else the images of the test folder by their names; there are none where the
folder has no test set. What a row holds follows from the labels, and from what the user asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from automl.data.competition import SubmissionKind
from automl.errors import DataError, UsageError, join_names
from automl.files.addresses import COLOUR_SETS, expand_colours
from automl.files.evidence import format_suggestion, format_warning
from automl.files.image_index import ImageLookup
from automl.files.image_names import get_split_folder, is_image_name, is_test_name, strip_suffix
from automl.files.image_pool import find_colour_images
from automl.files.images import ImageFiles
from automl.files.pixel_tables import load_pixel_table, read_other_columns
from automl.files.tables import Table, format_count, read_header_or_empty, read_table
from automl.metrics.metric import Metric
from automl.readers.infer import SUBMISSION_NAMES
from automl.readers.infer_submission import sort_labels
from automl.readers.label_lists import find_lists
from automl.readers.labels.csv_pixels import find_id_column, is_pixel_table, list_row_addresses
from automl.readers.labels.label_columns import SPLIT_FLAGS, SPLIT_NAMES, find_split_column
from automl.readers.labels.source import Labels
from automl.readers.sample_submission import find_sample_submission
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import SampleSubmission
from automl.tasks import Task

ID_COLUMN, LABEL_COLUMN = "id", "label"
ID_NAME = re.compile(r"(?:image|img|file|row|sample|record|photo|picture|object|item)?[ _-]*id", re.IGNORECASE)
FILE_NAME = re.compile(r"image|img|file|path|photo|picture|name", re.IGNORECASE)
PROBED_ROWS = 200  # enough to tell a column of images
MIN_NAMED_SHARE = 0.5  # of the probed values; those without an image are refused or told later
ORIGIN = "the training labels"  # of what a row holds, in words
PROBABILITIES = (SubmissionKind.PROBABILITY, SubmissionKind.PROBABILITIES)

Found = tuple[SampleSubmission, tuple[str, ...]]


def find_submission_rows(
    root: Path, files: ImageFiles, tables: Mapping[str, Path], settings: CompetitionSettings
) -> Found:
    """Find the sample submission, or make what stands in for it, and the evidence.

    Raises:
        DataError: it is unclear which table is the sample submission, or a table of the test names no image.
        UsageError: there is no file of the given name.
    """
    found = find_sample_submission(root, files, tables, settings.sample)
    return found or make_submission_rows(files, tables, folder_is_given=settings.test_images is not None)


def make_submission_rows(files: ImageFiles, tables: Mapping[str, Path], *, folder_is_given: bool = False) -> Found:
    """Make a row for each test image: those that a table of the test lists, else those of the test folder.

    Where there is neither, they are the rows that a table of all images says to be of the test.

    Args:
        folder_is_given: whether the user says which folder has the test images; then a table that has none of these
            is of something else.

    Raises:
        DataError: a table of the test is damaged, or has ids that name no image.
    """
    lookup = ImageLookup(files.test, files.other, files.copies)
    found, lines = _read_test_tables(tables, lookup, files, may_be_other=folder_is_given)
    if found is None:
        found = _read_pixel_rows(files.root, tables) or _list_folder_rows(files) or _read_split_rows(files, tables)
    if found is None:
        sample = _make_sample("no test set", ID_COLUMN, ())
        return sample, (
            *lines,
            format_warning("no test images, so that nothing is submitted: automl predict FOLDER predicts new ones"),
        )
    sample, origin = found
    rows = format_count(len(sample.ids), "row")
    return sample, (*lines, format_warning(f"no sample submission: one is made, of {rows} after {origin}"))


def add_columns(
    sample: SampleSubmission, labels: Labels, settings: CompetitionSettings, metric: Metric | None
) -> Found:
    """Return the sample with the columns that the labels ask for, and the evidence; a given one stays as it is.

    They are the columns of the labels, or one for each class where probabilities are asked for.

    Args:
        metric: the given or known one; one of probabilities asks for these, unless the user says otherwise.
    """
    if sample.is_given:
        return sample, ()
    targets = _list_targets(sample, labels, settings, metric)
    id_column = sample.id_column
    while id_column in targets:
        id_column += "_"
    blank = ("",) * len(targets)
    rows = tuple((own_id, *blank) for own_id in sample.ids)
    table = replace(sample.table, name=ORIGIN, header=(id_column, *targets), rows=rows)
    return replace(sample, table=table, target_columns=targets), tuple(_describe_unread(sample, labels))


def check_form(sample: SampleSubmission, submission_kind: SubmissionKind, settings: CompetitionSettings) -> list[str]:
    """Check what is submitted against what the user asks for; name the flag that decides otherwise.

    Raises:
        UsageError: it contradicts the sample, or the labels.
    """
    has_probabilities, wanted = submission_kind in PROBABILITIES, settings.submission
    if wanted is not None and has_probabilities != (wanted == "probabilities"):
        raise UsageError(
            f"--submission {wanted} was asked, but a submission holds {SUBMISSION_NAMES[submission_kind]}, "
            f"going by {sample.name}",
            hint="leave --submission out" + ("" if sample.is_given else ", or say another --task"),
        )
    if sample.is_given or wanted is not None or submission_kind is SubmissionKind.VALUES or not sample.ids:
        return []
    if submission_kind is SubmissionKind.LABEL and len(sample.target_columns) > 1:  # of several heads
        return []
    if has_probabilities:
        return [format_suggestion("--submission labels", "writes the label in place of probabilities")]
    return [format_suggestion("--submission probabilities", "writes a probability for each class, not the label")]


def merge_colours(names: Sequence[str]) -> dict[str, str]:
    """Merge the files of an image in several colours to one address; return the address of each image by its id."""
    merged = find_colour_images(names)
    parts = {part for _, address in merged for part in expand_colours(address)}
    alone = {name: name for name in names if name not in parts}
    return dict(sorted({**alone, **dict(reversed(merged))}.items()))  # the first of several formats


def _make_sample(
    name: str, id_column: str, ids: Sequence[str], *, addresses: Sequence[str] | None = None, others: Sequence[str] = ()
) -> SampleSubmission:
    """Make a sample with blank labels."""
    table = Table(
        name=name,
        delimiter=",",
        header=(id_column, LABEL_COLUMN if id_column != LABEL_COLUMN else f"{LABEL_COLUMN}_"),
        rows=tuple((own_id, "") for own_id in ids),
        lines=tuple(range(2, len(ids) + 2)),
    )
    return SampleSubmission(
        table=table,
        image_ids=tuple(ids),
        target_columns=table.header[1:],
        is_given=False,
        addresses=None if addresses is None else tuple(addresses),
        other_columns=tuple(others),
    )


def _read_test_tables(
    tables: Mapping[str, Path], lookup: ImageLookup, files: ImageFiles, *, may_be_other: bool
) -> tuple[tuple[SampleSubmission, str] | None, list[str]]:
    """Read the table that lists the test images; also return lines about the other tables of the test."""
    found: list[tuple[SampleSubmission, str]] = []
    lines = []
    names = [name for name, path in tables.items() if is_test_name(name) and not is_pixel_table(path)]
    for name in sorted(names, key=lambda name: (len(name), name)):  # the plainest name first
        table = read_table(tables[name], name=name, is_image=lambda cell: bool(lookup.find(cell)))
        column = _choose_id_column(table, lookup)
        if column is None:
            if not may_be_other:
                _require_no_ids(table, lookup, files)
            lines.append(format_warning(f"{name} is not read: none of its columns names images"))
        elif found:
            lines.append(format_warning(f"{name} is not read: {found[0][0].name} lists the test images"))
        else:
            sample, repeated = _take_ids(table, column)
            found.append((sample, f"column {join_names([table.header[column]])} of {name}"))
            lines += [*table.notes, *repeated]
    return (found[0] if found else None), lines


def _choose_id_column(table: Table, lookup: ImageLookup) -> int | None:
    """Return the column of ids; None where no column names images.

    It is called id, or holds names of files, or is called as such a column, or names images all the same.
    """
    rows = table.rows[:: max(1, len(table.rows) // PROBED_ROWS)]
    values = [[row[column].strip() for row in rows] for column in range(len(table.header))]
    named = [column for column, own in enumerate(values) if _names_images(own, lookup)]
    distinct = [column for column, own in enumerate(values) if len(set(own)) == len(own) and all(own)]
    titles = [title.strip() for title in table.header]
    choices = (
        [column for column in distinct if ID_NAME.fullmatch(titles[column])],
        [column for column in named if all(is_image_name(value) or "/" in value for value in values[column])],
        [column for column in named if FILE_NAME.search(titles[column])],
        [column for column in named if column in distinct],
    )
    return next((choice[0] for choice in choices if choice), None) if named else None


def _names_images(values: Sequence[str], lookup: ImageLookup) -> bool:
    least = MIN_NAMED_SHARE * len(values)
    return lookup.match(values).n_found > least or sum(map(bool, lookup.match_several(values))) > least


def _require_no_ids(table: Table, lookup: ImageLookup, files: ImageFiles) -> None:
    """Require a table that names no image to have no ids either: then its rows are something else."""
    for column, title in enumerate(table.header):
        values = table.get_column(column)
        if ID_NAME.fullmatch(title.strip()) or is_image_name(values[0].strip()):
            raise DataError(
                f"{table.name} lists test images in column {join_names([title])}, but these name no image in "
                f"{files.test_location}: {join_names(values)}",
                hint="unpack the test images, or name their folder with --test-images if that table does not list them",
                seen=[lookup.describe_miss(values, table.name)],
            )


def _take_ids(table: Table, column: int) -> tuple[SampleSubmission, list[str]]:
    """Take each id once, as the table writes it."""
    ids = list(dict.fromkeys(table.get_column(column)))
    if not all(own_id.strip() for own_id in ids):
        line = next(line for line, row in zip(table.lines, table.rows, strict=True) if not row[column].strip())
        raise DataError(f"{table.name} has a blank id in line {line}", hint="add the id, or remove the row")
    others = [title.strip() for at, title in enumerate(table.header) if at != column]
    n_repeated = len(table.rows) - len(ids)
    lines = [format_warning(f"{format_count(n_repeated, 'row')} of {table.name} left out, repeating an id")]
    title = table.header[column].strip() if table.has_header else ""
    sample = _make_sample(table.name, title or ID_COLUMN, ids, others=others)
    return sample, lines if n_repeated else []


def _read_pixel_rows(root: Path, tables: Mapping[str, Path]) -> tuple[SampleSubmission, str] | None:
    """Take the rows of a table of pixels by its ids, else by their numbers from 0."""
    names = [name for name, path in tables.items() if is_test_name(name) and is_pixel_table(path)]
    if not names:
        return None
    name = min(names, key=lambda name: (len(name), name))
    addresses = list_row_addresses(tables[name], root, len(load_pixel_table(tables[name])))
    other_columns = read_other_columns(tables[name])
    id_column = find_id_column(other_columns, ID_COLUMN)
    ids = [str(row) for row in range(len(addresses))] if id_column is None else other_columns[id_column]
    place = f"the pixels of {name}, numbered from 0" if id_column is None else f"column {id_column} of {name}"
    others = [column for column in other_columns if column != id_column]
    return _make_sample(name, id_column or ID_COLUMN, ids, addresses=addresses, others=others), place


def _list_folder_rows(files: ImageFiles) -> tuple[SampleSubmission, str] | None:
    """Take the images of the test folder by their names below it, or below the whole folder where these repeat."""
    images = files.images_to_predict
    if not images:
        return None
    stems = (strip_suffix(name) for name in images)
    by_colour = any(stem.rpartition("_")[2] in COLOUR_SETS[-1] for stem in stems)
    address_of = merge_colours(images) if by_colour else {name: name for name in images}
    below = _strip_doubled_folder([name.removeprefix(files.get_role_folder(name)) for name in address_of])
    ids = below if len(set(below)) == len(below) else list(address_of)
    location = replace(files, test=images).test_location
    sample = _make_sample(location, ID_COLUMN, ids, addresses=tuple(address_of.values()))
    return sample, f"the images of {location} by their names"


def _strip_doubled_folder(names: Sequence[str]) -> list[str]:
    """Strip a test folder in the test folder: archives unpack into such doubled folders."""
    doubled = {get_split_folder(name) for name in names}
    return [name.removeprefix(*doubled) for name in names] if len(doubled) == 1 else list(names)


def _read_split_rows(files: ImageFiles, tables: Mapping[str, Path]) -> tuple[SampleSubmission, str] | None:
    """Take the rows that a table of all images has for the test, where each names an image."""
    lookup = ImageLookup(files.other, files.train)
    for name, path in tables.items():
        titles = {re.sub(r"[\W_]", "", title.lower()) for title in read_header_or_empty(path)}
        if is_pixel_table(path) or titles.isdisjoint({*SPLIT_NAMES, *SPLIT_FLAGS}):
            continue
        table = read_table(path, name=name)
        split = find_split_column(table)
        rows = [row for row, part in zip(table.rows, split.parts if split else (), strict=False) if part == "test"]
        test = replace(table, name=f"the test rows of {name}", rows=tuple(rows), lines=table.lines[: len(rows)])
        column = _choose_id_column(test, lookup) if rows else None
        if split is None or column is None:
            continue
        sample, _ = _take_ids(test, column)
        matched = lookup.match(sample.ids)
        addresses = tuple(image for image in matched.names if image is not None)
        if len(addresses) == len(sample.ids):
            place = f"column {join_names([table.header[column]])} of {test.name}"
            return replace(sample, addresses=addresses), place
    return None


def _list_targets(
    sample: SampleSubmission, labels: Labels, settings: CompetitionSettings, metric: Metric | None
) -> tuple[str, ...]:
    """List the columns beside the id."""
    needs = None if metric is None or ":" in metric.name else metric.needs
    wanted = settings.submission or ("probabilities" if needs in ("probabilities", "order") else "labels")
    if len(labels.columns) > 1 or settings.task is Task.REGRESSION or wanted == "labels":
        return labels.columns
    lists = find_lists(labels, sample)  # of several classes in a cell
    return sort_labels(lists.labels if lists is not None else set(labels.texts) - {""})


def _describe_unread(sample: SampleSubmission, labels: Labels) -> list[str]:
    """Describe labels of the test rows, which are there and are not read."""
    columns = [column for column in labels.columns if column in sample.other_columns]
    if columns:
        title = join_names(columns)
        return [format_warning(f"column {title} of {sample.name} is not read: its rows are test images")]
    classes = {cell for (cell, *others) in labels.cells if not others}
    folders = {own_id.partition("/")[0] for own_id in sample.image_ids if "/" in own_id}
    if sample.addresses is None or not folders or not folders <= classes:
        return []
    lies = f"the images of {sample.name} lie in folders of classes ({join_names(sorted(folders))})"
    return [format_warning(f"{lies}, which are not read: they are test images")]
