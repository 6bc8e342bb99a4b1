"""Load a user's metric: a score function in a Python file, named "path.py:function".

See also: automl.metrics.registry, which reads the function's attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import compute_digest
from automl.errors import UsageError
from automl.own_code import load_module

EXAMPLE = "def score(y_true, y_pred): return float(...)"


@dataclass(frozen=True, slots=True)
class UserScore:
    """A user's score function; its exceptions become UsageErrors that name it.

    Attributes:
        address: absolute path and function, found from any working folder.
        digest: of the file's content.
    """

    address: str
    function: Callable[[NDArray[Any], NDArray[Any]], Any]
    digest: str

    def __call__(self, targets: NDArray[Any], predictions: NDArray[Any]) -> float:
        """Return the function's score as a float.

        Raises:
            UsageError: it fails, or returns what is no finite number.
        """
        try:
            score = self.function(targets, predictions)
        except Exception as error:
            raise UsageError(
                f"{self.address} fails: {type(error).__name__}: {error}",
                hint=f"fix the function; it is given arrays {targets.shape} and {predictions.shape}",
            ) from error
        number = _convert_to_float(score)
        if not np.isfinite(number):
            raise UsageError(f"{self.address} returns {score!r}, which is no number", hint="return a finite float")
        return number


def is_user_metric(name: str) -> bool:
    """Return whether a metric's name is that of a function in a file."""
    return name.endswith(".py") or ".py:" in name


def load_user_score(name: str) -> UserScore:
    """Return the function that "path.py:function" names; the path is relative to the working folder.

    Raises:
        UsageError: there is no such file, it cannot be loaded, or it has no such function.
    """
    path_text, _, function_name = name.rpartition(":") if not name.endswith(".py") else (name, "", "")
    path = Path(path_text).expanduser().resolve()
    module = load_module(path, hint=f"give the path of a Python file with a function: {EXAMPLE}")
    if not function_name:
        raise UsageError(f"'{name}' names no function of its file", hint=f"name it: --metric {path.name}:score")
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"{path} defines no function {function_name}", hint=f"define it: {EXAMPLE}")
    digest = compute_digest([path.read_bytes().decode("utf-8", "surrogateescape")])
    return UserScore(f"{path}:{function_name}", function, digest)


def _convert_to_float(score: Any) -> float:
    try:
        return np.nan if isinstance(score, str) else float(score)
    except (TypeError, ValueError):
        return np.nan
