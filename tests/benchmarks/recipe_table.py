"""The figures of tests.benchmarks.recipe: differences from the baseline, paired by seed, as a markdown table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import t as student

Scores = dict[int, float]  # by seed


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


def paired_differences(scores: Scores, baseline: Scores) -> list[float]:
    """Each score minus the baseline's of the same seed; seeds that only one of them has are left out."""
    return [score - baseline[seed] for seed, score in scores.items() if seed in baseline]


def pooled_spread(groups: Iterable[Sequence[float]]) -> float:
    """The standard deviation within groups, from all groups together; nan where none has two values.

    Three values alone would agree by chance now and then, and make any difference look large.
    Source: Snedecor and Cochran 1989, Statistical Methods (the pooled estimate of a common variance).
    """
    several = [group for group in groups if len(group) > 1]
    n_free = sum(len(group) - 1 for group in several)
    squares = sum((len(group) - 1) * statistics.variance(group) for group in several)
    return math.sqrt(squares / n_free) if n_free else math.nan


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

    def spread(self, competition: str) -> float:
        """The standard deviation of a technique's differences, by all techniques together."""
        return pooled_spread(self._differences(competition, technique) for technique in self._compared)

    def clear_spreads(self, competition: str) -> float:
        """How many spreads tell a mean difference from none at 5 %, by a two-sided t-test; nan for one seed."""
        groups = [self._differences(competition, technique) for technique in self._compared]
        n_free, n_seeds = sum(max(0, len(group) - 1) for group in groups), max(map(len, groups), default=0)
        return float(student.ppf(0.975, n_free)) / math.sqrt(n_seeds) if n_free else math.nan

    @property
    def _compared(self) -> list[str]:
        return [technique for technique in self.rows if technique != self.baseline]

    def _line(self, technique: str) -> list[str]:
        cells = [cell for name in self.metrics for cell in self._cells(name, technique)]
        return [self.rows[technique], *cells, self._time(technique)]

    def _cells(self, competition: str, technique: str) -> tuple[str, str]:
        """The scores, and their difference from the baseline's."""
        found = self._of(competition, technique)
        scores = [result.score for result in found if result.score is not None]
        if len(scores) < len(found):
            return f"diverged, {len(found) - len(scores)} of {len(found)}", ""
        if not scores:
            return "", ""
        shown = f"{statistics.mean(scores):.4f}" + (f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else "")
        return shown, "" if technique == self.baseline else self._difference(competition, technique)

    def _difference(self, competition: str, technique: str) -> str:
        differences = self._differences(competition, technique)
        if not differences:
            return ""
        if not any(differences):
            return "equal"
        mean, spread = statistics.mean(differences), self.spread(competition)
        return f"{mean:+.4f}" + (f" ({mean / spread:+.1f})" if spread > 0 else "")

    def _differences(self, competition: str, technique: str) -> list[float]:
        return paired_differences(self._scores(competition, technique), self._scores(competition, self.baseline))

    def _time(self, technique: str) -> str:
        """The ratio of the median seconds, and the geometric mean of it over the competitions."""
        ratios = []
        for name in self.metrics:
            own, base = ([r.seconds for r in self._of(name, which)] for which in (technique, self.baseline))
            if own and base:
                ratios.append(statistics.median(own) / statistics.median(base))
        return f"{statistics.geometric_mean(ratios):.2f}" if ratios else ""

    def _scores(self, competition: str, technique: str) -> Scores:
        found = self._of(competition, technique)
        return {result.seed: result.score for result in found if result.score is not None}

    def _of(self, competition: str, technique: str) -> list[Result]:
        return [r for r in self.results if (r.competition, r.technique) == (competition, technique)]


def _joined(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
