"""Epochs become reports, and batches about one beat a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl.config import LossConfig
from automl.training import reporting
from automl.training.checkpoints import EpochRecord
from automl.training.entry_points import run_trial
from runners.base import JobStopped
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    payload_of,
    write_study,
)


def test_beats_say_what_is_going_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BEAT_INTERVAL_S", 0.0)
    context = ScriptedContext()
    run_trial(payload_of(write_study(tmp_path), config_of(epochs=1, loss=LossConfig(label_smoothing=0.1))), context)
    training = [beat for beat in context.beats if beat]
    assert {"epoch", "image_size", "batch", "n_batches", "images_per_s"} <= training[-1].keys()
    assert [beat["batch"] for beat in training[:3]] == [1, 2, 3]
    assert training[0]["n_batches"] == 3


def test_beats_come_about_once_a_second() -> None:
    times = iter([0.0, 0.4, 0.9, 1.1, 1.9, 2.2])
    context = ScriptedContext()
    reporter = reporting.Reporter(context, clock=lambda: next(times))
    for number in range(6):
        reporter.beat({"batch": number})
    assert [beat["batch"] for beat in context.beats if beat] == [0, 3, 5]


def test_an_epoch_is_reported_by_its_number_and_score_and_again_in_its_order() -> None:
    record = EpochRecord(epoch=2, image_size=24, lr=0.1, train_loss=0.5, score=0.75, seconds=3.0, images_per_s=16.0)
    context = ScriptedContext()
    reporting.Reporter(context).replay([record, replace(record, epoch=3, score=0.8)])
    assert context.reports == [(2, 0.75), (3, 0.8)]
    assert context.details[0] == {"image_size": 24, "lr": 0.1, "train_loss": 0.5, "seconds": 3.0, "images_per_s": 16.0}


def test_what_a_runner_raises_reaches_the_trial() -> None:
    reporter = reporting.Reporter(ScriptedContext(stop_at_beat=1))
    with pytest.raises(JobStopped):
        reporter.beat()
