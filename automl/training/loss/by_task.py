"""Map the name of a configuration's loss to the objective that it has with each task.

A space is written for every task, so that a name means what it comes closest to: a class against the rest is the same
question whether an image has one class or several. Imports no torch, so that a search can check it before it begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from automl.errors import UsageError
from automl.tasks import Task

Objective = Literal[
    "cross_entropy",  # of a softmax over the classes
    "focal",
    "binary",  # of a sigmoid for each class, or of each scaled target
    "focal_binary",
    "one_vs_rest",  # as binary, of sigmoids of which one is right
    "focal_one_vs_rest",
    "quality_focal",
    "thresholds",  # of a sigmoid for each step from a class to the next
    "class_number",  # the distance on the scale of the class numbers
    "scaled_target",  # the distance on the scale of the values
]

_ONE_CLASS: dict[str, Objective] = {
    "cross_entropy": "cross_entropy",
    "focal": "focal",
    "bce": "one_vs_rest",
    "focal_bce": "focal_one_vs_rest",
    "ordinal": "thresholds",
    "smooth_l1": "class_number",
}
_ONE_CLASS_OF_EACH_HEAD = {name: _ONE_CLASS[name] for name in ("cross_entropy", "focal", "bce", "focal_bce")}
OBJECTIVES: dict[Task, dict[str, Objective]] = {
    Task.BINARY: _ONE_CLASS,
    Task.MULTICLASS: _ONE_CLASS,
    Task.ORDINAL: _ONE_CLASS,
    Task.MULTIOUTPUT: _ONE_CLASS_OF_EACH_HEAD,
    Task.MULTILABEL: {
        "cross_entropy": "binary",
        "focal": "focal_binary",
        "bce": "binary",
        "focal_bce": "focal_binary",
    },
    Task.REGRESSION: {
        "cross_entropy": "binary",
        "focal": "quality_focal",
        "bce": "binary",
        "focal_bce": "quality_focal",
        "smooth_l1": "scaled_target",
    },
}


def list_linear_losses(task: Task) -> dict[str, str]:
    """List the losses whose minimum a linear head can be solved for, by the name of the head.

    Of classes in an order, their numbers can be regressed too.
    """
    return {"linear": "cross_entropy", **({"ridge": "smooth_l1"} if task is Task.ORDINAL else {})}


def get_objective(loss_name: str, task: Task) -> Objective:
    """Return what the loss of that name trains in a competition of that task.

    Raises:
        UsageError: it has no meaning there.
    """
    require_losses_fit([loss_name], task)
    return OBJECTIVES[task][loss_name]


def require_losses_fit(loss_names: Iterable[str], task: Task) -> None:
    """Refuse a space that may ask for a loss that cannot be trained, saying which of its losses can.

    Raises:
        UsageError: one of the names has no meaning with that task.
    """
    names, known = list(loss_names), OBJECTIVES[task]
    unfit = [name for name in names if name not in known]
    if unfit:
        left = [name for name in names if name in known] or list(known)
        raise UsageError(
            f"loss = '{unfit[0]}' cannot be trained where the task is {task.value}",
            hint=f"leave it out with --choices loss={','.join(left)}, or name another task with --task",
        )
