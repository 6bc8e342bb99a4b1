"""Who answers a search space's questions: the protocol, a narrowed trial, and a replay of known answers.

Not responsible for: which questions there are (the spaces) or loading a space (automl.space).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from automl.errors import UsageError

Params: TypeAlias = dict[str, Any]


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


class Narrowed:
    """Asks the trial only for what `--fix` and `--choices` leave open."""

    def __init__(self, trial: Suggest, fixed: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]) -> None:
        self._trial = trial
        self._fixed = fixed
        self._choices = choices

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self._refuse_choices(name)
        if name not in self._fixed:
            return self._trial.suggest_float(name, low, high, step=step, log=log)
        value = _number(name, self._fixed[name], float)
        if log and value <= 0:
            raise UsageError(f"{name} = {value:g}, but it must be positive", hint="mend --fix")
        return self._trial.suggest_float(name, value, value, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._refuse_choices(name)
        if name not in self._fixed:
            return self._trial.suggest_int(name, low, high, step=step, log=log)
        value = _number(name, self._fixed[name], int)
        return self._trial.suggest_int(name, value, value, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        left = list(choices)
        if name in self._choices:
            left = [_chosen(name, text, choices) for text in self._choices[name]]
        if name in self._fixed:
            left = [_chosen(name, self._fixed[name], choices)]
        return self._trial.suggest_categorical(name, left)

    def _refuse_choices(self, name: str) -> None:
        if name in self._choices:
            raise UsageError(f"'{name}' is a range, not a choice", hint=f"pin it with --fix {name}=VALUE")


OPEN_CHOICES = {"backbone", "resize", "batch_size"}  # any value of the right kind makes sense, not only a listed one


def _chosen(name: str, text: str, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if str(choice) == text:
            return choice
    if name in OPEN_CHOICES:
        return _number(name, text, int) if isinstance(choices[0], int) else text
    raise UsageError(f"{name} cannot be '{text}'", hint=f"use one of {', '.join(map(str, choices))}")


def _number(name: str, text: str, kind: type[float] | type[int]) -> Any:
    try:
        value = kind(text)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"{name} = '{text}' is not {what}", hint="mend --fix or --choices") from error
    if not math.isfinite(value):
        raise UsageError(f"{name} = {text} is not finite", hint="mend --fix")
    return value


class Replay:
    """Answers with known values where they are allowed, else with the first one; remembers what was asked."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known
        self.params: Params = {}
        self.domains: dict[str, str] = {}
        self.options: dict[str, tuple[Any, ...]] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.domains[name] = _range_text(low, high, step, log)
        self.params[name] = min(max(float(self._known.get(name, low)), low), high)
        return float(self.params[name])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.domains[name] = _range_text(low, high, step if step != 1 else None, log)
        self.params[name] = min(max(int(self._known.get(name, low)), low), high)
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.options[name] = tuple(choices)
        self.domains[name] = ", ".join(map(str, choices))
        known = self._known.get(name, choices[0])
        self.params[name] = known if known in choices else choices[0]
        return self.params[name]


def _range_text(low: float, high: float, step: float | None, log: bool) -> str:
    if low == high:
        return f"{low:g}"
    marks = [mark for mark in ("log" if log else "", f"step {step:g}" if step else "") if mark]
    return f"{low:g} .. {high:g}" + (f" ({', '.join(marks)})" if marks else "")
