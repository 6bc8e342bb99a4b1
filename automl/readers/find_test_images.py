"""Find the test images that the sample submission's ids name: by file, by a table, by JSON, or by rows of pixels.

An id may stand for several images, such as all views of a patient: then the submission has one row for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from automl.errors import DataError, join_names
from automl.files.addresses import expand_colours
from automl.files.containers.members import list_rows
from automl.files.evidence import format_warning
from automl.files.image_index import ImageLookup, MatchedImages
from automl.files.image_names import is_image_name, is_test_name
from automl.files.images import ImageFiles, require_images
from automl.files.pixel_tables import load_pixel_table, read_other_columns
from automl.files.tables import Table, format_count, read_table
from automl.files.unread import require_read
from automl.readers.labels.csv_pixels import find_id_column, is_pixel_table, list_row_addresses
from automl.readers.labels.json_records import is_coco, parse_images, read_document
from automl.readers.submission_template import SampleSubmission

Images = tuple[tuple[str, ...], ...]  # of each id
PROBED_VALUES = 100  # of a column; enough to tell that its values name no images


@dataclass(frozen=True, slots=True, kw_only=True)
class TestImages:
    """The test images in the sample submission's order.

    Attributes:
        addresses: (n_test,) below the competition's root; None where an image is missing.
        ids: (n_test,) what names them: the sample's ids, and addresses where an id has several images.
        images_of_row: as `SubmissionTemplate.images_of_row`.
        evidence: what was found, and from what.
    """

    __test__ = False  # to pytest: no class of tests

    addresses: tuple[str | None, ...]
    ids: tuple[str, ...]
    images_of_row: tuple[tuple[int, ...], ...] | None
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """Ids matched to images in one way, and where the ids and images are from.

    Attributes:
        images: (n_units,) those of each id; none where they are missing, or where it is unclear which one is meant.
        ambiguous: "id (file, file)".
    """

    images: Images
    missing: tuple[str, ...]
    origin: str
    location: str
    ambiguous: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_found(self) -> int:
        return sum(1 for own in self.images if own)

    @property
    def n_images(self) -> int:
        return sum(map(len, self.images))


def find_test_images(
    sample: SampleSubmission,
    files: ImageFiles,
    tables: Mapping[str, Path],
    documents: Mapping[str, Path],
    *,
    skip_missing: bool = False,
) -> TestImages:
    """Find the images of each of the sample's image_ids, in its order; nearly always there is one.

    A file name that a table or JSON file of the test states for an id goes before what the id itself names, rows of
    pixels come last; the way that finds images for the most ids is taken. Several images of an id are those that such
    a table states, else those of a folder of that name or whose names begin with it.

    Raises:
        DataError: none is found, an id may be several images, or one is missing and skip_missing is not set; where
            the folder holds no image of any kind, what `require_images` says of that.
    """
    if sample.addresses is not None or not sample.image_ids:
        return TestImages(addresses=sample.addresses or (), ids=sample.image_ids, images_of_row=None, evidence=())
    lookup = ImageLookup(files.test, files.other, files.copies)
    direct_match = _convert_match(
        lookup.match(sample.image_ids), origin=f"the ids of {sample.name}", location=f"in {files.test_location}"
    )
    stated, first_error = _match_stated_names(sample, lookup, direct_match, tables, documents)
    matches = [*stated, direct_match]
    if max(match.n_found for match in matches) < len(sample.image_ids):
        by_rows = [*_match_pixel_tables(sample, tables, files.root), *_match_member_rows(sample, files)]
        matches = [*matches, *by_rows] if files.n_images or not by_rows else by_rows
    if max(match.n_found for match in matches) < len(sample.image_ids):
        several = _match_several(sample, lookup, direct_match, tables)
        matches += [match for match in several if match.n_found]
    best = max(matches, key=lambda match: match.n_found)  # the first of equals
    if not best.n_found and not any(match.ambiguous for match in matches):
        if first_error is not None:
            raise first_error
        if direct_match in matches:
            require_images(files)
    match = direct_match if direct_match in matches and best.images == direct_match.images else best
    _require_found(match, sample, files, lookup, skip_missing)
    return _collect_images(sample, match, files)


def _convert_match(matched: MatchedImages, *, origin: str, location: str) -> _Match:
    return _Match(
        images=tuple(() if name is None else (name,) for name in matched.names),
        missing=matched.missing,
        ambiguous=matched.ambiguous,
        notes=matched.notes,
        origin=origin,
        location=location,
    )


def _collect_images(sample: SampleSubmission, match: _Match, files: ImageFiles) -> TestImages:
    """Number the images row by row; an id without one keeps its place."""
    ids: list[str] = []
    addresses: list[str | None] = []
    rows: list[tuple[int, ...]] = []
    for unit_id, own in zip(sample.image_ids, match.images, strict=True):
        rows.append(tuple(range(len(ids), len(ids) + max(1, len(own)))))
        ids += [unit_id] if len(own) < 2 else own
        addresses += own or [None]
    return TestImages(
        addresses=tuple(addresses),
        ids=tuple(ids),
        images_of_row=tuple(rows) if len(ids) > len(rows) else None,
        evidence=(*_describe_match(match), *_describe_rows(sample, match), *_describe_unasked(sample, match, files)),
    )


def _match_stated_names(
    sample: SampleSubmission,
    lookup: ImageLookup,
    direct_match: _Match,
    tables: Mapping[str, Path],
    documents: Mapping[str, Path],
) -> tuple[list[_Match], DataError | None]:
    """Match by files that state a file name for each id; also return why one such file could not be read."""
    names_image = _choose_name_check(sample, lookup, direct_match)
    readers: list[Callable[[], Iterator[tuple[str, dict[str, str]]]]] = [
        *(
            partial(_read_names_from_table, path, name, sample, names_image)
            for name, path in _list_test_tables(sample, tables)
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
                queries = [file_of.get(image_id.strip(), image_id) for image_id in sample.image_ids]
                joined = _match_by_path_or_name(queries, sample.image_ids, lookup)
                matches.append(_convert_match(joined, origin=origin, location=direct_match.location))
        except DataError as error:
            first_error = first_error or error
    if any("/" in image_id for image_id in sample.image_ids):
        joined = _match_by_path_or_name(sample.image_ids, sample.image_ids, lookup)
        matches.append(_convert_match(joined, origin=direct_match.origin, location=direct_match.location))
    return matches, first_error


def _choose_name_check(sample: SampleSubmission, lookup: ImageLookup, direct_match: _Match) -> Callable[[str], bool]:
    """Return what tells whether a cell states a file.

    A number names an image without being a file name, and any name may happen to; they are believed where the ids
    themselves name no images, and names also where the ids are numbers.
    """
    if not direct_match.n_found:
        return lambda file: bool(lookup.find(file))
    if all(image_id.strip().isdigit() for image_id in sample.image_ids):
        return lambda file: is_image_name(file) or (not file.isdigit() and bool(lookup.find(file)))
    return is_image_name


def _list_test_tables(sample: SampleSubmission, tables: Mapping[str, Path]) -> list[tuple[str, Path]]:
    return [
        (name, path)
        for name, path in tables.items()
        if is_test_name(name) and not (sample.is_given and name == sample.name) and not is_pixel_table(path)
    ]


def _read_names_from_table(
    path: Path, name: str, sample: SampleSubmission, names_image: Callable[[str], bool]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (origin, file name of each id) for each column of file names beside one of ids."""
    for origin, files_of in _read_values_from_table(path, name, sample):
        file_of = {image_id: own[0] for image_id, own in files_of.items() if len(own) == 1}
        if len(file_of) == len(files_of) and all(map(names_image, file_of.values())):
            yield origin, file_of


def _read_values_from_table(
    path: Path, name: str, sample: SampleSubmission
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield (origin, values of each id) for each column whose values belong to one id alone."""
    table = read_table(path)
    wanted = {image_id.strip() for image_id in sample.image_ids}
    id_column = _find_id_column(table, wanted)
    if id_column is None:
        return
    ids = [image_id.strip() for image_id in table.get_column(id_column)]
    for column, title in enumerate(table.header):
        values = [value.strip() for value in table.get_column(column)]
        pairs = dict.fromkeys(pair for pair in zip(ids, values, strict=True) if pair[0] in wanted)
        if column == id_column or len({value for _, value in pairs}) < len(pairs):
            continue
        values_of: dict[str, list[str]] = {}
        for image_id, value in pairs:
            values_of.setdefault(image_id, []).append(value)
        yield f"column {join_names([title])} of {name}", values_of


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


def _match_several(
    sample: SampleSubmission, lookup: ImageLookup, direct_match: _Match, tables: Mapping[str, Path]
) -> Iterator[_Match]:
    """Yield matches of ids that stand for several images: by rows of a test table, by its folders, by names alone."""
    for match_all in (partial(_match_one_each, lookup), lookup.match_several):
        for name, path in _list_test_tables(sample, tables):
            for origin, values_of in _read_values_from_table(path, name, sample):
                if (images_of := _find_all(values_of, match_all)) is not None:
                    images = tuple(images_of.get(image_id.strip(), ()) for image_id in sample.image_ids)
                    yield _make_several_match(sample, images, origin, direct_match.location)
    # Where an id is the name of a file, another one misses its own: it does not stand for those that begin with it.
    pairs = zip(sample.image_ids, direct_match.images, strict=True)
    if all(_lies_in_folder_of(image_id, own) for image_id, own in pairs):
        images = lookup.match_several(sample.image_ids)
        yield _make_several_match(sample, images, direct_match.origin, direct_match.location)


def _match_one_each(lookup: ImageLookup, values: Sequence[str]) -> Images:
    return tuple(() if name is None else (name,) for name in lookup.match(values).names)


def _find_all(
    values_of: Mapping[str, Sequence[str]], match_all: Callable[[Sequence[str]], Images]
) -> dict[str, tuple[str, ...]] | None:
    """Find the images of each id by all of its values; None where a value has none."""
    values = [value for own in values_of.values() for value in own]
    if not all(match_all(values[:PROBED_VALUES])):
        return None
    found = dict(zip(values, match_all(values), strict=True))
    if not all(found.values()):
        return None
    return {
        image_id: tuple(dict.fromkeys(image for value in own for image in found[value]))
        for image_id, own in values_of.items()
    }


def _lies_in_folder_of(image_id: str, images: Sequence[str]) -> bool:
    """Whether the images lie in a folder that is called by the id."""
    return all(f"/{image_id.strip()}/" in f"/{image}" for image in images)


def _make_several_match(sample: SampleSubmission, images: Images, origin: str, place: str) -> _Match:
    missing = tuple(image_id for image_id, own in zip(sample.image_ids, images, strict=True) if not own)
    return _Match(images=images, missing=missing, origin=origin, location=place)


def _match_member_rows(sample: SampleSubmission, files: ImageFiles) -> list[_Match]:
    """Match images without names, in a file of many, with the sample's rows in their order; not where others count."""
    rows = list_rows(files.root, files.test)
    if len(rows) != len(sample.image_ids) or len(rows) != len(files.test):
        return []
    origin, location = "their order in the file, which has no names for them", f"in {files.test_location}"
    return [_Match(images=tuple((row,) for row in rows), missing=(), origin=origin, location=location)]


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
    matched = MatchedImages(names=names, missing=missing, ambiguous=())
    return _convert_match(matched, origin=row_origin, location=f"among the rows of {name}")


def _require_found(
    match: _Match, sample: SampleSubmission, files: ImageFiles, lookup: ImageLookup, skip_missing: bool
) -> None:
    n_ids = len(sample.image_ids)
    if match.missing and not skip_missing:
        require_read(match.missing, sample.name, files.unread_by_stem)
    if len(match.missing) == n_ids:
        raise DataError(
            f"none of the {n_ids} ids in {sample.name} names an image {match.location}: {join_names(match.missing)}",
            hint=files.unread_hint
            or "check that the test images are unpacked, and that the sample submission is of this competition",
            seen=[lookup.describe_miss(match.missing, sample.name)],
        )
    if match.missing and not skip_missing:
        raise DataError(
            f"{sample.name} names {format_count(len(match.missing), 'image')} without a file {match.location}: "
            f"{join_names(match.missing)}",
            hint=files.unread_hint or "unpack all test images, or pass --skip-missing to give their rows the prior",
            seen=[lookup.describe_miss(match.missing, sample.name)],
        )
    if match.ambiguous:
        raise DataError(
            f"{sample.name} has {format_count(len(match.ambiguous), 'id')} that may be several images: "
            f"{join_names(match.ambiguous)}",
            hint="leave one image for each id",
        )


def _describe_match(match: _Match) -> Iterator[str]:
    yield f"test: {format_count(match.n_images, 'image')} {match.location}, from {match.origin}"
    yield from match.notes
    n_missing = len(match.missing)
    if n_missing:
        verb, rows = ("is", "its row gets") if n_missing == 1 else ("are", "their rows get")
        shown = join_names(match.missing)
        yield format_warning(f"{format_count(n_missing, 'test image')} {verb} missing: {rows} the prior ({shown})")


def _describe_rows(sample: SampleSubmission, match: _Match) -> Iterator[str]:
    """Describe rows that stand for several images."""
    most = max(map(len, match.images))
    if most > 1:
        rows, images = format_count(len(sample.ids), "row"), format_count(match.n_images, "image")
        yield f"submission: {rows} of {images}, up to {most} together: the mean of their predictions"


def _describe_unasked(sample: SampleSubmission, match: _Match, files: ImageFiles) -> Iterator[str]:
    """Describe test images that no row asks for."""
    used = {file for own in match.images for image in own for file in expand_colours(image)}
    unasked = [image for image in files.test if image not in used]
    if unasked:
        images = format_count(len(unasked), "test image")
        yield format_warning(f"{images} that {sample.name} does not ask for: {join_names(unasked)}")
