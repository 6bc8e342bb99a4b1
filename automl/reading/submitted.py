"""What is submitted of an image that has one class, and what is known of it beside the sample submission.

Not responsible for: finding it out (automl.reading.submission_finding).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from automl.data.competition import SubmissionKind
from automl.errors import listed
from automl.metrics import Metric
from automl.reading.templates import Sample

SAME_HINT = "check that labels and sample submission are of the same competition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What the sample submission means, given the training labels.

    Attributes:
        classes: (n_classes,) in the order of the submission's columns, or the one asked for the last of two.
        renamed: label -> class, where the submission knows a label by another name.
        evidence: lines that say what is submitted, and from what it was inferred.
    """

    kind: SubmissionKind
    classes: tuple[str, ...]
    evidence: tuple[str, ...]
    n_ranked: int = 0
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is known beside the sample.

    Attributes:
        metric: None where neither the user nor the competition's name tells it.
        metric_asked: whether the user told it.
        negative: the class that is 0 where one probability is submitted; negative_asked as above.
        task_asked: whether the user said what is predicted; then values of the sample that are no labels stand for
            nothing.
    """

    metric: Metric | None = None
    metric_asked: bool = False
    negative: str | None = None
    negative_asked: bool = False
    task_asked: bool = False

    @property
    def needs_probability(self) -> bool:
        """Not where the metric is the user's own: what it is given here is not what the competition is given."""
        own = self.metric is not None and ":" in self.metric.name
        return self.metric is not None and self.metric.needs in ("probabilities", "order") and not own

    @property
    def needs_label(self) -> bool:
        return self.metric is not None and self.metric.needs in ("label", "labels")

    @property
    def needs_ranking(self) -> bool:
        return self.metric is not None and self.metric.needs == "ranking"

    @property
    def metric_name(self) -> str:
        return self.metric.name if self.metric else "none"


def natural_order(labels: Collection[str]) -> tuple[str, ...]:
    """Labels by number where all are integers, by their text otherwise."""
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def shown_values(sample: Sample) -> str:
    """The sample's values, in words for a message."""
    values = distinct_values(sample)
    if not values:
        return f"{sample.name} (blank in every row)"
    every = f"{listed(values)} in every row" if len(values) == 1 else listed(values)
    return f"{sample.name} ({every})"


def distinct_values(sample: Sample) -> list[str]:
    """What the sample holds in its first target, each once and blanks left out."""
    return sorted(set(sample.values) - {""})
