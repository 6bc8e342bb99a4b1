"""Labels in a table with a row for each image and target are read, and what contradicts or is missing is named."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from automl.errors import AutomlError, DataError
from automl.readers.labels.csv_long import read_long_csv_labels
from automl.readers.labels.source import LabelSource, LayoutMismatchError
from tests.automl_tests.readers_tests.sources import BIOMASS, HEMORRHAGES, source_of
from tests.automl_tests.small_competitions import put_csv, put_images

fields = st.sampled_from(
    ["sample_id", "image_path", "target_name", "target", "", "x", "1", "ID1", "GDM_g", "ID1__GDM_g"]
)
rows = st.lists(st.lists(fields, min_size=2, max_size=4), max_size=6)


def put_biomass(root: Path, *extra: str) -> list[str]:
    """The files of csiro-biomass with two training images and one of the test; the lines of train.csv."""
    put_images(root, ["train/ID1.jpg", "train/ID2.jpg", "test/ID9.jpg"])
    rows = [
        f"ID{image}__{target},train/ID{image}.jpg,{'Vic' if image == 1 else 'WA'},{height},{target},{image}.{place}"
        for image, height in ((1, 4), (2, 6))
        for place, target in enumerate(BIOMASS)
    ]
    lines = ["sample_id,image_path,State,Height_Ave_cm,target_name,target", *rows, *extra]
    put_csv(root / "train.csv", *lines)
    tests = [f"ID9__{target},test/ID9.jpg,{target}" for target in BIOMASS]
    put_csv(root / "test.csv", "sample_id,image_path,target_name", *tests)
    put_csv(root / "sample_submission.csv", "sample_id,target", *(f"ID9__{target},0.0" for target in BIOMASS))
    return lines


def test_rows_for_image_and_target_become_a_column_for_each_target(tmp_path: Path) -> None:
    put_biomass(tmp_path, "ID1__GDM_g,train/ID1.jpg,Vic,4,GDM_g,1.4")
    labels = read_long_csv_labels(source_of(tmp_path))
    assert labels.columns == BIOMASS
    assert labels.ids == labels.images == ("train/ID1.jpg", "train/ID2.jpg")
    assert labels.cells == (("1.0", "1.1", "1.2", "1.3", "1.4"), ("2.0", "2.1", "2.2", "2.3", "2.4"))
    assert labels.others == {"State": ("Vic", "WA"), "Height_Ave_cm": ("4", "6")}
    assert labels.evidence == ("labels: 2 images, from the rows of train.csv for each of 5 targets",)


def test_ids_that_hold_image_and_target_become_a_column_for_each_target(tmp_path: Path) -> None:
    put_images(tmp_path, [f"stage_2_train/ID_{name}.png" for name in "ab"])
    put_images(tmp_path, [f"stage_2_test/ID_{name}.png" for name in "cd"])
    rows = [f"ID_{name}_{target},{int(name == 'a')}" for target in reversed(HEMORRHAGES) for name in "ab"]
    put_csv(tmp_path / "stage_2_train.csv", "ID,Label", *rows)
    tests = [f"ID_{name}_{target},0.5" for name in "cd" for target in HEMORRHAGES]
    put_csv(tmp_path / "stage_2_sample_submission.csv", "ID,Label", *tests)
    labels = read_long_csv_labels(source_of(tmp_path))
    assert (labels.ids, labels.columns) == (("ID_a", "ID_b"), HEMORRHAGES)
    assert labels.cells == (("1",) * 6, ("0",) * 6)
    assert labels.images == ("stage_2_train/ID_a.png", "stage_2_train/ID_b.png")


def test_a_cell_given_twice_differently_or_missing_is_named(tmp_path: Path) -> None:
    lines = put_biomass(tmp_path, "ID1__GDM_g,train/ID1.jpg,Vic,4,GDM_g,7")
    with pytest.raises(DataError, match=r"train.csv: image train/ID1.jpg has the values 1.4, 7 for GDM_g \(line 12\)"):
        read_long_csv_labels(source_of(tmp_path))
    put_csv(tmp_path / "train.csv", *lines[:-2])
    with pytest.raises(DataError, match=r"train.csv: image train/ID2.jpg has no value for GDM_g"):
        read_long_csv_labels(source_of(tmp_path))
    put_csv(tmp_path / "train.csv", *lines[:-2], "ID2__GDM_g,train/ID2.jpg,WA,6,GDM_g, ")
    with pytest.raises(DataError, match=r"train.csv: image train/ID2.jpg has no value for GDM_g"):
        read_long_csv_labels(source_of(tmp_path))


def test_an_id_that_ends_in_no_target_is_named(tmp_path: Path) -> None:
    put_biomass(tmp_path)
    put_csv(tmp_path / "train.csv", "sample_id,target", "ID1__GDM_g,1", "ID1,2")
    with pytest.raises(DataError, match=r"train.csv has 1 row whose id does not end in a target .*: line 3"):
        read_long_csv_labels(source_of(tmp_path))


def test_other_tables_are_of_another_kind(tmp_path: Path) -> None:
    put_biomass(tmp_path)
    put_csv(tmp_path / "train.csv", f"image,{','.join(BIOMASS)}", "ID1,1,2,3,4,5", "ID2,1,2,3,4,5")
    with pytest.raises(LayoutMismatchError, match=r"no CSV file has a row for each image and target"):
        read_long_csv_labels(source_of(tmp_path))
    put_csv(tmp_path / "sample_submission.csv", "id,label", "ID9,1")
    with pytest.raises(LayoutMismatchError, match=r"the sample submission has a row for each image"):
        read_long_csv_labels(source_of(tmp_path))


@pytest.fixture(scope="module")
def biomass(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelSource, list[str]]:
    """What its reader may look at, and the lines of its train.csv."""
    root = tmp_path_factory.mktemp("biomass")
    lines = put_biomass(root)
    return source_of(root, skip_missing=True), lines


@settings(max_examples=100, deadline=None, database=None)
@given(table=rows, n_whole=st.integers(0, 11))
def test_whatever_the_table_holds_is_read_or_refused(
    table: list[list[str]], n_whole: int, biomass: tuple[LabelSource, list[str]]
) -> None:
    source, whole = biomass
    put_csv(source.tables["train.csv"], *whole[:n_whole], *(",".join(row) for row in table))
    try:
        labels = read_long_csv_labels(source)
    except LayoutMismatchError:
        return
    except AutomlError as error:
        assert "\n" not in error.problem
    else:
        assert labels.columns == BIOMASS
        assert all(len(cells) == 5 and all(cells) for cells in labels.cells)
