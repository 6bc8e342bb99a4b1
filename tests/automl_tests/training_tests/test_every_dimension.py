"""Every field of a trial's configuration has a test of its own that shows what it changes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from automl.config import TrialConfig

HERE = Path(__file__).parent
TESTS = {
    "model.backbone": "test_the_backbone_is_the_tree_of_modules",
    "model.pretrained": "test_pretrained_weights_are_where_the_training_begins",
    "model.cut": "test_each_cut_makes_the_body_smaller_and_the_outputs_others",
    "model.attention": "test_attention_changes_the_map_before_it_is_pooled",
    "model.pooling": "test_the_pooling_changes_what_is_trained",
    "model.hidden": "test_hidden_layers_change_what_is_trained",
    "model.dropout": "test_dropout_makes_the_training_random_and_only_the_training",
    "model.drop_path": "test_stochastic_depth_is_in_the_tree_of_modules",
    "resize.image_sizes": "test_the_resize_schedule_is_the_size_of_the_images_in_each_epoch",
    "resize.scale_batch": "test_smaller_images_come_in_batches_that_take_the_same_memory",
    "resize.scale_augment": "test_smaller_images_are_varied_less",
    "resize.interpolation": "test_interpolation_and_crop_change_the_pixels_that_are_predicted",
    "resize.crop_pct": "test_interpolation_and_crop_change_the_pixels_that_are_predicted",
    "loss.name": "test_the_loss_is_the_one_that_is_named",
    "loss.focal_gamma": "test_loss_and_gamma_and_smoothing_change_the_loss_that_is_trained",
    "loss.focal_alpha": "test_the_loss_is_the_one_that_is_named",
    "loss.label_smoothing": "test_loss_and_gamma_and_smoothing_change_the_loss_that_is_trained",
    "loss.class_weights": "test_class_weights_make_rare_classes_count_more",
    "optim.optimizer": "test_every_optimizer_trains",
    "optim.lr": "test_the_learning_rate_and_its_schedule_reach_every_group",
    "optim.weight_decay": "test_weight_decay_changes_the_weights",
    "optim.schedule": "test_each_schedule_leads_the_rate_in_its_own_way",
    "optim.warmup_fraction": "test_warmup_begins_below_the_peak",
    "optim.cycles": "test_each_schedule_leads_the_rate_in_its_own_way",
    "optim.clip_norm": "test_gradients_are_clipped_to_the_norm_that_the_config_names",
    "optim.sam_rho": "test_the_radius_of_sam_changes_the_weights",
    "augment.policy": "test_the_augmentation_changes_the_pixels_that_are_trained_on",
    "augment.magnitude": "test_the_magnitude_changes_the_pixels",
    "augment.mixup_alpha": "test_mixed_images_are_made_of_two",
    "augment.cutmix_alpha": "test_mixed_images_are_made_of_two",
    "augment.mix_probability": "test_the_probability_of_mixing_leaves_batches_as_they_are",
    "augment.mix_off_fraction": "test_mixing_ends_before_the_last_epochs",
    "transfer.freeze_epochs": ("test_while_it_is_frozen_the_backbone_and_its_statistics_stay_and_then_they_move"),
    "transfer.trainable_blocks": "test_only_the_last_blocks_train_where_the_configuration_says_so",
    "transfer.layer_decay": "test_layers_far_from_the_head_learn_more_slowly",
    "transfer.head_init": "test_a_head_that_is_probed_begins_at_the_minimum_for_the_backbones_features",
    "transfer.head_lr_factor": "test_pooling_and_head_learn_at_a_rate_of_their_own",
    "transfer.freeze_norms": "test_frozen_norms_keep_their_statistics_and_learn_their_scales",
    "class_sampling": "test_balanced_sampling_shows_rare_classes_more_often",
    "batch_size": "test_the_batch_size_is_the_number_of_images_in_a_step",
    "epochs": "test_epochs_are_the_number_of_passes",
    "ema_horizon": "test_averaged_weights_are_what_is_evaluated_and_kept",
    "epoch_choice": "test_the_best_epoch_predicts_where_it_is_chosen",
    "patience": "test_training_ends_when_patience_does_and_not_before_the_last_size",
    "compile": "test_a_compiled_network_trains_as_the_plain_one",
}


def fields_of(kind: type, prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from fields_of(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            yield prefix + name


def test_the_table_names_every_field() -> None:
    assert set(TESTS) == set(fields_of(TrialConfig))


@pytest.mark.parametrize("test", sorted(set(TESTS.values())))
def test_the_test_that_the_table_names_is_there(test: str) -> None:
    sources = (path.read_text() for path in HERE.glob("test_*.py"))
    assert any(re.search(rf"^def {test}\(", source, flags=re.MULTILINE) for source in sources)
