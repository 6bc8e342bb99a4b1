"""A search space at a glance: all its questions, and the answers to others on which each depends.

A space is a function, so it is asked: with every option alone, and with every two of them together. Not responsible
for: loading or narrowing a space (automl.space).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from automl.suggest import Suggest, word_of

Run: TypeAlias = dict[str, int]  # question that was asked -> number of the option that was the answer
Allowed: TypeAlias = dict[str, frozenset[int | None]]  # question -> numbers of options; None: it was not asked

MAX_PAIRED = 31  # of a question with more options than this, the rest are tried with the others' first ones alone
# A condition has so many parts that must all hold, and so many of which one must; tried from the simplest on.
SHAPES = ((1, 0), (2, 0), (0, 2), (3, 0), (0, 3), (1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One question of a space.

    Attributes:
        domain: "1e-05 .. 0.01 (log)" or "adam, adamw, sgd".
        condition: "loss = focal" where the question is asked only then, else empty.
    """

    name: str
    domain: str
    condition: str = ""


def dimensions_of(space: Callable[[Suggest], Any]) -> list[Dimension]:
    """All questions that the space asks, with the answers to others on which each depends.

    A question that needs three particular answers at once, none of them the first option, may not be found.

    Raises:
        UsageError: two of the answers make no valid configuration.
    """
    questions, runs = _explore(space)
    return [
        Dimension(name=name, domain=question.domain, condition=_condition(name, questions, runs))
        for name, question in questions.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A question and the answers that it is tried with: all of a choice, the ends and a place between of a range."""

    domain: str
    options: tuple[Any, ...]
    is_range: bool = False


class _Probe:
    """Answers with the wanted options, else with the first ones; notes new questions in `questions`."""

    def __init__(self, questions: dict[str, _Question], wanted: Mapping[str, int]) -> None:
        self._questions = questions
        self._wanted = wanted
        self.answers: Run = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if name not in self._questions:
            second = low + (step or (high - low) / 1000)
            self._note_range(name, [low, second, high], _range_text(low, high, step, log))
        return min(max(float(self._answer(name)), low), high)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if name not in self._questions:
            self._note_range(
                name, [low, low + step, low + 2 * step, high], _range_text(low, high, step if step != 1 else None, log)
            )
        return min(max(int(self._answer(name)), low), high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name not in self._questions:
            domain = ", ".join(map(word_of, choices))
            self._questions[name] = _Question(domain=domain, options=tuple(choices))
        answer = self._answer(name)
        return answer if answer in choices else choices[0]

    def _note_range(self, name: str, points: list[Any], domain: str) -> None:
        options = tuple(sorted({point for point in points if point <= points[-1]}))
        self._questions[name] = _Question(domain=domain, options=options, is_range=True)

    def _answer(self, name: str) -> Any:
        self.answers[name] = self._wanted.get(name, 0)
        return self._questions[name].options[self.answers[name]]


def _explore(space: Callable[[Suggest], Any]) -> tuple[dict[str, _Question], list[Run]]:
    """The space's questions in the order in which it asks them, and what was asked under which answers."""
    questions: dict[str, _Question] = {}
    runs: list[Run] = []
    order: list[str] = []
    untried: list[tuple[str, Run]] = []  # a question, and answers under which it is asked

    def run(wanted: Run) -> None:
        probe = _Probe(questions, wanted)
        space(probe)
        runs.append(probe.answers)
        if len(questions) > len(order):
            new = [name for name in probe.answers if name not in order]
            _insert(order, list(probe.answers))
            untried.extend((name, probe.answers) for name in new)

    run({})
    n_paired = 0
    while untried or n_paired < len(questions):
        while untried:
            name, answers = untried.pop(0)
            for option in range(len(questions[name].options)):
                run({**answers, name: option})
        if n_paired < len(questions):
            n_paired = len(questions)
            names = list(questions)
            for row in _every_pair([len(questions[name].options) for name in names]):
                run(dict(zip(names, row, strict=True)))
    return {name: questions[name] for name in order}, runs


def _insert(order: list[str], asked: Sequence[str]) -> None:
    """Put each new question behind the one that was asked before it."""
    for before, name in itertools.pairwise(("", *asked)):
        if name not in order:
            order.insert(order.index(before) + 1 if before else 0, name)


def _every_pair(n_options: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Rows of options, one of each question, in which any two options of any two questions meet.

    Source: Bose and Bush 1952, Orthogonal Arrays of Strength Two and Three, section 3: the lines of the plane over a
    prime field.
    """
    side = _prime_from(max(len(n_options) - 1, min(max(n_options, default=1), MAX_PAIRED)))
    for offset, slope in itertools.product(range(side), range(side)):
        yield tuple(
            ((offset + column * slope) if column < side else slope) % side % n for column, n in enumerate(n_options)
        )


def _prime_from(lowest: int) -> int:
    candidates = itertools.count(max(2, lowest))
    return next(n for n in candidates if all(n % divisor for divisor in range(2, math.isqrt(n) + 1)))


def _condition(name: str, questions: Mapping[str, _Question], runs: Sequence[Run]) -> str:
    """The simplest condition that tells the runs in which the question was asked from the others."""
    asked = [run for run in runs if name in run]
    others = [run for run in runs if name not in run]
    if not others:
        return ""
    rest = [other for other in questions if other != name]
    needed = {other: options for other, options in _seen(rest, questions, asked).items() if None not in options}
    for n_all, n_any in SHAPES:
        for every in itertools.combinations(needed.items(), n_all):
            left = [run for run in others if _fits(run, every)]
            if not n_any and not left:
                return _text(questions, every, ())
            if n_any and left and (barred := _barred(n_any, _seen(rest, questions, left), asked)):
                return _text(questions, every, barred)
    return "other answers ask for it"


def _seen(names: Sequence[str], questions: Mapping[str, _Question], runs: Sequence[Run]) -> Allowed:
    """The answers that occur in the runs, of those questions of which not all do."""
    found = {name: frozenset(run.get(name) for run in runs) for name in names}
    return {name: options for name, options in found.items() if len(options - {None}) < len(questions[name].options)}


def _barred(n_any: int, seen: Allowed, asked: Sequence[Run]) -> Sequence[tuple[str, frozenset[int | None]]]:
    """So many questions, at least one of which has another answer than those seen whenever the question is asked."""
    for barred in itertools.combinations(seen.items(), n_any):
        if not any(_fits(run, barred) for run in asked):
            return barred
    return ()


def _fits(run: Run, allowed: Sequence[tuple[str, frozenset[int | None]]]) -> bool:
    return all(run.get(name) in options for name, options in allowed)


def _text(
    questions: Mapping[str, _Question],
    every: Sequence[tuple[str, frozenset[int | None]]],
    barred: Sequence[tuple[str, frozenset[int | None]]],
) -> str:
    all_of = [_part(name, questions[name], options) for name, options in every]
    any_of = [
        _part(name, questions[name], frozenset(range(len(questions[name].options))) - options)
        for name, options in barred
    ]
    if any_of:
        either = _joined(any_of, "or")
        all_of.append(f"({either})" if all_of else either)
    return _joined(all_of, "and")


def _joined(parts: Sequence[str], word: str) -> str:
    comma = "," if any(" or " in part for part in parts) else ""
    return f"{comma} {word} ".join(parts)


def _part(name: str, question: _Question, options: frozenset[int | None]) -> str:
    """ "loss = focal or bce", "pooling is not own", "backbone is neither a nor b" or "mixup_alpha > 0"."""
    n_options = len(question.options)
    if question.is_range and options == frozenset(range(1, n_options)):
        return f"{name} > {question.options[0]:g}"
    words = [word_of(option) for number, option in enumerate(question.options) if number in options]
    missing = [word_of(option) for number, option in enumerate(question.options) if number not in options]
    if question.is_range or len(words) <= 2 * len(missing):
        return f"{name} = {' or '.join(words)}"
    return f"{name} is {'not' if len(missing) == 1 else 'neither'} {' nor '.join(missing)}"


def _range_text(low: float, high: float, step: float | None, log: bool) -> str:
    if low == high:
        return f"{low:g}"
    marks = [mark for mark in ("log" if log else "", f"step {step:g}" if step else "") if mark]
    return f"{low:g} .. {high:g}" + (f" ({', '.join(marks)})" if marks else "")
