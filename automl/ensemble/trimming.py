"""An ensemble cut down to a time: what is left of a choice and of its recipe, in words and in minutes.

Not responsible for: the order in which parts are left out (automl.ensemble.figures) or the arithmetic of the time
(automl.ensemble.budget).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from automl.deadline import duration
from automl.ensemble.budget import trimmed
from automl.ensemble.choose import Choice
from automl.ensemble.pool import Note
from automl.ensemble.recipe import Recipe
from automl.errors import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long predicting so many test images may take."""

    minutes: float
    n_images: int

    @property
    def words(self) -> str:
        return f"{self.minutes:g} min for {self.n_images} test images"


def trimmed_to(budget: Budget, choice: Choice, recipe: Recipe, *, note: Note) -> tuple[Choice, Recipe]:
    """The choice and the recipe without what has no time; as they are, with a line saying so, where all of it fits."""
    whole_s = recipe.cost * budget.n_images
    kept = trimmed(recipe, n_images=budget.n_images, budget_s=60.0 * budget.minutes)
    kept_s = kept.cost * budget.n_images
    if kept == recipe and kept_s <= 60.0 * budget.minutes:
        note(f"time: {duration(kept_s)} of {budget.words}, so nothing is left out")
        return choice, recipe
    names = {member.name for member in kept.members}
    views = {view for member in kept.members for view in member.views}
    gone = [f"view {view}" for view in choice.views if view not in views]
    gone += [f"trial {member.name}" for member in recipe.members if member.name not in names]
    left_out = f"{listed(gone, at_most=10)} left out, " if gone else "nothing can be left out, "
    short = "" if kept_s <= 60.0 * budget.minutes else ", which is more than there is"
    taken = f"all would take {duration(whole_s)} of {budget.words}; the rest takes {duration(kept_s)}{short}"
    note(f"time: {left_out}as {taken}")
    left = choice.trimmed(members=names, views=views)
    temperatures = left.fit.final.temperatures
    members = [replace(own, temperature=float(temperatures[left.position(own.name)])) for own in kept.members]
    return left, replace(kept, members=tuple(members))
