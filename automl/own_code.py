"""Load a user's Python file: a search space, or a metric."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from automl.errors import UsageError


def load_module(path: Path, *, hint: str) -> ModuleType:
    """Load the module in a Python file, running its code.

    Args:
        hint: what to do where there is no such file.

    Raises:
        UsageError: there is no such file, or its code fails.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", hint=hint)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be loaded: {type(error).__name__}: {error}", hint="fix the file") from error
    return module
