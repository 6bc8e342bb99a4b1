"""A competition as the rest of the product sees it: paths, labels and the submission's form, never pixels.

Not responsible for: finding out what a folder means (automl.readers.read) or decoding images (automl.data.cache).
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import digest_of, read_json, write_json
from automl.decisions.choose import Scorer
from automl.decisions.rules import Facts
from automl.metrics.metric import Metric
from automl.metrics.registry import metric_named
from automl.tasks import Task

GROUPED_BY = "duplicates"  # what `grouped_by` says of groups that hold copies together


class SubmissionKind(enum.StrEnum):
    """What the submission holds for a test image; in the long form, for an image and one of its classes."""

    PROBABILITY = "probability"  # one column: the probability of the second of two classes
    PROBABILITIES = "probabilities"  # a column for each class, or a row for each class in the long form
    LABEL = "label"  # one column: the name of one class
    LABELS = "labels"  # one column: the names of all its labels, a space between them; may be empty
    RANKING = "ranking"  # one column: the names of the k most probable classes, best first, a space between them
    VALUES = "values"  # regression: a column for each target, or a row for each target in the long form


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionTemplate:
    """The sample submission's form, copied from it.

    Attributes:
        header: all column names in the sample's order.
        id_column: the position of the id in the header.
        ids: (n_rows,) as the sample writes them, in its order; n_rows is n_test but in the long form.
        n_ranked: how many classes a RANKING names at most.
        cells: (n_rows,) of (test image, class) for the long form, where a row stands for one class of an image; None
            where a row stands for an image.
    """

    header: tuple[str, ...]
    id_column: int
    kind: SubmissionKind
    ids: tuple[str, ...]
    n_ranked: int = 0
    cells: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Competition:
    """What was understood of a competition's folder.

    Attributes:
        classes: (n_classes,) in the column order of the sample submission; with two classes the second is the one
            whose probability is submitted, ORDINAL classes are in their order. The targets' names with REGRESSION.
        image_ids: (n,) as the labels write them.
        image_paths: (n,) below root; addresses in the sense of automl.files.addresses, which need not be files.
        targets: (n,) class indices, int64; (n, n_classes) of 0 and 1, int8, with MULTILABEL; (n, n_classes) values,
            float64, with REGRESSION.
        groups: (n,) group numbers, or None; images of one group never straddle folds.
        test_ids: (n_test,) ids of the test images, in the row order of the sample submission.
        test_paths: (n_test,) below root, as image_paths.
        metric_given: whether the user named the metric, or it is known for the competition; otherwise it was proposed
            from the submission's form.
        flips: whether a mirrored image keeps its label.
        scales: (n_classes,) of (low, high) with REGRESSION: the values that the probabilities 0 and 1 stand for.
        grouped_by: what the groups were made from, in a word; None without groups.
        unreadable_test: rows of the test images that are missing or broken; they get the prior.
        evidence: one line for each thing that was inferred, saying from what.
    """

    root: Path
    task: Task
    classes: tuple[str, ...]
    image_ids: tuple[str, ...]
    image_paths: tuple[Path, ...]
    targets: NDArray[Any]
    groups: NDArray[np.int64] | None
    test_ids: tuple[str, ...]
    test_paths: tuple[Path, ...]
    metric: Metric
    metric_given: bool
    submission: SubmissionTemplate
    flips: bool = True
    scales: tuple[tuple[float, float], ...] | None = None
    grouped_by: str | None = None
    unreadable_test: tuple[int, ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def shares(self) -> NDArray[np.float32]:
        """(n, n_classes) what a perfect model would put out as probs: one-hot, multi-hot, or places on the scales."""
        if self.task is Task.REGRESSION:
            assert self.scales is not None
            low, high = np.asarray(self.scales, dtype=np.float64).T
            places = (self.targets - low) / np.where(high > low, high - low, 1.0)
            return np.asarray(places, dtype=np.float32)
        if self.task is Task.MULTILABEL:
            return self.targets.astype(np.float32)
        one_hot: NDArray[np.float32] = np.eye(self.n_classes, dtype=np.float32)[self.targets]
        return one_hot

    @property
    def training_targets(self) -> NDArray[Any]:
        """What losses take: (n,) class indices where an image has one class, else (n, n_classes) shares."""
        return self.targets if self.task.one_class_each else self.shares

    @property
    def prior(self) -> NDArray[np.float64]:
        """(n_classes,) the mean share over the training images: what is said of an image that nobody can see."""
        if self.task.one_class_each:
            counts: NDArray[np.int64] = np.bincount(self.targets, minlength=self.n_classes)
            return counts / max(1, len(self.targets))
        mean: NDArray[np.float64] = self.shares.mean(axis=0, dtype=np.float64)
        return mean

    @property
    def strata(self) -> NDArray[np.int64]:
        """(n,) a number for each image, equal for images that sampling and splitting hold to be alike.

        The class; the rarest label with MULTILABEL, n_classes where there is none; tenths of the mean place on the
        scales with REGRESSION.
        """
        return _strata(self)

    @property
    def scorer(self) -> Scorer:
        """The metric, with decisions taken as this competition's frequencies demand."""
        always_labelled = self.task is not Task.MULTILABEL or bool((self.targets.sum(axis=1) > 0).all())
        facts = Facts(
            task=self.task, prior=tuple(self.prior.tolist()), always_labelled=always_labelled, scales=self.scales
        )
        return Scorer(self.metric, facts)

    @property
    def fingerprint(self) -> str:
        """Of ids, labels, file names, task, metric, groups' origin and flips; a study is bound to it."""
        names = [path.relative_to(self.root).as_posix() for path in (*self.image_paths, *self.test_paths)]
        labels = [hashlib.blake2b(np.ascontiguousarray(self.targets).tobytes(), digest_size=16).hexdigest()]
        rest = [self.task.value, self.metric.identity, str(self.metric.weights), str(self.flips), str(self.grouped_by)]
        missing = [str(row) for row in self.unreadable_test]
        return digest_of([*self.classes, *self.image_ids, *labels, *self.test_ids, *names, *rest, *missing])


def save_competition(competition: Competition, path: Path) -> None:
    """Write a competition as JSON, atomically."""
    template = competition.submission
    relative = [p.relative_to(competition.root).as_posix() for p in competition.image_paths]
    test_relative = [p.relative_to(competition.root).as_posix() for p in competition.test_paths]
    document = {
        "root": str(competition.root),
        "task": competition.task.value,
        "classes": list(competition.classes),
        "metric": competition.metric.name,
        "metric_weights": competition.metric.weights,
        "metric_given": competition.metric_given,
        "flips": competition.flips,
        "scales": competition.scales,
        "grouped_by": competition.grouped_by,
        "evidence": list(competition.evidence),
        "submission": {
            "header": list(template.header),
            "id_column": template.id_column,
            "kind": template.kind.value,
            "ids": list(template.ids),
            "n_ranked": template.n_ranked,
            "cells": template.cells,
        },
        "image_ids": list(competition.image_ids),
        "image_paths": relative,
        "targets": _written_targets(competition),
        "groups": None if competition.groups is None else competition.groups.tolist(),
        "test_ids": list(competition.test_ids),
        "test_paths": test_relative,
        "unreadable_test": list(competition.unreadable_test),
    }
    write_json(path, document)


def load_competition(path: Path) -> Competition:
    """The competition that `save_competition` wrote.

    Raises:
        StorageError: the file is missing or damaged.
    """
    document: Mapping[str, Any] = read_json(path)
    root, task = Path(document["root"]), Task(document["task"])
    groups, scales, weights = document["groups"], document["scales"], document["metric_weights"]
    return Competition(
        root=root,
        task=task,
        classes=tuple(document["classes"]),
        image_ids=tuple(document["image_ids"]),
        image_paths=tuple(root / name for name in document["image_paths"]),
        targets=_read_targets(document["targets"], task, n_classes=len(document["classes"])),
        groups=None if groups is None else np.asarray(groups, dtype=np.int64),
        test_ids=tuple(document["test_ids"]),
        test_paths=tuple(root / name for name in document["test_paths"]),
        metric=metric_named(document["metric"], weights=None if weights is None else tuple(weights)),
        metric_given=document["metric_given"],
        submission=_template(document["submission"]),
        flips=document["flips"],
        scales=None if scales is None else tuple((low, high) for low, high in scales),
        grouped_by=document["grouped_by"],
        unreadable_test=tuple(document["unreadable_test"]),
        evidence=tuple(document["evidence"]),
    )


def _written_targets(competition: Competition) -> list[Any]:
    """Class numbers or values; of many labels those that an image has, as most have few of thousands."""
    if competition.task is Task.MULTILABEL:
        return [np.flatnonzero(row).tolist() for row in competition.targets]
    written: list[Any] = competition.targets.tolist()
    return written


def _read_targets(written: Sequence[Any], task: Task, *, n_classes: int) -> NDArray[Any]:
    if task is not Task.MULTILABEL:
        return np.asarray(written, dtype=np.float64 if task is Task.REGRESSION else np.int64)
    targets = np.zeros((len(written), n_classes), dtype=np.int8)  # of thousands of labels, int64 would be gigabytes
    for row, labels in enumerate(written):
        targets[row, labels] = 1
    return targets


def _template(document: Mapping[str, Any]) -> SubmissionTemplate:
    cells = document["cells"]
    return SubmissionTemplate(
        header=tuple(document["header"]),
        id_column=document["id_column"],
        kind=SubmissionKind(document["kind"]),
        ids=tuple(document["ids"]),
        n_ranked=document["n_ranked"],
        cells=None if cells is None else tuple((image, column) for image, column in cells),
    )


def _strata(competition: Competition) -> NDArray[np.int64]:
    if competition.task.one_class_each:
        return competition.targets
    if competition.task is Task.MULTILABEL:
        counts = competition.targets.sum(axis=0)
        rarity = np.where(competition.targets > 0, counts, np.iinfo(np.int64).max)
        strata: NDArray[np.int64] = np.where(competition.targets.any(axis=1), rarity.argmin(axis=1), len(counts))
        return strata
    places = competition.shares.mean(axis=1, dtype=np.float64)
    tenths: NDArray[np.int64] = np.searchsorted(np.quantile(places, np.arange(0.1, 0.95, 0.1)), places)
    return tenths
