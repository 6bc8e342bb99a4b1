"""Rows for an image and a target are taken apart where they make a whole grid, and put together to labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from automl.errors import AutomlError, DataError
from automl.files.tables import Table
from automl.readers.labels.csv_long import labels_from_long_table
from automl.readers.labels.source import NotOfThisKindError, Source
from automl.readers.long_form import split_id, unfold
from tests.automl_tests.readers_tests.sources import source_of
from tests.automl_tests.small_competitions import put_csv, put_images

HEMORRHAGES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
BIOMASS = ("Dry_Clover_g", "Dry_Dead_g", "Dry_Green_g", "Dry_Total_g", "GDM_g")
GRAPHEMES = ("consonant_diacritic", "grapheme_root", "vowel_diacritic")


def table_of(*lines: str) -> Table:
    header, *rows = (tuple(line.split(",")) for line in lines)
    return Table(name="test.csv", delimiter=",", header=header, rows=tuple(rows), lines=tuple(range(2, 2 + len(rows))))


@pytest.mark.parametrize(
    ("images", "separator", "targets"),
    [
        (("ID_28fbab7eb", "ID_877923b8b"), "_", HEMORRHAGES),
        (("ID1001187975", "ID1098771283"), "__", BIOMASS),
        (("Test_0", "Test_1", "Test_2"), "_", GRAPHEMES),
        (("1", "2"), "_", ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "patient_overall")),
        (("1.2.826.0.1.3680043.22327", "1.2.826.0.1.3680043.25399"), "_", ("C1", "C2")),
    ],
)
def test_ids_of_known_competitions_are_taken_apart(
    images: Sequence[str], separator: str, targets: Sequence[str]
) -> None:
    ids = [f"{image}{separator}{target}" for image in images for target in targets]
    unfolded = unfold(ids)
    assert unfolded is not None
    assert unfolded.image_ids == tuple(images)
    assert unfolded.targets == tuple(targets)
    assert unfolded.cells == tuple((i, t) for i in range(len(images)) for t in range(len(targets)))


@settings(max_examples=60, deadline=None, database=None)
@given(
    images=st.lists(
        st.from_regex(r"[a-z0-9]{1,4}(_[a-z0-9]{1,3})?", fullmatch=True), min_size=2, max_size=5, unique=True
    ),
    targets=st.lists(st.from_regex(r"[A-Z]{1,3}(_[A-Z]{1,3})?", fullmatch=True), min_size=2, max_size=6, unique=True),
    random=st.randoms(use_true_random=False),
)
def test_rows_in_any_order_name_the_same_pairs(images: list[str], targets: list[str], random: object) -> None:
    pairs = [(image, target) for image in images for target in targets]
    random.shuffle(pairs)  # type: ignore[attr-defined]
    unfolded = unfold([f"{image}_{target}" for image, target in pairs])
    if unfolded is not None:  # images a and a_b share a beginning, and may make it unclear
        rebuilt = [f"{unfolded.image_ids[i]}_{unfolded.targets[t]}" for i, t in unfolded.cells]
        assert rebuilt == [f"{image}_{target}" for image, target in pairs]
        assert len(set(unfolded.cells)) == len(unfolded.image_ids) * len(unfolded.targets)
    else:
        starts = {image.split("_")[0] for image in images}
        assert len(starts) < len(images) or len({target.split("_")[-1] for target in targets}) < len(targets)


@pytest.mark.parametrize(
    "ids",
    [
        [],
        ["a"],
        ["a_x"],
        ["a_x", "b_x"],
        ["a_x", "a_y", "b_x"],
        ["a_x", "a_y", "b_x", "b_z"],
        ["a_x", "a_y", "b_x", "b_y", "c"],
        ["img_1", "img_2", "img_3"],
        ["10_1", "10_2", "11_1", "11_2"],
        ["_x", "_y"],
        ["a_", "b_"],
        [f"a_{n}x" for n in range(61)] + [f"b_{n}x" for n in range(61)],
    ],
)
def test_ids_that_are_no_whole_grid_are_left_alone(ids: list[str]) -> None:
    assert unfold(ids) is None


def test_of_several_whole_grids_the_one_with_the_fewest_targets_counts() -> None:
    unfolded = unfold([f"{image}_{side}_{target}" for image in "ab" for side in "lr" for target in ("x", "y")])
    assert unfolded is not None
    assert unfolded.image_ids == ("a_l", "a_r", "b_l", "b_r")
    assert unfolded.targets == ("x", "y")


def test_targets_that_are_known_decide_and_one_image_will_then_do() -> None:
    ids = [f"ID_1_{target}" for target in HEMORRHAGES]
    assert unfold(ids) is None
    assert unfold(ids, known_targets=["cat", "dog"]) is None
    unfolded = unfold(ids, known_targets=[*HEMORRHAGES, "Label"])
    assert unfolded is not None
    assert (unfolded.image_ids, unfolded.targets) == (("ID_1",), HEMORRHAGES)


def test_the_columns_of_the_test_table_go_before_the_ids() -> None:
    ids = [f"ID7__{target}" for target in BIOMASS]
    lines = [f"ID7__{target},test/ID7.jpg,{target}" for target in reversed(BIOMASS)]
    unfolded = unfold(ids, table_of("sample_id,image_path,target_name", *lines))
    assert unfolded is not None
    assert unfolded.image_ids == ("test/ID7.jpg",)
    assert unfolded.targets == BIOMASS

    rows = ["0,u1,C1", "1,u1,C2", "2,u2,C1", "3,u2,C2"]
    unfolded = unfold(["3", "2", "1", "0"], table_of("row_id,StudyInstanceUID,prediction_type", *rows))
    assert unfolded is not None
    assert (unfolded.image_ids, unfolded.targets) == (("u2", "u1"), ("C2", "C1"))
    assert unfolded.cells == ((0, 0), (0, 1), (1, 0), (1, 1))


def test_a_test_table_that_says_nothing_of_targets_leaves_the_ids_to_speak() -> None:
    ids = ["a_x", "a_y", "b_x", "b_y"]
    for lines in (["id,age", *(f"{row_id},3" for row_id in ids)], ["id,target", "other,x"]):
        unfolded = unfold(ids, table_of(*lines))
        assert unfolded is not None
        assert unfolded.image_ids == ("a", "b")


def test_a_row_id_is_split_at_the_longest_target() -> None:
    assert split_id("a_b_c", {"c", "b_c"}) == ("a", "b_c")
    assert split_id("a__b", {"b"}) == ("a", "b")
    assert split_id("a_b", {"c"}) is None
    assert split_id("_b", {"b"}) is None


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
    labels = labels_from_long_table(source_of(tmp_path))
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
    labels = labels_from_long_table(source_of(tmp_path))
    assert (labels.ids, labels.columns) == (("ID_a", "ID_b"), HEMORRHAGES)
    assert labels.cells == (("1",) * 6, ("0",) * 6)
    assert labels.images == ("stage_2_train/ID_a.png", "stage_2_train/ID_b.png")


def test_a_cell_given_twice_differently_or_missing_is_named(tmp_path: Path) -> None:
    lines = put_biomass(tmp_path, "ID1__GDM_g,train/ID1.jpg,Vic,4,GDM_g,7")
    with pytest.raises(DataError, match=r"train.csv: image train/ID1.jpg has the values 1.4, 7 for GDM_g \(line 12\)"):
        labels_from_long_table(source_of(tmp_path))
    put_csv(tmp_path / "train.csv", *lines[:-2])
    with pytest.raises(DataError, match=r"train.csv: image train/ID2.jpg has no value for GDM_g"):
        labels_from_long_table(source_of(tmp_path))
    put_csv(tmp_path / "train.csv", *lines[:-2], "ID2__GDM_g,train/ID2.jpg,WA,6,GDM_g, ")
    with pytest.raises(DataError, match=r"train.csv: image train/ID2.jpg has no value for GDM_g"):
        labels_from_long_table(source_of(tmp_path))


def test_an_id_that_ends_in_no_target_is_named(tmp_path: Path) -> None:
    put_biomass(tmp_path)
    put_csv(tmp_path / "train.csv", "sample_id,target", "ID1__GDM_g,1", "ID1,2")
    with pytest.raises(DataError, match=r"train.csv has 1 row whose id does not end in a target .*: line 3"):
        labels_from_long_table(source_of(tmp_path))


def test_other_tables_are_of_another_kind(tmp_path: Path) -> None:
    put_biomass(tmp_path)
    put_csv(tmp_path / "train.csv", f"image,{','.join(BIOMASS)}", "ID1,1,2,3,4,5", "ID2,1,2,3,4,5")
    with pytest.raises(NotOfThisKindError, match=r"no CSV file has a row for each image and target"):
        labels_from_long_table(source_of(tmp_path))
    put_csv(tmp_path / "sample_submission.csv", "id,label", "ID9,1")
    with pytest.raises(NotOfThisKindError, match=r"the sample submission has a row for each image"):
        labels_from_long_table(source_of(tmp_path))


@pytest.fixture(scope="module")
def biomass(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, list[str]]:
    """What its reader may look at, and the lines of its train.csv."""
    root = tmp_path_factory.mktemp("biomass")
    lines = put_biomass(root)
    return source_of(root, skip_missing=True), lines


fields = st.sampled_from(
    ["sample_id", "image_path", "target_name", "target", "", "x", "1", "ID1", "GDM_g", "ID1__GDM_g"]
)
rows = st.lists(st.lists(fields, min_size=2, max_size=4), max_size=6)


@settings(max_examples=100, deadline=None, database=None)
@given(table=rows, n_whole=st.integers(0, 11))
def test_whatever_the_table_holds_is_read_or_refused(
    table: list[list[str]], n_whole: int, biomass: tuple[Source, list[str]]
) -> None:
    source, whole = biomass
    put_csv(source.tables["train.csv"], *whole[:n_whole], *(",".join(row) for row in table))
    try:
        labels = labels_from_long_table(source)
    except NotOfThisKindError:
        return
    except AutomlError as error:
        assert "\n" not in error.problem
    else:
        assert labels.columns == BIOMASS
        assert all(len(cells) == 5 and all(cells) for cells in labels.cells)
