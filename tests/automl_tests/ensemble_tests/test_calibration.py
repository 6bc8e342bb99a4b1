"""A blend is calibrated where the score depends on its confidence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from automl.ensemble.calibration import calibrate_blend
from automl.metrics.registry import get_metric
from tests.automl_tests.ensemble_tests.small_studies import scorer_of


def test_a_blend_is_sharpened_only_where_the_score_depends_on_it() -> None:
    rng = np.random.default_rng(4)
    logits = 2 * rng.normal(size=(2000, 3))
    targets = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((2000, 1))).argmax(axis=1)
    modest = softmax(logits / 2, axis=1)
    assert calibrate_blend(modest, targets, scorer_of("accuracy")) is modest
    loss = get_metric("log_loss")
    assert loss(targets, calibrate_blend(modest, targets, scorer_of("log_loss"))) == pytest.approx(
        loss(targets, softmax(logits, axis=1)), abs=0.002
    )
