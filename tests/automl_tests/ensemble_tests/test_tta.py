"""The algebra of views."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch
from PIL import Image

from automl.config import AUGMENT_POLICIES, AugmentConfig
from automl.ensemble.tta import IDENTITY, TTA_GROUPS, VIEW_BUNDLES, VIEWS, View, get_trained_bundles, parse_tta
from automl.errors import UsageError

SIDE, WIDE = 32, 40


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def wide_images() -> torch.Tensor:
    return torch.rand(2, 3, WIDE, WIDE, generator=torch.Generator().manual_seed(1))


def numbered(side: int, device: str = "cpu") -> torch.Tensor:
    """(1, 3, side, side): each pixel is 100 times its row and its column."""
    place = torch.arange(side, dtype=torch.float32, device=device)
    return (100 * place[:, None] + place).expand(1, 3, side, side)


def corners(images: torch.Tensor) -> list[float]:
    """Top left, top right, bottom left, bottom right."""
    return [images[0, 0, y, x].item() for y in (0, -1) for x in (0, -1)]


def back(view: View, images: torch.Tensor) -> torch.Tensor:
    assert view.inverse is not None
    return view.inverse(images, images.shape[-1])


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_where_the_identity_shows_everything_views_are_applied_as_they_are(
    view: View, images: torch.Tensor, wide_images: torch.Tensor
) -> None:
    given = wide_images if view.wide else images
    assert torch.equal(view.apply_to_shown(given, side=SIDE, shown=1.0), view.apply(given, SIDE))


def test_larger_magnifies_what_the_identity_shows_and_crops_are_of_the_whole() -> None:
    wide = numbered(80)
    larger = VIEWS["larger"].apply_to_shown(wide, side=SIDE, shown=0.5)
    top, bottom = larger[0, 0, 0, 0].item(), larger[0, 0, -1, -1].item()
    assert 101 * 21 < top < 101 * 23  # the middle 40 begin at 20, and 36 of them at 22
    assert 101 * 56 < bottom < 101 * 58
    assert corners(VIEWS["top-left"].apply_to_shown(wide, side=SIDE, shown=0.5))[0] == 0


@pytest.mark.parametrize("group", TTA_GROUPS)
def test_every_group_begins_with_the_identity_and_repeats_no_name(group: str, images: torch.Tensor) -> None:
    views = TTA_GROUPS[group]
    assert views[0] is IDENTITY
    assert torch.equal(views[0].apply(images, SIDE), images)
    assert len({view.name for view in views}) == len(views)


def test_bundles_part_the_views_and_every_view_is_known_by_its_name() -> None:
    bundled = [view for bundle in VIEW_BUNDLES.values() for view in bundle]
    assert IDENTITY not in bundled
    assert len(bundled) == len(VIEWS) - 1 == 18
    assert all(VIEWS[view.name] is view for view in bundled)
    assert {view.name for view in TTA_GROUPS["dihedral"]} == {
        "identity",
        "mirror",
        *(v.name for v in VIEW_BUNDLES["turns"]),
    }


def test_each_view_shows_something_else_at_the_models_side(images: torch.Tensor) -> None:
    """The wide images hold the plain ones in their middle, so that only a view's own transform makes them differ."""
    wide = torch.nn.functional.pad(images, (4, 4, 4, 4), mode="reflect")
    seen = {name: view.apply(wide if view.wide else images, SIDE) for name, view in VIEWS.items() if name != "centre"}
    assert all(shown.shape == images.shape for shown in seen.values())
    assert torch.equal(VIEWS["centre"].apply(wide, SIDE), images)
    for first, second in combinations(seen, 2):
        assert (seen[first] - seen[second]).abs().max() > 0.1, (first, second)


@pytest.mark.parametrize("view", TTA_GROUPS["dihedral"], ids=lambda view: view.name)
def test_the_inverse_of_a_flip_or_turn_gives_the_images_back(view: View, images: torch.Tensor) -> None:
    assert torch.equal(back(view, view.apply(images, SIDE)), images)
    assert torch.equal(view.apply(back(view, images), SIDE), images)


def test_the_eight_dihedral_views_are_distinct_and_closed_under_composition(images: torch.Tensor) -> None:
    seen = [view.apply(images, SIDE) for view in TTA_GROUPS["dihedral"]]
    assert len(seen) == 8
    for i, j in product(range(8), repeat=2):
        assert torch.equal(seen[i], seen[j]) == (i == j)
    for first, second in product(TTA_GROUPS["dihedral"], repeat=2):
        composed = second.apply(first.apply(images, SIDE), SIDE)
        assert sum(torch.equal(composed, known) for known in seen) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mirror", [31, 0, 3131, 3100]),
        ("rotate90", [31, 3131, 0, 3100]),  # against the clock: the right edge comes to the top
        ("rotate180", [3131, 3100, 31, 0]),
        ("rotate270", [3100, 0, 3131, 31]),
        ("mirror-rotate90", [0, 3100, 31, 3131]),  # the transposed image
        ("mirror-rotate180", [3100, 3131, 0, 31]),  # the image upside down
    ],
)
def test_a_turn_takes_the_corners_where_its_name_says(name: str, expected: list[float]) -> None:
    assert corners(VIEWS[name].apply(numbered(SIDE), SIDE)) == expected


@pytest.mark.parametrize(("side", "pixels"), [(32, 2), (224, 14), (8, 1)])
def test_a_shift_moves_a_sixteenth_of_the_side_and_repeats_the_edge(side: int, pixels: int) -> None:
    ramp = torch.arange(side, dtype=torch.float32).expand(1, 3, side, side)  # grows to the right
    expected_right = (torch.arange(side) - pixels).clamp(min=0).float().expand(1, 3, side, side)
    expected_left = (torch.arange(side) + pixels).clamp(max=side - 1).float().expand(1, 3, side, side)
    assert torch.equal(VIEWS["right"].apply(ramp, side), expected_right)
    assert torch.equal(VIEWS["left"].apply(ramp, side), expected_left)
    assert torch.equal(VIEWS["down"].apply(ramp.mT, side), expected_right.mT)
    assert torch.equal(VIEWS["up"].apply(ramp.mT, side), expected_left.mT)


@pytest.mark.parametrize("view", TTA_GROUPS["shifts"], ids=lambda view: view.name)
def test_a_shift_and_its_inverse_give_the_inner_image_back(view: View, images: torch.Tensor) -> None:
    again = back(view, view.apply(images, SIDE))
    assert torch.equal(again[:, :, 2:-2, 2:-2], images[:, :, 2:-2, 2:-2])


@pytest.mark.parametrize(
    ("name", "top", "left"),
    [("top-left", 0, 0), ("top-right", 0, 5), ("bottom-left", 5, 0), ("bottom-right", 5, 5), ("centre", 2, 2)],
)
def test_a_crop_takes_the_pixels_of_its_corner_as_they_are(name: str, top: int, left: int) -> None:
    crop = VIEWS[name]
    assert crop.wide
    expected = numbered(37)[:, :, top : top + SIDE, left : left + SIDE]
    assert torch.equal(crop.apply(numbered(37), SIDE), expected)


def test_the_five_crops_together_see_every_pixel_of_the_wide_image(wide_images: torch.Tensor) -> None:
    seen = torch.cat([view.apply(wide_images, SIDE).flatten() for view in VIEW_BUNDLES["crops"]])
    assert torch.equal(seen.unique(), wide_images.flatten().unique())


def ramp(side: int) -> torch.Tensor:
    """(1, 3, side, side): each pixel is its column."""
    return torch.arange(side, dtype=torch.float32).expand(1, 3, side, side)


def shrunk_by_pillow(image: torch.Tensor, side: int) -> torch.Tensor:
    """(side, side) of one channel; an independent reference."""
    return torch.from_numpy(np.array(Image.fromarray(image.numpy()).resize((side, side), Image.Resampling.BILINEAR)))


def test_larger_shows_the_middle_of_a_wide_image(wide_images: torch.Tensor) -> None:
    """Of 40 pixels the middle 36, on 32; on a ramp the centre of pixel i lies at 2 + (i + 1/2) 36/32 - 1/2."""
    larger = VIEWS["larger"]
    assert larger.wide
    seen = larger.apply(wide_images, SIDE)
    assert torch.allclose(seen[1, 2], shrunk_by_pillow(wide_images[1, 2, 2:-2, 2:-2], SIDE), atol=1e-5)
    expected = 2 + (torch.arange(SIDE) + 0.5) * 36 / 32 - 0.5
    assert torch.allclose(larger.apply(ramp(WIDE), SIDE)[0, 1, 7, 1:-1], expected[1:-1], atol=0.1)


def test_smaller_shows_the_whole_image_with_its_edge_repeated_around_it(images: torch.Tensor) -> None:
    """32 pixels on 29, of which the first is repeated once before them and the last twice after them."""
    smaller = VIEWS["smaller"]
    assert not smaller.wide
    seen = smaller.apply(images, SIDE)[1, 2]
    assert torch.allclose(seen[1:30, 1:30], shrunk_by_pillow(images[1, 2], 29), atol=1e-5)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[29:], seen[29].expand(3, SIDE))
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert torch.equal(seen[:, 29:], seen[:, 29:30].expand(SIDE, 3))


@pytest.mark.parametrize("group", ["flips", "dihedral"])
def test_views_that_mirror_are_refused_where_a_mirrored_image_may_change_its_label(group: str) -> None:
    assert parse_tta(group, flips=True) == group
    with pytest.raises(UsageError, match=group) as caught:
        parse_tta(group, flips=False)
    assert "shifts" in caught.value.hint


@pytest.mark.parametrize("group", ["auto", "none", "shifts", "scales", "crops"])
def test_other_groups_suit_every_competition(group: str) -> None:
    assert parse_tta(group, flips=False) == parse_tta(group, flips=True) == group


def test_an_unknown_group_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'ten-crop'") as caught:
        parse_tta("ten-crop", flips=True)
    assert "auto, none, flips, dihedral, shifts, scales, crops" in caught.value.hint


@pytest.mark.parametrize(
    ("policy", "with_flips", "without"),
    [
        ("none", (), ()),
        ("photometric", (), ()),
        ("light", ("mirror", "crops"), ("crops",)),
        ("medium", ("mirror", "crops"), ("crops",)),
        ("rand", ("mirror", "crops"), ("crops",)),
        ("heavy", ("mirror", "shifts", "scales"), ("shifts", "scales")),
        ("dihedral", ("mirror", "turns", "crops"), ("crops",)),
    ],
)
def test_a_member_is_offered_the_views_that_its_training_has_shown_it(
    policy: str, with_flips: tuple[str, ...], without: tuple[str, ...]
) -> None:
    augment = AugmentConfig(policy=policy, magnitude=5.0 if policy == "rand" else None)
    assert get_trained_bundles(augment, flips=True) == with_flips
    assert get_trained_bundles(augment, flips=False) == without


def test_no_policy_offers_label_changing_views_where_flips_are_forbidden() -> None:
    for policy in AUGMENT_POLICIES:
        augment = AugmentConfig(policy=policy, magnitude=5.0 if policy == "rand" else None)
        assert not {"mirror", "turns"} & set(get_trained_bundles(augment, flips=False))
        assert set(get_trained_bundles(augment, flips=True)) <= VIEW_BUNDLES.keys()
