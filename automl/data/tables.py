"""CSV files as tables of text: what stands in the file, checked, and never converted.

Ids such as 00012 and labels such as NA or None stay as they are written. Not responsible for: what a column means.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from automl.errors import DataError, listed

DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A CSV file whose rows all have as many fields as its header.

    Attributes:
        name: how messages call the file.
        lines: (n_rows,) the line of the file on which a row ends, from 1.
    """

    name: str
    delimiter: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, index: int) -> list[str]:
        """(n_rows,) the fields of one column."""
        return [row[index] for row in self.rows]


def read_table(path: Path) -> Table:
    """The table in a CSV file: UTF-8 with or without a byte-order mark, any line ends, separated by , ; or tab.

    Raises:
        DataError: the file cannot be read, is of another encoding, is damaged, or has no rows.
    """
    text = _decoded(path)
    delimiter = _delimiter_of(text)
    parsed = _parsed(text, delimiter, path.name)
    if not parsed:
        raise DataError(f"{path.name} is empty", hint="restore the file")
    (_, header), *numbered = parsed
    _require_distinct(header, path.name)
    _require_equal_lengths(header, numbered, path.name)
    if not numbered:
        raise DataError(f"{path.name} has a header, but no rows", hint="restore the file")
    lines, rows = zip(*numbered, strict=True)
    return Table(name=path.name, delimiter=delimiter, header=header, rows=rows, lines=lines)


def counted(n: int, noun: str) -> str:
    """A number of things, in words for a message."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read: {error.strerror or error}", hint="check that it is a readable file"
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        line = content.count(b"\n", 0, error.start) + 1
        strange = f"line {line} holds the byte 0x{content[error.start]:02x}, perhaps Latin-1"
        problem = "it is UTF-16" if wide else strange
        raise _wrong_encoding(path, problem) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _wrong_encoding(path, f"line {line} holds a NUL, as in a UTF-16 or a binary file")
    return text


def _wrong_encoding(path: Path, problem: str) -> DataError:
    return DataError(f"{path.name} is not UTF-8 text: {problem}", hint="save the file as CSV with encoding UTF-8")


def _delimiter_of(text: str) -> str:
    """The separator that the first line uses most; a comma where it uses none."""
    header = text.lstrip().partition("\n")[0]
    return max(DELIMITERS, key=header.count)


def _parsed(text: str, delimiter: str, name: str) -> list[tuple[int, tuple[str, ...]]]:
    """(line, fields) of every line that is not blank, the header first."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, tuple(fields)) for fields in reader if fields]
    except csv.Error as error:
        raise DataError(
            f"{name} is damaged near line {reader.line_num}: {error}", hint="mend the quotes in that line"
        ) from error


def _require_distinct(header: Iterable[str], name: str) -> None:
    seen: set[str] = set()
    for column in header:
        if column in seen:
            raise DataError(f"{name} has two columns named {listed([column])}", hint="rename one of them")
        seen.add(column)


def _require_equal_lengths(header: tuple[str, ...], numbered: list[tuple[int, tuple[str, ...]]], name: str) -> None:
    for line, fields in numbered:
        if len(fields) != len(header):
            raise DataError(
                f"{name}: the header has {counted(len(header), 'field')}, but line {line} has {len(fields)}",
                hint="mend the line, or quote fields that hold the separator",
            )
