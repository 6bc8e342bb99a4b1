"""Folds share out each class, keep groups together, and belong to one competition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.data.competition import Competition
from automl.data.folds import load_folds, make_folds, rare_classes, save_folds
from automl.errors import DataError, StorageError, UsageError
from tests.automl_tests.data_tests.small_competitions import competition_of


def competition(targets: list[int], groups: list[int] | None = None) -> Competition:
    names = [f"train/{number}.png" for number in range(len(targets))]
    return competition_of(
        Path("/leaf"),
        names,
        ["test/a.png"],
        classes=tuple(f"class {index}" for index in range(max(targets) + 1)),
        targets=np.array(targets, dtype=np.int64),
        groups=None if groups is None else np.array(groups, dtype=np.int64),
    )


def test_each_fold_has_an_equal_share_of_each_class() -> None:
    leaf = competition([0] * 50 + [1] * 25 + [2] * 10)
    folds = make_folds(leaf)
    assert (folds.shape, folds.dtype) == ((85,), np.int64)
    shares = [np.bincount(leaf.targets[folds == fold]).tolist() for fold in range(5)]
    assert shares == [[10, 5, 2]] * 5
    assert rare_classes(leaf, folds) == ()


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    leaf = competition([0, 1] * 50)
    assert np.array_equal(make_folds(leaf, seed=3), make_folds(leaf, seed=3))
    assert not np.array_equal(make_folds(leaf, seed=3), make_folds(leaf, seed=4))
    assert not np.array_equal(make_folds(leaf, seed=0), np.sort(make_folds(leaf, seed=0)))


@pytest.mark.parametrize("n_rare", [1, 4])
def test_a_class_too_rare_to_split_goes_to_training_only_and_is_named(n_rare: int) -> None:
    leaf = competition([0] * 10 + [1] * 10 + [2] * n_rare)
    folds = make_folds(leaf)
    assert folds[20:].tolist() == [-1] * n_rare
    assert sorted(set(folds[:20].tolist())) == [0, 1, 2, 3, 4]
    assert rare_classes(leaf, folds) == ("class 2",)


def test_groups_never_straddle_folds() -> None:
    rng = np.random.default_rng(0)
    leaf = competition(rng.integers(0, 3, 200).tolist(), groups=rng.integers(0, 30, 200).tolist())
    folds = make_folds(leaf, seed=1)
    assert leaf.groups is not None
    assert all(len(set(folds[leaf.groups == group].tolist())) == 1 for group in range(30))
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}


def test_a_class_in_too_few_groups_takes_its_groups_into_training_only() -> None:
    # Class 2 lies in group 0 alone, which it shares with an image of class 0.
    leaf = competition([2] * 8 + [0] + [0, 1] * 20, groups=[0] * 9 + [1 + pair // 2 for pair in range(40)])
    folds = make_folds(leaf)
    assert folds[:9].tolist() == [-1] * 9
    assert folds[9:].min() == 0
    assert rare_classes(leaf, folds) == ("class 2",)


def test_a_class_that_loses_its_groups_to_a_rare_one_is_rare_as_well() -> None:
    # Class 1 has five groups, but shares one with class 2, which has that group alone.
    leaf = competition([2, 1, 1, 1, 1, 1] + [0] * 10, groups=[0, 0, 1, 2, 3, 4, *range(5, 15)])
    folds = make_folds(leaf)
    assert rare_classes(leaf, folds) == ("class 1", "class 2")
    assert folds[2:6].tolist() == [-1] * 4


@pytest.mark.parametrize(
    ("targets", "groups", "said"),
    [
        ([0, 1, 0, 1], None, "there are 4 images for 5 folds"),
        ([0, 1] * 5, [0, 1, 2, 3, 3] * 2, "there are 4 groups for 5 folds"),
        ([0, 1, 2] * 4, None, "no class has 5 images, one for each fold"),
        ([0, 1] * 4, list(range(8)), "no class has 5 groups, one for each fold"),
    ],
)
def test_too_few_images_are_refused(targets: list[int], groups: list[int] | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make_folds(competition(targets, groups))


def test_folds_come_back_from_their_file(tmp_path: Path) -> None:
    leaf = competition([0, 1] * 10 + [2])
    folds = make_folds(leaf)
    save_folds(folds, leaf, tmp_path / "folds.csv")
    assert (tmp_path / "folds.csv").read_text().startswith("id,fold\ntrain/0.png,")
    loaded = load_folds(tmp_path / "folds.csv", leaf)
    assert np.array_equal(loaded, folds)
    assert loaded.dtype == np.int64


@pytest.mark.parametrize("awkward", ["a,b", 'say "x"', "two\nlines", " blank ", "00012", "\ufeffx"])
def test_awkward_ids_come_back_too(tmp_path: Path, awkward: str) -> None:
    leaf = competition_of(Path("/leaf"), [awkward, *"abcdefghi"], ["t"])
    save_folds(make_folds(leaf), leaf, tmp_path / "folds.csv")
    assert np.array_equal(load_folds(tmp_path / "folds.csv", leaf), make_folds(leaf))


@pytest.mark.parametrize("others", [[0, 1] * 9, [0, 1] * 11])
def test_folds_of_other_images_are_refused(tmp_path: Path, others: list[int]) -> None:
    leaf = competition([0, 1] * 10)
    save_folds(make_folds(leaf), leaf, tmp_path / "folds.csv")
    with pytest.raises(UsageError, match="the folds are of another competition"):
        load_folds(tmp_path / "folds.csv", competition(others))


@pytest.mark.parametrize("content", [None, b"", b"id,fold\n", b"id,fold\na,x\n", b"id\na\n", b"id,fold\na,\xff\n"])
def test_a_missing_or_damaged_file_is_a_storage_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "folds.csv").write_bytes(content)
    with pytest.raises(StorageError, match=r"folds\.csv cannot be read: "):
        load_folds(tmp_path / "folds.csv", competition([0, 1] * 10))
