"""Faults of training that end with the image, and loaders that cannot fail because there are none."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.config import AUGMENT_POLICIES, AugmentConfig
from automl.data.cache import PixelCache
from automl.data.resize import EvaluationPixels
from automl.data.transforms import build_transform
from tests.automl_tests.small_competitions import competition_of
from tests.faults_tests.programs import ROOT


@pytest.mark.parametrize("size", [(1, 1), (8000, 10), (3, 900)])
@pytest.mark.parametrize("policy", AUGMENT_POLICIES)
def test_an_image_of_any_shape_becomes_one_that_a_network_takes(
    size: tuple[int, int], policy: str, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", size, (9, 99, 199)).save(tmp_path / name)
    cache = PixelCache(competition_of(tmp_path, ["a.png", "b.png"], ["a.png"]), tmp_path / "cache")
    augment = AugmentConfig(policy=policy, magnitude=10.0 if policy == "rand" else None)
    images = build_transform(augment, evaluation=EvaluationPixels(32), flips=True)(
        np.array(cache.load_pixels("train", 32)), seed=0
    )
    assert (images.shape, images.dtype) == ((2, 32, 32, 3), np.uint8)


def test_images_are_loaded_by_no_process_of_their_own() -> None:
    for path in (ROOT / "automl").rglob("*.py"):
        tree = ast.parse(path.read_text())
        called = {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not called & {"DataLoader", "Pool", "ProcessPoolExecutor"}, path
