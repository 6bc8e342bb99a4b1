"""Make good what spreadsheets leave in tables, told by a note each, and refuse what may have another meaning.

left out    blank rows; titles above the header; columns with neither name nor content; blank fields behind the last
filled up   rows that lack blank fields at their end, where other rows are blank there too
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from automl.errors import DataError, join_names
from automl.files.evidence import format_warning
from automl.files.table_text import RawTable

MAX_TITLE_ROWS = 20
MIN_TITLE_WIDTH = 3  # columns: of two, one name may be that of a column and the other one lacking


def clean_rows(raw: RawTable, name: str, *, strict: bool = False, is_head: bool = False) -> RawTable:
    """Return the rows, all as long as the header.

    Args:
        strict: nothing is made good.
        is_head: these are the first rows alone, of which the header matters.

    Raises:
        DataError: a row has more or fewer fields than the header, or it is unclear which row that is.
    """
    if not strict:
        raw = _drop_blank_rows(raw, name)
        raw = _drop_titles(raw, name)
        raw = _cut_blank_ends(raw, name)
        raw = _fill_up(raw, name)
        raw = _drop_blank_columns(raw, name)
    if not is_head:
        _require_equal_lengths(raw, name)
    return raw


def require_distinct(header: Iterable[str], name: str) -> None:
    """Require that no two columns have one name.

    Raises:
        DataError: two have.
    """
    seen: set[str] = set()
    for column in header:
        if column in seen:
            called = f"named {join_names([column])}" if column.strip() else "without a name"
            raise DataError(f"{name} has two columns {called}", hint="rename one of them")
        seen.add(column)


def _drop_blank_rows(raw: RawTable, name: str) -> RawTable:
    kept = [at for at, row in enumerate(raw.rows) if (row and row[0].strip()) or any(map(str.strip, row))]
    n_blank = len(raw.rows) - len(kept)
    if not n_blank:
        return raw
    rows = f"{n_blank} blank rows" if n_blank > 1 else "1 blank row"
    return _select(raw, kept, f"{name}: {rows} left out")


def _drop_titles(raw: RawTable, name: str) -> RawTable:
    """Drop the rows of a single field above the header.

    Raises:
        DataError: such a row may be the header itself.
    """
    fields = [sum(1 for cell in row if cell.strip()) for row in raw.rows[: MAX_TITLE_ROWS + 1]]
    n_titles = next((at for at, n_fields in enumerate(fields) if n_fields > 1), 0)
    if not n_titles or all(len(row) > 1 and not row[0].strip() for row in raw.rows[:n_titles]):
        return raw
    header = [cell.strip() for cell in raw.rows[n_titles]]
    if any(1 < len(row) < MIN_TITLE_WIDTH for row in raw.rows[:n_titles]) or (
        len(raw.rows[0]) > 1 and (not all(header) or len(set(header)) < len(header))
    ):
        raise DataError(
            f"line {raw.lines[0]} of {name} has one field alone, {join_names([''.join(raw.rows[0]).strip()])}: it is "
            "unclear whether it is a title or the header",
            hint="remove the line, or name all columns in it",
        )
    title = join_names(["".join(row).strip() for row in raw.rows[:n_titles]])
    return _select(raw, range(n_titles, len(raw.rows)), f"{name}: left out above the header: {title}")


def _cut_blank_ends(raw: RawTable, name: str) -> RawTable:
    """Cut blank fields behind the last column."""
    width = len(raw.rows[0]) if raw.rows else 0
    longer = [at for at, row in enumerate(raw.rows) if len(row) > width and not any(map(str.strip, row[width:]))]
    if not longer:
        return raw
    rows = list(raw.rows)
    for at in longer:
        rows[at] = rows[at][:width]
    many = f"{len(longer)} rows" if len(longer) > 1 else "1 row"
    return _note(replace(raw, rows=rows), f"{name}: blank fields behind the last column of {many} left out")


def _fill_up(raw: RawTable, name: str) -> RawTable:
    """Fill up rows that lack fields at their end, if each of these columns is blank in a row that is whole.

    Not the last row alone: there the file may be cut off.
    """
    width = len(raw.rows[0]) if raw.rows else 0
    shorter = [at for at, row in enumerate(raw.rows) if len(row) < width]
    if not shorter or shorter == [len(raw.rows) - 1]:
        return raw
    shortest = min(len(raw.rows[at]) for at in shorter)
    whole = [row for row in raw.rows[1:] if len(row) == width]
    if not all(any(not row[column].strip() for row in whole) for column in range(shortest, width)):
        return raw
    rows = list(raw.rows)
    for at in shorter:
        rows[at] += ("",) * (width - len(rows[at]))
    many = f"{len(shorter)} rows lack" if len(shorter) > 1 else "1 row lacks"
    first = raw.lines[shorter[0]]
    return _note(replace(raw, rows=rows), f"{name}: {many} blank fields at the end, first line {first}: filled up")


def _drop_blank_columns(raw: RawTable, name: str) -> RawTable:
    """Drop the columns with neither a name nor content."""
    header = raw.rows[0] if raw.rows else ()
    unnamed = [column for column, title in enumerate(header) if not title.strip()]
    blank = {column for column in unnamed if not any(len(row) > column and row[column].strip() for row in raw.rows)}
    if not blank:
        return raw
    rows = [tuple(cell for column, cell in enumerate(row) if column not in blank) for row in raw.rows]
    many = f"{len(blank)} columns" if len(blank) > 1 else "1 column"
    return _note(replace(raw, rows=rows), f"{name}: {many} with neither name nor content left out")


def _select(raw: RawTable, kept: Sequence[int], note: str) -> RawTable:
    selected = replace(raw, rows=[raw.rows[at] for at in kept], lines=[raw.lines[at] for at in kept])
    return _note(selected, note)


def _note(raw: RawTable, text: str) -> RawTable:
    return replace(raw, notes=[*raw.notes, format_warning(text)]) if text else raw


def _require_equal_lengths(raw: RawTable, name: str) -> None:
    width = len(raw.rows[0]) if raw.rows else 0
    for line, fields in zip(raw.lines, raw.rows, strict=True):
        if len(fields) != width:
            header = f"{width} field{'' if width == 1 else 's'}"
            raise DataError(
                f"{name}: the header has {header}, but line {line} has {len(fields)}",
                hint="fix the line, or quote fields that hold the separator",
            )
