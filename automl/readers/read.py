"""Read a competition's folder: images, labels and the sample submission put together into a `Competition`.

Only reads. `LABEL_READERS` are the layouts of labels, tried in order; a new layout is one more reader there.
Not responsible for: opening an image (automl.data.cache), or finding broken and repeated ones (automl.data.cleaning).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from automl.data.competition import Competition
from automl.errors import DataError, UsageError, join_names
from automl.files.addresses import expand_colours
from automl.files.evidence import format_warning
from automl.files.image_index import ImageLookup
from automl.files.image_names import is_test_name
from automl.files.images import find_images, require_images
from automl.files.tables import (
    describe_unread_tables,
    find_documents,
    find_tables,
    find_unread_tables,
    format_count,
)
from automl.metrics.registry import get_metric
from automl.readers.find_test_images import find_test_images
from automl.readers.groups import find_fixed_fold, find_groups
from automl.readers.infer import InferredCompetition, find_given_metric, infer_competition
from automl.readers.known_competitions import KnownCompetition, find_known_competition, get_known_competition
from automl.readers.label_names import normalize_label
from automl.readers.labels.cells import expand_to_columns, normalize_cells
from automl.readers.labels.coco import LABEL_WORDS, read_json_labels
from automl.readers.labels.csv_columns import is_label_name, read_csv_labels
from automl.readers.labels.csv_long import read_long_csv_labels
from automl.readers.labels.csv_pixels import is_pixel_table, read_pixel_labels
from automl.readers.labels.folder_labels import read_folder_labels
from automl.readers.labels.json_records import is_coco, parse_plain_labels, read_document
from automl.readers.labels.name_labels import read_file_name_labels
from automl.readers.labels.source import FOLDERS, NAMES, LabelOrigin, Labels, LabelSource, LayoutMismatchError
from automl.readers.missing_sample import add_columns, check_form, find_submission_rows
from automl.readers.other_columns import describe_other_columns, describe_unread_splits, find_other_columns
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import build_template, is_sample_name

LabelReader = Callable[[LabelSource], Labels]

NO_SETTINGS = CompetitionSettings()
GENERIC_FOLDERS = frozenset({"data", "dataset", "input", "raw"})  # such a folder is called by the one it lies in


def read_competition(root: Path, settings: CompetitionSettings = NO_SETTINGS) -> Competition:
    """Read a competition's folder: task, labels, groups, test images, metric and submission.

    Args:
        settings: what the user sets; the rest is known by the competition's name, or inferred.

    Raises:
        DataError: the folder, a table or the way they fit together is at fault.
        UsageError: there is no such metric or competition, or a setting does not fit the folder.
    """
    root = resolve_folder(root, hint="give the competition's folder")
    known, known_lines = _find_known(root, settings)
    given = find_given_metric(settings, known)
    metric = None if given is None else get_metric(given[0])  # a misspelt one is refused before anything is read
    files = find_images(root, settings.folders, follow_links=settings.follow_links)
    tables = find_tables(root, follow_links=settings.follow_links)
    documents = find_documents(root, follow_links=settings.follow_links)
    if not files.n_images and not any(is_pixel_table(path) for path in tables.values()):
        require_images(files)
    sample, sample_lines = find_submission_rows(root, files, tables, settings)
    test = find_test_images(sample, files, tables, documents, skip_missing=settings.skip_missing)
    source = LabelSource(
        root=root,
        files=files,
        tables=tables,
        documents=documents,
        sample=sample,
        test_images=frozenset(address for address in test.addresses if address is not None),
        settings=settings,
        known=known,
    )
    labels = _read_labels(source)
    sample, form_lines = add_columns(sample, labels, settings, metric)
    labels = expand_to_columns(labels, sample)
    inferred = infer_competition(labels, sample, settings, known)
    groups = find_groups(labels, source)
    fixed_fold, fold_lines = find_fixed_fold(labels, groups, source)
    return Competition(
        root=root,
        task=inferred.task,
        classes=inferred.classes,
        image_ids=labels.ids,
        image_paths=tuple(root / image for image in labels.images),
        targets=inferred.targets,
        groups=groups.numbers,
        test_ids=test.ids,
        test_paths=_build_test_paths(root, test.addresses),
        metric=inferred.metric,
        metric_given=inferred.metric_given,
        submission=build_template(
            sample,
            inferred.submission_kind,
            inferred.n_ranked,
            images_of_row=test.images_of_row,
            separator=inferred.separator,
        ),
        flips=inferred.flips,
        scales=inferred.scales,
        heads=inferred.heads,
        grouped_by=groups.grouped_by,
        fixed_fold=fixed_fold,
        unreadable_test=tuple(row for row, address in enumerate(test.addresses) if address is None),
        evidence=(
            *known_lines,
            *files.notes,
            *sample_lines,
            *sample.table.notes,
            *labels.evidence,
            *test.evidence,
            *_describe_shared(labels, source),
            *_describe_unused(labels, source),
            *describe_other_columns(find_other_columns(labels, source)),
            *describe_unread_splits(labels, source),
            *form_lines,
            *inferred.evidence,
            *check_form(sample, inferred.submission_kind, settings),
            *groups.evidence,
            *fold_lines,
            *(f"note: {remark}" for remark in (known.remarks if known else ())),
        ),
        labels_from=labels.place,
        images_from=files.train_location,
        left_out=tuple(_list_unused(labels, source, (*files.train, *files.test, *files.other, *files.copies))),
        written_labels=_map_written_labels(labels, inferred),
    )


def _map_written_labels(labels: Labels, inferred: InferredCompetition) -> dict[str, str]:
    """Return the label of each image that the submission calls by another word, not only by another spelling."""
    if len(labels.columns) > 1 or not inferred.task.target_kind.is_single_class:
        return {}
    names = [inferred.classes[int(target)] for target in inferred.targets]
    pairs = list(zip(labels.texts, names, strict=True))
    other = {(text, name) for text, name in set(pairs) if normalize_label(text) != normalize_label(name)}
    return {image_id: pair[0] for image_id, pair in zip(labels.ids, pairs, strict=True) if pair in other}


def resolve_folder(root: Path, *, hint: str) -> Path:
    """Return the folder's absolute path.

    Raises:
        DataError: there is none.
    """
    try:
        resolved = root.expanduser().resolve()
        if resolved.is_dir():
            return resolved
    except (OSError, RuntimeError, ValueError):  # a loop of links, an unknown user, a NUL: no folder either
        pass
    raise DataError(f"there is no folder {str(root)!r}", hint=hint)


def _find_known(root: Path, settings: CompetitionSettings) -> tuple[KnownCompetition | None, list[str]]:
    """Find the known competition, by the given name or by that of the folder."""
    if settings.competition is not None:
        known = get_known_competition(settings.competition)
        return known, [f"competition: {known.slug}, as asked"]
    name = root.parent.name if root.name.lower() in GENERIC_FOLDERS else root.name
    found = find_known_competition(name)
    return found, [f"competition: {found.slug}, from the folder's name"] if found else []


def _read_row_labels(source: LabelSource) -> Labels:
    """Read labels beside pixels, unless the images are files.

    Raises:
        LayoutMismatchError: there is no table of pixels, or the test images are files.
        DataError: there is one, and it is at fault; or folders of images may be meant as well.
    """
    files = {*source.files.train, *source.files.test, *source.files.other}
    tables = [name for name, path in source.tables.items() if is_pixel_table(path)]
    requested = source.settings.labels
    if requested is not None and requested not in tables:
        raise LayoutMismatchError(f"{requested} holds no pixels")
    if requested is not None or not files or not tables:
        return read_pixel_labels(source)
    test_files = {file for address in source.test_images for file in expand_colours(address)}
    if test_files and test_files <= files:
        passed_over = [f"{name} (it holds pixels, and the test images are files)" for name in tables]
        raise LayoutMismatchError("the test images are files, not rows of pixels", passed_over)
    if not test_files and _has_class_folders(source):
        raise DataError(
            f"the labels may be those of {join_names(tables)}, or the folders of the images",
            hint="say --labels folders, or name the table with --labels",
        )
    return read_pixel_labels(source)


def _has_class_folders(source: LabelSource) -> bool:
    try:
        return bool(read_folder_labels(source).ids)
    except (DataError, LayoutMismatchError):
        return False


MAX_COMPARED_BYTES = 50_000_000  # of a document that is only compared with the table that is taken
READERS_OF_FILES: tuple[LabelReader, ...] = (
    read_long_csv_labels,
    read_csv_labels,
    read_json_labels,
    _read_row_labels,
)
READERS_OF_NAMES: tuple[LabelReader, ...] = (read_folder_labels, read_file_name_labels)
LABEL_READERS = (*READERS_OF_FILES, *READERS_OF_NAMES)
READERS_BY_WORD = {FOLDERS: read_folder_labels, NAMES: read_file_name_labels}  # by --labels


def _read_labels(source: LabelSource) -> Labels:
    """Read the labels by the first layout that the folder has, or by what the user names."""
    requested = source.settings.labels
    readers = _choose_readers(source)
    reasons: list[str] = []
    passed_over: list[str] = []
    for reader in readers:
        try:
            if requested is None and reader in READERS_OF_NAMES:
                _require_no_unread_table(source)
            labels = reader(source)
        except LayoutMismatchError as reason:
            reasons.append(str(reason))
            passed_over += reason.passed_over
            continue
        lines: list[str] = []
        if requested is None and reader in READERS_OF_NAMES:
            lines = _describe_passed_over(passed_over, source)
        elif requested is None and labels.origin is LabelOrigin.TABLE:
            lines = _compare_documents(labels, source)
        labels = normalize_cells(replace(labels, evidence=(*labels.evidence, *lines)), source.sample)
        return expand_to_columns(labels, source.sample)
    if requested is not None:
        raise DataError(
            f"--labels {requested} cannot be read as labels: {'; '.join(reasons)}",
            hint="name a table with a row for each training image, or leave --labels out",
        )
    raise DataError(
        f"no labels were found in {source.files.root}: {'; '.join(reasons)}",
        hint="add a train.csv with an id and a label column, a folder for each class, or names such as cat.0.jpg; "
        "--labels FILE and --label COLUMN say which ones to take",
        seen=[f"{file} is no table of labels" for file in passed_over] + describe_unread_tables(source.root),
    )


def _compare_documents(read: Labels, source: LabelSource) -> list[str]:
    """Compare labels of a table with the plain documents called as ones of labels, which are left out.

    Annotations are not compared: they are large, and mostly of something else than the classes.
    """
    lookup = ImageLookup(source.files.train, source.files.other, source.files.copies)
    label_of = dict(zip(read.images, read.cells, strict=True))
    lines = []
    for name, path in source.documents.items():
        is_called = any(word in name.lower() for word in LABEL_WORDS) and not is_test_name(name)
        if not is_called or not path.is_file() or path.stat().st_size > MAX_COMPARED_BYTES:
            continue
        try:
            document = read_document(path)
            plain = {} if is_coco(document) else parse_plain_labels(document, name) or {}
        except DataError:  # not needed
            continue
        if label_of and set(label_of.values()) <= {(key,) for key in plain}:
            key, (word, *_) = min(plain.items())
            lines.append(f"labels: {name} has names for them, such as {word} for {key}; they stay as they are")
            continue
        matched = lookup.match(list(plain))
        pairs = [
            (label_of[image], " ".join(found))
            for image, found in zip(matched.names, plain.values(), strict=True)
            if image in label_of
        ]
        if n_different := sum(cells != (text,) for cells, text in pairs):
            n_images = format_count(n_different, "image")
            line = f"labels: {name} left out, it gives {n_images} another label; --labels {name} takes it instead"
            lines.append(format_warning(line))
    return lines


def _choose_readers(source: LabelSource) -> Sequence[LabelReader]:
    """Choose the readers of what the user names by --labels; a file is never overruled by folders or names.

    Raises:
        UsageError: --label asks for a column where there is none.
    """
    settings = source.settings
    reader = READERS_BY_WORD.get(settings.labels or "")
    if reader is None or settings.labels in source.tables:
        return LABEL_READERS if settings.labels is None else READERS_OF_FILES
    if settings.label is not None:
        raise UsageError(
            f"--label {settings.label}: there are no columns in {settings.labels}, which --labels asks for",
            hint="leave one of both out",
        )
    return (reader,)


def _require_no_unread_table(source: LabelSource) -> None:
    """Require that no table is called as one of labels and cannot be read: names of files do not take its place."""
    for name, reason in find_unread_tables(source.root).items():
        is_list = name.lower().endswith(".txt") and "is no table" in reason  # of names, or prose: it is told
        if is_label_name(name) and not name.endswith("/") and not is_sample_name(name) and not is_list:
            raise DataError(
                f"{name} may hold the labels, but is not read: {reason}",
                hint="save it as CSV; --labels folders or --labels names takes folders or file names instead",
                seen=describe_unread_tables(source.root),
            )


def _describe_passed_over(passed_over: Sequence[str], source: LabelSource) -> list[str]:
    """Tell of the files that might have held labels, where folders or file names are taken."""
    unread = [f"{name} ({reason})" for name, reason in find_unread_tables(source.root).items()]
    files = list({line.partition(" (")[0]: line for line in (*passed_over, *unread)}.values())
    return [format_warning(f"tables not read as labels: {join_names(files, at_most=5)}")] if files else []


def _build_test_paths(root: Path, addresses: Sequence[str | None]) -> tuple[Path, ...]:
    """Build the images' paths; a missing image gets a path of nothing, which is never opened."""
    return tuple(root / (address or f"missing/{row}") for row, address in enumerate(addresses))


def _describe_shared(labels: Labels, source: LabelSource) -> list[str]:
    n_shared = len(source.test_images & set(labels.images))
    line = format_warning(f"test: {format_count(n_shared, 'test image')} also among the training images")
    return [line] if n_shared else []


def _describe_unused(labels: Labels, source: LabelSource) -> list[str]:
    """Report images outside the training and test folders, such as those of a folder val, which are not used."""
    if not source.files.train:
        return []
    unused = _list_unused(labels, source, source.files.other)
    noun = format_count(len(unused), "image")
    line = format_warning(f"images: {noun} outside the training and test folders left out: {join_names(unused)}")
    return [line] if unused else []


def _list_unused(labels: Labels, source: LabelSource, images: Sequence[str]) -> list[str]:
    """List those of the images that are used neither for training nor for the test."""
    used = {file for address in (*labels.images, *source.test_images) for file in expand_colours(address)}
    return [image for image in images if image not in used]
