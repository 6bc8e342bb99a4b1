"""Parse a submission's bytes as a scorer would: its header, its rows with their lines, and what is wrong with both."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from automl.data.competition import SubmissionTemplate
from automl.errors import join_names

MAX_FIELD = 2**31 - 1  # a row of thousands of labels is long, but no error
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row and the number of the line that it begins in, from 1."""

    line: int
    values: list[str]


@dataclass(frozen=True, slots=True)
class SubmissionFile:
    """A file that could be decoded.

    Attributes:
        rows: those with as many values as the header.
        positions: (n_columns of the sample,) where each of the sample's columns stands; empty where it is another set.
        problems: what is wrong with its form, a line each.
    """

    header: tuple[str, ...]
    rows: list[Row]
    positions: tuple[int, ...]
    problems: list[str]

    def find_column(self, name: str) -> int | None:
        """Return where a column stands; None where there is none."""
        return self.header.index(name) if name in self.header else None


@dataclass
class Findings:
    """Problems of several types; of each the first is described, with how many lines are alike."""

    first: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, problem_type: str, text: str) -> None:
        """Add a problem."""
        self.first.setdefault(problem_type, text)
        self.counts[problem_type] = self.counts.get(problem_type, 0) + 1

    def format_lines(self) -> list[str]:
        """Return a line for each type."""
        return [f"{text}{_count_more(self.counts[own] - 1)}" for own, text in self.first.items()]


def parse_submission(content: bytes, template: SubmissionTemplate) -> SubmissionFile:
    """Parse a file, compared with the sample's form."""
    problems: list[str] = []
    text = _decode(content, problems)
    numbered, broken = _parse_rows(text)
    problems.extend(broken)
    if not numbered:
        return SubmissionFile((), [], (), problems or ["it is empty"])
    header, rows = tuple(numbered[0].values), numbered[1:]
    problems.extend(_find_header_problems(header, template.header))
    if len(rows) != len(template.ids):
        problems.append(f"it has {len(rows)} rows, not {len(template.ids)}")
    odd = Findings()
    for row in rows:
        if len(row.values) != len(header):
            odd.add("length", f"line {row.line} has {len(row.values)} values, not {len(header)}")
    problems.extend(odd.format_lines())
    complete = [row for row in rows if len(row.values) == len(header)]
    same_columns = sorted(header) == sorted(template.header)
    positions = tuple(header.index(name) for name in template.header) if same_columns else ()
    return SubmissionFile(header, complete, positions, problems)


def find_id_problems(file: SubmissionFile, template: SubmissionTemplate) -> list[str]:
    """Find ids that are unknown, repeated or missing; nothing where there is no column of ids."""
    column = file.find_column(template.header[template.id_column])
    if column is None:
        return []
    known, first_lines, found = frozenset(template.ids), dict[str, int](), Findings()
    for row in file.rows:
        own_id = row.values[column]
        first = first_lines.setdefault(own_id, row.line)
        if first != row.line:
            found.add("repeated", f"line {row.line} has the id {_quote(own_id)} of line {first} again")
        elif own_id not in known:
            found.add("unknown", f"line {row.line} has the id {_quote(own_id)}, which the sample has not")
    missing = [own_id for own_id in template.ids if own_id not in first_lines]
    if not missing:
        return found.format_lines()
    ids = "the id" if len(missing) == 1 else f"{len(missing)} ids"
    return [
        *found.format_lines(),
        f"{ids} of the sample {'is' if len(missing) == 1 else 'are'} missing: {join_names(missing)}",
    ]


def _decode(content: bytes, problems: list[str]) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.append("it is written in UTF-16: write UTF-8")
        return content.decode("utf-16", "replace").replace("\r\n", "\n")
    if content.startswith(b"PK\x03\x04"):
        problems.append("it is a workbook or an archive, not a CSV: save it as CSV")
        return ""
    if content.startswith(b"\xef\xbb\xbf"):
        problems.append("it begins with a byte order mark")
        content = content[3:]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(f"line {line} is not UTF-8: it has the byte {content[error.start]:#04x}")
        text = content.decode("utf-8", "surrogateescape")
    if "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        problems.append(f"line {line} has a carriage return{_count_more(text.count(chr(13)) - 1)}")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text and not text.endswith("\n"):
        problems.append("its last line does not end")
    return text


def _parse_rows(text: str) -> tuple[list[Row], list[str]]:
    """Rows but blank ones, which scorers skip, up to where the quoting breaks."""
    rows: list[Row] = []
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows.extend(Row(line, values) for line, values in _number_rows(reader) if values)
    except csv.Error as error:
        return rows, [f"line {reader.line_num} cannot be read as CSV: {error}"]
    return rows, []


def _number_rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line that it begins in."""
    line = 1
    for values in reader:
        yield line, values
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _find_header_problems(header: Sequence[str], expected: Sequence[str]) -> list[str]:
    if tuple(header) == tuple(expected):
        return []
    if len(header) == 1 < len(expected):
        separator = next((sign for sign in SEPARATORS if tuple(header[0].split(sign)) == tuple(expected)), None)
        if separator is not None:
            return [f"its values are separated by {SEPARATORS[separator]}: write commas"]
    is_index = header[0] not in expected and (not header[0].strip() or header[0].startswith("Unnamed:"))
    extra = [name for name in header[int(is_index) :] if name not in expected]
    missing = [name for name in expected if name not in header]
    repeated = [name for name in dict.fromkeys(header) if list(header).count(name) > 1 and name in expected]
    spelled = [(name, meant) for name in extra for meant in missing if _fold_case(name) == _fold_case(meant)]
    extra = [name for name in extra if name not in dict(spelled)]
    missing = [name for name in missing if name not in dict(spelled).values()]
    problems = [
        f"the header has the column {_quote(name)}, which is written {_quote(meant)}" for name, meant in spelled
    ]
    if is_index:
        index = _quote(header[0])
        problems.append(f"the header begins with {index}, the index of a data frame: write it without index")
    if missing:
        problems.append(f"the header lacks {_name_columns(missing)}")
    if extra:
        problems.append(f"the header has {_name_columns(extra)}, which the sample has not")
    if repeated:
        problems.append(f"the header has {_name_columns(repeated)} more than once")
    first = next((pair for pair in zip(header, expected, strict=False) if pair[0] != pair[1]), None)
    if not problems and first is not None:
        problems.append(f"the header's columns are in another order: {_quote(first[0])} where {_quote(first[1])} is")
    return problems


def _fold_case(name: str) -> str:
    return name.strip().casefold()


def _name_columns(names: list[str]) -> str:
    return f"the column{'s' if len(names) > 1 else ''} {join_names([_quote(name) for name in names])}"


def _quote(text: str) -> str:
    return f"'{text}'" if text.isprintable() else repr(text)


def _count_more(n: int) -> str:
    return "" if n <= 0 else f", and {n} more line{'s' if n > 1 else ''} alike"
