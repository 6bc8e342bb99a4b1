"""What a person sees of a search, on a terminal and in a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from rich.console import Console
from rich.live import Live

from automl.config import AugmentConfig, LossConfig, ModelConfig, OptimConfig, ResizeConfig, TransferConfig, TrialConfig
from automl.search.progress import LiveDisplay, PlainDisplay, QuietDisplay, RunningJob, SearchMonitor, describe_config
from automl.search.search_loop import SearchLoop
from automl.space import Space
from automl.study.study import SearchStudy
from automl.suggest import Suggest
from runners.base import Failed, Finished, Progressed, Reported, Started


def suggest(trial: Suggest) -> TrialConfig:
    return TrialConfig(
        model=ModelConfig(backbone="resnet18"),
        resize=ResizeConfig(image_sizes=(16, 32)),
        optim=OptimConfig(lr=trial.suggest_float("lr", 1e-3, 1e-3)),
        epochs=4,
    )


class Kept:
    """A screen that keeps what it was given."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.running: list[list[RunningJob]] = []
        self.summaries: list[str] = []

    def print_line(self, text: str) -> None:
        self.lines.append(text)

    def redraw(self, running: list[RunningJob], summary: str) -> None:
        self.running.append(running)
        self.summaries.append(summary)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def build_monitor(clock: Clock) -> Callable[[Any], SearchMonitor]:
    def make(screen: Any) -> SearchMonitor:
        study = SearchStudy(optuna.create_study(direction="maximize"))
        space = Space(name="test", suggest=suggest)
        loop = SearchLoop(study, space, dict, lambda _, config: {"config": config.to_json()}, n_trials=4)  # type: ignore[arg-type]
        return SearchMonitor(loop, study, screen, n_trials=4, clock=clock)

    return make


def run_one(monitor: SearchMonitor, clock: Clock, score: float) -> None:
    job = monitor.next_job()
    assert job is not None
    monitor.handle(Started(job_id=job.id, device="cuda:1"))
    monitor.handle(
        Progressed(job_id=job.id, detail={"image_size": 16, "images_per_s": 250.0, "batch": 3, "n_batches": 6})
    )
    for step in range(4):
        clock.now_s += 10.0
        monitor.handle(Reported(job_id=job.id, step=step, value=score, detail={"seconds": 10.0, "image_size": 16}))
    monitor.handle(Finished(job_id=job.id, result={"outcome": "completed", "score": score}))


def test_each_trial_has_a_line_when_it_starts_and_one_when_it_ends(
    build_monitor: Callable[[Any], SearchMonitor], clock: Clock
) -> None:
    screen = Kept()
    run_one(build_monitor(screen), clock, 0.75)
    assert screen.lines == [
        "trial 0 starts on cuda:1: resnet18, 16-32 px, adamw 1e-3, batch 32",
        "trial 0 is complete with 0.7500 after 40 s; 1 of 4 ended, best 0.7500 (trial 0), about 2 min 00 s left",
    ]


def test_a_description_names_what_is_out_of_the_ordinary() -> None:
    config = TrialConfig(
        model=ModelConfig(backbone="resnet18", pooling="gem", attention="se", cut=1, hidden=(256, 128)),
        resize=ResizeConfig(image_sizes=(224,)),
        loss=LossConfig(name="focal_bce", focal_gamma=2.0),
        optim=OptimConfig(optimizer="sam", lr=0.01, schedule="one_cycle"),
        augment=AugmentConfig(policy="heavy", cutmix_alpha=1.0),
        transfer=TransferConfig(trainable_blocks=2),
        ema_horizon=0.1,
    )
    assert describe_config(config.to_json()) == (
        "resnet18, 224 px, focal_bce 2, sam 0.01, batch 32, one_cycle, heavy, cutmix, cut 1, se, gem pooling, "
        "head 256-128, last 2 blocks, averaged"
    )


def test_a_score_that_is_the_best_of_its_epochs_is_called_so(
    build_monitor: Callable[[Any], SearchMonitor], clock: Clock
) -> None:
    screen = Kept()
    supervisor = build_monitor(screen)
    job = supervisor.next_job()
    assert job is not None
    supervisor.handle(Started(job_id=job.id, device="cuda:1"))
    attributes = {"epoch_choice": "best", "chosen_epoch": 2}
    supervisor.handle(Finished(job_id=job.id, result={"outcome": "completed", "score": 0.75, "attributes": attributes}))
    assert screen.lines[-1].startswith("trial 0 is complete with 0.7500 of epoch 3, its best, after")


def test_a_trial_that_is_tried_again_says_why(build_monitor: Callable[[Any], SearchMonitor]) -> None:
    screen = Kept()
    monitor = build_monitor(screen)
    job = monitor.next_job()
    assert job is not None
    monitor.handle(Failed(job_id=job.id, reason="killed by signal 9", died=True))
    assert screen.lines == ["trial 0 is tried again: killed by signal 9 after 0 s; 0 of 4 ended"]


def test_a_running_trial_shows_epoch_size_speed_score_and_time_left(
    build_monitor: Callable[[Any], SearchMonitor], clock: Clock
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=140, force_terminal=True, color_system=None)
    with Live(console=console, auto_refresh=False) as live:
        monitor = build_monitor(LiveDisplay(live))
        job = monitor.next_job()
        assert job is not None
        monitor.handle(Started(job_id=job.id, device="cuda:1"))
        monitor.handle(Reported(job_id=job.id, step=0, value=0.5, detail={"seconds": 10.0, "image_size": 16}))
        detail = {"epoch": 1, "image_size": 16, "images_per_s": 250.4, "batch": 3, "n_batches": 6}
        monitor.handle(Progressed(job_id=job.id, detail=detail))
        live.refresh()
    shown = out.getvalue().splitlines()
    line = [line for line in shown if "epoch 2/4 50%" in line][-1]
    for word in ("trial 0", "cuda:1", "16 px", "250 images/s", "0.5000", "30 s left", "resnet18"):
        assert word in line
    assert any("0 of 4 ended" in line for line in shown)


def test_a_file_gets_lines_only_and_quiet_nothing(build_monitor: Callable[[Any], SearchMonitor], clock: Clock) -> None:
    out = io.StringIO()
    run_one(build_monitor(PlainDisplay(Console(file=out, width=200))), clock, 0.75)
    assert [line.split(":")[0] for line in out.getvalue().splitlines()] == [
        "trial 0 starts on cuda",
        "trial 0 is complete with 0.7500 after 40 s; 1 of 4 ended, best 0.7500 (trial 0), about 2 min 00 s left",
    ]
    run_one(build_monitor(QuietDisplay()), clock, 0.75)
