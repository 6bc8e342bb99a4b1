"""Parameters that several spaces share: each first answer leaves its trick off."""

from __future__ import annotations

from automl.questions import ask_augment, ask_ema, ask_head, ask_loss, ask_optim, ask_resize, ask_transfer
from automl.suggest import Replay


def test_the_first_answers_leave_the_tricks_off() -> None:
    trial = Replay({})
    resize = ask_resize(trial, ["32", "16-32"], scaled=True)
    model = ask_head(trial, "resnet18", poolings=["own", "gem"], attentions=["none", "se"], cuts=[0, 1], drop_path=0.3)
    loss = ask_loss(trial, ["cross_entropy", "focal"], class_weights=["none", "balanced"], smoothing=0.2)
    augment = ask_augment(trial, ["none", "rand"])
    transfer = ask_transfer(trial, freeze_epochs=3, trainable_blocks=[None, 2], layer_decays=[1.0, 0.75])
    assert (resize.image_sizes, resize.scale_batch, resize.scale_augment) == ((32,), False, False)
    assert (model.pooling, model.attention, model.cut, model.hidden) == ("own", "none", 0, ())
    assert (model.dropout, model.drop_path) == (0.0, 0.0)
    assert (loss.name, loss.focal_gamma, loss.label_smoothing, loss.class_weights) == (
        "cross_entropy",
        None,
        0.0,
        "none",
    )
    assert (augment.policy, augment.magnitude, augment.mixup_alpha, augment.cutmix_alpha) == ("none", None, 0.0, 0.0)
    assert (transfer.freeze_epochs, transfer.trainable_blocks, transfer.layer_decay) == (0, None, 1.0)
    assert (transfer.head_init, transfer.head_lr_factor) == ("random", 1.0)
    assert ask_ema(trial) == 0.0
    never = {
        "head_lr_factor",
        "scale_batch",
        "attention",
        "cut",
        "focal_gamma",
        "focal_alpha",
        "magnitude",
        "mix_alpha",
    }
    assert not never & set(trial.params)


def test_a_schedule_of_several_sizes_suggests_how_its_stages_are_scaled() -> None:
    trial = Replay({"resize": "16-32", "scale_batch": True})
    resize = ask_resize(trial, ["32", "16-32"], scaled=True)
    assert (resize.image_sizes, resize.scale_batch, resize.scale_augment) == ((16, 32), True, False)
    assert "scale_batch" not in _list_parameters(lambda own: ask_resize(own, ["16-32"]))


def test_attention_and_cut_are_suggested_where_the_pooling_is_not_the_backbones_own() -> None:
    trial = Replay({"pooling": "gem", "attention": "se", "cut": 1, "head": "512-256", "dropout": 0.25})
    model = ask_head(
        trial, "resnet18", poolings=["own", "gem"], attentions=["none", "se"], cuts=[0, 1], pretrained=False
    )
    assert (model.pooling, model.attention, model.cut, model.hidden) == ("gem", "se", 1, (512, 256))
    assert (model.dropout, model.drop_path, model.pretrained) == (0.25, 0.0, False)
    assert "drop_path" not in trial.params


def test_a_focal_loss_suggests_its_gamma_and_that_of_labels_its_alpha() -> None:
    focal = ask_loss(Replay({"loss": "focal", "focal_gamma": 2.0}), ["cross_entropy", "focal"])
    assert (focal.focal_gamma, focal.focal_alpha) == (2.0, None)
    of_labels = ask_loss(Replay({"loss": "focal_bce", "focal_alpha": 0.4}), ["bce", "focal_bce"])
    assert (of_labels.focal_gamma, of_labels.focal_alpha) == (0.5, 0.4)


def test_what_has_one_choice_is_not_suggested_and_restarts_have_cycles() -> None:
    ranges = {"lr": (1e-4, 1e-2), "weight_decay": (1e-5, 1e-1)}
    assert _list_parameters(lambda own: ask_optim(own, ["adamw"], **ranges)) == {"optimizer", "lr", "weight_decay"}
    trial = Replay({"schedule": "cosine_restarts", "cycles": 3, "clip_norm": None})
    optim = ask_optim(trial, ["adamw"], **ranges, schedules=["cosine", "cosine_restarts"], clip_norms=[1.0, None])
    assert (optim.schedule, optim.cycles, optim.clip_norm) == ("cosine_restarts", 3, None)


def test_one_strength_serves_both_ways_of_mixing() -> None:
    both = ask_augment(Replay({"augment": "rand", "mixing": "both", "mix_alpha": 0.4}), ["none", "rand"])
    assert (both.policy, both.magnitude, both.mixup_alpha, both.cutmix_alpha) == ("rand", 1.0, 0.4, 0.4)
    cutmix = ask_augment(Replay({"mixing": "cutmix", "mix_alpha": 0.4}), ["none"])
    assert (cutmix.mixup_alpha, cutmix.cutmix_alpha) == (0.0, 0.4)
    assert _list_parameters(lambda own: ask_augment(own, ["none"], mixes=False)) == {"augment"}


def _list_parameters(ask: object) -> set[str]:
    """The parameters that it suggests."""
    trial = Replay({})
    ask(trial)  # type: ignore[operator]
    return set(trial.params)


def test_the_rate_of_the_head_is_asked_where_there_is_a_choice_and_its_beginning_never() -> None:
    trial = Replay({"head_lr_factor": 10.0})
    transfer = ask_transfer(trial, freeze_epochs=0, head_init="probe", head_lr_factors=[3.0, 10.0])
    assert (transfer.head_init, transfer.head_lr_factor) == ("probe", 10.0)
    assert "head_init" not in trial.params
    alone = Replay({})
    assert ask_transfer(alone, freeze_epochs=0, head_lr_factors=[3.0]).head_lr_factor == 3.0
    assert "head_lr_factor" not in alone.params
