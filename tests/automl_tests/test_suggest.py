"""Narrowed trials, replayed trials, and choices as a person writes them."""

from __future__ import annotations

import pytest

from automl.config import (
    ModelConfig,
    OptimConfig,
    ResizeConfig,
    TrialConfig,
    parse_hidden,
)
from automl.errors import UsageError
from automl.space import Space, describe, narrow_space
from automl.suggest import NarrowedTrial, Narrowing, Replay, Suggest, compute_centered_range


def odd(trial: Suggest) -> TrialConfig:
    clip_norm = trial.suggest_categorical("clip_norm", [1.0, 0.1, None])
    scale_batch = trial.suggest_categorical("scale_batch", [False, True])
    head = trial.suggest_categorical("head", ["linear", "256", "512-256"])
    return TrialConfig(
        model=ModelConfig(backbone="resnet18", hidden=parse_hidden(head)),
        resize=ResizeConfig.parse("16-32", scale_batch=scale_batch),
        optim=OptimConfig(clip_norm=clip_norm),
    )


ODD = Space(name="odd", suggest=odd)


@pytest.mark.parametrize(
    ("fix", "expected"),
    [
        ("clip_norm=none", None),
        ("clip_norm=None", None),
        ("clip_norm=1e-1", 0.1),
        ("clip_norm=1", 1.0),
        ("scale_batch=True", True),
        ("scale_batch=true", True),
        ("scale_batch=False", False),
        ("head=512-256", (512, 256)),
        ("head=1024", (1024,)),
        ("head=linear", ()),
    ],
)
def test_a_choice_that_is_no_text_is_named_by_its_word(fix: str, expected: object) -> None:
    config = narrow_space(ODD, fix=[fix]).build_first_config()
    found = {
        "clip_norm": config.optim.clip_norm,
        "scale_batch": config.resize.scale_batch,
        "head": config.model.hidden,
    }
    assert found[fix.partition("=")[0]] is expected or found[fix.partition("=")[0]] == expected


@pytest.mark.parametrize(("fix", "words"), [("clip_norm=2", "clip_norm cannot be '2'"), ("head=big", "'big' is not")])
def test_what_is_none_of_the_choices_is_refused_with_their_words(fix: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        narrow_space(ODD, fix=[fix])
    if fix.startswith("clip"):
        assert error.value.hint == "use one of 1.0, 0.1, none"


def test_the_text_of_a_head_is_checked_before_a_space_sees_it() -> None:
    narrowed_trial = NarrowedTrial(Replay({}), Narrowing(fixed={"head": "big"}))
    with pytest.raises(UsageError, match="'big' is not a head"):
        narrowed_trial.suggest_categorical("head", ["linear"])


def test_the_description_writes_none_as_it_is_to_be_typed() -> None:
    assert describe(ODD)[0].domain == "1.0, 0.1, none"


def test_a_pinned_parameter_has_its_value_whatever_the_space_offers() -> None:
    trial = NarrowedTrial(Replay({}), Narrowing(pinned={"backbone": "own", "cut": 7}))
    assert trial.suggest_categorical("backbone", ["a", "b"]) == "own"
    assert trial.suggest_int("cut", 0, 3) == 7
    assert trial.suggest_int("other", 0, 3) == 0


@pytest.mark.parametrize(
    ("center", "expected"), [(1e-3, (1e-4, 1e-2)), (5e-5, (1e-5, 5e-4)), (1.0, (0.1, 10.0)), (5e-2, (5e-3, 0.1))]
)
def test_a_centered_range_is_a_decade_to_both_sides_within_the_range(
    center: float, expected: tuple[float, float]
) -> None:
    assert compute_centered_range(1e-5, 0.1, center) == pytest.approx(expected)


def test_a_centered_learning_rate_that_is_a_choice_is_refused() -> None:
    trial = NarrowedTrial(Replay({}), Narrowing(lr_center=1e-3))
    with pytest.raises(UsageError, match="'lr' is a choice"):
        trial.suggest_categorical("lr", [1e-3, 1e-2])


def test_a_replay_suggests_known_values_where_they_are_allowed_and_records_them() -> None:
    trial = Replay({"lr": 5.0, "depth": 3, "backbone": "gone"})
    assert trial.suggest_float("lr", 0.0, 1.0) == 1.0
    assert trial.suggest_int("depth", 0, 8) == 3
    assert trial.suggest_categorical("backbone", ["a", "b"]) == "a"
    assert trial.suggest_float("unknown", 0.5, 1.0) == 0.5
    assert trial.params == {"lr": 1.0, "depth": 3, "backbone": "a", "unknown": 0.5}
