"""Parse the sample submission, and build the template by which submissions are written.

See also: automl.readers.missing_sample makes the rows where a folder has no sample submission.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from automl.data.competition import BLANK, SubmissionKind, SubmissionTemplate
from automl.errors import DataError, join_names
from automl.files.tables import Table

SAMPLE_PATTERNS = ("sample_submission*", "samplesubmission*", "*sample_submission*")  # of a table's lowered name


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSubmission:
    """A sample submission: one column, nearly always the first, is the id, every other one a target.

    Attributes:
        id_position: of the column of ids.
        image_ids: (n_units,) what names the test images, one or several each; the rows' own ids but in the long form.
        target_columns: names of the columns but the first; in the long form, of what the rows of an image stand for.
        cells: (n_rows,) of (unit, target) in the long form, None elsewhere.
        is_given: whether the folder has it. Otherwise it stands for one: its rows are those of a test table or the
            images of the test folder, and its targets are blank.
        addresses: (n_units,) the images, where the ids are made from them.
        other_columns: of the test table that the rows are from, where there is no sample; none of them is read.
    """

    table: Table
    image_ids: tuple[str, ...]
    target_columns: tuple[str, ...]
    cells: tuple[tuple[int, int], ...] | None = None
    id_position: int = 0
    is_given: bool = True
    addresses: tuple[str, ...] | None = None
    other_columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def ids(self) -> tuple[str, ...]:
        """(n_rows,) as the sample writes them."""
        return tuple(self.table.get_column(self.id_position))

    @property
    def id_column(self) -> str:
        return self.table.header[self.id_position]

    @property
    def value_columns(self) -> tuple[str, ...]:
        """The header without the column of ids."""
        return _drop_position(self.table.header, self.id_position)

    @property
    def values(self) -> tuple[str, ...]:
        """(n_rows,) the fields of the first target, without surrounding blanks."""
        return tuple(value.strip() for value in self.table.get_column(0 if self.id_position else 1))


def parse_sample(table: Table, *, id_position: int = 0) -> SampleSubmission:
    """Parse a table as a sample submission with a row for each image.

    Raises:
        DataError: it is no table of distinct ids and of targets.
    """
    if table.delimiter != "," and ".csv" in table.name.lower():
        raise DataError(
            f"{table.name} is separated by {table.delimiter!r}, but a submission by commas",
            hint="save the sample submission with commas, as the competition gives it",
        )
    if len(table.header) < 2:
        raise DataError(
            f"{table.name} has one column alone: {join_names(table.header)}",
            hint="restore the sample submission: ids first, then one or more target columns",
        )
    sample = SampleSubmission(
        table=table,
        image_ids=tuple(table.get_column(id_position)),
        target_columns=_drop_position(table.header, id_position),
        id_position=id_position,
    )
    _require_distinct_ids(sample)
    return sample


def is_sample_name(name: str) -> bool:
    """Whether a file of that name, or of that name in an archive of its own, is a sample submission."""
    return any(fnmatchcase(PurePosixPath(name).name.lower(), pattern) for pattern in SAMPLE_PATTERNS)


def build_template(
    sample: SampleSubmission,
    submission_kind: SubmissionKind,
    n_ranked: int = 0,
    *,
    images_of_row: tuple[tuple[int, ...], ...] | None = None,
    separator: str = BLANK,
) -> SubmissionTemplate:
    """Build the submission's template, copied from the sample byte for byte.

    Args:
        images_of_row, separator: as those of `SubmissionTemplate`.
    """
    return SubmissionTemplate(
        header=sample.table.header,
        id_column=sample.id_position,
        submission_kind=submission_kind,
        ids=sample.ids,
        n_ranked=n_ranked,
        cells=sample.cells,
        images_of_row=images_of_row,
        separator=separator,
        has_sample=sample.is_given,
    )


def _drop_position(names: tuple[str, ...], position: int) -> tuple[str, ...]:
    return (*names[:position], *names[position + 1 :])


def _require_distinct_ids(sample: SampleSubmission) -> None:
    first_lines: dict[str, int] = {}
    for image_id, line in zip(sample.ids, sample.table.lines, strict=True):
        if not image_id.strip():
            raise DataError(f"{sample.name} has a blank id in line {line}", hint="restore the sample submission")
        if first_lines.setdefault(image_id, line) != line:
            raise DataError(
                f"{sample.name} names {join_names([image_id])} in lines {first_lines[image_id]} and {line}",
                hint="restore the sample submission: each id has one row",
            )
