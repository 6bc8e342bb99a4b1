"""Read a competition's folder: images, labels and the sample submission put together into a `Competition`.

Only reads. `LABEL_READERS` are the layouts of labels, tried in order; a new layout is one more reader there.
Not responsible for: opening an image (automl.data.cache), or finding broken and repeated ones (automl.data.cleaning).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from automl.data.competition import Competition
from automl.errors import DataError, join_names
from automl.files.addresses import expand_colours
from automl.files.images import find_images, require_images
from automl.files.tables import find_documents, find_tables, format_count
from automl.metrics.registry import get_metric
from automl.readers.find_test_images import find_test_images
from automl.readers.groups import find_groups
from automl.readers.infer import find_given_metric, infer_competition
from automl.readers.known_competitions import KnownCompetition, find_known_competition, get_known_competition
from automl.readers.labels.cells import expand_to_columns
from automl.readers.labels.coco import read_json_labels
from automl.readers.labels.csv_columns import read_csv_labels
from automl.readers.labels.csv_long import read_long_csv_labels
from automl.readers.labels.csv_pixels import is_pixel_table, read_pixel_labels
from automl.readers.labels.source import (
    Labels,
    LabelSource,
    LayoutMismatchError,
    read_file_name_labels,
    read_folder_labels,
)
from automl.readers.sample_submission import find_sample_submission
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import build_template

LABEL_READERS: tuple[Callable[[LabelSource], Labels], ...] = (
    read_long_csv_labels,
    read_csv_labels,
    read_json_labels,
    read_pixel_labels,
    read_folder_labels,
    read_file_name_labels,
)
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
    if (given := find_given_metric(settings, known)) is not None:
        get_metric(given[0])  # a misspelt one is refused before anything is read
    files, tables, documents = find_images(root), find_tables(root), find_documents(root)
    if not files.n_images and not any(is_pixel_table(path) for path in tables.values()):
        require_images(files)
    sample, sample_lines = find_sample_submission(root, files, tables, settings.sample)
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
    inferred = infer_competition(labels, sample, settings, known)
    groups = find_groups(labels, source)
    return Competition(
        root=root,
        task=inferred.task,
        classes=inferred.classes,
        image_ids=labels.ids,
        image_paths=tuple(root / image for image in labels.images),
        targets=inferred.targets,
        groups=groups.numbers,
        test_ids=sample.image_ids,
        test_paths=_build_test_paths(root, test.addresses),
        metric=inferred.metric,
        metric_given=inferred.metric_given,
        submission=build_template(sample, inferred.submission_kind, inferred.n_ranked),
        flips=inferred.flips,
        scales=inferred.scales,
        grouped_by=groups.grouped_by,
        unreadable_test=tuple(row for row, address in enumerate(test.addresses) if address is None),
        evidence=(
            *known_lines,
            *files.notes,
            *sample_lines,
            *labels.evidence,
            *test.evidence,
            *_describe_shared(labels, source),
            *_describe_unused(labels, source),
            *inferred.evidence,
            *groups.evidence,
            *(f"note: {remark}" for remark in (known.remarks if known else ())),
        ),
    )


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


def _read_labels(source: LabelSource) -> Labels:
    """Read the labels by the first layout that the folder has."""
    reasons = []
    for reader in LABEL_READERS:
        try:
            return expand_to_columns(reader(source), source.sample)
        except LayoutMismatchError as reason:
            reasons.append(str(reason))
    raise DataError(
        f"no labels were found in {source.files.root}: {'; '.join(reasons)}",
        hint="add a train.csv with an id and a label column, a folder for each class, or names such as cat.0.jpg; "
        "--labels FILE and --label COLUMN say which ones to take",
    )


def _build_test_paths(root: Path, addresses: Sequence[str | None]) -> tuple[Path, ...]:
    """Build the images' paths; a missing image gets a path of nothing, which is never opened."""
    return tuple(root / (address or f"missing/{row}") for row, address in enumerate(addresses))


def _describe_shared(labels: Labels, source: LabelSource) -> list[str]:
    n_shared = len(source.test_images & set(labels.images))
    return [f"test: {format_count(n_shared, 'test image')} also among the training images"] if n_shared else []


def _describe_unused(labels: Labels, source: LabelSource) -> list[str]:
    """Report images outside the training and test folders, such as those of a folder val, which are not used."""
    if not source.files.train:
        return []
    used = {file for address in (*labels.images, *source.test_images) for file in expand_colours(address)}
    unused = [image for image in source.files.other if image not in used]
    noun = format_count(len(unused), "image")
    return [f"images: {noun} outside the training and test folders left out: {join_names(unused)}"] if unused else []
