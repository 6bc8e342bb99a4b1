"""Recipes that a test makes up."""

from __future__ import annotations

from collections.abc import Sequence

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.ensemble.ensemble_recipe import Drop, Recipe, RecipeMember


def member_of(
    number: int,
    weight: float,
    *,
    seconds: float = 1.0,
    folds: Sequence[int] = (0,),
    views: Sequence[str] = ("identity",),
    temperature: float = 1.0,
    member_kind: str = "search",
    image_size: int = 16,
    shares_backbone: bool = False,
) -> RecipeMember:
    return RecipeMember(
        number=number,
        member_kind=member_kind,
        weight=weight,
        temperature=temperature,
        config=TrialConfig(
            model=ModelConfig(backbone="test_byobnet", pretrained=False), resize=ResizeConfig(image_sizes=(image_size,))
        ),
        folds=tuple(folds),
        views=tuple(views),
        seconds_per_image=seconds,
        shares_backbone=shares_backbone,
    )


def recipe_of(
    *members: RecipeMember,
    dropped_views: Sequence[str] = (),
    dropped_members: Sequence[str] = (),
    by_rank: bool = False,
) -> Recipe:
    """Of members whose views and names are left out in that order."""
    drops = [Drop(view=view) for view in dropped_views] + [Drop(member=name) for name in dropped_members]
    return Recipe(
        members=members,
        by_rank=by_rank,
        rule={"rule": "plain"},
        short_side=64.0,
        drop_order=tuple(drops),
        n_threads=1,
    )
