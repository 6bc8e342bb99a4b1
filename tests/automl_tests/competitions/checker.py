"""What a competition would say of a submission file; written from the reference's rules, not from the product's code.

Knows only what the miniature's builder says of the sample submission. Imports nothing of the product.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SUM_TOLERANCE = 1e-6  # mle-bench refuses rows whose sum is further from 1
DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is accepted.

    Attributes:
        header, ids: as the sample has them, in its order.
        holds: "number" (one or several columns of numbers), "label", "labels" (a set, spaces between) or "ranking".
        vocabulary: the labels that may be named.
        k: how many labels a ranking holds.
        low, high: the range of numbers; None where any is accepted.
        sums_to_one: whether the numbers of a row are the probabilities of classes of which one is true.
        order_alone: whether the score depends on the order of the numbers alone, so that ranks will do.
        may_be_empty: whether a set of labels may be.
    """

    header: Sequence[str]
    ids: Sequence[str]
    holds: str
    vocabulary: Sequence[str] = ()
    k: int = 0
    low: float | None = 0.0
    high: float | None = 1.0
    sums_to_one: bool = False
    order_alone: bool = False
    may_be_empty: bool = False


def complaints(form: Form, content: bytes) -> list[str]:
    """Everything for which the competition would refuse the file; empty where it accepts it."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return ["not UTF-8"]
    found = _of_bytes(content)
    header, *rows = list(csv.reader(io.StringIO(text, newline="")))
    if header != list(form.header):
        found.append(f"header {header}, not {list(form.header)}")
    ragged = [row for row in rows if len(row) != len(form.header)]
    if ragged:
        return [*found, f"{len(ragged)} rows with another number of fields: {ragged[0]}"]
    ids = [row[0] for row in rows]
    if sorted(ids) != sorted(form.ids):
        found.append(f"other ids: {sorted(set(ids) ^ set(form.ids))[:5]}, {len(ids)} instead of {len(form.ids)}")
    elif ids != list(form.ids):
        found.append("ids in another order")
    return found + _of_cells(form, [row[1:] for row in rows])


def agreement(form: Form, content: bytes, truth: Sequence[Sequence[str]]) -> float:
    """How near the file comes to the truth, 1 at best: the share of right labels, or the correlation of numbers.

    Chance reaches about 0 with numbers, and the share of the most frequent class with labels.
    """
    rows = [row[1:] for row in csv.reader(io.StringIO(content.decode("utf-8"), newline=""))][1:]
    pairs = [
        (cell, wanted) for row, right in zip(rows, truth, strict=True) for cell, wanted in zip(row, right, strict=True)
    ]
    if form.holds == "number":
        return _correlation([float(cell) for cell, _ in pairs], [float(wanted) for _, wanted in pairs])
    if form.holds == "labels":
        return statistics.fmean(_overlap(set(cell.split()), set(wanted.split())) for cell, wanted in pairs)
    if form.holds == "ranking":
        return statistics.fmean(cell.split()[0] == wanted for cell, wanted in pairs)
    return statistics.fmean(cell == wanted for cell, wanted in pairs)


def _of_bytes(content: bytes) -> list[str]:
    found = []
    if content.startswith(b"\xef\xbb\xbf"):
        found.append("byte order mark")
    if b"\r" in content:
        found.append("carriage returns")
    if not content.endswith(b"\n"):
        found.append("the last line does not end")
    return found


def _of_cells(form: Form, rows: Sequence[Sequence[str]]) -> list[str]:
    if form.holds == "number":
        return _of_numbers(form, rows)
    cells = [cell for row in rows for cell in row]
    if form.holds == "label":
        return [f"label {cell!r} is not in the vocabulary" for cell in cells if cell not in form.vocabulary]
    return [line for cell in cells for line in _of_list(form, cell)]


def _of_list(form: Form, cell: str) -> list[str]:
    labels = cell.split(" ") if cell else []
    found = [f"label {label!r} is not in the vocabulary" for label in labels if label not in form.vocabulary]
    if len(set(labels)) != len(labels):
        found.append(f"a label twice in {cell!r}")
    if form.holds == "ranking" and len(labels) != min(form.k, len(form.vocabulary)):
        found.append(f"{len(labels)} labels instead of {form.k} in {cell!r}")
    if not labels and not form.may_be_empty:
        found.append("a row without a label")
    return found


def _of_numbers(form: Form, rows: Sequence[Sequence[str]]) -> list[str]:
    found = []
    for row in rows:
        try:
            numbers = [float(cell) for cell in row]
        except ValueError:
            found.append(f"no number: {row}")
            continue
        if not all(math.isfinite(number) for number in numbers):
            found.append(f"not finite: {row}")
        if any(_outside(number, form) for number in numbers):
            found.append(f"outside {form.low} to {form.high}: {row}")
        if form.sums_to_one and abs(math.fsum(numbers) - 1.0) > SUM_TOLERANCE:
            found.append(f"the sum is {math.fsum(numbers)!r}: {row}")
    return found if form.order_alone else found + _of_digits([cell for row in rows for cell in row])


def _outside(number: float, form: Form) -> bool:
    return (form.low is not None and number < form.low) or (form.high is not None and number > form.high)


def _of_digits(cells: Sequence[str]) -> list[str]:
    """Numbers of a model hardly ever have few digits; rounded ones make ties and wrong sums."""
    digits = [len(cell.lower().partition("e")[0].lstrip("-0.").replace(".", "")) for cell in cells]
    inside = [n for n, cell in zip(digits, cells, strict=True) if cell.strip("-0.") not in ("", "1")]
    if inside and statistics.median_high(inside) < DIGITS:
        return [f"most numbers have fewer than {DIGITS} digits: {cells[:3]}"]
    return []


def _correlation(numbers: Sequence[float], wanted: Sequence[float]) -> float:
    return statistics.correlation(numbers, wanted) if len(set(numbers)) > 1 else 0.0


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0
