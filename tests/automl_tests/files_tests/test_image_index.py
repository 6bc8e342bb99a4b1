"""Which image an id names."""

from __future__ import annotations

import unicodedata

import pytest

from automl.files.image_index import ImageLookup


@pytest.mark.parametrize(
    ("image_id", "image"),
    [
        ("train/x/a.png", "train/x/a.png"),
        ("x/a.png", "train/x/a.png"),
        ("a.png", "train/x/a.png"),
        ("a", "train/x/a.png"),
        (" a ", "train/x/a.png"),
        ("a.jpg", "train/x/a.png"),
        ("1.2.826.0", "train/1.2.826.0.png"),
        ("00012", "train/00012.png"),
        ("12", None),
        ("A", None),
        ("", None),
        (".png", None),
        ("../train/x/a.png", None),
        ("/etc/passwd", None),
        ("a\0", None),
    ],
)
def test_an_id_is_a_path_then_a_file_name_then_a_name_without_extension(image_id: str, image: str | None) -> None:
    lookup = ImageLookup(["train/x/a.png", "train/1.2.826.0.png", "train/00012.png"])
    assert lookup.find(image_id) == ([] if image is None else [image])


def test_the_first_set_of_images_that_has_the_id_decides() -> None:
    lookup = ImageLookup(["train/1.png"], ["other/1.png", "other/2.png"])
    assert lookup.find("1") == ["train/1.png"]
    assert lookup.find("2") == ["other/2.png"]


def test_an_id_that_fits_several_images_is_ambiguous_and_one_that_fits_none_is_missing() -> None:
    matched = ImageLookup(["train/a/1.png", "train/b/1.png", "train/2.png"]).match(["1", "2", "3"])
    assert matched.names == (None, "train/2.png", None)
    assert matched.missing == ("3",)
    assert matched.ambiguous == ("1 (train/a/1.png, train/b/1.png)",)


def test_composed_and_decomposed_letters_are_the_same_name() -> None:
    on_disk = unicodedata.normalize("NFD", "train/caf\u00e9.png")
    assert ImageLookup([on_disk]).find("caf\u00e9") == [on_disk]


@pytest.mark.parametrize("image_id", ["train/IDx.jpg", "train/IDx", "IDx.jpg", "IDx", "train.zip/train/IDx.jpg"])
def test_a_path_may_begin_at_the_archive_or_in_it(image_id: str) -> None:
    assert ImageLookup(["train.zip/train/IDx.jpg"]).find(image_id) == ["train.zip/train/IDx.jpg"]


@pytest.mark.parametrize("image_id", ["000/01/7.jpg", "000/01/7", "000/01/7.jpeg"])
def test_a_path_without_or_with_another_extension_names_its_image(image_id: str) -> None:
    images = ["train_images/000/01/7.jpg", "train_images/000/02/7.jpg"]
    assert ImageLookup(images).find(image_id) == images[:1]


def test_of_one_image_in_several_formats_the_common_one_is_taken_and_that_is_said() -> None:
    images = [f"train-{kind}/{number}.{kind}" for kind in ("jpg", "tif") for number in range(3)]
    matched = ImageLookup(images).match(["0", "1", "2"])
    assert matched.names == ("train-jpg/0.jpg", "train-jpg/1.jpg", "train-jpg/2.jpg")
    assert matched.notes == ("images: .jpg taken where there is a .tif of the same name (3 ids)",)
    assert ImageLookup(images).match(["0.tif", "train-tif/1"]).names == ("train-tif/0.tif", "train-tif/1.tif")
    assert ImageLookup(images).match(["0.tif"]).notes == ()


def test_an_extension_in_other_case_is_the_one_that_was_asked_for() -> None:
    assert ImageLookup(["train/a.JPG", "train/a.png"]).find("a.jpg") == ["train/a.JPG"]
    assert ImageLookup(["train/a.JPG", "train/a.PNG"]).find("a.png") == ["train/a.PNG"]


def test_two_images_of_one_format_stay_ambiguous_beside_a_third_of_another() -> None:
    matched = ImageLookup(["a/1.jpg", "b/1.jpg", "c/1.tif"]).match(["1"])
    assert matched.ambiguous == ("1 (a/1.jpg, b/1.jpg)",)
    assert matched.notes == ()


def test_the_same_name_in_the_folder_of_each_class_is_told_apart_by_its_path() -> None:
    lookup = ImageLookup(["Cover/00001.jpg", "UERD/00001.jpg"])
    assert lookup.find("Cover/00001.jpg") == ["Cover/00001.jpg"]
    assert lookup.find("UERD/00001") == ["UERD/00001.jpg"]
    assert len(lookup.find("00001.jpg")) == 2


def test_a_thumbnail_goes_before_the_full_image() -> None:
    images = ["train_images/4.png", "train_images/41.png", "train_thumbnails/41_thumbnail.png"]
    matched = ImageLookup(images).match(["41", "4"])
    assert matched.names == ("train_thumbnails/41_thumbnail.png", "train_images/4.png")
    assert matched.notes == ("images: _thumbnail files taken where there is a full image of the same name (1 id)",)
    assert ImageLookup(images[1:]).find("train_images/41.png") == ["train_images/41.png"]
    assert ImageLookup(images[2:]).match(["41"]).notes == ()


def test_a_file_for_each_colour_is_one_image() -> None:
    colours = ("blue", "green", "red", "yellow")
    images = [f"train/{name}_{colour}.png" for name in ("ab-1", "ab-2") for colour in colours]
    matched = ImageLookup([*images, "train/ab-3_red.png"]).match(["ab-1", "ab-2", "ab-3", "ab-1_red"])
    both = tuple(f"train/{name}_{{red,green,blue,yellow}}.png" for name in ("ab-1", "ab-2"))
    assert matched.names == (*both, None, "train/ab-1_red.png")
    assert matched.missing == ("ab-3",)
    assert matched.notes == (
        "images: a gray file for each colour (red, green, blue, yellow), together one RGB image, "
        "half of the yellow added to red and to green (2 ids)",
    )
    three = [name for name in images if "yellow" not in name]
    assert ImageLookup(three).find("ab-2") == ["train/ab-2_{red,green,blue}.png"]
    assert ImageLookup(images[:2]).find("ab-1") == []


def test_colours_in_two_formats_are_taken_in_the_common_one() -> None:
    images = [f"train/x_{colour}.{suffix}" for colour in ("red", "green", "blue") for suffix in ("tif", "png")]
    assert ImageLookup(images).find("x") == ["train/x_{red,green,blue}.png"]


def test_a_file_goes_before_a_member_of_an_archive() -> None:
    matched = ImageLookup(["data/train/1.jpg", "train.zip/train/1.jpg", "train.zip/train/2.jpg"]).match(["1", "2"])
    assert matched.names == ("data/train/1.jpg", "train.zip/train/2.jpg")
    assert matched.notes == ("images: files taken where an archive has an image of the same name (1 id)",)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("slug/train/x/1.jpg", ["train/x/1.jpg"]),  # the first folder is of another machine
        ("/kaggle/input/slug/train/x/1", ["train/x/1.jpg"]),
        ("more/x/2.jpg", ["extra/more/x/2.jpg"]),  # the first folders are not said
        ("test/x/1.jpg", []),  # a folder that is missing: not the image of that name below another one
        ("slug/test/x/1.jpg", []),
        ("y/1.jpg", []),
    ],
)
def test_a_path_may_begin_elsewhere_but_never_leads_to_another_folder(wanted: str, found: list[str]) -> None:
    assert ImageLookup(["train/x/1.jpg"], ["extra/more/x/2.jpg"]).find(wanted) == found
