"""Find a search space's dimensions: all its parameters, and the values of others on which each depends.

A space is a function, so it is called with every option alone, and with every two of them together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from automl.suggest import Suggest, format_choice

Run: TypeAlias = dict[str, int]  # parameter that was suggested -> number of the chosen option
Allowed: TypeAlias = dict[str, frozenset[int | None]]  # parameter -> numbers of options; None: not suggested

MAX_PAIRED = 31  # of a parameter with more options than this, the rest are tried with the others' first ones alone
# A condition has so many parts that must all hold, and so many of which one must; tried from the simplest on.
SHAPES = ((1, 0), (2, 0), (0, 2), (3, 0), (0, 3), (1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One parameter of a space.

    Attributes:
        domain: "1e-05 .. 0.01 (log)" or "adam, adamw, sgd".
        condition: "loss = focal" where the parameter is suggested only then, else empty.
    """

    name: str
    domain: str
    condition: str = ""


def find_dimensions(space: Callable[[Suggest], Any]) -> list[Dimension]:
    """Find all parameters of a space, with the values of others on which each depends.

    A parameter that needs three particular values at once, none of them the first option, may not be found.

    Raises:
        UsageError: two of the values make no valid configuration.
    """
    parameters, runs = _explore(space)
    return [
        Dimension(name=name, domain=parameter.domain, condition=_find_condition(name, parameters, runs))
        for name, parameter in parameters.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    """A parameter and the options it is tried with: all of a choice, the ends and a point between of a range."""

    domain: str
    options: tuple[Any, ...]
    is_range: bool = False


class _Probe:
    """A trial that suggests the wanted options, else the first ones; records new parameters."""

    def __init__(self, parameters: dict[str, _Parameter], wanted: Mapping[str, int]) -> None:
        self._parameters = parameters
        self._wanted = wanted
        self.answers: Run = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if name not in self._parameters:
            second = low + (step or (high - low) / 1000)
            self._record_range(name, [low, second, high], _format_range(low, high, step, log))
        return min(max(float(self._choose_option(name)), low), high)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if name not in self._parameters:
            self._record_range(
                name,
                [low, low + step, low + 2 * step, high],
                _format_range(low, high, step if step != 1 else None, log),
            )
        return min(max(int(self._choose_option(name)), low), high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name not in self._parameters:
            domain = ", ".join(map(format_choice, choices))
            self._parameters[name] = _Parameter(domain=domain, options=tuple(choices))
        answer = self._choose_option(name)
        return answer if answer in choices else choices[0]

    def _record_range(self, name: str, points: list[Any], domain: str) -> None:
        options = tuple(sorted({point for point in points if point <= points[-1]}))
        self._parameters[name] = _Parameter(domain=domain, options=options, is_range=True)

    def _choose_option(self, name: str) -> Any:
        self.answers[name] = self._wanted.get(name, 0)
        return self._parameters[name].options[self.answers[name]]


def _explore(space: Callable[[Suggest], Any]) -> tuple[dict[str, _Parameter], list[Run]]:
    """Return the parameters in the order in which the space suggests them, and those of each run."""
    parameters: dict[str, _Parameter] = {}
    runs: list[Run] = []
    order: list[str] = []
    untried: list[tuple[str, Run]] = []  # a parameter, and answers under which it is suggested

    def run(wanted: Run) -> None:
        probe = _Probe(parameters, wanted)
        space(probe)
        runs.append(probe.answers)
        if len(parameters) > len(order):
            new = [name for name in probe.answers if name not in order]
            _insert_in_order(order, list(probe.answers))
            untried.extend((name, probe.answers) for name in new)

    run({})
    n_paired = 0
    while untried or n_paired < len(parameters):
        while untried:
            name, answers = untried.pop(0)
            for option in range(len(parameters[name].options)):
                run({**answers, name: option})
        if n_paired < len(parameters):
            n_paired = len(parameters)
            names = list(parameters)
            for row in _iterate_pairs([len(parameters[name].options) for name in names]):
                run(dict(zip(names, row, strict=True)))
    return {name: parameters[name] for name in order}, runs


def _insert_in_order(order: list[str], suggested: Sequence[str]) -> None:
    """Insert each new parameter after the one that was suggested before it."""
    for before, name in itertools.pairwise(("", *suggested)):
        if name not in order:
            order.insert(order.index(before) + 1 if before else 0, name)


def _iterate_pairs(n_options: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Iterate over rows of options, one of each parameter, in which any two options of any two parameters meet.

    Source: Bose and Bush 1952, Orthogonal Arrays of Strength Two and Three, section 3: the lines of the plane over a
    prime field.
    """
    side = _find_prime(max(len(n_options) - 1, min(max(n_options, default=1), MAX_PAIRED)))
    for offset, slope in itertools.product(range(side), range(side)):
        yield tuple(
            ((offset + column * slope) if column < side else slope) % side % n for column, n in enumerate(n_options)
        )


def _find_prime(lowest: int) -> int:
    candidates = itertools.count(max(2, lowest))
    return next(n for n in candidates if all(n % divisor for divisor in range(2, math.isqrt(n) + 1)))


def _find_condition(name: str, parameters: Mapping[str, _Parameter], runs: Sequence[Run]) -> str:
    """Find the simplest condition that separates the runs in which the parameter was suggested from the others."""
    suggested_runs = [run for run in runs if name in run]
    others = [run for run in runs if name not in run]
    if not others:
        return ""
    rest = [other for other in parameters if other != name]
    needed = {
        other: options
        for other, options in _find_restrictions(rest, parameters, suggested_runs).items()
        if None not in options
    }
    for n_all, n_any in SHAPES:
        for required in itertools.combinations(needed.items(), n_all):
            left = [run for run in others if _matches(run, required)]
            if not n_any and not left:
                return _format_condition(parameters, required, ())
            if (
                n_any
                and left
                and (excluded := _find_excluded(n_any, _find_restrictions(rest, parameters, left), suggested_runs))
            ):
                return _format_condition(parameters, required, excluded)
    return "other answers ask for it"


def _find_restrictions(names: Sequence[str], parameters: Mapping[str, _Parameter], runs: Sequence[Run]) -> Allowed:
    """Return the options that occur in the runs, of those parameters of which not all do."""
    found = {name: frozenset(run.get(name) for run in runs) for name in names}
    return {name: options for name, options in found.items() if len(options - {None}) < len(parameters[name].options)}


def _find_excluded(
    n_any: int, restrictions: Allowed, suggested_runs: Sequence[Run]
) -> Sequence[tuple[str, frozenset[int | None]]]:
    """Return n_any parameters, at least one of which has another option than those observed in each of the runs."""
    for excluded in itertools.combinations(restrictions.items(), n_any):
        if not any(_matches(run, excluded) for run in suggested_runs):
            return excluded
    return ()


def _matches(run: Run, allowed: Sequence[tuple[str, frozenset[int | None]]]) -> bool:
    return all(run.get(name) in options for name, options in allowed)


def _format_condition(
    parameters: Mapping[str, _Parameter],
    required: Sequence[tuple[str, frozenset[int | None]]],
    excluded: Sequence[tuple[str, frozenset[int | None]]],
) -> str:
    all_of = [_format_term(name, parameters[name], options) for name, options in required]
    any_of = [
        _format_term(name, parameters[name], frozenset(range(len(parameters[name].options))) - options)
        for name, options in excluded
    ]
    if any_of:
        either = _join_terms(any_of, "or")
        all_of.append(f"({either})" if all_of else either)
    return _join_terms(all_of, "and")


def _join_terms(parts: Sequence[str], word: str) -> str:
    comma = "," if any(" or " in part for part in parts) else ""
    return f"{comma} {word} ".join(parts)


def _format_term(name: str, parameter: _Parameter, options: frozenset[int | None]) -> str:
    """ "loss = focal or bce", "pooling is not own", "backbone is neither a nor b" or "mixup_alpha > 0"."""
    n_options = len(parameter.options)
    if parameter.is_range and options == frozenset(range(1, n_options)):
        return f"{name} > {parameter.options[0]:g}"
    included = [format_choice(option) for number, option in enumerate(parameter.options) if number in options]
    missing = [format_choice(option) for number, option in enumerate(parameter.options) if number not in options]
    if parameter.is_range or len(included) <= 2 * len(missing):
        return f"{name} = {' or '.join(included)}"
    return f"{name} is {'not' if len(missing) == 1 else 'neither'} {' nor '.join(missing)}"


def _format_range(low: float, high: float, step: float | None, log: bool) -> str:
    if low == high:
        return f"{low:g}"
    marks = [mark for mark in ("log" if log else "", f"step {step:g}" if step else "") if mark]
    return f"{low:g} .. {high:g}" + (f" ({', '.join(marks)})" if marks else "")
