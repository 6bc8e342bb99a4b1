"""Probabilities of cached images: one path for every use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from automl.data.resize import EvaluationPixels
from automl.training.inference import ImageViews, predict_probs, predict_views
from automl.training.network.create import Normalisation
from tests.automl_tests.training_tests.trial_builders import PlainNet, config_of, seeded_model

PIXELS = np.random.default_rng(0).integers(0, 256, size=(11, 40, 40, 3)).astype(np.uint8)


@pytest.fixture
def model() -> PlainNet:
    """A network with reproducible weights."""
    torch.manual_seed(0)
    return PlainNet()


def test_rows_are_answered_in_their_order_whatever_the_batches(model: PlainNet) -> None:
    rows = np.array([7, 0, 3, 3, 10])
    whole = predict_probs(model, PIXELS, rows, evaluation=EvaluationPixels(40), device="cpu")
    parts = predict_probs(model, PIXELS, rows, evaluation=EvaluationPixels(40), device="cpu", batch_size=2)
    assert whole.shape == (5, 3)
    assert whole.dtype == np.float32
    assert np.allclose(whole, parts, atol=1e-6)
    assert np.array_equal(whole[2], whole[3])
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-6)


def test_probabilities_are_the_softmax_of_what_the_network_says_of_the_resized_image(model: PlainNet) -> None:
    probs = predict_probs(model, PIXELS, np.array([4]), evaluation=EvaluationPixels(24), device="cpu")
    normalised = Normalisation.from_model(model)(EvaluationPixels(24).resize_batch(PIXELS[4:5]), "cpu")
    with torch.no_grad():
        assert np.array_equal(probs, model(normalised).softmax(dim=1).numpy())


def test_interpolation_and_crop_change_the_pixels_that_are_predicted(model: PlainNet) -> None:
    rows = np.arange(11)
    averaged, sharp, cropped = (
        predict_probs(model, PIXELS, rows, evaluation=evaluation, device="cpu")
        for evaluation in (EvaluationPixels(32), EvaluationPixels(32, "bicubic"), EvaluationPixels(32, "bicubic", 0.8))
    )
    assert not np.allclose(averaged, sharp)
    assert not np.allclose(sharp, cropped)
    middle = PIXELS[:, 4:36, 4:36]
    assert np.array_equal(cropped, predict_probs(model, middle, rows, evaluation=EvaluationPixels(32), device="cpu"))


def test_the_network_is_in_evaluation_mode_and_its_statistics_stay(model: PlainNet) -> None:
    network = seeded_model(config_of(dropout=0.5)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rows = np.arange(11)
    first = predict_probs(network, PIXELS, rows, evaluation=EvaluationPixels(40), device="cpu")
    assert not network.training
    assert np.array_equal(first, predict_probs(network, PIXELS, rows, evaluation=EvaluationPixels(40), device="cpu"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_view_acts_on_the_normalised_batch(model: PlainNet) -> None:
    rows = np.arange(11)
    mirrored = predict_probs(
        model,
        PIXELS,
        rows,
        evaluation=EvaluationPixels(40),
        device="cpu",
        view=lambda batch: torch.flip(batch, dims=(3,)),
    )
    assert np.array_equal(
        mirrored, predict_probs(model, PIXELS[:, :, ::-1].copy(), rows, evaluation=EvaluationPixels(40), device="cpu")
    )


def test_less_memory_means_smaller_batches_and_the_same_answer(model: PlainNet) -> None:
    rows = np.arange(11)
    whole = predict_probs(model, PIXELS, rows, evaluation=EvaluationPixels(40), device="cpu")
    model.capacity, model.batch_shapes = 3, []
    assert np.allclose(
        predict_probs(model, PIXELS, rows, evaluation=EvaluationPixels(40), device="cpu", batch_size=8),
        whole,
        atol=1e-6,
    )
    assert [shape[0] for shape in model.batch_shapes] == [8, 4, 2, 2, 2, 2, 2, 1]


def test_memory_that_does_not_suffice_for_one_image_is_an_error(model: PlainNet) -> None:
    model.capacity = 0
    with pytest.raises(torch.OutOfMemoryError):
        predict_probs(model, PIXELS, np.arange(3), evaluation=EvaluationPixels(40), device="cpu")


def test_no_rows_give_no_probabilities_and_every_batch_is_announced(model: PlainNet) -> None:
    assert predict_probs(model, PIXELS, np.arange(0), evaluation=EvaluationPixels(40), device="cpu").shape == (0, 3)
    batches: list[None] = []
    predict_probs(
        model,
        PIXELS,
        np.arange(11),
        evaluation=EvaluationPixels(40),
        device="cpu",
        batch_size=4,
        on_batch=lambda: batches.append(None),
    )
    assert len(batches) == 3


def test_several_views_at_two_sides_are_each_what_it_is_alone_and_each_batch_is_read_once(model: PlainNet) -> None:
    rows, reads = np.arange(11), list[tuple[int, int]]()

    def at(side: int) -> Callable[[int, int], np.ndarray]:
        def images(start: int, end: int) -> np.ndarray:
            reads.append((start, end))
            return EvaluationPixels(side).resize_batch(PIXELS[start:end])

        return images

    def mirrored(batch: torch.Tensor) -> torch.Tensor:
        return batch.flip(3)

    def middle(batch: torch.Tensor) -> torch.Tensor:
        return batch[..., 4:36, 4:36]

    sights = [ImageViews(at(32), [lambda batch: batch, mirrored]), ImageViews(at(40), [middle])]
    together = predict_views(model, sights, 11, device="cpu", batch_size=6)
    assert together.shape == (3, 11, 3)
    assert reads == [(0, 6), (0, 6), (6, 11), (6, 11)]
    alone = {"device": "cpu", "batch_size": 6}
    assert np.array_equal(together[0], predict_probs(model, PIXELS, rows, evaluation=EvaluationPixels(32), **alone))
    assert np.array_equal(
        together[1], predict_probs(model, PIXELS, rows, evaluation=EvaluationPixels(32), view=mirrored, **alone)
    )
    assert np.array_equal(
        together[2], predict_probs(model, PIXELS, rows, evaluation=EvaluationPixels(40), view=middle, **alone)
    )
    assert predict_views(model, sights, 0, device="cpu").shape == (3, 0, 3)
