"""Labels and sample submissions in memory, and what is inferred from both together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import pytest

from automl.errors import AutomlError
from automl.files.tables import Table
from automl.readers.infer import InferredCompetition, infer_competition
from automl.readers.known_competitions import KnownCompetition
from automl.readers.labels.source import Labels
from automl.readers.settings import CompetitionSettings
from automl.readers.submission_template import SampleSubmission, parse_sample

Refusal: TypeAlias = tuple[Labels, SampleSubmission, dict[str, Any], type[AutomlError], str, str]


def labels_of(*rows: str | Sequence[str], columns: Sequence[str] = ("label",)) -> Labels:
    """Labels of images 0, 1, ...: a text for each, or a text for each column."""
    cells = tuple((row,) if isinstance(row, str) else tuple(row) for row in rows)
    ids = tuple(str(number) for number in range(len(cells)))
    return Labels(ids=ids, images=ids, columns=tuple(columns), cells=cells, evidence=())


def sample_with(*rows: str | Sequence[str], columns: Sequence[str] = ("label",)) -> SampleSubmission:
    """A sample submission for s0, s1, ..., with a text for each row or for each of its columns."""
    fields = [(row,) if isinstance(row, str) else tuple(row) for row in rows]
    return parse_sample(
        Table(
            name="sample_submission.csv",
            delimiter=",",
            header=("id", *columns),
            rows=tuple((f"s{number}", *row) for number, row in enumerate(fields)),
            lines=tuple(range(2, len(fields) + 2)),
        )
    )


def infer(
    labels: Labels, sample: SampleSubmission, known: KnownCompetition | None = None, **settings: object
) -> InferredCompetition:
    return infer_competition(labels, sample, CompetitionSettings(**settings), known)  # type: ignore[arg-type]


def require_refusal(
    labels: Labels,
    sample: SampleSubmission,
    settings: dict[str, Any],
    error: type[AutomlError],
    problem: str,
    hint: str,
) -> None:
    """Require that these are refused, with a problem and a hint that hold these words, on one line each."""
    with pytest.raises(error) as caught:
        infer(labels, sample, **settings)
    assert problem in caught.value.problem
    assert hint in (caught.value.hint or "")
    assert "\n" not in f"{caught.value.problem}{caught.value.hint}"


NUMBERS = labels_of("0", "1", "2", "1")
CATS = labels_of("cat", "dog", "dog", "cat")
GRADES = labels_of("0", "1", "2", "3", "4", columns=["diagnosis"])
SETS = labels_of("scab rust", "scab", "rust", "healthy")
COLUMNS = ["ETT - Abnormal", "CVC"]
MULTI_HOT = labels_of(*map(tuple, ("10", "11", "00")), columns=COLUMNS)
WIDE = sample_with(("0", "0"), columns=COLUMNS)
