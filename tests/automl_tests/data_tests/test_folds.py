"""Folds share out each class, keep groups together, and belong to one competition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from automl.data.competition import Competition
from automl.data.folds import find_rare_classes, load_folds, make_folds, save_folds
from automl.errors import DataError, StorageError, UsageError
from automl.metrics.registry import get_metric
from automl.multi_output import Head
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of


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
    assert find_rare_classes(leaf, folds) == ()


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
    assert find_rare_classes(leaf, folds) == ("class 2",)


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
    assert find_rare_classes(leaf, folds) == ("class 2",)


def test_a_class_that_loses_its_groups_to_a_rare_one_is_rare_as_well() -> None:
    # Class 1 has five groups, but shares one with class 2, which has that group alone.
    leaf = competition([2, 1, 1, 1, 1, 1] + [0] * 10, groups=[0, 0, 1, 2, 3, 4, *range(5, 15)])
    folds = make_folds(leaf)
    assert find_rare_classes(leaf, folds) == ("class 1", "class 2")
    assert folds[2:6].tolist() == [-1] * 4


def test_grouped_folds_are_as_even_as_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    groups = rng.choice(200, 3000, p=rng.dirichlet(np.full(200, 0.5)))
    targets = np.where(rng.random(3000) < 0.4, groups % 6, rng.integers(0, 6, 3000))
    leaf = competition(targets.tolist(), groups=groups.tolist())
    reference = np.zeros(3000, dtype=np.int64)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for fold, (_, validation) in enumerate(splitter.split(targets, targets, groups)):
        reference[validation] = fold
    hot = np.eye(6, dtype=np.int64)[targets]
    assert unevenness(hot, make_folds(leaf)) <= unevenness(hot, reference)


def test_a_pair_of_copies_does_not_cost_a_small_class_its_validation() -> None:
    # Class 2 has five images, two of which are copies; class 3 has nothing but copies of one image.
    targets = [0] * 20 + [1] * 20 + [2] * 5 + [3] * 5
    groups = [*range(40), 40, 40, 41, 42, 43, *[44] * 5]
    leaf = competition(targets, groups)
    assert find_rare_classes(leaf, make_folds(leaf)) == ("class 2", "class 3")
    copies = replace(leaf, grouped_by="duplicates")
    folds = make_folds(copies)
    assert find_rare_classes(copies, folds) == ("class 3",)
    assert len(set(folds[40:45].tolist())) == 4 and folds[40] == folds[41]


def labelled(
    n: int, positives: Sequence[int], *, seed: int = 0, groups: NDArray[np.int64] | None = None
) -> Competition:
    """A multi-label competition in which each label has so many images."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((n, len(positives)), dtype=np.int64)
    for label, count in enumerate(positives):
        targets[rng.permutation(n)[:count], label] = 1
    return replace(
        competition([0] * n),
        task=Task.MULTILABEL,
        classes=tuple(f"label {index}" for index in range(len(positives))),
        targets=targets,
        groups=groups,
        grouped_by=None if groups is None else "patient",
    )


def valued(values: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> Competition:
    scales = tuple((float(column.min()), float(column.max())) for column in values.T)
    names = tuple(f"value {index}" for index in range(len(scales)))
    leaf = competition([0] * len(values))
    return replace(leaf, task=Task.REGRESSION, classes=names, targets=values, scales=scales, groups=groups)


def unevenness(hot: NDArray[np.int64], folds: NDArray[np.int64], n_folds: int = 5) -> float:
    """Root mean square over folds and labels of the deviation from a fair share, in fair shares."""
    counts = np.stack([hot[folds == fold].sum(axis=0) for fold in range(n_folds)])
    fair = counts.sum(axis=0) / n_folds
    return float(np.sqrt(np.mean(((counts - fair) / fair) ** 2)))


def test_each_fold_has_its_share_of_each_label() -> None:
    many = labelled(1000, [500, 200, 55, 30, 12, 7, 5], seed=1)
    folds = make_folds(many)
    counts = np.stack([many.targets[folds == fold].sum(axis=0) for fold in range(5)])
    assert np.abs(counts - many.targets.sum(axis=0) / 5).max() <= 1.0
    assert np.bincount(folds).tolist() == [200] * 5
    assert find_rare_classes(many, folds) == ()
    at_random = np.random.default_rng(0).permutation(np.arange(1000) % 5)
    assert unevenness(many.targets, folds) < unevenness(many.targets, at_random) / 2


def test_labels_with_fewer_images_than_folds_are_dealt_out_as_far_as_they_go_and_named() -> None:
    many = labelled(100, [50, 3, 1, 0])
    folds = make_folds(many)
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    assert len(set(folds[many.targets[:, 1] > 0].tolist())) == 3
    assert find_rare_classes(many, folds) == ("label 1", "label 2", "label 3")


def test_images_without_any_label_fill_the_folds() -> None:
    many = labelled(103, [5])
    assert sorted(np.bincount(make_folds(many)).tolist()) == [20, 20, 21, 21, 21]


def test_groups_of_multi_label_images_never_straddle_folds_and_labels_stay_even() -> None:
    groups = np.random.default_rng(0).integers(0, 300, 1500)
    many = labelled(1500, [600, 300, 100, 40], groups=groups)
    folds = make_folds(many)
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in np.unique(groups))
    share_of_group = np.random.default_rng(1).integers(0, 5, 300)
    assert unevenness(many.targets, folds) < 0.03 < unevenness(many.targets, share_of_group[groups])


def test_each_fold_has_its_share_of_low_and_high_values() -> None:
    values = np.random.default_rng(0).gamma(2.0, 10.0, (203, 1))
    popular = valued(values)
    folds = make_folds(popular)
    hot = np.eye(10, dtype=np.int64)[popular.strata]
    counts = np.stack([hot[folds == fold].sum(axis=0) for fold in range(5)])
    assert np.abs(counts - hot.sum(axis=0) / 5).max() <= 1.0
    assert sorted(np.bincount(folds).tolist()) == [40, 40, 41, 41, 41]
    assert find_rare_classes(popular, folds) == ()


def test_every_value_is_validated_even_where_a_range_has_fewer_images_than_folds() -> None:
    folds = make_folds(valued(np.arange(12.0)[:, None]))
    assert sorted(np.bincount(folds).tolist()) == [2, 2, 2, 3, 3]


def test_groups_of_values_never_straddle_folds() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 400)
    folds = make_folds(valued(rng.random((400, 3)), groups))
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in range(40))
    assert np.bincount(folds).min() >= 70


@pytest.mark.parametrize("kind", ["labels", "values", "groups"])
def test_folds_of_every_kind_follow_the_seed(kind: str) -> None:
    rng = np.random.default_rng(0)
    leaf = {
        "labels": labelled(200, [90, 40, 8]),
        "values": valued(rng.random((200, 2))),
        "groups": competition(rng.integers(0, 3, 200).tolist(), groups=rng.integers(0, 50, 200).tolist()),
    }[kind]
    assert np.array_equal(make_folds(leaf, seed=3), make_folds(leaf, seed=3))
    assert not np.array_equal(make_folds(leaf, seed=3), make_folds(leaf, seed=4))


def test_too_few_images_or_groups_are_refused_whatever_the_task() -> None:
    with pytest.raises(DataError, match="there are 4 images for 5 folds"):
        make_folds(labelled(4, [2]))
    with pytest.raises(DataError, match="there are 3 groups for 5 folds"):
        make_folds(valued(np.arange(12.0)[:, None], np.arange(12) % 3))


@pytest.mark.parametrize(
    ("targets", "groups", "problem"),
    [
        ([0, 1, 0, 1], None, "there are 4 images for 5 folds"),
        ([0, 1] * 5, [0, 1, 2, 3, 3] * 2, "there are 4 groups for 5 folds"),
        ([0, 1, 2] * 4, None, "no class has 5 images, one for each fold"),
        ([0, 1] * 4, list(range(8)), "no class has 5 groups, one for each fold"),
    ],
)
def test_too_few_images_are_refused(targets: list[int], groups: list[int] | None, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
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


def of_heads(targets: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> Competition:
    names = [f"{row}.png" for row in range(len(targets))]
    sizes = tuple(int(own) for own in np.diff([0, *(targets.max(axis=0) + 1)]))
    return competition_of(
        Path("/nowhere"),
        names,
        ["test.png"],
        task=Task.MULTIOUTPUT,
        classes=tuple(f"c{number}" for number in range(sum(sizes))),
        heads=tuple(Head(f"h{number}", size) for number, size in enumerate(sizes)),
        targets=targets,
        groups=groups,
        metric=get_metric("accuracy", head_sizes=sizes),
    )


def test_each_fold_has_its_share_of_the_classes_of_each_head() -> None:
    rng = np.random.default_rng(0)
    targets = np.stack([rng.integers(0, 6, 300), 6 + (rng.random(300) < 0.1), 8 + rng.integers(0, 4, 300)], axis=1)
    rare = of_heads(np.concatenate([targets, [[0, 6, 12]] * 2]))
    folds = make_folds(rare)
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= 4
    counts = np.stack([rare.soft_targets[folds == fold].sum(axis=0) for fold in range(5)])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 4
    assert find_rare_classes(rare, folds) == ("c12",)  # of two images


def test_groups_of_several_heads_never_straddle_folds() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(50), 4)
    targets = np.stack([rng.integers(0, 3, 200), 3 + rng.integers(0, 2, 200)], axis=1)
    folds = make_folds(of_heads(targets, groups))
    assert all(len(set(folds[groups == group])) == 1 for group in range(50))


def with_fixed_fold(leaf: Competition, n_fixed: int) -> Competition:
    names = [f"{'val' if row < n_fixed else 'train'}/{row}.png" for row in range(len(leaf.image_ids))]
    return replace(leaf, image_paths=tuple(leaf.root / name for name in names), fixed_fold="val/")


@pytest.mark.parametrize("groups", [None, [number // 2 for number in range(50)]])
def test_a_fixed_fold_is_the_first_and_the_others_are_split_into_the_rest(groups: list[int] | None) -> None:
    leaf = with_fixed_fold(competition([0, 1] * 24 + [2, 2], groups), 10)
    folds = make_folds(leaf)
    assert folds[:10].tolist() == [0] * 10
    assert sorted(set(folds[10:48].tolist())) == [1, 2, 3, 4]
    assert folds[48:].tolist() == [-1, -1], "a class too rare for the other folds is trained on alone"
    assert make_folds(leaf, n_folds=2)[10:].tolist() == [1] * 40
    if leaf.groups is not None:
        assert all(len(set(folds[leaf.groups == group].tolist())) == 1 for group in range(24))


def test_a_fixed_fold_without_images_is_refused() -> None:
    with pytest.raises(DataError, match=r"the fixed fold val/ has none of the images"):
        make_folds(with_fixed_fold(competition([0, 1] * 24), 0))
