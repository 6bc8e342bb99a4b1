"""What is predicted for an image.

Not responsible for: finding out which of them a competition is (automl.readers.infer).
"""

from __future__ import annotations

import enum


class Task(enum.StrEnum):
    """The kind of target.

    Throughout the product a model predicts `probs` (n, n_classes), each in [0, 1]. Where an image has exactly one class
    the rows sum to 1; with MULTILABEL each column stands for itself; with REGRESSION there is a column for each target,
    and it holds the place of the value on the target's scale.
    """

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    ORDINAL = "ordinal"  # classes in their order, the least first
    REGRESSION = "regression"

    @property
    def one_class_each(self) -> bool:
        """Whether each image has exactly one class."""
        return self in (Task.BINARY, Task.MULTICLASS, Task.ORDINAL)
