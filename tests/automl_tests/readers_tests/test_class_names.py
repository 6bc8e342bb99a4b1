"""Names of classes are told from those of parts of a set, patients, cameras and dates."""

from __future__ import annotations

import pytest

from automl.readers.labels.class_names import find_doubt, find_level_doubt, is_odd_class


def doubt_of(*names: str, n_images: int = 4) -> str:
    """The reason against these names, each of which has images with unlike numbers."""
    held = [name for name in names for _ in range(n_images)]
    doubt = find_doubt(held, [f"x{37 * number % 101}" for number in range(len(held))])
    return doubt.reason if doubt else ""


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "dog"),
        ("0", "1", "2"),
        ("00000", "00001"),
        ("c0", "c1", "c2"),
        ("n01443537", "n01629819"),
        ("001.Black_footed_Albatross", "002.Laysan_Albatross"),
        ("Type_1", "Type_2"),
        ("with_mask", "mask"),
        ("raw", "cooked"),
        ("train", "bus"),
        ("day", "night"),
        ("A", "B", "C", "1"),
        ("s1", "s2"),
    ],
)
def test_these_may_be_classes(names: tuple[str, ...]) -> None:
    assert doubt_of(*names) == ""


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("part0", "part1"), "parts of one set"),
        (("images_001", "images_002"), "parts of one set"),
        (("0000-0099", "0100-0199"), "ranges"),
        (("2019", "2020"), "dates"),
        (("2019-01-02", "20190103"), "dates"),
        (("8863", "8864"), "count up from 0 or 1"),
        (("camera1", "camera2"), "places, times or persons"),
        (("site_berlin", "site_rome"), "places, times or persons"),
        (("3f2a9c81d0", "77aa0b13c4"), "ids"),
        (("images", "masks"), "what holds images"),
        (("raw", "processed"), "what holds images"),
        (("train", "test"), "parts of a data set"),
        (tuple("0123abcdef"), "hexadecimal"),
    ],
)
def test_these_are_hardly_classes(names: tuple[str, ...], reason: str) -> None:
    assert reason in doubt_of(*names)


def test_folders_of_one_image_each_are_hardly_classes() -> None:
    assert "one image each" in doubt_of("oak", "elm", "yew", "fir", n_images=1)


@pytest.mark.parametrize(("sizes", "is_doubtful"), [((10, 10, 10), True), ((10, 10, 3), True), ((10, 7, 10), False)])
def test_numbered_folders_whose_files_count_on_are_shards_of_one_set(sizes: tuple[int, ...], is_doubtful: bool) -> None:
    names = [f"x{number}" for number, size in enumerate(sizes) for _ in range(size)]
    stems = [f"a{number:03}" for number in range(sum(sizes))]
    assert (find_doubt(names, stems) is not None) is is_doubtful
    assert find_doubt([name.replace("x", "class ") for name in names], stems) is None
    assert find_doubt(names, [f"a{number % 7}" for number in range(len(names))]) is None


def test_a_folder_of_images_among_classes_is_odd() -> None:
    assert [is_odd_class(name) for name in ("images", "train", "cat", "training_fake")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("left", "right"), "views"),
        (("p000", "p001", "p002"), "numbered alike"),
        (("class1", "class2"), ""),
        (("0", "1"), ""),
        (("cat", "dog"), ""),
        (("2019", "2020"), "dates"),
    ],
)
def test_beside_another_level_numbers_and_views_are_hardly_classes(names: tuple[str, ...], reason: str) -> None:
    held = [name for name in names for _ in range(4)]
    doubt = find_level_doubt(held, ["x"] * len(held))
    assert reason in doubt.reason if doubt else reason == ""
