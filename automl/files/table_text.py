"""Parse tables that are text: which encoding, which separator, what stands above the header.

    encoding    UTF-8; UTF-16 and UTF-32 where the file says so or every second byte is a NUL; Windows-1252 where the
                bytes are no UTF-8 and read as Western letters
    separator   , ; tab | or, in .txt files, blanks: the one by which all rows have as many fields; only what stands
                behind the name of an image may be several words
    above       a line such as sep=; of Excel, lines that begin with #

Whatever is not certain is refused. Cells stay text as it is written.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from automl.errors import DataError, join_names
from automl.files.evidence import format_warning
from automl.files.image_names import is_image_name

if TYPE_CHECKING:
    import _csv

DELIMITERS = ",;\t|"
BLANKS = " "  # the delimiter of fields that any number of blanks and tabs separates
HEADER_ROWS = 100  # within which the header is
PROBED_BYTES = 1024**2 // 16  # enough to tell the separator
UTF8_HINT = "save the file as CSV with encoding UTF-8"
WIDE_MARKS = (  # those of UTF-32 first, which begin as one of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHER_FILES = (  # what files begin with that are tables by their name alone
    (b"\x1f\x8b", "it is packed by gzip", "let its name end in .csv.gz"),
    (b"BZh", "it is packed by bzip2", "let its name end in .csv.bz2"),
    (b"\xfd7zXZ", "it is packed by xz", "let its name end in .csv.xz"),
    (b"PK\x03\x04", "it is an archive, or a workbook of Excel", "let its name end in .zip or in .xlsx"),
    (b"\xd0\xcf\x11\xe0", "it is an old workbook of Excel", UTF8_HINT),
    (b"PAR1", "it is Parquet", "let its name end in .parquet"),
)
LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|$)")
CONTROL_CHARACTERS = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
WESTERN_SIGNS = frozenset("’‘“”–—…€£¥§©®°±²³·¼½¾¿¡«»ªº´µ×÷\xa0")
MAX_LETTERS = 2  # with accents one after the other, as in "créée"; in other alphabets words of them
CLOSING_SIGNS = frozenset("”…")  # before a letter they are part of something else


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """The rows of a file as it has them, the header first, not checked for their lengths.

    Attributes:
        lines: (n_rows,) the line of the file on which a row ends, from 1.
        notes: lines of evidence.
    """

    delimiter: str
    rows: list[tuple[str, ...]]
    lines: list[int]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    """A text without what stands above its header.

    Attributes:
        n_above: lines that are left out.
        delimiter: None where it is to be detected.
    """

    content: bytes
    n_above: int = 0
    delimiter: str | None = None
    notes: tuple[str, ...] = ()


def convert_to_utf8(
    content: bytes, name: str, *, is_cut: bool = False, strict: bool = False
) -> tuple[bytes, list[str]]:
    """Return a text as UTF-8 without a byte-order mark or NULs, and what is to be said of its encoding.

    Args:
        is_cut: the end may be in the middle of a line, which is left out.
        strict: it must be UTF-8 already.

    Raises:
        DataError: it is of another encoding than those above, or none can be told.
    """
    codec = _detect_wide_codec(content)
    if codec and not strict:
        whole = _convert_wide(content, codec, name, is_cut=is_cut)
        return (strip_last_line(whole, name) if is_cut else whole), [f"{name} is read as {codec.upper()}"]
    whole = strip_last_line(content, name) if is_cut else content
    try:
        codecs.utf_8_decode(whole, "strict", True)
        notes = []
    except UnicodeDecodeError as error:
        _require_single_bytes(whole, name, error, strict=strict)
        text = whole.decode("cp1252")
        notes = [_describe_western(text, name)]
        whole = text.encode()
    nul = whole.find(b"\0")
    if nul >= 0:
        fault = f"line {_count_lines(whole, nul)} holds a NUL, as in a UTF-16 or a binary file"
        raise _make_encoding_error(name, fault, whole)
    return whole.removeprefix(codecs.BOM_UTF8), notes


def parse_text(
    content: bytes, name: str, *, may_have_blanks: bool = False, strict: bool = False, head: bool = False
) -> RawTable:
    """Parse UTF-8 text to rows; lines without a character are left out.

    Args:
        may_have_blanks: fields may be separated by blanks, and then there must be at least two in each row.
        strict: nothing may stand above the header.
        head: no more than HEADER_ROWS, and the last field may be cut off.

    Raises:
        DataError: quotes are damaged, or it is unclear where the header is.
    """
    body = _Body(content=content) if strict else _strip_lines_above(content, name)
    delimiter = body.delimiter or detect_delimiter(body.content, may_have_blanks=may_have_blanks)
    lines, rows = _parse_rows(body, delimiter, name, head=head)
    if not strict and delimiter != BLANKS and rows and _has_blanks_before_quotes(rows[0]):
        lines, rows = _parse_rows(body, delimiter, name, head=head, skip_blanks=True)
    if may_have_blanks:
        _require_fields(rows, lines, name)
    return RawTable(delimiter=delimiter, rows=rows, lines=lines, notes=list(body.notes))


def detect_delimiter(content: bytes, *, may_have_blanks: bool = False) -> str:
    """Return the separator by which the first rows have equally many fields; else the one that the header uses most.

    A comma where the first line has none. Rows of one field before the first longer one are a title, but not where the
    first line has any separator: it may be a header, and the longer row damaged.
    """
    head = content[:PROBED_BYTES]
    if len(content) > PROBED_BYTES:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head
    header = _get_first_line(head).decode(errors="replace")
    fitting = []
    for delimiter in DELIMITERS:
        widths = _measure_widths(head, delimiter)
        first = next((at for at, width in enumerate(widths) if width > 1), None)
        may_have_title = not may_have_blanks and not any(map(header.count, DELIMITERS))
        if first is not None and (first == 0 or may_have_title) and len(set(widths[first:])) == 1:
            fitting.append(delimiter)
    if may_have_blanks and not fitting:
        return BLANKS
    return max(fitting or DELIMITERS, key=header.count)


def _make_damaged_error(name: str, line: int, error: object) -> DataError:
    """Build the error for quotes that do not close, or characters behind them."""
    return DataError(f"{name} is damaged near line {line}: {error}", hint="fix the quotes in that line")


def strip_last_line(head: bytes, name: str) -> bytes:
    """Return the whole lines of the first bytes of a text.

    Raises:
        DataError: there is none.
    """
    end = max(head.rfind(b"\n"), head.rfind(b"\r"))
    if end < 0:
        raise DataError(
            f"the first line of {name} is longer than {max(1, len(head) // 1024**2)} MB",
            hint="check that it is a table",
        )
    return head[: end + 1]


def _detect_wide_codec(content: bytes) -> str | None:
    """Return the codec of a text with two or four bytes a letter, by its mark or by the NULs of plain letters."""
    for mark, codec in WIDE_MARKS:
        if content.startswith(mark):
            return codec
    head = content[:PROBED_BYTES]
    n_even, n_odd = head[::2].count(0), head[1::2].count(0)
    if n_even and n_odd:
        return None
    return {True: "utf-16-le", False: "utf-16-be"}[n_odd > 0] if 4 * max(n_even, n_odd) > len(head) else None


def _convert_wide(content: bytes, codec: str, name: str, *, is_cut: bool) -> bytes:
    try:
        text = codecs.getincrementaldecoder(codec)().decode(content, final=not is_cut)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is damaged: it is {codec.upper()}, but not to its end", hint=UTF8_HINT) from error
    if "\0" in text:
        raise DataError(f"{name} is damaged: it is {codec.upper()} and holds a NUL", hint=UTF8_HINT)
    return text.removeprefix("\ufeff").encode()


def _require_single_bytes(content: bytes, name: str, error: UnicodeDecodeError, *, strict: bool) -> None:
    """Require that bytes that are no UTF-8 read as Windows-1252: Western letters and signs, alone or beside others."""
    line = _count_lines(content, error.start)
    fault = f"line {line} holds the byte 0x{content[error.start]:02x}"
    if strict:
        raise _make_encoding_error(name, f"{fault}, perhaps Latin-1", content) from error
    valid = content.decode("utf-8", "ignore")
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    if (
        CONTROL_CHARACTERS.search(content)
        or content.startswith(tuple(start for start, *_ in OTHER_FILES))
        or not text
        or not valid.isascii()
        or not all(map(_is_western, _list_odd_words(text)))
    ):
        raise _make_encoding_error(name, f"{fault}, and it does not read as Windows-1252", content) from error


def _list_odd_words(text: str) -> list[str]:
    """List the distinct words that hold letters or signs beyond ASCII."""
    return [word for word in dict.fromkeys(re.split(r"[\s,;|\"]+", text)) if not word.isascii()]


def _is_western(word: str) -> bool:
    odd = {letter for letter in word if not letter.isascii()}
    if not all(letter.isalpha() or letter in WESTERN_SIGNS for letter in odd) or odd & set("ƒˆ˜"):
        return False
    runs = re.findall(r"[^\W\d_a-zA-Z]+", word)
    has_plain = any(letter.isascii() and letter.isalpha() for letter in word)
    is_odd = any(
        after.isalpha() and (first in CLOSING_SIGNS or (first.islower() and after.isupper() and not after.isascii()))
        for first, after in itertools.pairwise(word)
    )  # as letters of a Macintosh become
    return not is_odd and all(len(run) <= (MAX_LETTERS if has_plain else 1) for run in runs)


def _describe_western(text: str, name: str) -> str:
    word = _list_odd_words(text)[0]
    return format_warning(
        f"{name} is no UTF-8 and is read as Windows-1252 (cp1252), such as {join_names([word])}; "
        "other encodings of one byte a letter cannot be told from it: where the word is wrong, save the file as UTF-8"
    )


def _make_encoding_error(name: str, problem: str, content: bytes) -> DataError:
    for start, instead, hint in OTHER_FILES:
        if content.startswith(start):
            return DataError(f"{name} is no text: {instead}", hint=hint)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        problem = "it is UTF-16"
    return DataError(f"{name} is not UTF-8 text: {problem}", hint=UTF8_HINT)


def _count_lines(content: bytes, end: int) -> int:
    """Return the number of the line that holds a byte, from 1."""
    return content.count(b"\n", 0, end) + 1


def _get_first_line(content: bytes) -> bytes:
    return content.lstrip(b" \t\r\n\v\f").split(b"\n", 1)[0]


def _strip_lines_above(content: bytes, name: str) -> _Body:
    """Strip a line sep=; and lines that begin with #, unless one of these is the header."""
    at, n_above, delimiter = 0, 0, None
    comments: list[tuple[int, int, bytes]] = []  # (where it begins, lines above it, text)
    while at < len(content):
        match = LINE.match(content, at)
        line = match[0].strip() if match else b""
        if line.startswith(b"#"):
            comments.append((at, n_above, line))
        elif not comments and not delimiter and re.fullmatch(rb'"?sep=.?"?', match[0].strip(b"\r\n") if match else b""):
            delimiter = line.strip(b'"')[4:].decode() or "\t"
        elif line:
            break
        at, n_above = (match.end() if match else len(content)), n_above + 1
    if at >= len(content):  # nothing but comments: rows that begin so
        comments.clear()
        at, n_above = 0, 0
    if not comments:
        return _Body(content=content[at:], n_above=n_above, delimiter=delimiter)
    body = _Body(content=content[at:], n_above=n_above, delimiter=delimiter)
    return _choose_header(content, comments, body, name)


def _choose_header(content: bytes, comments: Sequence[tuple[int, int, bytes]], body: _Body, name: str) -> _Body:
    """Return the text from the last comment on where that is the header, such as #id,label; else the body."""
    delimiter = body.delimiter or detect_delimiter(body.content)
    width = _count_fields(body.content, delimiter)
    wide = [
        number for number, (*_, line) in enumerate(comments) if width > 1 and _count_fields(line, delimiter) == width
    ]
    at, n_above, line = comments[-1]
    if wide == [len(comments) - 1] and not line[1:2].isspace():
        comments = comments[:-1]
        body = _Body(content=content[at:], n_above=n_above, delimiter=body.delimiter)
    elif wide:
        raise DataError(
            f"line {comments[wide[0]][1] + 1} of {name} begins with # and has as many fields as the rows: it is "
            "unclear whether it is the header or a comment",
            hint="remove the line, or the # before the names of the columns",
        )
    n_lines = len(comments)
    many = f"{n_lines} lines that begin with # are" if n_lines > 1 else "1 line that begins with # is"
    notes = (f"{name}: {many} left out above the header",) if n_lines else ()
    return _Body(content=body.content, n_above=body.n_above, delimiter=body.delimiter, notes=notes)


def _count_fields(content: bytes, delimiter: str) -> int:
    """Count the fields of the first row; none where its quotes are damaged."""
    try:
        return len(next(_make_reader(content, delimiter), []))
    except csv.Error:
        return 0


def _make_reader(content: bytes, delimiter: str, *, skip_blanks: bool = False) -> _csv.Reader:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    return csv.reader(text, delimiter=delimiter, strict=True, skipinitialspace=skip_blanks)


def _measure_widths(content: bytes, delimiter: str) -> list[int]:
    """Count the fields of each row that is not blank; none where quotes are damaged by that separator."""
    try:
        return [len(fields) for fields in _make_reader(content, delimiter) if any(map(str.strip, fields))]
    except csv.Error:
        return []


def _parse_rows(
    body: _Body, delimiter: str, name: str, *, head: bool, skip_blanks: bool = False
) -> tuple[list[int], list[tuple[str, ...]]]:
    """Return (lines, fields) of all lines that are not blank, the header first."""
    if delimiter == BLANKS:
        return _split_at_blanks(body, head=head)
    reader = _make_reader(body.content, delimiter, skip_blanks=skip_blanks)
    lines, rows = [], []
    try:
        for fields in itertools.islice(reader, HEADER_ROWS if head else None):
            if fields:
                lines.append(reader.line_num + body.n_above)
                rows.append(tuple(fields))
    except csv.Error as error:
        if head and len(rows) > 1:
            return lines, rows
        raise _make_damaged_error(name, reader.line_num + body.n_above, error) from error
    return lines, rows


def _split_at_blanks(body: _Body, *, head: bool) -> tuple[list[int], list[tuple[str, ...]]]:
    """Split each line at its blanks; where images come first, at the first one alone: labels may be several words."""
    numbered = enumerate(_iterate_lines(body.content), start=body.n_above + 1)
    stripped = ((number, line.strip(" \t")) for number, line in numbered)
    texts = list(itertools.islice(((n, text) for n, text in stripped if text), HEADER_ROWS if head else None))
    rows = [tuple(re.split(r"[ \t]+", text)) for _, text in texts]
    if (
        len(set(map(len, rows))) > 1
        and len(rows[0]) > 1
        and all(len(row) > 1 and is_image_name(row[0]) for row in rows[1:])
    ):
        rows = [tuple(re.split(r"[ \t]+", text, maxsplit=1)) for _, text in texts]
    return [number for number, _ in texts], rows


def _iterate_lines(content: bytes) -> Iterator[str]:
    for line in io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig"):
        yield line.rstrip("\n")


def _has_blanks_before_quotes(header: Sequence[str]) -> bool:
    """Whether quotes stand behind blanks, as in "id", "label", where they would become part of the cell."""
    return any(cell != cell.lstrip() and re.fullmatch(r'\s+".*"\s*', cell) for cell in header)


def _require_fields(rows: Sequence[tuple[str, ...]], lines: Sequence[int], name: str) -> None:
    """Require a text file to be a table: the same number of fields, two at least, in every row, and no stray quotes."""
    width = len(rows[0]) if rows else 0
    for line, fields in zip(lines, rows, strict=True):
        if len(fields) != width or width < 2 or any('"' in cell for cell in fields):
            raise DataError(
                f"{name} is no table: line {line} has {len(fields)} fields, and line {lines[0]} has {width}",
                hint="save it as CSV, with a header and two columns at least",
            )
