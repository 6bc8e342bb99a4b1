"""Rows for an image and a target are taken apart where they make a whole grid, and put together to labels."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from automl.files.tables import Table
from automl.readers.long_form import split_id, unfold
from tests.automl_tests.readers_tests.sources import BIOMASS, HEMORRHAGES

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
