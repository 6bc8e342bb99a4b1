"""Early stopping: the best epoch by validation scores, when patience ends, and how many plateaus there were.

Pure functions of the history, so that a resumed trial needs no state of theirs. Scores are compared only within a
stage, which is a run of epochs at one image size: a new size makes the task another one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from automl.training.checkpoints import EpochRecord

# One epoch without a better score may be chance; two in a row are taken for a plateau. torch's default of ten epochs
# would never come to an end in a trial of ten.
PLATEAU_PATIENCE = 1


def select_epoch(history: Sequence[EpochRecord], choice: str, *, final_size: int, greater_is_better: bool) -> int:
    """Return the epoch whose weights predict, were the history complete; `choice` is one of config.EPOCH_CHOICES.

    It is the last one as long as none has been trained at the final size.
    """
    if choice == "best" and _select_final_stage(history, final_size):
        return find_best_epoch(history, final_size=final_size, greater_is_better=greater_is_better)
    return history[-1].epoch


def find_best_epoch(history: Sequence[EpochRecord], *, final_size: int, greater_is_better: bool) -> int:
    """Return the epoch with the best score in the last stage, the first of equals.

    Raises:
        ValueError: no epoch has been trained at the final size.
    """
    stage = _select_final_stage(history, final_size)
    if not stage:
        raise ValueError(f"none of {len(history)} epochs was trained at {final_size} pixels")
    sign = 1 if greater_is_better else -1
    return max(stage, key=lambda record: sign * record.score).epoch


def is_out_of_patience(
    history: Sequence[EpochRecord], *, patience: int | None, final_size: int, greater_is_better: bool
) -> bool:
    """Whether `patience` epochs have passed since the best one of the last stage; never before that stage.

    Source: Prechelt 1998, Early Stopping - But When?; in this form Goodfellow et al. 2016, Deep Learning, section 7.8.
    """
    if patience is None or not _select_final_stage(history, final_size):
        return False
    best = find_best_epoch(history, final_size=final_size, greater_is_better=greater_is_better)
    return history[-1].epoch - best >= patience


def count_plateaus(history: Sequence[EpochRecord], *, greater_is_better: bool, patience: int = PLATEAU_PATIENCE) -> int:
    """Count how many plateaus all stages together have come to.

    A plateau is more than `patience` epochs in a row, none of which is better than all before them in their stage. The
    count outlasts its stage: a learning rate that has fallen stays down at the next image size.
    Source: torch.optim.lr_scheduler.ReduceLROnPlateau with threshold 0.
    """
    sign = 1 if greater_is_better else -1
    stages = itertools.groupby(history, key=lambda record: record.image_size)
    return sum(_count_stage_plateaus([sign * record.score for record in stage], patience) for _, stage in stages)


def _select_final_stage(history: Sequence[EpochRecord], final_size: int) -> list[EpochRecord]:
    """Return the epochs at the end of the history that have the final size, in their order."""
    backwards = itertools.takewhile(lambda record: record.image_size == final_size, reversed(history))
    return list(backwards)[::-1]


def _count_stage_plateaus(scores: Sequence[float], patience: int) -> int:
    """Count those of one stage, whose greater scores are better."""
    best, n_worse, n_plateaus = float("-inf"), 0, 0
    for score in scores:
        n_worse = 0 if score > best else n_worse + 1
        best = max(best, score)
        if n_worse > patience:
            n_plateaus, n_worse = n_plateaus + 1, 0
    return n_plateaus
