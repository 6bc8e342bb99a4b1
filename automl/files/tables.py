"""CSV files as tables of text: what stands in the file, checked, and never converted.

Ids such as 00012 and labels such as NA or None stay as they are written. A table may lie in an archive (train.csv.zip).
Not responsible for: what a column means, or tables of pixels (automl.files.pixel_tables).
"""

from __future__ import annotations

import codecs
import csv
import io
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import DataError, listed
from automl.files.addresses import read_bytes
from automl.files.listing import top_archives, top_files

if TYPE_CHECKING:
    import _csv

DELIMITERS = ",;\t"
TABLES, DOCUMENTS = ".csv", ".json"
MAX_HEADER_BYTES = 1024**2


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


def find_tables(root: Path) -> dict[str, Path]:
    """The address of each CSV file at the top of a folder, or at the top of an archive there, by its name.

    "train.csv" names train.csv, else train.csv.zip/train.csv, else competition.zip/train.csv. Folders that hold all
    there is in an archive do not count. In the order of the names.

    Raises:
        DataError: the folder or an archive cannot be read, or a link leads out of the folder.
    """
    return _found(root, TABLES)


def find_documents(root: Path) -> dict[str, Path]:
    """The same for JSON files."""
    return _found(root, DOCUMENTS)


def read_table(path: Path) -> Table:
    """The table in a CSV file: UTF-8 with or without a byte-order mark, any line ends, separated by , ; or tab.

    Args:
        path: of a file, or the address of a member of an archive.

    Raises:
        DataError: the file cannot be read, is of another encoding, is damaged, or has no rows.
    """
    content = _content(path)
    _require_text(content, path.name)
    delimiter = _delimiter_of(content)
    lines, rows = _parsed(content, delimiter, path.name)
    if not rows:
        raise DataError(f"{path.name} is empty", hint="restore the file")
    header = rows.pop(0)
    del lines[0]
    _require_distinct(header, path.name)
    _require_equal_lengths(header, rows, lines, path.name)
    if not rows:
        raise DataError(f"{path.name} has a header, but no rows", hint="restore the file")
    return Table(name=path.name, delimiter=delimiter, header=header, rows=tuple(rows), lines=tuple(lines))


def read_header(path: Path) -> tuple[str, ...]:
    """The names of a table's columns, without reading the rest of it.

    Raises:
        DataError: as for read_table, as far as the first lines tell.
    """
    head = _content(path, at_most=MAX_HEADER_BYTES)
    whole_lines = head if len(head) < MAX_HEADER_BYTES else _without_last_line(head, path.name)
    _require_text(whole_lines, path.name)
    reader = _reader(whole_lines, _delimiter_of(whole_lines))
    try:
        header = next((tuple(fields) for fields in reader if fields), ())
    except csv.Error as error:
        raise _damaged(path.name, reader.line_num, error) from error
    if not header:
        raise DataError(f"{path.name} is empty", hint="restore the file")
    return header


def counted(n: int, noun: str) -> str:
    """A number of things, in words for a message."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _found(root: Path, suffix: str) -> dict[str, Path]:
    addresses = {name: root / name for name in top_files(root, (suffix,))}
    archives = top_archives(root)
    # train.csv.zip is meant for train.csv; whatever else holds one comes after it.
    for archive in sorted(archives, key=lambda archive: not archive.path.stem.lower().endswith(suffix)):
        for member in _at_the_top(archive.names):
            if member.lower().endswith(suffix):
                addresses.setdefault(posixpath.basename(member), archive.path / member)
    return dict(sorted(addresses.items()))


def _at_the_top(names: Sequence[str]) -> list[str]:
    """The files that lie in no folder but those that all of them share."""
    folders = {posixpath.dirname(name) for name in names}
    common = posixpath.commonpath(folders) if folders else ""
    return [name for name in names if posixpath.dirname(name) == common]


def _content(path: Path, *, at_most: int | None = None) -> bytes:
    try:
        return read_bytes(path, at_most=at_most)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            reason = error.__cause__.strerror or error.__cause__
            raise DataError(f"{path.name} cannot be read: {reason}", hint=error.hint) from error.__cause__
        raise


def _require_text(content: bytes, name: str) -> None:
    """The text itself is thrown away: a large table is parsed without a second copy of it in memory."""
    try:
        codecs.utf_8_decode(content, "strict", True)
    except UnicodeDecodeError as error:
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        line = content.count(b"\n", 0, error.start) + 1
        strange = f"line {line} holds the byte 0x{content[error.start]:02x}, perhaps Latin-1"
        raise _wrong_encoding(name, "it is UTF-16" if wide else strange) from error
    nul = content.find(b"\0")
    if nul >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise _wrong_encoding(name, f"line {line} holds a NUL, as in a UTF-16 or a binary file")


def _wrong_encoding(name: str, problem: str) -> DataError:
    return DataError(f"{name} is not UTF-8 text: {problem}", hint="save the file as CSV with encoding UTF-8")


def _delimiter_of(content: bytes) -> str:
    """The separator that the first line uses most; a comma where it uses none."""
    text = content.removeprefix(codecs.BOM_UTF8)
    start = next((at for at, byte in enumerate(text) if byte not in b" \t\r\n\v\f"), 0)
    end = text.find(b"\n", start)
    header = text[start : end if end >= 0 else len(text)].decode()
    return max(DELIMITERS, key=header.count)


def _reader(content: bytes, delimiter: str) -> _csv.Reader:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    return csv.reader(text, delimiter=delimiter, strict=True)


def _parsed(content: bytes, delimiter: str, name: str) -> tuple[list[int], list[tuple[str, ...]]]:
    """(lines, fields) of all lines that are not blank, the header first."""
    reader = _reader(content, delimiter)
    lines, rows = [], []
    try:
        for fields in reader:
            if fields:
                lines.append(reader.line_num)
                rows.append(tuple(fields))
    except csv.Error as error:
        raise _damaged(name, reader.line_num, error) from error
    return lines, rows


def _damaged(name: str, line: int, error: csv.Error) -> DataError:
    return DataError(f"{name} is damaged near line {line}: {error}", hint="mend the quotes in that line")


def _without_last_line(head: bytes, name: str) -> bytes:
    end = max(head.rfind(b"\n"), head.rfind(b"\r"))
    if end < 0:
        raise DataError(
            f"the first line of {name} is longer than {MAX_HEADER_BYTES // 1024**2} MB", hint="check that it is a table"
        )
    return head[: end + 1]


def _require_distinct(header: Iterable[str], name: str) -> None:
    seen: set[str] = set()
    for column in header:
        if column in seen:
            raise DataError(f"{name} has two columns named {listed([column])}", hint="rename one of them")
        seen.add(column)


def _require_equal_lengths(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], lines: Sequence[int], name: str
) -> None:
    for line, fields in zip(lines, rows, strict=True):
        if len(fields) != len(header):
            raise DataError(
                f"{name}: the header has {counted(len(header), 'field')}, but line {line} has {len(fields)}",
                hint="mend the line, or quote fields that hold the separator",
            )
