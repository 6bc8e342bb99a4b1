"""Recommendations for images of known content: sizes, augmentation, balance, shift and leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from automl.data.survey import Survey
from automl.inspection.inspection import Inspection, inspect_competition
from automl.inspection.recommendations import recommend
from tests.automl_tests.inspection_tests.surveys import (
    N,
    drawn,
    facts_of,
    inspected,
    landscape,
    make_competition,
    noise,
)


def signature(rng: np.random.Generator) -> NDArray[np.float64]:
    """A bright corner at the upper left, and blobs."""
    image = landscape(rng)
    image[:16, :16] += 60
    return np.clip(image, 0, 255)


@pytest.fixture(scope="module")
def noise_inspection() -> Inspection:
    """Of blobs without up or side, as an inspection takes seconds."""
    return inspected(facts_of(drawn(noise)))


def survey_again(inspection: Inspection, **changes: Any) -> Inspection:
    """The same inspection with other facts of the training images' files."""
    survey = inspection.survey
    return replace(inspection, survey=replace(survey, train=replace(survey.train, **changes)))


def suggested(inspection: Inspection) -> str:
    return "\n".join(what for what, _ in recommend(inspection))


@pytest.mark.slow
def test_images_of_one_kind_are_not_separable() -> None:
    found = inspected(facts_of(drawn(landscape)), facts_of(drawn(landscape, seed=1)))
    assert found.shift_in_pixels is not None
    assert not found.shift_in_pixels.is_slight
    assert "trust" not in suggested(found)


def test_a_darker_test_set_is_separable_from_the_training_set() -> None:
    found = inspected(facts_of(drawn(landscape)), facts_of(drawn(landscape, seed=1) * 0.7))
    assert found.shift_in_pixels is not None
    assert found.shift_in_pixels.is_clear
    assert "trust the validation score less" in suggested(found)


def test_sizes_that_tell_the_label_are_a_leak() -> None:
    widths = np.where(np.arange(N) % 2 == 1, 500, 320).astype(np.int32)
    found = inspected(facts_of(drawn(landscape), widths=widths))
    assert found.label_leak is not None
    assert found.label_leak.is_clear
    assert "look at sizes and bytes of the files" in suggested(found)


def test_where_nothing_is_up_dihedral_is_suggested(noise_inspection: Inspection) -> None:
    assert "augment=dihedral" in suggested(noise_inspection)


@pytest.mark.slow
def test_where_something_is_up_images_are_not_turned() -> None:
    found = inspected(facts_of(drawn(landscape)))
    assert found.rotation_separability is not None
    assert found.rotation_separability.is_clear
    assert "augment=light,medium,heavy" in suggested(found)


@pytest.mark.slow
def test_where_something_has_a_side_images_are_not_mirrored() -> None:
    assert "--no-flips" in suggested(inspected(facts_of(drawn(signature))))


@pytest.mark.slow
def test_digits_are_not_mirrored() -> None:
    digits = load_digits().images[:600] * 15
    thumbnails = np.repeat(digits.repeat(4, axis=1).repeat(4, axis=2)[..., None], 3, axis=3)
    assert "--no-flips" in suggested(inspected(facts_of(thumbnails)))


@pytest.mark.slow
def test_where_flips_are_ruled_out_already_no_policy_that_flips_for_its_good_is_suggested() -> None:
    assert "augment=none,light,photometric" in suggested(inspected(facts_of(drawn(noise)), flips=False))


@pytest.mark.parametrize(
    ("side", "sizes"), [(28, "resize=32"), (96, "resize=64-96,96"), (240, "resize=128-224,224"), (3000, "224-384,384")]
)
def test_sizes_follow_the_median_image(side: int, sizes: str, noise_inspection: Inspection) -> None:
    heights = np.full(N, side, np.int32)
    assert sizes in suggested(survey_again(noise_inspection, heights=heights, widths=2 * heights))


def test_rare_classes_are_pointed_out() -> None:
    targets = (np.arange(N) < 10).astype(np.int64)
    competition = make_competition(Path("/nowhere"), targets)
    facts = facts_of(drawn(noise))
    found = inspect_competition(competition, Survey(train=facts, test=facts))
    assert dict(found.counts) == {competition.classes[0]: N - 10, competition.classes[1]: 10}
    assert "--space recipe" in suggested(found)


def test_broken_images_are_a_reason_for_skip_broken(noise_inspection: Inspection) -> None:
    broken = survey_again(noise_inspection, problems={0: "train/0.jpg cannot be decoded"})
    assert "--skip-broken" in suggested(broken)
    assert "--skip-broken" not in suggested(noise_inspection)
