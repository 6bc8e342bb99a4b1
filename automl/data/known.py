"""Competitions whose metric, groups and flips are known by name, because no file in their folder tells them.

Not responsible for: what a folder tells itself (automl.data.layouts).
"""

from __future__ import annotations

from dataclasses import dataclass

from automl.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a competition; None or empty where its folder tells it.

    Attributes:
        slug: Kaggle's name of it.
        metric: a name of automl.metrics.
        metric_weights: (class or column, weight) for a weighted metric.
        task: where labels alone would be taken for another one.
        group: the column whose equal values belong together.
        flips: whether a mirrored image keeps its label.
        labels, label: file and column of the labels, where several would do.
        negative: the class that is 0 in the one probability that is submitted, where there are more than two.
        remarks: what to know before trusting a score: leaks, noise, hidden tests; a sentence each.
    """

    slug: str
    metric: str
    metric_weights: tuple[tuple[str, float], ...] | None = None
    task: Task | None = None
    group: str | None = None
    flips: bool = True
    labels: str | None = None
    label: str | None = None
    negative: str | None = None
    remarks: tuple[str, ...] = ()


KNOWN: dict[str, Known] = {}
