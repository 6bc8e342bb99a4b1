"""What is found out about images whose making is known, and what is suggested for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from automl.data.competition import Competition
from automl.data.survey import THUMBNAIL_SIDE, ImageFacts, Survey
from automl.inspection.inspection import Inspection, describe_inspection, inspect_competition, select_example_rows
from automl.inspection.recommendations import recommend
from automl.tasks import Task
from tests.automl_tests.small_competitions import competition_of

N = 300
Draw = Callable[[np.random.Generator], NDArray[np.float64]]


def facts_of(thumbnails: NDArray[Any], **changes: Any) -> ImageFacts:
    n_images = len(thumbnails)
    values = {
        "widths": np.full(n_images, 320, dtype=np.int32),
        "heights": np.full(n_images, 240, dtype=np.int32),
        "n_bytes": np.full(n_images, 20_000, dtype=np.int64),
        "thumbnails": thumbnails.astype(np.uint8),
        "content": tuple(f"{row}" for row in range(n_images)),
        "problems": {},
        "formats": {"JPEG": n_images},
    }
    return ImageFacts(**{**values, **changes})  # type: ignore[arg-type]


def make_competition(root: Path, targets: NDArray[Any], **changes: Any) -> Competition:
    n_classes = 1 if targets.ndim == 2 else int(targets.max()) + 1
    values = {
        "task": Task.BINARY if n_classes == 2 else Task.MULTICLASS,
        "classes": tuple(f"class {index}" for index in range(n_classes)),
        "targets": targets,
    }
    names = [f"train/{row}.jpg" for row in range(len(targets))]
    return competition_of(root, names, names, **{**values, **changes})


def noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Blobs without up or side."""
    coarse = rng.uniform(60, 200, (4, 4, 3))
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def landscape(rng: np.random.Generator) -> NDArray[np.float64]:
    """A bright sky above, and blobs."""
    return np.clip(noise(rng) + np.linspace(60, -60, THUMBNAIL_SIDE)[:, None, None], 0, 255)


def signature(rng: np.random.Generator) -> NDArray[np.float64]:
    """A bright corner at the upper left, and blobs."""
    image = landscape(rng)
    image[:16, :16] += 60
    return np.clip(image, 0, 255)


def drawn(draw: Draw, n_images: int = N, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.stack([draw(rng) for _ in range(n_images)])


def inspected(train: ImageFacts, test: ImageFacts | None = None, **changes: Any) -> Inspection:
    n_images = len(train.widths)
    competition = make_competition(Path("/nowhere"), np.arange(n_images) % 2, **changes)
    test = test or facts_of(train.thumbnails[::-1])
    return inspect_competition(competition, Survey(train=train, test=test))


def suggested(inspection: Inspection) -> str:
    return "\n".join(what for what, _ in recommend(inspection))


def test_images_of_one_kind_cannot_be_told_apart() -> None:
    found = inspected(facts_of(drawn(landscape)), facts_of(drawn(landscape, seed=1)))
    assert found.shift_in_pixels is not None
    assert not found.shift_in_pixels.is_slight
    assert "trust" not in suggested(found)


def test_a_darker_test_set_is_told_from_the_training_set() -> None:
    found = inspected(facts_of(drawn(landscape)), facts_of(drawn(landscape, seed=1) * 0.7))
    assert found.shift_in_pixels is not None
    assert found.shift_in_pixels.is_clear
    assert "trust the validation score less" in suggested(found)


def test_test_images_of_another_camera_are_told_by_their_files() -> None:
    other = facts_of(drawn(landscape, seed=1), widths=np.full(N, 640, np.int32), heights=np.full(N, 480, np.int32))
    found = inspected(facts_of(drawn(landscape)), other)
    assert found.shift_in_files is not None
    assert found.shift_in_files.auc == 1.0
    assert any("by their files clearly differ (AUC 1.00" in line for line in describe_inspection(found))


def test_sizes_that_tell_the_label_are_a_leak() -> None:
    widths = np.where(np.arange(N) % 2 == 1, 500, 320).astype(np.int32)
    found = inspected(facts_of(drawn(landscape), widths=widths))
    assert found.label_leak is not None
    assert found.label_leak.is_clear
    assert "look at sizes and bytes of the files" in suggested(found)


def test_sizes_that_are_all_alike_tell_nothing() -> None:
    assert inspected(facts_of(drawn(landscape))).label_leak is None


def test_where_nothing_is_up_dihedral_is_suggested() -> None:
    assert "augment=dihedral" in suggested(inspected(facts_of(drawn(noise))))


def test_where_something_is_up_images_are_not_turned() -> None:
    found = inspected(facts_of(drawn(landscape)))
    assert found.rotation_separability is not None
    assert found.rotation_separability.is_clear
    assert "augment=light,medium,heavy" in suggested(found)


def test_where_something_has_a_side_images_are_not_mirrored() -> None:
    assert "--no-flips" in suggested(inspected(facts_of(drawn(signature))))


def test_digits_are_not_mirrored() -> None:
    digits = load_digits().images[:600] * 15
    thumbnails = np.repeat(digits.repeat(4, axis=1).repeat(4, axis=2)[..., None], 3, axis=3)
    assert "--no-flips" in suggested(inspected(facts_of(thumbnails)))


def test_where_flips_are_ruled_out_already_no_policy_that_flips_for_its_good_is_suggested() -> None:
    assert "augment=none,light,photometric" in suggested(inspected(facts_of(drawn(noise)), flips=False))


@pytest.mark.parametrize(
    ("side", "sizes"), [(28, "resize=32"), (96, "resize=64-96,96"), (240, "resize=128-224,224"), (3000, "224-384,384")]
)
def test_sizes_follow_the_median_image(side: int, sizes: str) -> None:
    heights = np.full(N, side, np.int32)
    assert sizes in suggested(inspected(facts_of(drawn(noise), heights=heights, widths=2 * heights)))


def test_too_few_images_answer_nothing() -> None:
    found = inspected(facts_of(drawn(landscape, 30)), facts_of(drawn(landscape, 3)))
    assert found.shift_in_pixels is None
    assert found.mirror_separability is None
    assert "too few" in "\n".join(describe_inspection(found))


def test_broken_images_are_passed_over() -> None:
    facts = facts_of(drawn(landscape))
    widths = facts.widths.copy()
    widths[::3] = 0
    found = inspected(replace(facts, widths=widths, problems={0: "train/0.jpg cannot be decoded"}))
    assert found.rotation_separability is not None
    assert all(row % 3 for _, rows in select_example_rows(found, n_classes=2, n_images=50) for row in rows)


def test_rare_classes_are_pointed_out() -> None:
    targets = (np.arange(N) < 10).astype(np.int64)
    competition = make_competition(Path("/nowhere"), targets)
    facts = facts_of(drawn(noise))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    assert dict(found.counts) == {competition.classes[0]: N - 10, competition.classes[1]: 10}
    assert "class_weights" in suggested(found)


def test_of_many_classes_the_ends_are_shown() -> None:
    targets = np.repeat(np.arange(20), np.arange(1, 21))
    competition = make_competition(Path("/nowhere"), targets)
    facts = facts_of(drawn(noise, len(targets)))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    shown = select_example_rows(found, n_classes=4, n_images=3)
    assert [name for name, _ in shown] == [competition.classes[index] for index in (19, 18, 1, 0)]
    assert [len(rows) for _, rows in shown] == [3, 3, 2, 1]


def test_values_are_shown_by_tenths() -> None:
    values = np.random.default_rng(0).uniform(0, 100, (N, 1))
    competition = make_competition(
        Path("/nowhere"), values, task=Task.REGRESSION, classes=("score",), scales=((0.0, 100.0),)
    )
    facts = facts_of(drawn(noise))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    assert [count for _, count in found.counts] == [30] * 10
    first = select_example_rows(found, n_classes=10, n_images=5)[0]
    assert first[0] == f"{values.min():.4g} to {np.sort(values[:, 0])[29]:.4g}"
    assert values[first[1]].max() < 15
    assert [rows[0] for _, rows in select_example_rows(found, n_classes=10, n_images=1)] == [
        int(np.flatnonzero(found.competition.strata == tenth)[0]) for tenth in range(10)
    ]


def test_values_that_repeat_have_as_many_parts_as_there_are() -> None:
    values = np.repeat([1.0, 7.0], [N // 10 * 6, N // 10 * 4])[:, None]
    competition = make_competition(
        Path("/nowhere"), values, task=Task.REGRESSION, classes=("score",), scales=((0.0, 10.0),)
    )
    facts = facts_of(drawn(noise))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    assert found.counts == (("1", N // 10 * 6), ("7", N // 10 * 4))
    assert {name: len(rows) for name, rows in select_example_rows(found, n_classes=10, n_images=N)} == dict(
        found.counts
    )


def test_images_of_one_group_do_not_give_each_other_away() -> None:
    """Each of ten scenes has a side of its own, but scenes have none; without groups each would be known by heart."""
    scenes = [noise(np.random.default_rng(seed)) for seed in range(10)]
    rng = np.random.default_rng(0)
    shots = np.array([scenes[row % 10] + rng.normal(0, 8, (32, 32, 3)) for row in range(N)]).clip(0, 255)
    facts = facts_of(shots)
    competition = make_competition(Path("/nowhere"), np.arange(N) % 2)
    survey = Survey(train=facts, test=facts)
    mistaken = inspect_competition(competition, survey).mirror_separability
    assert mistaken is not None
    assert mistaken.is_clear
    grouped = inspect_competition(replace(competition, groups=np.arange(N) % 10), survey)
    assert grouped.mirror_separability is not None
    assert not grouped.mirror_separability.is_slight


def test_fewer_groups_than_parts_answer_nothing() -> None:
    competition = make_competition(Path("/nowhere"), np.arange(N) % 2)
    facts = facts_of(drawn(landscape))
    found = inspect_competition(replace(competition, groups=np.arange(N) % 3), Survey(train=facts, test=facts))
    assert found.mirror_separability is None
    assert "not compared" in describe_inspection(found)[-1]


def test_broken_images_are_a_reason_for_skip_broken() -> None:
    facts = facts_of(drawn(noise))
    assert "--skip-broken" in suggested(inspected(replace(facts, problems={0: "train/0.jpg cannot be decoded"})))
    assert "--skip-broken" not in suggested(inspected(facts))


def test_images_of_one_size_are_described_in_a_word() -> None:
    assert "sizes: training images of 320x240 px, all of them" in describe_inspection(inspected(facts_of(drawn(noise))))
