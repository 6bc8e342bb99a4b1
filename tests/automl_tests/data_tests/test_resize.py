"""Evaluation pixels: whole or the middle, as sharp as one step from the file, and as ever where nothing is set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from automl.config import INTERPOLATIONS, ModelConfig, ResizeConfig, TrialConfig
from automl.data.cache import PixelCache
from automl.data.resize import EvaluationPixels
from tests.automl_tests.small_competitions import competition_of

NOISE = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)


def config_of(**resize: object) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone="test_resnet"),
        resize=ResizeConfig(image_sizes=(24, 32), **resize),  # type: ignore[arg-type]
    )


def put_photo(root: Path, size: tuple[int, int]) -> tuple[PixelCache, Image.Image]:
    """A cache of an image with detail at every scale, as a photo has, and the image."""
    rng = np.random.default_rng(1)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        )
        for n in (4, 16, 64, 256)
    ]
    image = Image.fromarray(np.mean(layers, axis=0).astype(np.uint8))
    image.save(root / "a.png")
    return PixelCache(competition_of(root, ["a.png"], []), root / "cache"), image


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.sqrt(np.mean((one.astype(float) - other) ** 2)))


def test_they_are_those_of_the_configuration_at_the_last_size_or_at_another() -> None:
    config = config_of(interpolation="bicubic", crop_pct=0.9)
    assert EvaluationPixels.from_config(config) == EvaluationPixels(32, "bicubic", 0.9)
    assert EvaluationPixels.from_config(config, 24) == EvaluationPixels(24, "bicubic", 0.9)


@pytest.mark.parametrize("side", [20, 32, 40, 64])
def test_where_nothing_is_set_pixels_are_bit_for_bit_those_of_older_versions(side: int) -> None:
    interpolation = cv2.INTER_AREA if side < 40 else cv2.INTER_LINEAR
    expected = (
        NOISE if side == 40 else np.stack([cv2.resize(own, (side, side), None, 0, 0, interpolation) for own in NOISE])
    )
    evaluation = EvaluationPixels.from_config(config_of(), side)
    assert np.array_equal(evaluation.resize_batch(NOISE), expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_squares_of_the_models_size_are_neither_resized_nor_cropped(interpolation: str) -> None:
    evaluation = EvaluationPixels(40, interpolation, 0.8)
    assert np.array_equal(evaluation.resize_batch(NOISE), NOISE)
    assert np.array_equal(evaluation.crop_squares(NOISE), NOISE)


def test_the_middle_of_squares_of_the_right_side_is_cut_out_without_a_resize() -> None:
    evaluation = EvaluationPixels(35, "bicubic", 0.875)
    assert np.array_equal(evaluation.resize_batch(NOISE), NOISE[:, 2:37, 2:37])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("image_size", "crop_pct"), [(32, 0.9), (20, 0.875), (32, 1.0)])
def test_the_middle_is_that_of_the_whole_image_resized(interpolation: str, image_size: int, crop_pct: float) -> None:
    evaluation = EvaluationPixels(image_size, interpolation, crop_pct)
    whole = evaluation.get_whole(evaluation.compute_whole_side(40)).resize_batch(NOISE)
    first = (whole.shape[1] - image_size) // 2
    cropped = evaluation.resize_batch(NOISE)
    assert whole.shape[1] == round(image_size / crop_pct)
    assert cropped.shape == (5, image_size, image_size, 3)
    assert np.array_equal(cropped, whole[:, first : first + image_size, first : first + image_size])


def test_the_crop_of_a_square_shows_what_is_evaluated() -> None:
    evaluation = EvaluationPixels(24, "bicubic", 0.75)
    crop = evaluation.crop_squares(NOISE)
    assert np.array_equal(crop, NOISE[:, 5:35, 5:35])
    ramp = np.repeat(np.arange(0, 200, 5, dtype=np.uint8)[None, :, None], 40, axis=0).repeat(3, axis=2)[None]
    shown, evaluated = evaluation.crop_squares(ramp), evaluation.resize_batch(ramp)
    assert abs(float(shown.mean()) - float(evaluated.mean())) < 1.0
    assert np.abs(np.ptp(shown.astype(int)) - np.ptp(evaluated.astype(int))) <= 8


@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 0.95, 1.0])
def test_they_are_nearly_as_sharp_as_one_bicubic_step_from_the_file(crop_pct: float, tmp_path: Path) -> None:
    cache, image = put_photo(tmp_path, (500, 375))
    side = round(160 / crop_pct)
    first = (side - 160) // 2
    middle = slice(first, first + 160)
    one_step = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))[middle, middle]
    sharp, old = EvaluationPixels(160, "bicubic", crop_pct), EvaluationPixels(160, "area", crop_pct)
    distances = [
        distance(
            own.resize_batch(cache.load_pixels("train", 160, interpolation=own.interpolation, crop_pct=crop_pct))[0],
            one_step,
        )
        for own in (sharp, old)
    ]
    assert distances[0] < 0.6 * distances[1]
    assert crop_pct != 0.875 or distances[0] < 1.0


def test_images_without_spare_pixels_are_not_cropped(tmp_path: Path) -> None:
    cache, image = put_photo(tmp_path, (100, 100))
    pixels = cache.load_pixels("train", 160, interpolation="bicubic", crop_pct=0.8)
    enlarged = np.asarray(image.resize((160, 160), Image.Resampling.BICUBIC))
    assert np.array_equal(EvaluationPixels(160, "bicubic", 0.8).resize_batch(pixels)[0], enlarged)
