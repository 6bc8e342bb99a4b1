"""Broken images are reported at once or left out, and copies are held together, as the evidence says."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data.cleaning import clean_competition
from automl.data.competition import Competition
from automl.data.folds import make_folds
from automl.data.survey import survey_images
from automl.errors import DataError
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of


def photo(seed: int, side: int = 48) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((side, side), Image.Resampling.BICUBIC)


def png(seed: int, side: int = 48) -> bytes:
    content = io.BytesIO()
    photo(seed, side).save(content, "PNG")
    return content.getvalue()


def jpeg(seed: int, side: int = 48) -> bytes:
    content = io.BytesIO()
    photo(seed, side).save(content, "JPEG", quality=90)
    return content.getvalue()


def put(root: Path, train: Sequence[bytes], test: Sequence[bytes] = (), **changes: object) -> Competition:
    names = [f"train/{row}.png" for row in range(len(train))]
    test_names = [f"test/{row}.png" for row in range(len(test))]
    for name, content in zip([*names, *test_names], [*train, *test], strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return competition_of(root, names, test_names, **changes)


def clean(leaf: Competition, *, skip_broken: bool = False) -> Competition:
    survey = survey_images(leaf, leaf.root / "cache")
    return clean_competition(leaf, survey, skip_broken=skip_broken)


def test_clean_data_stays_as_it_is(tmp_path: Path) -> None:
    leaf = put(tmp_path, [png(seed) for seed in range(12)], [png(99)])
    assert clean(leaf) is leaf


def test_one_report_names_every_broken_image_of_training_and_test_with_its_reason(tmp_path: Path) -> None:
    page = b"<html>404</html>"
    leaf = put(tmp_path, [png(0), png(1)[:80], b"", png(3), page], [png(5), b""])
    with pytest.raises(DataError) as caught:
        clean(leaf)
    problem = caught.value.problem
    assert problem.startswith("3 of 5 training images and 1 of 2 test images cannot be decoded: train/1.png")
    assert all(name in problem for name in ("train/1.png", "train/2.png", "train/4.png", "test/1.png"))
    assert all(name not in problem for name in ("train/0.png", "train/3.png", "test/0.png", str(tmp_path), "\n"))
    assert "--skip-broken" in caught.value.hint


def test_of_many_broken_images_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    leaf = put(tmp_path, [png(0), png(1), *[b""] * 13], [png(5)])
    with pytest.raises(DataError, match=r"^13 of 15 training images cannot be decoded: .*train/11\.png.*; 3 more$"):
        clean(leaf)


def test_broken_images_are_left_out_where_requested_and_broken_test_images_get_the_prior(tmp_path: Path) -> None:
    leaf = put(
        tmp_path,
        [png(0), b"", png(2), png(3), b"x", png(5)],
        [b"", png(6), png(7)],
        groups=np.array([7, 7, 8, 8, 9, 9]),
        grouped_by="patient",
        unreadable_test=(2,),
    )
    whole = clean(leaf, skip_broken=True)
    assert whole.image_ids == tuple(f"train/{row}.png" for row in (0, 2, 3, 5))
    assert whole.image_paths == tuple(leaf.image_paths[row] for row in (0, 2, 3, 5))
    assert whole.targets.tolist() == [0, 0, 1, 1]
    assert whole.groups is not None and whole.groups.tolist() == [7, 8, 8, 9]
    assert whole.grouped_by == "patient"
    assert (whole.unreadable_test, whole.test_ids) == ((0, 2), leaf.test_ids)
    assert whole.evidence[-2].startswith("broken: 2 training images left out: train/1.png")
    assert whole.evidence[-1].startswith("broken: 1 test image given the prior: test/0.png")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, "all images of dog are broken"),
        ({"task": Task.MULTILABEL, "targets": np.array([[1, 0], [1, 1], [0, 0]])}, "all images of dog are broken"),
    ],
)
def test_a_class_whose_images_are_all_broken_is_named(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        clean(put(tmp_path, [png(0), b"", png(2)], **changes), skip_broken=True)


def test_a_class_that_never_had_an_image_is_not_missed(tmp_path: Path) -> None:
    leaf = put(tmp_path, [png(0), png(1), b"", png(3)], classes=("cat", "dog", "other"))
    assert clean(leaf, skip_broken=True).image_ids == ("train/0.png", "train/1.png", "train/3.png")


def test_copies_become_groups_that_no_fold_parts(tmp_path: Path) -> None:
    originals = [png(seed) for seed in range(30)]
    copies = [originals[0], jpeg(1), png(2, side=96), png(2, side=40)]  # rows 30 to 33
    targets = np.array([0, 1] * 15 + [0, 1, 0, 1])
    leaf = clean(put(tmp_path, [*originals, *copies], [jpeg(5), png(99)], targets=targets))
    assert leaf.grouped_by == "duplicates" and leaf.groups is not None
    groups = leaf.groups.tolist()
    assert groups[0] == groups[30] and groups[1] == groups[31] and groups[2] == groups[32] == groups[33]
    assert len(set(groups)) == 30
    for seed in range(20):
        folds = make_folds(leaf, seed=seed)
        assert folds.min() == 0
        assert (folds[0], folds[1], folds[2], folds[2]) == (folds[30], folds[31], folds[32], folds[33])
    assert leaf.evidence == (
        "duplicates: 4 repeated training images (1 exact); copies stay in one fold",
        "duplicates: 3 copies carry different labels: train/2.png, train/32.png, train/33.png",
        "duplicates: 1 test image seen in training (0 exact): test/0.png is train/5.png",
    )


def test_groups_that_share_copies_are_joined_and_named(tmp_path: Path) -> None:
    leaf = put(tmp_path, [*[png(seed) for seed in range(28)], png(0), png(4)], grouped_by="patient")
    patients = np.array([*np.repeat(np.arange(14), 2), 9, 2])
    joined = clean(replace(leaf, groups=patients))
    assert joined.groups is not None
    assert joined.groups[[0, 1, 18, 19, 28]].tolist() == [joined.groups[0]] * 5
    assert len(set(joined.groups.tolist())) == 13
    assert joined.grouped_by == "patient, duplicates"


def test_copies_within_a_group_change_no_group(tmp_path: Path) -> None:
    leaf = put(tmp_path, [png(0), png(0), *[png(seed) for seed in range(2, 8)]], grouped_by="patient")
    patients = np.array([5, 5, 2, 2, 3, 3, 4, 4])
    same = clean(replace(leaf, groups=patients))
    assert same.groups is patients
    assert same.grouped_by == "patient"
    assert same.evidence[0].startswith("duplicates: 1 repeated training image (1 exact)")


def test_a_picture_that_all_patients_share_does_not_join_them_into_one_group(tmp_path: Path) -> None:
    leaf = put(tmp_path, [png(seed if seed % 2 else 0) for seed in range(20)], grouped_by="patient")
    patients = np.repeat(np.arange(10), 2)
    apart = clean(replace(leaf, groups=patients))
    assert apart.groups is patients
    assert "duplicates: 10 of these would fill more than a fold with their groups, and are not held together" in (
        apart.evidence
    )


def test_a_broken_image_and_a_pair_of_copies_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    leaf = clean(put(tmp_path, [b"", *[png(seed) for seed in range(12)], png(11)], [png(20)]), skip_broken=True)
    assert leaf.groups is not None and len(leaf.groups) == 13
    assert leaf.groups[11] == leaf.groups[12]
    assert len(set(leaf.groups.tolist())) == 12


@pytest.mark.parametrize("fixed_fold", [None, "train/0.png", "nowhere/"])
def test_copies_on_both_sides_of_a_fixed_fold_are_warned_of(tmp_path: Path, fixed_fold: str | None) -> None:
    leaf = put(tmp_path, [png(0), png(0), *(png(seed) for seed in range(2, 12))], fixed_fold=fixed_fold)
    warned = [
        line for line in clean(leaf).evidence if line.startswith("warning: duplicates: 1 set of copies in train/")
    ]
    assert len(warned) == (fixed_fold == "train/0.png")
