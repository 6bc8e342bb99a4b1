"""Folders of competitions that are read, and the faults by which they are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from automl.errors import DataError
from automl.readers.read import read_competition
from tests.automl_tests.small_competitions import put_csv, put_images, put_table_competition

Damage: TypeAlias = Callable[[Path], Any]
FolderFault: TypeAlias = tuple[Damage, str, str]  # words of the problem and of the hint


def put_named_competition(root: Path, sample_value: str = "0.5") -> None:
    put_images(root, ["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg"])
    put_images(root, ["test1/1.jpg", "test1/2.jpg"])
    put_csv(root / "sampleSubmission.csv", "id,label", f"2,{sample_value}", f"1,{sample_value}")


def remove_training_images(root: Path) -> None:
    for number in range(4):
        (root / "train" / f"t{number}.png").unlink()


def training_rows(*lines: str, name: str = "train.csv", header: str = "id,label") -> Damage:
    """Other rows of the training table."""
    return lambda root: put_csv(root / name, header, *lines)


def sample_rows(*lines: str, header: str = "id,label") -> Damage:
    """Other rows of the sample submission."""
    return training_rows(*lines, name="sample_submission.csv", header=header)


def require_folder_refusal(root: Path, fault: FolderFault) -> None:
    """Require that a whole competition with this damage is refused in one line and a hint with these words."""
    damage, problem, hint = fault
    put_table_competition(root)
    damage(root)
    with pytest.raises(DataError) as caught:
        read_competition(root)
    assert problem in caught.value.problem
    assert hint in (caught.value.hint or "")
    assert caught.value.exit_code == 3
    assert "\n" not in f"{caught.value.problem}{caught.value.hint}"
