"""What the user says about a competition, so that it need not be inferred: flags, and automl.toml where they are typed.

Not responsible for: what is known of a competition by its name (automl.data.known), or what a folder tells itself
(automl.data.layouts). The user's word goes before both.
"""

from __future__ import annotations

from dataclasses import dataclass

from automl.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was said; None where it is to be inferred.

    Attributes:
        competition: Kaggle's name of it, such as "aptos2019-blindness-detection".
        metric: a name of automl.metrics, or "path.py:function".
        metric_weights: (class or column, weight) for a weighted metric.
        group: the column, of any table, whose equal values belong together; "none" for no groups at all.
        flips: whether a mirrored image keeps its label.
        labels: the file of the training labels, by its name in the folder.
        label: the column of the labels in it.
        sample: the sample submission, by its name in the folder.
        negative: the class that is 0 where the submission holds one probability and there are more than two classes.
        skip_missing: leave out training rows without an image; a test row without one gets the prior.
        skip_broken: the same for images that cannot be decoded.
    """

    competition: str | None = None
    metric: str | None = None
    metric_weights: tuple[tuple[str, float], ...] | None = None
    task: Task | None = None
    group: str | None = None
    flips: bool | None = None
    labels: str | None = None
    label: str | None = None
    sample: str | None = None
    negative: str | None = None
    skip_missing: bool = False
    skip_broken: bool = False
