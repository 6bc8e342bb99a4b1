"""Backbones that no trial has changed: written once, named by what they hold, found from every place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from automl.artifacts import StudyFiles, TrialFiles, read_arrays
from automl.config import TransferConfig
from automl.data.competition import load_competition
from automl.errors import StorageError
from automl.training.checkpoints import read_checkpoint, serialize_model
from automl.training.entry_points import run_trial
from automl.training.fold import prepare_fold
from automl.training.fold_outputs import save_weights
from automl.training.network.create import build_model, load_trained, move_to_device
from automl.training.network.network import Network
from automl.training.network.shared_backbone import (
    compute_backbone_digest,
    find_backbone,
    get_carried_path,
    is_network_whole,
    read_backbone_digest,
    read_weights,
    write_backbone,
)
from automl.training.refit_fold import has_weights
from automl.training.seeding import seed_everything
from automl.training.trial_context import TrialContext
from automl.training.trial_job import TrialJob
from runners.base import JobStopped
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    contents,
    payload_of,
    write_study,
)

FROZEN = config_of(transfer=TransferConfig(trainable_blocks=0), epochs=3, ema_horizon=0.2, epoch_choice="best")
THAWED = config_of(transfer=TransferConfig(freeze_epochs=2), epochs=3, ema_horizon=0.2, epoch_choice="best")


def network(seed: int = 0, **model: Any) -> Network:
    seed_everything(seed)
    return build_model(config_of(**model).model, n_classes=3, weights_dir=None)


def names_in(path: Path) -> set[str]:
    return {name.split(".")[0] for name in load_file(path)}


def saved(folder: Path, model: Network) -> Path:
    """Weights without their backbone in a trial's refit folder, the deepest there is."""
    path = StudyFiles(folder).get_trial_files(17).get_refit_files("refit").get_weights_path(0)
    save_weights(path, model, classes="c", backbones=StudyFiles(folder).backbones)
    return path


def test_a_digest_is_that_of_the_backbone_alone() -> None:
    one, digest = network(), compute_backbone_digest(network())
    assert len(digest) == 16
    with torch.no_grad():
        one.head.get_parameter("fc.weight").add_(1)
    assert compute_backbone_digest(one) == digest
    assert compute_backbone_digest(move_to_device(one, "cpu").to(memory_format=torch.channels_last)) == digest
    assert compute_backbone_digest(network(seed=1)) != digest


@pytest.mark.parametrize("part", ["weight", "statistic", "counter"])
def test_every_number_of_a_backbone_has_a_say_in_its_digest(part: str) -> None:
    model = network()
    digest = compute_backbone_digest(model)
    norm = model.get_submodule("body.bn1")
    tensors = {"weight": norm.weight, "statistic": norm.running_var, "counter": norm.num_batches_tracked}
    with torch.no_grad():
        tensors[part].view(-1)[-1].add_(1)
    assert compute_backbone_digest(model) != digest


def test_a_backbone_is_written_once(tmp_path: Path) -> None:
    digest = write_backbone(tmp_path, network())
    (path,) = tmp_path.iterdir()
    assert path.name == f"{digest}.safetensors"
    written = path.stat().st_mtime_ns
    assert write_backbone(tmp_path, network()) == digest
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:-9])
    write_backbone(tmp_path, network())
    assert is_network_whole(path)
    assert write_backbone(tmp_path, network(seed=1)) != digest
    assert len(list(tmp_path.iterdir())) == 2


def test_weights_without_a_backbone_come_back_whole(tmp_path: Path) -> None:
    model = network()
    path = saved(tmp_path, model)
    assert names_in(path) == {"head"}
    assert read_backbone_digest(path) == compute_backbone_digest(model)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"classes": "c", "backbone": compute_backbone_digest(model)}
    found = read_weights(path)
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in found.items())


def test_weights_with_their_backbone_are_read_as_ever(tmp_path: Path) -> None:
    model = network()
    (tmp_path / "fold0.safetensors").write_bytes(serialize_model(model, {"classes": "c"}))
    assert read_backbone_digest(tmp_path / "fold0.safetensors") is None
    assert read_weights(tmp_path / "fold0.safetensors").keys() == model.state_dict().keys()
    assert is_network_whole(tmp_path / "fold0.safetensors")


def test_a_backbone_is_found_beside_the_weights_in_whatever_precision(tmp_path: Path) -> None:
    path, model = saved(tmp_path / "study", network()), network()
    digest = compute_backbone_digest(model)
    kit = tmp_path / "kit" / "weights"
    kit.mkdir(parents=True)
    shutil.copy(path, kit / "3-fold0.safetensors")
    with pytest.raises(StorageError, match=rf"weights are missing: backbones/{digest}\.safetensors"):
        find_backbone(kit / "3-fold0.safetensors", digest)
    halves = {name: tensor.half() for name, tensor in load_file(find_backbone(path, digest)).items()}
    save_file(halves, get_carried_path(kit, digest))
    found = read_weights(kit / "3-fold0.safetensors")
    assert found["body.conv1.0.weight"].dtype == torch.float16
    assert found.keys() == model.state_dict().keys()


def test_a_relative_path_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, network())
    monkeypatch.chdir(path.parent)
    assert read_weights(Path(path.name)).keys() == network().state_dict().keys()


@pytest.mark.parametrize("damage", ["gone", "cut", "folder gone"])
def test_a_backbone_that_is_gone_or_damaged_is_named(tmp_path: Path, damage: str) -> None:
    path = saved(tmp_path, network())
    files = TrialFiles(path.parent)
    backbone = find_backbone(path, compute_backbone_digest(network()))
    assert has_weights(files, 0)
    if damage == "cut":
        backbone.write_bytes(backbone.read_bytes()[:-9])
    elif damage == "gone":
        backbone.unlink()
    else:
        shutil.rmtree(backbone.parent)
    with pytest.raises(StorageError, match=backbone.name) as caught:
        read_weights(path)
    assert caught.value.hint == "make them again with automl refit, or leave this trial out"
    assert not has_weights(files, 0)


# ---- Trials ---------------------------------------------------------------------------------------------------------


def trained(root: Path, config: Any = FROZEN, **changes: Any) -> StudyFiles:
    study = write_study(root)
    assert run_trial(payload_of(study, config, **changes), ScriptedContext())["outcome"] == "completed"
    return study


@contextmanager
def stopped_after(study: StudyFiles, config: Any, step: int) -> Iterator[TrialFiles]:
    with pytest.raises(JobStopped):
        run_trial(payload_of(study, config), ScriptedContext(stop_at_step=step))
    yield study.get_trial_files(0)


@pytest.mark.slow
def test_a_trial_whose_backbone_is_frozen_writes_it_once_for_all_folds_and_stages(tmp_path: Path) -> None:
    config = config_of(transfer=TransferConfig(trainable_blocks=0), epochs=2, sizes="24-32")
    study = trained(tmp_path, config)
    files, (backbone,) = study.get_trial_files(0), study.backbones.iterdir()
    for path in (files.get_weights_path(0), files.get_stage_weights_path(0, 0)):
        assert names_in(path) == {"head"}
        assert path.stat().st_size < backbone.stat().st_size / 100
        assert read_backbone_digest(path) == backbone.stem
    competition = load_competition(study.competition)
    model = load_trained(config, files.get_weights_path(0), competition=competition, device="cpu")
    assert compute_backbone_digest(model) == backbone.stem


@pytest.mark.slow
def test_weights_of_a_backbone_that_was_frozen_at_first_hold_it(tmp_path: Path) -> None:
    study = trained(tmp_path, THAWED)
    assert names_in(study.get_trial_files(0).get_weights_path(0)) == {"body", "head"}
    assert not study.backbones.exists()


@pytest.mark.slow
def test_epochs_that_never_come_leave_the_backbone_as_it_was(tmp_path: Path) -> None:
    study = trained(tmp_path, config_of(transfer=TransferConfig(freeze_epochs=2), epochs=3, patience=1))
    assert names_in(study.get_trial_files(0).get_weights_path(0)) == {"head"}


@pytest.mark.slow
@pytest.mark.parametrize("config", [FROZEN, THAWED], ids=["frozen", "thawed"])
@pytest.mark.parametrize("step", [0, 1])
def test_a_checkpoint_of_a_frozen_backbone_is_small_and_goes_on_bit_for_bit(
    config: Any, step: int, tmp_path: Path
) -> None:
    whole, cut = trained(tmp_path / "whole", config), write_study(tmp_path / "cut")
    with stopped_after(cut, config, step) as files:
        document, tensors = read_checkpoint(files, 0) or ({}, b"")
        assert document["backbone"] is not None
        assert b"body." not in json.dumps(document).encode() + tensors
        assert files.get_checkpoint_path(0).stat().st_size < 30_000
    run_trial(payload_of(cut, config), ScriptedContext())
    assert contents(files) == contents(whole.get_trial_files(0))


@pytest.mark.slow
def test_a_checkpoint_after_the_frozen_epochs_is_whole(tmp_path: Path) -> None:
    config = config_of(transfer=TransferConfig(freeze_epochs=1), epochs=3, epoch_choice="best")
    whole, cut = trained(tmp_path / "whole", config), write_study(tmp_path / "cut")
    with stopped_after(cut, config, 1) as files:
        document, _ = read_checkpoint(files, 0) or ({}, b"")
        assert document["backbone"] is None
        assert "model.body.conv1.0.weight" in json.dumps(document)
    run_trial(payload_of(cut, config), ScriptedContext())
    assert contents(files) == contents(whole.get_trial_files(0))


@pytest.mark.slow
def test_the_best_weights_of_a_frozen_epoch_do_not_follow_a_backbone_that_trains_on(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    with stopped_after(study, THAWED, 1):
        trial = TrialContext.open_job(TrialJob.from_json(payload_of(study, THAWED)), ScriptedContext())
        _, state = prepare_fold(trial, 0)
    assert state.best is not None
    before = state.best["body.conv1.0.weight"].clone()
    with torch.no_grad():
        state.model.get_parameter("body.conv1.0.weight").add_(1)
    assert torch.equal(state.best["body.conv1.0.weight"], before)
    assert state.ema is not None
    assert torch.equal(state.ema.model.state_dict()["body.conv1.0.weight"], before)


@pytest.mark.slow
def test_a_checkpoint_of_another_backbone_is_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    with stopped_after(study, FROZEN, 0) as files:
        answer = run_trial(payload_of(study, FROZEN, seed=6), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", StorageError.exit_code)
    assert f"{files.get_checkpoint_path(0)} was trained on other weights of the frozen backbone" in answer["problem"]


@pytest.mark.slow
def test_a_checkpoint_of_an_earlier_version_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = trained(tmp_path / "whole"), write_study(tmp_path / "cut")
    with monkeypatch.context() as earlier:
        earlier.setattr("automl.training.fold.compute_backbone_digest", lambda model: None)
        with stopped_after(cut, FROZEN, 1) as files:
            assert "body.conv1.0.weight" in json.dumps((read_checkpoint(files, 0) or ({}, b""))[0])
    run_trial(payload_of(cut, FROZEN), ScriptedContext())
    assert names_in(files.get_weights_path(0)) == {"body", "head"}
    for name in ("oof", "test"):
        found, expected = (read_arrays(getattr(own, name))["probs"] for own in (files, whole.get_trial_files(0)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_trial_begins_with_the_weights_of_one_whose_backbone_is_shared(tmp_path: Path) -> None:
    study = trained(tmp_path)
    source = study.get_trial_files(0)
    job = TrialJob.from_json(payload_of(study, THAWED, trial=1, init_from=str(source.root)))
    _, state = prepare_fold(TrialContext.open_job(job, ScriptedContext()), 0)
    expected = read_weights(source.get_weights_path(0))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.model.state_dict().items())


@pytest.mark.slow
def test_a_trial_whose_backbone_was_deleted_is_trained_again(tmp_path: Path) -> None:
    study = trained(tmp_path)
    before = contents(study.get_trial_files(0))
    (backbone,) = study.backbones.iterdir()
    backbone.unlink()
    run_trial(payload_of(study, FROZEN), ScriptedContext())
    assert backbone.exists()
    assert contents(study.get_trial_files(0)) == before
