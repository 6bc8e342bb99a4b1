"""Spaces as values: found, narrowed, described, centred, and bound to what trials begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from automl.artifacts import TrialFiles, write_json
from automl.config import (
    LossConfig,
    ModelConfig,
    OptimConfig,
    ResizeConfig,
    TransferConfig,
    TrialConfig,
    parse_hidden,
)
from automl.errors import UsageError
from automl.space import Space, center_learning_rate, describe, list_spaces, load_space, narrow_space, warm_start_space
from automl.suggest import Suggest

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
    assert {"default", "tiny", "efficientnet", "classic"} <= set(list_spaces())
    for name in list_spaces():
        space = load_space(name)
        assert space.summary
        assert space.list_proposals()


def test_a_users_own_file_is_a_space(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    space = load_space(str(path))
    assert (space.name, space.summary) == ("mine", "My own space.")
    assert space.list_proposals() == [{"backbone": "b"}]


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


def test_describe_finds_every_parameter_and_when_it_is_suggested() -> None:
    shown = {dimension.name: (dimension.domain, dimension.condition) for dimension in describe(SPACE)}
    assert shown == {
        "backbone": ("resnet18, resnet50, densenet121", ""),
        "loss": ("cross_entropy, focal", ""),
        "focal_gamma": ("0.5 .. 5", "loss = focal"),
        "resize": ("32, 16-32", ""),
        "lr": ("1e-05 .. 0.01 (log)", ""),
        "batch_size": ("8 .. 64 (step 8)", ""),
    }


def test_a_pinned_parameter_is_suggested_with_its_only_value_and_shows_in_the_study() -> None:
    study = optuna.create_study()
    trial = study.ask()
    config = narrow_space(SPACE, fix=["lr=3e-5", "loss=focal", "batch_size=20"])(trial)
    assert config.optim.lr == trial.params["lr"] == 3e-5
    assert config.loss.name == trial.params["loss"] == "focal"
    assert config.batch_size == 20


def test_a_narrowed_choice_proposes_only_what_is_left() -> None:
    space = narrow_space(SPACE, choices=["backbone=densenet121,resnet50", "resize=16-32,48"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [space(study.ask()) for _ in range(20)]
    assert {config.model.backbone for config in configs} == {"densenet121", "resnet50"}
    assert {config.resize.image_sizes for config in configs} == {(16, 32), (48,)}


def test_any_timm_name_may_be_chosen_as_backbone() -> None:
    assert narrow_space(SPACE, fix=["backbone=convnext_tiny"]).build_first_config().model.backbone == "convnext_tiny"


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
        narrow_space(SPACE, fix=fix, choices=choices)


def test_a_misspelt_parameter_gives_the_nearest_name() -> None:
    with pytest.raises(UsageError) as error:
        narrow_space(SPACE, fix=["optimiser_lr=1", "bakbone=x"][1:])
    assert "did you mean backbone?" in error.value.hint


def test_proposals_are_complete_fit_the_narrowing_and_are_distinct() -> None:
    assert SPACE.list_proposals()[0] == {
        "backbone": "resnet50",
        "loss": "focal",
        "focal_gamma": 2.0,
        "resize": "32",
        "lr": 3e-5,
        "batch_size": 8,
    }
    narrow = narrow_space(SPACE, fix=["lr=1e-4", "loss=cross_entropy"], choices=["backbone=resnet18"])
    assert len(narrow.list_proposals()) == 1
    assert narrow.list_proposals()[0]["lr"] == 1e-4
    for proposal in SPACE.list_proposals():
        assert SPACE(fixed(proposal)).optim.lr == proposal["lr"]


def test_the_fingerprint_follows_what_can_be_answered() -> None:
    assert narrow_space(SPACE).fingerprint == SPACE.fingerprint
    assert narrow_space(SPACE, fix=["lr=1e-4"]).fingerprint != SPACE.fingerprint
    assert narrow_space(SPACE, choices=["backbone=resnet18,resnet50"]).fingerprint != SPACE.fingerprint
    assert Space(name="test", suggest=suggest, overrides={"epochs": 3}).fingerprint != SPACE.fingerprint


def test_epochs_and_pretraining_are_set_over_the_spaces_answer() -> None:
    config = Space(name="test", suggest=suggest, overrides={"epochs": 3, "pretrained": False}).build_first_config()
    assert (config.epochs, config.model.pretrained) == (3, False)


def test_a_parameter_stands_behind_the_one_that_was_suggested_before_it() -> None:
    assert [dimension.name for dimension in describe(SPACE)] == [
        "backbone",
        "loss",
        "focal_gamma",
        "resize",
        "lr",
        "batch_size",
    ]


def test_two_answers_that_make_no_valid_configuration_are_noticed_before_a_search() -> None:
    def suggest(trial: Suggest) -> TrialConfig:
        cut = trial.suggest_categorical("cut", [0, 1])
        pooling = trial.suggest_categorical("pooling", ["avg", "own"])
        return TrialConfig(
            model=ModelConfig(backbone="resnet18", cut=cut, pooling=pooling), resize=ResizeConfig.parse("32")
        )

    with pytest.raises(UsageError, match="pooling = 'own'"):
        describe(Space(name="test", suggest=suggest))


# ---- What is the same for every trial -------------------------------------------------------------------------------


def test_what_every_trial_has_in_common_is_set_over_the_spaces_answer_and_bound_to_the_study() -> None:
    space = replace(SPACE, overrides={"epoch_choice": "best", "patience": 3, "compile": True})
    for config in (space.build_first_config(), space(fixed(SPACE.list_proposals()[1]))):
        assert (config.epoch_choice, config.patience, config.compile) == ("best", 3, True)
    assert SPACE.build_first_config().epoch_choice == "last"
    prints = {
        replace(SPACE, overrides=change).fingerprint for change in ({}, {"epoch_choice": "best"}, {"patience": 3})
    }
    assert len(prints) == 3
    assert replace(SPACE, overrides={"compile": True}).fingerprint != SPACE.fingerprint


def freezing(trial: Suggest) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone="resnet18"),
        resize=ResizeConfig.parse(trial.suggest_categorical("resize", ["32", "16-24-32"])),
        transfer=TransferConfig(freeze_epochs=trial.suggest_int("freeze_epochs", 0, 3)),
    )


def test_fewer_epochs_than_a_space_freezes_leave_one_that_trains_everything() -> None:
    space = Space(name="freezing", suggest=freezing, overrides={"epochs": 3})
    config = space(fixed({"resize": "32", "freeze_epochs": 3}))
    assert (config.epochs, config.transfer.freeze_epochs) == (3, 2)
    assert space(fixed({"resize": "32", "freeze_epochs": 1})).transfer.freeze_epochs == 1


def test_fewer_epochs_than_a_schedule_has_sizes_are_refused_with_the_flags_to_change() -> None:
    with pytest.raises(UsageError, match="epochs = 2") as error:
        describe(Space(name="freezing", suggest=freezing, overrides={"epochs": 2}))
    assert "--epochs 2" in error.value.hint


# ---- A centred learning rate ----------------------------------------------------------------------------------------


def lr_domain(space: Space) -> str:
    (domain,) = [dimension.domain for dimension in describe(space) if dimension.name == "lr"]
    return domain


@pytest.mark.parametrize(
    ("center", "domain"),
    [
        (3e-4, "3e-05 .. 0.003 (log)"),
        (2e-5, "1e-05 .. 0.0002 (log)"),  # the space's own lower end is nearer
        (5e-3, "0.0005 .. 0.01 (log)"),
        (1e-7, "1e-08 .. 1e-06 (log)"),  # outside of the space's own range, which says nothing then
    ],
)
def test_lr_is_suggested_within_a_decade_of_the_center(center: float, domain: str) -> None:
    assert lr_domain(center_learning_rate(SPACE, center)) == domain


def test_a_first_trial_outside_of_the_centred_range_moves_to_its_nearest_bound() -> None:
    assert [proposal["lr"] for proposal in SPACE.list_proposals()] == [3e-5, 1e-3]
    assert [proposal["lr"] for proposal in center_learning_rate(SPACE, 1e-3).list_proposals()] == pytest.approx(
        [1e-4, 1e-3]
    )
    assert [proposal["lr"] for proposal in center_learning_rate(SPACE, 1e-5).list_proposals()] == pytest.approx(
        [3e-5, 1e-4]
    )


def test_the_center_is_part_of_the_fingerprint_even_where_the_range_is_the_same() -> None:
    wide = replace(SPACE, lr_center=1.0), replace(SPACE, lr_center=2.0)
    assert len({SPACE.fingerprint, *(space.fingerprint for space in wide)}) == 3


def choosing(trial: Suggest) -> TrialConfig:
    lr = trial.suggest_categorical("lr", [1e-3, 1e-4])
    return TrialConfig(
        model=ModelConfig(backbone="resnet18"), resize=ResizeConfig.parse("32"), optim=OptimConfig(lr=lr)
    )


def test_a_center_without_a_range_to_centre_is_refused() -> None:
    with pytest.raises(UsageError, match="no parameter 'lr'"):
        center_learning_rate(Space(name="heads", suggest=heads), 1e-3)
    with pytest.raises(UsageError, match="--fix lr=1e-4 and --center-lr were both given"):
        center_learning_rate(narrow_space(SPACE, fix=["lr=1e-4"]), 1e-3)
    chosen = Space(name="chosen", suggest=choosing)
    with pytest.raises(UsageError, match="'lr' is a choice"):
        center_learning_rate(chosen, 1e-3)


@pytest.mark.parametrize("center", [0.0, -1e-3, float("nan"), float("inf")])
def test_a_center_that_is_no_positive_number_is_refused(center: float) -> None:
    with pytest.raises(UsageError, match="is not a positive number"):
        center_learning_rate(SPACE, center)


# ---- The network of another trial -----------------------------------------------------------------------------------


def heads(trial: Suggest) -> TrialConfig:
    pooling = trial.suggest_categorical("pooling", ["own", "avg"])
    return TrialConfig(
        model=ModelConfig(
            backbone=trial.suggest_categorical("backbone", ["resnet18", "densenet121"]),
            pooling=pooling,
            cut=trial.suggest_int("cut", 0, 0 if pooling == "own" else 2),
            hidden=parse_hidden(trial.suggest_categorical("head", ["linear", "256"])),
            dropout=trial.suggest_float("dropout", 0.1, 0.5),
        ),
        resize=ResizeConfig.parse("32"),
    )


def trained_trial(folder: Path) -> Path:
    """The folder of a trial that kept its weights."""
    model = ModelConfig(backbone="resnet50", cut=1, pooling="gem", attention="se", hidden=(64,), dropout=0.4)
    files = TrialFiles(folder / "00017")
    write_json(files.config, TrialConfig(model=model, resize=ResizeConfig.parse("32")).to_json())
    files.get_weights_path(0).write_bytes(b"")
    return files.root


def test_every_trial_has_the_network_that_it_begins_with(tmp_path: Path) -> None:
    space = warm_start_space(Space(name="heads", suggest=heads), trained_trial(tmp_path))
    model = space.build_first_config().model
    assert (model.backbone, model.cut, model.pooling, model.attention) == ("resnet50", 1, "gem", "se")
    assert (model.hidden, model.pretrained, model.dropout) == ((64,), False, 0.1)
    assert {dimension.name: dimension.domain for dimension in describe(space)} == {
        "pooling": "gem",
        "backbone": "resnet50",
        "cut": "1",
        "head": "64",
        "dropout": "0.1 .. 0.5",
    }
    assert space.init_from == (tmp_path / "00017")


def test_a_study_is_bound_to_the_trial_that_it_begins_with(tmp_path: Path) -> None:
    trials = [trained_trial(tmp_path / name) for name in ("a", "b")]
    assert len({warm_start_space(SPACE, trial).fingerprint for trial in trials} | {SPACE.fingerprint}) == 3


def test_a_folder_that_is_no_trial_with_weights_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no config\.json") as error:
        warm_start_space(SPACE, tmp_path)
    assert "automl_runs/STUDY/trials/00017" in error.value.hint
    trial = trained_trial(tmp_path)
    (trial / "fold0.safetensors").unlink()
    with pytest.raises(UsageError, match=r"has no fold0\.safetensors"):
        warm_start_space(SPACE, trial)


def test_a_network_that_is_narrowed_as_well_is_refused(tmp_path: Path) -> None:
    trial = trained_trial(tmp_path)
    for narrow in (narrow_space(SPACE, fix=["backbone=resnet18"]), narrow_space(SPACE, choices=["backbone=resnet50"])):
        with pytest.raises(UsageError, match="has backbone = resnet50, which"):
            warm_start_space(narrow, trial)
