"""Find the test images that the sample submission's ids name: by file, by a table, by JSON, or by rows of pixels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from automl.errors import DataError, join_names
from automl.files.image_index import ImageLookup, MatchedImages
from automl.files.image_names import is_image_name, is_test_name
from automl.files.images import ImageFiles, require_images
from automl.files.pixel_tables import load_pixel_table, read_other_columns
from automl.files.tables import Table, format_count, read_table
from automl.readers.labels.csv_pixels import find_id_column, is_pixel_table, list_row_addresses
from automl.readers.labels.json_records import is_coco, parse_images, read_document
from automl.readers.submission_template import SampleSubmission


@dataclass(frozen=True, slots=True, kw_only=True)
class TestImages:
    """The test images in the sample submission's order.

    Attributes:
        addresses: (n_test,) below the competition's root; None where an image is missing.
        evidence: what was found, and from what.
    """

    __test__ = False  # to pytest: no class of tests

    addresses: tuple[str | None, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """Ids matched to images in one way, and where the ids and images are from."""

    matched: MatchedImages
    origin: str
    location: str

    @property
    def n_found(self) -> int:
        return sum(1 for name in self.matched.names if name is not None)


def find_test_images(
    sample: SampleSubmission,
    files: ImageFiles,
    tables: Mapping[str, Path],
    documents: Mapping[str, Path],
    *,
    skip_missing: bool = False,
) -> TestImages:
    """Find the image of each of the sample's image_ids, in its order.

    A file name that a table or JSON file of the test states for an id goes before what the id itself names, rows of
    pixels come last; the way that finds the most images is taken.

    Raises:
        DataError: none is found, an id may be several images, or one is missing and skip_missing is not set; where
            the folder holds no image of any kind, what `require_images` says of that.
    """
    lookup = ImageLookup(files.test, files.other)
    direct_match = _Match(
        matched=lookup.match(sample.image_ids), origin=f"the ids of {sample.name}", location=f"in {files.test_location}"
    )
    stated, first_error = _match_stated_names(sample, lookup, direct_match, tables, documents)
    matches = [*stated, direct_match]
    if max(match.n_found for match in matches) < len(sample.image_ids):
        by_rows = _match_pixel_tables(sample, tables, files.root)
        matches = [*matches, *by_rows] if files.n_images or not by_rows else by_rows
    best = max(matches, key=lambda match: match.n_found)  # the first of equals
    if not best.n_found and not any(match.matched.ambiguous for match in matches):
        if first_error is not None:
            raise first_error
        if direct_match in matches:
            require_images(files)
    match = direct_match if direct_match in matches and best.matched.names == direct_match.matched.names else best
    _require_found(match, sample, files, skip_missing)
    return TestImages(addresses=match.matched.names, evidence=tuple(_describe_match(match)))


def _match_stated_names(
    sample: SampleSubmission,
    lookup: ImageLookup,
    direct_match: _Match,
    tables: Mapping[str, Path],
    documents: Mapping[str, Path],
) -> tuple[list[_Match], DataError | None]:
    """Match by files that state a file name for each id; also return why one such file could not be read."""
    # A number names an image without being a file name; it is believed where the ids themselves name none.
    names_image = is_image_name if direct_match.n_found else lambda file: bool(lookup.find(file))
    readers: list[Callable[[], Iterator[tuple[str, dict[str, str]]]]] = [
        *(
            partial(_read_names_from_table, path, name, sample, names_image)
            for name, path in tables.items()
            if is_test_name(name) and name != sample.name and not is_pixel_table(path)
        ),
        *(
            partial(_read_names_from_document, path, name, sample)
            for name, path in documents.items()
            if is_test_name(name)
        ),
    ]
    matches, first_error = [], None
    for read_names in readers:
        try:
            for origin, file_of in read_names():
                queries = [file_of.get(image_id, image_id) for image_id in sample.image_ids]
                joined = _match_by_path_or_name(queries, sample.image_ids, lookup)
                matches.append(_Match(matched=joined, origin=origin, location=direct_match.location))
        except DataError as error:
            first_error = first_error or error
    if any("/" in image_id for image_id in sample.image_ids):
        joined = _match_by_path_or_name(sample.image_ids, sample.image_ids, lookup)
        matches.append(_Match(matched=joined, origin=direct_match.origin, location=direct_match.location))
    return matches, first_error


def _read_names_from_table(
    path: Path, name: str, sample: SampleSubmission, names_image: Callable[[str], bool]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (origin, file name of each id) for each column of file names beside one of ids."""
    table = read_table(path)
    wanted = {image_id.strip() for image_id in sample.image_ids}
    id_column = _find_id_column(table, wanted)
    if id_column is None:
        return
    ids = [image_id.strip() for image_id in table.get_column(id_column)]
    for column, title in enumerate(table.header):
        pairs = [
            (image_id, value.strip())
            for image_id, value in zip(ids, table.get_column(column), strict=True)
            if image_id in wanted
        ]
        file_of = dict(pairs)
        one_each = len(file_of) == len(set(file_of.values())) == len(set(pairs))
        if column != id_column and one_each and all(map(names_image, file_of.values())):
            yield f"column {join_names([title])} of {name}", file_of


def _find_id_column(table: Table, wanted: set[str]) -> int | None:
    """Return the first column that holds all the ids."""
    columns = range(len(table.header))
    return next((column for column in columns if wanted <= {value.strip() for value in table.get_column(column)}), None)


def _read_names_from_document(path: Path, name: str, sample: SampleSubmission) -> Iterator[tuple[str, dict[str, str]]]:
    document = read_document(path)
    records = None if is_coco(document) else parse_images(document, name)
    if records is not None:
        named = zip(records.ids, records.file_names, strict=True)
        file_of = {image_id: file for image_id, file in named if file}
        if any(image_id in file_of for image_id in sample.image_ids):
            yield f"the file names in {name}", file_of


def _match_by_path_or_name(queries: Sequence[str], image_ids: Sequence[str], lookup: ImageLookup) -> MatchedImages:
    """Match each query by its path, else by its name without folders."""
    short_queries = [query if lookup.find(query) or ".." in query else PurePosixPath(query).name for query in queries]
    joined = lookup.match(short_queries)
    missing = [
        image_id
        for image_id, query, found in zip(image_ids, short_queries, joined.names, strict=True)
        if found is None and not lookup.find(query)
    ]
    return MatchedImages(names=joined.names, missing=tuple(missing), ambiguous=joined.ambiguous, notes=joined.notes)


def _match_pixel_tables(sample: SampleSubmission, tables: Mapping[str, Path], root: Path) -> list[_Match]:
    names = [name for name, path in tables.items() if is_test_name(name) and is_pixel_table(path)]
    return [
        _match_rows(sample, name, tables[name], root) for name in sorted(names, key=lambda name: (len(name), name))[:1]
    ]


def _match_rows(sample: SampleSubmission, name: str, path: Path, root: Path) -> _Match:
    """Match the rows with the sample's ids; where the table has no ids, the rows in its order."""
    addresses = list_row_addresses(path, root, len(load_pixel_table(path)))
    other_columns = read_other_columns(path)
    id_column = find_id_column(other_columns, sample.id_column)
    if id_column is None and len(addresses) != len(sample.image_ids):
        raise DataError(
            f"{sample.name} has {format_count(len(sample.image_ids), 'row')}, but {name} has {len(addresses)} "
            "and no column of ids to join them by",
            hint="restore both files",
        )
    ids = sample.image_ids if id_column is None else other_columns[id_column]
    address_of = dict(zip((image_id.strip() for image_id in ids), addresses, strict=True))
    names = tuple(address_of.get(image_id.strip()) for image_id in sample.image_ids)
    missing = tuple(image_id for image_id, row in zip(sample.image_ids, names, strict=True) if row is None)
    row_origin = (
        f"the rows of {name} in their order" if id_column is None else f"column {join_names([id_column])} of {name}"
    )
    return _Match(
        matched=MatchedImages(names=names, missing=missing, ambiguous=()),
        origin=row_origin,
        location=f"among the rows of {name}",
    )


def _require_found(match: _Match, sample: SampleSubmission, files: ImageFiles, skip_missing: bool) -> None:
    joined, n_ids = match.matched, len(sample.image_ids)
    if len(joined.missing) == n_ids:
        several = _find_several_images(sample.image_ids[0].strip(), files)
        if several:
            raise DataError(
                f"{sample.name} has a row for several images together: {join_names(sample.image_ids[:1])} for "
                f"{join_names(several)}",
                hint="give a sample submission with a row for each image, and put the predictions together yourself",
            )
        raise DataError(
            f"none of the {n_ids} ids in {sample.name} names an image {match.location}: {join_names(joined.missing)}",
            hint=files.unread_hint
            or "check that the test images are unpacked, and that the sample submission is of this competition",
        )
    if joined.missing and not skip_missing:
        raise DataError(
            f"{sample.name} names {format_count(len(joined.missing), 'image')} without a file {match.location}: "
            f"{join_names(joined.missing)}",
            hint=files.unread_hint or "unpack all test images, or pass --skip-missing to give their rows the prior",
        )
    if joined.ambiguous:
        raise DataError(
            f"{sample.name} has {format_count(len(joined.ambiguous), 'id')} that may be several images: "
            f"{join_names(joined.ambiguous)}",
            hint="leave one image for each id",
        )


def _find_several_images(image_id: str, files: ImageFiles) -> list[str]:
    """List the test images whose names begin with the id, or that lie in a folder of that name, where several."""
    begins = re.compile(rf"(?:^|/){re.escape(image_id)}[_\W]")
    images = [image for image in files.test or files.other if begins.search(image)]
    return images if len(images) > 1 else []


def _describe_match(match: _Match) -> Iterator[str]:
    yield f"test: {format_count(match.n_found, 'image')} {match.location}, from {match.origin}"
    yield from match.matched.notes
    n_missing = len(match.matched.missing)
    if n_missing:
        verb, rows = ("is", "its row gets") if n_missing == 1 else ("are", "their rows get")
        shown = join_names(match.matched.missing)
        yield f"test: {format_count(n_missing, 'test image')} {verb} missing: {rows} the prior ({shown})"
