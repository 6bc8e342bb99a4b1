"""Whatever the order of rows and columns, an image keeps its label and a column holds what it is called by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.errors import AutomlError
from automl.readers.infer import InferredCompetition
from automl.readers.label_names import normalize_label
from automl.readers.labels.source import LabelOrigin, Labels
from automl.readers.submission_template import SampleSubmission
from automl.tasks import Task
from tests.automl_tests.readers_tests.labels import infer, labels_of, sample_with

WORDS = st.text(alphabet="abcdeXY_ 0129", min_size=1, max_size=5).map(str.strip).filter(bool)
NAMES = st.lists(st.text(alphabet="abcdxyz", min_size=1, max_size=4), min_size=2, max_size=5, unique_by=normalize_label)
CELLS = st.one_of(WORDS, st.integers(-3, 120).map(str), st.floats(0, 9, width=16).map(str), st.just(""))
ODD_CELLS = (
    "True",
    "no",
    "0.0",
    "Cat",
    "cat",
    "wild cat",
    "a,b",
    "a|b c",
    "['a', 'b']",
    "[]",
    "caf\u00e9",
    "cafe\u0301",
)
FORMS = ("{}", "p_{}", "{}_prob", "Is {}")


def shuffled(labels: Labels, random: Random) -> Labels:
    """The same labels with their rows and columns in another order."""
    rows = random.sample(range(len(labels.ids)), len(labels.ids))
    columns = random.sample(range(len(labels.columns)), len(labels.columns))
    return Labels(
        ids=tuple(labels.ids[row] for row in rows),
        images=tuple(labels.images[row] for row in rows),
        columns=tuple(labels.columns[at] for at in columns),
        cells=tuple(tuple(labels.cells[row][at] for at in columns) for row in rows),
        evidence=(),
    )


def read_targets(found: InferredCompetition, ids: Sequence[str]) -> dict[str, Any]:
    """What each image was taken for, by name and whatever the order."""
    if found.targets.ndim == 1:
        return {image_id: found.classes[target] for image_id, target in zip(ids, found.targets.tolist(), strict=True)}
    return {
        image_id: dict(zip(found.classes, row, strict=True))
        for image_id, row in zip(ids, found.targets.tolist(), strict=True)
    }


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(NAMES, st.lists(st.integers(0, 100), min_size=8, max_size=20), st.sampled_from(FORMS), st.randoms())
def test_a_probability_stands_in_the_column_that_its_class_names(
    names: list[str], draws: list[int], form: str, random: Random
) -> None:
    labels = labels_of(*names, *(names[draw % len(names)] for draw in draws))
    columns = [form.format(name) for name in random.sample(names, len(names))]
    found = infer(shuffled(labels, random), sample_with(("0.5",) * len(names), columns=columns))
    assert found.classes == tuple(columns), "so that the columns of probabilities are those of the sample"
    again = shuffled(labels, random)
    truth = {own_id: form.format(text) for own_id, text in zip(again.ids, again.texts, strict=True)}
    assert read_targets(infer(again, sample_with(("0.5",) * len(names), columns=columns)), again.ids) == truth


@settings(max_examples=60, deadline=None)
@given(NAMES, st.integers(8, 20), st.booleans(), st.randoms())
def test_labels_and_values_in_several_columns_are_matched_by_name(
    names: list[str], n: int, are_values: bool, random: Random
) -> None:
    cells = [
        [f"{row * 0.5 + at + 0.25}" if are_values else str((row >> at) & 1) for at in range(len(names))]
        for row in range(n)
    ]
    labels = labels_of(*cells, columns=names)
    columns = random.sample(names, len(names))
    sample = sample_with(("0.5",) * len(names), columns=columns)
    truth = read_targets(infer(labels, sample), labels.ids)
    again = shuffled(labels, random)
    found = infer(again, sample)
    assert found.classes == tuple(columns)
    assert read_targets(found, again.ids) == truth
    for image_id, row in zip(labels.ids, cells, strict=True):
        assert truth[image_id] == {name: float(cell) for name, cell in zip(names, row, strict=True)}


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(CELLS, min_size=3, max_size=30), st.lists(CELLS, min_size=1, max_size=4), WORDS, st.randoms())
def test_any_labels_are_understood_alike_in_any_order_or_refused(
    cells: list[str], values: list[str], column: str, random: Random
) -> None:
    labels, sample = labels_of(*cells, columns=[column]), sample_with(*values)
    first, second = (_infer_or_refuse(own, sample) for own in (labels, shuffled(labels, random)))
    assert first == second


def _infer_or_refuse(labels: Labels, sample: SampleSubmission) -> Any:
    try:
        found = infer(labels, sample)
    except AutomlError as error:
        return type(error)
    return found.task, found.submission_kind, found.separator, found.classes, read_targets(found, labels.ids)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_held_and_asked_is_understood_or_refused_in_one_line(data: st.DataObject) -> None:
    columns = data.draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    targets = data.draw(st.one_of(st.permutations(columns), st.lists(WORDS, min_size=1, max_size=3, unique=True)))
    pool = data.draw(st.lists(st.one_of(CELLS, st.sampled_from(ODD_CELLS)), min_size=1, max_size=5))
    cell = st.sampled_from(pool)
    rows = data.draw(st.lists(st.tuples(*[cell] * len(columns)), min_size=2, max_size=12))
    values = data.draw(st.lists(st.tuples(*[st.one_of(cell, CELLS)] * len(targets)), min_size=1, max_size=4))
    asked = {
        "task": data.draw(st.sampled_from([None, *Task])),
        "metric": data.draw(st.sampled_from([None, "accuracy", "f1", "f1_samples", "roc_auc", "rmse", "map@3"])),
        "submission": data.draw(st.sampled_from([None, "labels", "probabilities"])),
        "negative": data.draw(st.sampled_from([None, *pool])),
    }
    labels = replace(labels_of(*rows, columns=columns), origin=data.draw(st.sampled_from(LabelOrigin)))
    try:
        found = infer(labels, sample_with(*values, columns=targets), **asked)
    except AutomlError as error:
        assert "\n" not in error.problem + error.hint
    else:
        assert len(set(found.classes)) == len(found.classes)
        assert len(found.targets) == len(rows)
