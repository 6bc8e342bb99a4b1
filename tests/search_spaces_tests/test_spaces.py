"""Every space that is shipped: what it may answer, whether timm can build it, and how it describes itself."""

from __future__ import annotations

import ast
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import search_spaces
from automl.config import (
    ATTENTIONS,
    AUGMENT_POLICIES,
    CLASS_SAMPLINGS,
    CLASS_WEIGHTS,
    FOCAL_LOSSES,
    LOSSES,
    OPTIMIZERS,
    POOLINGS,
    SCHEDULES,
    ModelConfig,
    TrialConfig,
)
from automl.questions import MIXINGS
from automl.space import Space, derive_family, describe, list_spaces, load_space, narrow_space
from automl.tasks import Task
from automl.training.loss.losses import build_loss
from automl.training.network.backbones import build_skeleton
from automl.training.network.create import build_model, require_sizes_fit
from automl.training.network.input_sizes import fit_sizes
from automl.training.optim.optimizers import build_optimizer
from tests.search_spaces_tests.random_trial import RandomTrial

GOLDEN = Path(__file__).parent / "golden"
ANSWERS: dict[str, Callable[[TrialConfig], Any]] = {
    "attention": lambda config: config.model.attention,
    "augment": lambda config: config.augment.policy,
    "backbone": lambda config: config.model.backbone,
    "batch_size": lambda config: config.batch_size,
    "class_sampling": lambda config: config.class_sampling,
    "class_weights": lambda config: config.loss.class_weights,
    "clip_norm": lambda config: config.optim.clip_norm,
    "cut": lambda config: config.model.cut,
    "cycles": lambda config: config.optim.cycles,
    "drop_path": lambda config: config.model.drop_path,
    "dropout": lambda config: config.model.dropout,
    "ema_horizon": lambda config: config.ema_horizon,
    "focal_alpha": lambda config: config.loss.focal_alpha,
    "focal_gamma": lambda config: config.loss.focal_gamma,
    "freeze_epochs": lambda config: config.transfer.freeze_epochs,
    "head": lambda config: "-".join(map(str, config.model.hidden)) or "linear",
    "head_lr_factor": lambda config: config.transfer.head_lr_factor,
    "label_smoothing": lambda config: config.loss.label_smoothing,
    "layer_decay": lambda config: config.transfer.layer_decay,
    "loss": lambda config: config.loss.name,
    "lr": lambda config: config.optim.lr,
    "magnitude": lambda config: config.augment.magnitude,
    "mix_alpha": lambda config: max(config.augment.mixup_alpha, config.augment.cutmix_alpha),
    "mixing": lambda config: MIXINGS[2 * (config.augment.cutmix_alpha > 0) + (config.augment.mixup_alpha > 0)],
    "optimizer": lambda config: config.optim.optimizer,
    "pooling": lambda config: config.model.pooling,
    "resize": lambda config: "-".join(map(str, config.resize.image_sizes)),
    "scale_augment": lambda config: config.resize.scale_augment,
    "scale_batch": lambda config: config.resize.scale_batch,
    "schedule": lambda config: config.optim.schedule,
    "trainable_blocks": lambda config: config.transfer.trainable_blocks,
    "weight_decay": lambda config: config.optim.weight_decay,
}
FROM_SCRATCH = {"alexnet", "lenet5"}  # nobody offers weights of theirs that timm could load
every_space = pytest.mark.parametrize("name", list_spaces())


def answers(name: str, n: int = 300) -> list[tuple[dict[str, Any], TrialConfig]]:
    """Parameters and configurations of n random trials."""
    space, found = load_space(name), []
    for seed in range(n):
        trial = RandomTrial(seed)
        found.append((trial.params, space(trial)))
    return found


def backbones_of(space: Space) -> list[str]:
    (dimension,) = [dimension for dimension in describe(space) if dimension.name == "backbone"]
    return dimension.domain.split(", ")


def sizes_of(space: Space, backbone: str) -> list[tuple[int, ...]]:
    """The resize schedules that the space offers for a backbone."""
    kept = narrow_space(space, fix=[f"backbone={backbone}"])
    schedules = [dimension.domain.split(", ") for dimension in describe(kept) if dimension.name == "resize"]
    if not schedules:
        return [kept(RandomTrial(0)).resize.image_sizes]
    return [tuple(int(size) for size in schedule.split("-")) for schedule in schedules[0]]


@every_space
def test_every_answer_is_a_valid_configuration_that_survives_json(name: str) -> None:
    for _, config in answers(name):
        assert TrialConfig.from_json(config.to_json()) == config


@every_space
def test_all_trials_of_a_space_have_the_same_number_of_epochs(name: str) -> None:
    assert len({config.epochs for _, config in answers(name)}) == 1


@every_space
def test_every_answer_is_in_the_configuration(name: str) -> None:
    for params, config in answers(name, 50):
        assert {key: ANSWERS[key](config) for key in params} == params


def test_between_them_the_spaces_offer_the_whole_vocabulary() -> None:
    offered: dict[str, set[str]] = {}
    for name in list_spaces():
        for dimension in describe(load_space(name)):
            offered.setdefault(dimension.name, set()).update(dimension.domain.split(", "))
    assert offered.keys() == ANSWERS.keys()
    words = {
        "attention": ATTENTIONS,
        "augment": AUGMENT_POLICIES,
        "class_sampling": CLASS_SAMPLINGS,
        "class_weights": CLASS_WEIGHTS,
        "loss": LOSSES,
        "mixing": MIXINGS,
        "optimizer": OPTIMIZERS,
        "pooling": POOLINGS,
        "schedule": SCHEDULES,
    }
    assert {name: offered[name] for name in words} == {name: set(known) for name, known in words.items()}


@every_space
def test_gamma_is_asked_for_with_focal_loss_alone(name: str) -> None:
    for params, _ in answers(name, 50):
        assert ("focal_gamma" in params) == (params["loss"] in FOCAL_LOSSES)
        assert ("focal_alpha" in params) == (params["loss"] == "focal_bce")


@every_space
def test_every_first_trial_is_answered_as_it_is_written(name: str) -> None:
    written = importlib.import_module(f"search_spaces.{name}").FIRST_TRIALS
    proposals = load_space(name).list_proposals()
    assert len(proposals) == len(written) >= 2
    for known, proposal in zip(written, proposals, strict=True):
        assert {key: proposal[key] for key in known} == known


def test_the_first_trial_of_all_is_the_common_recipe() -> None:
    first = load_space("default").list_proposals()[0]
    recipe = {"backbone": "efficientnet_b3", "optimizer": "adam", "lr": 3e-5, "batch_size": 16}
    assert {key: first[key] for key in recipe} == recipe


def test_the_default_space_has_every_family_that_was_asked_for() -> None:
    backbones = backbones_of(load_space("default"))
    for number in range(8):
        assert any(backbone.endswith(f"efficientnet_b{number}") for backbone in backbones)
    for number in (121, 161, 169, 201):
        assert f"densenet{number}" in backbones
    assert {"inception_v3", "inception_v4", "resnet50", "resnext50_32x4d", "tf_efficientnetv2_s"} <= set(backbones)


@every_space
def test_every_backbone_has_pretrained_weights_in_timm(name: str) -> None:
    trained = {known for tagged in timm.list_pretrained() for known in (tagged, tagged.partition(".")[0])}
    backbones = set(backbones_of(load_space(name))) - FROM_SCRATCH
    assert backbones <= trained
    for backbone in backbones:
        pretrained = timm.models.get_pretrained_cfg(backbone)
        assert pretrained is not None and pretrained.has_weights, backbone


def test_pretrained_networks_begin_with_the_head_that_suits_their_features() -> None:
    for name in set(list_spaces()) - {"tiny"}:
        for params, config in answers(name, 30):
            expected = "random" if params["backbone"] in FROM_SCRATCH else "probe"
            assert config.transfer.head_init == expected, name
    assert {config.transfer.head_init for _, config in answers("tiny", 30)} == {"random"}


def test_the_foundation_space_has_every_family_and_tries_different_ones_first() -> None:
    space = load_space("foundation")
    backbones = backbones_of(space)
    for word in ("vit_small_patch16_dinov3", "convnext_tiny.dinov3", "siglip_256.v2", "eva02", "convnextv2", "_clip"):
        assert any(word in backbone for backbone in backbones), word
    assert all("." in backbone for backbone in backbones)  # a name alone leaves open which weights are meant
    proposals = space.list_proposals()
    families = [derive_family(str(proposal["backbone"])) for proposal in proposals]
    assert len(set(families)) == len(families) == 5
    assert {proposal["weight_decay"] for proposal in proposals} == {0.05}
    assert max(proposal["lr"] for proposal in proposals) <= 1e-4


@pytest.mark.slow
def test_the_foundation_space_reaches_from_small_networks_to_large_ones_and_no_further() -> None:
    backbones = backbones_of(load_space("foundation"))
    n_parameters = [sum(part.numel() for part in build_skeleton(backbone).parameters()) for backbone in backbones]
    assert min(n_parameters) < 10e6
    assert max(n_parameters) < 320e6


def test_the_classic_networks_without_weights_begin_from_scratch() -> None:
    for params, config in answers("classic"):
        assert config.model.pretrained == (params["backbone"] not in FROM_SCRATCH)


@every_space
def test_a_space_imports_nothing_but_the_vocabulary(name: str) -> None:
    source = Path(search_spaces.__path__[0], f"{name}.py").read_text(encoding="utf-8")
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"__future__", "automl.config", "automl.questions", "automl.space"}
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)]


@every_space
def test_a_space_says_how_it_is_run(name: str) -> None:
    documentation = importlib.import_module(f"search_spaces.{name}").__doc__
    assert documentation is not None
    assert "automl search" in documentation
    assert name == "default" or f"--space {name}" in documentation


@every_space
def test_a_space_describes_itself_as_in_its_golden_file(name: str) -> None:
    space = load_space(name)
    lines = [f"epochs: {space(RandomTrial(0)).epochs}"]
    for dimension in describe(space):
        condition = f"  if {dimension.condition}" if dimension.condition else ""
        lines.append(f"{dimension.name}: {dimension.domain}{condition}")
    lines += [f"first trial: {proposal}" for proposal in space.list_proposals()]
    path, text = GOLDEN / f"{name}.txt", "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run with UPDATE_GOLDEN=1 if this change is meant"


@pytest.mark.parametrize("backbone", backbones_of(load_space("tiny")))
def test_a_tiny_backbone_is_small_and_takes_a_step_at_every_size_that_is_offered(backbone: str) -> None:
    space = load_space("tiny")
    config = narrow_space(space, fix=[f"backbone={backbone}"])(RandomTrial(0))
    model = build_model(ModelConfig(backbone=backbone, pretrained=False), n_classes=4, weights_dir=None)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    optimizer = build_optimizer(model, config.optim, config.transfer)
    for size in sorted({size for sizes in sizes_of(space, backbone) for size in sizes}):
        loss = build_loss(config.loss, task=Task.MULTICLASS, n_classes=4)(
            model(torch.randn(2, 3, size, size)), torch.tensor([0, 3])
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert torch.isfinite(loss)


@pytest.mark.slow
@every_space
def test_every_backbone_builds_with_its_regularisation_and_takes_every_size(name: str) -> None:
    space = load_space(name)
    for backbone in backbones_of(space):
        kept = describe(narrow_space(space, fix=[f"backbone={backbone}"]))
        asks_drop_path = any(dimension.name == "drop_path" for dimension in kept)
        config = ModelConfig(backbone=backbone, pretrained=False, drop_path=0.1 if asks_drop_path else 0.0)
        sizes = {size for schedule in sizes_of(space, backbone) for size in schedule}
        is_large = name == "foundation" and "_tiny_" not in backbone  # in shapes alone: numbers would take minutes
        with torch.device("meta" if is_large else "cpu"):
            model = build_model(config, n_classes=3, weights_dir=None)
            require_sizes_fit(model, fit_sizes(backbone, (min(sizes), max(sizes))), backbone)
