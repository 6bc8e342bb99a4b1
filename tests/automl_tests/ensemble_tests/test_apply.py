"""The ensemble on test images: what is averaged, in which order, and what is left out when the time is short."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import rankdata

from automl.data.competition import Competition, SubmissionKind
from automl.data.resize import EvaluationPixels
from automl.ensemble.apply import predict_ensemble, predict_ensemble_within
from automl.ensemble.ensemble_recipe import Recipe, RecipeMember
from automl.ensemble.predictor import TrainedFold
from automl.ensemble.tta import View
from automl.errors import StorageError
from automl.tasks import Task
from tests.automl_tests.ensemble_tests.recipes import member_of, recipe_of
from tests.automl_tests.ensemble_tests.small_studies import competition_of

N, CLASSES = 10, ("a", "b", "c")
DECODING_S = 7.0
MEASURED = 4  # images, at which the pace is measured


def locate_weights(member: RecipeMember, fold: int) -> Path:
    return Path(f"/weights/{member.name}/{fold}")


@dataclass
class FakePredictor:
    """Predicts something of its own for each network, view and image, and takes its time on a clock of its own."""

    competition: Competition
    seconds: dict[str, float] = field(default_factory=dict)  # of an image and view, by the member's name
    now_s: float = 0.0
    predictions: list[tuple[str, str, str]] = field(default_factory=list)  # (member, fold, view) of all images
    decoded: set[EvaluationPixels] = field(default_factory=set)

    def clock(self) -> float:
        return self.now_s

    def load_pixels(self, split: str, evaluation: EvaluationPixels) -> None:
        assert split == "test"
        self.now_s += 0.0 if evaluation in self.decoded else DECODING_S
        self.decoded.add(evaluation)

    def measure_seconds_per_image(self, trained: TrainedFold) -> float:
        self.now_s += MEASURED * self.seconds_of(trained)
        return self.seconds_of(trained)

    def seconds_of(self, trained: TrainedFold) -> float:
        return self.seconds.get(trained.weights.parent.name, 1.0)

    def predict_views(
        self, trained: TrainedFold, views: Sequence[View], split: str, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        self.load_pixels(split, trained.evaluation)
        name, fold = trained.weights.parent.name, trained.weights.name
        self.predictions += [(name, fold, view.name) for view in views]
        self.now_s += self.seconds_of(trained) * len(rows) * len(views)
        return np.stack([probs_of(name, int(fold), view.name)[rows] for view in views])


def probs_of(name: str, fold: int, view: str, n_classes: int = len(CLASSES)) -> NDArray[np.float32]:
    """(N, n_classes) probabilities that depend on all of these."""
    rng = np.random.default_rng(zlib.crc32(f"{name} {fold} {view}".encode()))
    return softmax(3 * rng.normal(size=(N, n_classes)), axis=1).astype(np.float32)


def create_predictor(*, unreadable: Sequence[int] = (), **changes: Any) -> FakePredictor:
    ids = tuple(str(number) for number in range(N))
    form = competition_of(SubmissionKind.PROBABILITIES, classes=CLASSES, ids=ids, header=("id", *CLASSES))
    return FakePredictor(replace(form, unreadable_test=tuple(unreadable), **changes))


def blended(recipe: Recipe, predictor: Any, **changes: Any) -> NDArray[np.float64]:
    return predict_ensemble(recipe, locate_weights, predictor, **changes)


def in_time(recipe: Recipe, predictor: Any, budget_s: float, lines: list[str] | None = None) -> NDArray[np.float64]:
    notify = lines.append if lines is not None else lambda line: None
    return predict_ensemble_within(
        recipe, locate_weights, predictor, budget_s=budget_s, notify=notify, clock=predictor.clock
    )


VIEWS = ("identity", "mirror", "up")
TWO = recipe_of(
    member_of(1, 0.75, folds=(0, 2), views=("identity", "up", "mirror")),
    member_of(2, 0.25, folds=(1,), views=("identity", "up")),
    dropped_views=("up", "mirror"),
    dropped_members=("2",),
)


def test_probabilities_are_averaged_over_folds_and_views_and_then_over_members_by_weight() -> None:
    first = np.mean([probs_of("1", fold, view) for fold in (0, 2) for view in VIEWS], axis=0, dtype=np.float64)
    second = np.mean([probs_of("2", 1, view) for view in ("identity", "up")], axis=0, dtype=np.float64)
    probs = blended(TWO, create_predictor())
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs, 0.75 * first + 0.25 * second, atol=1e-9)


def test_the_same_images_and_recipe_give_the_same_bits() -> None:
    assert blended(TWO, create_predictor()).tobytes() == blended(TWO, create_predictor()).tobytes()


def test_a_temperature_divides_the_logits_of_a_members_mean() -> None:
    recipe = recipe_of(member_of(1, 1.0, folds=(0, 1), temperature=2.0))
    mean = np.mean([probs_of("1", 0, "identity"), probs_of("1", 1, "identity")], axis=0, dtype=np.float64)
    np.testing.assert_allclose(blended(recipe, create_predictor()), softmax(np.log(mean) / 2.0, axis=1), atol=1e-9)


def test_ranks_are_averaged_where_the_recipe_says_so_without_images_that_nobody_can_see() -> None:
    recipe = replace(recipe_of(member_of(1, 0.75), member_of(2, 0.25)), by_rank=True)
    predictor = create_predictor(unreadable=(3, 7), task=Task.MULTILABEL)
    seen = [row for row in range(N) if row not in (3, 7)]
    ranks = [(rankdata(probs_of(name, 0, "identity")[seen], axis=0) - 1) / (len(seen) - 1) for name in ("1", "2")]
    probs = blended(recipe, predictor)
    np.testing.assert_allclose(probs[seen], 0.75 * ranks[0] + 0.25 * ranks[1], atol=1e-12)
    assert not probs[[3, 7]].any()


def test_some_rows_are_predicted_as_they_are_among_all() -> None:
    rows = np.array([8, 2, 5])
    predictor = create_predictor(unreadable=(2,))
    assert np.array_equal(blended(TWO, predictor, rows=rows), blended(TWO, predictor)[rows])


def test_one_network_after_the_other_predicts_all_its_views_at_once() -> None:
    predictor = create_predictor()
    blended(TWO, predictor)
    assert [own[:2] for own in predictor.predictions] == [("1", "0")] * 3 + [("1", "2")] * 3 + [("2", "1")] * 2
    assert [own[2] for own in predictor.predictions[:3]] == ["identity", "mirror", "up"], (
        "the one that is left out first last"
    )


def test_a_view_of_another_version_is_a_storage_error() -> None:
    recipe = recipe_of(member_of(1, 1.0, views=("identity", "upside-down")))
    for predict in (lambda: blended(recipe, create_predictor()), lambda: in_time(recipe, create_predictor(), 1e6)):
        with pytest.raises(StorageError, match="upside-down"):
            predict()


def test_nothing_is_predicted_where_no_image_can_be_read() -> None:
    predictor = create_predictor(unreadable=range(N))
    assert not blended(TWO, create_predictor(unreadable=range(N))).any()
    assert not in_time(TWO, predictor, 0.0).any()
    assert predictor.predictions == []


def test_with_time_enough_the_bits_are_those_without_a_budget() -> None:
    lines: list[str] = []
    for recipe in (TWO, replace(TWO, drop_order=()), replace(TWO, by_rank=True)):
        assert (
            in_time(recipe, create_predictor(), 1e6, lines).tobytes() == blended(recipe, create_predictor()).tobytes()
        )
    assert lines == []


def test_as_they_are_the_images_are_seen_first_by_each_member_and_then_through_the_best_views() -> None:
    predictor = create_predictor()
    in_time(TWO, predictor, 200.0)
    assert predictor.predictions == [
        ("1", "0", "identity"),
        ("2", "1", "identity"),
        ("1", "2", "identity"),
        ("1", "0", "mirror"),
        ("1", "2", "mirror"),
        ("1", "0", "up"),
        ("1", "2", "up"),
        ("2", "1", "up"),
    ]


def test_a_slower_machine_leaves_out_views_then_members_and_notifies_of_it() -> None:
    predictor, lines = create_predictor(), []
    predictor.seconds = {"1": 2.0, "2": 2.0}  # twice what the recipe says: 160 s in place of 80 s
    probs = in_time(TWO, predictor, (110 + DECODING_S) / 0.9, lines)
    assert lines == ["time: an image takes 2 times as long as where the ensemble was made", "time: views left out: up"]
    kept = replace(TWO, members=tuple(replace(m, views=tuple(v for v in m.views if v != "up")) for m in TWO.members))
    assert probs.tobytes() == blended(kept, create_predictor()).tobytes()

    predictor, lines = create_predictor(), []
    predictor.seconds = {"1": 2.0, "2": 2.0}
    probs = in_time(TWO, predictor, (50 + DECODING_S) / 0.9, lines)
    assert lines[1:] == ["time: views left out: mirror, up", "time: members left out: 2"]
    assert probs.tobytes() == blended(recipe_of(member_of(1, 1.0, folds=(0, 2))), create_predictor()).tobytes()


def test_decoding_counts_before_the_rest_of_the_time_is_shared_out() -> None:
    one = recipe_of(member_of(1, 1.0, views=("identity", "mirror")))
    for spare_s, expected in ((0.5, []), (-0.5, ["time: views left out: mirror"])):
        predictor, lines = create_predictor(), []
        in_time(one, predictor, (DECODING_S + MEASURED + 20.0 + spare_s) / 0.9, lines)
        assert lines[1:] == expected


def test_decoding_for_a_further_size_has_its_time_before_views_do() -> None:
    recipe = recipe_of(member_of(1, 0.6, image_size=16, views=("identity", "mirror")), member_of(2, 0.4, image_size=24))
    for spare_s, expected in ((0.5, []), (-0.5, ["time: views left out: mirror"])):
        predictor, lines = create_predictor(), []
        probs = in_time(recipe, predictor, (2 * DECODING_S + MEASURED + 30.0 + spare_s) / 0.9, lines)
        assert lines[1:] == expected
        assert {name for name, _, _ in predictor.predictions} == {"1", "2"}
        assert probs.any(axis=1).all()


class SlowingPredictor(FakePredictor):
    """Becomes slower once it was measured, as a machine that somebody else begins to use."""

    factor = 1.0

    def predict_views(
        self, trained: TrainedFold, views: Sequence[View], split: str, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        began_s = self.now_s
        probs = super().predict_views(trained, views, split, rows)
        self.now_s += (self.factor - 1.0) * (self.now_s - began_s)
        return probs


def create_slowing(factor: float) -> SlowingPredictor:
    predictor = SlowingPredictor(create_predictor().competition)
    predictor.factor = factor
    return predictor


def test_whoever_falls_behind_drops_further_views_and_ends_in_time() -> None:
    predictor, lines = create_slowing(2.0), []
    probs = in_time(TWO, predictor, 130.0, lines)  # everything was expected to take 80 s and takes 160 s
    assert lines == ["time: view 'up' left out of members 1, 2, as the time ran short"]
    assert predictor.now_s <= 130.0
    kept = replace(TWO, members=tuple(replace(m, views=tuple(v for v in m.views if v != "up")) for m in TWO.members))
    assert probs.tobytes() == blended(kept, create_predictor()).tobytes()


def test_whoever_falls_far_behind_ends_with_the_folds_and_members_that_had_time() -> None:
    predictor, lines = create_slowing(5.0), []
    probs = in_time(TWO, predictor, 120.0, lines)  # one view takes 50 s
    assert predictor.now_s == DECODING_S + MEASURED + 100.0
    assert lines[0] == "time: fold 2 left out of member 1, as the time ran short"
    first, second = probs_of("1", 0, "identity").astype(np.float64), probs_of("2", 1, "identity").astype(np.float64)
    np.testing.assert_allclose(probs, 0.75 * first + 0.25 * second, atol=1e-12)

    predictor, lines = create_slowing(9.0), []
    probs = in_time(TWO, predictor, 120.0, lines)
    assert [own[0] for own in predictor.predictions] == ["1"]
    assert np.array_equal(probs, probs_of("1", 0, "identity").astype(np.float64)), "its weight is all there is"


def test_without_any_time_the_heaviest_member_that_is_left_still_predicts() -> None:
    predictor = create_predictor()
    probs = in_time(TWO, predictor, 0.0)
    assert predictor.predictions == [("2", "1", "identity")], "the quickest of all"
    assert np.array_equal(probs, probs_of("2", 1, "identity").astype(np.float64))


def test_a_view_that_not_all_folds_had_time_for_does_not_count() -> None:
    recipe = recipe_of(member_of(1, 1.0, folds=(0, 1, 2), views=("identity", "mirror")))
    predictor = create_slowing(1.0)

    def slow_from_the_fourth_prediction_on(*arguments: Any) -> Any:
        predictor.factor = 4.0 if len(predictor.predictions) >= 3 else 1.0
        return SlowingPredictor.predict_views(predictor, *arguments)

    predictor.predict_views = slow_from_the_fourth_prediction_on  # type: ignore[method-assign]
    lines: list[str] = []
    probs = in_time(recipe, predictor, (DECODING_S + MEASURED + 61.0) / 0.9, lines)
    assert lines == ["time: view 'mirror' left out of member 1, as the time ran short"]
    assert len(predictor.predictions) > 3
    identity = recipe_of(member_of(1, 1.0, folds=(0, 1, 2)))
    assert probs.tobytes() == blended(identity, create_predictor()).tobytes()


def test_decoding_for_another_size_is_not_mistaken_for_a_slow_network() -> None:
    recipe = recipe_of(member_of(1, 0.6, image_size=16), member_of(2, 0.4, image_size=24, views=("identity", "mirror")))
    lines: list[str] = []
    predictor = create_predictor()
    in_time(recipe, predictor, (2 * DECODING_S + MEASURED + 30.5) / 0.9, lines)
    assert lines == []
    assert {own.image_size for own in predictor.decoded} == {16, 24}


def test_a_member_whose_folds_share_a_backbone_is_measured_by_its_part_of_a_forward_pass() -> None:
    recipe = recipe_of(member_of(1, 1.0, seconds=0.5, folds=(0, 2), views=VIEWS, shares_backbone=True))
    lines: list[str] = []
    probs = in_time(recipe, create_predictor(), 1000.0, lines)
    assert lines == []
    assert probs.tobytes() == blended(recipe, create_predictor()).tobytes()
    in_time(recipe, create_predictor(), 30.0, lines)
    assert not [line for line in lines if "times as long" in line and "1 times" not in line]
