"""A competition after its images have been looked at: broken ones left out, duplicates held together.

Not responsible for: the look itself (automl.data.survey) or what counts as a copy (automl.data.duplicates).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from automl.data.competition import GROUPED_BY, Competition
from automl.data.duplicates import Duplicates, find_duplicates
from automl.data.survey import Survey
from automl.errors import DataError, listed
from automl.files.tables import counted
from automl.tasks import Task

N_NAMED = 10  # broken images in one line
LARGEST_GROUP = 0.2  # of the images: what fits into one of five folds


def refined(
    competition: Competition, survey: Survey, duplicates: Duplicates | None = None, *, skip_broken: bool = False
) -> Competition:
    """The competition with copies in one group each and, with skip_broken, without what cannot be decoded.

    Broken training images are left out; broken test images become unreadable_test. Without copies and broken images
    it is the competition itself.

    Args:
        survey: of this very competition.
        duplicates: of the survey, where they are found already.

    Raises:
        DataError: there are broken images, all counted and the first named, and skip_broken is not given; or leaving
            them out leaves a class without any image.
    """
    if (survey.train.problems or survey.test.problems) and not skip_broken:
        raise _broken(competition, survey)
    return _without_broken(_held_together(competition, duplicates or find_duplicates(survey)), survey)


def _broken(competition: Competition, survey: Survey) -> DataError:
    train, test = survey.train.problems, survey.test.problems
    counts = [
        f"{len(problems)} of {n} {split} images"
        for split, problems, n in (
            ("training", train, len(competition.image_ids)),
            ("test", test, len(competition.test_ids)),
        )
        if problems
    ]
    return DataError(
        f"{' and '.join(counts)} cannot be decoded: {_reasons([*train.values(), *test.values()])}",
        hint="replace them by whole ones, or pass --skip-broken to leave training images out and give test images "
        "the prior",
    )


def _reasons(problems: Iterable[str]) -> str:
    lines = list(problems)
    more = [f"{len(lines) - N_NAMED} more"] if len(lines) > N_NAMED else []
    return "; ".join([*lines[:N_NAMED], *more])


def _held_together(competition: Competition, duplicates: Duplicates) -> Competition:
    """The competition with every cluster in one group; unchanged where there is none, or where groups hold them all."""
    if not (duplicates.clusters or duplicates.shared or duplicates.n_chained):
        return competition
    n, before = len(competition.image_ids), competition.groups
    groups = np.arange(n) if before is None else before
    clusters = _that_fit(duplicates.clusters, groups)
    joined = _joined(groups, clusters)
    evidence = (*competition.evidence, *_evidence(competition, duplicates, clusters))
    if len(np.unique(joined)) == len(np.unique(groups)):
        return replace(competition, evidence=evidence)
    origins = [name for name in (competition.grouped_by, GROUPED_BY) if name is not None]
    return replace(competition, groups=joined, grouped_by=", ".join(origins), evidence=evidence)


Clusters = tuple[tuple[int, ...], ...]


def _that_fit(clusters: Clusters, groups: NDArray[np.int64]) -> Clusters:
    """The clusters that do not make a group which is too large for a fold."""
    joined = _joined(groups, clusters)
    sizes = np.bincount(joined)
    return tuple(
        cluster
        for cluster in clusters
        if sizes[joined[cluster[0]]] <= max(LARGEST_GROUP * len(groups), (groups == groups[cluster[0]]).sum())
    )


def _joined(groups: NDArray[np.int64], clusters: Clusters) -> NDArray[np.int64]:
    """(n,) numbers that are equal for images of one group or cluster, and for all that hang together so."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    links = [np.stack([np.arange(len(groups)), first[group]], axis=1)]
    links += [np.array([(cluster[0], row) for row in cluster[1:]]) for cluster in clusters]
    rows, others = np.concatenate(links).T
    graph = sparse.coo_array((np.ones(len(rows), dtype=bool), (rows, others)), shape=(len(groups), len(groups)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _evidence(competition: Competition, duplicates: Duplicates, held: Clusters) -> list[str]:
    lines = []
    train, test = _names(competition, competition.image_paths), _names(competition, competition.test_paths)
    if duplicates.clusters:
        repeated = counted(duplicates.n_copies, "repeated training image")
        lines.append(f"duplicates: {repeated} ({duplicates.n_exact} exact); copies stay in one fold")
    if free := sum(len(cluster) for cluster in duplicates.clusters) - sum(len(cluster) for cluster in held):
        lines.append(
            f"duplicates: {free} of these would fill more than a fold with their groups, and are not held together"
        )
    if conflicting := duplicates.conflicting(competition.targets):
        labelled = listed([train[row] for row in conflicting])
        lines.append(f"duplicates: {len(conflicting)} copies carry different labels: {labelled}")
    if duplicates.shared:
        pairs = listed([f"{test[test_row]} is {train[row]}" for row, test_row in duplicates.shared])
        exact = f"({duplicates.n_exact_shared} exact)"
        lines.append(f"duplicates: {counted(len(duplicates.shared), 'test image')} seen in training {exact}: {pairs}")
    if duplicates.n_chained:
        chained = f"{duplicates.n_chained} training images look alike in long chains"
        lines.append(f"duplicates: {chained}; only exact copies among them stay in one fold")
    return lines


def _names(competition: Competition, paths: Sequence[Path]) -> list[str]:
    return [path.relative_to(competition.root).as_posix() for path in paths]


def _without_broken(competition: Competition, survey: Survey) -> Competition:
    train, test = survey.train.problems, survey.test.problems
    if not train and not test:
        return competition
    kept = np.array([row for row in range(len(competition.image_ids)) if row not in train], dtype=np.int64)
    _require_classes_left(competition, kept)
    evidence = list(competition.evidence)
    if train:
        evidence.append(f"broken: {counted(len(train), 'training image')} left out: {_reasons(train.values())}")
    if test:
        evidence.append(f"broken: {counted(len(test), 'test image')} given the prior: {_reasons(test.values())}")
    return replace(
        competition,
        image_ids=tuple(competition.image_ids[row] for row in kept),
        image_paths=tuple(competition.image_paths[row] for row in kept),
        targets=competition.targets[kept],
        groups=None if competition.groups is None else competition.groups[kept],
        unreadable_test=tuple(sorted({*competition.unreadable_test, *test})),
        evidence=tuple(evidence),
    )


def _require_classes_left(competition: Competition, kept: NDArray[np.int64]) -> None:
    lost = _present(competition, competition.targets) & ~_present(competition, competition.targets[kept])
    if names := [competition.classes[row] for row in np.flatnonzero(lost)]:
        raise DataError(
            f"all images of {listed(names)} are broken", hint="replace them by whole ones, or remove their labels"
        )


def _present(competition: Competition, targets: NDArray[Any]) -> NDArray[np.bool_]:
    """(n_classes,) whether there is an image of the class; any at all with REGRESSION."""
    if competition.task.one_class_each:
        return np.bincount(targets, minlength=competition.n_classes) > 0
    if competition.task is Task.MULTILABEL:
        return np.asarray(targets.any(axis=0), dtype=np.bool_)
    return np.full(competition.n_classes, len(targets) > 0)
