"""What the benchmarks run: tasks that a worker process can import."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from runners.base import Context

EPOCHS = 20


def curve(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """A trial that costs nothing but its reports."""
    for step in range(EPOCHS):
        context.report(step, step / EPOCHS)
    return {"outcome": "completed", "score": 1.0}


def first_batch(payload: Mapping[str, Any], context: Context) -> dict[str, float]:
    """Import what a trial imports, take one step; when that step began, and when the job ended."""
    import timm
    import torch

    import automl.training.trial  # noqa: F401

    model = timm.create_model("test_resnet", num_classes=10)
    began = time.time()
    model(torch.zeros(2, 3, 32, 32)).sum().backward()
    while time.time() < began + payload["train_s"]:
        context.beat()
        time.sleep(0.05)
    return {"first_batch": began, "end": time.time()}
