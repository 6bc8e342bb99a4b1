"""Find the table that is the sample submission, and whether its rows stand for images or for parts of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from automl.errors import DataError, UsageError, join_names
from automl.files.evidence import format_warning
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_test_name
from automl.files.images import ImageFiles
from automl.files.pixel_tables import find_pixel_columns
from automl.files.table_formats import TABLE_SUFFIXES, strip_table_suffix
from automl.files.tables import (
    Table,
    describe_unread_tables,
    find_unread_tables,
    read_header,
    read_header_or_empty,
    read_table,
    select_nearest,
)
from automl.readers.labels.cells import find_repetition
from automl.readers.long_form import unfold
from automl.readers.submission_template import SampleSubmission, is_sample_name, parse_sample

PLAIN_STEMS = frozenset({"sample_submission", "samplesubmission"})
SUBMISSION_WORDS = ("submi", "sample")  # in the name of a file that is one without being called so
STAGE = re.compile(r"(?:stage|stg|v)_?(\d{1,3})")
NOT_SAMPLES = ("train", "test", "label")
REFUSED_COLUMNS = {
    "encodedpixels": "masks",
    "encoded_pixels": "masks",
    "rle": "masks",
    "rle_mask": "masks",
    "predictionstring": "boxes",
    "bbox": "boxes",
    "boxes": "boxes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A file that may be the sample submission.

    Attributes:
        fraction_named: of its ids, that name test images.
        stage: 2 in sample_submission_stg2.csv, 0 where the name has none.
    """

    sample: SampleSubmission
    fraction_named: float
    stage: int

    @property
    def rank(self) -> tuple[float, int]:
        return (self.fraction_named, self.stage)


def find_sample_submission(
    root: Path, files: ImageFiles, tables: Mapping[str, Path], sample_name: str | None = None
) -> tuple[SampleSubmission, tuple[str, ...]] | None:
    """Find the sample submission; also return evidence of the choice. None where the folder has none.

    It is the given file, else the one that is named so and lies the least deep, else the one whose ids all name test
    images. Of several it is the one whose ids name the most test images, and of these the one of the highest stage.

    Raises:
        DataError: it is unclear which it is, it cannot be read, or it asks for something else than classes or values.
        UsageError: there is no file of the given name.
    """
    lookup = ImageLookup(files.test, files.other, files.copies)
    if sample_name is not None:
        name = get_table_name(tables, sample_name, "--sample")
        return _require_supported(_read_sample(name, lookup, tables)), ()
    names = select_nearest(name for name in tables if is_sample_name(name))
    plain = [name for name in names if _get_lower_stem(name) in PLAIN_STEMS]
    if len(names) > 1 and len(plain) != 1:
        return _choose_best([_rate_candidate(name, lookup, tables) for name in sorted(names)], root)
    if names:
        name = (plain or names)[0]
        return _require_supported(_read_sample(name, lookup, tables)), tuple(_describe_place(name))
    return _find_by_ids(root, files, tables)


def get_table(tables: Mapping[str, Path], name: str, flag: str) -> Path:
    """Return the table of a name that the user gave, with or without its extension, or its folders.

    Raises:
        UsageError: there is none, or there are several.
    """
    return tables[get_table_name(tables, name, flag)]


def get_table_name(tables: Mapping[str, Path], name: str, flag: str) -> str:
    """Return the name by which tables have it.

    Raises:
        UsageError: there is none, or there are several.
    """
    wanted = PurePosixPath(name.replace("\\", "/")).as_posix()
    own = PurePosixPath(wanted).name
    spellings = (wanted, *(wanted + suffix for suffix in TABLE_SUFFIXES), wanted.removesuffix(".zip"))
    for spelling in spellings:
        if spelling in tables:
            return spelling
    if "/" in wanted:  # a path from elsewhere is that of a table or of none, whatever other folders have
        found = [table for table, path in tables.items() if _is_same_path(path, Path(name))]
    else:
        found = [table for table in tables if PurePosixPath(table).name in spellings]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{flag} {name}: there are {len(found)} such tables", hint=f"name one of {join_names(found)}")
    close_names = difflib.get_close_matches(own, tables, n=3) or sorted(tables)
    raise UsageError(f"{flag} {name}: there is no such table", hint=f"name one of {join_names(close_names) or 'none'}")


def _is_same_path(table: Path, named: Path) -> bool:
    """Whether a user's path, from the folder where the command runs, leads to a table."""
    try:
        return named.expanduser().resolve() == table.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, an unknown user, a NUL
        return False


def _get_lower_stem(name: str) -> str:
    return strip_table_suffix(PurePosixPath(name).name).lower()


def _describe_place(name: str) -> list[str]:
    """Describe where the sample is, and how it is written, where one may not expect it."""
    lines = [f"sample: {name}"] if "/" in name else []
    if ".csv" in name.lower():
        return lines
    return [*lines, format_warning(f"{name} is no CSV file: the submission is written as one, with commas")]


def _read_sample(name: str, lookup: ImageLookup, tables: Mapping[str, Path]) -> SampleSubmission:
    """Read the sample; split its ids into image and target where they name no images but their parts do."""
    table = read_table(tables[name], name=name, is_image=lambda cell: bool(lookup.find(cell)))
    if not table.has_header:
        raise DataError(
            f"{name} has no header: line {table.lines[0]} names a test image, {join_names(table.rows[0])}",
            hint="write the names of the columns above it, as the competition gives them",
        )
    sample = parse_sample(table, id_position=_find_id_position(table, lookup))
    if any(lookup.find(image_id) for image_id in sample.image_ids):
        return sample
    test_table = _find_test_table(sample.id_column, tables)
    if test_table is not None and _has_image_in_each_row(test_table, sample.id_column, lookup):
        return sample
    unfolded = unfold(sample.ids, test_table) or unfold(sample.ids, known_targets=_list_training_columns(tables))
    if unfolded is None or not any(_is_image_id(image_id, lookup) for image_id in unfolded.image_ids):
        return sample
    return replace(sample, image_ids=unfolded.image_ids, target_columns=unfolded.targets, cells=unfolded.cells)


def _find_id_position(table: Table, lookup: ImageLookup) -> int:
    """Return 0, or another column where the first repeats itself and that one alone names an image in each row."""
    if len(set(table.get_column(0))) == len(table.rows):
        return 0
    id_columns = [
        column
        for column in range(1, len(table.header))
        if len(set(table.get_column(column))) == len(table.rows) and all(map(lookup.find, table.get_column(column)))
    ]
    return id_columns[0] if len(id_columns) == 1 else 0


def _has_image_in_each_row(table: Table, id_column: str, lookup: ImageLookup) -> bool:
    """Whether a table of the test has an image of its own in each row, so that an id with several rows has several."""
    for column, title in enumerate(table.header):
        values = [value.strip() for value in table.get_column(column)]
        is_distinct = title != id_column and len(set(values)) == len(values)
        if is_distinct and all(len(lookup.find(value)) == 1 for value in values):
            return True
    return False


def _is_image_id(image_id: str, lookup: ImageLookup) -> bool:
    return bool(lookup.find(image_id) or lookup.find(PurePosixPath(image_id).name) or lookup.find_several(image_id))


def _list_training_columns(tables: Mapping[str, Path]) -> frozenset[str]:
    """List the columns of the training tables, which may be the targets."""
    headers = [read_header_or_empty(path) for name, path in tables.items() if name.lower().startswith("train")]
    return frozenset(column.strip() for header in headers if not find_pixel_columns(header) for column in header)


def _find_test_table(column: str, tables: Mapping[str, Path]) -> Table | None:
    """Find the table of the test rows that has the sample's id column, unless it holds pixels."""
    for name, path in tables.items():
        if is_test_name(name):
            header = read_header_or_empty(path)
            if column in header and not find_pixel_columns(header):
                return read_table(path)
    return None


def _rate_candidate(name: str, lookup: ImageLookup, tables: Mapping[str, Path]) -> _Candidate:
    sample = _read_sample(name, lookup, tables)
    stages = [int(match) for match in STAGE.findall(_get_lower_stem(name))]
    n_named = len(sample.image_ids) - len(lookup.match(sample.image_ids).missing)
    return _Candidate(sample=sample, fraction_named=n_named / len(sample.image_ids), stage=max(stages, default=0))


def _choose_best(candidates: Sequence[_Candidate], root: Path) -> tuple[SampleSubmission, tuple[str, ...]]:
    best = max(candidate.rank for candidate in candidates)
    chosen = [candidate.sample for candidate in candidates if candidate.rank == best]
    names = [candidate.sample.name for candidate in candidates]
    if len(chosen) > 1:
        raise DataError(
            f"{root} holds {len(chosen)} sample submissions: {join_names([sample.name for sample in chosen])}",
            hint="name the one that is to be filled in with --sample",
        )
    reason = "whose ids name test images" if best[0] else "by its name"
    return _require_supported(chosen[0]), (f"sample: {chosen[0].name} of {join_names(names, at_most=5)}, {reason}",)


def _require_supported(sample: SampleSubmission) -> SampleSubmission:
    """Require a sample of classes or values of images; masks, boxes and retrieval are refused."""
    for column in sample.value_columns:
        output = REFUSED_COLUMNS.get(column.strip().lower())
        if output:
            raise DataError(
                f"{sample.name} asks for {output} (column {join_names([column])}), not for classes or values of images",
                hint="use a tool for segmentation or detection; automl predicts classes and values",
            )
    repeating = find_repetition(sample.values)
    if repeating is not None:
        raise DataError(
            f"{sample.name} asks for masks or boxes: {join_names([repeating])} "
            f"in column {join_names(sample.target_columns)} names something twice",
            hint="use a tool for segmentation or detection; automl predicts classes and values",
        )
    matches = [value.split(" ", 1)[0] for value in sample.values]
    if len(matches) > 1 and matches == [image_id.strip() for image_id in sample.ids]:
        raise DataError(
            f"{sample.name} asks which images match which: each row of column {join_names(sample.value_columns[:1])} "
            "begins with its own id",
            hint="use a tool for retrieval; automl predicts classes and values",
        )
    return sample


def _find_by_ids(
    root: Path, files: ImageFiles, tables: Mapping[str, Path]
) -> tuple[SampleSubmission, tuple[str, ...]] | None:
    """Find the one table whose first column names test images alone."""
    others = {name: path for name, path in tables.items() if not any(word in name.lower() for word in NOT_SAMPLES)}
    named_alike = {
        name: path for name, path in others.items() if any(word in _get_lower_stem(name) for word in SUBMISSION_WORDS)
    }
    anywhere, in_test = ImageLookup(files.test, files.other), ImageLookup(files.test)
    found = [name for name, path in named_alike.items() if _has_test_ids(path, anywhere, may_differ=True)]
    found = sorted(found or [name for name, path in others.items() if _has_test_ids(path, in_test)])
    if not found:
        _require_no_sample(root, named_alike, anywhere)
        return None
    if len(found) > 1:
        raise DataError(
            f"{root} holds {len(found)} tables that may be the sample submission: {join_names(found)}",
            hint="name the one that is to be filled in with --sample",
        )
    sample = _require_supported(_read_sample(found[0], anywhere, tables))
    line = f"sample: {found[0]}, whose column {join_names([sample.id_column])} names the test images"
    return sample, (line, *_describe_place(found[0])[1:])


def _require_no_sample(root: Path, named_alike: Mapping[str, Path], lookup: ImageLookup) -> None:
    """Require that there is no sample submission, not even one that is not read.

    Raises:
        DataError: there is something called so.
    """
    unread = sorted(name for name in find_unread_tables(root) if is_sample_name(name))
    called = [name for name in named_alike if "submi" in _get_lower_stem(name)]
    for name in called:
        ids = read_table(named_alike[name], name=name).get_column(0)
        raise DataError(
            f"{name} is called as a sample submission, but its ids name no images: {join_names(ids)}",
            hint=f"say --sample {name} if it is one, or move it away",
            seen=[lookup.describe_miss(ids, name)],
        )
    if unread:
        raise DataError(
            f"{root} holds a sample submission that is not read: {join_names(unread)}",
            hint="save it as CSV, as the competition gives it",
            seen=describe_unread_tables(root),
        )


def _has_test_ids(path: Path, lookup: ImageLookup, *, may_differ: bool = False) -> bool:
    """Whether the table has ids of test images in its first column, and targets beside it.

    Args:
        may_differ: ids may be written otherwise than files, such as numbers without zeros.
    """
    try:
        header = read_header(path)
        if len(header) < 2 or find_pixel_columns(header):
            return False
        ids = read_table(path).get_column(0)
        return not lookup.match(ids).missing if may_differ else all(map(lookup.find, ids))
    except DataError:  # some other table, and a damaged one, which is not needed
        return False
