"""A set of images by the parts of their paths."""

from __future__ import annotations

from automl.files.id_forms import drop_zeros, ignore_case, normalize
from automl.files.image_pool import ImagePool, find_colour_images


def test_an_image_is_found_by_path_by_name_and_by_stem_in_that_order() -> None:
    pool = ImagePool(["train/a.png", "b/a.png/a.png", "train/b.jpg"], normalize)
    assert pool.find("a.png/a.png")[0] == ["b/a.png/a.png"]
    assert pool.find("train/a")[0] == ["train/a.png"]
    assert pool.find("b") == (["train/b.jpg"], None)
    assert pool.find_at_path("b.jpg") == ([], None)
    assert pool.find_anywhere("elsewhere/b.png") == (["train/b.jpg"], None)


def test_images_below_a_folder_are_listed_at_any_depth_by_its_name_or_its_path() -> None:
    images = ["train/p1/x/1.png", "train/p1/2.png", "test/p1/3.png", "train/p11/4.png"]
    pool = ImagePool(images, normalize)
    assert pool.list_below("p1") == sorted(images[:3])
    assert pool.list_below("train/p1") == sorted(images[:2])
    assert pool.list_below("p1/x") == images[:1]
    assert pool.list_below("4") == pool.list_below("") == []


def test_images_are_listed_by_what_their_names_begin_with_before_a_sign() -> None:
    images = ["train/10_left.png", "train/10-b.c.png", "train/100_a.png", "test/10 x.png"]
    pool = ImagePool(images, normalize)
    assert pool.list_beginning("10") == sorted([*images[:2], images[3]])
    assert pool.list_beginning("train/10") == sorted(images[:2])
    assert pool.list_beginning("10-b") == images[1:2]
    assert pool.list_beginning("1") == pool.list_beginning("") == []


def test_names_are_compared_as_they_are_rewritten() -> None:
    images = ["Train/P07/A.PNG", "Train/007_left.png"]
    assert ImagePool(images, ignore_case).find("train/p07/a.png")[0] == images[:1]
    assert ImagePool(images, drop_zeros).list_beginning("7") == images[1:]
    assert ImagePool(["x/07/1.png"], drop_zeros).list_below("7") == ["x/07/1.png"]


def test_a_file_for_each_colour_is_one_image_by_what_stands_before_the_colour() -> None:
    images = [f"train/x_{colour}.png" for colour in ("red", "green", "blue")]
    assert find_colour_images([*images, "train/y_red.png"]) == [("train/x", "train/x_{red,green,blue}.png")]
    assert find_colour_images(images[:2]) == []
