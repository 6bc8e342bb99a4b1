"""What a reader of labels may look at, for a folder that a test has built."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.files.images import find_images
from automl.files.tables import find_documents, find_tables
from automl.readers.labels.source import Source
from automl.readers.sample_submission import find_sample
from automl.readers.settings import Asked


def source_of(root: Path, **asked: Any) -> Source:
    """Of a folder whose sample submission names no image that could be one of training."""
    files, tables = find_images(root), find_tables(root)
    sample, _ = find_sample(root, files, tables)
    return Source(
        root=root,
        files=files,
        tables=tables,
        documents=find_documents(root),
        sample=sample,
        test_images=frozenset(files.test),
        asked=Asked(**asked),
    )


def put_json(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def put_pixels(
    path: Path, pixels: NDArray[np.uint8], beside: dict[str, Sequence[object]] | None = None, first: int = 0
) -> None:
    """A table of (n, n_pixels) with these columns before them, pixel names counted from `first`."""
    names = [*(beside or {}), *(f"pixel{number + first}" for number in range(pixels.shape[1]))]
    rows = [[*(values[row] for values in (beside or {}).values()), *pixels[row].tolist()] for row in range(len(pixels))]
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in [names, *rows]), encoding="utf-8")
