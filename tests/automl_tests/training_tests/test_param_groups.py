"""How a network's layers are numbered, and what share of the learning rate each has."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import timm.optim
import torch
from torch import nn

from automl.artifacts import StudyFiles
from automl.config import (
    ModelConfig,
    OptimConfig,
    TransferConfig,
)
from automl.training.network.create import build_model
from automl.training.optim.optimizers import build_optimizer
from automl.training.optim.param_groups import build_param_groups, number_layers
from tests.automl_tests.training_tests.trial_builders import (
    assert_differ,
    config_of,
    seeded_model,
    trained,
    weights_after,
)


def network(backbone: str, **model: Any) -> nn.Module:
    return build_model(ModelConfig(backbone=backbone, pretrained=False, **model), n_classes=3, weights_dir=None)


def around(body: nn.Module) -> nn.Module:
    """A network of this body, which has no numbers in it."""
    return nn.ModuleDict({"body": body, "head": nn.Linear(1, 1)})


def skeleton(backbone: str, **arguments: Any) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(backbone, **arguments)  # type: ignore[no-any-return]


def layers_of(model: nn.Module) -> list[set[str]]:
    """For each layer of the body the modules (or parameters) directly below it, by their first parts."""
    numbers = number_layers(model)
    layers: list[set[str]] = [set() for _ in range(max(numbers.values()))]
    for name, number in numbers.items():
        if name.startswith("body."):
            layers[number].add(name.removeprefix("body."))
        else:
            assert number == len(layers)
    assert all(layers)
    return layers


def beginnings(names: set[str], known: tuple[str, ...]) -> set[str]:
    """Which of the known beginnings the names have; each name has one."""
    found = [next((start for start in known if name.startswith(start)), name) for name in names]
    return set(found)


FAMILIES = [  # backbone, number of blocks, stem, first block, last block with what follows it
    ("resnet50", 16, ("conv1.", "bn1."), ("layer1.0.",), ("layer4.2.",)),
    ("resnext50_32x4d", 16, ("conv1.", "bn1."), ("layer1.0.",), ("layer4.2.",)),
    ("densenet121", 58, ("features.conv0.", "features.norm0."), ("features.denseblock1.denselayer1.",),
     ("features.denseblock4.denselayer16.", "features.norm5.")),
    ("efficientnet_b0", 16, ("conv_stem.", "bn1."), ("blocks.0.0.",), ("blocks.6.0.", "conv_head.", "bn2.")),
    ("tf_efficientnetv2_b0", 21, ("conv_stem.", "bn1."), ("blocks.0.0.",), ("blocks.5.7.", "conv_head.", "bn2.")),
    ("mobilenetv3_small_050", 12, ("conv_stem.", "bn1."), ("blocks.0.0.",), ("blocks.5.0.", "conv_head.")),
    ("inception_v3", 12, ("Conv2d_1a", "Conv2d_2a", "Conv2d_2b"), ("Conv2d_3b", "Conv2d_4a"), ("Mixed_7c.",)),
    ("inception_v4", 19, ("features.0.", "features.1.", "features.2."), ("features.3.",), ("features.21.",)),
    ("vgg11", 7, ("features.0.",), ("features.3.",), ("features.18.", "pre_logits.")),
    ("vgg11_bn", 7, ("features.0.", "features.1."), ("features.4.", "features.5."),
     ("features.25.", "features.26.", "pre_logits.")),
    ("convnext_atto", 12, ("stem.",), ("stages.0.blocks.0.",), ("stages.3.blocks.1.", "head.norm.")),
    ("vit_tiny_patch16_224", 12, ("patch_embed.", "pos_embed", "cls_token"), ("blocks.0.",), ("blocks.11.", "norm.")),
    ("eva02_tiny_patch14_224", 12, ("patch_embed.", "pos_embed", "cls_token"), ("blocks.0.",),
     ("blocks.11.", "fc_norm.")),
    ("swin_tiny_patch4_window7_224", 12, ("patch_embed.",), ("layers.0.blocks.0.",), ("layers.3.blocks.1.", "norm.")),
    ("test_byobnet", 4, ("stem.",), ("stages.0.0.",), ("stages.3.0.",)),
    ("test_nfnet", 4, ("stem.",), ("stages.0.0.",), ("stages.3.0.", "final_conv.")),
    ("caformer_s18", 18, ("stem.",), ("stages.0.blocks.0.",), ("stages.3.blocks.2.", "head.norm.")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("backbone", "n_blocks", "stem", "first", "last"), FAMILIES, ids=[family[0] for family in FAMILIES]
)
def test_blocks_are_those_of_the_family_and_the_last_has_what_follows_it(
    backbone: str, n_blocks: int, stem: tuple[str, ...], first: tuple[str, ...], last: tuple[str, ...]
) -> None:
    layers = layers_of(around(skeleton(backbone, num_classes=0)))
    assert len(layers) - 1 == n_blocks
    assert beginnings(layers[0], stem) == set(stem)
    assert beginnings(layers[1], first) == set(first)
    assert beginnings(layers[-1], last) == set(last)


CUT = [  # backbone, number of blocks up to the third stage of timm's feature extraction, stem, last block
    ("resnet50", 7, ("conv1.", "bn1."), ("layer2.3.",)),
    ("densenet121", 19, ("features_conv0.", "features_norm0."), ("features_denseblock2.denselayer12.",)),
    ("convnext_atto", 10, ("stem_0.", "stem_1."), ("stages_2.blocks.5.",)),
    ("swin_tiny_patch4_window7_224", 10, ("patch_embed.",), ("layers_2.blocks.5.",)),
    ("caformer_s18", 15, ("stem.",), ("stages_2.blocks.8.",)),
    ("vgg11_bn", 3, ("features_0.", "features_1."), ("features_11.", "features_12.")),
    ("vit_tiny_patch16_224", 3, ("model.patch_embed.", "model.pos_embed", "model.cls_token"), ("model.blocks.2.",)),
    ("test_byobnet", 2, ("stem.",), ("stages_1.0.",)),
    ("test_nfnet", 1, ("stem_",), ("stages_0.0.",)),
]


@pytest.mark.parametrize(("backbone", "n_blocks", "stem", "last"), CUT, ids=[family[0] for family in CUT])
def test_bodies_cut_by_feature_extraction_have_blocks_too(
    backbone: str, n_blocks: int, stem: tuple[str, ...], last: tuple[str, ...]
) -> None:
    tap = 1 if backbone == "test_nfnet" else 2
    layers = layers_of(around(skeleton(backbone, features_only=True, out_indices=[tap], pretrained=False)))
    assert len(layers) - 1 == n_blocks
    assert beginnings(layers[0], stem) == set(stem)
    assert beginnings(layers[-1], last) == set(last)


def test_a_cut_network_has_the_blocks_that_are_left() -> None:
    whole = layers_of(network("test_convnext", pooling="avg"))
    cut = layers_of(network("test_convnext", pooling="avg", cut=1))
    assert cut == whole[: len(cut)]
    assert len(whole) - len(cut) == 2  # blocks of the last stage


def test_what_surrounds_the_blocks_of_a_stage_belongs_to_the_nearest() -> None:
    stage = nn.Module()
    stage.enter = nn.Linear(2, 2)
    stage.blocks = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2)))
    stage.leave = nn.Linear(2, 2)
    body = nn.Sequential(nn.Linear(2, 2), stage)
    first, second = layers_of(around(body))[1:]
    assert {name.rpartition(".")[0] for name in first} == {"1.enter", "1.blocks.0.0"}
    assert {name.rpartition(".")[0] for name in second} == {"1.blocks.1.0", "1.leave"}


def names_in_groups(model: nn.Module, groups: list[dict[str, Any]]) -> list[tuple[list[str], float, float]]:
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [([name_of[id(p)] for p in group["params"]], group["weight_decay"], group["lr_scale"]) for group in groups]


def test_without_layer_decay_there_are_timms_two_groups_at_full_rate() -> None:
    model = network("test_vit")
    kept = {"body.pos_embed", "body.cls_token"}
    groups = names_in_groups(model, build_param_groups(model, weight_decay=0.05, layer_decay=1.0))
    small = [n for n, p in model.named_parameters() if p.ndim <= 1 or n in kept or n.endswith(".bias")]
    large = [n for n, _ in model.named_parameters() if n not in small]
    assert groups == [(small, 0.0, 1.0), (large, 0.05, 1.0)]
    everything = [n for n, _ in model.named_parameters()]
    undecayed = names_in_groups(model, build_param_groups(model, weight_decay=0.0, layer_decay=1.0))
    assert undecayed == [(everything, 0.0, 1.0)]


@pytest.mark.parametrize(
    "backbone", ["test_vit", "test_resnet", "test_efficientnet", "test_byobnet", "test_convnext", "test_nfnet"]
)
def test_shares_and_decay_are_those_of_timm(backbone: str) -> None:
    reference = timm.create_model(backbone, num_classes=3)
    kept = reference.no_weight_decay() if hasattr(reference, "no_weight_decay") else ()
    by_timm = timm.optim.param_groups_layer_decay(
        reference, weight_decay=0.05, no_weight_decay_list=kept, layer_decay=0.7
    )
    expected = {
        name: (group["weight_decay"], group["lr_scale"])
        for group in by_timm
        for name, parameter in reference.named_parameters()
        if any(parameter is member for member in group["params"])
    }
    model = network(backbone)
    found = {
        name.removeprefix("body."): (decay, share)
        for names, decay, share in names_in_groups(model, build_param_groups(model, weight_decay=0.05, layer_decay=0.7))
        for name in names
    }
    assert found.pop("head.fc.weight") == (0.05, 1.0)
    assert found.pop("head.fc.bias") == (0.0, 1.0)
    if backbone == "test_convnext":  # timm gives the norm behind the last block to the head
        assert found.pop("head.norm.weight") == found.pop("head.norm.bias") == (0.0, 0.7)
    assert found == {name: (decay, pytest.approx(expected[name][1])) for name, (decay, _) in found.items()}
    assert all(found[name][0] == expected[name][0] for name in found)
    assert min(share for _, share in found.values()) < 0.7**3


def test_neck_and_hidden_layers_learn_at_full_rate() -> None:
    model = network("test_resnet", attention="se", pooling="gem", hidden=(8,))
    for names, _, share in names_in_groups(model, build_param_groups(model, weight_decay=0.1, layer_decay=0.5)):
        assert len({name.startswith("body.") for name in names}) == 1
        assert names[0].startswith("body.") != (share == 1.0)


def test_each_trainable_parameter_is_in_one_group_and_others_in_none() -> None:
    model = network("test_resnet")
    fixed = model.get_parameter("body.layer2.0.conv1.weight")
    fixed.requires_grad_(False)
    for layer_decay in (1.0, 0.5):
        groups = build_param_groups(model, weight_decay=0.1, layer_decay=layer_decay)
        members = [id(parameter) for group in groups for parameter in group["params"]]
        assert len(members) == len(set(members))
        assert set(members) == {id(p) for p in model.parameters() if p is not fixed}


def test_a_stem_of_several_modules_is_one_layer() -> None:
    def block() -> nn.Module:
        return nn.Sequential(nn.Sequential(nn.Linear(2, 2)))

    body = nn.ModuleDict({"stem": nn.Sequential(block(), block()), "stages": nn.Sequential(block(), block())})
    stem, *blocks = layers_of(around(body))
    assert {name.split(".")[0] for name in stem} == {"stem"}
    assert [{name.split(".")[0] for name in names} for names in blocks] == [{"stages"}, {"stages"}]


def test_layers_far_from_the_head_learn_more_slowly(shapes: StudyFiles) -> None:
    config = config_of(transfer=TransferConfig(layer_decay=0.5), epochs=1)
    rates = {group["lr"] for group in trained(shapes, config).optimizer.param_groups}
    assert len(rates) > 3
    assert max(rates) / min(rates) == pytest.approx(2.0 ** (len(rates) - 1))


def test_weight_decay_acts_on_matrices_and_filters_alone() -> None:
    model = seeded_model(config_of())
    optimizer = build_optimizer(model, OptimConfig(weight_decay=0.3), TransferConfig())
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {decay[id(p)] for p in model.parameters() if p.ndim > 1} == {0.3}
    assert {decay[id(p)] for p in model.parameters() if p.ndim <= 1} == {0.0}
    assert len(decay) == len(list(model.parameters()))


def test_weight_decay_changes_the_weights(shapes: StudyFiles) -> None:
    light, heavy = (OptimConfig(lr=1e-2, weight_decay=decay) for decay in (0.0, 1.0))
    assert_differ(
        weights_after(shapes, config_of(optim=light, epochs=1)), weights_after(shapes, config_of(optim=heavy, epochs=1))
    )


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_pooling_and_head_learn_at_a_rate_of_their_own(layer_decay: float) -> None:
    model = network("test_resnet", attention="se", pooling="gem", hidden=(8,))
    arguments = {"weight_decay": 0.1, "layer_decay": layer_decay}
    plain = names_in_groups(model, build_param_groups(model, **arguments))
    scaled = names_in_groups(model, build_param_groups(model, **arguments, head_lr_factor=10.0))

    def by_name(groups: list[tuple[list[str], float, float]]) -> dict[str, tuple[float, float]]:
        return {name: (decay, lr_scale) for names, decay, lr_scale in groups for name in names}

    expected = {
        name: (decay, lr_scale if name.startswith("body.") else 10.0)
        for name, (decay, lr_scale) in by_name(plain).items()
    }
    assert by_name(scaled) == expected
    assert names_in_groups(model, build_param_groups(model, **arguments, head_lr_factor=1.0)) == plain


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "ranger", "sam"])
def test_every_optimizer_knows_the_rate_of_the_head(optimizer: str, shapes: StudyFiles) -> None:
    config = config_of(
        optim=OptimConfig(optimizer=optimizer, lr=1e-3),
        transfer=TransferConfig(head_lr_factor=4.0),
        epochs=1,
        ema_horizon=0.1,
    )
    state = trained(shapes, config)
    head = {id(parameter) for parameter in state.model.get_submodule("head").parameters()}
    rates: dict[bool, set[float]] = {True: set(), False: set()}
    for group in state.optimizer.param_groups:
        for parameter in group["params"]:
            rates[id(parameter) in head].add(group["lr"])
    assert sorted(4.0 * rate for rate in rates[False]) == pytest.approx(sorted(rates[True]))
