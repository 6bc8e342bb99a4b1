"""A trial that answers the questions of a search space at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any


class RandomTrial:
    """Answers at random, and at the bounds of a range as often as inside."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.params: dict[str, Any] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.params[name] = self._random.choice([low, high, self._random.uniform(low, high)])
        return float(self.params[name])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.params[name] = self._random.randrange(low, high + 1, step)
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.params[name] = self._random.choice(choices)
        return self.params[name]
