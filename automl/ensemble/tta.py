"""Test-time augmentation: the views of an image that a trained model predicts, and the groups they form.

A view acts on a batch of normalised square images on the device. Most views only permute the pixels that a model sees
anyway; the wide ones take them from the larger squares that training crops are cut from. No view turns or mirrors
images where that may change their label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from automl.config import AugmentConfig
from automl.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

SHIFT_FRACTION = 16  # a shift moves an image by one sixteenth of its side
WIDTH = 1.15  # side of a wide image / side that a model takes; automl.data.cache keeps about as much where it can
SCALE = 1.1  # the furthest zoom that policy heavy trains with; automl.data.augmentation


@dataclass(frozen=True, slots=True)
class View:
    """One transform of the same images.

    Attributes:
        apply: (B, 3, S, S) and S -> (B, 3, S, S); of a wide view (B, 3, W, W) and S -> (B, 3, S, S).
        inverse: undoes `apply`; exactly where the view only permutes pixels, but for the border where it shifts them.
            None where pixels are lost.
        wide: whether it takes the whole images, at a side W of about 1.15 S.
        centred: whether a wide one takes of these only the middle that the identity shows.
    """

    name: str
    apply: Callable[[Tensor, int], Tensor]
    inverse: Callable[[Tensor, int], Tensor] | None
    wide: bool = False
    centred: bool = False

    def apply_to_shown(self, images: Tensor, *, side: int, shown: float) -> Tensor:
        """Apply it to images of which the identity shows that part of the side, the middle."""
        if self.centred:
            images = _crop(images, round(shown * images.shape[-1]), down=0.5, right=0.5)
        return self.apply(images, side)


def _leave_unchanged(images: Tensor, side: int) -> Tensor:
    return images


def _turn(images: Tensor, side: int, *, mirrored: bool, quarter_turns: int) -> Tensor:
    flipped = images.flip(-1) if mirrored else images
    return flipped.rot90(quarter_turns, (-2, -1))


def _turn_back(images: Tensor, side: int, *, mirrored: bool, quarter_turns: int) -> Tensor:
    straight = images.rot90(-quarter_turns, (-2, -1))
    return straight.flip(-1) if mirrored else straight


def _shift(images: Tensor, side: int, *, down: int, right: int) -> Tensor:
    pixels = max(1, side // SHIFT_FRACTION)
    return _frame(images, side, top=-down * pixels, left=-right * pixels)


def _frame(images: Tensor, side: int, *, top: int, left: int) -> Tensor:
    """(B, 3, S, S) from that corner on, which may lie outside: there the edge is repeated."""
    import torch

    framed = images
    for dim, start in ((-2, top), (-1, left)):
        length = images.shape[dim]
        sources = (torch.arange(side, device=images.device) + start).clamp(0, length - 1)
        framed = framed.index_select(dim, sources)
    return framed


def _crop(images: Tensor, side: int, *, down: float, right: float) -> Tensor:
    """(B, 3, S, S) of (B, 3, W, W), from the top left corner (0, 0) to the bottom right one (1, 1)."""
    room = images.shape[-1] - side
    top, left = int(room * down), int(room * right)
    return images[..., top : top + side, left : left + side]


def _enlarge(images: Tensor, side: int) -> Tensor:
    """The middle 1 / SCALE of wide images at the side S: pixels are averaged where there are enough of them."""
    middle = round(images.shape[-1] / SCALE)
    return _resize(_crop(images, middle, down=0.5, right=0.5), side)


def _shrink(images: Tensor, side: int) -> Tensor:
    """The whole images at 1 / SCALE of their side, their edge repeated around them."""
    inner = min(round(side / SCALE), side - 1)
    start = -((side - inner) // 2)
    return _frame(_resize(images, inner), side, top=start, left=start)


def _resize(images: Tensor, side: int) -> Tensor:
    from torch.nn.functional import interpolate

    return interpolate(images, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def _create_dihedral_view(name: str, *, mirrored: bool, quarter_turns: int) -> View:
    return View(
        name,
        partial(_turn, mirrored=mirrored, quarter_turns=quarter_turns),
        partial(_turn_back, mirrored=mirrored, quarter_turns=quarter_turns),
    )


def _create_shift_view(name: str, *, down: int = 0, right: int = 0) -> View:
    return View(name, partial(_shift, down=down, right=right), partial(_shift, down=-down, right=-right))


def _create_crop_view(name: str, *, down: float, right: float) -> View:
    return View(name, partial(_crop, down=down, right=right), None, wide=True)


IDENTITY = View("identity", _leave_unchanged, _leave_unchanged)
MIRROR = _create_dihedral_view("mirror", mirrored=True, quarter_turns=0)
TURNS = tuple(
    _create_dihedral_view(f"{'mirror-' * mirrored}rotate{90 * turns}", mirrored=mirrored, quarter_turns=turns)
    for mirrored in (False, True)
    for turns in (1, 2, 3)
)
SHIFTS = (
    _create_shift_view("up", down=-1),
    _create_shift_view("down", down=1),
    _create_shift_view("left", right=-1),
    _create_shift_view("right", right=1),
)
SCALES = (View("larger", _enlarge, None, wide=True, centred=True), View("smaller", _shrink, None))
CROPS = (
    _create_crop_view("top-left", down=0.0, right=0.0),
    _create_crop_view("top-right", down=0.0, right=1.0),
    _create_crop_view("bottom-left", down=1.0, right=0.0),
    _create_crop_view("bottom-right", down=1.0, right=1.0),
    _create_crop_view("centre", down=0.5, right=0.5),
)

TTA_GROUPS: dict[str, tuple[View, ...]] = {
    "none": (IDENTITY,),
    "flips": (IDENTITY, MIRROR),
    "dihedral": (IDENTITY, MIRROR, *TURNS),
    "shifts": (IDENTITY, *SHIFTS),
    "scales": (IDENTITY, *SCALES),
    "crops": (IDENTITY, *CROPS),
}
# Views that are taken or left together, the identity not among them.
VIEW_BUNDLES: dict[str, tuple[View, ...]] = {
    "mirror": (MIRROR,),
    "turns": TURNS,
    "shifts": SHIFTS,
    "scales": SCALES,
    "crops": CROPS,
}
VIEWS: dict[str, View] = {view.name: view for group in TTA_GROUPS.values() for view in group}
MIRRORING = ("flips", "dihedral")
AUTO = "auto"  # of each member the views that its training has shown it and that help out of fold


def parse_tta(name: str, *, flips: bool) -> str:
    """Return the name itself, of a group or AUTO, where a mirrored image keeps its label (flips) or may not.

    Raises:
        UsageError: there is no such group, or it mirrors images where that may change the label.
    """
    if name != AUTO and name not in TTA_GROUPS:
        raise UsageError(f"there is no group of views '{name}'", hint=f"use one of {', '.join((AUTO, *TTA_GROUPS))}")
    if name in MIRRORING and not flips:
        raise UsageError(
            f"'{name}' mirrors images, but a mirrored image of this competition may not keep its label",
            hint="use the group 'shifts', 'scales', 'crops' or 'none'",
        )
    return name


def compute_wide_side(image_size: int, cached_side: int) -> int:
    """Return the side W of the images that wide views take: as the cache has them, or enlarged where it has no more."""
    return cached_side if cached_side > image_size else round(WIDTH * image_size)


def get_trained_bundles(augment: AugmentConfig, *, flips: bool) -> tuple[str, ...]:
    """Return the bundles of views that this augmentation policy has shown to a model in training.

    Source: automl.data.augmentation. Other views turn too many right predictions into wrong ones: Shanmugam et al.
    2021, Better Aggregation in Test-Time Augmentation, arXiv 2011.11156.
    """
    mirror = ("mirror",) if flips else ()
    match augment.policy:
        case "none" | "photometric":
            return ()
        case "heavy":
            return (*mirror, "shifts", "scales")
        case "dihedral" if flips:
            return ("mirror", "turns", "crops")
        case _:
            return (*mirror, "crops")
