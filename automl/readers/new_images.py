"""Test images that were not there when a competition was read: a hidden test set, or a folder of new images.

What was understood of the competition stays: its classes, its targets, the form of its submission. Not responsible for:
reading a competition for the first time (automl.readers.read), or predicting (automl.ensemble.apply).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from automl.data.competition import Competition, SubmissionTemplate
from automl.data.survey import Progress, survey_images
from automl.errors import DataError, listed
from automl.files.addresses import BRACES
from automl.files.image_index import ImageLookup
from automl.files.image_names import IMAGE_SUFFIXES, folder_of, is_image_name, is_of_test, without_suffix
from automl.files.images import ImageFiles, find_images, require_images
from automl.files.pixel_tables import load_pixel_table
from automl.files.tables import counted, find_documents, find_tables, read_header, read_table
from automl.readers.find_test_images import find_test_images
from automl.readers.labels.csv_pixels import is_pixel_table, row_addresses
from automl.readers.long_form import Unfolded, unfold
from automl.readers.read import folder_at
from automl.readers.sample_submission import NOT_SAMPLES, asked_table, find_sample
from automl.readers.submission_template import Sample, is_sample_name, sample_of, template_of

SAME_HINT = "give the folder of the competition that the ensemble was trained on"


def read_test_images(root: Path, competition: Competition, *, sample: str | None = None) -> Competition:
    """The competition with the test images that the sample submission below root names, however many they are.

    Training images and labels need not be there. Test images that are missing are unreadable_test; all of them are
    where the test is hidden, and no test image is there at all. The evidence is of these images alone.

    Args:
        root: a folder laid out as the competition's own.
        sample: the sample submission by its name, where there are several.

    Raises:
        DataError: there is no sample submission of the competition's form, or its ids name none of the test images.
        UsageError: there is no file of the name asked for.
    """
    root = _folder(root)
    files, tables = find_images(root), find_tables(root)
    found = _sample(_sample_path(files, tables, competition.submission, sample), tables, competition)
    addresses, evidence = _addresses(found, files, tables)
    moved = _with_test(
        competition, root, found.image_ids, [address or f"missing/{row}" for row, address in enumerate(addresses)]
    )
    return replace(
        moved,
        submission=template_of(found, competition.submission.kind, competition.submission.n_ranked),
        unreadable_test=tuple(row for row, address in enumerate(addresses) if address is None),
        evidence=(f"sample: {counted(len(found.ids), 'row')}, from {found.name}", *files.notes, *evidence),
    )


def image_folder(folder: Path, competition: Competition) -> Competition:
    """The competition with all images below a folder, or one image, as its test images; no submission fits them.

    Their ids are their paths below the folder, in sorted order. Where the competition's images have a file for each
    colour these are put together likewise, and where the folder has tables of pixels alone their rows are images.

    Raises:
        DataError: there is no image.
    """
    if _is_file(folder):
        root, named = _folder(folder.parent), {folder.name: folder.name}
        _require_image(folder)
        notes: tuple[str, ...] = ()
    else:
        root = _folder(folder)
        files = find_images(root)
        named, notes = _images_below(files, competition), files.notes
    moved = _with_test(competition, root, list(named), list(named.values()))
    evidence = f"images: {counted(len(named), 'image')}, from {listed([str(folder)])}"
    return replace(moved, unreadable_test=(), evidence=(evidence, *notes))


def broken_test_images(
    competition: Competition, folder: Path, *, n_threads: int = 1, on_progress: Progress | None = None
) -> Mapping[int, str]:
    """Rows of the test images that cannot be decoded, each with why, in a line that names it.

    Args:
        folder: where the look at the images is kept; it may be deleted at any time.

    Raises:
        StorageError: it cannot be written.
    """
    test_alone = replace(competition, image_ids=(), image_paths=(), targets=competition.targets[:0], groups=None)
    return survey_images(test_alone, folder, n_threads=n_threads, on_progress=on_progress).test.problems


def _folder(root: Path) -> Path:
    return folder_at(root, hint="give the folder that holds the images")


def _with_test(competition: Competition, root: Path, ids: Sequence[str], addresses: Sequence[str]) -> Competition:
    """The competition as if it lay at root: its training images are not looked for there."""
    train = tuple(root / path.relative_to(competition.root) for path in competition.image_paths)
    test = tuple(root / address for address in addresses)
    return replace(competition, root=root, image_paths=train, test_ids=tuple(ids), test_paths=test)


def _sample_path(
    files: ImageFiles, tables: Mapping[str, Path], template: SubmissionTemplate, asked: str | None
) -> Path:
    """The sample submission: the one asked for, else the one that is found among those with the right header."""
    if asked is not None:
        return asked_table(tables, asked, "--sample")
    alike = {name for name, path in tables.items() if _header(path) == template.header}
    others = [name for name in tables if is_sample_name(name) and name not in alike]
    try:
        sample, _ = find_sample(files.root, files, {name: path for name, path in tables.items() if name not in others})
    except DataError:
        unlike_training = [name for name in alike if not any(word in name.lower() for word in NOT_SAMPLES)]
        if len(unlike_training) == 1:
            return tables[unlike_training[0]]
        if others:
            return tables[others[0]]  # refused for its header, which tells more than that there is no sample
        raise
    return tables[sample.name]


def _header(path: Path) -> tuple[str, ...]:
    """A table's header, empty where it is damaged: that is told where the table is needed."""
    try:
        return read_header(path)
    except DataError:
        return ()


def _sample(path: Path, tables: Mapping[str, Path], competition: Competition) -> Sample:
    """The sample as the competition has it: its ids in the same column, in the long form or not."""
    table, template = read_table(path), competition.submission
    if table.header != template.header:
        raise DataError(
            f"{table.name} has the columns {listed(table.header, at_most=10)}, but a submission of the competition has "
            f"{listed(template.header, at_most=10)}",
            hint=SAME_HINT,
        )
    sample = sample_of(table, id_position=template.id_column)
    if template.cells is None:
        return sample
    unfolded = _unfolded(sample, tables, competition.classes)
    if unfolded is None:
        raise DataError(
            f"{table.name} has not one row for each image and each of {listed(competition.classes)}", hint=SAME_HINT
        )
    return replace(sample, image_ids=unfolded.image_ids, target_columns=unfolded.targets, cells=unfolded.cells)


def _unfolded(sample: Sample, tables: Mapping[str, Path], classes: Sequence[str]) -> Unfolded | None:
    """The rows by image and class, going by a table of the test rows, else by the ids alone."""
    tests = [path for name, path in tables.items() if is_of_test(name) and sample.id_column in _header(path)]
    table = next((read_table(path) for path in tests if not is_pixel_table(path)), None)
    for unfolded in (unfold(sample.ids, table), unfold(sample.ids, known_targets=classes)):
        if unfolded is not None and {target.strip() for target in unfolded.targets} == set(classes):
            column_of = {name: column for column, name in enumerate(classes)}
            cells = tuple((image, column_of[unfolded.targets[target].strip()]) for image, target in unfolded.cells)
            return replace(unfolded, targets=tuple(classes), cells=cells)
    return None


def _addresses(
    sample: Sample, files: ImageFiles, tables: Mapping[str, Path]
) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """The test images' addresses, None where one is missing, and what there is to say of them."""
    try:
        test = find_test_images(sample, files, tables, find_documents(files.root), skip_missing=True)
    except DataError:
        if _shows_test_images(sample, files, tables):
            raise
        n_images = len(sample.image_ids)
        line = f"test: none of {counted(n_images, 'image')} is there, as where a test is hidden: rows get the prior"
        return (None,) * n_images, (line,)
    return test.addresses, test.evidence


def _shows_test_images(sample: Sample, files: ImageFiles, tables: Mapping[str, Path]) -> bool:
    """Whether there is anything that may be a test image, be it that it cannot be read."""
    in_tables = any(is_of_test(name) and is_pixel_table(path) for name, path in tables.items())
    lookup = ImageLookup(files.other)
    named = any(lookup.candidates(image_id) for image_id in sample.image_ids)
    return bool(files.test or files.unread or in_tables or named)


def _images_below(files: ImageFiles, competition: Competition) -> dict[str, str]:
    """The address of each image by its id."""
    root, names = files.root, sorted((*files.train, *files.test, *files.other))
    if names:
        by_colour = any(BRACES.search(path.name) for path in competition.image_paths[:1])
        return _merged_colours(names) if by_colour else {name: name for name in names}
    tables = {name: path for name, path in find_tables(root).items() if is_pixel_table(path)}
    if not tables and files.unread:
        require_images(files)
    if not tables:
        raise DataError(
            f"{listed([str(root)])} holds no images ({', '.join(IMAGE_SUFFIXES)})", hint="give a folder that holds some"
        )
    rows = [row for path in tables.values() for row in row_addresses(path, root, len(load_pixel_table(path)))]
    return {row: row for row in rows}


def _merged_colours(names: Sequence[str]) -> dict[str, str]:
    """One address for the files of an image in several colours."""
    lookup, named = ImageLookup(names), dict[str, str]()
    for name in names:
        before = without_suffix(name).rpartition("_")[0]
        merged = [
            address
            for address in lookup.candidates(PurePosixPath(before).name)
            if before and BRACES.search(address) and folder_of(address) == folder_of(name)
        ]
        if len(merged) == 1:
            named[before] = merged[0]
        else:
            named[name] = name
    return dict(sorted(named.items()))


def _is_file(path: Path) -> bool:
    try:
        return path.expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def _require_image(path: Path) -> None:
    if not is_image_name(path.name) or not path.name.isprintable():
        raise DataError(
            f"{listed([str(path)])} is no image of a kind that is read",
            hint="convert it to a .png, or give the folder that holds the images",
        )
