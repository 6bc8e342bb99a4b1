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
from automl.space import (
    Space,
    center_learning_rate,
    deal_over_families,
    derive_family,
    describe,
    list_spaces,
    load_space,
    narrow_space,
    warm_start_space,
)
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
        (["lr=-3e-4"], [], "lr = -3e-4, but it must be positive"),
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


# ---- Dealt out ------------------------------------------------------------------------------------------------------


def list_values(space: Space, *names: str) -> list[tuple[object, ...]]:
    return [tuple(proposal[name] for name in names) for proposal in space.list_proposals()]


def test_choices_that_are_left_are_dealt_out_to_the_first_trials_in_turn() -> None:
    narrowed = narrow_space(load_space("default"), choices=["backbone=convnext_tiny,nfnet_l0"])
    assert list_values(narrowed, "backbone") == [("convnext_tiny",), ("nfnet_l0",)] * 2 + [("convnext_tiny",)]
    sizes = narrow_space(
        load_space("recipe"), fix=["backbone=efficientnet_b5"], choices=["resize=320,160-240-320", "augment=heavy,rand"]
    )
    assert list_values(sizes, "backbone", "resize", "augment") == [
        ("efficientnet_b5", "320", "heavy"),
        ("efficientnet_b5", "160-240-320", "rand"),
        ("efficientnet_b5", "320", "heavy"),
    ]


def test_a_first_trial_whose_own_value_is_left_keeps_it_and_takes_no_turn() -> None:
    narrowed = narrow_space(load_space("default"), choices=["backbone=resnet50,efficientnet_b0,resnext50_32x4d"])
    backbones = [backbone for (backbone,) in list_values(narrowed, "backbone")]
    assert backbones == ["resnet50", "efficientnet_b0", "resnext50_32x4d", "resnext50_32x4d", "resnet50"]


def test_a_first_trial_that_does_not_mention_a_choice_stays_without_it_while_that_is_left() -> None:
    narrowed = narrow_space(SPACE, choices=["loss=focal,cross_entropy", "resize=32,16-32"])
    assert list_values(narrowed, "loss", "resize") == [("focal", "32"), ("cross_entropy", "32")]


def test_first_trials_that_narrowing_makes_the_same_are_proposed_once() -> None:
    same = ["lr=1e-4", "loss=cross_entropy"]
    assert list_values(narrow_space(SPACE, fix=same, choices=["backbone=densenet121"]), "backbone") == [
        ("densenet121",)
    ]
    assert list_values(narrow_space(SPACE, fix=same, choices=["backbone=densenet121,vgg11"]), "backbone") == [
        ("densenet121",),
        ("vgg11",),
    ]


# ---- What probes say ------------------------------------------------------------------------------------------------

RANKING = [
    ("densenet169", 224),
    ("densenet169", 320),  # again, at another size
    ("densenet121", 224),
    ("gone", 224),  # the space has it not
    ("resnet101", 300),
    ("efficientnet_b4", 224),
    ("inception_v3", 160),
    ("resnext101_32x8d", 320),
    ("vgg16", 224),
]


def test_first_trials_take_the_best_probed_backbones_of_different_families_first() -> None:
    space = load_space("default")
    proposals = space.list_proposals(RANKING)
    assert [(proposal["backbone"], proposal["resize"]) for proposal in proposals] == [
        ("densenet169", "224"),
        ("resnet101", "320"),
        ("efficientnet_b4", "224"),
        ("inception_v3", "224"),
        ("resnext101_32x8d", "320"),
    ]
    for proposal, curated in zip(proposals, space.list_proposals(), strict=True):
        for name in ("optimizer", "lr", "weight_decay", "batch_size", "augment"):
            assert proposal[name] == curated[name]
        assert space(fixed(proposal)).model.backbone == proposal["backbone"]


def test_a_short_ranking_leaves_the_rest_curated_and_an_empty_one_all() -> None:
    space = load_space("default")
    curated = space.list_proposals()
    assert space.list_proposals(RANKING[:2]) == [
        curated[0] | {"backbone": "densenet169", "resize": "224"},
        *curated[1:],
    ]
    assert space.list_proposals([]) == space.list_proposals([("gone", 224)]) == curated


def test_a_ranking_follows_the_narrowing() -> None:
    narrowed = narrow_space(
        load_space("default"), choices=["backbone=densenet121,resnet101", "resize=160-320,320,128-256"]
    )
    found = [(proposal["backbone"], proposal["resize"]) for proposal in narrowed.list_proposals(RANKING)]
    assert found[:2] == [("densenet121", "128-256"), ("resnet101", "320")]
    assert {backbone for backbone, _ in found} == {"densenet121", "resnet101"}
    pinned = narrow_space(load_space("default"), fix=["resize=224"])
    assert {proposal["resize"] for proposal in pinned.list_proposals(RANKING)} == {"224"}


def test_a_ranking_serves_spaces_that_ask_neither_for_a_backbone_nor_for_sizes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    assert load_space(str(path)).list_proposals([("a", 224), ("b", 224)]) == [{"backbone": "a"}]
    chosen = Space(name="chosen", suggest=choosing, first_trials=({"lr": 1e-4},))
    assert chosen.list_proposals([("resnet18", 224)]) == [{"lr": 1e-4}]


@pytest.mark.parametrize(
    ("backbone", "family"),
    [
        ("efficientnet_b0", "efficientnet"),
        ("tf_efficientnetv2_s", "efficientnet"),
        ("tf_efficientnet_lite0", "efficientnet"),
        ("resnet50", "resnet"),
        ("resnext50_32x4d", "resnext"),
        ("test_resnet", "resnet"),
        ("inception_v3", "inception"),
        ("vit_base_patch16_224", "vit"),
        ("vit_small_patch16_dinov3.lvd1689m", "vit dino"),
        ("vit_base_patch16_siglip_256.v2_webli", "vit siglip"),
        ("convnext_base.clip_laion2b", "convnext clip"),
        ("convnextv2_tiny.fcmae_ft_in22k_in1k", "convnext mae"),
        ("eva02_small_patch14_336", "eva"),
        ("1d_net", ""),
    ],
)
def test_a_family_is_read_from_the_name(backbone: str, family: str) -> None:
    assert derive_family(backbone) == family


def test_the_best_of_each_family_comes_before_the_second_of_any() -> None:
    ranking = [("resnet50", 224), ("resnet18", 224), ("resnet50", 320), ("vgg11", 224), ("resnet34", 96)]
    assert deal_over_families(ranking) == [("resnet50", 224), ("vgg11", 224), ("resnet18", 224), ("resnet34", 96)]


# ---- Fingerprints ---------------------------------------------------------------------------------------------------

FROZEN: list[tuple[str, list[str], list[str], str]] = [
    ("default", [], [], "89e16ea1e822bb66"),
    ("default", ["optimizer=adamw"], ["backbone=efficientnet_b0,densenet121"], "f84c83cead8686cf"),
    ("default", ["lr=3e-5", "weight_decay=1e-4"], [], "eb9ba7d6242dc40b"),
    ("default", [], ["resize=224,320"], "1c752cf5768344c9"),
    ("recipe", [], [], "55cb3e811dc5c686"),
    ("recipe", ["backbone=efficientnet_b5"], ["resize=320,160-240-320"], "0d505883d609c9d0"),
    ("recipe", ["clip_norm=none", "lr=0.0003"], [], "9d33f2a434c18599"),
    ("tiny", [], [], "fee3d3cbbd823b43"),
    ("tiny", ["lr=2e-3", "weight_decay=1e-5", "dropout=0"], ["backbone=test_resnet,test_vit"], "575beb77bcca5fc5"),
    ("classic", [], ["backbone=lenet5,alexnet"], "7734e1034430057f"),
    ("efficientnet", [], [], "9ccdddb095f6b589"),
    ("modern", ["layer_decay=0.75"], ["resize=224"], "f81d8056f5b9712e"),
    ("ordinal", ["loss=ordinal"], [], "b92a4b083c84f6f9"),
]


@pytest.mark.parametrize(("name", "fix", "choices", "fingerprint"), FROZEN)
def test_a_study_that_was_begun_before_is_found_again(
    name: str, fix: list[str], choices: list[str], fingerprint: str
) -> None:
    assert narrow_space(load_space(name), fix=fix, choices=choices).fingerprint == fingerprint


def test_a_study_that_was_begun_before_about_a_centre_is_found_again() -> None:
    assert center_learning_rate(load_space("tiny"), 3e-4).fingerprint == "958724262b088026"


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


def test_first_trials_begin_with_the_centre_itself_and_go_to_both_sides_of_it() -> None:
    assert [proposal["lr"] for proposal in SPACE.list_proposals()] == [3e-5, 1e-3]
    four = replace(SPACE, first_trials=tuple({"lr": 1e-3, "batch_size": size} for size in (8, 16, 24, 32)))
    centred = center_learning_rate(four, 3e-4)
    assert [proposal["lr"] for proposal in centred.list_proposals()] == [3e-4, 1e-4, 9e-4, 3e-4]
    assert centred.build_first_config().optim.lr == 3e-4
    bounded = center_learning_rate(four, 2e-5)  # a third of it lies below the space's own range
    assert [proposal["lr"] for proposal in bounded.list_proposals()] == [2e-5, 1e-5, 6e-5, 2e-5]


def test_a_centre_is_tried_first_also_where_a_space_has_no_first_trials() -> None:
    centred = center_learning_rate(replace(SPACE, first_trials=()), 3e-4)
    assert [proposal["lr"] for proposal in centred.list_proposals()] == [3e-4]
    assert centred.build_first_config().optim.lr == 3e-4


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
