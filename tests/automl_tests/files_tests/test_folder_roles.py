"""What a folder of images is for is told by its name and by what lies beside it; copies of another are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from automl.errors import DataError
from automl.files.folder_roles import CopyFinder, FolderChoice, FolderRoles
from automl.files.folder_tree import FolderTree

FOUR = range(4)


def roles_of(names: Sequence[str], /, **choice: object) -> dict[str, tuple[str, str]]:
    tree = FolderTree(names)
    roles = FolderRoles(tree=tree, choice=FolderChoice(**choice))  # type: ignore[arg-type]
    return {folder: roles.find(folder) for folder in sorted(tree.members)}


def copies_of(images: Sequence[str], contents: Mapping[str, bytes] | None = None, chosen: str = "") -> CopyFinder:
    """Copies among images; two files have equal bytes where their last folder and name are equal, or as given."""

    def read(name: str) -> bytes:
        return (contents or {}).get(name, "/".join(name.split("/")[-2:]).encode())

    return CopyFinder(tree=FolderTree(images), read=read, chosen=frozenset({chosen} - {""})).find()


@pytest.mark.parametrize(
    ("folder", "role", "path"),
    [
        ("seg_train/seg_train/sea/", "train", "seg_train/"),
        ("imgs/test/", "test", "imgs/test/"),
        ("valid/cat/", "validation", "valid/"),
        ("seg_pred/seg_pred/", "unlabelled", "seg_pred/"),
        ("all.zip/Training/cat/", "train", "all.zip/Training/"),
        ("val/test/", "test", "val/test/"),
        ("testis/", "other", ""),
        ("train_test_split/x/", "other", ""),
    ],
)
def test_a_folder_is_for_what_the_first_word_above_it_says(folder: str, role: str, path: str) -> None:
    assert roles_of([f"{folder}1.png", "9.png"])[folder] == (role, path)


def test_a_folder_that_holds_the_folders_of_all_parts_is_none_of_them() -> None:
    found = roles_of([f"training_data/{part}/cat/1.png" for part in ("train", "test", "val")])
    assert found["training_data/test/cat/"] == ("test", "training_data/test/")
    assert found["training_data/train/cat/"] == ("train", "training_data/train/")


def test_below_folders_that_all_share_a_word_may_stand_anywhere_where_the_other_part_lies_beside() -> None:
    both = roles_of([f"archive/seg_{part}/cat/1.png" for part in ("train", "test")])
    assert both["archive/seg_test/cat/"] == ("test", "archive/seg_test/")
    assert roles_of(["classes/toy_train/1.png", "classes/toy_car/1.png"])["classes/toy_train/"] == ("other", "")


@pytest.mark.parametrize(
    ("siblings", "role"),
    [
        (["bus", "car"], "other"),
        (["bus", "car", "unlabeled"], "other"),
        (["bus"], "train"),  # one class beside it is none
        (["images", "masks"], "train"),
        (["bus", "car", "test"], "train"),
        (["bus", "car", "val"], "train"),
    ],
)
def test_a_folder_called_train_is_a_class_beside_others_where_no_other_part_is(siblings: list[str], role: str) -> None:
    found = roles_of([f"{name}/{number}.png" for name in ("train", *siblings) for number in FOUR])
    assert found["train/"][0] == role


def test_a_training_folder_that_holds_folders_is_no_class() -> None:
    assert roles_of(["train/cat/1.png", "bus/1.png", "car/1.png"])["train/cat/"] == ("train", "train/")


def test_what_is_taken_for_a_class_is_told_with_the_flag_that_decides_otherwise() -> None:
    tree = FolderTree([f"{name}/1.png" for name in ("beaker", "flask", "test_tube")])
    roles = FolderRoles(tree=tree)
    assert roles.find("test_tube/") == ("other", "")
    assert "test_tube/ is taken for a class" in roles.lines[0]
    assert roles.lines[1].startswith("suggestion: --test-images test_tube/ ")


def test_the_folders_that_the_user_names_go_before_all_names() -> None:
    images = [f"{name}/{number}.png" for name in ("train", "mine", "test", "query", "val") for number in FOUR]
    found = roles_of(images, images="mine/", test_images="query/", added=("val/",), fixed_fold=None)
    assert {folder: role for folder, (role, _) in found.items()} == {
        "train/": "other",
        "mine/": "train",
        "test/": "other",
        "query/": "test",
        "val/": "added",
    }
    assert roles_of(["all/test/1.png", "all/1.png"], images="all/")["all/test/"] == ("test", "all/test/")
    assert roles_of(["val/1.png", "train/1.png"], fixed_fold="val/")["val/"] == ("added", "val/")


def class_folders(above: str, ending: str = "") -> list[str]:
    return [f"{above}{label}/{label}{number}{ending}.png" for label in ("cat", "dog") for number in FOUR]


def test_a_folder_that_repeats_what_lies_beside_it_is_a_copy_unless_bytes_differ() -> None:
    images = [*class_folders("cells/"), *class_folders("cells/cells/")]
    assert list(copies_of(images).left_out) == ["cells/cells/"]
    assert copies_of(images).lines == ["images: cells/cells/ repeats the files of cells/, and is left out"]
    assert list(copies_of(images, {"cells/cells/cat/cat0.png": b"other"}).left_out) == []
    assert list(copies_of([*class_folders("test/"), *class_folders("")]).left_out) == []


@pytest.mark.parametrize("name", ["train_512", "train512", "small_train", "train-224x224", "train_resized"])
def test_a_resized_copy_is_left_out_with_a_warning_and_the_flag(name: str) -> None:
    found = copies_of([*class_folders("train/"), *class_folders(f"{name}/")])
    assert list(found.left_out) == [f"{name}/"]
    assert found.lines[0].startswith(f"warning: images: {name}/ holds the images of train/")
    assert found.lines[1].startswith(f"suggestion: --images {name}/ ")
    assert list(copies_of([*class_folders("train/"), *class_folders(f"{name}/", "x")]).left_out) == []


def test_of_two_sizes_none_is_plain_and_the_named_one_is_kept() -> None:
    images = [*class_folders("images_224/"), *class_folders("images_512/")]
    with pytest.raises(DataError, match="none of them is plainly the original") as caught:
        copies_of(images)
    assert "--images images_512/" in caught.value.hint
    assert list(copies_of(images, chosen="images_224/").left_out) == ["images_512/"]


def test_classes_are_no_copies_though_their_files_are_called_alike() -> None:
    names = ["tumor", "tumor_small", "c10", "c12", "with_mask", "mask"]
    assert list(copies_of([f"{name}/{number}.png" for name in names for number in FOUR]).left_out) == []
    patients = [f"patient{p}/{c}/{c}.png" for p in (100, 112, 120, 131) for c in "01"]
    assert list(copies_of(patients).left_out) == []


def test_a_folder_in_two_cases_is_a_copy_where_its_bytes_are_equal() -> None:
    assert list(copies_of([*class_folders("Train/"), *class_folders("train/")]).left_out) == ["train/"]
    other = {"train/cat/cat0.png": b"another"}
    assert list(copies_of([*class_folders("Train/"), *class_folders("train/")], other).left_out) == []


def test_the_original_is_taken_before_gray_and_segmented_forms() -> None:
    images = [
        *class_folders("x/color/"),
        *class_folders("x/grayscale/"),
        *class_folders("x/segmented/", "_final_masked"),
    ]
    assert list(copies_of(images).left_out) == ["x/grayscale/", "x/segmented/"]
    with pytest.raises(DataError, match="none of them is plainly the original"):
        copies_of([*class_folders("gray/"), *class_folders("segmented/")])
    assert list(copies_of([*class_folders("color/"), *class_folders("gray/", "7")]).left_out) == []


def test_masks_by_the_names_of_the_images_are_left_out() -> None:
    images = [f"images/cat_{number}.jpg" for number in FOUR]
    masks = [f"annotations/trimaps/cat_{number}.png" for number in FOUR]
    assert list(copies_of([*images, *masks]).left_out) == ["annotations/"]
    assert list(copies_of([*images, *(f"masks/{number}.png" for number in FOUR)]).left_out) == []
    assert (
        list(copies_of([*images, *(mask.replace("trimaps/", "") for mask in masks)], chosen="annotations/").left_out)
        == []
    )


def test_many_masks_are_told_in_one_line() -> None:
    found = copies_of([f"{p}/{part}/{n}.png" for p in range(9) for part in ("images", "masks") for n in FOUR])
    assert len(found.left_out) == 9
    assert found.is_left_out("3/masks/") and not found.is_left_out("3/images/")
    assert found.lines == ["warning: images: 0/masks/, 1/masks/, 2/masks/ and 6 more hold copies or masks: left out"]
