"""Spaces as values: found, narrowed, described, replayed."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from automl.config import LossConfig, ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.errors import UsageError
from automl.space import Space, Suggest, describe, load_space, narrowed, space_names

OWN = '''"""My own space."""
from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.space import Suggest
FIRST_TRIALS = ({"backbone": "b"},)
def suggest(trial: Suggest) -> TrialConfig:
    backbone = trial.suggest_categorical("backbone", ["a", "b"])
    return TrialConfig(model=ModelConfig(backbone=backbone), resize=ResizeConfig(image_sizes=(32,)))
'''


def suggest(trial: Suggest) -> TrialConfig:
    backbone = trial.suggest_categorical("backbone", ["resnet18", "resnet50", "densenet121"])
    loss = trial.suggest_categorical("loss", ["cross_entropy", "focal"])
    gamma = trial.suggest_float("focal_gamma", 0.5, 5.0) if loss == "focal" else None
    return TrialConfig(
        model=ModelConfig(backbone=backbone),
        resize=ResizeConfig.parse(trial.suggest_categorical("resize", ["32", "16-32"])),
        loss=LossConfig(name=loss, focal_gamma=gamma),
        optim=OptimConfig(lr=trial.suggest_float("lr", 1e-5, 1e-2, log=True)),
        batch_size=trial.suggest_int("batch_size", 8, 64, step=8),
    )


SPACE = Space(
    name="test",
    suggest=suggest,
    first_trials=({"backbone": "resnet50", "loss": "focal", "focal_gamma": 2.0, "lr": 3e-5}, {"lr": 1e-3}),
)


def fixed(params: dict[str, object]) -> optuna.trial.FixedTrial:
    return optuna.trial.FixedTrial(params)


def test_the_shipped_spaces_are_found_by_name_and_each_says_what_it_is() -> None:
    assert {"default", "tiny", "efficientnet", "classic"} <= set(space_names())
    for name in space_names():
        space = load_space(name)
        assert space.summary
        assert space.proposals()


def test_a_users_own_file_is_a_space(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    space = load_space(str(path))
    assert (space.name, space.summary) == ("mine", "My own space.")
    assert space.proposals() == [{"backbone": "b"}]


def test_an_unknown_space_gives_the_nearest_name() -> None:
    with pytest.raises(UsageError) as error:
        load_space("efficientnets")
    assert "did you mean efficientnet?" in error.value.hint


@pytest.mark.parametrize(("text", "words"), [("x = 1\n", "no function suggest"), ("def (", "SyntaxError")])
def test_a_file_that_is_no_space_says_why(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_space(str(path))
    with pytest.raises(UsageError, match="there is no file"):
        load_space(str(tmp_path / "other.py"))


def test_describe_finds_every_question_and_when_it_is_asked() -> None:
    shown = {dimension.name: (dimension.domain, dimension.condition) for dimension in describe(SPACE)}
    assert shown == {
        "backbone": ("resnet18, resnet50, densenet121", ""),
        "loss": ("cross_entropy, focal", ""),
        "focal_gamma": ("0.5 .. 5", "loss = focal"),
        "resize": ("32, 16-32", ""),
        "lr": ("1e-05 .. 0.01 (log)", ""),
        "batch_size": ("8 .. 64 (step 8)", ""),
    }


def test_a_pinned_parameter_is_asked_with_its_only_value_and_shows_in_the_study() -> None:
    study = optuna.create_study()
    trial = study.ask()
    config = narrowed(SPACE, fix=["lr=3e-5", "loss=focal", "batch_size=20"])(trial)
    assert config.optim.lr == trial.params["lr"] == 3e-5
    assert config.loss.name == trial.params["loss"] == "focal"
    assert config.batch_size == 20


def test_a_narrowed_choice_proposes_only_what_is_left() -> None:
    space = narrowed(SPACE, choices=["backbone=densenet121,resnet50", "resize=16-32,48"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [space(study.ask()) for _ in range(20)]
    assert {config.model.backbone for config in configs} == {"densenet121", "resnet50"}
    assert {config.resize.image_sizes for config in configs} == {(16, 32), (48,)}


def test_any_timm_name_may_be_chosen_as_backbone() -> None:
    assert narrowed(SPACE, fix=["backbone=convnext_tiny"]).first_config().model.backbone == "convnext_tiny"


@pytest.mark.parametrize(
    ("fix", "choices", "words"),
    [
        (["learning_rate=1"], [], "no parameter 'learning_rate'"),
        (["lr"], [], "is not name=value"),
        (["lr=fast"], [], "is not a number"),
        (["lr=0"], [], "must be positive"),
        (["batch_size=8.5"], [], "is not a whole number"),
        (["loss=hinge"], [], "loss cannot be 'hinge'"),
        ([], ["loss=focal,hinge"], "loss cannot be 'hinge'"),
        ([], ["lr=1,2"], "is a range"),
        (["resize=huge"], [], "is not a resize schedule"),
    ],
)
def test_a_narrowing_that_does_not_fit_is_refused_at_once(fix: list[str], choices: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        narrowed(SPACE, fix=fix, choices=choices)


def test_a_misspelt_parameter_gives_the_nearest_name() -> None:
    with pytest.raises(UsageError) as error:
        narrowed(SPACE, fix=["optimiser_lr=1", "bakbone=x"][1:])
    assert "did you mean backbone?" in error.value.hint


def test_proposals_are_complete_fit_the_narrowing_and_are_distinct() -> None:
    assert SPACE.proposals()[0] == {
        "backbone": "resnet50",
        "loss": "focal",
        "focal_gamma": 2.0,
        "resize": "32",
        "lr": 3e-5,
        "batch_size": 8,
    }
    narrow = narrowed(SPACE, fix=["lr=1e-4", "loss=cross_entropy"], choices=["backbone=resnet18"])
    assert len(narrow.proposals()) == 1
    assert narrow.proposals()[0]["lr"] == 1e-4
    for proposal in SPACE.proposals():
        assert SPACE(fixed(proposal)).optim.lr == proposal["lr"]


def test_the_fingerprint_follows_what_can_be_answered() -> None:
    assert narrowed(SPACE).fingerprint == SPACE.fingerprint
    assert narrowed(SPACE, fix=["lr=1e-4"]).fingerprint != SPACE.fingerprint
    assert narrowed(SPACE, choices=["backbone=resnet18,resnet50"]).fingerprint != SPACE.fingerprint
    assert Space(name="test", suggest=suggest, epochs=3).fingerprint != SPACE.fingerprint


def test_epochs_and_pretraining_are_set_over_the_spaces_answer() -> None:
    config = Space(name="test", suggest=suggest, epochs=3, pretrained=False).first_config()
    assert (config.epochs, config.model.pretrained) == (3, False)
