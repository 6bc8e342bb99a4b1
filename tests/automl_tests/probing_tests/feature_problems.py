"""Features whose classes, labels or values can be read off them, for each task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.competition import Competition
from automl.metrics.registry import get_metric
from automl.multi_output import Head
from automl.probing.probe_heads import HeadProblem
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of

N_FEATURES = 6
METRICS = {
    Task.BINARY: "log_loss",
    Task.MULTICLASS: "accuracy",
    Task.ORDINAL: "qwk",
    Task.MULTILABEL: "roc_auc",
    Task.REGRESSION: "rmse",
    Task.MULTIOUTPUT: "balanced_accuracy",
}
HEADS = (Head("first", 3), Head("second", 2))
N_CLASSES = {
    Task.BINARY: 2,
    Task.MULTICLASS: 3,
    Task.ORDINAL: 4,
    Task.MULTILABEL: 3,
    Task.REGRESSION: 2,
    Task.MULTIOUTPUT: 5,
}


def draw_targets(task: Task, features: NDArray[np.float64]) -> NDArray[Any]:
    """Targets that the first features say, not quite without error."""
    match task:
        case Task.MULTILABEL:
            return (features[:, :3] > 0.3).astype(np.int8)
        case Task.REGRESSION:
            values: NDArray[np.float64] = np.tanh(features[:, :2]) + 1.0
            return values
        case Task.BINARY | Task.MULTICLASS:
            scores = features[:, : N_CLASSES[task]]
            classes: NDArray[np.int64] = scores.argmax(axis=1)
            return classes
        case Task.MULTIOUTPUT:
            return np.stack([features[:, :3].argmax(axis=1), 3 + (features[:, 3] > 0.2)], axis=1).astype(np.int64)
        case Task.ORDINAL:
            return np.digitize(features[:, 0], [-0.7, 0.0, 0.7]).astype(np.int64)


def problem_of(task: Task, *, n: int = 120, n_views: int = 1, metric: str | None = None, **changes: Any) -> HeadProblem:
    """A problem of n rows on five folds; the first two rows are only trained on, further views are noisier."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(n + 9, N_FEATURES))
    targets = draw_targets(task, features + 0.3 * rng.normal(size=features.shape))
    names = [f"{number}.png" for number in range(n)]
    heads = HEADS if task is Task.MULTIOUTPUT else ()
    competition: Competition = competition_of(
        Path("/nowhere"),
        names,
        [f"test{number}.png" for number in range(9)],
        task=task,
        classes=tuple("abcde"[: N_CLASSES[task]]),
        targets=targets[:n],
        metric=get_metric(metric or METRICS[task], head_sizes=tuple(head.n_classes for head in heads)),
        heads=heads,
        scales=((0.0, 2.0), (0.0, 2.0)) if task is Task.REGRESSION else None,
    )
    folds = np.arange(n, dtype=np.int64) % 5
    folds[:2] = -1
    shifted = 5.0 + 10.0 * features  # features are not standardised
    views = [shifted + 0.5 * number * rng.normal(size=shifted.shape) for number in range(n_views)]
    values: dict[str, Any] = {
        "competition": competition,
        "folds": folds,
        "train_views": tuple(view[:n].astype(np.float32) for view in views),
        "test_views": tuple(view[n:].astype(np.float32) for view in views),
        "seeds": (0, "probe", 0),
        "device": "cpu",
    }
    return HeadProblem(**{**values, **changes})
