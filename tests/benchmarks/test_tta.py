"""The sides that tests.benchmarks.tta compares do the same work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.ensemble.tta import TTA_GROUPS
from tests.benchmarks.tta import SIDES, world_of


@pytest.mark.parametrize("group", ["flips", "dihedral"])
def test_all_sides_give_the_same_probabilities(group: str, tmp_path: Path) -> None:
    world = world_of(tmp_path, ["test_byobnet", "test_efficientnet"], n_images=5, sizes=(32, 48))
    said = {name: side(world, TTA_GROUPS[group], tmp_path / name) for name, side in SIDES.items()}
    assert said["automl"].shape == (5, 2)
    assert said["automl"].std() > 0
    for name, probs in said.items():
        assert np.abs(probs - said["automl"]).max() < 1e-6, name
