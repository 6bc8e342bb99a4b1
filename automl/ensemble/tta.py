"""Test-time augmentation: the views of an image that a trained model is asked about, and the groups they form.

A view acts on a batch of square images, (B, 3, S, S). Not responsible for: predicting or averaging
(automl.ensemble.predict).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from automl.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

SHIFT_FRACTION = 16  # a shift moves an image by one sixteenth of its side


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at the same images.

    Attributes:
        apply: (B, 3, S, S) -> (B, 3, S, S).
        inverse: undoes `apply`; exactly where the view only permutes pixels, but for the border where it shifts them.
    """

    name: str
    apply: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


def _turned(images: Tensor, *, mirrored: bool, quarter_turns: int) -> Tensor:
    seen = images.flip(-1) if mirrored else images
    return seen.rot90(quarter_turns, (-2, -1))


def _turned_back(images: Tensor, *, mirrored: bool, quarter_turns: int) -> Tensor:
    straight = images.rot90(-quarter_turns, (-2, -1))
    return straight.flip(-1) if mirrored else straight


def _shifted(images: Tensor, *, down: int, right: int) -> Tensor:
    return _moved(_moved(images, dim=-2, steps=down), dim=-1, steps=right)


def _moved(images: Tensor, *, dim: int, steps: int) -> Tensor:
    """The images moved along one dimension, their edge repeated into what comes free."""
    import torch

    side = images.shape[dim]
    pixels = steps * max(1, side // SHIFT_FRACTION)
    sources = (torch.arange(side, device=images.device) - pixels).clamp(0, side - 1)
    return images.index_select(dim, sources)


def _dihedral_view(name: str, *, mirrored: bool, quarter_turns: int) -> View:
    return View(
        name,
        partial(_turned, mirrored=mirrored, quarter_turns=quarter_turns),
        partial(_turned_back, mirrored=mirrored, quarter_turns=quarter_turns),
    )


def _shift_view(name: str, *, down: int = 0, right: int = 0) -> View:
    return View(name, partial(_shifted, down=down, right=right), partial(_shifted, down=-down, right=-right))


def _same(images: Tensor) -> Tensor:
    return images


IDENTITY = View("identity", _same, _same)
MIRROR = _dihedral_view("mirror", mirrored=True, quarter_turns=0)

GROUPS: dict[str, tuple[View, ...]] = {
    "none": (IDENTITY,),
    "flips": (IDENTITY, MIRROR),
    "dihedral": (
        IDENTITY,
        *(_dihedral_view(f"rotate{90 * turns}", mirrored=False, quarter_turns=turns) for turns in (1, 2, 3)),
        MIRROR,
        *(_dihedral_view(f"mirror-rotate{90 * turns}", mirrored=True, quarter_turns=turns) for turns in (1, 2, 3)),
    ),
    "shifts": (
        IDENTITY,
        _shift_view("up", down=-1),
        _shift_view("down", down=1),
        _shift_view("left", right=-1),
        _shift_view("right", right=1),
    ),
}
MIRRORING = ("flips", "dihedral")
AUTO = "auto"  # the cheapest group that is safe; automl.ensemble.build drops it where it does harm


def group_of(name: str, *, flips: bool) -> str:
    """The group that a name means, where a mirrored image keeps its label (flips) or may not.

    Raises:
        UsageError: there is no such group, or it mirrors images where that may change the label.
    """
    if name == AUTO:
        return "flips" if flips else "shifts"
    if name not in GROUPS:
        raise UsageError(f"there is no group of views '{name}'", hint=f"use one of {', '.join((AUTO, *GROUPS))}")
    if name in MIRRORING and not flips:
        raise UsageError(
            f"'{name}' mirrors images, but a mirrored image of this competition may not keep its label",
            hint="use the group 'shifts' or 'none'",
        )
    return name


def views_of(group: str, *, flips: bool) -> tuple[View, ...]:
    """The views of a group, the identity first.

    Raises:
        UsageError: as `group_of`.
    """
    return GROUPS[group_of(group, flips=flips)]
