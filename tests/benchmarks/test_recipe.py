"""The arithmetic and the rows of the recipe benchmark; the benchmark itself takes too long to be a test."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from automl.config import TrialConfig
from automl.data.competition import load_competition
from tests.automl_tests.training_tests.trial_builders import write_study
from tests.benchmarks.recipe import PLANS, SOURCE, Plan, begun, chosen, config_of, source_of, trainings_of
from tests.benchmarks.recipe_runs import Silence, Training, Workshop, first_images, keep_body, train
from tests.benchmarks.recipe_table import Result, Table, paired_differences, pooled_spread
from tests.benchmarks.techniques import AGAIN, BASELINE, SCRATCH, TECHNIQUES, TRANSFER


def differences(config: TrialConfig, baseline: TrialConfig) -> dict[str, object]:
    """What is other than in the baseline, by group and name."""
    own, base = (dataclasses.asdict(one) for one in (config, baseline))
    found: dict[str, object] = {}
    for name, value in own.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": part for key, part in value.items() if part != base[name][key]}
        elif value != base[name]:
            found[name] = value
    return found


EXPECTED = {
    "focal": {"loss.name": "focal", "loss.focal_gamma": 2.0},
    "label_smoothing": {"loss.label_smoothing": 0.1},
    "bce": {"loss.name": "bce"},
    "sgd": {"optim.optimizer": "sgd", "optim.lr": pytest.approx(0.03)},
    "sam": {"optim.optimizer": "sam", "optim.lr": pytest.approx(0.03)},
    "radam": {"optim.optimizer": "radam"},
    "nadamw": {"optim.optimizer": "nadamw"},
    "lion": {"optim.optimizer": "lion", "optim.lr": pytest.approx(0.0006)},
    "lookahead_adam": {"optim.optimizer": "lookahead_adam"},
    "ranger": {"optim.optimizer": "ranger"},
    "muon": {"optim.optimizer": "muon"},
    "no_clipping": {"optim.clip_norm": None},
    "one_cycle": {"optim.schedule": "one_cycle"},
    "cosine_restarts": {"optim.schedule": "cosine_restarts", "optim.cycles": 2},
    "step": {"optim.schedule": "step"},
    "plateau": {"optim.schedule": "plateau"},
    "constant": {"optim.schedule": "constant"},
    "augment_none": {"augment.policy": "none"},
    "augment_medium": {"augment.policy": "medium"},
    "augment_heavy": {"augment.policy": "heavy"},
    "dihedral": {"augment.policy": "dihedral"},
    "rand": {"augment.policy": "rand", "augment.magnitude": 5.0},
    "photometric": {"augment.policy": "photometric"},
    "mixup": {"augment.mixup_alpha": 0.2},
    "cutmix": {"augment.cutmix_alpha": 1.0},
    "ema_0.02": {"ema_horizon": 0.02},
    "ema_0.1": {"ema_horizon": 0.1},
    "best_epoch": {"epoch_choice": "best"},
    "resize": {"resize.image_sizes": (24, 32)},
    "resize_batch": {"resize.image_sizes": (24, 32), "resize.scale_batch": True},
    "resize_augment": {"resize.image_sizes": (24, 32), "resize.scale_augment": True},
    "gem": {"model.pooling": "gem"},
    "catavgmax": {"model.pooling": "catavgmax"},
    "attention_pooling": {"model.pooling": "attention"},
    "se": {"model.attention": "se"},
    "eca": {"model.attention": "eca"},
    "cbam": {"model.attention": "cbam"},
    "head_256": {"model.hidden": (256,)},
    "dropout": {"model.dropout": 0.2},
}


@pytest.fixture
def plan() -> Plan:
    return PLANS["cpu"]()


def test_every_technique_changes_what_its_name_says_and_nothing_else(plan: Plan) -> None:
    baseline = plan.benches[0].config
    found = {name: differences(technique.change(baseline), baseline) for name, technique in TECHNIQUES.items()}
    assert found == {BASELINE: {}, AGAIN: {}, **EXPECTED}


def test_every_way_of_transfer_changes_what_its_name_says_and_nothing_else(plan: Plan) -> None:
    baseline = plan.transfer.config
    found = {name: differences(technique.change(baseline), baseline) for name, technique in TRANSFER.items()}
    assert baseline.model.pretrained
    assert found == {
        SCRATCH: {"model.pretrained": False},
        "fine_tuned": {},
        "frozen_epoch": {"transfer.freeze_epochs": 1},
        "last_block": {"transfer.trainable_blocks": 1},
        "frozen": {"transfer.trainable_blocks": 0},
        "layer_decay": {"transfer.layer_decay": 0.75},
    }


@pytest.mark.parametrize("size", PLANS)
def test_all_trainings_of_a_table_have_the_baselines_budget(size: str) -> None:
    plan = PLANS[size]()
    trainings = [
        *trainings_of(plan.benches, TECHNIQUES, TECHNIQUES, 2, None),
        *trainings_of([plan.transfer], TRANSFER, TRANSFER, 2, Path("weights")),
    ]
    budget = [(t.config.epochs, t.config.batch_size, t.config.resize.image_sizes[-1]) for t in trainings]
    base = [t.bench.config for t in trainings]
    assert budget == [(config.epochs, config.batch_size, config.resize.image_sizes[-1]) for config in base]


def test_a_bench_begins_as_it_was_told(plan: Plan) -> None:
    for pretrained in (False, True):
        bench = begun(plan.benches[0], pretrained=pretrained)
        trainings = trainings_of([bench], TECHNIQUES, TECHNIQUES, 1, None)
        assert {training.config.model.pretrained for training in trainings} == {pretrained}
    assert not source_of(plan.source, Path("weights")).config.model.pretrained


def test_only_the_baseline_again_has_other_seeds(plan: Plan) -> None:
    trainings = trainings_of(plan.benches, TECHNIQUES, TECHNIQUES, 3, None)
    assert {t.technique for t in trainings if t.seed_offset} == {AGAIN}
    assert {t.seed for t in trainings} == {0, 1, 2}


def test_a_chosen_technique_brings_its_baseline_and_not_the_other_table() -> None:
    assert chosen(TECHNIQUES, ["sam", "focal"], BASELINE) == [BASELINE, "focal", "sam"]
    assert chosen(TRANSFER, ["sam", "focal"], SCRATCH) == []
    assert chosen(TRANSFER, None, SCRATCH) == list(TRANSFER)


def test_a_difference_is_paired_by_seed_in_whatever_order_they_ended() -> None:
    differences = paired_differences({2: 0.73, 0: 0.52, 1: 0.61, 7: 0.9}, {0: 0.50, 1: 0.60, 2: 0.70})
    assert differences == pytest.approx([0.03, 0.02, 0.01])


def test_the_spread_is_pooled_over_groups_by_their_degrees_of_freedom() -> None:
    assert pooled_spread([[1.0, 2.0, 3.0], [10.0, 14.0], [99.0]]) == pytest.approx(math.sqrt((2.0 + 8.0) / 3))
    assert math.isnan(pooled_spread([[1.0], []]))


def result(technique: str, seed: int, score: float | None, seconds: float, competition: str = "leaves") -> Result:
    return Result(competition=competition, technique=technique, seed=seed, config={}, score=score, seconds=seconds)


def table_of(*results: Result) -> Table:
    metrics = {"leaves": "accuracy", "cells": "roc_auc"}
    rows = {"base": "baseline", "sam": "SAM", "lion": "Lion", "muon": "Muon"}
    return Table(results=results, metrics=metrics, rows=rows, baseline="base")


def test_the_table_compares_seed_with_seed() -> None:
    table = table_of(
        result("sam", 1, 0.62, 20.0),
        result("base", 0, 0.50, 10.0),
        result("sam", 0, 0.51, 22.0),
        result("base", 1, 0.60, 10.0),
        result("lion", 0, 0.50, 10.0),
        result("lion", 1, 0.60, 10.0),
        result("base", 0, 0.90, 4.0, "cells"),
        result("sam", 0, 0.80, 6.0, "cells"),
    )
    spread = math.sqrt((0.00005 + 0.0) / 2)  # variance of 0.01 and 0.02, and of 0 and 0
    time = math.sqrt(statistics.median([20.0, 22.0]) / 10.0 * 6.0 / 4.0)
    assert table.spread("leaves") == pytest.approx(spread)
    assert table.clear_spreads("leaves") == pytest.approx(4.3027 / math.sqrt(2), abs=1e-4)  # t of 2 degrees of freedom
    assert str(table).splitlines() == [
        "| technique | leaves, accuracy | difference (spreads) | cells, roc_auc | difference (spreads) | time |",
        "| --- | --- | --- | --- | --- | --- |",
        "| baseline | 0.5500 ± 0.0707 |  | 0.9000 |  | 1.00 |",
        f"| SAM | 0.5650 ± 0.0778 | +0.0150 ({0.015 / spread:+.1f}) | 0.8000 | -0.1000 | {time:.2f} |",
        "| Lion | 0.5500 ± 0.0707 | equal |  |  | 1.00 |",
    ]


def test_a_diverged_training_is_shown_and_not_averaged_away() -> None:
    table = table_of(result("base", 0, 0.5, 1.0), result("lion", 0, None, 1.0), result("lion", 1, 0.9, 1.0))
    assert str(table).splitlines()[-1] == "| Lion | diverged, 1 of 2 |  |  |  | 1.00 |"


def test_what_is_on_record_is_not_trained_again(tmp_path: Path, plan: Plan) -> None:
    training = trainings_of(plan.benches, TECHNIQUES, [BASELINE], 1, None)[0]
    known = Result(competition="cifar-10", technique=BASELINE, seed=0, config=training.asked, score=0.5, seconds=1.0)
    records = tmp_path / "recipe.jsonl"
    records.write_text(json.dumps(dataclasses.asdict(known)) + "\n")
    read = Workshop(data=tmp_path, folder=tmp_path, records=records, n_processes=1, on_gpu=False).results()
    assert [training.is_answered_by(found) for found in read] == [True]
    others = [
        dataclasses.replace(training, seed=1),
        dataclasses.replace(training, technique=AGAIN),
        dataclasses.replace(training, config=dataclasses.replace(training.config, epochs=7)),
        dataclasses.replace(training, bench=dataclasses.replace(training.bench, n_folds=5)),
    ]
    assert not [other for other in others if other.is_answered_by(known)]


def test_a_source_on_record_is_trained_again_if_its_body_is_gone(tmp_path: Path, plan: Plan) -> None:
    source = source_of(plan.source, tmp_path)
    known = Result(competition="cifar-10", technique=SOURCE, seed=0, config=source.asked, score=0.5, seconds=1.0)
    assert not source.is_answered_by(known)
    (tmp_path / "test_resnet.safetensors").touch()
    assert source.is_answered_by(known)


def test_a_training_depends_on_its_config_and_seed_alone_and_leaves_nothing_behind(tmp_path: Path, plan: Plan) -> None:
    bench = dataclasses.replace(plan.benches[0], config=config_of(plan.benches[0].config.model, 32, lr=3e-3, epochs=1))
    config = dataclasses.replace(bench.config, model=dataclasses.replace(bench.config.model, pretrained=False))
    write_study(tmp_path / "shapes").root.rename(bench.study(tmp_path).root)
    bench.study(tmp_path).cache.mkdir()
    before = sorted(tmp_path.iterdir())

    def probed(technique: str, **changes: Any) -> float | None:
        training = Training(bench=bench, technique=technique, seed=0, config=config, **changes)
        return train(training, tmp_path, Silence("cpu", 1)).score

    body = tmp_path / "shapes" / "test_resnet.safetensors"
    assert probed(BASELINE) == probed(BASELINE, body_to=body)
    assert safetensors.torch.load_file(body)
    assert sorted(tmp_path.iterdir()) == before


def test_a_bench_may_use_the_first_labelled_images_only(tmp_path: Path) -> None:
    whole = load_competition(write_study(tmp_path).competition)
    part = first_images(whole, 20)
    assert (part.image_ids, part.image_paths) == (whole.image_ids[:20], whole.image_paths[:20])
    assert part.targets.tolist() == whole.targets[:20].tolist()
    assert first_images(whole, None).image_ids == whole.image_ids


def test_a_kept_body_is_a_whole_state_dict_of_timms_backbone(tmp_path: Path, plan: Plan) -> None:
    source: Training = source_of(plan.source, tmp_path / "weights")
    body = timm.create_model(source.config.model.backbone, num_classes=0).state_dict()
    network = {f"body.{name}": tensor for name, tensor in body.items()} | {"head.0.weight": torch.zeros(10, 4)}
    safetensors.torch.save_file(network, tmp_path / "fold0.safetensors")
    assert source.body_to == tmp_path / "weights" / "test_resnet.safetensors"
    keep_body(tmp_path / "fold0.safetensors", source.body_to)
    assert safetensors.torch.load_file(source.body_to).keys() == body.keys()
