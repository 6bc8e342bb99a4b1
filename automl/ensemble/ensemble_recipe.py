"""An ensemble as plain data: all that is needed, beside its networks' weights, to predict images.

It stands in ensemble.json and in a kit.

Not responsible for: how it was found (automl.ensemble.build), where the weights lie, or predicting
(automl.ensemble.apply).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.artifacts import read_json
from automl.config import TrialConfig
from automl.errors import StorageError, UsageError

SEARCH = "search"
PROBE = "probe"
TRIAL_KINDS = (SEARCH, "pseudo", "distilled")  # how a member that is a trial was trained
MEMBER_KINDS = (*TRIAL_KINDS, PROBE)
IDENTITY_VIEW = "identity"  # of the view that every member has
WEIGHT_TOLERANCE = 1e-6  # by which a sum of weights may miss 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeMember:
    """A trial or a probe in the ensemble.

    Attributes:
        number: of the trial, or of the probe in the study of probes.
        member_kind: how it was trained: "search" for the trial itself, with all folds that it has; "pseudo" for one
            trained with pseudo-labels, "distilled" for one trained with soft targets; "probe" for a light head on a
            frozen backbone.
        weight: in the blend; the weights of all members sum to 1.
        temperature: by which its logits are divided, after views and folds are averaged; 1 leaves them.
        config: with the image sizes that it was trained at.
        folds: whose models are averaged.
        views: their names, the identity first.
        seconds_per_image: of one view through one fold's model, where the ensemble was made. Where all folds share
            one backbone, which then sees an image once, each has its part of that.
        shares_backbone: whether its folds are heads on one backbone that training has not changed.
    """

    number: int
    member_kind: str
    weight: float
    temperature: float
    config: TrialConfig
    folds: tuple[int, ...]
    views: tuple[str, ...]
    seconds_per_image: float
    shares_backbone: bool = False

    @property
    def name(self) -> str:
        """Unlike that of any other member: "17", "17-pseudo", or "3-probe"."""
        return format_member_name(self.number, self.member_kind)

    @property
    def image_size(self) -> int:
        """The one it was trained with last."""
        return self.config.resize.image_sizes[-1]

    @property
    def cost(self) -> float:
        """Seconds per image of all its views and folds."""
        return self.seconds_per_image * len(self.folds) * len(self.views)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `from_json` reads."""
        return {
            "number": self.number,
            "kind": self.member_kind,
            "weight": self.weight,
            "temperature": self.temperature,
            "config": self.config.to_json(),
            "folds": list(self.folds),
            "views": list(self.views),
            "seconds_per_image": self.seconds_per_image,
            **({"shares_backbone": True} if self.shares_backbone else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RecipeMember:
        """Return the member that `to_json` wrote."""
        return cls(
            number=int(document["number"]),
            member_kind=str(document["kind"]),
            weight=float(document["weight"]),
            temperature=float(document["temperature"]),
            config=TrialConfig.from_json(document["config"]),
            folds=tuple(int(fold) for fold in document["folds"]),
            views=tuple(str(view) for view in document["views"]),
            seconds_per_image=float(document["seconds_per_image"]),
            shares_backbone=bool(document.get("shares_backbone", False)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """What may be left out where time is short: a view, of all members that have it, or else a member."""

    view: str | None = None
    member: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Members, how they are blended, and the decision rule.

    Attributes:
        members: the heaviest first.
        by_rank: whether ranks are averaged.
        rule: the decision rule, as its to_json has it.
        short_side: the median short side of the training images in pixels, on which the size of cached pixels depends.
        drop_order: what to leave out first, by gain per second: all views before any member.
        n_threads: processor cores that the arithmetic was shared among; other numbers may change the last bits.
    """

    members: tuple[RecipeMember, ...]
    by_rank: bool
    rule: Mapping[str, Any]
    short_side: float
    drop_order: tuple[Drop, ...]
    n_threads: int

    @property
    def cost(self) -> float:
        """Seconds per image."""
        return sum(member.cost for member in self.members)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `parse_recipe` reads."""
        return {
            "members": [member.to_json() for member in self.members],
            "by_rank": self.by_rank,
            "rule": dict(self.rule),
            "short_side": self.short_side,
            "savings": [{"view": drop.view, "member": drop.member} for drop in self.drop_order],
            "n_threads": self.n_threads,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Recipe:
        """Return the recipe that `to_json` wrote, unchecked."""
        return cls(
            members=tuple(RecipeMember.from_json(member) for member in document["members"]),
            by_rank=bool(document["by_rank"]),
            rule=dict(document["rule"]),
            short_side=float(document["short_side"]),
            drop_order=tuple(Drop(view=drop["view"], member=drop["member"]) for drop in document["savings"]),
            n_threads=int(document["n_threads"]),
        )

    def require_valid(self) -> None:
        """Require what every recipe has.

        Raises:
            ValueError: it is not there.
        """
        names = [member.name for member in self.members]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"members {names}")
        for member in self.members:
            if member.member_kind not in MEMBER_KINDS or not member.folds or member.views[:1] != (IDENTITY_VIEW,):
                raise ValueError(f"member {member.name}: folds {member.folds}, views {member.views}")
            positive = (member.weight, member.temperature)
            if not all(math.isfinite(number) and number > 0 for number in positive):
                raise ValueError(f"member {member.name}: weight {member.weight}, temperature {member.temperature}")
            if not 0 <= member.seconds_per_image < math.inf:
                raise ValueError(f"member {member.name}: {member.seconds_per_image} seconds per image")
        if abs(math.fsum(member.weight for member in self.members) - 1.0) > WEIGHT_TOLERANCE:
            raise ValueError("the weights do not sum to 1")
        if self.n_threads < 1:
            raise ValueError(f"n_threads {self.n_threads}")


def format_member_name(number: int, member_kind: str) -> str:
    """Return a member's name, from its trial's or probe's number and how it was trained."""
    return str(number) if member_kind == SEARCH else f"{number}-{member_kind}"


def describe_member(number: int, member_kind: str) -> str:
    """Return what a message calls a member: "trial 17", "trial 17-pseudo", or "probe 3"."""
    return f"{PROBE} {number}" if member_kind == PROBE else f"trial {format_member_name(number, member_kind)}"


def read_recipe(path: Path) -> Recipe:
    """Read the recipe in an ensemble.json.

    Raises:
        UsageError: there is no such file, or it is of a version that kept no recipe.
        StorageError: it is damaged.
    """
    if not path.exists():
        raise UsageError(f"there is no ensemble: {path} is missing", hint="make one first: automl ensemble")
    document = read_json(path)
    if not isinstance(document, Mapping) or "recipe" not in document:
        raise UsageError(f"{path} holds no recipe of an ensemble", hint="make it again: automl ensemble")
    return parse_recipe(document["recipe"])


def parse_recipe(document: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `Recipe.to_json` wrote.

    Raises:
        StorageError: it is none, or of another version.
    """
    try:
        recipe = Recipe.from_json(document)
        recipe.require_valid()
    except (KeyError, TypeError, ValueError, UsageError) as error:
        reason = error.problem if isinstance(error, UsageError) else repr(error)
        raise StorageError(
            f"the recipe of an ensemble cannot be understood: {reason}", hint="make it again: automl ensemble"
        ) from error
    return recipe
