"""An ensemble as a recipe: all that is needed, beside its members' weights, to predict images that it has never seen.

Plain data, so that it can stand in ensemble.json and leave the house in a kit. Not responsible for: how it was found
(automl.ensemble.build), where the weights lie, or predicting (automl.ensemble.apply).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automl.config import TrialConfig
from automl.errors import StorageError

KINDS = ("search", "pseudo", "distilled")  # how a member was trained


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeMember:
    """A trial in the ensemble.

    Attributes:
        number: of the trial.
        kind: "search" for the trial itself, with all folds that it has; "pseudo" and "distilled" for what a lesson
            made of it.
        weight: in the blend; the weights of all members sum to 1.
        temperature: by which its logits are divided, after views and folds are averaged; 1 leaves them.
        config: with the image sizes that it was trained at.
        folds: whose models are averaged.
        views: their names, the identity first.
        seconds_per_image: of one view through one fold's model, where the ensemble was made.
    """

    number: int
    kind: str
    weight: float
    temperature: float
    config: TrialConfig
    folds: tuple[int, ...]
    views: tuple[str, ...]
    seconds_per_image: float

    @property
    def name(self) -> str:
        """Unlike that of any other member: "17", or "17-pseudo"."""
        return member_name(self.number, self.kind)

    @property
    def image_size(self) -> int:
        return self.config.resize.image_sizes[-1]

    @property
    def cost(self) -> float:
        """Seconds per image of all its views and folds."""
        return self.seconds_per_image * len(self.folds) * len(self.views)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What may be left out where time is short: a view, of all members that have it, or else a member."""

    view: str | None = None
    member: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Members, how they are blended, and what decides.

    Attributes:
        members: the heaviest first.
        by_rank: whether ranks are averaged.
        rule: as its to_json has it.
        short_side: the median short side of the training images in pixels, on which the size of cached pixels depends.
        savings: what to leave out first, by gain per second: all views before any member.
        n_threads: processor cores that the arithmetic was shared among; other numbers may change the last bits.
    """

    members: tuple[RecipeMember, ...]
    by_rank: bool
    rule: Mapping[str, Any]
    short_side: float
    savings: tuple[Saving, ...]
    n_threads: int

    @property
    def cost(self) -> float:
        """Seconds per image."""
        return sum(member.cost for member in self.members)

    def to_json(self) -> dict[str, Any]:
        return {
            "members": [_written(member) for member in self.members],
            "by_rank": self.by_rank,
            "rule": dict(self.rule),
            "short_side": self.short_side,
            "savings": [{"view": saving.view, "member": saving.member} for saving in self.savings],
            "n_threads": self.n_threads,
        }


def member_name(number: int, kind: str) -> str:
    """A member's name, from its trial's number and how it was trained."""
    return str(number) if kind == "search" else f"{number}-{kind}"


def recipe_from_json(document: Mapping[str, Any]) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        StorageError: it is none, or of another version.
    """
    try:
        return Recipe(
            members=tuple(_read(member) for member in document["members"]),
            by_rank=bool(document["by_rank"]),
            rule=dict(document["rule"]),
            short_side=float(document["short_side"]),
            savings=tuple(Saving(view=saving["view"], member=saving["member"]) for saving in document["savings"]),
            n_threads=int(document["n_threads"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"the recipe of an ensemble cannot be understood: {error!r}", hint="make it again: automl ensemble"
        ) from error


def _written(member: RecipeMember) -> dict[str, Any]:
    return {
        "number": member.number,
        "kind": member.kind,
        "weight": member.weight,
        "temperature": member.temperature,
        "config": member.config.to_json(),
        "folds": list(member.folds),
        "views": list(member.views),
        "seconds_per_image": member.seconds_per_image,
    }


def _read(document: Mapping[str, Any]) -> RecipeMember:
    return RecipeMember(
        number=int(document["number"]),
        kind=str(document["kind"]),
        weight=float(document["weight"]),
        temperature=float(document["temperature"]),
        config=TrialConfig.from_json(document["config"]),
        folds=tuple(int(fold) for fold in document["folds"]),
        views=tuple(str(view) for view in document["views"]),
        seconds_per_image=float(document["seconds_per_image"]),
    )
