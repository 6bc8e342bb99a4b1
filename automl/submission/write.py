"""Write a submission in the form of the sample, only where the competition would accept it.

Rows stand in the sample's order, and numbers have nine significant digits.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import write_bytes
from automl.data.competition import Competition, SubmissionKind
from automl.decisions.rules import ClipRule, Rule
from automl.errors import DataError
from automl.metrics.metric import apply_plain_rule
from automl.submission.decide import get_deciding_metric
from automl.submission.validate import find_problems

OVERSHOOT = 1e-6  # a mean of probabilities may leave [0, 1] by rounding alone
MIDDLE_RANK = 0.5
NUMBER_FORMAT = "%.9g"  # a float32 comes back; fewer digits make ties and cost log loss


def write_submission(
    competition: Competition, probs: NDArray[Any], path: Path, rule: Rule | None = None, *, by_rank: bool = False
) -> None:
    """Write the submission for test probabilities (n_test, n_classes) at path, atomically.

    Where a row stands for several images, these are averaged over those of them that can be read. What has no image
    that can be read gets the prior, or the middle rank.

    Args:
        rule: for labels, lists or values, fitted to rows out of fold. None for the most probable class, labels from one
            half on, and the like.
        by_rank: the probabilities are ranks.

    Raises:
        DataError: the competition would refuse it; what was at path before is intact.
        StorageError: it cannot be written.
    """
    expected = (len(competition.test_ids), competition.n_classes)
    _require(probs.shape == expected, f"it has probabilities of shape {probs.shape}, not {expected}")
    _require(competition.has_test_images, "there are no test images")
    averaged = average_units(competition, probs)
    unseen = find_unseen_units(competition)
    averaged[unseen] = MIDDLE_RANK if by_rank else competition.prior
    _require(bool(np.isfinite(averaged).all()), "it has probabilities that are not finite")
    content = _format_submission(competition, _format_rows(competition, averaged, rule))
    check_submission(competition, content)
    write_bytes(path, content)


def average_units(competition: Competition, probs: NDArray[Any]) -> NDArray[np.float64]:
    """Average test probabilities (n_test, n_classes) over the images of each unit: (n_units, n_classes).

    Images that cannot be read do not count; a unit that has no other is zeros.
    """
    images_of_row, doubles = competition.submission.images_of_row, np.array(probs, dtype=np.float64)
    if images_of_row is None:
        doubles[list(competition.unreadable_test)] = 0.0
        return doubles
    images, units = _list_pairs(images_of_row)
    seen = np.isin(images, competition.unreadable_test, invert=True)
    sums = np.zeros((len(images_of_row), doubles.shape[1]))
    np.add.at(sums, units[seen], doubles[images[seen]])
    counts = np.bincount(units[seen], minlength=len(images_of_row))
    averaged: NDArray[np.float64] = sums / np.maximum(counts, 1)[:, None]
    return averaged


def find_unseen_units(competition: Competition) -> NDArray[np.int64]:
    """Find the units of which no image can be read."""
    images_of_row = competition.submission.images_of_row
    if images_of_row is None:
        return np.asarray(competition.unreadable_test, dtype=np.int64)
    images, units = _list_pairs(images_of_row)
    seen = np.isin(images, competition.unreadable_test, invert=True)
    return np.setdiff1d(np.arange(len(images_of_row)), units[seen])


def _list_pairs(images_of_row: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List (n_pairs,) the images of all units, and the unit of each."""
    images = np.array([image for own in images_of_row for image in own], dtype=np.int64)
    return images, np.repeat(np.arange(len(images_of_row)), [len(own) for own in images_of_row])


def check_submission(competition: Competition, submission: Path | bytes) -> None:
    """Require a submission to have the sample's form: header, ids, values.

    Raises:
        DataError: naming the first problem and how many others there are; or there is no such file.
    """
    content = submission if isinstance(submission, bytes) else _read(submission)
    found = find_problems(competition, content)
    if found:
        raise _build_error(found[0], n_others=len(found) - 1)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", hint="name the file of a submission") from error


def _format_submission(competition: Competition, fields: Iterable[Sequence[str]]) -> bytes:
    template = competition.submission
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(template.header)
    for own_id, values in zip(template.ids, fields, strict=True):
        position = template.id_column
        writer.writerow([*values[:position], own_id, *values[position:]])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _format_rows(competition: Competition, probs: NDArray[np.float64], rule: Rule | None) -> Iterable[Sequence[str]]:
    """What each row of the file holds beside its id."""
    template, classes = competition.submission, competition.classes
    match template.submission_kind:
        case SubmissionKind.VALUES:
            return _format_numbers(competition, _decide(competition, probs, rule))
        case SubmissionKind.PROBABILITY | SubmissionKind.PROBABILITIES:
            return _format_numbers(competition, _normalize_probs(competition, probs, rule))
        case SubmissionKind.RANKING:
            ranking = _decide_ranking(competition, probs, rule)
            return ([template.join_labels(classes[index] for index in row)] for row in ranking)
        case SubmissionKind.LABEL if competition.heads:
            return _format_heads(competition, _decide(competition, probs, rule))
        case _ if competition.has_flags:
            return _format_numbers(competition, _decide_indicators(competition, probs, rule))
        case SubmissionKind.LABELS:
            chosen = _decide_indicators(competition, probs, rule)
            return ([template.join_labels(classes[index] for index in np.flatnonzero(row))] for row in chosen)
        case SubmissionKind.LABEL:
            labels = _decide(competition, probs, rule)
            return ([classes[index]] for index in labels)


def _decide(competition: Competition, probs: NDArray[np.float64], rule: Rule | None) -> NDArray[Any]:
    """In the form that the deciding metric needs."""
    if rule is not None:
        return rule(probs)
    is_single_class = competition.target_kind.is_single_class
    metric = get_deciding_metric(competition)
    return apply_plain_rule(metric, probs, is_single_class=is_single_class, scales=competition.scales)


def _normalize_probs(competition: Competition, probs: NDArray[np.float64], rule: Rule | None) -> NDArray[np.float64]:
    """Rows that sum to 1 where an image has one class; (n, 1) of the second class where that alone is submitted."""
    submitted = _clip_rounding(_decide(competition, probs, rule))
    if isinstance(rule, ClipRule):  # the prior needs no clipping
        unseen = find_unseen_units(competition)
        submitted[unseen] = probs[unseen]
    template = competition.submission
    if template.submission_kind is SubmissionKind.PROBABILITY and template.cells is None:
        return submitted[:, 1:2]
    if not competition.target_kind.is_single_class:
        return submitted
    totals = submitted.sum(axis=1, keepdims=True)
    _require(bool((totals > 0).all()), "it has rows of probabilities without a positive sum")
    normalised: NDArray[np.float64] = submitted / totals
    return normalised


def _clip_rounding(probs: NDArray[Any]) -> NDArray[np.float64]:
    """The probabilities, without what rounding has added; the guard refuses what lies further out."""
    inside = np.clip(probs, 0.0, 1.0)
    return np.where(np.abs(probs - inside) <= OVERSHOOT, inside, probs)


def _decide_ranking(competition: Competition, probs: NDArray[np.float64], rule: Rule | None) -> NDArray[np.int64]:
    """(n, n_ranked) different classes, the best first: what the rule names, and then the likeliest of the others."""
    predictions = _decide(competition, probs, rule)
    named = predictions[:, None] if predictions.ndim == 1 else predictions
    order = probs.copy()
    np.put_along_axis(order, named, 2.0 + np.arange(named.shape[1], 0, -1), axis=1)  # above every probability
    n_ranked = min(competition.submission.n_ranked, competition.n_classes)
    return np.argsort(-order, axis=1, kind="stable")[:, :n_ranked]


def _decide_indicators(competition: Competition, probs: NDArray[np.float64], rule: Rule | None) -> NDArray[np.int64]:
    """(n, n_classes) of 0 and 1: the labels, at least one where every training image has one."""
    predictions = _decide(competition, probs, rule)
    if predictions.ndim == 1:
        one_hot: NDArray[np.int64] = np.eye(competition.n_classes, dtype=np.int64)[predictions]
        return one_hot
    chosen = predictions.astype(np.int64)
    if competition.target_kind.is_multi_label and rule is None and competition.scorer.context.always_labelled:
        empty = np.flatnonzero(~chosen.any(axis=1))
        chosen[empty, probs[empty].argmax(axis=1)] = 1
    return chosen


def _format_heads(competition: Competition, predictions: NDArray[Any]) -> Iterable[Sequence[str]]:
    """The labels (n, n_heads) of each row, or one for each row of the long form."""
    cells, texts = competition.submission.cells, competition.label_texts
    if cells is not None:
        return ([texts[predictions[image, head]]] for image, head in cells)
    return ([texts[index] for index in row] for row in predictions.tolist())


def _format_numbers(competition: Competition, values: NDArray[Any]) -> Iterable[Sequence[str]]:
    """The numbers (n, n_columns) of each row, or one for each row of the long form."""
    cells = competition.submission.cells
    if cells is not None:
        return ([NUMBER_FORMAT % values[image, column]] for image, column in cells)
    form = " ".join([NUMBER_FORMAT] * values.shape[1])
    return ((form % tuple(row)).split(" ") for row in values.tolist())


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise _build_error(problem)


def _build_error(problem: str, *, n_others: int = 0) -> DataError:
    others = f"; and {n_others} more problem{'s' if n_others > 1 else ''}" if n_others else ""
    return DataError(
        f"the submission would be refused: {problem}{others}",
        hint="compare it with the sample submission; an earlier submission is left as it was",
    )
