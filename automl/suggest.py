"""The trial protocol that a search space suggests from, a trial narrowed by flags, and a replay of known parameters.

See also: automl.space loads and narrows spaces.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from automl.config import parse_hidden
from automl.errors import UsageError

Params: TypeAlias = dict[str, Any]

OPEN_CHOICES = {"backbone", "resize", "batch_size", "head"}  # any value of the right type is allowed, listed or not
CENTERED_PARAMETER = "lr"
CENTER_FACTOR = 10.0  # how far a centred learning rate may be above and below the centre
SMALLEST_PLAIN = 0.01  # smaller numbers are written as 3e-4
SMALL_NUMBER = re.compile(r"(?<![\w.-])(?:\d(?:\.\d+)?e-\d+|0\.00\d+)(?![\w.-])")


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
        if log and value < 0:
            problem = f"{name} = {format_number(value)}, but it must be positive, or 0 to switch it off"
            raise UsageError(problem, hint="fix the value of --fix")
        return self._trial.suggest_float(name, value, value, log=log and value > 0)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._refuse_choices(name)
        if name in self._pinned:
            return self._trial.suggest_int(name, self._pinned[name], self._pinned[name])
        if name not in self._fixed:
            return self._trial.suggest_int(name, low, high, step=step, log=log)
        value = _parse_number(name, self._fixed[name], int)
        return self._trial.suggest_int(name, value, value, log=log and value > 0)

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
    """A trial that suggests known values where they are allowed, else the first one, or the next one in turn.

    Args:
        turns: choice -> how often it was dealt out; several replays that share them take what is left in rotation.

    Attributes:
        params: the suggestions.
        choices: what was left of each choice that was asked for.
    """

    def __init__(self, known: Mapping[str, Any], turns: dict[str, int] | None = None) -> None:
        self._known = known
        self._turns = turns or {}
        self.params: Params = {}
        self.choices: dict[str, Sequence[Any]] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.params[name] = min(max(float(self._known.get(name, low)), low), high)
        return float(self.params[name])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.params[name] = min(max(int(self._known.get(name, low)), low), high)
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.choices[name] = choices
        value = self._known.get(name, choices[0])
        if value not in choices:
            value = choices[self._turns.get(name, 0) % len(choices)]
            if name in self._turns:
                self._turns[name] += 1
        self.params[name] = value
        return value


def parse_final_size(resize: object) -> int | None:
    """Parse the last image size of a resize choice: 320 of 160-240-320; None where it names no sizes."""
    return int(str(resize).rpartition("-")[2]) if re.fullmatch(r"\d+(-\d+)*", str(resize)) else None


def format_choice(value: Any) -> str:
    """Format a choice as fingerprints and `--choices` know it."""
    return "none" if value is None else str(value)


def format_value(value: Any) -> str:
    """Format a parameter's value as a person writes it: none, adamw, 0.3 or 3e-4."""
    return format_number(value) if isinstance(value, float) else format_choice(value)


def format_number(value: float, *, digits: int = 6) -> str:
    """Format a number in so many digits at most, as 3e-4 where it is below a hundredth, and as 0.02 above."""
    if value == 0 or abs(value) >= SMALLEST_PLAIN or not math.isfinite(value):
        return f"{value:.{digits}g}".replace("e+0", "e").replace("e+", "e")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def format_numbers(text: str) -> str:
    """Format the small numbers that stand alone in a text, such as a range of learning rates, like `format_number`."""
    return SMALL_NUMBER.sub(lambda found: format_number(float(found[0])), text)


def _parse_choice(name: str, text: str, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if _matches_choice(choice, text):
            return choice
    if name in OPEN_CHOICES:
        if name == "head":
            parse_hidden(text)
        return _parse_number(name, text, int) if isinstance(choices[0], int) else text
    offered = format_numbers(", ".join(map(format_choice, choices)))
    raise UsageError(f"{name} cannot be '{text}'", hint=f"use one of {offered}")


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
