"""The submission in the very form of the sample, written only where the competition would accept it.

Not responsible for: finding out that form (automl.data) or the probabilities (automl.ensemble.build).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import write_bytes
from automl.data.competition import Competition, SubmissionKind
from automl.errors import DataError, listed

SUM_TOLERANCE = 1e-6  # Source: mle-bench's graders refuse rows whose sum is further from 1


def write_submission(competition: Competition, probs: NDArray[Any], path: Path) -> None:
    """Put the submission for test probabilities (n_test, n_classes) at path, atomically.

    Raises:
        DataError: the competition would refuse it; what was at path before is intact.
        StorageError: it cannot be written.
    """
    content = _submission_bytes(competition, probs)
    check_submission(competition, content)
    write_bytes(path, content)


def check_submission(competition: Competition, submission: Path | bytes) -> None:
    """Read a submission back and hold it against the sample's form: header, ids in their order, values.

    Raises:
        DataError: naming the first line that the competition would refuse.
    """
    header, rows = _parsed(submission.read_bytes() if isinstance(submission, Path) else submission)
    template = competition.submission
    _require(header == template.header, f"the header is {','.join(header)}, not {','.join(template.header)}")
    _require(len(rows) == len(template.ids), f"it has {len(rows)} rows, not {len(template.ids)}")
    for line, (row, expected_id) in enumerate(zip(rows, template.ids, strict=True), start=2):
        _require(len(row) == len(header), f"line {line} has {len(row)} values, not {len(header)}")
        image_id = row[template.id_column]
        _require(image_id == expected_id, f"line {line} has the id '{image_id}', not '{expected_id}'")
    labels = frozenset(competition.classes)
    for line, row in enumerate(rows, start=2):
        values = [*row[: template.id_column], *row[template.id_column + 1 :]]
        match template.kind:
            case SubmissionKind.LABEL:
                _check_label(values, labels, line)
            case SubmissionKind.PROBABILITY:
                _check_numbers(values, line)
            case SubmissionKind.PROBABILITIES:
                _check_sum(_check_numbers(values, line), line)


def _submission_bytes(competition: Competition, probs: NDArray[Any]) -> bytes:
    template = competition.submission
    expected = (len(template.ids), competition.n_classes)
    _require(probs.shape == expected, f"it has probabilities of shape {probs.shape}, not {expected}")
    _require(bool(np.isfinite(probs).all()), "it has probabilities that are not finite")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(template.header)
    for image_id, values in zip(template.ids, _values(competition, probs), strict=True):
        position = template.id_column
        writer.writerow([*values[:position], image_id, *values[position:]])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _values(competition: Competition, probs: NDArray[Any]) -> Iterable[list[str]]:
    """What each row holds beside its id."""
    match competition.submission.kind:
        case SubmissionKind.LABEL:
            return ([competition.classes[index]] for index in probs.argmax(axis=1))
        case SubmissionKind.PROBABILITY:
            return ([_written(value)] for value in probs[:, 1])
        case SubmissionKind.PROBABILITIES:
            exact = probs.astype(np.float64)
            totals = exact.sum(axis=1, keepdims=True)
            _require(bool((totals > 0).all()), "it has rows of probabilities without a positive sum")
            return ([_written(value) for value in row] for row in exact / totals)


def _written(value: float) -> str:
    return format(float(value), ".9g")  # a float32 comes back; fewer digits make ties and cost log loss


def _parsed(content: bytes) -> tuple[tuple[str, ...], list[list[str]]]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused("it is not UTF-8") from error
    _require(not text.startswith("\ufeff"), "it begins with a byte order mark")
    _require("\r" not in text, "it has carriage returns")
    _require(text.endswith("\n"), "its last line does not end")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    return tuple(header), rows


def _check_label(values: Sequence[str], labels: frozenset[str], line: int) -> None:
    unknown = [value for value in values if value not in labels]
    _require(not unknown, f"line {line} has the label {listed(unknown)}, which is not one of the classes")


def _check_numbers(values: Sequence[str], line: int) -> list[float]:
    return [_number(value, line) for value in values]


def _check_sum(numbers: Sequence[float], line: int) -> None:
    total = math.fsum(numbers)
    _require(abs(total - 1.0) <= SUM_TOLERANCE, f"line {line} has probabilities that sum to {total:.9g}, not 1")


def _number(value: str, line: int) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise _refused(f"line {line} has '{value}' for a probability") from error
    _require(0.0 <= number <= 1.0, f"line {line} has the probability {value}, which is not in [0, 1]")
    return number


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise _refused(problem)


def _refused(problem: str) -> DataError:
    return DataError(
        f"the submission would be refused: {problem}",
        hint="compare competition.json with the sample submission; an earlier submission is left as it was",
    )
