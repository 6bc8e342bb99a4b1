"""What is different about a competition from when a study was begun on it, in words.

Not responsible for: refusing to go on (automl.workflow, automl.study).
"""

from __future__ import annotations

import numpy as np

from automl.data.competition import Competition


def change_since(begun: Competition, now: Competition) -> str | None:
    """The first difference that a study's trials would notice, as "metric: rmse, not mae"; None where there is none."""
    settings = (
        ("task", begun.task.value, now.task.value),
        ("metric", begun.metric.name, now.metric.name),
        ("set of metric weights", _weights(begun), _weights(now)),
        ("origin of groups", begun.grouped_by or "none", now.grouped_by or "none"),
        ("rule of flips", _flips(begun), _flips(now)),
    )
    for what, before, after in settings:
        if before != after:
            return f"{what}: {before}, not {after}"
    change = _change_of_content(begun, now)
    return None if change is None else f"competition folder: {change}"


def _change_of_content(begun: Competition, now: Competition) -> str | None:
    counts = (
        ("classes", begun.n_classes, now.n_classes),
        ("training images", len(begun.image_ids), len(now.image_ids)),
        ("test images", len(begun.test_ids), len(now.test_ids)),
        ("test images that cannot be read", len(begun.unreadable_test), len(now.unreadable_test)),
    )
    for what, before, after in counts:
        if before != after:
            return f"{before} {what}, not {after}"
    if begun.image_ids != now.image_ids or begun.test_ids != now.test_ids:
        return "its images have other ids"
    if begun.classes != now.classes or not np.array_equal(begun.targets, now.targets):
        return "its images have other labels"
    return None if begun.fingerprint == now.fingerprint else "its images have other names"


def _weights(competition: Competition) -> str:
    weights = competition.metric.weights
    return "none" if weights is None else ", ".join(f"{weight:g}" for weight in weights)


def _flips(competition: Competition) -> str:
    return "on" if competition.flips else "off"
