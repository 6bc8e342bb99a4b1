"""The algebra of views."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from automl.ensemble.tta import GROUPS, IDENTITY, View, group_of, views_of
from automl.errors import UsageError


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_begins_with_the_identity_and_repeats_no_name(group: str, images: torch.Tensor) -> None:
    views = views_of(group, flips=True)
    assert views[0] is IDENTITY
    assert torch.equal(views[0].apply(images), images)
    assert len({view.name for view in views}) == len(views)


@pytest.mark.parametrize("view", GROUPS["dihedral"], ids=lambda view: view.name)
def test_the_inverse_of_a_flip_or_turn_gives_the_images_back(view: View, images: torch.Tensor) -> None:
    assert torch.equal(view.inverse(view.apply(images)), images)
    assert torch.equal(view.apply(view.inverse(images)), images)


def test_the_eight_dihedral_views_are_distinct_and_closed_under_composition(images: torch.Tensor) -> None:
    seen = [view.apply(images) for view in GROUPS["dihedral"]]
    assert len(seen) == 8
    for i, j in product(range(8), repeat=2):
        assert torch.equal(seen[i], seen[j]) == (i == j)
    for first, second in product(GROUPS["dihedral"], repeat=2):
        composed = second.apply(first.apply(images))
        assert sum(torch.equal(composed, known) for known in seen) == 1


def test_the_flip_is_horizontal(images: torch.Tensor) -> None:
    _, mirror = views_of("flips", flips=True)
    mirrored = mirror.apply(images)
    assert torch.equal(mirrored[:, :, :, 0], images[:, :, :, -1])
    assert torch.equal(mirrored[:, :, 0].flip(-1), images[:, :, 0])


@pytest.mark.parametrize(("side", "pixels"), [(32, 2), (224, 14), (8, 1)])
def test_a_shift_moves_a_sixteenth_of_the_side_and_repeats_the_edge(side: int, pixels: int) -> None:
    ramp = torch.arange(side, dtype=torch.float32).expand(1, 3, side, side)  # grows to the right
    expected_right = (torch.arange(side) - pixels).clamp(min=0).float().expand(1, 3, side, side)
    expected_left = (torch.arange(side) + pixels).clamp(max=side - 1).float().expand(1, 3, side, side)
    views = {view.name: view for view in GROUPS["shifts"]}
    assert torch.equal(views["right"].apply(ramp), expected_right)
    assert torch.equal(views["left"].apply(ramp), expected_left)
    assert torch.equal(views["down"].apply(ramp.mT), expected_right.mT)
    assert torch.equal(views["up"].apply(ramp.mT), expected_left.mT)


@pytest.mark.parametrize("view", GROUPS["shifts"], ids=lambda view: view.name)
def test_a_shift_and_its_inverse_give_the_inner_image_back(view: View, images: torch.Tensor) -> None:
    back = view.inverse(view.apply(images))
    assert torch.equal(back[:, :, 2:-2, 2:-2], images[:, :, 2:-2, 2:-2])


@pytest.mark.parametrize("group", ["flips", "dihedral"])
def test_views_that_mirror_are_refused_where_a_mirrored_image_may_change_its_label(group: str) -> None:
    with pytest.raises(UsageError, match=group) as caught:
        views_of(group, flips=False)
    assert "shifts" in caught.value.hint


def test_auto_is_flips_where_they_are_allowed_and_shifts_elsewhere() -> None:
    assert group_of("auto", flips=True) == "flips"
    assert group_of("auto", flips=False) == "shifts"
    assert views_of("shifts", flips=False) == GROUPS["shifts"]


def test_an_unknown_group_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'crops'") as caught:
        views_of("crops", flips=True)
    assert "auto, none, flips, dihedral, shifts" in caught.value.hint
