"""What each policy may do to an image, and what no policy does."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from automl.config import AUGMENT_POLICIES, AugmentConfig
from automl.data.augmentation import (
    GRAY,
    MAX_ROTATION,
    POLICIES,
    Step,
    build_augmentation_steps,
    compute_stage_strength,
)
from automl.data.resize import EvaluationPixels
from automl.data.transforms import Transform

Images = NDArray[np.uint8]
RANDOM_POLICIES = [policy for policy in AUGMENT_POLICIES if policy != "none"]
RNG = np.random.default_rng(0)
NOISE: Images = RNG.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)


def augment_of(policy: str) -> AugmentConfig:
    """At the highest magnitude, where the policy has one."""
    return AugmentConfig(policy=policy, magnitude=10.0 if policy == "rand" else None)


def transform_of(policy: str, *, image_size: int, flips: bool = True, strength: float = 1.0) -> Transform:
    steps = build_augmentation_steps(augment_of(policy), image_size=image_size, flips=flips, strength=strength)
    return Transform(steps, evaluation=EvaluationPixels(image_size))


def flattened(steps: list[Step]) -> Iterator[A.BasicTransform]:
    for step in steps:
        if isinstance(step, A.BaseCompose):
            yield from flattened(step.transforms)
        else:
            yield step


def geometry_of(policy: str, *, image_size: int, flips: bool, erases: bool = False) -> Transform:
    """The policy's transform with all its draws, but values of pixels are left alone, those of patches if requested."""
    steps = build_augmentation_steps(augment_of(policy), image_size=image_size, flips=flips)
    for step in flattened(steps):
        if isinstance(step, A.ImageOnlyTransform) or (isinstance(step, A.CoarseDropout) and not erases):
            step._key2func["image"] = lambda image, **_: image
    return Transform(steps, evaluation=EvaluationPixels(image_size))


def ramps(n_images: int, *, side: int = 64) -> Images:
    """(n, side, side, 3) images whose red grows to the right and whose green grows downwards, 3 for each pixel."""
    image = np.full((side, side, 3), GRAY, dtype=np.uint8)
    image[:, :, 0] = 30 + 3 * np.arange(side)
    image[:, :, 1] = 30 + 3 * np.arange(side)[:, None]
    return np.repeat(image[None], n_images, axis=0)


def slopes(images: Images) -> NDArray[np.float64]:
    """(n, 2, 2) how red (0) and green (1) change per pixel to the right (0) and down (1), amid each image."""
    quarter = images.shape[1] // 4
    amid = images[:, quarter:-quarter, quarter:-quarter, :2].astype(float)
    places = np.stack(np.meshgrid(np.arange(amid.shape[2]), np.arange(amid.shape[1])), axis=-1).reshape(-1, 2)
    design = np.column_stack([places, np.ones(len(places))])
    values = np.moveaxis(amid.reshape(len(amid), -1, 2), 0, 1).reshape(len(places), -1)
    fitted, *_ = np.linalg.lstsq(design, values, rcond=None)
    return np.asarray(fitted[:2].reshape(2, len(amid), 2).transpose(1, 2, 0)) / 3.0


def turned_degrees(slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) by how much the rotation in each linear map turns."""
    return np.degrees(np.arctan2(slope[:, 1, 0] - slope[:, 0, 1], slope[:, 0, 0] + slope[:, 1, 1]))


def test_every_policy_of_the_vocabulary_is_there() -> None:
    assert tuple(POLICIES) == AUGMENT_POLICIES


def legacy_steps(policy: str, *, image_size: int, flips: bool) -> list[Step]:
    """Light and medium as they were before there were other policies."""
    border = cv2.BORDER_REFLECT_101 if flips else cv2.BORDER_REPLICATE
    crop = A.RandomResizedCrop((image_size, image_size), scale=(0.7, 1.0), ratio=(0.85, 1.18))
    flip = [A.HorizontalFlip(p=0.5)] if flips else []
    if policy == "light":
        return [crop, *flip]
    jitter = A.ColorJitter(brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.8, 1.2), hue=(-0.05, 0.05), p=0.5)
    holes = A.CoarseDropout(
        num_holes_range=(1, 4), hole_height_range=(0.05, 0.2), hole_width_range=(0.05, 0.2), fill=128, p=0.5
    )
    return [A.Rotate(limit=(-15, 15), border_mode=border, p=0.5), crop, *flip, jitter, holes]


@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize("policy", ["light", "medium"])
def test_light_and_medium_are_bit_for_bit_what_they_were(policy: str, flips: bool) -> None:
    images = np.repeat(NOISE, 10, axis=0)
    before = Transform(legacy_steps(policy, image_size=32, flips=flips), evaluation=EvaluationPixels(32))
    now = transform_of(policy, image_size=32, flips=flips)
    assert np.array_equal(now(images, seed=5), before(images, seed=5))


@pytest.mark.parametrize("policy", AUGMENT_POLICIES)
@pytest.mark.parametrize(("side", "image_size"), [(16, 16), (40, 32), (256, 224)])
def test_the_same_image_and_seed_give_the_same_result_whatever_other_generators_do(
    policy: str, side: int, image_size: int
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (16, side, side, 3), dtype=np.uint8)
    first = transform_of(policy, image_size=image_size)(images, seed=3)
    assert (first.shape, first.dtype) == ((16, image_size, image_size, 3), np.uint8)
    before, legacy = random.getstate(), np.random.get_state()[1]
    cv2.setRNGSeed(99)
    again = transform_of(policy, image_size=image_size)(images, seed=3)
    assert np.array_equal(again, first)
    assert random.getstate() == before
    assert np.array_equal(np.random.get_state()[1], legacy)


@pytest.mark.slow
@pytest.mark.parametrize("policy", RANDOM_POLICIES)
def test_copies_in_several_threads_at_once_give_what_one_gives_alone(policy: str) -> None:
    transform = transform_of(policy, image_size=32)
    images = np.repeat(NOISE, 4, axis=0)
    alone = [transform(images, seed=seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda seed: copy.deepcopy(transform)(images, seed=seed), range(12))
        assert all(np.array_equal(*pair) for pair in zip(alone, together, strict=True))


@pytest.mark.parametrize("policy", AUGMENT_POLICIES)
@pytest.mark.parametrize("image_size", [8, 9, 16, 31])
def test_thumbnails_and_flat_images_survive_without_a_warning(policy: str, image_size: int) -> None:
    flat = [np.full((20, image_size, image_size, 3), value, dtype=np.uint8) for value in (0, 128, 255)]
    rough = RNG.integers(0, 256, (60, image_size, image_size, 3), dtype=np.uint8)
    transform = transform_of(policy, image_size=image_size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        varied = transform(np.concatenate([*flat, rough]), seed=0)
    assert (varied.shape, varied.dtype) == ((120, image_size, image_size, 3), np.uint8)


@pytest.mark.parametrize("policy", RANDOM_POLICIES)
def test_no_policy_mirrors_or_turns_far_where_flips_are_forbidden(policy: str) -> None:
    geometry = geometry_of(policy, image_size=48, flips=False)
    slope = np.concatenate([slopes(geometry(ramps(100), seed=seed)) for seed in range(10)])
    assert np.linalg.det(slope).min() > 0.0  # a mirror's is negative
    turned = np.abs(turned_degrees(slope))
    assert turned.max() <= MAX_ROTATION + 1.5
    assert turned.max() >= MAX_ROTATION - 3.0 or policy in ("light", "dihedral", "photometric")


@pytest.mark.parametrize("policy", RANDOM_POLICIES)
def test_no_border_holds_mirrored_pieces_where_flips_are_forbidden(policy: str) -> None:
    varied = geometry_of(policy, image_size=48, flips=False)(ramps(300), seed=0).astype(int)
    assert np.diff(varied[:, :, :, 0], axis=2).min() >= -2
    assert np.diff(varied[:, :, :, 1], axis=1).min() >= -2


@pytest.mark.parametrize("flips", [True, False])
@pytest.mark.parametrize("policy", AUGMENT_POLICIES)
def test_what_a_step_leaves_free_is_never_black(policy: str, flips: bool) -> None:
    gray = np.full((200, 40, 40, 3), GRAY, dtype=np.uint8)
    geometry = geometry_of(policy, image_size=32, flips=flips, erases=True)
    assert (geometry(gray, seed=0) == GRAY).all()


def test_dihedral_shows_the_eight_symmetries_equally_often() -> None:
    slope = slopes(geometry_of("dihedral", image_size=48, flips=True)(ramps(1600), seed=0))
    quarters = np.round(slope).astype(int).reshape(-1, 4)
    symmetries, counts = np.unique(quarters, axis=0, return_counts=True)
    assert len(symmetries) == 8
    assert all(150 < count < 250 for count in counts)


def test_dihedral_without_flips_is_light() -> None:
    dihedral, light = (transform_of(policy, image_size=32, flips=False) for policy in ("dihedral", "light"))
    assert np.array_equal(dihedral(NOISE, seed=2), light(NOISE, seed=2))


@pytest.mark.parametrize("policy", ["light", "medium", "heavy", "rand"])
def test_other_policies_mirror_from_left_to_right_alone(policy: str) -> None:
    slope = slopes(geometry_of(policy, image_size=48, flips=True)(ramps(400), seed=0))
    assert 150 < (slope[:, 0, 0] < 0).sum() < 250
    assert slope[:, 1, 1].min() > 0


def test_photometric_moves_no_pixel_and_changes_nearly_every_image() -> None:
    image = ramps(200, side=48)
    assert np.array_equal(geometry_of("photometric", image_size=48, flips=True)(image, seed=0), image)
    varied = transform_of("photometric", image_size=48)(image, seed=0)
    assert 0.7 < (varied != image).any(axis=(1, 2, 3)).mean() < 1.0


def symmetric(n_images: int, *, n_cells: int = 4) -> Images:
    """(n, 40, 40, 3) colours that the symmetries of the square leave alone, so that these do not count."""
    coarse = np.random.default_rng(2).uniform(40, 215, (n_cells, n_cells, 3)).astype(np.float32)
    whole = cv2.resize(coarse, (40, 40), interpolation=cv2.INTER_CUBIC)
    views = [np.rot90(side, turns) for side in (whole, whole[:, ::-1]) for turns in range(4)]
    image = np.clip(np.mean(views, axis=0), 0, 255).astype(np.uint8)
    return np.repeat(image[None], n_images, axis=0)


def distance_of(policy: str, strength: float, *, flips: bool = True) -> float:
    """By how much a pixel changes on average."""
    images = symmetric(400)
    varied = transform_of(policy, image_size=40, flips=flips, strength=strength)(images, seed=0)
    return float(np.abs(varied.astype(int) - images).mean())


@pytest.mark.parametrize("policy", RANDOM_POLICIES)
def test_the_weaker_a_policy_the_closer_it_stays_to_the_image(policy: str) -> None:
    distances = [distance_of(policy, strength) for strength in (0.05, 0.35, 0.7, 1.0)]
    assert all(weaker < 0.97 * stronger for weaker, stronger in pairwise(distances))
    assert distances[0] < 0.3 * distances[-1]


@pytest.mark.parametrize("policy", RANDOM_POLICIES)
def test_a_policy_of_nearly_no_strength_leaves_images_as_they_are(policy: str) -> None:
    rough = symmetric(500, n_cells=40)
    varied = transform_of(policy, image_size=40, strength=0.001)(rough, seed=0)
    changed = np.abs(varied.astype(int) - rough).mean(axis=(1, 2, 3)) > 2.0  # a way through HSV costs about 1
    assert changed.mean() < 0.02


def test_strength_does_nothing_to_none() -> None:
    assert build_augmentation_steps(augment_of("none"), image_size=32, flips=True, strength=0.5) == []
    assert np.array_equal(
        transform_of("none", image_size=32, strength=0.5)(NOISE, seed=0), EvaluationPixels(32).resize_batch(NOISE)
    )


def test_heavy_changes_an_image_more_than_medium_and_medium_more_than_light() -> None:
    light, medium, heavy = (distance_of(policy, 1.0) for policy in ("light", "medium", "heavy"))
    assert 1.1 * light < medium
    assert 1.1 * medium < heavy


def rand(magnitude: float, *, strength: float = 1.0) -> Transform:
    augment = AugmentConfig(policy="rand", magnitude=magnitude)
    return Transform(
        build_augmentation_steps(augment, image_size=32, flips=True, strength=strength), evaluation=EvaluationPixels(32)
    )


def test_rand_at_magnitude_0_is_light_and_grows_from_there() -> None:
    light = transform_of("light", image_size=32)(NOISE, seed=1)
    assert np.array_equal(rand(0.0)(NOISE, seed=1), light)
    assert (
        len(build_augmentation_steps(AugmentConfig(policy="rand", magnitude=0.0), image_size=32, flips=True)) == 2
    )  # and no slower
    assert not np.array_equal(rand(1.0)(NOISE, seed=1), light)
    images = np.repeat(NOISE, 50, axis=0)
    base = transform_of("light", image_size=32)(images, seed=1).astype(int)
    distances = [np.abs(rand(magnitude)(images, seed=1) - base).mean() for magnitude in (2.0, 5.0, 10.0)]
    assert distances[0] < 0.8 * distances[1] < 0.64 * distances[2]


def test_two_different_operations_are_drawn_for_each_image_of_rand() -> None:
    steps = build_augmentation_steps(augment_of("rand"), image_size=32, flips=True)
    n_operations = len(steps[-1].transforms)
    drawn: list[int] = []

    def noted(image: Images, *, number: int, **_: object) -> Images:
        drawn.append(number)
        return image

    steps[-1].transforms = [A.Lambda(image=partial(noted, number=number), p=1.0) for number in range(n_operations)]
    Transform(steps, evaluation=EvaluationPixels(32))(np.repeat(NOISE, 100, axis=0), seed=0)
    pairs = np.array(drawn).reshape(600, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert 200 < (pairs[:, 0] < pairs[:, 1]).sum() < 400
    assert np.bincount(pairs.ravel(), minlength=n_operations).min() > 70


@pytest.mark.parametrize(
    ("n_stages", "strengths"), [(1, [1.0]), (2, [0.5, 1.0]), (3, [0.5, 0.75, 1.0]), (5, [0.5, 0.625, 0.75, 0.875, 1.0])]
)
def test_the_strength_of_stages_rises_evenly_from_a_half(n_stages: int, strengths: list[float]) -> None:
    scaled = [compute_stage_strength(stage, n_stages, scale_augment=True) for stage in range(n_stages)]
    assert scaled == strengths
    assert [compute_stage_strength(stage, n_stages, scale_augment=False) for stage in range(n_stages)] == [
        1.0
    ] * n_stages
