"""Find the CSV file that is the sample submission, and whether its rows stand for images or for parts of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import basename

from automl.errors import DataError, UsageError, join_names
from automl.files.image_index import ImageLookup
from automl.files.image_names import get_folder, is_test_name
from automl.files.images import ImageFiles
from automl.files.listing import walk
from automl.files.pixel_tables import find_pixel_columns
from automl.files.tables import Table, read_header, read_header_or_empty, read_table
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
) -> tuple[SampleSubmission, tuple[str, ...]]:
    """Find the sample submission; also return evidence of the choice.

    It is the given file, else the one that is named so, else the one whose ids all name test images. Of several
    it is the one whose ids name the most test images, and of these the one of the highest stage.

    Raises:
        DataError: there is none, it is unclear which it is, or it asks for something else than classes or values.
        UsageError: there is no file of the given name.
    """
    lookup = ImageLookup(files.test, files.other)
    if sample_name is not None:
        return _require_supported(_read_sample(get_table(tables, sample_name, "--sample"), lookup, tables)), ()
    names = [name for name in tables if is_sample_name(name)]
    plain = [name for name in names if _get_lower_stem(name) in PLAIN_STEMS]
    if len(names) > 1 and len(plain) != 1:
        return _choose_best([_rate_candidate(name, lookup, tables) for name in sorted(names)], root)
    if names:
        return _require_supported(_read_sample(tables[(plain or names)[0]], lookup, tables)), ()
    return _find_by_ids(root, files, tables)


def get_table(tables: Mapping[str, Path], name: str, flag: str) -> Path:
    """Return the table of a name that the user gave, with or without its extension.

    Raises:
        UsageError: there is none.
    """
    wanted = PurePosixPath(name).name
    for spelling in (wanted, f"{wanted}.csv", wanted.removesuffix(".zip")):
        if spelling in tables:
            return tables[spelling]
    close_names = difflib.get_close_matches(wanted, tables, n=3) or sorted(tables)
    raise UsageError(f"{flag} {name}: there is no such table", hint=f"name one of {join_names(close_names) or 'none'}")


def _get_lower_stem(name: str) -> str:
    return PurePosixPath(name).stem.lower()


def _read_sample(path: Path, lookup: ImageLookup, tables: Mapping[str, Path]) -> SampleSubmission:
    """Read the sample; split its ids into image and target where they name no images but their parts do."""
    table = read_table(path)
    sample = parse_sample(table, id_position=_find_id_position(table, lookup))
    if any(lookup.find(image_id) for image_id in sample.image_ids):
        return sample
    unfolded = unfold(sample.ids, _find_test_table(sample.id_column, tables)) or unfold(
        sample.ids, known_targets=_list_training_columns(tables)
    )
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


def _is_image_id(image_id: str, lookup: ImageLookup) -> bool:
    return bool(lookup.find(image_id) or lookup.find(PurePosixPath(image_id).name))


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
    sample = _read_sample(tables[name], lookup, tables)
    stages = [int(match) for match in STAGE.findall(_get_lower_stem(name))]
    n_named = sum(1 for image_id in sample.image_ids if lookup.find(image_id))
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


def _find_by_ids(root: Path, files: ImageFiles, tables: Mapping[str, Path]) -> tuple[SampleSubmission, tuple[str, ...]]:
    """Find the one table whose first column names test images alone."""
    others = {
        name: path for name, path in tables.items() if not any(word in _get_lower_stem(name) for word in NOT_SAMPLES)
    }
    named_alike = {
        name: path for name, path in others.items() if any(word in _get_lower_stem(name) for word in SUBMISSION_WORDS)
    }
    anywhere, in_test = ImageLookup(files.test, files.other), ImageLookup(files.test)
    found = [name for name, path in named_alike.items() if _has_test_ids(path, anywhere)]
    found = sorted(found or [name for name, path in others.items() if _has_test_ids(path, in_test)])
    if not found:
        raise DataError(
            f"{root} holds no sample submission (sample_submission.csv, sampleSubmission.csv)",
            hint=_suggest_sample(root),
        )
    if len(found) > 1:
        raise DataError(
            f"{root} holds {len(found)} tables that may be the sample submission: {join_names(found)}",
            hint="name the one that is to be filled in with --sample",
        )
    sample = _require_supported(_read_sample(tables[found[0]], anywhere, tables))
    return sample, (f"sample: {found[0]}, whose column {join_names([sample.id_column])} names the test images",)


def _suggest_sample(root: Path) -> str:
    deeper = sorted(walk(root, is_sample_name), key=lambda name: (name.count("/"), name))
    if deeper:
        folder, name = join_names([get_folder(deeper[0])]), join_names([basename(deeper[0])])
        return f"move the tables of {folder} there, {name} among them"
    return (
        "put the competition's sample submission there; where there is none, write one: a line id,label and a line "
        "such as 7.jpg,cat for each image to predict, cat being any of the labels"
    )


def _has_test_ids(path: Path, lookup: ImageLookup) -> bool:
    """Whether the table has ids of test images in its first column, and targets beside it."""
    try:
        header = read_header(path)
        if len(header) < 2 or find_pixel_columns(header):
            return False
        return all(lookup.find(value) for value in read_table(path).get_column(0))
    except DataError:  # some other table, and a damaged one, which is not needed
        return False
