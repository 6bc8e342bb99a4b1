"""Task: the kind of target that is predicted for an image.

See also: automl.readers.infer infers a competition's task.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl.target_kinds import TargetKind


class Task(enum.StrEnum):
    """The kind of target.

    Throughout the product a model predicts `probs` (n, n_classes), each in [0, 1]. Where an image has exactly one class
    the rows sum to 1; with MULTIOUTPUT it has one of each of several heads, whose block of a row sums to 1; with
    MULTILABEL each column stands for itself; with REGRESSION there is a column for each target, and it holds the target
    scaled to [0, 1].
    """

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    ORDINAL = "ordinal"  # classes in their order, the least first
    REGRESSION = "regression"
    MULTIOUTPUT = "multioutput"  # several label columns, each with classes of its own

    @property
    def target_kind(self) -> TargetKind:
        """What is computed from targets and probs of this task; with MULTIOUTPUT `with_heads` says for which heads."""
        from automl.multi_output import MULTI_OUTPUT  # numpy, which the command line does without
        from automl.target_kinds import MULTI_LABEL, SINGLE_CLASS, VALUES

        others = {Task.MULTILABEL: MULTI_LABEL, Task.REGRESSION: VALUES, Task.MULTIOUTPUT: MULTI_OUTPUT}
        return others.get(self, SINGLE_CLASS)


SINGLE_CLASS_TASKS = frozenset({Task.BINARY, Task.MULTICLASS, Task.ORDINAL})
ONE_CLASS_TASKS = SINGLE_CLASS_TASKS | {Task.MULTIOUTPUT}  # of all classes, or of those of each head
CLASS_TASKS = ONE_CLASS_TASKS | {Task.MULTILABEL}
BINARY_TASKS, MULTILABEL_TASKS, REGRESSION_TASKS = (
    frozenset({task}) for task in (Task.BINARY, Task.MULTILABEL, Task.REGRESSION)
)
