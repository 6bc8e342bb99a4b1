"""The label column is the one that is asked for, that the sample names, or that fits alone; otherwise reading stops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from automl.errors import DataError, UsageError
from automl.readers.labels.csv_columns import read_csv_labels
from automl.readers.labels.label_columns import find_named_columns, find_split_column, split_label_names
from automl.readers.labels.source import Labels
from tests.automl_tests.readers_tests.sources import source_of
from tests.automl_tests.readers_tests.test_image_columns import table_of
from tests.automl_tests.small_competitions import put_csv, put_images

N = 24


def read(
    root: Path, header: str, rows: Sequence[str], sample: str = "id,prediction", value: str = "", **asked: Any
) -> Labels:
    """The labels of N images with these rows behind their ids."""
    put_images(root, [*(f"train/a{i}.png" for i in range(N)), "test/t.png"])
    put_csv(root / "train.csv", f"id,{header}", *(f"a{i},{row}" for i, row in enumerate(rows)))
    put_csv(root / "sample_submission.csv", sample, "t" + f",{value}" * sample.count(","))
    return read_csv_labels(source_of(root, **asked))


@pytest.mark.parametrize(
    ("header", "row", "sample", "value", "column"),
    [
        ("species,disease", "s{m2},d{m4}", "id,disease", "", "disease"),  # by name
        ("species,disease_id", "s{m2},d{m4}", "id,Disease", "", "disease_id"),  # but for case and "id"
        ("species,disease", "s{m2},d{m4}", "id,prediction", "d3", "disease"),  # by value
        ("species,disease", "s{m2},d{m4}", "id,d0,d1,d2,d3", "0.2", "disease"),  # by classes
        ("species,class", "s{m2},d{m4}", "id,prediction", "", "class"),  # as usually
        ("part,class", "train,d{m4}", "id,prediction", "", "class"),  # the other is the same in all rows
        ("checksum,disease", "x{i}y,d{m4}", "id,prediction", "", "disease"),  # the other is different in all rows
        ("Unnamed: 0,disease", "{i},d{m4}", "id,prediction", "", "disease"),
        ("label,label_name", "{m4},d{m4}", "id,label", "d1", "label_name"),  # the words of the sample
        ("label,label_name", "{m4},d{m4}", "id,label", "1", "label"),
        ("class,class_id", "d{m4},{m4}", "id,prediction", "", "class"),
    ],
)
def test_the_one_column_is_taken_that_a_reason_speaks_for(
    tmp_path: Path, header: str, row: str, sample: str, value: str, column: str
) -> None:
    rows = [row.format(i=i, m2=i % 2, m4=i % 4) for i in range(N)]
    assert read(tmp_path, header, rows, sample, value).columns == (column,)


def test_what_else_could_be_meant_is_suggested_unless_it_says_the_same(tmp_path: Path) -> None:
    labels = read(tmp_path, "class,site,class_id", [f"d{i % 4},s{i % 3},{i % 4}" for i in range(N)])
    (line,) = [line for line in labels.evidence if line.startswith("suggestion: --label COLUMN")]
    assert "column class of train.csv is taken, as labels are usually called so; others are site" in line


@pytest.mark.parametrize("row", ["s{m2},d{m4}", "{m4},d{m4}"])
def test_an_unclear_column_stops_the_reading_with_what_the_columns_hold(tmp_path: Path, row: str) -> None:
    rows = [row.format(m2=i % 2, m4=i % 4) for i in range(N)]
    with pytest.raises(DataError, match=r"which column of train.csv holds the label \(species, disease\)") as caught:
        read(tmp_path, "species,disease", rows)
    assert caught.value.seen[1] == "column disease: d0, d1, d2 and 1 more"
    assert "--label species,disease" in caught.value.hint


def test_a_table_of_labels_without_repeating_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column of train.csv repeats values .* \(checksum\)"):
        read(tmp_path, "checksum", [f"x{i}y" for i in range(N)])


def test_lists_of_labels_may_all_differ(tmp_path: Path) -> None:
    tags = [" ".join(f"t{k}" for k in range(5) if (i + 1) >> k & 1) for i in range(N)]
    assert read(tmp_path, "tags", tags).texts == tuple(tags)


def test_several_columns_are_taken_where_the_user_names_them(tmp_path: Path) -> None:
    rows = [f"{i},{i / 4},{i / 8}" for i in range(N)]
    labels = read(tmp_path, "age,height,width", rows, label="width,height")
    assert labels.columns == ("width", "height")
    assert labels.cells[1] == ("0.125", "0.25")
    with pytest.raises(UsageError, match="--label width,depth: no table has such a column") as caught:
        read(tmp_path, "age,height,width", rows, label="width,depth")
    assert caught.value.seen == ("train.csv has id, age, height, width",)
    assert split_label_names("a,b", ["id", "a,b"]) == ["a,b"]
    source = source_of(tmp_path, label="height,depth")
    with pytest.raises(UsageError, match=r"train.csv has no such column as depth"):
        find_named_columns(["id", "height"], "train.csv", source)


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        ("soil,X4_mean,X11_mean", "3,{i},{i}", ("X4_mean", "X11_mean")),
        ("log X4,X11,log X11", "{i},{i},{i}", ("log X4", "log X11")),
        ("X4_mean,X11_mean,X4_sd,X11_sd", "{i},{i},,1", ("X4_mean", "X11_mean")),
        ("X4_mean,X11_mean,X4_sd,X11_sd", "{i},{i},1.5,2.5", None),
        ("X4_mean,X11", "{i},{i}", None),
        ("soil,x.4,X 11", "3,{i},{i}", ("x.4", "X 11")),
    ],
)
def test_targets_are_found_by_what_is_added_to_the_names_of_all_of_them(
    tmp_path: Path, header: str, row: str, columns: tuple[str, ...] | None
) -> None:
    rows = [row.format(i=i / 4) for i in range(N)]
    if columns is not None:
        labels = read(tmp_path, header, rows, "id,X4,X11", "0.5")
        assert labels.columns == columns
        assert any("the targets X4, X11 are the columns" in line for line in labels.evidence)
        return
    with pytest.raises(DataError, match="it is unclear which column"):
        read(tmp_path, header, rows, "id,X4,X11", "0.5")


@pytest.mark.parametrize(("one", "zero"), [("1", "0"), ("True", "False"), ("1.0", "0.0")])
def test_columns_of_which_one_is_1_in_each_row_are_classes(tmp_path: Path, one: str, zero: str) -> None:
    rows = [",".join(one if i % 3 == k else zero for k in range(3)) for i in range(N)]
    labels = read(tmp_path, "cat,dog,owl", rows)
    assert labels.columns == ("cat", "dog", "owl")
    with pytest.raises(DataError, match="it is unclear which column"):
        read(tmp_path, "cat,dog,owl", [",".join([one, one, zero]), *rows[1:]])
    with pytest.raises(DataError, match="it is unclear which column"):
        read(tmp_path, "cat,dog,owl", rows, value="fox")


@pytest.mark.parametrize(
    ("name", "cells", "parts"),
    [
        ("split", ["train", "test", "Valid"], ("train", "test", "val")),
        ("Data Set", ["training", "testing", "validation"], ("train", "test", "val")),
        ("Usage", ["Training", "PublicTest", "PrivateTest"], ("train", "test", "test")),
        ("is_train", ["True", "False", "1"], ("train", "test", "train")),
        ("is_test", ["0", "1", "0.0"], ("train", "test", "train")),
        ("is_valid", ["yes", "no", "no"], ("val", "train", "train")),
        ("fold", ["0", "1", "2"], None),
        ("split", ["train", "test", "cat"], None),
        ("label", ["train", "test", "train"], None),
    ],
)
def test_the_column_of_the_split_is_known_by_its_name_and_values(
    name: str, cells: Sequence[str], parts: tuple[str, ...] | None
) -> None:
    table = table_of(f"id,{name}", [range(len(cells)), cells])
    found = find_split_column(table)
    assert (found.parts if found else None) == parts
    assert find_split_column(table, taken=(1,)) is None


def test_the_folders_of_the_images_tell_the_right_labels_from_those_made_wrong(tmp_path: Path) -> None:
    put_images(tmp_path, [*(f"train/{'ab'[i % 2]}/{i}.png" for i in range(N)), "test/t.png"])
    rows = [f"{i}.png,{'ab'[i % 2]},{'ab'[i % 3 % 2]}" for i in range(N)]
    put_csv(tmp_path / "train.csv", "path,noisy_0,noisy_50", *rows)
    put_csv(tmp_path / "sample_submission.csv", "id,prediction", "t,")
    assert read_csv_labels(source_of(tmp_path)).columns == ("noisy_0",)
    put_csv(tmp_path / "train.csv", "path,side,species", *(f"{i}.png,{'ab'[i % 2]},s{i % 3}" for i in range(N)))
    with pytest.raises(DataError, match=r"\(side, species\)"):
        read_csv_labels(source_of(tmp_path))
