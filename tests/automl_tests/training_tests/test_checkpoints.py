"""Training states as JSON and safetensors, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from automl.artifacts import StudyFiles, TrialFiles, delete_checkpoints
from automl.config import OPTIMIZERS, OptimConfig
from automl.errors import StorageError
from automl.training.checkpoints import (
    EpochRecord,
    flatten,
    read_checkpoint,
    restore_state,
    save_state,
    serialize_model,
    unflatten,
    write_checkpoint,
)
from tests.automl_tests.training_tests.trial_builders import PlainNet, config_of, seeded_model, state_of, trained

RECORD = EpochRecord(epoch=0, image_size=32, lr=0.1, train_loss=1.5, score=0.5, seconds=2.0, images_per_s=30.0)


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    return StudyFiles(tmp_path).get_trial_files(17)


def test_nested_values_come_back_as_they_were() -> None:
    value = {0: {"step": torch.tensor(3.0), "on": None}, "groups": [{"betas": (0.9, 0.999), "lr": 1e-3, "flag": True}]}
    tensors: dict[str, Tensor] = {}
    document = json.loads(json.dumps(flatten(value, "optimizer", tensors)))
    assert unflatten(document, tensors) == value


def test_a_value_that_is_no_plain_data_is_refused() -> None:
    with pytest.raises(TypeError, match=r"optimizer\.extra is a PosixPath"):
        flatten({"extra": Path()}, "optimizer", {})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_of_every_optimizer_comes_back_bit_for_bit(name: str, shapes: StudyFiles, tmp_path: Path) -> None:
    config = config_of(optim=OptimConfig(optimizer=name, lr=1e-3, weight_decay=0.1), epochs=1, batch_size=24)
    files = StudyFiles(tmp_path).get_trial_files(0)
    state = trained(shapes, config, PlainNet())
    state.micro_batch = 6
    save_state(files, 0, state)
    fresh = state_of(PlainNet(), config)
    restore_state(files, 0, fresh)
    assert fresh.micro_batch == 6
    assert fresh.history == state.history
    _assert_equal(fresh.model.state_dict(), state.model.state_dict())
    _assert_equal(fresh.optimizer.state_dict(), state.optimizer.state_dict())


def test_without_a_checkpoint_the_state_stays_as_it_is(tmp_path: Path) -> None:
    config = config_of()
    state = state_of(seeded_model(config), config)
    restore_state(StudyFiles(tmp_path).get_trial_files(0), 0, state)
    assert state.history == []
    _assert_equal(state.model.state_dict(), seeded_model(config).state_dict())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    files, config = StudyFiles(tmp_path).get_trial_files(0), config_of()
    save_state(files, 0, state_of(PlainNet(), config))
    with pytest.raises(StorageError, match="does not belong to this trial"):
        restore_state(files, 0, state_of(PlainNet(n_classes=7), config))


def test_a_checkpoint_holds_the_history_in_plain_json(tmp_path: Path) -> None:
    files, config = StudyFiles(tmp_path).get_trial_files(0), config_of()
    state = state_of(PlainNet(), config)
    state.history.append(RECORD)
    save_state(files, 0, state)
    checkpoint = read_checkpoint(files, 0)
    assert checkpoint is not None
    assert checkpoint[0]["history"][0]["score"] == 0.5


def test_a_checkpoint_comes_back_with_its_state(files: TrialFiles) -> None:
    assert read_checkpoint(files, 0) is None
    write_checkpoint(files, 0, {"epoch": 3, "history": [0.1, 0.2]}, b"tensors")
    assert read_checkpoint(files, 0) == ({"epoch": 3, "history": [0.1, 0.2]}, b"tensors")
    assert read_checkpoint(files, 1) is None
    delete_checkpoints(files, 0)
    assert read_checkpoint(files, 0) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(files: TrialFiles, damage: str) -> None:
    write_checkpoint(files, 0, {"epoch": 1}, b"first" * 100)
    write_checkpoint(files, 0, {"epoch": 2}, b"second" * 100)
    path = files.get_checkpoint_path(0)
    content = bytearray(path.read_bytes())
    flipped = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    path.write_bytes({"cut": content[:-50], "flip": flipped, "empty": b"", "foreign": b"\x80\x04."}[damage])
    assert read_checkpoint(files, 0) == ({"epoch": 1}, b"first" * 100)


def test_a_kill_between_the_two_renames_leaves_the_checkpoint_before(files: TrialFiles) -> None:
    write_checkpoint(files, 0, {"epoch": 1}, b"x")
    files.get_checkpoint_path(0).rename(files.get_previous_checkpoint_path(0))
    assert read_checkpoint(files, 0) == ({"epoch": 1}, b"x")


def _assert_equal(one: object, other: object) -> None:
    """Equal in structure, and in every bit of every tensor."""
    if isinstance(one, Tensor):
        assert isinstance(other, Tensor)
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            _assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert isinstance(other, type(one))
        for left, right in zip(one, other, strict=True):
            _assert_equal(left, right)
    else:
        assert one == other


def test_the_same_weights_and_metadata_are_the_same_bytes() -> None:
    metadata = {name: "x" * length for length, name in enumerate(("classes", "backbone", "other", "last"))}
    contents = {serialize_model(PlainNet(), metadata)[:200] for _ in range(20)}
    assert len(contents) == 1
    model = PlainNet()
    content = serialize_model(model, metadata)
    assert safetensors.torch.load(content).keys() == model.state_dict().keys()
    assert torch.equal(safetensors.torch.load(content)["head.weight"], model.head.weight)
