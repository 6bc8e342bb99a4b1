"""Reading a competition's folder: images, labels and the sample submission put together into a `Competition`.

Only reads. `LABEL_READERS` are the conventions for labels, tried in order; a new convention is one more reader there.
Not responsible for: opening an image (automl.data.cache).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from automl.data.competition import Competition
from automl.data.images import ImageFiles, ImageLookup, find_images
from automl.data.label_tables import labels_from_table
from automl.data.labels import Labels, NotOfThisKindError, Source, labels_from_file_names, labels_from_folders
from automl.data.tables import counted
from automl.data.templates import DEFAULT_METRICS, Sample, Submission, interpret, read_sample, template_of
from automl.errors import DataError, listed
from automl.metrics import metric_named
from automl.tasks import Task

LABEL_READERS: tuple[Callable[[Source], Labels], ...] = (labels_from_table, labels_from_folders, labels_from_file_names)


def read_competition(
    root: Path, *, metric: str | None = None, flips: bool = True, skip_missing: bool = False
) -> Competition:
    """What is understood of a competition's folder.

    Args:
        metric: the name of the metric; without it one is proposed from the sample submission's form.
        flips: whether a mirrored image keeps its label.
        skip_missing: leave out labelled images without a file instead of refusing them.

    Raises:
        DataError: the folder, a table or the way they fit together is at fault.
        UsageError: there is no such metric.
    """
    if metric is not None:
        metric_named(metric)
    root = _folder(root)
    files, sample = find_images(root), read_sample(root)
    test_images = _test_images(sample, files)
    source = Source(files=files, sample=sample, test_images=frozenset(test_images), skip_missing=skip_missing)
    labels = _read_labels(source)
    submission = interpret(sample, _distinct(labels), metric)
    chosen = metric_named(metric or DEFAULT_METRICS[submission.kind])
    index_of = {label: index for index, label in enumerate(submission.classes)}
    return Competition(
        root=root,
        task=Task.BINARY if len(submission.classes) == 2 else Task.MULTICLASS,
        classes=submission.classes,
        image_ids=labels.ids,
        image_paths=tuple(root / image for image in labels.images),
        targets=np.array([index_of[label] for label in labels.texts], dtype=np.int64),
        groups=None,
        test_ids=sample.ids,
        test_paths=tuple(root / image for image in test_images),
        metric=chosen,
        metric_given=metric is not None,
        submission=template_of(sample, submission.kind),
        flips=flips,
        evidence=(
            *labels.evidence,
            *_class_evidence(labels, submission),
            *_test_evidence(test_images, labels, source),
            submission.evidence,
            f"metric: {chosen.name}, {'as asked' if metric else 'proposed for such a submission'}",
        ),
    )


def _folder(root: Path) -> Path:
    try:
        resolved = root.expanduser().resolve()
        if resolved.is_dir():
            return resolved
    except (OSError, RuntimeError, ValueError):  # a loop of links, an unknown user, a NUL: no folder either
        pass
    raise DataError(f"there is no folder {str(root)!r}", hint="give the competition's folder")


def _test_images(sample: Sample, files: ImageFiles) -> tuple[str, ...]:
    """The image of each of the sample's ids, in its order."""
    joined = ImageLookup(files.test, files.other).join(sample.ids)
    if len(joined.missing) == len(sample.ids):
        raise DataError(
            f"none of the {len(sample.ids)} ids in {sample.name} names an image in {files.test_place}: "
            f"{listed(joined.missing)}",
            hint="check that the test images are unpacked, and that the sample submission is of this competition",
        )
    if joined.missing:
        raise DataError(
            f"{sample.name} names {counted(len(joined.missing), 'image')} without a file in {files.test_place}: "
            f"{listed(joined.missing)}",
            hint="unpack all test images; a submission needs every one of them",
        )
    if joined.ambiguous:
        raise DataError(
            f"{sample.name} has {counted(len(joined.ambiguous), 'id')} that may be several images: "
            f"{listed(joined.ambiguous)}",
            hint="leave one image for each id",
        )
    return tuple(name for name in joined.names if name is not None)


def _read_labels(source: Source) -> Labels:
    """The labels by the first convention that the folder follows."""
    reasons = []
    for reader in LABEL_READERS:
        try:
            return reader(source)
        except NotOfThisKindError as reason:
            reasons.append(str(reason))
    raise DataError(
        f"no labels were found in {source.files.root}: {'; '.join(reasons)}",
        hint="add a train.csv with an id and a label column, a folder for each class, or names such as cat.0.jpg",
    )


def _distinct(labels: Labels) -> set[str]:
    distinct = set(labels.texts)
    if len(distinct) < 2:
        raise DataError(
            f"all {len(labels.texts)} training images have the label {listed(sorted(distinct))}",
            hint="add images of another class",
        )
    return distinct


def _class_evidence(labels: Labels, submission: Submission) -> list[str]:
    counts = Counter(labels.texts)
    shown = listed([f"{label} {counts[label]}" for label in submission.classes], at_most=10)
    lines = [f"classes: {len(submission.classes)}, with so many images: {shown}"]
    spellings = Counter(label.lower() for label in submission.classes)
    alike = [label for label in submission.classes if spellings[label.lower()] > 1]
    if alike:
        lines.append(f"classes: some differ only in upper and lower case: {listed(alike)}")
    return lines


def _test_evidence(test_images: Sequence[str], labels: Labels, source: Source) -> list[str]:
    place = source.files.test_place
    lines = [f"test: {counted(len(test_images), 'image')} in {place}, from the ids of {source.sample.name}"]
    n_shared = len(source.test_images & set(labels.images))
    if n_shared:
        lines.append(f"test: {counted(n_shared, 'test image')} also among the training images")
    return lines
