"""The dimensions of a space: every parameter, and the answers on which each depends."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from automl.dimensions import find_dimensions
from automl.suggest import Suggest


def conditions(suggest: Callable[[Suggest], object]) -> dict[str, str]:
    return {dimension.name: dimension.condition for dimension in find_dimensions(suggest) if dimension.condition}


def test_a_question_that_needs_two_particular_answers_at_once_is_found() -> None:
    def suggest(trial: Suggest) -> None:
        loss = trial.suggest_categorical("loss", ["a", "b", "c"])
        weights = trial.suggest_categorical("weights", ["none", "balanced", "effective"])
        if loss == "c" and weights == "effective":
            kind = trial.suggest_categorical("kind", ["x", "y"])
            if kind == "y":
                trial.suggest_float("beta", 0.0, 1.0)

    assert conditions(suggest) == {"kind": "loss = c and weights = effective", "beta": "kind = y"}


def test_a_question_for_which_either_of_two_answers_suffices_says_so() -> None:
    def suggest(trial: Suggest) -> None:
        mixup = trial.suggest_float("mixup_alpha", 0.0, 1.0)
        cutmix = trial.suggest_categorical("cutmix_alpha", [0.0, 0.5, 1.0])
        if mixup > 0 or cutmix > 0:
            trial.suggest_float("mix_probability", 0.1, 1.0)

    assert conditions(suggest) == {"mix_probability": "mixup_alpha > 0, or cutmix_alpha = 0.5 or 1.0"}


def test_one_answer_and_either_of_two_others_are_distinguished() -> None:
    def suggest(trial: Suggest) -> None:
        policy = trial.suggest_categorical("augment", ["none", "light", "rand"])
        mixes = trial.suggest_categorical("mixup", [False, True]), trial.suggest_categorical("cutmix", [False, True])
        if policy == "rand" and any(mixes):
            trial.suggest_int("strength", 0, 9)

    assert conditions(suggest) == {"strength": "augment = rand, and (mixup = True or cutmix = True)"}


def test_a_question_that_one_answer_to_a_later_one_takes_away_says_when_it_is_left() -> None:
    def suggest(trial: Suggest) -> None:
        if trial.suggest_categorical("loss", ["a", "b", "c"]) != "b" or trial.suggest_categorical("kind", "xy") == "y":
            trial.suggest_float("smoothing", 0.0, 0.2)

    assert conditions(suggest) == {"kind": "loss = b", "smoothing": "loss = a or c, or kind = y"}


def test_a_condition_with_few_exceptions_names_the_exceptions() -> None:
    def suggest(trial: Suggest) -> None:
        pooling = trial.suggest_categorical("pooling", ["own", "avg", "max", "gem"])
        if pooling != "own":
            trial.suggest_categorical("attention", ["none", "se"])
        if pooling not in ("avg", "max"):
            trial.suggest_categorical("cut", [0, 1])
        if trial.suggest_int("freeze_epochs", 0, 3) == 2:
            trial.suggest_categorical("cache", [None, True])

    assert conditions(suggest) == {
        "attention": "pooling is not own",
        "cut": "pooling = own or gem",
        "cache": "freeze_epochs = 2",
    }


def test_any_two_options_of_any_two_questions_are_tried_together() -> None:
    sizes = [7, 2, 3, 1, 4, 5, 2, 2, 2]
    suggested: list[tuple[int, ...]] = []

    def suggest(trial: Suggest) -> None:
        suggested.append(tuple(trial.suggest_categorical(f"q{n}", range(size)) for n, size in enumerate(sizes)))

    find_dimensions(suggest)
    for first, second in itertools.combinations(range(len(sizes)), 2):
        seen = {(answers[first], answers[second]) for answers in suggested}
        assert len(seen) == sizes[first] * sizes[second]


def test_a_large_space_is_described_with_less_than_two_thousand_calls() -> None:
    n_calls = 0

    def suggest(trial: Suggest) -> None:
        nonlocal n_calls
        n_calls += 1
        trial.suggest_categorical("backbone", [f"net{n}" for n in range(25)])
        for n in range(29):
            trial.suggest_categorical(f"q{n}", ["a", "b", "c", "d"])

    assert len(find_dimensions(suggest)) == 30
    assert n_calls < 2000
