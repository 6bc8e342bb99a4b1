"""Which CSV file is the sample submission, and whether its rows stand for images or for parts of them.

Not responsible for: the images that its ids name (automl.readers.find_test_images), or what its values mean
(automl.readers.infer).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import basename

from automl.errors import DataError, UsageError, listed
from automl.files.image_index import ImageLookup
from automl.files.image_names import folder_of, is_of_test
from automl.files.images import ImageFiles
from automl.files.listing import walk
from automl.files.pixel_tables import pixel_columns
from automl.files.tables import Table, read_header, read_table
from automl.readers.labels.cells import repeats_itself
from automl.readers.long_form import unfold
from automl.readers.submission_template import Sample, is_sample_name, sample_of

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

    sample: Sample
    fraction_named: float
    stage: int

    @property
    def rank(self) -> tuple[float, int]:
        return (self.fraction_named, self.stage)


def find_sample(
    root: Path, files: ImageFiles, tables: Mapping[str, Path], asked: str | None = None
) -> tuple[Sample, tuple[str, ...]]:
    """The sample submission, and what is worth telling of the choice.

    It is the file asked for, else the one that is called so, else the one whose ids all name test images. Of several
    it is the one whose ids name the most test images, and of these the one of the highest stage.

    Raises:
        DataError: there is none, it is unclear which it is, or it asks for something else than classes or values.
        UsageError: there is no file of the name asked for.
    """
    lookup = ImageLookup(files.test, files.other)
    if asked is not None:
        return _checked(_read(asked_table(tables, asked, "--sample"), lookup, tables)), ()
    names = [name for name in tables if is_sample_name(name)]
    plain = [name for name in names if _stem(name) in PLAIN_STEMS]
    if len(names) > 1 and len(plain) != 1:
        return _best([_candidate(name, lookup, tables) for name in sorted(names)], root)
    if names:
        return _checked(_read(tables[(plain or names)[0]], lookup, tables)), ()
    return _uncommonly_named(root, files, tables)


def asked_table(tables: Mapping[str, Path], name: str, flag: str) -> Path:
    """The table of a name that the user gave, with or without its extension.

    Raises:
        UsageError: there is none.
    """
    wanted = PurePosixPath(name).name
    for spelling in (wanted, f"{wanted}.csv", wanted.removesuffix(".zip")):
        if spelling in tables:
            return tables[spelling]
    near = difflib.get_close_matches(wanted, tables, n=3) or sorted(tables)
    raise UsageError(f"{flag} {name}: there is no such table", hint=f"name one of {listed(near) or 'none'}")


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.lower()


def _read(path: Path, lookup: ImageLookup, tables: Mapping[str, Path]) -> Sample:
    """The sample, taken apart by image and target where its ids name no images but parts of such names do."""
    table = read_table(path)
    sample = sample_of(table, id_position=_id_position(table, lookup))
    if any(lookup.candidates(image_id) for image_id in sample.image_ids):
        return sample
    unfolded = unfold(sample.ids, _table_with(sample.id_column, tables)) or unfold(
        sample.ids, known_targets=_training_columns(tables)
    )
    if unfolded is None or not any(_names_an_image(image_id, lookup) for image_id in unfolded.image_ids):
        return sample
    return replace(sample, image_ids=unfolded.image_ids, target_columns=unfolded.targets, cells=unfolded.cells)


def _id_position(table: Table, lookup: ImageLookup) -> int:
    """The first column; another one where the first repeats itself, and that one alone names an image in each row."""
    if len(set(table.column(0))) == len(table.rows):
        return 0
    naming = [
        column
        for column in range(1, len(table.header))
        if len(set(table.column(column))) == len(table.rows) and all(map(lookup.candidates, table.column(column)))
    ]
    return naming[0] if len(naming) == 1 else 0


def _names_an_image(image_id: str, lookup: ImageLookup) -> bool:
    return bool(lookup.candidates(image_id) or lookup.candidates(PurePosixPath(image_id).name))


def _training_columns(tables: Mapping[str, Path]) -> frozenset[str]:
    """The columns that training tables have, and with them perhaps the targets."""
    headers = [_header(path) for name, path in tables.items() if name.lower().startswith("train")]
    return frozenset(column.strip() for header in headers if not pixel_columns(header) for column in header)


def _header(path: Path) -> tuple[str, ...]:
    """A table's header, empty where it is damaged: that is told where the table is needed."""
    try:
        return read_header(path)
    except DataError:
        return ()


def _table_with(column: str, tables: Mapping[str, Path]) -> Table | None:
    """The table of the test rows that has the sample's id column, unless it holds pixels."""
    for name, path in tables.items():
        if is_of_test(name):
            header = _header(path)
            if column in header and not pixel_columns(header):
                return read_table(path)
    return None


def _candidate(name: str, lookup: ImageLookup, tables: Mapping[str, Path]) -> _Candidate:
    sample = _read(tables[name], lookup, tables)
    stages = [int(match) for match in STAGE.findall(_stem(name))]
    n_named = sum(1 for image_id in sample.image_ids if lookup.candidates(image_id))
    return _Candidate(sample=sample, fraction_named=n_named / len(sample.image_ids), stage=max(stages, default=0))


def _best(candidates: Sequence[_Candidate], root: Path) -> tuple[Sample, tuple[str, ...]]:
    best = max(candidate.rank for candidate in candidates)
    chosen = [candidate.sample for candidate in candidates if candidate.rank == best]
    names = [candidate.sample.name for candidate in candidates]
    if len(chosen) > 1:
        raise DataError(
            f"{root} holds {len(chosen)} sample submissions: {listed([sample.name for sample in chosen])}",
            hint="name the one that is to be filled in with --sample",
        )
    reason = "whose ids name test images" if best[0] else "by its name"
    return _checked(chosen[0]), (f"sample: {chosen[0].name} of {listed(names, at_most=5)}, {reason}",)


def _checked(sample: Sample) -> Sample:
    """The sample, unless what it asks for is no class of an image and no value."""
    for column in sample.value_columns:
        kind = REFUSED_COLUMNS.get(column.strip().lower())
        if kind:
            raise DataError(
                f"{sample.name} asks for {kind} (column {listed([column])}), not for classes or values of images",
                hint="use a tool for segmentation or detection; automl predicts classes and values",
            )
    repeating = repeats_itself(sample.values)
    if repeating is not None:
        raise DataError(
            f"{sample.name} asks for masks or boxes: {listed([repeating])} in column {listed(sample.target_columns)} "
            "names something twice",
            hint="use a tool for segmentation or detection; automl predicts classes and values",
        )
    matches = [value.split(" ", 1)[0] for value in sample.values]
    if len(matches) > 1 and matches == [image_id.strip() for image_id in sample.ids]:
        raise DataError(
            f"{sample.name} asks which images match which: each row of column {listed(sample.value_columns[:1])} "
            "begins with its own id",
            hint="use a tool for retrieval; automl predicts classes and values",
        )
    return sample


def _uncommonly_named(root: Path, files: ImageFiles, tables: Mapping[str, Path]) -> tuple[Sample, tuple[str, ...]]:
    """The one table whose first column names test images alone."""
    others = {name: path for name, path in tables.items() if not any(word in _stem(name) for word in NOT_SAMPLES)}
    called = {name: path for name, path in others.items() if any(word in _stem(name) for word in SUBMISSION_WORDS)}
    anywhere, in_test = ImageLookup(files.test, files.other), ImageLookup(files.test)
    fitting = [name for name, path in called.items() if _names_test_images(path, anywhere)]
    fitting = sorted(fitting or [name for name, path in others.items() if _names_test_images(path, in_test)])
    if not fitting:
        raise DataError(
            f"{root} holds no sample submission (sample_submission.csv, sampleSubmission.csv)",
            hint=_how_to_get_one(root),
        )
    if len(fitting) > 1:
        raise DataError(
            f"{root} holds {len(fitting)} tables that may be the sample submission: {listed(fitting)}",
            hint="name the one that is to be filled in with --sample",
        )
    sample = _checked(_read(tables[fitting[0]], anywhere, tables))
    return sample, (f"sample: {fitting[0]}, whose column {listed([sample.id_column])} names the test images",)


def _how_to_get_one(root: Path) -> str:
    deeper = sorted(walk(root, is_sample_name), key=lambda name: (name.count("/"), name))
    if deeper:
        return f"move the tables of {listed([folder_of(deeper[0])])} there, {listed([basename(deeper[0])])} among them"
    return (
        "put the competition's sample submission there; where there is none, write one: a line id,label and a line "
        "such as 7.jpg,cat for each image to predict, cat being any of the labels"
    )


def _names_test_images(path: Path, lookup: ImageLookup) -> bool:
    """Whether the table has ids of test images in its first column, and targets beside it."""
    try:
        header = read_header(path)
        if len(header) < 2 or pixel_columns(header):
            return False
        return all(lookup.candidates(value) for value in read_table(path).column(0))
    except DataError:  # some other table, and a damaged one: nobody needs it
        return False
