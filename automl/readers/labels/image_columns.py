"""Find which columns of a table name the images: files in full before bare numbers that may only coincide."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from automl.errors import DataError, join_names
from automl.files.evidence import format_warning
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_image_name
from automl.files.tables import Table
from automl.readers.labels.source import LayoutMismatchError

PROBED_ROWS = 1000  # enough to tell the column of ids in a table of any length
MIN_NAMED_SHARE = 0.9  # of the cells; a column that names fewer images does so by chance, or names something else
MIN_FILES_SHARE = 0.5  # of the cells, where they are names of files
ROW_NUMBER_NAMES = frozenset({"", "unnamed: 0", "index"})
IMAGE_WORDS = re.compile(r"image|img|file|path|photo|picture", re.IGNORECASE)
FULL_FORMS, FOLDER_FORM = frozenset({"name", "path"}), "folder"  # of automl.files.image_index.FORMS
MASK_WORDS = re.compile(r"mask|segment|annot|label|truth|heatmap|thumb", re.IGNORECASE)
PATH_SEPARATORS = ";|,"  # between the files of one cell


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageColumns:
    """The columns of a table that name images.

    Attributes:
        columns: their positions; the first is the id, further ones name other images of the same row.
        aliases: positions of other columns that name images too, and so are no labels.
        share: of the probed rows, that name an image.
        is_distinct: whether hardly two rows have the same id.
        names_several: whether a row is of several images by its id.
        evidence: what else named images, and why it was not taken.
    """

    columns: tuple[int, ...]
    aliases: tuple[int, ...]
    share: float
    is_distinct: bool
    names_several: bool
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rating:
    """How well a column names images, by its distinct cells in the probed rows.

    Attributes:
        cells: (n_rows,) without surrounding blanks.
        images: of each distinct cell that names any.
        n_named: distinct cells that name an image, or several of one name.
        names_files: whether the cells are names or paths of files, not bare numbers or stems.
        names_folders: whether they are names of folders.
    """

    column: int
    name: str
    cells: Sequence[str]
    images: Mapping[str, tuple[str, ...]]
    n_named: int
    names_files: bool
    names_folders: bool

    @property
    def n_distinct(self) -> int:
        return len(set(self.cells))

    @property
    def is_distinct(self) -> bool:
        return self.n_distinct >= MIN_NAMED_SHARE * len(self.cells)

    @property
    def names_all(self) -> bool:
        return self.n_named >= MIN_NAMED_SHARE * self.n_distinct

    @property
    def names_most(self) -> bool:
        """Whether the column is one of images, though some may be missing where it has names of files."""
        return self.names_all or (self.names_files and self.n_named >= MIN_FILES_SHARE * self.n_distinct)

    def list_images(self) -> list[tuple[str, ...]]:
        """List the (n_rows,) images of each row."""
        return [self.images.get(cell, ()) for cell in self.cells]


def find_image_columns(table: Table, lookup: ImageLookup, id_name: str) -> ImageColumns:
    """Find the columns that name the images of each row.

    A column that names files in full goes before one of bare numbers or stems; then the one that is called as the
    sample's, one called as an image or a file, and the one that names the most. Columns that name other images in
    each row, such as those of both eyes, are taken together; masks are not.

    Args:
        id_name: how the sample calls its ids.

    Raises:
        LayoutMismatchError: no cell names an image.
        DataError: two columns name the same images, but in other rows.
    """
    ratings = _rate_columns(table, lookup)
    named = [rating for rating in ratings if rating.n_named]
    if not named:
        raise LayoutMismatchError(f"{table.name} has no column that names the training images")
    pool = _select_best_kind(named)
    chosen = max(pool, key=lambda rating: _rank(rating, id_name))
    others = [
        rating
        for rating in named
        if rating is not chosen and rating.names_most and rating.is_distinct and not rating.names_folders
    ]
    _require_no_missing_files(table, chosen, ratings)
    views, aliases, evidence = _compare_columns(table, chosen, others, id_name)
    ids = next((one.column for one in others if one.column in aliases and _is_same_name(one.name, id_name)), None)
    if ids is not None and not _is_same_name(chosen.name, id_name) and _names_the_same(table, ids, chosen, lookup):
        aliases = [chosen.column, *(column for column in aliases if column != ids)]
    else:
        ids = chosen.column
    return ImageColumns(
        columns=(ids, *views),
        aliases=(*aliases, *(rating.column for rating in named if rating.names_files and rating is not chosen)),
        share=chosen.n_named / max(1, chosen.n_distinct),
        is_distinct=chosen.is_distinct,
        names_several=any(len(images) > 1 for images in chosen.images.values()),
        evidence=tuple(evidence),
    )


def _is_same_name(name: str, other: str) -> bool:
    return normalize_name(name) == normalize_name(other)


def _names_the_same(table: Table, column: int, chosen: _Rating, lookup: ImageLookup) -> bool:
    """Whether two columns name the same image in every row, so that either may be the id."""
    first, second = ([cell.strip() for cell in table.get_column(place)] for place in (column, chosen.column))
    return lookup.match(first).names == lookup.match(second).names


def find_row_images(image_ids: Sequence[str], lookup: ImageLookup) -> dict[str, tuple[str, ...]]:
    """Find the images of ids that name none alone: those of a folder, with a prefix, or of a list of files.

    No image is that of two ids.
    """
    lists = {image_id: parts for image_id in image_ids if len(parts := split_paths(image_id)) > 1}
    single = [image_id for image_id in image_ids if image_id not in lists]
    found = dict(zip(single, lookup.match_several(single), strict=True)) if single else {}
    for image_id, parts in lists.items():
        images = [lookup.find(part) for part in parts]
        found[image_id] = tuple(image for one in images for image in one) if all(len(i) == 1 for i in images) else ()
    return {image_id: images for image_id, images in found.items() if images}


def split_paths(cell: str) -> list[str]:
    """Split a cell that lists several files: a.png;b.png or ["a.png", "b.png"]."""
    text = cell.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            parts = json.loads(text.replace("'", '"'))
        except ValueError:
            return []
        return [part for part in parts if isinstance(part, str)]
    separator = next((sign for sign in PATH_SEPARATORS if sign in text), None)
    return [part.strip() for part in text.split(separator)] if separator else [text]


def is_row_number(name: str) -> bool:
    """Whether a column is named as those that pandas writes for the index."""
    return name.strip().lower() in ROW_NUMBER_NAMES


def normalize_name(name: str) -> str:
    """Return a column's name without case, signs and a final "id"."""
    letters = re.sub(r"[\W_]", "", name.lower())
    return letters.removesuffix("id") or letters


def _rate_columns(table: Table, lookup: ImageLookup) -> list[_Rating]:
    """Rate each column; where none names images one by one, by folders and lists of several images."""
    rows = table.rows[:: max(1, len(table.rows) // PROBED_ROWS)]
    columns = [[row[column].strip() for row in rows] for column in range(len(table.header))]
    ratings = [_rate_column(column, table.header[column], cells, lookup) for column, cells in enumerate(columns)]
    if any(one.names_all and one.is_distinct and not is_row_number(one.name) for one in ratings):
        return ratings
    return [_rate_several(rating, lookup) if rating.is_distinct else rating for rating in ratings]


def _rate_column(column: int, name: str, cells: Sequence[str], lookup: ImageLookup) -> _Rating:
    distinct = [cell for cell in dict.fromkeys(cells) if cell]
    matched = lookup.match(distinct)
    found = zip(distinct, matched.names, strict=True)
    return _Rating(
        column=column,
        name=name,
        cells=cells,
        images={cell: (image,) for cell, image in found if image is not None},
        n_named=len(distinct) - len(matched.missing),
        names_files=matched.form in FULL_FORMS,
        names_folders=matched.form == FOLDER_FORM,
    )


def _rate_several(rating: _Rating, lookup: ImageLookup) -> _Rating:
    rest = [cell for cell in dict.fromkeys(rating.cells) if cell and cell not in rating.images]
    several = find_row_images(rest, lookup)
    is_list = any(len(split_paths(cell)) > 1 for cell in several)
    images = {**rating.images, **several}
    return replace(
        rating,
        images=images,
        n_named=max(rating.n_named, len(images)),
        names_files=rating.names_files or is_list,
    )


def _select_best_kind(named: Sequence[_Rating]) -> Sequence[_Rating]:
    """Select the columns that name files in full, else those of bare names; those of masks come last."""
    images = [rating for rating in named if not _is_of_masks(rating)] or named
    full = [rating for rating in images if rating.names_files]
    most = max((rating.n_named for rating in full), default=0)
    return [rating for rating in full if rating.n_named >= MIN_NAMED_SHARE * most] or images


def _rank(rating: _Rating, id_name: str) -> tuple[bool | int, ...]:
    """Rank a column among those of its kind, by how it is called and how many images it names."""
    is_same = _is_same_name(rating.name, id_name)
    names_each = rating.names_files or (rating.names_all and rating.is_distinct)
    is_called_image = bool(IMAGE_WORDS.search(rating.name)) and names_each
    return (not is_row_number(rating.name), 2 * is_called_image + is_same, rating.n_named, -rating.column)


def _require_no_missing_files(table: Table, chosen: _Rating, ratings: Sequence[_Rating]) -> None:
    """Refuse numbers of rows that happen to name files where another column has names of files, and none is there."""
    if chosen.names_files or not is_row_number(chosen.name):
        return
    for other in ratings:
        if not other.n_named and all(is_image_name(cell) for cell in other.cells if cell) and any(other.cells):
            raise DataError(
                f"column {join_names([other.name])} of {table.name} names files that are not there, such as "
                f"{join_names([other.cells[0]])}; column '{chosen.name}' only counts the rows",
                hint=f"unpack these files, or name their folder with --images; where column {join_names([other.name])} "
                "is of something else, remove it",
            )


def _is_of_masks(rating: _Rating) -> bool:
    """Whether a column is called so, or most of its files are."""
    n_masks = sum(1 for cell in rating.cells if MASK_WORDS.search(posixpath.basename(cell)))
    return bool(MASK_WORDS.search(rating.name)) or n_masks > len(rating.cells) / 2


def _compare_columns(
    table: Table, chosen: _Rating, others: Sequence[_Rating], id_name: str
) -> tuple[list[int], list[int], list[str]]:
    """Return columns of further images of the rows, those of the same images, and what is doubtful about the rest."""
    views, aliases, lines = [], [], []
    of_rows = chosen.list_images()
    taken = {image for images in of_rows for image in images}
    for other in others:
        found = other.list_images()
        images = {image for one in found for image in one}
        names = f"column {join_names([other.name])} of {table.name}"
        if not any(theirs and set(ours) != set(theirs) for ours, theirs in zip(of_rows, found, strict=True)):
            aliases.append(other.column)
        elif is_row_number(other.name):
            continue
        elif _is_of_masks(other) or not (chosen.names_files and other.names_files):
            what = "names masks, others" if _is_of_masks(other) else "names other images"
            lines.append(format_warning(f"{names} {what} than column {join_names([chosen.name])}, which is taken"))
        elif not taken & images:
            views.append(other.column)
            taken |= images
        elif _is_same_name(chosen.name, id_name):
            lines.append(format_warning(f"{names} names the images of other rows; {chosen.name} is taken"))
        else:
            raise _make_conflict_error(table, chosen, other)
    return views, aliases, lines


def _make_conflict_error(table: Table, chosen: _Rating, other: _Rating) -> DataError:
    names, cells = join_names([chosen.name, other.name]), join_names([chosen.cells[0], other.cells[0]])
    return DataError(
        f"two columns of {table.name} name the same images, but in other rows: {names}, "
        f"{cells} in line {table.lines[0]}",
        hint="remove the column that does not name the image of its row",
    )
