"""Tasks: each has its kind of target, and belongs to the sets that commands and metrics are declared for."""

from __future__ import annotations

from automl.multi_output import MULTI_OUTPUT
from automl.target_kinds import MULTI_LABEL, SINGLE_CLASS, VALUES
from automl.tasks import BINARY_TASKS, CLASS_TASKS, MULTILABEL_TASKS, REGRESSION_TASKS, SINGLE_CLASS_TASKS, Task


def test_each_task_has_its_kind_of_target() -> None:
    assert {task: task.target_kind for task in Task} == {
        Task.BINARY: SINGLE_CLASS,
        Task.MULTICLASS: SINGLE_CLASS,
        Task.ORDINAL: SINGLE_CLASS,
        Task.MULTILABEL: MULTI_LABEL,
        Task.REGRESSION: VALUES,
        Task.MULTIOUTPUT: MULTI_OUTPUT,
    }


def test_the_sets_of_tasks_agree_with_the_kinds_of_target() -> None:
    assert frozenset(Task) == CLASS_TASKS | REGRESSION_TASKS
    assert {task for task in Task if task.target_kind.is_single_class} == SINGLE_CLASS_TASKS
    assert {task for task in Task if task.target_kind.is_multi_label} == MULTILABEL_TASKS
    assert {task for task in Task if task.target_kind.has_classes} == CLASS_TASKS
    assert BINARY_TASKS <= SINGLE_CLASS_TASKS
