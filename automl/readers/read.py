"""Reading a competition's folder: images, labels and the sample submission put together into a `Competition`.

Only reads. `LABEL_READERS` are the conventions for labels, tried in order; a new convention is one more reader there.
Not responsible for: opening an image (automl.data.cache), or finding broken and repeated ones (automl.data.cleaning).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from automl.data.competition import Competition
from automl.errors import DataError, listed
from automl.files.addresses import expanded
from automl.files.images import find_images, require_images
from automl.files.tables import counted, find_documents, find_tables
from automl.metrics.registry import metric_named
from automl.readers.find_test_images import find_test_images
from automl.readers.groups import find_groups
from automl.readers.infer import told_metric, understand
from automl.readers.known_competitions import Known, known_competition, known_folder
from automl.readers.labels.cells import in_columns
from automl.readers.labels.coco import labels_from_json
from automl.readers.labels.csv_columns import labels_from_table
from automl.readers.labels.csv_long import labels_from_long_table
from automl.readers.labels.csv_pixels import is_pixel_table, labels_from_pixel_table
from automl.readers.labels.source import Labels, NotOfThisKindError, Source, labels_from_file_names, labels_from_folders
from automl.readers.sample_submission import find_sample
from automl.readers.settings import Asked
from automl.readers.submission_template import template_of

LABEL_READERS: tuple[Callable[[Source], Labels], ...] = (
    labels_from_long_table,
    labels_from_table,
    labels_from_json,
    labels_from_pixel_table,
    labels_from_folders,
    labels_from_file_names,
)
NOTHING_ASKED = Asked()
GENERIC_FOLDERS = frozenset({"data", "dataset", "input", "raw"})  # such a folder is called by the one it lies in


def read_competition(root: Path, asked: Asked = NOTHING_ASKED) -> Competition:
    """What is understood of a competition's folder.

    Args:
        asked: what the user says of it; the rest is known by the competition's name, or inferred.

    Raises:
        DataError: the folder, a table or the way they fit together is at fault.
        UsageError: there is no such metric or competition, or what was asked does not fit the folder.
    """
    root = folder_at(root, hint="give the competition's folder")
    known, known_lines = _known(root, asked)
    if (told := told_metric(asked, known)) is not None:
        metric_named(told[0])  # a misspelt one is told before anything is read
    files, tables, documents = find_images(root), find_tables(root), find_documents(root)
    if not files.n_images and not any(is_pixel_table(path) for path in tables.values()):
        require_images(files)
    sample, sample_lines = find_sample(root, files, tables, asked.sample)
    test = find_test_images(sample, files, tables, documents, skip_missing=asked.skip_missing)
    source = Source(
        root=root,
        files=files,
        tables=tables,
        documents=documents,
        sample=sample,
        test_images=frozenset(address for address in test.addresses if address is not None),
        asked=asked,
        known=known,
    )
    labels = _read_labels(source)
    meaning = understand(labels, sample, asked, known)
    groups = find_groups(labels, source)
    return Competition(
        root=root,
        task=meaning.task,
        classes=meaning.classes,
        image_ids=labels.ids,
        image_paths=tuple(root / image for image in labels.images),
        targets=meaning.targets,
        groups=groups.numbers,
        test_ids=sample.image_ids,
        test_paths=_test_paths(root, test.addresses),
        metric=meaning.metric,
        metric_given=meaning.metric_given,
        submission=template_of(sample, meaning.kind, meaning.n_ranked),
        flips=meaning.flips,
        scales=meaning.scales,
        grouped_by=groups.grouped_by,
        unreadable_test=tuple(row for row, address in enumerate(test.addresses) if address is None),
        evidence=(
            *known_lines,
            *files.notes,
            *sample_lines,
            *labels.evidence,
            *test.evidence,
            *_shared_lines(labels, source),
            *_unused_lines(labels, source),
            *meaning.evidence,
            *groups.evidence,
            *(f"note: {remark}" for remark in (known.remarks if known else ())),
        ),
    )


def folder_at(root: Path, *, hint: str) -> Path:
    """The folder by its absolute path.

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


def _known(root: Path, asked: Asked) -> tuple[Known | None, list[str]]:
    """What is known of the competition, by the name that is asked for or by that of its folder."""
    if asked.competition is not None:
        known = known_competition(asked.competition)
        return known, [f"competition: {known.slug}, as asked"]
    name = root.parent.name if root.name.lower() in GENERIC_FOLDERS else root.name
    found = known_folder(name)
    return found, [f"competition: {found.slug}, from the folder's name"] if found else []


def _read_labels(source: Source) -> Labels:
    """The labels by the first convention that the folder follows."""
    reasons = []
    for reader in LABEL_READERS:
        try:
            return in_columns(reader(source), source.sample)
        except NotOfThisKindError as reason:
            reasons.append(str(reason))
    raise DataError(
        f"no labels were found in {source.files.root}: {'; '.join(reasons)}",
        hint="add a train.csv with an id and a label column, a folder for each class, or names such as cat.0.jpg; "
        "--labels FILE and --label COLUMN say which ones to take",
    )


def _test_paths(root: Path, addresses: Sequence[str | None]) -> tuple[Path, ...]:
    """The images' paths; where an image is missing a path of nothing, which is never opened."""
    return tuple(root / (address or f"missing/{row}") for row, address in enumerate(addresses))


def _shared_lines(labels: Labels, source: Source) -> list[str]:
    n_shared = len(source.test_images & set(labels.images))
    return [f"test: {counted(n_shared, 'test image')} also among the training images"] if n_shared else []


def _unused_lines(labels: Labels, source: Source) -> list[str]:
    """What lies beside the folder of training images, such as a folder val, has no part in anything; that is told."""
    if not source.files.train:
        return []
    used = {file for address in (*labels.images, *source.test_images) for file in expanded(address)}
    unused = [image for image in source.files.other if image not in used]
    noun = counted(len(unused), "image")
    return [f"images: {noun} outside the training and test folders left out: {listed(unused)}"] if unused else []
