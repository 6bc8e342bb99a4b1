"""The figures of tests.benchmarks.recipe: differences from the baseline, paired by seed, as a markdown table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import t as student


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one training.

    Attributes:
        config: as JSON, so that the results of another configuration are not taken for this one's.
        score: None if the training diverged.
        seconds: of processor time, or of wall time on a GPU.
    """

    competition: str
    technique: str
    seed: int
    config: Mapping[str, Any]
    score: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of a technique's differences from the baseline, one for each seed, and their standard deviation."""

    mean: float
    spread: float

    @property
    def in_spreads(self) -> float:
        """nan for one seed; infinite if the difference is the same with all seeds."""
        if self.spread == 0.0:
            return math.copysign(math.inf, self.mean) if self.mean else 0.0
        return self.mean / self.spread

    def __str__(self) -> str:
        if self.mean == self.spread == 0.0:
            return "equal"
        return f"{self.mean:+.4f}" + ("" if math.isnan(self.spread) else f" ({self.in_spreads:+.1f})")


def paired_difference(scores: Sequence[float], baseline: Sequence[float]) -> Difference:
    """Of scores and the baseline's, both in the same order of seeds."""
    differences = [score - base for score, base in zip(scores, baseline, strict=True)]
    return Difference(statistics.mean(differences), _spread(differences))


def clear_spreads(n_seeds: int) -> float:
    """How many spreads tell a difference from none at 5 %, by a paired two-sided t-test; infinite for one seed."""
    return float(student.ppf(0.975, n_seeds - 1)) / math.sqrt(n_seeds) if n_seeds > 1 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Results in the form of a table.

    Attributes:
        metrics: of each competition, in the order of the columns.
        rows: what to call each technique, in the order of the rows; those without results are left out.
        baseline: the technique that the others are compared with.
    """

    results: Sequence[Result]
    metrics: Mapping[str, str]
    rows: Mapping[str, str]
    baseline: str

    def __str__(self) -> str:
        pairs = [(f"{name}, {metric}", "difference (spreads)") for name, metric in self.metrics.items()]
        header = ["technique", *(column for pair in pairs for column in pair), "time"]
        present = {result.technique for result in self.results}
        lines = [self._line(technique) for technique in self.rows if technique in present]
        return "\n".join(_joined(cells) for cells in (header, ["---"] * len(header), *lines)) + "\n"

    def _line(self, technique: str) -> list[str]:
        cells = [cell for name in self.metrics for cell in self._cells(name, technique)]
        return [self.rows[technique], *cells, self._time(technique)]

    def _cells(self, competition: str, technique: str) -> tuple[str, str]:
        """The scores, and their difference from the baseline's."""
        own, base = self._scores(competition, technique), self._scores(competition, self.baseline)
        found = [score for score in own.values() if score is not None]
        if len(found) < len(own):
            return f"diverged, {len(own) - len(found)} of {len(own)}", ""
        if not found:
            return "", ""
        spread = "" if len(found) == 1 else f" ± {_spread(found):.4f}"
        pairs = [(score, base[seed]) for seed, score in own.items() if base.get(seed) is not None]
        is_compared = technique != self.baseline and pairs
        difference = str(paired_difference(*zip(*pairs, strict=True))) if is_compared else ""
        return f"{statistics.mean(found):.4f}{spread}", difference

    def _time(self, technique: str) -> str:
        """The ratio of the median seconds, and the geometric mean of it over the competitions."""
        ratios = []
        for name in self.metrics:
            own, base = self._seconds(name, technique), self._seconds(name, self.baseline)
            if own and base:
                ratios.append(statistics.median(own) / statistics.median(base))
        return f"{statistics.geometric_mean(ratios):.2f}" if ratios else ""

    def _scores(self, competition: str, technique: str) -> dict[int, float | None]:
        return {result.seed: result.score for result in self._of(competition, technique)}

    def _seconds(self, competition: str, technique: str) -> list[float]:
        return [result.seconds for result in self._of(competition, technique)]

    def _of(self, competition: str, technique: str) -> list[Result]:
        return [r for r in self.results if (r.competition, r.technique) == (competition, technique)]


def _joined(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan
