"""Find tables, and read them as text, checked and never converted.

Ids such as 00012 and labels such as NA or None stay as they are written. A table may lie in an archive (train.csv.zip),
and be of any of the formats in automl.files.table_formats. What is left out of it is told by its notes.
Not by pandas, whose C engine pads short rows in silence, lets blank rows and NUL bytes pass and numbers no lines, and
which is little faster: 1,000,000 rows took it 1.13 s against 1.46 s here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.archives import Archive
from automl.files.evidence import format_warning
from automl.files.image_names import get_folder, is_image_name
from automl.files.listing import list_top_files, open_top_archives, walk
from automl.files.table_cleaning import require_distinct
from automl.files.table_formats import (
    COLUMN_SUFFIXES,
    PLAIN_SUFFIX,
    TABLE_SUFFIXES,
    explain_unreadable_columns,
    is_table_file_name,
    read_rows,
    read_text,
)

DOCUMENT_SUFFIX = ".json"
MAX_IN_FOLDER, MAX_PLAIN_IN_FOLDER = 200, 20  # tables; where there are more, they are one beside each image
MAX_TABLES = 1000  # in all folders
UNREAD_SUFFIXES: Mapping[str, str] = {
    ".xls": "a workbook of old Excel",
    ".xlsb": "a binary workbook of Excel",
    ".ods": "a workbook of LibreOffice",
    ".numbers": "a workbook of Numbers",
    ".sav": "a table of SPSS",
    ".dta": "a table of Stata",
    ".sas7bdat": "a table of SAS",
    ".rds": "data of R",
    ".rdata": "data of R",
    ".mat": "data of MATLAB",
    ".pkl": "a pickle, which may run code",
    ".pickle": "a pickle, which may run code",
    ".db": "a database",
    ".sqlite": "a database",
    ".sqlite3": "a database",
    ".orc": "ORC",
    ".avro": "Avro",
}
ORDINARY_NAMES = frozenset(
    (
        *("id", "image", "image_id", "imageid", "image_name", "img", "file", "file_name", "filename", "name", "path"),
        *("label", "labels", "class", "target", "category"),
    )
)
PROBED_ROWS = 1000  # whose look is compared with the header's


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as text; all rows have as many fields as the header.

    Attributes:
        name: how messages call the file.
        lines: (n_rows,) the line of the file on which a row ends, from 1.
        header_line: the line of the header, 0 where the format has none.
        folder: below which its file names lie, with its slash, as addresses have it: "data/train/"; "" at the top.
        has_header: False where the file has none, and its columns are called column_1 and so on.
        notes: lines of evidence, of what was left out of the file and what was taken for granted.
    """

    name: str
    delimiter: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    header_line: int = 1
    folder: str = ""
    has_header: bool = True
    notes: tuple[str, ...] = ()

    def get_column(self, index: int) -> list[str]:
        """Return the (n_rows,) fields of one column."""
        return [row[index] for row in self.rows]


def find_tables(root: Path, *, top_only: bool = False, follow_links: bool = False) -> dict[str, Path]:
    """Find the tables of a folder and of the archives at its top: address by name.

    "train.csv" names train.csv, else train.csv.zip/train.csv, else competition.zip/train.csv. Folders that hold all
    there is in an archive do not count. Tables in folders are named by their path, such as data/train/metadata.csv, and
    come after those at the top, the nearer first; else in the order of the names. find_unread_tables has the rest.

    Args:
        top_only: none in folders.
        follow_links: whether links may lead out of the folder.

    Raises:
        DataError: the folder or an archive cannot be read, or a link leads out of the folder and may not.
    """
    found = _find_at_top(root, TABLE_SUFFIXES, is_table_file_name, follow_links)
    if not top_only:
        found |= _find_deeper(root, follow_links)
    kept, _ = _separate_crowded(found)
    return {name: path for name, path in kept.items() if _explain_unread(name, path) is None}


def find_documents(root: Path, *, follow_links: bool = False) -> dict[str, Path]:
    """Find the JSON files at the top of a folder and of the archives there likewise."""
    return _find_at_top(root, (DOCUMENT_SUFFIX,), lambda name: name.lower().endswith(DOCUMENT_SUFFIX), follow_links)


def find_unread_tables(root: Path) -> dict[str, str]:
    """Find the tables that are there and cannot be read, and say why in words: "it is a workbook of old Excel".

    A folder with too many tables is among them, with its slash. Links are followed: find_tables has allowed them.

    Raises:
        DataError: the folder or an archive cannot be read.
    """
    found = _find_at_top(root, TABLE_SUFFIXES, is_table_file_name, True) | _find_deeper(root, True)
    kept, crowded = _separate_crowded(found)
    reasons = {
        name: f"it is {UNREAD_SUFFIXES[_get_suffix(name)]}" for name in walk(root, _is_unread_name, follow_links=True)
    }
    for name, path in kept.items():
        reason = _explain_unread(name, path)
        reason = _explain_damage(path) if reason is None else reason
        reasons |= {name: reason} if reason else {}
    for folder, names in crowded.items():
        reasons[folder] = f"it has {len(names)} tables, such as {join_names(names[:1])}, as if one for each image"
    return dict(sorted(reasons.items(), key=lambda item: _get_rank(item[0])))


def describe_unread_tables(root: Path) -> list[str]:
    """Describe the tables that are there and cannot be read, a line each, for what an error has seen."""
    return [f"{join_names([name])} is not read: {reason}" for name, reason in find_unread_tables(root).items()]


def select_nearest(names: Iterable[str]) -> list[str]:
    """Select the names that lie in as few folders as any of them."""
    listed = list(names)
    nearest = min((name.count("/") for name in listed), default=0)
    return [name for name in listed if name.count("/") == nearest]


def read_table(
    path: Path,
    *,
    name: str | None = None,
    root: Path | None = None,
    is_image: Callable[[str], bool] | None = None,
    strict: bool = False,
) -> Table:
    """Read a table of any format.

    Args:
        path: of a file, or the address of a member of an archive.
        name: how messages call it; the file's own where it is None.
        root: the competition's folder, for the table's folder.
        is_image: whether a cell names an image, by which a row is told from a header that is missing.
        strict: it is CSV in UTF-8 that automl wrote, and nothing in it is to be made good.

    Raises:
        DataError: the file cannot be read, is of another encoding or format, is damaged, or has no rows.
    """
    name = path.name if name is None else name
    raw = read_rows(path, name, strict=strict)
    if not raw.rows:
        raise DataError(f"{name} is empty", hint="restore the file")
    table = Table(
        name=name,
        delimiter=raw.delimiter,
        header=raw.rows[0],
        rows=tuple(raw.rows[1:]),
        lines=tuple(raw.lines[1:]),
        header_line=raw.lines[0],
        folder="" if root is None else get_table_folder(path, root),
        notes=tuple(raw.notes),
    )
    table = table if is_image is None else restore_header(table, is_image)
    require_distinct(table.header, name)
    if not table.rows:
        raise DataError(f"{name} has a header, but no rows", hint="restore the file")
    return table


def read_header(path: Path) -> tuple[str, ...]:
    """Read the names of a table's columns, without reading the rest of it.

    Raises:
        DataError: as for read_table, as far as the first lines tell.
    """
    raw = read_rows(path, path.name, head=True)
    if not raw.rows:
        raise DataError(f"{path.name} is empty", hint="restore the file")
    return raw.rows[0]


def read_header_or_empty(path: Path) -> tuple[str, ...]:
    """Read a table's header, empty where it is damaged: that is reported where the table is needed."""
    try:
        return read_header(path)
    except DataError:
        return ()


def restore_header(table: Table, is_image: Callable[[str], bool]) -> Table:
    """Return the table with its header for a row and columns named column_1 and so on, where it has no header.

    It has none where a cell of the header names an image as the cells below it do, or where all cells of the table are
    numbers, those of the header too. Names such as "image" or "label", which no row has, are a header, and so are the
    numbers from 0 that pandas gives columns without a name.
    """
    header = [cell.strip() for cell in table.header]
    has_index = header == ["", *map(str, range(len(header) - 1))]
    if not table.header_line or not table.rows or has_index or _has_ordinary_name(table):
        return table
    is_range = header == [str(at) for at in range(len(header))]
    is_numbers = not is_range and _is_all_numbers([header, *table.rows[:PROBED_ROWS]])
    if not is_numbers and not any(_is_image_cell(table, column, is_image, is_range) for column in range(len(header))):
        return table
    columns = tuple(f"column_{number}" for number in range(1, len(header) + 1))
    line = format_warning(
        f"{table.name} has no header: its first line is a row, its columns are called {join_names(columns)}"
    )
    return replace(
        table,
        header=columns,
        rows=(table.header, *table.rows),
        lines=(table.header_line, *table.lines),
        has_header=False,
        notes=(*table.notes, line),
    )


def get_table_folder(path: Path, root: Path) -> str:
    """Return the folder below which a table's file names lie, with its slash, as addresses of images have it."""
    return get_folder(path.relative_to(root).as_posix()) if path.is_relative_to(root) else ""


def format_count(n: int, noun: str) -> str:
    """Format a count with its noun: "1 row", "2 rows"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _find_at_top(
    root: Path, suffixes: tuple[str, ...], is_wanted: Callable[[str], bool], follow_links: bool
) -> dict[str, Path]:
    files = list_top_files(root, suffixes, follow_links=follow_links)
    addresses = {name: root / name for name in files if is_wanted(name)}
    archives = open_top_archives(root, follow_links=follow_links)
    # train.csv.zip is meant for train.csv; whatever else holds one comes after it.
    for archive in sorted(archives, key=lambda archive: not is_wanted(archive.path.stem)):
        for member in _select_at_top(archive.names):
            if is_wanted(member):
                addresses.setdefault(posixpath.basename(member), archive.path / member)
    return dict(sorted(addresses.items()))


def _select_at_top(names: Sequence[str]) -> list[str]:
    """Select the files that lie in no folder but those that all of them share."""
    folders = {posixpath.dirname(name) for name in names}
    common = posixpath.commonpath(folders) if folders else ""
    return [name for name in names if posixpath.dirname(name) == common]


def _find_deeper(root: Path, follow_links: bool) -> dict[str, Path]:
    """Find the tables in folders, and in folders of archives that are not unpacked; the nearer first."""
    found = {name: root / name for name in walk(root, is_table_file_name, follow_links=follow_links) if "/" in name}
    for archive in open_top_archives(root, follow_links=follow_links):
        for member in _list_packed(archive, found):
            found[f"{archive.path.name}/{member}"] = archive.path / member
    return {name: found[name] for name in sorted(found, key=_get_rank)}


def _list_packed(archive: Archive, on_disk: Mapping[str, Path]) -> list[str]:
    tables = [name for name in archive.names if is_table_file_name(name)]
    at_top = set(_select_at_top(archive.names)) if tables else set()
    own_folder = archive.path.stem + "/"
    return [name for name in tables if name not in at_top and name not in on_disk and own_folder + name not in on_disk]


def _get_rank(name: str) -> tuple[int, str]:
    return name.count("/"), name


def _is_plain(name: str) -> bool:
    return name.lower().endswith(PLAIN_SUFFIX)


def _separate_crowded(found: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Separate the tables from those in folders with so many that they are none of all images, by folder."""
    members: dict[tuple[str, bool], list[str]] = {}
    for name in found:
        members.setdefault((get_folder(name), _is_plain(name)), []).append(name)
    kept: list[str] = []
    crowded: dict[str, list[str]] = {}
    for (folder, is_plain), names in members.items():
        is_crowded = len(names) > (MAX_PLAIN_IN_FOLDER if is_plain else MAX_IN_FOLDER) and (folder or is_plain)
        (crowded.setdefault(folder or "the folder", []) if is_crowded else kept).extend(names)
    crowded |= {"folders further down": kept[MAX_TABLES:]} if len(kept) > MAX_TABLES else {}
    return {name: found[name] for name in sorted(kept, key=_get_rank)[:MAX_TABLES]}, crowded


def _is_unread_name(name: str) -> bool:
    return _get_suffix(name) in UNREAD_SUFFIXES


def _get_suffix(name: str) -> str:
    return posixpath.splitext(name.lower())[1]


def _explain_unread(name: str, path: Path) -> str | None:
    """Return why a file is no table that readers are to see, in words: some text, or pixels; None where it is one."""
    if _is_plain(name):
        return _explain_text(path)
    if name.lower().endswith(COLUMN_SUFFIXES):
        try:
            return explain_unreadable_columns(path, name)
        except DataError:  # told where the table is needed
            return None
    return None


def _explain_text(path: Path) -> str | None:
    """Return why a text is no table, "" where it is none to miss: prose, a list of names, or of numbers alone.

    In CUB-200-2011 numbers stand for the lines of other files.
    """
    damage = _explain_damage(path)
    if damage is None:
        return "" if _is_all_numbers(read_rows(path, path.name, head=True).rows) else None
    try:
        content, _ = read_text(path, path.name, head=True)
    except DataError:
        return damage
    lines = [line.split(maxsplit=1) for line in content.decode().splitlines()[:PROBED_ROWS] if line.strip()]
    n_named = sum(1 for first, *rest in lines if rest and is_image_name(first.rstrip(",;|")))
    return damage if 2 * n_named > len(lines) else ""


def _explain_damage(path: Path) -> str | None:
    try:
        read_header(path)
    except DataError as error:
        problem = error.problem.removeprefix(f"{path.name}: ")
        problem = f"it{problem.removeprefix(path.name)}" if problem.startswith(f"{path.name} ") else problem
        return f"{problem} ({error.hint})"
    return None


def _has_ordinary_name(table: Table) -> bool:
    """Whether a column is called as columns are, and has that in no row."""
    return any(
        name.strip().lower() in ORDINARY_NAMES and all(row[column].strip() != name.strip() for row in table.rows)
        for column, name in enumerate(table.header)
    )


def _is_image_cell(table: Table, column: int, is_image: Callable[[str], bool], is_range: bool) -> bool:
    """Whether a column's name is that of an image, as most cells below it are, and written as they are."""
    name = table.header[column].strip()
    if not name or not is_image(name):
        return False
    cells = [row[column].strip() for row in table.rows[:PROBED_ROWS]]
    if is_range and (name in table.get_column(column) or 2 * sum("." in cell for cell in cells) > len(cells)):
        return False
    return 2 * sum(map(is_image, cells)) > len(cells)


def _is_all_numbers(rows: Sequence[Sequence[str]]) -> bool:
    return all(_is_number(cell) for row in rows for cell in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
