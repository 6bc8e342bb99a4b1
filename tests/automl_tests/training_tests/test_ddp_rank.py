"""Two ranks that share batches compute the gradients, weights and dead ends of one process, and never wait in vain.

The devices are two CPUs, which exchange gradients through gloo; NCCL needs two GPUs.
"""

from __future__ import annotations

import json
import multiprocessing
from typing import Any

import numpy as np
import pytest
import torch

from automl.artifacts import StudyFiles
from tests.automl_tests.training_tests import two_ranks
from tests.automl_tests.training_tests.test_accumulation import accumulate, gradients
from tests.automl_tests.training_tests.trial_builders import (
    PlainNet,
    plain_state,
    state_of,
    task_of,
)

pytestmark = pytest.mark.usefixtures("no_process_is_left")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, shapes: StudyFiles) -> list[dict[str, Any]]:
    """What each rank recorded in each scene of `two_ranks`.

    Forked, they need not import torch again; autograd refuses that where a GPU has given it threads.
    """
    folder = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
    processes = [context.Process(target=two_ranks.main, args=(folder, shapes.root, rank)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("scene", ["whole", "short of memory"])
def test_the_gradients_of_shares_average_to_those_of_the_batch(scene: str, records: list[dict[str, Any]]) -> None:
    alone = plain_state()
    loss = accumulate(alone)
    for rank in records:
        for again in rank[scene]:  # the first time they are exchanged after all passes, then during the last one
            assert again["loss"] == pytest.approx(loss, rel=1e-6)
            assert np.allclose(again["gradients"], gradients(alone), rtol=1e-4, atol=1e-7)


def test_each_rank_computes_its_share_alone(records: list[dict[str, Any]]) -> None:
    assert [rank["whole"][0]["batch_sizes"] for rank in records] == [[11, 11, 11], [10, 10, 10]]


def test_all_ranks_halve_their_micro_batch_when_one_is_out_of_memory(records: list[dict[str, Any]]) -> None:
    for rank in records:
        assert [again["micro_batch"] for again in rank["short of memory"]] == [5, 5, 5]
    # What does not fit is tried but once: the share of 10, not the micro-batch of 20 that no rank is ever given.
    assert [rank["short of memory"][0]["batch_sizes"] for rank in records] == [[11] + [4, 4, 3] * 3, [10] + [5, 5] * 3]


def test_all_ranks_meet_the_dead_end_of_the_one_without_memory(records: list[dict[str, Any]]) -> None:
    for rank in records:
        (end,) = rank["no memory"]
        assert (end["constraint"], end["micro_batch"]) == ("memory", 2)


def test_a_batch_too_small_to_be_shared_is_computed_by_every_rank(records: list[dict[str, Any]]) -> None:
    alone = plain_state()
    loss = accumulate(alone, n_images=3)
    for rank in records:
        (scene,) = rank["three images"]
        assert scene["batch_sizes"] == [3]
        assert scene["loss"] == pytest.approx(loss, rel=1e-6)
        assert np.allclose(scene["gradients"], gradients(alone), rtol=1e-4, atol=1e-7)


def test_a_parameter_without_gradient_stays_without(records: list[dict[str, Any]]) -> None:
    expected = [name.startswith("idle") for name, _ in two_ranks.HalfUsed().named_parameters()]
    assert [rank["idle layer"] for rank in records] == [expected, expected]


@pytest.mark.parametrize("scene", ["trained", "trained, short of memory", "sharpness-aware"])
def test_two_ranks_train_the_model_that_one_would(
    scene: str, records: list[dict[str, Any]], shapes: StudyFiles
) -> None:
    torch.manual_seed(0)
    config = two_ranks.SHARP if scene == "sharpness-aware" else two_ranks.TRAINED
    state, task = state_of(PlainNet(), config), task_of(shapes, config)
    losses = [epoch.train_loss for epoch in two_ranks.train_epochs(task, state)]
    assert records[0][scene]["weights"] == records[1][scene]["weights"]
    assert records[0][scene]["losses"] == pytest.approx(losses, rel=1e-5)
    assert np.allclose(records[0][scene]["weights"], two_ranks.flat_weights(state.model), atol=1e-5)


def test_all_ranks_agree_that_the_training_diverged(records: list[dict[str, Any]]) -> None:
    assert records[0]["diverging"] == records[1]["diverging"]
    assert records[0]["diverging"]["constraint"] == "diverged"
    assert "in epoch 1, step 2" in records[0]["diverging"]["reason"]


def test_all_ranks_end_an_epoch_with_the_same_running_statistics(records: list[dict[str, Any]]) -> None:
    assert records[0]["statistics"]
    assert records[0]["statistics"] == records[1]["statistics"]


def test_devices_that_would_compute_in_different_precisions_are_refused(records: list[dict[str, Any]]) -> None:
    assert all("are of different kinds" in rank["precisions"] for rank in records)


def test_memory_that_runs_out_late_is_an_error_and_no_deadlock(records: list[dict[str, Any]]) -> None:
    assert records[1]["late lack of memory"] == "cpu ran out of memory with 21 images, which fitted before"
    assert records[0]["late lack of memory"] != ""
