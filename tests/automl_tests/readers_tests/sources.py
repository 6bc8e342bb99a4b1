"""Sources of labels, for a folder that a test has built, and the tables and documents in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.files.images import find_images
from automl.files.tables import find_documents, find_tables
from automl.readers.labels.source import LabelSource
from automl.readers.sample_submission import find_sample_submission
from automl.readers.settings import CompetitionSettings

HEMORRHAGES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
BIOMASS = ("Dry_Clover_g", "Dry_Dead_g", "Dry_Green_g", "Dry_Total_g", "GDM_g")


def source_of(root: Path, **asked: Any) -> LabelSource:
    """Of a folder whose sample submission names no image that could be one of training."""
    files, tables = find_images(root), find_tables(root)
    sample, _ = find_sample_submission(root, files, tables)
    return LabelSource(
        root=root,
        files=files,
        tables=tables,
        documents=find_documents(root),
        sample=sample,
        test_images=frozenset(files.test),
        settings=CompetitionSettings(**asked),
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


def noise(n_rows: int, n_pixels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n_rows, n_pixels), dtype=np.uint8)
