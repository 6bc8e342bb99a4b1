"""Competition: image paths, targets, metric and the submission's template, never pixels.

See also: automl.readers.read infers one from a folder, automl.data.cache decodes its images.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import compute_digest, read_json, write_json
from automl.decisions.choose import Scorer
from automl.decisions.rules import DecisionContext
from automl.metrics.metric import Metric
from automl.metrics.registry import get_metric
from automl.multi_output import Head, HeadSizes
from automl.target_kinds import TargetKind
from automl.tasks import Task

BLANK = " "
ELEMENT = re.compile(r"""'[^']*'|"[^"]*"|[^,'"\s][^,'"]*""")  # of a list in brackets
GROUPED_BY = "duplicates"  # what `grouped_by` says of groups that hold copies together


class SubmissionKind(enum.StrEnum):
    """What the submission holds for a test image; in the long form, for an image and one of its classes or heads."""

    PROBABILITY = "probability"  # one column: the probability of the second of two classes
    PROBABILITIES = "probabilities"  # a column for each class, or a row for each class in the long form
    LABEL = "label"  # one column: the name of one class; a column, or a row, for each head with MULTIOUTPUT
    LABELS = "labels"  # one column: the names of all its labels, a space between them; may be empty
    RANKING = "ranking"  # one column: the names of the k most probable classes, best first, a space between them
    VALUES = "values"  # regression: a column for each target, or a row for each target in the long form


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionTemplate:
    """The submission's form: copied from the sample submission, or made where the folder has none.

    A unit is what a row, or a row for each class, stands for: nearly always an image, else several images together,
    as of both eyes of a patient; then their predictions are averaged.

    Attributes:
        header: all column names in the sample's order.
        id_column: the position of the id in the header.
        ids: (n_rows,) as the sample writes them, in its order; n_rows is the number of units but in the long form.
            None at all where there is no test set.
        n_ranked: how many classes a RANKING names at most.
        cells: (n_rows,) of (unit, class), or (unit, head), for the long form, where a row stands for one class or
            head of a unit; None where a row stands for a unit.
        separator: what stands between the labels of LABELS and of a RANKING; in brackets where the list stands in
            these, as "[', ']" of ['a', 'b'].
        images_of_row: (n_units,) of the test images of each unit, at least one; None where each unit is the test image
            of its number.
        has_sample: whether the form is that of a sample submission. Otherwise the rows are those of a table of the
            test, or the images of the test folder by their names.
    """

    header: tuple[str, ...]
    id_column: int
    submission_kind: SubmissionKind
    ids: tuple[str, ...]
    n_ranked: int = 0
    cells: tuple[tuple[int, int], ...] | None = None
    images_of_row: tuple[tuple[int, ...], ...] | None = None
    has_sample: bool = True
    separator: str = BLANK

    def join_labels(self, labels: Iterable[str]) -> str:
        """Join the labels of one image as the sample does."""
        return join_list(labels, self.separator)

    def split_labels(self, text: str) -> list[str]:
        """Split a cell into the labels that it lists."""
        return split_list(text, self.separator)


def join_list(labels: Iterable[str], separator: str) -> str:
    """Join labels to a list.

    Args:
        separator: as `SubmissionTemplate.separator`.
    """
    if not separator.startswith("["):
        return separator.join(labels)
    mark, listed = separator[1:2].strip(", "), separator[1:-1].join(labels)
    return f"[{mark}{listed}{mark}]" if listed else "[]"


def split_list(text: str, separator: str) -> list[str]:
    """Split a list of labels, each without surrounding blanks; nothing of an empty one.

    Args:
        separator: as `SubmissionTemplate.separator`.
    """
    if separator.startswith("["):
        return [element.strip("'\"").strip() for element in ELEMENT.findall(text.strip().strip("[]"))]
    return [part.strip() for part in text.split(separator.strip() or None) if part.strip()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Competition:
    """A competition as inferred from its folder.

    Attributes:
        classes: (n_classes,) in the column order of the sample submission; with two classes the second is the one
            whose probability is submitted, ORDINAL classes are in their order. The targets' names with REGRESSION.
        image_ids: (n,) as the labels write them.
        image_paths: (n,) below root; addresses in the sense of automl.files.addresses, which need not be files.
        targets: (n,) class indices, int64; (n, n_heads) of them with MULTIOUTPUT; (n, n_classes) of 0 and 1, int8,
            with MULTILABEL; (n, n_classes) values, float64, with REGRESSION.
        groups: (n,) group numbers, or None; images of one group never straddle folds.
        test_ids: (n_test,) ids of the test images, in the row order of the sample submission; none where there is no
            test set.
        test_paths: (n_test,) below root, as image_paths.
        metric_given: whether the user named the metric, or it is known for the competition; otherwise it was proposed
            from the submission's form.
        flips: whether a mirrored image keeps its label.
        scales: (n_classes,) of (low, high) with REGRESSION: the values that the probabilities 0 and 1 stand for.
        grouped_by: what the groups were made from, in a word; None without groups.
        unreadable_test: rows of the test images that are missing or broken; they get the prior.
        evidence: one line for each thing that was inferred, saying from what.
        heads: with MULTIOUTPUT, in the order of the submission's columns, or in that in which the rows of the long form
            name them; `classes` are those of the first head, then those of the second, and so on.
        fixed_fold: the folder below root whose training images are the fold that trials validate on; None for none.
        labels_from, images_from: where the labels and the training images were read, in words; not kept on the disk.
        left_out: images of the folder that are used neither for training nor for the test; not kept on the disk.
        written_labels: by id, where an image has one label: as it was written, before the submission's names are given
            to the classes; not kept on the disk.
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
    heads: tuple[Head, ...] = ()
    fixed_fold: str | None = None
    labels_from: str = ""
    images_from: str = ""
    left_out: tuple[str, ...] = ()
    written_labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def is_in_fixed_fold(self) -> NDArray[np.bool_]:
        """(n,) whether each training image lies in the folder of the fixed fold."""
        folder = None if self.fixed_fold is None else self.root / self.fixed_fold
        return np.array([folder is not None and path.is_relative_to(folder) for path in self.image_paths], dtype=bool)

    @property
    def has_flags(self) -> bool:
        """Whether labels are submitted as 0 or 1 for each class, in columns or, in the long form, in rows."""
        template = self.submission
        is_wide = template.cells is not None or len(template.header) > 2
        return is_wide and not self.heads and template.submission_kind in (SubmissionKind.LABEL, SubmissionKind.LABELS)

    @property
    def head_sizes(self) -> HeadSizes:
        """The number of classes of each head; none but with MULTIOUTPUT."""
        return tuple(head.n_classes for head in self.heads)

    @property
    def target_kind(self) -> TargetKind:
        """What is computed from the targets and probs."""
        return self.task.target_kind.with_heads(self.head_sizes)

    @property
    def label_texts(self) -> tuple[str, ...]:
        """(n_classes,) as tables write the classes; with MULTIOUTPUT labels of different heads may be alike."""
        owners = [head for head in self.heads for _ in range(head.n_classes)]
        return tuple(map(Head.to_label, owners, self.classes)) if owners else self.classes

    @property
    def has_test_images(self) -> bool:
        """Whether there is anything to submit; a folder may hold images to learn from alone."""
        return bool(self.test_ids)

    @property
    def soft_targets(self) -> NDArray[np.float32]:
        """Soft targets (n, n_classes), the probs of a perfect model: one-hot, multi-hot, or scaled targets."""
        return self.target_kind.compute_soft_targets(self.targets, n_classes=self.n_classes, scales=self.scales)

    @property
    def training_targets(self) -> NDArray[Any]:
        """Targets for losses: (n,) class indices where an image has one class, else soft targets (n, n_classes)."""
        return self.targets if self.target_kind.is_single_class else self.soft_targets

    @property
    def prior(self) -> NDArray[np.float64]:
        """Prior (n_classes,): mean soft target of the training images, predicted for unreadable images."""
        return self.target_kind.compute_prior(self.targets, n_classes=self.n_classes, scales=self.scales)

    @property
    def strata(self) -> NDArray[np.int64]:
        """Stratum (n,) of each image, by which sampling and splitting stratify.

        The class; the rarest of an image's classes with MULTIOUTPUT; the rarest label with MULTILABEL, n_classes where
        there is none; deciles of the mean scaled target with REGRESSION.
        """
        return self.target_kind.compute_strata(self.targets, scales=self.scales)

    @property
    def scorer(self) -> Scorer:
        """The metric with decision rules matched to this competition's prior."""
        context = DecisionContext(
            task=self.task,
            prior=tuple(self.prior.tolist()),
            always_labelled=self.target_kind.is_always_labelled(self.targets),
            scales=self.scales,
            head_sizes=self.head_sizes,
        )
        return Scorer(self.metric, context)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of ids, labels, file names, task, metric, groups' origin and flips; a study is bound to it."""
        names = [path.relative_to(self.root).as_posix() for path in (*self.image_paths, *self.test_paths)]
        labels = [hashlib.blake2b(np.ascontiguousarray(self.targets).tobytes(), digest_size=16).hexdigest()]
        rest = [self.task.value, self.metric.identity, str(self.metric.weights), str(self.flips), str(self.grouped_by)]
        missing = [str(row) for row in self.unreadable_test]
        fixed = [] if self.fixed_fold is None else [f"fixed fold {self.fixed_fold}"]
        return compute_digest(
            [*self.classes, *self.image_ids, *labels, *self.test_ids, *names, *rest, *missing, *fixed]
        )


def save_competition(competition: Competition, path: Path) -> None:
    """Write a competition as JSON, atomically."""
    template = competition.submission
    relative = [p.relative_to(competition.root).as_posix() for p in competition.image_paths]
    test_relative = [p.relative_to(competition.root).as_posix() for p in competition.test_paths]
    heads = {"heads": [[head.name, head.n_classes] for head in competition.heads]} if competition.heads else {}
    document = {
        "root": str(competition.root),
        "task": competition.task.value,
        "classes": list(competition.classes),
        **heads,
        **({} if competition.fixed_fold is None else {"fixed_fold": competition.fixed_fold}),
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
            "kind": template.submission_kind.value,
            "ids": list(template.ids),
            "n_ranked": template.n_ranked,
            "cells": template.cells,
            "images_of_row": template.images_of_row,
            "has_sample": template.has_sample,
            "separator": template.separator,
        },
        "image_ids": list(competition.image_ids),
        "image_paths": relative,
        "targets": _serialize_targets(competition),
        "groups": None if competition.groups is None else competition.groups.tolist(),
        "test_ids": list(competition.test_ids),
        "test_paths": test_relative,
        "unreadable_test": list(competition.unreadable_test),
    }
    write_json(path, document)


def load_competition(path: Path) -> Competition:
    """Return the competition that `save_competition` wrote.

    Raises:
        StorageError: the file is missing or damaged.
    """
    document: Mapping[str, Any] = read_json(path)
    root, task = Path(document["root"]), Task(document["task"])
    groups, scales, weights = document["groups"], document["scales"], document["metric_weights"]
    heads = tuple(Head(name, n_classes) for name, n_classes in document.get("heads", ()))
    return Competition(
        root=root,
        task=task,
        classes=tuple(document["classes"]),
        image_ids=tuple(document["image_ids"]),
        image_paths=tuple(root / name for name in document["image_paths"]),
        targets=_parse_targets(document["targets"], task, n_classes=len(document["classes"])),
        groups=None if groups is None else np.asarray(groups, dtype=np.int64),
        test_ids=tuple(document["test_ids"]),
        test_paths=tuple(root / name for name in document["test_paths"]),
        metric=get_metric(
            document["metric"],
            weights=None if weights is None else tuple(weights),
            head_sizes=tuple(head.n_classes for head in heads),
        ),
        metric_given=document["metric_given"],
        submission=_parse_template(document["submission"]),
        flips=document["flips"],
        scales=None if scales is None else tuple((low, high) for low, high in scales),
        grouped_by=document["grouped_by"],
        unreadable_test=tuple(document["unreadable_test"]),
        heads=heads,
        fixed_fold=document.get("fixed_fold"),
        evidence=tuple(document["evidence"]),
    )


def _serialize_targets(competition: Competition) -> list[Any]:
    """Return class numbers or values; of multi-label targets the indices of each image's labels, as most have few."""
    if competition.task is Task.MULTILABEL:
        return [np.flatnonzero(row).tolist() for row in competition.targets]
    serialized: list[Any] = competition.targets.tolist()
    return serialized


def _parse_targets(serialized: Sequence[Any], task: Task, *, n_classes: int) -> NDArray[Any]:
    if task is not Task.MULTILABEL:
        return np.asarray(serialized, dtype=np.float64 if task is Task.REGRESSION else np.int64)
    targets = np.zeros((len(serialized), n_classes), dtype=np.int8)  # of thousands of labels, int64 would be gigabytes
    for row, labels in enumerate(serialized):
        targets[row, labels] = 1
    return targets


def _parse_template(document: Mapping[str, Any]) -> SubmissionTemplate:
    cells, images_of_row = document["cells"], document.get("images_of_row")
    return SubmissionTemplate(
        header=tuple(document["header"]),
        id_column=document["id_column"],
        submission_kind=SubmissionKind(document["kind"]),
        ids=tuple(document["ids"]),
        n_ranked=document["n_ranked"],
        cells=None if cells is None else tuple((unit, column) for unit, column in cells),
        images_of_row=None if images_of_row is None else tuple(map(tuple, images_of_row)),
        has_sample=document.get("has_sample", True),
        separator=document.get("separator", BLANK),
    )
