"""A competition as the rest of the product sees it: paths, labels and the submission's form, never pixels.

Not responsible for: finding out what a folder means (automl.data.layouts) or decoding images (automl.data.cache).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import digest_of, read_json, write_json
from automl.metrics import Metric, metric_named


class Task(enum.StrEnum):
    """What is predicted for an image."""

    BINARY = "binary"
    MULTICLASS = "multiclass"


class SubmissionKind(enum.StrEnum):
    """What the submission holds for a test image."""

    PROBABILITY = "probability"  # one column: the probability of the second class
    PROBABILITIES = "probabilities"  # a column for each class
    LABEL = "label"  # one column: the name of the most probable class


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionTemplate:
    """The sample submission's form, copied from it.

    Attributes:
        header: all column names in the sample's order.
        id_column: the position of the id in the header.
        ids: (n_test,) as the sample writes them, in its order.
    """

    header: tuple[str, ...]
    id_column: int
    kind: SubmissionKind
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Competition:
    """What was understood of a competition's folder.

    Attributes:
        classes: (n_classes,) in the column order of the sample submission; with two classes the second is the one
            whose probability is submitted.
        image_ids: (n,) as the labels write them.
        image_paths: (n,) below root.
        targets: (n,) class indices, int64.
        groups: (n,) group numbers, or None; images of one group never straddle folds.
        test_ids: (n_test,) in the row order of the sample submission.
        test_paths: (n_test,) below root.
        metric_given: whether the user named the metric; otherwise it was proposed from the submission's form.
        flips: whether a mirrored image keeps its label.
        evidence: one line for each thing that was inferred, saying from what.
    """

    root: Path
    task: Task
    classes: tuple[str, ...]
    image_ids: tuple[str, ...]
    image_paths: tuple[Path, ...]
    targets: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    test_ids: tuple[str, ...]
    test_paths: tuple[Path, ...]
    metric: Metric
    metric_given: bool
    submission: SubmissionTemplate
    flips: bool = True
    evidence: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def fingerprint(self) -> str:
        """Of ids, labels, file names, metric and flips; a study is bound to it."""
        names = [path.relative_to(self.root).as_posix() for path in (*self.image_paths, *self.test_paths)]
        labels = [str(target) for target in self.targets]
        rest = [self.metric.name, str(self.flips)]
        return digest_of([*self.classes, *self.image_ids, *labels, *self.test_ids, *names, *rest])


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
        "metric_given": competition.metric_given,
        "flips": competition.flips,
        "evidence": list(competition.evidence),
        "submission": {
            "header": list(template.header),
            "id_column": template.id_column,
            "kind": template.kind.value,
            "ids": list(template.ids),
        },
        "image_ids": list(competition.image_ids),
        "image_paths": relative,
        "targets": competition.targets.tolist(),
        "groups": None if competition.groups is None else competition.groups.tolist(),
        "test_ids": list(competition.test_ids),
        "test_paths": test_relative,
    }
    write_json(path, document)


def load_competition(path: Path) -> Competition:
    """The competition that `save_competition` wrote.

    Raises:
        StorageError: the file is missing or damaged.
    """
    document: Mapping[str, Any] = read_json(path)
    root = Path(document["root"])
    template = document["submission"]
    groups = document["groups"]
    return Competition(
        root=root,
        task=Task(document["task"]),
        classes=tuple(document["classes"]),
        image_ids=tuple(document["image_ids"]),
        image_paths=tuple(root / name for name in document["image_paths"]),
        targets=np.asarray(document["targets"], dtype=np.int64),
        groups=None if groups is None else np.asarray(groups, dtype=np.int64),
        test_ids=tuple(document["test_ids"]),
        test_paths=tuple(root / name for name in document["test_paths"]),
        metric=metric_named(document["metric"]),
        metric_given=document["metric_given"],
        submission=SubmissionTemplate(
            header=tuple(template["header"]),
            id_column=template["id_column"],
            kind=SubmissionKind(template["kind"]),
            ids=tuple(template["ids"]),
        ),
        flips=document["flips"],
        evidence=tuple(document["evidence"]),
    )
