"""Training images vary within their policy, by the seed alone; evaluation images do not vary."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.config import AUGMENT_POLICIES, AugmentConfig
from automl.data.resize import EvaluationPixels
from automl.data.transforms import Transform, build_transform, iterate_training_batches

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)


def transform_of(policy: str, *, image_size: int, flips: bool) -> Transform:
    """At the highest magnitude, where the policy has one."""
    augment = AugmentConfig(policy=policy, magnitude=10.0 if policy == "rand" else None)
    return build_transform(augment, evaluation=EvaluationPixels(image_size), flips=flips)


def bright_left(n_images: int) -> NDArray[np.uint8]:
    """(n, 40, 40, 3) white on the left half, black on the right."""
    images = np.zeros((n_images, 40, 40, 3), dtype=np.uint8)
    images[:, :, :20] = 255
    return images


def leans_left(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    half = images.shape[2] // 2
    return images[:, :, :half].mean(axis=(1, 2, 3)) > images[:, :, half:].mean(axis=(1, 2, 3))


@pytest.mark.parametrize("policy", AUGMENT_POLICIES)
@pytest.mark.parametrize("image_size", [32, 40, 64])
def test_a_transform_gives_whole_pixels_of_the_requested_size_and_leaves_its_input_alone(
    policy: str, image_size: int
) -> None:
    images = NOISE.copy()
    varied = transform_of(policy, image_size=image_size, flips=True)(images, seed=1)
    assert (varied.shape, varied.dtype) == ((6, image_size, image_size, 3), np.uint8)
    assert np.array_equal(images, NOISE)


@pytest.mark.parametrize("policy", AUGMENT_POLICIES[1:])
def test_the_seed_alone_decides_what_varies(policy: str) -> None:
    transform = transform_of(policy, image_size=32, flips=True)
    first = transform(NOISE, seed=7)
    transform(NOISE, seed=8)
    assert np.array_equal(transform(NOISE, seed=7), first)
    assert np.array_equal(transform_of(policy, image_size=32, flips=True)(NOISE, seed=7), first)
    assert not np.array_equal(transform(NOISE, seed=8), first)
    same = np.repeat(NOISE[:1], 2, axis=0)
    assert not np.array_equal(*transform(same, seed=7))


def test_the_policy_none_only_resizes() -> None:
    transform = transform_of("none", image_size=32, flips=True)
    assert np.array_equal(transform(NOISE, seed=1), EvaluationPixels(32).resize_batch(NOISE))
    assert np.array_equal(transform_of("none", image_size=40, flips=True)(NOISE, seed=1), NOISE)


@pytest.mark.parametrize("policy", [policy for policy in AUGMENT_POLICIES if policy != "rand"])  # it may invert
def test_nothing_is_mirrored_where_flips_are_forbidden(policy: str) -> None:
    transform = transform_of(policy, image_size=32, flips=False)
    for seed in range(40):
        assert leans_left(transform(bright_left(10), seed=seed)).all()


@pytest.mark.parametrize("policy", ["light", "medium", "heavy"])
def test_about_half_of_the_images_are_mirrored_where_flips_are_allowed(policy: str) -> None:
    mirrored = ~leans_left(transform_of(policy, image_size=32, flips=True)(bright_left(400), seed=0))
    assert 150 < mirrored.sum() < 250


def test_rotation_keeps_what_is_up_up() -> None:
    upper = np.ascontiguousarray(bright_left(200).transpose(0, 2, 1, 3))
    turned = transform_of("medium", image_size=32, flips=True)(upper, seed=0)
    assert (turned[:, :16].mean(axis=(1, 2, 3)) > turned[:, 16:].mean(axis=(1, 2, 3))).all()
    # A border between black and white that rises by tan(15 degrees) at the most, over the width of the image.
    edges = (turned[:, :, :, 0] > 128).sum(axis=1).astype(int)
    assert np.median(np.abs(edges[:, -1] - edges[:, 0])) <= 32 * np.tan(np.radians(15)) + 2


def test_a_turned_image_has_no_mirrored_border_where_flips_are_forbidden() -> None:
    ramp = np.zeros((200, 40, 40, 3), dtype=np.uint8)
    ramp[:, :, :, 0] = np.linspace(20, 220, 40)  # red grows from left to right
    varied = transform_of("medium", image_size=32, flips=False)(ramp, seed=0).astype(int)
    whole = ~(varied[:, :, :, 2] == 128).any(axis=(1, 2))  # no gray patch
    assert whole.sum() > 50
    assert np.diff(varied[whole, :, :, 0], axis=2).min() >= -2


def test_flips_and_erased_patches_are_drawn_independently() -> None:
    image = bright_left(1)
    image[:, :, :, 1:] = 0  # red and black; an erased patch is gray and so has blue
    transform = transform_of("medium", image_size=32, flips=True)
    varied = np.concatenate([transform(image, seed=seed) for seed in range(400)])
    mirrored, erased = ~leans_left(varied), (varied[:, :, :, 2] == 128).any(axis=(1, 2))
    shares = [erased[mirrored].mean(), erased[~mirrored].mean()]
    assert all(0.35 < share < 0.65 for share in shares)


def test_medium_varies_colours_and_light_does_not() -> None:
    flat = np.full((100, 40, 40, 3), (200, 100, 50), dtype=np.uint8)
    light = transform_of("light", image_size=32, flips=True)(flat, seed=0)
    assert (light == flat[:, :32, :32]).all()
    medium = transform_of("medium", image_size=32, flips=True)(flat, seed=0)
    assert 30 < sum(len(np.unique(image[:, :, 0])) > 1 or image[0, 0, 0] != 200 for image in medium) < 100


def test_a_resize_for_evaluation_keeps_every_image_whole_and_averages() -> None:
    assert np.array_equal(EvaluationPixels(40).resize_batch(NOISE), NOISE)
    halves = NOISE.reshape(6, 20, 2, 20, 2, 3).astype(float).mean(axis=(2, 4))
    assert np.abs(EvaluationPixels(20).resize_batch(NOISE) - halves).max() <= 1
    assert leans_left(EvaluationPixels(64).resize_batch(bright_left(3))).all()


def test_the_policy_none_trains_on_the_middle_that_is_evaluated() -> None:
    evaluation = EvaluationPixels(28, "bicubic", 0.8)
    transform = build_transform(AugmentConfig(policy="none"), evaluation=evaluation, flips=True)
    assert np.array_equal(transform(NOISE, seed=1), evaluation.resize_batch(NOISE))


@pytest.mark.parametrize(("policy", "sees_border"), [("photometric", False), ("heavy", False), ("light", True)])
def test_policies_that_begin_with_the_whole_image_begin_with_what_is_evaluated(policy: str, sees_border: bool) -> None:
    framed = np.zeros((100, 40, 40, 3), dtype=np.uint8)
    framed[:, :6], framed[:, -6:] = 255, 255
    evaluation = EvaluationPixels(28, "bicubic", 0.7)  # the middle 28 of 40
    augment = AugmentConfig(policy=policy)
    varied = build_transform(augment, evaluation=evaluation, flips=False)(framed, seed=0)
    assert varied.shape == (100, 28, 28, 3)
    assert ((varied > 250).mean(axis=(1, 2, 3)) > 0.05).any() == sees_border


def collected(n_rows: int, batch_size: int, *, policy: str = "none", n_threads: int = 2, seed: int = 0):
    pixels = np.zeros((n_rows, 8, 8, 3), dtype=np.uint8)
    pixels[:] = np.arange(n_rows, dtype=np.uint8)[:, None, None, None]
    rows = np.random.default_rng(5).permutation(n_rows)
    transform = transform_of(policy, image_size=8, flips=True)
    batches = iterate_training_batches(
        pixels, rows, batch_size=batch_size, transform=transform, seed=seed, n_threads=n_threads
    )
    return rows, list(batches)


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [(12, 4, [4, 4, 4]), (14, 4, [4, 4, 4, 2]), (13, 4, [4, 4, 5]), (5, 4, [5]), (3, 4, [3]), (1, 4, [1]), (0, 4, [])],
)
def test_batches_cover_the_rows_in_order_and_never_end_with_one_image(
    n_rows: int, batch_size: int, sizes: list[int]
) -> None:
    rows, batches = collected(n_rows, batch_size)
    assert [len(images) for images, _ in batches] == sizes
    assert [row for _, batch_rows in batches for row in batch_rows] == rows.tolist()
    assert all((images[:, 0, 0, 0] == batch_rows).all() for images, batch_rows in batches)


@pytest.mark.parametrize("policy", AUGMENT_POLICIES)
def test_a_batch_varied_in_parts_is_that_of_one_piece(policy: str) -> None:
    def batches(**share: Any) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        transform = transform_of(policy, image_size=32, flips=True)
        rows = np.arange(6).repeat(3)
        return list(
            iterate_training_batches(NOISE, rows, batch_size=7, transform=transform, seed=3, n_threads=2, **share)
        )

    first = batches(share=lambda n: slice(0, n // 3))
    rest = batches(share=lambda n: slice(n // 3, n))
    for (whole, rows), (left, left_rows), (right, right_rows) in zip(batches(), first, rest, strict=True):
        assert np.array_equal(whole, np.concatenate([left, right]))
        assert np.array_equal(rows, left_rows)
        assert np.array_equal(rows, right_rows)


def batches_of_noise(n_threads: int, seed: int) -> list[NDArray[np.uint8]]:
    batches = iterate_training_batches(
        NOISE,
        np.arange(6).repeat(10),
        batch_size=4,
        transform=transform_of("medium", image_size=32, flips=True),
        seed=seed,
        n_threads=n_threads,
    )
    return [images for images, _ in batches]


def test_batches_depend_on_the_seed_and_not_on_the_number_of_threads() -> None:
    alone, together = batches_of_noise(1, seed=3), batches_of_noise(4, seed=3)
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    other_seed = batches_of_noise(1, seed=4)
    assert not any(np.array_equal(one, other) for one, other in zip(alone, other_seed, strict=True))
    assert not np.array_equal(alone[0], alone[1])  # both of row 0 alone


def test_a_consumer_may_stop_early_and_an_error_reaches_it() -> None:
    pixels = np.zeros((100, 8, 8, 3), dtype=np.uint8)
    transform = transform_of("light", image_size=8, flips=True)
    batches = iterate_training_batches(pixels, np.arange(100), batch_size=4, transform=transform, seed=0, n_threads=2)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    beyond = iterate_training_batches(pixels, np.arange(101), batch_size=4, transform=transform, seed=0, n_threads=2)
    with pytest.raises(IndexError):
        list(beyond)


@pytest.mark.slow
def test_albumentations_is_imported_without_looking_online() -> None:
    script = (
        "import socket\n"
        "def refuse(*args, **options): raise SystemExit('went online')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import automl.data.transforms, os\n"
        "assert os.environ['NO_ALBUMENTATIONS_UPDATE'] == '1'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
