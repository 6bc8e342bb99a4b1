"""Flags that commands share: their values parsed, refused in one line, and gathered into one parameter."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automl.cli.options import (
    FlagGroup,
    SpaceFlags,
    build_deadline,
    build_placement,
    choose_device,
    expand_flags,
    get_first_device,
    override_flags,
    parse_keep_checkpoints,
    parse_learning_rate,
    parse_train_folds,
    parse_trial_numbers,
    resolve_weights_folder,
    resource_flags,
    runner_flags,
)
from automl.errors import AutomlError, UnfitEnvironmentError, UsageError


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_learning_rate, "3e-4", 3e-4),
        (parse_train_folds, "1", 1),
        (parse_train_folds, "all", 5),
        (lambda text: parse_keep_checkpoints(text, 5), "5", 5),
        (lambda text: parse_keep_checkpoints(text, 5), "all", None),
        (parse_trial_numbers, "3, 17", (3, 17)),
        (parse_trial_numbers, None, None),
        (resolve_weights_folder, None, None),
        (choose_device, "cpu", "cpu"),
        (choose_device, None, get_first_device()),
    ],
)
def test_texts_of_flags_become_values(parse: Callable[[Any], Any], text: Any, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_learning_rate, "fast", "--center-lr fast is not a number"),
        (parse_train_folds, "0", "--train-folds 0 is not 1 to 5 or all"),
        (parse_train_folds, "6", "--train-folds 6 is not"),
        (lambda text: parse_keep_checkpoints(text, 5), "4", "--keep-checkpoints 4 is not a number from --top 5 on"),
        (parse_trial_numbers, "3,x", "--trials 3,x are no numbers"),
        (parse_trial_numbers, "³", "are no numbers"),
        (resolve_weights_folder, Path("nowhere"), "--weights nowhere is not a folder"),
        (choose_device, "cuda:99", "there is no device 'cuda:99'"),
    ],
)
def test_what_does_not_fit_a_flag_is_refused_by_its_name(parse: Callable[[Any], Any], text: Any, words: str) -> None:
    with pytest.raises(AutomlError, match=words) as refused:
        parse(text)
    assert refused.value.hint


def test_a_folder_of_weights_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_weights_folder(Path("weights")) == tmp_path / "weights"


def test_a_group_of_flags_is_declared_in_place_and_arrives_as_one_parameter() -> None:
    group = FlagGroup({"lowest": (int, 1), "highest": (int, 9)}, lambda values: range(*values.values()))

    @expand_flags(bounds=group)
    def command(*, name: str, bounds: range, last: int = 0) -> tuple[str, range, int]:
        return name, bounds, last

    flags = inspect.signature(command).parameters
    assert list(flags) == ["name", "lowest", "highest", "last"]
    assert (flags["lowest"].default, flags["highest"].annotation) == (1, int)
    expanded: Any = command
    assert expanded(name="a", lowest=2, highest=4, last=3) == ("a", range(2, 4), 3)


def test_overrides_hold_what_was_given_and_refuse_unknown_words() -> None:
    group = override_flags(of_model=False)
    values = {name: default for name, (_, default) in group.flags.items()}
    assert group.build(values) == {}
    assert group.build({**values, "epochs": 3}) == {"epochs": 3}
    with pytest.raises(UsageError, match="--epoch-choice worst is not"):
        group.build({**values, "epoch_choice": "worst"})
    assert "epochs" not in override_flags(of_model=True).flags
    assert "patience" not in override_flags(of_model=False, steps_only=True).flags


def test_a_space_is_loaded_narrowed_and_overridden_and_checked_at_once() -> None:
    space = SpaceFlags(name="tiny", fix=["lr=0.002"], overrides={"epochs": 2}).load_space()
    config = space.build_first_config()
    assert (config.optim.lr, config.epochs) == (0.002, 2)
    with pytest.raises(UsageError, match="no parameter 'learning'"):
        SpaceFlags(name="tiny", fix=["learning=1"]).load_space()


def test_resources_and_workers_become_a_placement_and_a_deadline(tmp_path: Path) -> None:
    resources = {name: default for name, (_, default) in resource_flags("trial").flags.items()}
    workers = {name: default for name, (_, default) in runner_flags("trial").flags.items()}
    placement = build_placement({**resources, "gpus": 0, "cpu_slots": 3}, workers, storage=tmp_path)
    assert placement.list_devices() == ["cpu"] * 3
    assert placement.silence_timeout_s == 600.0
    assert build_deadline(resources).get_training_seconds_left() == math.inf
    assert 0 < build_deadline({**resources, "timeout": "1h"}).get_training_seconds_left() < 3600
    with pytest.raises(UsageError):
        build_placement({**resources, "trial_timeout": "soon"}, workers, storage=tmp_path)


def test_a_device_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UnfitEnvironmentError) as refused:
        choose_device("gpu")
    assert refused.value.hint.startswith("use one of cpu")
