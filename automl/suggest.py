"""The trial protocol that a search space suggests from, a trial narrowed by flags, and a replay of known parameters.

See also: automl.space loads and narrows spaces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from automl.config import parse_hidden
from automl.errors import UsageError

Params: TypeAlias = dict[str, Any]

OPEN_CHOICES = {"backbone", "resize", "batch_size", "head"}  # any value of the right type is allowed, listed or not
CENTERED_PARAMETER = "lr"
CENTER_FACTOR = 10.0  # how far a centred learning rate may be above and below the centre


class Suggest(Protocol):
    """The part of `optuna.Trial` that a space may use."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A float in [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """How a space's parameters are narrowed.

    Attributes:
        fixed: parameter -> its only value, as a person writes it.
        choices: parameter -> the values left of a categorical one, as a person writes them.
        pinned: parameter -> its only value, whatever the space offers.
        lr_center: the learning rate about which the space's own is asked.
    """

    fixed: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pinned: Mapping[str, Any] = field(default_factory=dict)
    lr_center: float | None = None


class NarrowedTrial:
    """A trial that suggests only what the narrowing leaves open."""

    def __init__(self, trial: Suggest, narrowing: Narrowing) -> None:
        self._trial = trial
        self._fixed, self._choices, self._pinned = narrowing.fixed, narrowing.choices, narrowing.pinned
        self._lr_center = narrowing.lr_center

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self._refuse_choices(name)
        if name == CENTERED_PARAMETER and self._lr_center is not None:
            low, high = compute_centered_range(low, high, self._lr_center)
            return self._trial.suggest_float(name, low, high, log=True)
        if name not in self._fixed:
            return self._trial.suggest_float(name, low, high, step=step, log=log)
        value = _parse_number(name, self._fixed[name], float)
        if log and value <= 0:
            raise UsageError(f"{name} = {value:g}, but it must be positive", hint="fix the value of --fix")
        return self._trial.suggest_float(name, value, value, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._refuse_choices(name)
        if name in self._pinned:
            return self._trial.suggest_int(name, self._pinned[name], self._pinned[name])
        if name not in self._fixed:
            return self._trial.suggest_int(name, low, high, step=step, log=log)
        value = _parse_number(name, self._fixed[name], int)
        return self._trial.suggest_int(name, value, value, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        left = list(choices)
        if name in self._choices:
            left = [_parse_choice(name, text, choices) for text in self._choices[name]]
        if name in self._fixed:
            left = [_parse_choice(name, self._fixed[name], choices)]
        if name in self._pinned:
            left = [self._pinned[name]]
        if name == CENTERED_PARAMETER and self._lr_center is not None:
            raise UsageError(
                f"'{name}' is a choice of the space, not a range", hint=f"narrow it with --choices {name}=..."
            )
        return self._trial.suggest_categorical(name, left)

    def _refuse_choices(self, name: str) -> None:
        if name in self._choices:
            raise UsageError(f"'{name}' is a range, not a choice", hint=f"pin it with --fix {name}=VALUE")


def compute_centered_range(low: float, high: float, center: float) -> tuple[float, float]:
    """Return a decade to both sides of the center, as far as the range reaches if the center is in it."""
    decades = center / CENTER_FACTOR, center * CENTER_FACTOR
    return (max(low, decades[0]), min(high, decades[1])) if low <= center <= high else decades


class Replay:
    """A trial that suggests known values where they are allowed, else the first one; params holds the suggestions."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known
        self.params: Params = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.params[name] = min(max(float(self._known.get(name, low)), low), high)
        return float(self.params[name])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.params[name] = min(max(int(self._known.get(name, low)), low), high)
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        known = self._known.get(name, choices[0])
        self.params[name] = known if known in choices else choices[0]
        return self.params[name]


def format_choice(value: Any) -> str:
    """Format a choice as a person writes it."""
    return "none" if value is None else str(value)


def _parse_choice(name: str, text: str, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if _matches_choice(choice, text):
            return choice
    if name in OPEN_CHOICES:
        if name == "head":
            parse_hidden(text)
        return _parse_number(name, text, int) if isinstance(choices[0], int) else text
    raise UsageError(f"{name} cannot be '{text}'", hint=f"use one of {', '.join(map(format_choice, choices))}")


def _matches_choice(choice: Any, text: str) -> bool:
    """Return whether the text is the choice: None is none, true may be written small, 1e-4 is 0.0001."""
    if choice is None or isinstance(choice, bool):
        return format_choice(choice).lower() == text.lower()
    if isinstance(choice, (int, float)):
        try:
            return float(text) == choice
        except ValueError:
            return False
    return str(choice) == text


def _parse_number(name: str, text: str, number_type: type[float] | type[int]) -> Any:
    try:
        value = number_type(text)
    except ValueError as error:
        what = "a whole number" if number_type is int else "a number"
        raise UsageError(f"{name} = '{text}' is not {what}", hint="fix the value of --fix or --choices") from error
    if not math.isfinite(value):
        raise UsageError(f"{name} = {text} is not finite", hint="fix the value of --fix")
    return value
