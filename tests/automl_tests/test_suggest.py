"""Narrowed trials, replayed trials, and choices as a person writes them."""

from __future__ import annotations

import optuna
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
from automl.suggest import (
    NarrowedTrial,
    Narrowing,
    Replay,
    Suggest,
    compute_centered_range,
    format_number,
    format_numbers,
    format_value,
    parse_final_size,
)


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


def decaying(trial: Suggest) -> TrialConfig:
    decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    return TrialConfig(
        model=ModelConfig(backbone="resnet18"),
        resize=ResizeConfig.parse("32"),
        optim=OptimConfig(weight_decay=decay),
        batch_size=trial.suggest_int("batch_size", 8, 64, log=True),
    )


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1e-4", 1e-4), ("5", 5.0)])
def test_a_value_is_pinned_though_it_is_asked_on_a_log_scale(text: str, value: float) -> None:
    space = narrow_space(Space(name="decaying", suggest=decaying), fix=[f"weight_decay={text}"])
    study = optuna.create_study()
    for _ in range(2):
        trial = study.ask()
        assert space(trial).optim.weight_decay == trial.params["weight_decay"] == value
        study.tell(trial, 0.5)
    (distribution,) = {each.distributions["weight_decay"] for each in study.trials}
    assert distribution == optuna.distributions.FloatDistribution(value, value, log=value > 0)  # as studies have it


def test_a_replay_takes_the_next_of_what_is_left_in_turn_where_it_deals_out() -> None:
    turns = {"backbone": 0}
    trials = [Replay({"backbone": "gone", "loss": "gone"}, turns) for _ in range(3)]
    assert [trial.suggest_categorical("backbone", ["a", "b"]) for trial in trials] == ["a", "b", "a"]
    assert [trial.suggest_categorical("loss", ["c", "d"]) for trial in trials] == ["c", "c", "c"]
    assert trials[0].choices == {"backbone": ["a", "b"], "loss": ["c", "d"]}
    assert Replay({"backbone": "b"}, turns).suggest_categorical("backbone", ["a", "b"]) == "b"
    assert turns == {"backbone": 3}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e-4, "3e-4"),
        (1e-3, "1e-3"),
        (0.00033, "3.3e-4"),
        (-3e-5, "-3e-5"),
        (1e-10, "1e-10"),
        (0.01, "0.01"),
        (0.05, "0.05"),
        (0.0, "0"),
        (1.0, "1"),
        (1e6, "1e6"),
        (1e-3 / 3, "3.33333e-4"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert format_number(value) == text


def test_numbers_are_rounded_to_as_many_digits_as_they_are_worth() -> None:
    assert [format_number(value, digits=2) for value in (1.26e-3, 9.99e-4, 0.123)] == ["1.3e-3", "1e-3", "0.12"]


def test_values_that_are_no_numbers_are_written_by_their_words() -> None:
    assert [format_value(value) for value in (None, True, 32, "adamw", 3e-4)] == ["none", "True", "32", "adamw", "3e-4"]


def test_numbers_in_a_text_are_written_alike_and_names_stay() -> None:
    domain = "1e-05 .. 0.01 (log, step 0.005)"
    assert format_numbers(domain) == "1e-5 .. 0.01 (log, step 5e-3)"
    assert format_numbers("net_1e-05, net-0.001, 1.0e-05x") == "net_1e-05, net-0.001, 1.0e-05x"


@pytest.mark.parametrize(
    ("resize", "size"), [("224", 224), ("160-240-320", 320), (96, 96), ("small", None), (None, None), ("-32", None)]
)
def test_the_final_size_of_a_resize_choice(resize: object, size: int | None) -> None:
    assert parse_final_size(resize) == size


def test_a_replay_suggests_known_values_where_they_are_allowed_and_records_them() -> None:
    trial = Replay({"lr": 5.0, "depth": 3, "backbone": "gone"})
    assert trial.suggest_float("lr", 0.0, 1.0) == 1.0
    assert trial.suggest_int("depth", 0, 8) == 3
    assert trial.suggest_categorical("backbone", ["a", "b"]) == "a"
    assert trial.suggest_float("unknown", 0.5, 1.0) == 0.5
    assert trial.params == {"lr": 1.0, "depth": 3, "backbone": "a", "unknown": 0.5}
