"""Arrays become images by their shape and the range of their values."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.files.array_images import NoPictureError, convert_array, is_picture_shape, scale_to_bytes

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "size", "mode"),
    [
        ((6, 9), (9, 6), "L"),
        ((6, 9, 1), (9, 6), "L"),
        ((1, 6, 9), (9, 6), "L"),
        ((6, 9, 3), (9, 6), "RGB"),
        ((3, 6, 9), (9, 6), "RGB"),
        ((6, 9, 2), (9, 6), "RGB"),
        ((2, 6, 9), (9, 6), "RGB"),
        ((6, 9, 4), (9, 6), "RGB"),
        ((6, 27, 25), (25, 162), "L"),
        ((1, 1, 6, 9), (9, 6), "L"),
        ((1, 9), (9, 1), "L"),
    ],
)
def test_the_shape_tells_channels_and_planes(shape: tuple[int, ...], size: tuple[int, int], mode: str) -> None:
    image = convert_array(RNG.integers(0, 256, shape, dtype=np.uint8))
    assert (image.size, image.mode) == (size, mode)
    assert is_picture_shape(shape)


def test_two_channels_have_their_mean_as_the_third_and_planes_lie_one_below_the_other() -> None:
    bands = RNG.integers(0, 256, (2, 5, 7), dtype=np.uint8)
    pixels = np.asarray(convert_array(bands))
    assert np.array_equal(pixels[..., :2], bands.transpose(1, 2, 0))
    assert np.abs(pixels[..., 2] - bands.mean(axis=0)).max() <= 1
    planes = RNG.integers(0, 256, (6, 5, 7), dtype=np.uint8)
    assert np.array_equal(np.asarray(convert_array(planes))[5:10], planes[1])


@pytest.mark.parametrize("shape", [(5,), (), (40, 64, 64), (2, 3, 8, 8), (0, 5), (17, 64, 64)])
def test_other_shapes_are_none_of_an_image(shape: tuple[int, ...]) -> None:
    assert not is_picture_shape(shape)
    with pytest.raises(NoPictureError, match="is none of an image"):
        convert_array(np.zeros(shape))


def test_what_are_no_numbers_is_no_image() -> None:
    with pytest.raises(NoPictureError, match="holds no numbers"):
        convert_array(np.array([["a", "b"]]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 90, 255], np.uint8), [0, 90, 255]),
        (np.array([False, True]), [0, 255]),
        (np.array([0, 257 * 90, 65535], np.uint16), [0, 90, 255]),
        (np.array([0, 90, 255], np.int64), [0, 90, 255]),
        (np.array([0, 1], np.int32), [0, 255]),
        (np.array([-10, 0, 10], np.int16), [0, 128, 255]),
        (np.array([0.0, 0.4, 1.0]), [0, 102, 255]),
        (np.array([-40.0, -20.0, 0.0], np.float16), [0, 128, 255]),
        (np.array([0.0, np.nan, 1.0, np.inf]), [0, 0, 255, 0]),
        (np.array([7.0, 7.0]), [0, 0]),
    ],
)
def test_the_range_of_the_values_tells_their_brightness(values: NDArray[np.generic], expected: list[int]) -> None:
    assert scale_to_bytes(values).tolist() == expected
