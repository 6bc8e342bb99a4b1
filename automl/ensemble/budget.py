"""How much of an ensemble fits into a time.

Pure arithmetic on what the recipe says of seconds and of gains. Not responsible for: measuring a machine or predicting
(automl.ensemble.apply), or for which part is worth how much (automl.ensemble.build, which orders the savings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from automl.ensemble.recipe import Recipe, RecipeMember, Saving


def trimmed(recipe: Recipe, *, n_images: int, budget_s: float, slower: float = 1.0) -> Recipe:
    """The recipe without as many of its savings, in their order, as it takes to fit into the time.

    Views go before members, and views that no saving names after those that one does. At least one member stays, with
    the identity: where all savings are not enough, the heaviest members that fit; where none does, the quickest. The
    weights sum to 1 again. A recipe that fits is returned as it is.

    Args:
        slower: how many times as long this machine takes as the one that measured the recipe's seconds.
    """

    def fits(cost: float) -> bool:
        return cost * n_images * slower <= budget_s

    kept = recipe
    for saving in _all_savings(recipe):
        if fits(kept.cost):
            return kept
        kept = _without(kept, saving)
    return kept if fits(kept.cost) else _quick_enough(recipe, fits)


def with_members(recipe: Recipe, members: Sequence[RecipeMember]) -> Recipe:
    """The recipe with these of its members, perhaps with fewer views; weights sum to 1, and made savings are gone."""
    total = sum(member.weight for member in members) if len(members) < len(recipe.members) else 1.0
    views = {view for member in members for view in member.views[1:]}
    names = {member.name for member in members}
    return replace(
        recipe,
        members=tuple(replace(member, weight=member.weight / total) for member in members),
        savings=tuple(saving for saving in recipe.savings if saving.view in views or saving.member in names),
    )


def further_views(recipe: Recipe) -> tuple[str, ...]:
    """The views beside the identity, the one that would be left out last first."""
    return tuple(reversed([saving.view for saving in _all_savings(recipe) if saving.view is not None]))


def _all_savings(recipe: Recipe) -> Iterator[Saving]:
    """Views first, those that the recipe does not name among them, and then its members."""
    views = list(dict.fromkeys(view for member in recipe.members for view in member.views[1:]))
    named_views = [saving.view for saving in recipe.savings if saving.view in views]
    for view in dict.fromkeys([*named_views, *reversed(views)]):
        yield Saving(view=view)
    yield from (saving for saving in recipe.savings if saving.member is not None)


def _without(recipe: Recipe, saving: Saving) -> Recipe:
    """The recipe without the view or the member; as it is where that is the last member."""
    if saving.view is not None:
        return with_members(recipe, [_without_view(member, saving.view) for member in recipe.members])
    others = [member for member in recipe.members if member.name != saving.member]
    return with_members(recipe, others) if others else recipe


def _without_view(member: RecipeMember, view: str) -> RecipeMember:
    return replace(member, views=tuple(other for other in member.views if other != view))


def _quick_enough(recipe: Recipe, fits: Callable[[float], bool]) -> Recipe:
    """The heaviest members that fit together, with the identity alone; the quickest one where none does."""
    plain = [replace(member, views=member.views[:1]) for member in recipe.members]
    kept: list[RecipeMember] = []
    for member in sorted(plain, key=lambda member: -member.weight):
        if fits(sum(other.cost for other in (*kept, member))):
            kept.append(member)
    return with_members(recipe, kept or [min(plain, key=lambda member: member.cost)])
