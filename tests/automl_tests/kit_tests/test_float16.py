"""Weights in float16."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from automl.errors import StorageError
from automl.kit.building import convert_to_float16


def back(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(convert_to_float16(safetensors.torch.save(tensors), "w.safetensors"))


def test_weights_become_float16_rounded_to_the_nearest() -> None:
    weight = torch.tensor([1.0, 0.1, -3.14159])
    half = back({"conv.weight": weight})["conv.weight"]
    assert half.dtype == torch.float16
    assert torch.equal(half, weight.half())


def test_batch_norm_s_statistics_and_integers_stay_as_they_are() -> None:
    tensors = {
        "bn.running_mean": torch.tensor([0.1]),
        "bn.running_var": torch.tensor([1e-9]),
        "bn.num_batches_tracked": torch.tensor(70001),
        "relative_position_index": torch.tensor([[3, 4]]),
    }
    kept = back(tensors)
    assert all(torch.equal(kept[name], tensor) and kept[name].dtype == tensor.dtype for name, tensor in tensors.items())


def test_what_float16_cannot_hold_stays_float32() -> None:
    weight = torch.tensor([1.0, 70000.0])
    assert torch.equal(back({"scale": weight})["scale"], weight)


def test_a_damaged_file_is_an_error_that_names_it() -> None:
    with pytest.raises(StorageError, match=r"w\.safetensors cannot be read"):
        convert_to_float16(b"nothing of the kind", "w.safetensors")
