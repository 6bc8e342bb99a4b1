"""What makes small probes quick."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from automl.probing import probe_heads
from automl.training.linear_head import fit_fold_heads


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> None:
    """Small networks are slower with more."""
    torch.set_num_threads(1)


@pytest.fixture
def few_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two strengths of regularisation to choose from, where heads need not be good."""
    monkeypatch.setattr(probe_heads, "fit_fold_heads", partial(fit_fold_heads, strengths=(0.01, 0.1)))
