"""Read new test images for a competition that was read before: a hidden test set, or a folder of images.

What was inferred of the competition stays: its classes, its targets, the form of its submission.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from automl.data.competition import Competition, SubmissionTemplate
from automl.data.survey import Progress, survey_images
from automl.errors import DataError, join_names
from automl.files.addresses import BRACES
from automl.files.containers.members import find_members
from automl.files.containers.opening import is_container_name
from automl.files.evidence import format_warning
from automl.files.folder_roles import FolderChoice
from automl.files.image_formats import IMAGE_SUFFIXES
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_image_name, is_test_name
from automl.files.images import ImageFiles, find_images, require_images
from automl.files.pixel_tables import load_pixel_table
from automl.files.tables import find_documents, find_tables, format_count, read_header_or_empty, read_table
from automl.readers.find_test_images import TestImages, find_test_images
from automl.readers.labels.csv_pixels import is_pixel_table, list_row_addresses
from automl.readers.long_form import UnfoldedIds, unfold
from automl.readers.missing_sample import make_submission_rows, merge_colours
from automl.readers.read import resolve_folder
from automl.readers.sample_submission import NOT_SAMPLES, find_sample_submission, get_table_name
from automl.readers.submission_template import SampleSubmission, is_sample_name, parse_sample

SAME_HINT = "give the folder of the competition that the ensemble was trained on"


def read_test_images(root: Path, competition: Competition, *, sample: str | None = None) -> Competition:
    """Read the test images that the sample submission below root names into a known competition.

    Training images and labels need not be there. Test images that are missing are unreadable_test; all of them are
    where the test is hidden, and no test image is there at all. Where the competition has no sample submission, the
    rows are made anew as they were, of the test images that are there. The evidence is of these images alone.

    Args:
        root: a folder laid out as the competition's own.
        sample: the sample submission by its name, where there are several.

    Raises:
        DataError: there is no sample submission of the competition's form, or its ids name none of the test images.
        UsageError: there is no file of the given name.
    """
    root = _resolve_image_folder(root)
    files, tables = find_images(root), find_tables(root)
    found, lines = _read_rows(files, tables, competition, sample)
    test = _find_images(found, files, tables)
    named = [address or f"missing/{row}" for row, address in enumerate(test.addresses)]
    return replace(
        _replace_test_images(competition, root, test.ids, named),
        submission=replace(competition.submission, ids=found.ids, cells=found.cells, images_of_row=test.images_of_row),
        unreadable_test=tuple(row for row, address in enumerate(test.addresses) if address is None),
        evidence=(*lines, *files.notes, *test.evidence),
    )


def read_image_folder(folder: Path, competition: Competition) -> Competition:
    """Take all images below a folder, or one image, as the competition's test images.

    Their ids are their paths below the folder, in sorted order. Where the competition's images have a file for each
    colour these are put together likewise, and where the folder has tables of pixels alone their rows are images.

    Raises:
        DataError: there is no image.
    """
    if _is_file(folder):
        root = _resolve_image_folder(folder.parent)
        named, notes = _list_file(root, folder)
    else:
        root = _resolve_image_folder(folder)
        files = find_images(root, FolderChoice(takes_all=True))
        named, notes = _list_images(files, competition), files.notes
    updated = _replace_test_images(competition, root, list(named), list(named.values()))
    evidence = f"images: {format_count(len(named), 'image')}, from {join_names([str(folder)])}"
    return replace(updated, unreadable_test=(), evidence=(evidence, *notes))


def find_broken_test_images(
    competition: Competition, folder: Path, *, n_threads: int = 1, on_progress: Progress | None = None
) -> Mapping[int, str]:
    """Find the test images that cannot be decoded: the reason, in a line that names the image, by row.

    Args:
        folder: of the cache of inspected images; it may be deleted at any time.

    Raises:
        StorageError: it cannot be written.
    """
    test_alone = replace(competition, image_ids=(), image_paths=(), targets=competition.targets[:0], groups=None)
    return survey_images(test_alone, folder, n_threads=n_threads, on_progress=on_progress).test.problems


def _resolve_image_folder(root: Path) -> Path:
    return resolve_folder(root, hint="give the folder that holds the images")


def _replace_test_images(
    competition: Competition, root: Path, ids: Sequence[str], addresses: Sequence[str]
) -> Competition:
    """Return the competition as if it lay at root: its training images are not looked for there."""
    train = tuple(root / path.relative_to(competition.root) for path in competition.image_paths)
    test = tuple(root / address for address in addresses)
    return replace(competition, root=root, image_paths=train, test_ids=tuple(ids), test_paths=test)


def _read_rows(
    files: ImageFiles, tables: Mapping[str, Path], competition: Competition, sample_name: str | None
) -> tuple[SampleSubmission, tuple[str, ...]]:
    """Read the rows of the sample submission, or make them where the competition has none; also return evidence."""
    template = competition.submission
    if template.has_sample or sample_name is not None:
        name = _find_sample_name(files, tables, template, sample_name)
        found = _read_sample(name, tables, competition)
        return found, (f"sample: {format_count(len(found.ids), 'row')}, from {found.name}",)
    found, lines = make_submission_rows(files, tables)
    if not found.ids:
        raise DataError(
            f"{files.root} holds no test images: no table of the test, and no folder called test",
            hint="give a folder laid out as the competition's, or write a table instead: automl predict FOLDER",
        )
    return found, lines


def _find_sample_name(
    files: ImageFiles, tables: Mapping[str, Path], template: SubmissionTemplate, sample_name: str | None
) -> str:
    """Return the given sample submission, else the one found among those with the right header."""
    if sample_name is not None:
        return get_table_name(tables, sample_name, "--sample")
    same_header = {name for name, path in tables.items() if read_header_or_empty(path) == template.header}
    others = [name for name in tables if is_sample_name(name) and name not in same_header]
    unlike_training = [name for name in same_header if not any(word in name.lower() for word in NOT_SAMPLES)]
    try:
        found = find_sample_submission(
            files.root, files, {name: path for name, path in tables.items() if name not in others}
        )
    except DataError:
        if len(unlike_training) != 1 and not others:
            raise
        found = None
    if found is not None:
        return found[0].name
    if len(unlike_training) == 1:
        return unlike_training[0]
    if others:
        return others[0]  # refused for its header, which tells more than that there is no sample
    raise DataError(
        f"{files.root} holds no sample submission with the columns {join_names(template.header, at_most=10)}",
        hint=SAME_HINT,
    )


def _read_sample(name: str, tables: Mapping[str, Path], competition: Competition) -> SampleSubmission:
    """Read the sample as the competition has it: its ids in the same column, in the long form or not."""
    table, template = read_table(tables[name], name=name), competition.submission
    if table.header != template.header:
        raise DataError(
            f"{table.name} has the columns {join_names(table.header, at_most=10)}, but a submission of the competition "
            f"has {join_names(template.header, at_most=10)}",
            hint=SAME_HINT,
        )
    sample = parse_sample(table, id_position=template.id_column)
    if template.cells is None:
        return sample
    targets = tuple(head.name for head in competition.heads) or competition.classes
    unfolded = _unfold_sample(sample, tables, targets)
    if unfolded is None:
        raise DataError(
            f"{table.name} has not one row for each image and each of {join_names(targets)}", hint=SAME_HINT
        )
    return replace(sample, image_ids=unfolded.image_ids, target_columns=unfolded.targets, cells=unfolded.cells)


def _unfold_sample(sample: SampleSubmission, tables: Mapping[str, Path], classes: Sequence[str]) -> UnfoldedIds | None:
    """Split the rows into images and classes by a table of the test rows, else by the ids alone."""
    tests = [
        path for name, path in tables.items() if is_test_name(name) and sample.id_column in read_header_or_empty(path)
    ]
    table = next((read_table(path) for path in tests if not is_pixel_table(path)), None)
    for unfolded in (unfold(sample.ids, table), unfold(sample.ids, known_targets=classes)):
        if unfolded is not None and {target.strip() for target in unfolded.targets} == set(classes):
            column_of = {name: column for column, name in enumerate(classes)}
            cells = tuple((image, column_of[unfolded.targets[target].strip()]) for image, target in unfolded.cells)
            return replace(unfolded, targets=tuple(classes), cells=cells)
    return None


def _find_images(sample: SampleSubmission, files: ImageFiles, tables: Mapping[str, Path]) -> TestImages:
    """Find the test images; none of a test that is hidden."""
    try:
        return find_test_images(sample, files, tables, find_documents(files.root), skip_missing=True)
    except DataError:
        if _has_test_images(sample, files, tables):
            raise
    n_images = len(sample.image_ids)
    line = f"test: none of {format_count(n_images, 'image')} is there, as where a test is hidden: rows get the prior"
    return TestImages(
        addresses=(None,) * n_images, ids=sample.image_ids, images_of_row=None, evidence=(format_warning(line),)
    )


def _has_test_images(sample: SampleSubmission, files: ImageFiles, tables: Mapping[str, Path]) -> bool:
    """Whether there is anything that may be a test image, even one that cannot be read."""
    in_tables = any(is_test_name(name) and is_pixel_table(path) for name, path in tables.items())
    lookup = ImageLookup(files.other)
    named = len(lookup.match(sample.image_ids).missing) < len(sample.image_ids)
    return bool(files.test or files.unread or in_tables or named)


def _list_images(files: ImageFiles, competition: Competition) -> dict[str, str]:
    """List the address of each image by its id."""
    root, names = files.root, sorted((*files.train, *files.test, *files.other))
    if names:
        by_colour = any(BRACES.search(path.name) for path in competition.image_paths[:1])
        return merge_colours(names) if by_colour else {name: name for name in names}
    tables = {name: path for name, path in find_tables(root).items() if is_pixel_table(path)}
    if not tables and files.unread:
        require_images(files)
    if not tables:
        raise DataError(
            f"{join_names([str(root)])} holds no images ({', '.join(IMAGE_SUFFIXES)})",
            hint="give a folder that holds some",
        )
    rows = [row for path in tables.values() for row in list_row_addresses(path, root, len(load_pixel_table(path)))]
    return {row: row for row in rows}


def _is_file(path: Path) -> bool:
    try:
        return path.expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def _list_file(root: Path, file: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """List the image that a file is, or the images that it holds, by id; and lines of evidence."""
    if is_image_name(file.name) and file.name.isprintable():
        return {file.name: file.name}, ()
    inner = find_members(root, [file.name] if is_container_name(file.name) else [], ())
    for error in inner.errors.values():
        raise error
    if not inner.images or not file.name.isprintable():
        raise DataError(
            f"{join_names([str(file)])} is no image of a kind that is read",
            hint="convert it to a .png, or give the folder that holds the images",
        )
    return {image: image for image in inner.images}, tuple(inner.notes)
