"""Augmentation policies: albumentations steps that vary one training image.

policy       what it holds                                                  when to use
none         a resize                                                       images that are alike; to compare with
light        a random crop, a mirror                                        most fine-tuning; the default
medium       light, rotation, colour, small erased patches                  photos, from some thousand images
heavy        shift, scale, rotation, distortion, local contrast, colour,    few images, large networks, long training
             blur or noise, one large erased patch; a mirror
dihedral     the eight symmetries of the square, a mild crop and colour     nothing is up: leaves, cells, aerial
rand         light, then two operations drawn per image, at one magnitude   to let a search choose the strength
photometric  colour, contrast, blur, noise, compression; no pixel moves     where position, size or side is the label

Where a mirrored image may not keep its label (flips off), no policy mirrors, transposes or turns by 90 degrees, and
borders are repeated instead of reflected, since a reflected border holds mirrored pieces, perhaps of another class;
dihedral is then light. No policy but dihedral turns an image by more than MAX_ROTATION, besides the little that a
change of ratio after a rotation adds.

A strength below 1 narrows each range towards doing nothing, or lowers the probability of a step that has no range.
Mirrors and the symmetries of the square are not weakened: they take nothing from an image.

See also: automl.data.transforms applies them to batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # before the import, which looks online otherwise

import albumentations as A  # noqa: N812
import cv2

from automl.config import AugmentConfig

Step: TypeAlias = A.BasicTransform | A.BaseCompose

MAX_ROTATION = 15  # degrees; a digit stays the same digit
WHOLE_POLICIES = ("heavy", "photometric")  # they begin with the whole image that a model predicts, not with a crop
CROP_SCALE = (0.7, 1.0)  # of the area
CROP_RATIO = (0.85, 1.18)
GRAY = 128
WEAKEST_STAGE = 0.5


def build_augmentation_steps(
    augment: AugmentConfig, *, image_size: int, flips: bool, strength: float = 1.0
) -> list[Step]:
    """Return the steps of a policy, which resize a square image to image_size; none for a plain resize.

    All that is random in them comes from the generators that `set_random_state` gives them. Gaussian noise comes from
    OpenCV's generator, which is one per thread and which albumentations seeds from ours before each use.

    Args:
        image_size: also bounds kernels and grids, so that an image of 8 pixels survives.
        flips: whether a mirrored image keeps its label.
        strength: in (0, 1], 1 is the whole policy.
    """
    request = PolicyRequest(image_size=image_size, flips=flips, strength=strength, magnitude=augment.magnitude or 0.0)
    return POLICIES[augment.policy](request)


def compute_stage_strength(stage: int, n_stages: int, *, scale_augment: bool) -> float:
    """Return the strength of a stage of a resize schedule: 0.5 in the first, 1 in the last, linear between; 1 when off.

    Source: Tan and Le 2021, EfficientNetV2, section 4.2: smaller images want weaker regularisation; table 6 raises
    RandAugment's magnitude from 5 to 15 and more.
    """
    if not scale_augment or n_stages == 1:
        return 1.0
    return WEAKEST_STAGE + (1.0 - WEAKEST_STAGE) * stage / (n_stages - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRequest:
    """Parameters of a policy.

    Attributes:
        magnitude: of policy rand, from 0 to 10.
    """

    image_size: int
    flips: bool
    strength: float
    magnitude: float = 0.0

    @property
    def border(self) -> int:
        """OpenCV border mode that fills corners left free by a step."""
        border: int = cv2.BORDER_REFLECT_101 if self.flips else cv2.BORDER_REPLICATE
        return border

    def scale_factor_range(self, low: float, high: float) -> tuple[float, float]:
        """Return a range of factors, narrowed towards 1 by the strength."""
        rest = 1.0 - self.strength
        return low * self.strength + rest, high * self.strength + rest

    def scale_shift_range(self, limit: float) -> tuple[float, float]:
        """Return a range of shifts, narrowed towards 0 by the strength."""
        return -limit * self.strength, limit * self.strength


def _none(request: PolicyRequest) -> list[Step]:
    """Nothing random."""
    return []


def _light(request: PolicyRequest) -> list[Step]:
    """A crop and a mirror.

    Source: Szegedy et al. 2015, GoogLeNet, section 6 (crops of 8 to 100 % of the area for training from scratch; a
    pretrained network is fine-tuned with larger ones).
    """
    return [_crop(request, scale=CROP_SCALE, ratio=CROP_RATIO), *_mirror(request)]


def _medium(request: PolicyRequest) -> list[Step]:
    """Rotation, a crop, a mirror, colour and small erased patches.

    Source: Zhong et al. 2020, Random Erasing, section 3; Howard 2013, arXiv 1312.5402 (colour).
    """
    return [
        A.Rotate(limit=request.scale_shift_range(MAX_ROTATION), border_mode=request.border, p=0.5),
        *_light(request),
        _colour(request, limit=0.2, hue=0.05, p=0.5),
        A.CoarseDropout(
            num_holes_range=(1, 4),
            hole_height_range=(0.05, 0.2),
            hole_width_range=(0.05, 0.2),
            fill=GRAY,
            p=0.5 * request.strength,
        ),
    ]


def _heavy(request: PolicyRequest) -> list[Step]:
    """Most of what changes a photo and not its label, on the whole image.

    Source: Ha, Liu and Liu 2020, first place of SIIM-ISIC Melanoma Classification, arXiv 2010.05351, and its
    repository haqishen/SIIM-ISIC-Melanoma-Classification-1st-Place-Solution, dataset.py. Unlike there: no transpose
    and no vertical flip, which are policy dihedral; weaker distortions, smaller and rarer erased patches, since an
    animal is known by its head and a mole by its whole; nothing is filled with black; geometry first and noise last,
    as in a camera, where CLAHE would magnify it.
    """
    shift = request.scale_shift_range(0.1)
    return [
        _whole(request),
        *_mirror(request),
        A.Affine(
            translate_percent={"x": shift, "y": shift},
            scale=request.scale_factor_range(0.9, 1.1),
            keep_ratio=True,
            rotate=request.scale_shift_range(MAX_ROTATION),
            border_mode=request.border,
            p=0.85,
        ),
        _distortion(request, p=0.5 * request.strength),  # even the slightest shifts by half a pixel
        A.CLAHE(clip_limit=(1.0, 4.0), tile_grid_size=_tiles(request), p=0.5 * request.strength),
        A.RandomBrightnessContrast(request.scale_shift_range(0.2), request.scale_shift_range(0.2), p=0.75),
        A.HueSaturationValue(
            request.scale_shift_range(10.0), request.scale_shift_range(20.0), request.scale_shift_range(10.0), p=0.5
        ),
        A.OneOf([*_blurs(request), _noise(request)], p=0.6 * request.strength),
        A.CoarseDropout(
            num_holes_range=(1, 1),
            hole_height_range=(0.2, 0.375),
            hole_width_range=(0.2, 0.375),
            fill=GRAY,
            p=0.5 * request.strength,
        ),
    ]


def _dihedral(request: PolicyRequest) -> list[Step]:
    """One of the eight symmetries of the square, a mild crop and mild colour; light where flips are off.

    Source: Cohen and Welling 2016, Group Equivariant Convolutional Networks, section 4 (the group p4m);
    practice of the winners of leaf, cell and aerial competitions.
    """
    if not request.flips:
        return _light(request)
    return [
        _crop(request, scale=(0.8, 1.0), ratio=(0.9, 1.11)),
        A.D4(p=1.0),
        _colour(request, limit=0.1, hue=0.02, p=0.5),
    ]


def _rand(request: PolicyRequest) -> list[Step]:
    """Light, then two different operations in any order; at magnitude 0 exactly light.

    An operation's strength is drawn evenly up to the magnitude. One that has none, or inverts white however weak it is
    (solarize), is applied with probability magnitude / 10.

    Source: Cubuk et al. 2020, RandAugment, section 3 (operations, magnitudes 0 to 10) and the appendix on
    magnitudes (drawing one at random is as good as a constant). Unlike there: no image becomes black or wholly
    inverted at 10, and rotation and shear exclude one another, so that no edge turns by more than MAX_ROTATION.
    """
    level = request.strength * request.magnitude / 10.0
    if level == 0.0:
        return _light(request)
    return [*_light(request), A.RandomOrder(_operations(request, level), n=2)]


def _photometric(request: PolicyRequest) -> list[Step]:
    """Colour and contrast, then one of blur, noise and compression.

    Source: Howard 2013, arXiv 1312.5402 (colour); Hendrycks and Dietterich 2019, ImageNet-C, section 4 (those of its
    corruptions that move no pixel).
    """
    damage = [_gaussian_blur(request), _noise(request), A.ImageCompression(quality_range=(50, 95), p=1.0)]
    return [
        _whole(request),
        _colour(request, limit=0.3, hue=0.05, p=0.8),
        A.OneOf(damage, p=0.5 * request.strength),
    ]


POLICIES: dict[str, Callable[[PolicyRequest], list[Step]]] = {
    "none": _none,
    "light": _light,
    "medium": _medium,
    "heavy": _heavy,
    "dihedral": _dihedral,
    "rand": _rand,
    "photometric": _photometric,
}


def _whole(request: PolicyRequest) -> Step:
    """The whole image at its size, by the crops' interpolation, in a seventh of the time of averaging over areas."""
    return A.Resize(request.image_size, request.image_size, interpolation=cv2.INTER_LINEAR)


def _crop(request: PolicyRequest, *, scale: tuple[float, float], ratio: tuple[float, float]) -> Step:
    size = (request.image_size, request.image_size)
    return A.RandomResizedCrop(size, scale=request.scale_factor_range(*scale), ratio=request.scale_factor_range(*ratio))


def _mirror(request: PolicyRequest) -> list[Step]:
    return [A.HorizontalFlip(p=0.5)] if request.flips else []


def _colour(request: PolicyRequest, *, limit: float, hue: float, p: float) -> Step:
    factors = request.scale_factor_range(1.0 - limit, 1.0 + limit)
    return A.ColorJitter(
        brightness=factors, contrast=factors, saturation=factors, hue=request.scale_shift_range(hue), p=p
    )


def _distortion(request: PolicyRequest, *, p: float) -> Step:
    steps = max(2, min(5, request.image_size // 8))  # cells of 8 pixels at least
    border = request.border
    return A.OneOf(
        [
            A.OpticalDistortion(request.scale_shift_range(0.3), border_mode=border, p=1.0),
            A.GridDistortion(steps, request.scale_shift_range(0.3), border_mode=border, p=1.0),
        ],
        p=p,
    )


def _tiles(request: PolicyRequest) -> tuple[int, int]:
    tiles = max(1, min(8, request.image_size // 16))  # a tile's histogram wants 256 pixels
    return tiles, tiles


def _blurs(request: PolicyRequest) -> list[Step]:
    """Along a line, by median and gaussian; for a thumbnail the last alone, as 3 pixels are much of it."""
    gaussian = _gaussian_blur(request)
    if request.image_size < 64:
        return [gaussian]
    widths = (3, 3 if request.image_size < 160 else 5)
    motion = A.MotionBlur(widths, allow_shifted=False, direction_range=(0.0, 0.0), p=1.0)
    return [motion, A.MedianBlur(widths, p=1.0), gaussian]


def _gaussian_blur(request: PolicyRequest) -> Step:
    widest = min(2.0, max(0.5, request.image_size / 150))
    return A.GaussianBlur(blur_limit=0, sigma_limit=(0.2, widest), p=1.0)


def _noise(request: PolicyRequest) -> Step:
    """The same noise in all channels, as much of a camera's is, for half the time."""
    return A.GaussNoise(std_range=(0.01, 0.04), per_channel=False, p=1.0)


def _operations(request: PolicyRequest, level: float) -> list[Step]:
    """RandAugment's operations; ranges end at level, from 0 to 1."""
    border = request.border
    turn, shift = (-MAX_ROTATION * level, MAX_ROTATION * level), (-0.2 * level, 0.2 * level)
    factors, same = (1.0 - 0.5 * level, 1.0 + 0.5 * level), (1.0, 1.0)
    tilts = [
        A.Rotate(turn, border_mode=border, p=1.0),
        A.Affine(shear={"x": turn, "y": 0.0}, border_mode=border, p=1.0),
        A.Affine(shear={"x": 0.0, "y": turn}, border_mode=border, p=1.0),
    ]
    return [
        A.OneOf(tilts, p=1.0),
        A.Affine(translate_percent={"x": shift, "y": 0.0}, border_mode=border, p=1.0),
        A.Affine(translate_percent={"x": 0.0, "y": shift}, border_mode=border, p=1.0),
        A.ColorJitter(brightness=factors, contrast=same, saturation=same, hue=(0.0, 0.0), p=1.0),
        A.ColorJitter(brightness=same, contrast=factors, saturation=same, hue=(0.0, 0.0), p=1.0),
        A.ColorJitter(brightness=same, contrast=same, saturation=factors, hue=(0.0, 0.0), p=1.0),
        A.Sharpen(alpha=(0.0, 0.5 * level), lightness=(1.0, 1.0), p=1.0),
        A.Posterize(num_bits=(8 - round(4 * level), 8), p=1.0),
        A.Solarize(threshold_range=(0.5, 1.0), p=level),
        A.AutoContrast(p=level),
        A.Equalize(p=level),
    ]
