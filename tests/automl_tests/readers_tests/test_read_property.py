"""Whatever lies in a folder and whatever is set, reading it ends in a competition or in an error for the user."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from automl.data.competition import Competition, SubmissionKind
from automl.errors import AutomlError, UsageError
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.tasks import Task

ODD_IDS = ["../x", "", " 1", "00012", "t/1.png", '"q"', "\u00e9", "1.2.3", "cat.0", "3", "1_left", "1_a", "1_b", "2_a"]
ODD_VALUES = [
    "0.5",
    " cat",
    "",
    "nan",
    "inf",
    "-1",
    "1e400",
    "9" * 5000,
    "a b",
    "\u0661",
    "x\ny",
    "None",
    "1 2",
    "dog cat",
]
BASE_IMAGES = ["train/1.png", "train/2.png", "train/3.png", "train/4.png", "test/1.png", "test/2.png"]
ODD_IMAGES = ["train/cat.0.jpg", "train/dog.1.JPG", "train/a/1.png", "train/b/t/1.png", "train/\u00e9.png"]
ODD_IMAGES += ["test1/a.png", "x/1.png", "1.png", "cat.0.png", "train/.a.png", "train/2_red.png", "train/2.tif"]
CLASSES = [("0", "1"), ("cat", "dog"), ("7", "10"), ("1.5", "2.25"), ("a b", "b"), ("", "3 4"), ("no cat", "cat")]
METRICS = [None, None, "roc_auc", "accuracy", "qwk", "rmse", "map@2", "f1_samples", "weighted_log_loss", "pf1"]

ids = st.one_of(st.sampled_from(["1", "2"]), st.sampled_from(["1", "2", *ODD_IDS]))
labels = st.sampled_from(CLASSES)
columns = st.sampled_from(
    ["label", "cat", "dog", "Id", "", "\ufeffid", "class", "patient_id", "pixels", "image", "x\ny"]
)
some_settings = st.builds(
    CompetitionSettings,
    metric=st.sampled_from(METRICS),
    skip_missing=st.booleans(),
    task=st.sampled_from([None, None, None, *Task]),
    group=st.sampled_from([None, None, "none", "patient_id", "cat", "file name"]),
    negative=st.sampled_from([None, None, None, "0", "cat", ""]),
    labels=st.sampled_from([None, None, None, None, "notes.csv", "train.csv", "x.json", "folders", "names"]),
    label=st.sampled_from([None, None, None, "label", "patient_id", "id", "label,patient_id"]),
    sample=st.sampled_from([None, None, None, "sample_submission.csv"]),
    competition=st.sampled_from([None, None, None, "csiro-biomass", "ranzcr-clip-catheter-line-classification"]),
)
all_settings = st.one_of(
    st.just(CompetitionSettings()), st.builds(CompetitionSettings, metric=st.sampled_from(METRICS)), some_settings
)


def written(rows: list[list[str]], separator: str = ",", end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


@st.composite
def nearly_right(draw: st.DrawFn, values: tuple[str, ...], n_rows: int = 2) -> bytes:
    """A table of the first ids with these values in turn, and perhaps a few things about it that are odd."""
    rows = [["id", "label"], *([str(row + 1), values[row % len(values)]] for row in range(n_rows))]
    separator = (",", "\n")
    kinds = ["row", "id", "value", "field", "column", "separator", "wide"]
    for odd in draw(st.one_of(st.just([]), st.lists(st.sampled_from(kinds), max_size=2))):
        row = draw(st.integers(0, n_rows))
        if odd == "row":
            rows.append([draw(ids), draw(st.sampled_from([*values, *ODD_VALUES]))])
        elif odd == "id":
            rows[row][0] = draw(ids)
        elif odd == "value":
            rows[row][-1] = draw(st.sampled_from(ODD_VALUES))
        elif odd == "field":
            rows[row].append("x")
        elif odd == "column":
            cells = st.sampled_from([*values, *ODD_VALUES, "p1", "p1", "train/1.png"])
            rows = [[*row, draw(columns if number == 0 else cells)] for number, row in enumerate(rows)]
        elif odd == "wide":
            header = [rows[0][0], "cat", "dog"]
            number = st.sampled_from(["0", "1", "1", draw(st.sampled_from(["0.5", "2", "", "x"]))])
            rows = [header, *([row[0], draw(number), draw(number)] for row in rows[1:])]
        elif odd == "separator":
            separator = draw(st.sampled_from([(";", "\r\n"), ("\t", "\r")]))
    return written(rows, *separator)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A JSON file of labels, or of something else."""
    images = [
        {"id": number, "file_name": draw(st.sampled_from(["train/1.png", "2.png", "../x", 7]))} for number in (1, 2)
    ]
    annotations = [{"image_id": number, "category_id": draw(st.sampled_from([0, 1, "cat", None]))} for number in (1, 2)]
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "cat"}]}
    kept = draw(st.sets(st.sampled_from(sorted(whole))))
    other = draw(st.sampled_from([[], {}, 3, {"1.png": "cat", "2.png": ["dog"]}, [{"id": "1"}]]))
    return json.dumps({key: whole[key] for key in kept} if kept else other).encode()


@st.composite
def folders(draw: st.DrawFn) -> tuple[set[str], dict[str, bytes]]:
    """Images and tables of a small competition that is right, or odd in a few places."""
    classes = draw(labels)
    values = [classes, ("0", "0"), ("0.5", "0.5"), ("", ""), (" ".join(classes), classes[0])]
    sample_values = draw(st.sampled_from(values))
    images = {*BASE_IMAGES, *draw(st.sets(st.sampled_from(ODD_IMAGES), max_size=2))}
    images -= draw(st.sets(st.sampled_from(BASE_IMAGES), max_size=1))
    train_name = draw(st.sampled_from(["train.csv", "labels.csv", "notes.csv"]))
    sample_name = draw(st.sampled_from(["sampleSubmission.csv", "sample_submission_stg1.csv", "submission.csv"]))
    tables = {
        train_name: draw(nearly_right(classes, draw(st.sampled_from([2, 4])))),
        sample_name: draw(nearly_right(sample_values)),
    }
    others = st.sampled_from(["train.csv", "sample_submission.csv", "test.csv", "notes.csv"])
    contents = st.one_of(nearly_right(classes), nearly_right(sample_values), st.binary())
    tables |= draw(st.one_of(st.just({}), st.dictionaries(others, contents, max_size=2)))
    tables |= draw(st.dictionaries(st.sampled_from(["x.json", "train.json", "test.json"]), documents(), max_size=1))
    return images, tables


@pytest.mark.slow
@settings(max_examples=150, deadline=None, database=None)
@given(folder=folders(), settings=all_settings)
@example(
    folder=({*BASE_IMAGES}, {"train.csv": b"id,label\n1,0\n2,1\n", "sampleSubmission.csv": b"id,label\n1,0\n"}),
    settings=CompetitionSettings(),
)
def test_any_folder_ends_in_a_competition_or_in_an_error_of_ours(
    folder: tuple[set[str], dict[str, bytes]], settings: CompetitionSettings
) -> None:
    images, tables = folder
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in images:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"")
        for name, content in tables.items():
            (root / name).write_bytes(content)
        try:
            read = read_competition(root, settings)
        except AutomlError as error:
            assert error.exit_code == 3 or (isinstance(error, UsageError) and settings != CompetitionSettings())
            assert "\n" not in error.problem
            return
    check(read)
    assert settings.metric in (None, read.metric.name)
    assert settings.task in (None, read.task) or {settings.task, read.task} == {Task.MULTICLASS, Task.BINARY}


def check(competition: Competition) -> None:
    n_images, n_test, n_classes = len(competition.image_ids), len(competition.test_ids), competition.n_classes
    assert n_images == len(set(competition.image_ids)) == len(set(competition.image_paths)) == len(competition.targets)
    assert n_test == len(competition.test_paths) > 0
    assert all(path.is_relative_to(competition.root) for path in (*competition.image_paths, *competition.test_paths))
    assert all(line.isprintable() for line in competition.evidence)
    assert len(set(competition.classes)) == n_classes
    assert competition.task in competition.metric.tasks
    check_targets(competition)
    assert competition.groups is None or (competition.groups.shape == (n_images,) and competition.grouped_by)
    template = competition.submission
    assert (template.n_ranked > 0) == (template.submission_kind is SubmissionKind.RANKING)
    if template.cells is None:
        assert template.ids == competition.test_ids
    else:
        assert {(image, column) for image in range(n_test) for column in range(n_classes)} == set(template.cells)


def check_targets(competition: Competition) -> None:
    shape = (len(competition.image_ids), competition.n_classes)
    if competition.task.target_kind.is_single_class:
        assert set(competition.targets.tolist()) == set(range(competition.n_classes))
        assert (competition.n_classes == 2) == (competition.task is Task.BINARY) or competition.task is Task.ORDINAL
    elif competition.task is Task.MULTIOUTPUT:
        assert competition.targets.shape == (len(competition.image_ids), len(competition.heads))
    else:
        assert competition.targets.shape == shape
    assert competition.soft_targets.shape == shape
    assert np.isfinite(competition.soft_targets).all()
    assert ((competition.soft_targets >= 0) & (competition.soft_targets <= 1)).all()
    assert np.isfinite(competition.prior).all()
