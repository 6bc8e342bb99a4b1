"""Clean a competition after the survey of its images: drop broken images, group duplicates.

See also: automl.data.survey, automl.data.duplicates.
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
from automl.errors import DataError, join_names
from automl.files.evidence import format_warning
from automl.files.tables import format_count

Clusters = tuple[tuple[int, ...], ...]

N_NAMED = 10  # broken images in one line
LARGEST_GROUP = 0.2  # of the images: what fits into one of five folds


def clean_competition(
    competition: Competition, survey: Survey, duplicates: Duplicates | None = None, *, skip_broken: bool = False
) -> Competition:
    """Return the competition with copies in one group each and, with skip_broken, without what cannot be decoded.

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
        raise _build_broken_images_error(competition, survey)
    return _drop_broken_images(_group_duplicates(competition, duplicates or find_duplicates(survey)), survey)


def _build_broken_images_error(competition: Competition, survey: Survey) -> DataError:
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
        f"{' and '.join(counts)} cannot be decoded: {_join_problems([*train.values(), *test.values()])}",
        hint="replace them by whole ones, or pass --skip-broken to leave training images out and give test images "
        "the prior",
    )


def _join_problems(problems: Iterable[str]) -> str:
    lines = list(problems)
    more = [f"{len(lines) - N_NAMED} more"] if len(lines) > N_NAMED else []
    return "; ".join([*lines[:N_NAMED], *more])


def _group_duplicates(competition: Competition, duplicates: Duplicates) -> Competition:
    """Return the competition with every cluster in one group; unchanged where groups hold them all."""
    if not (duplicates.clusters or duplicates.shared or duplicates.n_chained):
        return competition
    n, before = len(competition.image_ids), competition.groups
    groups = np.arange(n) if before is None else before
    clusters = _select_fitting_clusters(duplicates.clusters, groups)
    merged = _merge_groups(groups, clusters)
    evidence = (*competition.evidence, *_describe_duplicates(competition, duplicates, clusters))
    if len(np.unique(merged)) == len(np.unique(groups)):
        return replace(competition, evidence=evidence)
    origins = [name for name in (competition.grouped_by, GROUPED_BY) if name is not None]
    return replace(competition, groups=merged, grouped_by=", ".join(origins), evidence=evidence)


def _select_fitting_clusters(clusters: Clusters, groups: NDArray[np.int64]) -> Clusters:
    """Return the clusters that make no group too large for a fold."""
    merged = _merge_groups(groups, clusters)
    sizes = np.bincount(merged)
    return tuple(
        cluster
        for cluster in clusters
        if sizes[merged[cluster[0]]] <= max(LARGEST_GROUP * len(groups), (groups == groups[cluster[0]]).sum())
    )


def _merge_groups(groups: NDArray[np.int64], clusters: Clusters) -> NDArray[np.int64]:
    """Return group numbers (n,): the connected components of groups and clusters."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    links = [np.stack([np.arange(len(groups)), first[group]], axis=1)]
    links += [np.array([(cluster[0], row) for row in cluster[1:]]) for cluster in clusters]
    rows, others = np.concatenate(links).T
    graph = sparse.coo_array((np.ones(len(rows), dtype=bool), (rows, others)), shape=(len(groups), len(groups)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _describe_duplicates(competition: Competition, duplicates: Duplicates, grouped: Clusters) -> list[str]:
    lines = []
    train, test = _list_names(competition, competition.image_paths), _list_names(competition, competition.test_paths)
    if duplicates.clusters:
        repeated = format_count(duplicates.n_copies, "repeated training image")
        lines.append(f"duplicates: {repeated} ({duplicates.n_exact} exact); copies stay in one fold")
    is_fixed = competition.is_in_fixed_fold
    if n_straddling := sum(len({bool(is_fixed[row]) for row in cluster}) > 1 for cluster in duplicates.clusters):
        clusters = format_count(n_straddling, "set")
        text = f"duplicates: {clusters} of copies in {competition.fixed_fold} and outside: its scores will be too good"
        lines.append(format_warning(text))
    if n_free := sum(len(cluster) for cluster in duplicates.clusters) - sum(len(cluster) for cluster in grouped):
        lines.append(
            f"duplicates: {n_free} of these would fill more than a fold with their groups, and are not held together"
        )
    if conflicting := duplicates.find_label_conflicts(competition.targets):
        names = join_names([train[row] for row in conflicting])
        lines.append(f"duplicates: {len(conflicting)} copies carry different labels: {names}")
    if duplicates.shared:
        pairs = join_names([f"{test[test_row]} is {train[row]}" for row, test_row in duplicates.shared])
        exact = f"({duplicates.n_exact_shared} exact)"
        lines.append(
            f"duplicates: {format_count(len(duplicates.shared), 'test image')} seen in training {exact}: {pairs}"
        )
    if duplicates.n_chained:
        chained = f"{duplicates.n_chained} training images look alike in long chains"
        lines.append(f"duplicates: {chained}; only exact copies among them stay in one fold")
    return lines


def _list_names(competition: Competition, paths: Sequence[Path]) -> list[str]:
    return [path.relative_to(competition.root).as_posix() for path in paths]


def _drop_broken_images(competition: Competition, survey: Survey) -> Competition:
    train, test = survey.train.problems, survey.test.problems
    if not train and not test:
        return competition
    kept_rows = np.array([row for row in range(len(competition.image_ids)) if row not in train], dtype=np.int64)
    _require_classes_left(competition, kept_rows)
    evidence = list(competition.evidence)
    if train:
        evidence.append(
            f"broken: {format_count(len(train), 'training image')} left out: {_join_problems(train.values())}"
        )
    if test:
        evidence.append(
            f"broken: {format_count(len(test), 'test image')} given the prior: {_join_problems(test.values())}"
        )
    return replace(
        competition,
        image_ids=tuple(competition.image_ids[row] for row in kept_rows),
        image_paths=tuple(competition.image_paths[row] for row in kept_rows),
        targets=competition.targets[kept_rows],
        groups=None if competition.groups is None else competition.groups[kept_rows],
        unreadable_test=tuple(sorted({*competition.unreadable_test, *test})),
        evidence=tuple(evidence),
    )


def _require_classes_left(competition: Competition, kept_rows: NDArray[np.int64]) -> None:
    lost = _find_present_classes(competition, competition.targets) & ~_find_present_classes(
        competition, competition.targets[kept_rows]
    )
    if names := [competition.classes[row] for row in np.flatnonzero(lost)]:
        raise DataError(
            f"all images of {join_names(names)} are broken", hint="replace them by whole ones, or remove their labels"
        )


def _find_present_classes(competition: Competition, targets: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (n_classes,) whether there is an image of the class; any at all with REGRESSION."""
    return competition.target_kind.count_images(targets, n_classes=competition.n_classes) > 0
