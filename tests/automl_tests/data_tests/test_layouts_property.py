"""Whatever lies in a folder, reading it ends in a competition or in an error for the user."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import example, given, settings

from automl.data.competition import Competition
from automl.data.layouts import read_competition
from automl.errors import AutomlError

ODD_IDS = ["../x", "", " 1", "00012", "t/1.png", '"q"', "\u00e9", "1.2.3", "cat.0", "3"]
ODD_VALUES = ["0.5", " cat", "", "nan", "inf", "-1", "1e400", "9" * 5000, "a b", "\u0661", "x\ny"]
BASE_IMAGES = ["train/1.png", "train/2.png", "test/1.png", "test/2.png"]
ODD_IMAGES = ["train/cat.0.jpg", "train/dog.1.JPG", "train/a/1.png", "train/b/t/1.png", "train/\u00e9.png"]
ODD_IMAGES += ["test1/a.png", "x/1.png", "1.png", "cat.0.png", "train/.a.png"]

ids = st.one_of(st.sampled_from(["1", "2"]), st.sampled_from(["1", "2", *ODD_IDS]))
labels = st.sampled_from([("0", "1"), ("cat", "dog"), ("7", "10")])
columns = st.sampled_from(["label", "cat", "dog", "Id", "", "\ufeffid", "class"])


def written(rows: list[list[str]], separator: str = ",", end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


@st.composite
def nearly_right(draw: st.DrawFn, values: tuple[str, ...]) -> bytes:
    """A table of both ids with these values, and perhaps one thing about it that is odd."""
    rows = [["id", "label"], ["1", values[0]], ["2", values[1]]]
    odd = draw(st.sampled_from(["nothing", "row", "id", "value", "field", "column", "separator"]))
    if odd == "row":
        rows.append([draw(ids), draw(st.sampled_from([*values, *ODD_VALUES]))])
    elif odd in ("id", "value", "field"):
        row = draw(st.integers(0, 2))
        rows[row] = {"id": [draw(ids), rows[row][1]], "value": [rows[row][0], draw(st.sampled_from(ODD_VALUES))]}.get(
            odd, [*rows[row], "x"]
        )
    elif odd == "column":
        extra = [draw(columns), *draw(st.tuples(*[st.sampled_from([*values, *ODD_VALUES])] * 2))]
        rows = [[*row, value] for row, value in zip(rows, extra, strict=True)]
    return written(
        rows, *draw(st.sampled_from([(",", "\n"), (";", "\r\n"), ("\t", "\r")])) if odd == "separator" else ()
    )


@st.composite
def folders(draw: st.DrawFn) -> tuple[set[str], dict[str, bytes]]:
    """Images and tables of a competition of two classes that is right, or odd in a few places."""
    classes = draw(labels)
    sample_values = draw(st.sampled_from([classes, ("0", "0"), ("0.5", "0.5"), ("", "")]))
    images = {*BASE_IMAGES, *draw(st.sets(st.sampled_from(ODD_IMAGES), max_size=2))}
    images -= draw(st.sets(st.sampled_from(BASE_IMAGES), max_size=1))
    train_name = draw(st.sampled_from(["train.csv", "labels.csv", "notes.csv"]))
    tables = {train_name: draw(nearly_right(classes)), "sampleSubmission.csv": draw(nearly_right(sample_values))}
    tables |= draw(st.dictionaries(st.sampled_from(["train.csv", "sample_submission.csv"]), st.binary(), max_size=1))
    return images, tables


@settings(max_examples=60, deadline=None, database=None)
@given(folder=folders(), metric=st.sampled_from([None, "roc_auc", "accuracy"]), skip=st.booleans())
@example(
    folder=({*BASE_IMAGES}, {"train.csv": b"id,label\n1,0\n2,1\n", "sampleSubmission.csv": b"id,label\n1,0\n"}),
    metric=None,
    skip=False,
)
def test_any_folder_ends_in_a_competition_or_in_an_error_of_ours(
    folder: tuple[set[str], dict[str, bytes]], metric: str | None, skip: bool
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
            read = read_competition(root, metric=metric, skip_missing=skip)
        except AutomlError as error:
            assert error.exit_code == 3
            assert "\n" not in error.problem
            return
    check(read)


def check(competition: Competition) -> None:
    n_images = len(competition.image_ids)
    assert n_images == len(set(competition.image_ids)) == len(set(competition.image_paths)) == len(competition.targets)
    assert set(competition.targets.tolist()) == set(range(competition.n_classes))
    assert len(competition.test_ids) == len(competition.test_paths) > 0
    assert all(path.is_relative_to(competition.root) for path in (*competition.image_paths, *competition.test_paths))
    assert all(line.isprintable() for line in competition.evidence)
