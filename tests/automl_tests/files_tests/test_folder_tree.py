"""The folders of images are a tree, in which a folder is found as the user writes it."""

from __future__ import annotations

import pytest

from automl.errors import UsageError
from automl.files.folder_tree import FolderTree, find_folder, iterate_ancestors, split_path


def test_a_tree_counts_and_lists_what_lies_below_a_folder() -> None:
    tree = FolderTree(["a/b/1.png", "a/2.png", "3.png", "a/b/4.png"])
    assert (tree.n_below["a/"], tree.n_below["a/b/"], tree.n_below[""]) == (3, 2, 4)
    assert tree.children["a/"] == ["a/b/"]
    assert sorted(tree.list_below("a/")) == ["a/2.png", "a/b/1.png", "a/b/4.png"]
    assert tree.members[""] == ["3.png"]
    assert tree.has_image("a/b/4.png")
    assert not tree.has_image("a/4.png")


def test_a_path_is_split_and_climbed() -> None:
    assert [split_path(path) for path in ("a/b/", "a/")] == [("a/", "b"), ("", "a")]
    assert list(iterate_ancestors("a/b/")) == [("", "a/"), ("a/", "a/b/")]
    assert list(iterate_ancestors("")) == []


def test_a_folder_is_found_whatever_its_slashes_and_case_and_else_the_closest_are_named() -> None:
    tree = FolderTree(["data/Train/cat/1.png", "data/test/1.png"])
    for spelling in ("data/Train", "./data/Train/", "data\\Train", "data/train"):
        assert find_folder(spelling, tree, "--images") == "data/Train/"
    assert find_folder(".", tree, "--images") == ""
    with pytest.raises(UsageError, match=r"--images data/trian: no image lies in such a folder") as caught:
        find_folder("data/trian", tree, "--images")
    assert "data/Train" in caught.value.hint
