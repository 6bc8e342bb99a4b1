"""The test images: what the sample submission's ids name, by file, by a table, by JSON, or by rows of pixels.

Not responsible for: which ids the sample has (automl.readers.sample_submission), or how names are compared
(automl.files.image_index).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from automl.errors import DataError, listed
from automl.files.image_index import ImageLookup, Joined
from automl.files.image_names import is_image_name, is_of_test
from automl.files.images import ImageFiles, require_images
from automl.files.pixel_tables import columns_beside_pixels, load_pixel_table
from automl.files.tables import Table, counted, read_table
from automl.readers.labels.csv_pixels import id_column_of, is_pixel_table, row_addresses
from automl.readers.labels.json_records import image_records, is_coco, read_document
from automl.readers.submission_template import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class TestImages:
    """What the sample's image_ids name.

    Attributes:
        addresses: (n_test,) below the competition's root; None where an image is missing.
        evidence: what was found, and from what.
    """

    __test__ = False  # to pytest: no class of tests

    addresses: tuple[str | None, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A way from ids to images, and how far it led."""

    joined: Joined
    origin: str
    place: str

    @property
    def n_found(self) -> int:
        return sum(1 for name in self.joined.names if name is not None)


def find_test_images(
    sample: Sample,
    files: ImageFiles,
    tables: Mapping[str, Path],
    documents: Mapping[str, Path],
    *,
    skip_missing: bool = False,
) -> TestImages:
    """The image of each of the sample's image_ids, in its order.

    A file name that a table or JSON file of the test states for an id goes before what the id itself names, rows of
    pixels come last; the way that finds the most images is taken.

    Raises:
        DataError: none is found, an id may be several images, or one is missing and skip_missing is not set; where
            the folder holds no image of any kind, what `require_images` says of that.
    """
    lookup = ImageLookup(files.test, files.other)
    direct = _Way(
        joined=lookup.join(sample.image_ids), origin=f"the ids of {sample.name}", place=f"in {files.test_place}"
    )
    stated, damage = _stated_ways(sample, lookup, direct, tables, documents)
    ways = [*stated, direct]
    if max(way.n_found for way in ways) < len(sample.image_ids):
        by_rows = _pixel_ways(sample, tables, files.root)
        ways = [*ways, *by_rows] if files.n_images or not by_rows else by_rows
    best = max(ways, key=lambda way: way.n_found)  # the first of equals
    if not best.n_found and not any(way.joined.ambiguous for way in ways):
        if damage is not None:
            raise damage
        if direct in ways:
            require_images(files)
    way = direct if direct in ways and best.joined.names == direct.joined.names else best
    _require_found(way, sample, files, skip_missing)
    return TestImages(addresses=way.joined.names, evidence=tuple(_evidence(way)))


def _stated_ways(
    sample: Sample,
    lookup: ImageLookup,
    direct: _Way,
    tables: Mapping[str, Path],
    documents: Mapping[str, Path],
) -> tuple[list[_Way], DataError | None]:
    """The ways by files that state a file name for each id, and why one such file could not be read."""
    # A number names an image without being a file name; it is believed where the ids themselves name none.
    names_image = is_image_name if direct.n_found else lambda file: bool(lookup.candidates(file))
    readers: list[Callable[[], Iterator[tuple[str, dict[str, str]]]]] = [
        *(
            partial(_names_in_table, path, name, sample, names_image)
            for name, path in tables.items()
            if is_of_test(name) and name != sample.name and not is_pixel_table(path)
        ),
        *(partial(_names_in_document, path, name, sample) for name, path in documents.items() if is_of_test(name)),
    ]
    ways, damage = [], None
    for read in readers:
        try:
            for origin, file_of in read():
                queries = [file_of.get(image_id, image_id) for image_id in sample.image_ids]
                joined = _by_path_or_name(queries, sample.image_ids, lookup)
                ways.append(_Way(joined=joined, origin=origin, place=direct.place))
        except DataError as error:
            damage = damage or error
    if any("/" in image_id for image_id in sample.image_ids):
        joined = _by_path_or_name(sample.image_ids, sample.image_ids, lookup)
        ways.append(_Way(joined=joined, origin=direct.origin, place=direct.place))
    return ways, damage


def _names_in_table(
    path: Path, name: str, sample: Sample, names_image: Callable[[str], bool]
) -> Iterator[tuple[str, dict[str, str]]]:
    """(origin, file name of each id) for each column of file names beside one of ids."""
    table = read_table(path)
    wanted = {image_id.strip() for image_id in sample.image_ids}
    id_column = _column_of_ids(table, wanted)
    if id_column is None:
        return
    ids = [image_id.strip() for image_id in table.column(id_column)]
    for column, title in enumerate(table.header):
        pairs = [
            (image_id, value.strip())
            for image_id, value in zip(ids, table.column(column), strict=True)
            if image_id in wanted
        ]
        file_of = dict(pairs)
        one_each = len(file_of) == len(set(file_of.values())) == len(set(pairs))
        if column != id_column and one_each and all(map(names_image, file_of.values())):
            yield f"column {listed([title])} of {name}", file_of


def _column_of_ids(table: Table, wanted: set[str]) -> int | None:
    """The first column that holds all the ids."""
    columns = range(len(table.header))
    return next((column for column in columns if wanted <= {value.strip() for value in table.column(column)}), None)


def _names_in_document(path: Path, name: str, sample: Sample) -> Iterator[tuple[str, dict[str, str]]]:
    document = read_document(path)
    records = None if is_coco(document) else image_records(document, name)
    if records is not None:
        named = zip(records.ids, records.file_names, strict=True)
        file_of = {image_id: file for image_id, file in named if file}
        if any(image_id in file_of for image_id in sample.image_ids):
            yield f"the file names in {name}", file_of


def _by_path_or_name(queries: Sequence[str], image_ids: Sequence[str], lookup: ImageLookup) -> Joined:
    """What each query names, by its last part where its folders lead to nothing; missing ones by their ids."""
    shortened = [query if lookup.candidates(query) or ".." in query else PurePosixPath(query).name for query in queries]
    joined = lookup.join(shortened)
    missing = [
        image_id
        for image_id, query, found in zip(image_ids, shortened, joined.names, strict=True)
        if found is None and not lookup.candidates(query)
    ]
    return Joined(names=joined.names, missing=tuple(missing), ambiguous=joined.ambiguous, notes=joined.notes)


def _pixel_ways(sample: Sample, tables: Mapping[str, Path], root: Path) -> list[_Way]:
    names = [name for name, path in tables.items() if is_of_test(name) and is_pixel_table(path)]
    return [
        _by_rows(sample, name, tables[name], root) for name in sorted(names, key=lambda name: (len(name), name))[:1]
    ]


def _by_rows(sample: Sample, name: str, path: Path, root: Path) -> _Way:
    """The rows with the sample's ids; where the table has no ids, the rows in its order."""
    addresses = row_addresses(path, root, len(load_pixel_table(path)))
    beside = columns_beside_pixels(path)
    id_column = id_column_of(beside, sample.id_column)
    if id_column is None and len(addresses) != len(sample.image_ids):
        raise DataError(
            f"{sample.name} has {counted(len(sample.image_ids), 'row')}, but {name} has {len(addresses)} and no column "
            "of ids to join them by",
            hint="restore both files",
        )
    ids = sample.image_ids if id_column is None else beside[id_column]
    address_of = dict(zip((image_id.strip() for image_id in ids), addresses, strict=True))
    names = tuple(address_of.get(image_id.strip()) for image_id in sample.image_ids)
    missing = tuple(image_id for image_id, row in zip(sample.image_ids, names, strict=True) if row is None)
    how = f"the rows of {name} in their order" if id_column is None else f"column {listed([id_column])} of {name}"
    return _Way(
        joined=Joined(names=names, missing=missing, ambiguous=()), origin=how, place=f"among the rows of {name}"
    )


def _require_found(way: _Way, sample: Sample, files: ImageFiles, skip_missing: bool) -> None:
    joined, n_ids = way.joined, len(sample.image_ids)
    if len(joined.missing) == n_ids:
        several = _several_images(sample.image_ids[0].strip(), files)
        if several:
            raise DataError(
                f"{sample.name} has a row for several images together: {listed(sample.image_ids[:1])} for "
                f"{listed(several)}",
                hint="give a sample submission with a row for each image, and put the predictions together yourself",
            )
        raise DataError(
            f"none of the {n_ids} ids in {sample.name} names an image {way.place}: {listed(joined.missing)}",
            hint=files.unread_advice
            or "check that the test images are unpacked, and that the sample submission is of this competition",
        )
    if joined.missing and not skip_missing:
        raise DataError(
            f"{sample.name} names {counted(len(joined.missing), 'image')} without a file {way.place}: "
            f"{listed(joined.missing)}",
            hint=files.unread_advice or "unpack all test images, or pass --skip-missing to give their rows the prior",
        )
    if joined.ambiguous:
        raise DataError(
            f"{sample.name} has {counted(len(joined.ambiguous), 'id')} that may be several images: "
            f"{listed(joined.ambiguous)}",
            hint="leave one image for each id",
        )


def _several_images(image_id: str, files: ImageFiles) -> list[str]:
    """The test images whose names begin with the id, or that lie in a folder called so, where there are several."""
    begins = re.compile(rf"(?:^|/){re.escape(image_id)}[_\W]")
    images = [image for image in files.test or files.other if begins.search(image)]
    return images if len(images) > 1 else []


def _evidence(way: _Way) -> Iterator[str]:
    yield f"test: {counted(way.n_found, 'image')} {way.place}, from {way.origin}"
    yield from way.joined.notes
    n_missing = len(way.joined.missing)
    if n_missing:
        verb, rows = ("is", "its row gets") if n_missing == 1 else ("are", "their rows get")
        shown = listed(way.joined.missing)
        yield f"test: {counted(n_missing, 'test image')} {verb} missing: {rows} the prior ({shown})"
