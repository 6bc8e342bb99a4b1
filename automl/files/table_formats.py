"""Read the rows of tables in the formats that people have, by the end of the file's name.

    .csv .tsv .tab .txt     text (automl.files.table_text), and packed: .csv.gz .tsv.bz2 .csv.xz
    .jsonl .ndjson          an object on each line; the columns are the keys of all of them
    .xlsx .xlsm             the first sheet that has rows; needs openpyxl
    .parquet .feather       columns of text, numbers and dates, no pixels; needs pyarrow

Cells come out as text, as a reader of the file would see it: 7 and not 7.0, 2024-05-01, True; nothing where nothing is.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import math
import posixpath
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from automl.errors import DataError, join_names
from automl.files.addresses import DiskFile, read_bytes, resolve_address
from automl.files.archives import MAX_MEMBER_BYTES, MAX_RATIO, RATIO_MATTERS_BYTES
from automl.files.containers.arrays import MIN_FLAT
from automl.files.containers.parquet import PIXEL_COLUMN
from automl.files.evidence import format_warning
from automl.files.image_formats import load_library
from automl.files.table_cleaning import clean_rows
from automl.files.table_text import RawTable, convert_to_utf8, parse_text

DELIMITED_SUFFIXES = (".csv", ".tsv", ".tab")
PLAIN_SUFFIX = ".txt"
RECORD_SUFFIXES = (".jsonl", ".ndjson")
WORKBOOK_SUFFIXES = (".xlsx", ".xlsm")
COLUMN_SUFFIXES = (".parquet", ".feather")
PACKED: Mapping[str, Callable[[io.BytesIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TEXT_SUFFIXES = (*DELIMITED_SUFFIXES, *RECORD_SUFFIXES)
# The likeliest first.
TABLE_SUFFIXES = (
    *TEXT_SUFFIXES,
    *(suffix + packed for suffix in TEXT_SUFFIXES for packed in PACKED),
    *COLUMN_SUFFIXES,
    *WORKBOOK_SUFFIXES,
    PLAIN_SUFFIX,
)
# Other text files are no tables for sure: classes.txt, README.txt, the boxes beside each image.
PLAIN_NAME = re.compile(r"train|test|val|label|annot|list|sample|submission|metadata|ground|(?:^|[^a-z])gt")
MAX_HEADER_BYTES = 1024**2
MAX_CELLS = 100_000_000  # of a file with columns; more are pixels
MAX_COLUMNS = 5_000
WORKBOOKS_IN_MEMORY = 4  # each is asked for several times, and is slow to read: 100,000 rows in 8 s
ZEROS = re.compile("0+")  # a format of cells that fills numbers up: 7 is shown as 007
UNREADABLE_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def _to_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"a key stands twice in an object with the keys {join_names([key for key, _ in pairs])}")
    return record


NUMBERS_AS_TEXT = json.JSONDecoder(parse_int=str, parse_float=str, object_pairs_hook=_to_distinct_keys)


def strip_table_suffix(name: str) -> str:
    """Return the name without what says that it is a table: train of train.csv and of train.csv.gz."""
    lowered = name.lower()
    found = max((suffix for suffix in TABLE_SUFFIXES if lowered.endswith(suffix)), key=len, default="")
    return name[: len(name) - len(found)]


def is_table_file_name(name: str) -> bool:
    """Whether a file is called as a table is; what an open workbook leaves beside itself is none."""
    lowered = posixpath.basename(name).lower()
    if lowered.endswith(PLAIN_SUFFIX):
        return PLAIN_NAME.search(lowered) is not None
    return lowered.endswith(TABLE_SUFFIXES) and not lowered.startswith("~$")


def read_rows(path: Path, name: str, *, head: bool = False, strict: bool = False) -> RawTable:
    """Read a table's rows, its header first, all of one length.

    Args:
        head: no more than the first rows, for the header.
        strict: nothing in it is to be made good.

    Raises:
        DataError: the file cannot be read, is damaged, is no table, or needs a library that is not installed.
    """
    return clean_rows(_read_raw_rows(path, name, head=head, strict=strict), name, strict=strict, is_head=head)


def read_text(path: Path, name: str, *, head: bool = False, strict: bool = False) -> tuple[bytes, list[str]]:
    """Read a text, packed or not, as UTF-8 without a byte-order mark; also return what is to be said of its encoding.

    Args:
        head: the whole lines of its first bytes alone.

    Raises:
        DataError: it cannot be read, or its encoding cannot be told.
    """
    at_most = MAX_HEADER_BYTES if head else None
    packed = next((suffix for suffix in PACKED if path.name.lower().endswith(suffix)), None)
    content = _read_content(path, name, at_most=None if packed else at_most)
    if packed is not None:
        content = _unpack(content, packed, name, at_most=at_most)
    return convert_to_utf8(content, name, is_cut=head and len(content) >= MAX_HEADER_BYTES, strict=strict)


def explain_unreadable_columns(path: Path, name: str) -> str | None:
    """Return why a file with columns is no table of labels, in words; None where it may be one.

    Raises:
        DataError: it cannot be read, or pyarrow is not installed.
    """
    pyarrow = _import_library("pyarrow", name, "parquet")
    schema = _open_columns(path, name).schema_arrow if _is_parquet(path) else _open_columns(path, name).schema
    binary = [
        field.name
        for field in schema
        if pyarrow.types.is_binary(field.type)
        or pyarrow.types.is_large_binary(field.type)
        or (pyarrow.types.is_struct(field.type) and any("bytes" in part.name for part in field.type))
    ]
    if binary:
        return f"its column {join_names(binary)} holds bytes, as of images"
    n_numbered = sum(1 for field in schema if PIXEL_COLUMN.fullmatch(field.name))
    is_wide = len(schema) > MAX_COLUMNS or n_numbered >= MIN_FLAT
    return f"it has {len(schema)} columns, as of pixels" if is_wide else None


def _read_raw_rows(path: Path, name: str, *, head: bool, strict: bool) -> RawTable:
    lowered = path.name.lower()
    if lowered.endswith(WORKBOOK_SUFFIXES):
        return _read_workbook(_read_content(path, name), name)
    if lowered.endswith(COLUMN_SUFFIXES):
        return _read_columns(path, name, head=head)
    content, notes = read_text(path, name, head=head, strict=strict)
    if _strip_packed(lowered).endswith(RECORD_SUFFIXES):
        rows = _parse_records(content, name)
    else:
        rows = parse_text(content, name, may_have_blanks=lowered.endswith(PLAIN_SUFFIX), strict=strict, head=head)
    rows.notes[:0] = notes
    return rows


def _strip_packed(lowered: str) -> str:
    return next((lowered.removesuffix(suffix) for suffix in PACKED if lowered.endswith(suffix)), lowered)


def _read_content(path: Path, name: str, *, at_most: int | None = None) -> bytes:
    try:
        return read_bytes(path, at_most=at_most)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            reason = error.__cause__.strerror or error.__cause__
            raise DataError(f"{name} cannot be read: {reason}", hint=error.hint) from error.__cause__
        raise


def _unpack(content: bytes, packed: str, name: str, *, at_most: int | None) -> bytes:
    """Unpack a file that is packed alone, no further than a bomb would betray itself."""
    limit = max(RATIO_MATTERS_BYTES, min(MAX_MEMBER_BYTES, MAX_RATIO * len(content)))
    try:
        with PACKED[packed](io.BytesIO(content)) as file:
            unpacked: bytes = file.read(limit + 1 if at_most is None else at_most)
    except UNREADABLE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} is damaged: {reason}", hint="download the file again") from error
    if at_most is None and len(unpacked) > limit:
        raise DataError(
            f"{name} would grow from {len(content)} to more than {limit} bytes, as a bomb does",
            hint="unpack it yourself",
        )
    return unpacked


def _parse_records(content: bytes, name: str) -> RawTable:
    """Parse an object on each line; the first row has the keys of all, in the order in which they come."""
    records: list[dict[str, str]] = []
    lines: list[int] = []
    for number, line in enumerate(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"), start=1):
        if line.strip():
            records.append(_parse_record(line, name, number))
            lines.append(number)
    keys = list(dict.fromkeys(key for record in records for key in record))
    rows = [tuple(keys), *(tuple(record.get(key, "") for key in keys) for record in records)]
    return RawTable(delimiter=",", rows=rows if keys else [], lines=[0, *lines] if keys else [])


def _parse_record(line: str, name: str, number: int) -> dict[str, str]:
    try:
        record = NUMBERS_AS_TEXT.decode(line)
        if any(isinstance(value, dict | list) for value in record.values()):  # its numbers would become text within
            record |= {key: value for key, value in json.loads(line).items() if isinstance(value, dict | list)}
    except AttributeError as error:
        raise DataError(
            f"{name}: line {number} holds no object such as {{...}}", hint="write an object on each line"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is damaged in line {number}: {error}", hint="fix or restore the file") from error
    return {str(key): _to_text(value) for key, value in record.items()}


def _to_text(value: Any) -> str:
    """Return a cell as a reader would see it; "" for nothing."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return str(value)
        case float():
            return "" if math.isnan(value) else repr(value)
        case datetime():
            is_day = value.time() == time() and value.tzinfo is None
            return value.date().isoformat() if is_day else value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


@functools.lru_cache(maxsize=WORKBOOKS_IN_MEMORY)
def _read_workbook(content: bytes, name: str) -> RawTable:
    openpyxl = _import_library("openpyxl", name, "xlsx")
    _require_no_bomb(content, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            sheets = {sheet.title: _read_sheet(sheet, name) for sheet in book.worksheets}
            filled = {title: table for title, table in sheets.items() if table.rows}
            if filled and any("" in row for row in next(iter(filled.values())).rows):
                formulas = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=False)
                _require_values(formulas[next(iter(filled))], next(iter(filled.values())), name)
    except DataError:
        raise
    except Exception as error:  # a damaged workbook makes it trip over anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} is no workbook that can be read: {reason}", hint="save it anew, or as CSV") from error
    first, *others = filled or [""]
    table = filled.get(first, RawTable(delimiter=",", rows=[], lines=[]))
    if others:
        table.notes.append(
            format_warning(f"{name} has {len(filled)} sheets: {join_names([first])} is read, not {join_names(others)}")
        )
    return table


def _read_sheet(sheet: Any, name: str) -> RawTable:
    """Read the rows of a sheet that are not blank, all as long as the longest."""
    sheet.reset_dimensions()  # what a file says of them is often wrong
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        row = tuple(_show_cell(cell, name) for cell in cells)
        if any(row):
            rows.append(row)
            lines.append(number)
    width = max((at for row in rows for at, cell in enumerate(row, start=1) if cell), default=0)
    filled_up = [row[:width] + ("",) * (width - len(row)) for row in rows]
    return RawTable(delimiter=",", rows=filled_up, lines=lines)


def _show_cell(cell: Any, name: str) -> str:
    """Return a cell's value as the sheet shows it, but no less exact."""
    value = cell.value
    if value is None or isinstance(value, str):
        if value is not None and cell.data_type == "e":
            raise DataError(f"{name}: cell {cell.coordinate} holds the error {value}", hint="fix or empty the cell")
        return value or ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = int(value) if float(value).is_integer() else value
        if isinstance(value, int) and ZEROS.fullmatch(cell.number_format):
            return f"{value:0{len(cell.number_format)}d}"
    return _to_text(value)


def _require_values(sheet: Any, table: RawTable, name: str) -> None:
    """Require that no blank cell holds a formula: its value was never computed, or not saved."""
    sheet.reset_dimensions()
    blank = {
        (line, at) for line, row in zip(table.lines, table.rows, strict=True) for at, cell in enumerate(row) if not cell
    }
    for number, cells in enumerate(sheet.iter_rows(max_row=table.lines[-1]), start=1):
        for at, cell in enumerate(cells):
            if cell.data_type == "f" and (number, at) in blank:
                raise DataError(
                    f"{name}: cell {cell.coordinate} holds a formula without its value",
                    hint="open it in a spreadsheet program and save it, or save it as CSV",
                )


def _require_no_bomb(content: bytes, name: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            n_bytes = sum(member.file_size for member in archive.infolist())
    except Exception as error:  # a damaged directory of members makes it trip over anything
        raise DataError(f"{name} is no workbook that can be read", hint="save it anew, or as CSV") from error
    if n_bytes > max(RATIO_MATTERS_BYTES, min(MAX_MEMBER_BYTES, MAX_RATIO * len(content))):
        raise DataError(f"{name} would grow to {n_bytes} bytes, as a bomb does", hint="save it anew, or as CSV")


def _read_columns(path: Path, name: str, *, head: bool) -> RawTable:
    reason = explain_unreadable_columns(path, name)
    if reason is not None:
        raise DataError(f"{name} is no table of labels: {reason}", hint="save ids and labels as CSV")
    file = _open_columns(path, name)
    if head:
        schema = file.schema_arrow if _is_parquet(path) else file.schema
        return RawTable(delimiter=",", rows=[tuple(schema.names)], lines=[0])
    try:
        table = file.read() if _is_parquet(path) else file.read_all()
        if table.num_rows * table.num_columns > MAX_CELLS:
            raise DataError(f"{name} has more than {MAX_CELLS} cells", hint="save ids and labels as CSV")
        columns = [list(map(_to_text, _to_list(column))) for column in table.columns]
    except UNREADABLE_ERRORS as error:
        raise DataError(f"{name} is damaged: {' '.join(str(error).split())}", hint="download it again") from error
    rows = [tuple(table.column_names), *zip(*columns, strict=True)]
    return RawTable(delimiter=",", rows=rows, lines=list(range(len(rows))))


def _to_list(column: Any) -> list[Any]:
    """Return the values of a column; numbers as short as they can be written, 7 and not 7.0."""
    import pyarrow

    if not pyarrow.types.is_floating(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return [None if text == "nan" else text for text in column.cast(pyarrow.string()).to_pylist()]


def _open_columns(path: Path, name: str) -> Any:
    """Open a file with columns, without reading more than where they are."""
    _import_library("pyarrow", name, "parquet")
    import pyarrow
    from pyarrow import parquet

    location = resolve_address(path)
    source = str(path) if isinstance(location, DiskFile) else pyarrow.BufferReader(_read_content(path, name))
    try:
        return parquet.ParquetFile(source) if _is_parquet(path) else pyarrow.ipc.open_file(source)
    except UNREADABLE_ERRORS as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} cannot be read: {reason}", hint="download it again, or save it as CSV") from error


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _import_library(library: str, name: str, extra: str) -> Any:
    """Import an optional library.

    Raises:
        DataError: it is not installed.
    """
    try:
        return load_library(library, extra)
    except DataError as error:
        raise DataError(f"{name} cannot be read: {error.problem}", hint=f"{error.hint}; or save it as CSV") from error
