"""Display the progress of a search: one line per running trial on a terminal, plain lines elsewhere.

A `ProgressMonitor` passes everything on to the loop that it wraps; it decides nothing.
"""

from __future__ import annotations

import abc
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from automl.errors import escape_control_characters
from automl.search.search_loop import SearchLoop
from automl.study.deadline import format_duration
from automl.study.study import ENDED, SearchStudy, select_best_trials
from automl.suggest import format_number
from runners.base import Event, Failed, Finished, Job, Progressed, Reported, Started, Stopped, Supervisor, Verdict


@dataclass(slots=True, kw_only=True)
class RunningJob:
    """Progress of a running trial, or of one of its folds that is trained by itself."""

    name: str
    description: str
    n_epochs: int
    device: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    score: float | None = None
    started_s: float = 0.0
    epoch_seconds: list[float] = field(default_factory=list)

    def update(self, event: Progressed | Reported) -> None:
        """Take over the epoch, the score and the seconds that the event reports."""
        self.detail.update(event.detail)
        if isinstance(event, Reported):
            self.detail.update(epoch=event.step + 1, batch=0)
            self.score = event.value
            self.epoch_seconds.append(float(event.detail.get("seconds", 0.0)))

    def estimate_seconds_left(self) -> float | None:
        """Return the seconds for the epochs to come if each takes as long as the last one; None before the first."""
        if not self.epoch_seconds:
            return None
        return self.epoch_seconds[-1] * (self.n_epochs - len(self.epoch_seconds))


class Display(Protocol):
    """Where progress is displayed."""

    def print_line(self, text: str) -> None:
        """Print a line that stays."""

    def redraw(self, running: list[RunningJob], summary: str) -> None:
        """Replace the running jobs and the summary that are displayed."""


class ProgressMonitor(abc.ABC):
    """A supervisor that displays what passes between a runner and the loop that it wraps."""

    def __init__(self, loop: Supervisor, display: Display, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._display = display
        self._clock = clock
        self._begun_s = clock()
        self._running: dict[str, RunningJob] = {}
        self._summary = ""

    def next_job(self) -> Job | None:
        job = self._loop.next_job()
        if job is not None:
            config = job.payload["config"]
            self._running[job.id] = RunningJob(
                name=self._name_job(job),
                description=describe_config(config),
                n_epochs=config["epochs"],
                started_s=self._clock(),
            )
        return job

    def handle(self, event: Event) -> Verdict:
        verdict = self._loop.handle(event)
        job = self._running[event.job_id]
        match event:
            case Started():
                job.device = event.device
                self._display.print_line(f"{job.name} starts on {event.device}: {job.description}")
            case Progressed() | Reported():
                job.update(event)
            case Finished() | Stopped() | Failed():
                del self._running[event.job_id]
                self._summary = self._summarise()
                seconds = format_duration(self._clock() - job.started_s)
                self._display.print_line(f"{job.name} {self._describe_ending(event)} after {seconds}; {self._summary}")
        self._display.redraw(list(self._running.values()), self._summary)
        return verdict

    @abc.abstractmethod
    def _name_job(self, job: Job) -> str:
        """Return what the job is called."""

    @abc.abstractmethod
    def _describe_ending(self, event: Event) -> str:
        """Return how the event's job ended, in words."""

    @abc.abstractmethod
    def _summarise(self) -> str:
        """Return how far all jobs together have come; called when one has ended."""


class SearchMonitor(ProgressMonitor):
    """Displays the trials of a search."""

    def __init__(
        self,
        loop: SearchLoop,
        study: SearchStudy,
        display: Display,
        *,
        n_trials: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(loop, display, clock)
        self._study = study
        self._n_trials = n_trials
        self._n_ended_before = study.count_trials(*ENDED)
        self._summary = self._summarise()

    def _name_job(self, job: Job) -> str:
        return f"trial {job.id}"

    def _describe_ending(self, event: Event) -> str:
        return describe_ending(self._study.optuna_study.get_trials(deepcopy=False)[int(event.job_id)], event)

    def _summarise(self) -> str:
        """Return counts, the best trial and the time left; from the database, so only when a trial has ended."""
        study = self._study.optuna_study
        n_ended = self._study.count_trials(*ENDED)
        parts = [f"{n_ended} of {self._n_trials} ended"]
        for state, word in ((TrialState.PRUNED, "pruned"), (TrialState.FAIL, "failed")):
            if count := self._study.count_trials(state):
                parts.append(f"{count} {word}")
        if best := select_best_trials(study, 1):
            parts.append(f"best {best[0].value:.4f} (trial {best[0].number})")
        n_new = n_ended - self._n_ended_before
        if n_new > 0 and n_ended < self._n_trials:
            left_s = (self._clock() - self._begun_s) / n_new * (self._n_trials - n_ended)
            parts.append(f"about {format_duration(left_s)} left")
        return ", ".join(parts)


class PlainDisplay:
    """Displays lines only, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def print_line(self, text: str) -> None:
        try:
            self._console.print(escape_control_characters(text), highlight=False, markup=False, soft_wrap=True)
        except (OSError, SystemExit):  # SystemExit is what rich makes of a closed pipe
            # A search of days is worth more than its lines: from now on they go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def redraw(self, running: list[RunningJob], summary: str) -> None:
        """Do nothing: a file cannot be drawn over."""


class QuietDisplay:
    """Displays nothing."""

    def print_line(self, text: str) -> None:
        """Do nothing."""

    def redraw(self, running: list[RunningJob], summary: str) -> None:
        """Do nothing."""


class LiveDisplay:
    """Displays a table at the foot of the terminal that is drawn over, with the lines that stay above it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def print_line(self, text: str) -> None:
        self._live.console.print(escape_control_characters(text), highlight=False, markup=False)

    def redraw(self, running: list[RunningJob], summary: str) -> None:
        table = Table.grid(padding=(0, 2))
        for job in running:
            table.add_row(*[Text(cell) for cell in _format_cells(job)])
        self._live.update(Group(table, Text(summary, style="bold")))


def describe_config(config: Mapping[str, Any]) -> str:
    """Return what distinguishes one trial from another, in a line: the usual choices, then the unusual ones."""
    optim, loss = config["optim"], config["loss"]
    sizes = "-".join(str(size) for size in config["resize"]["image_sizes"])
    parts = [config["model"]["backbone"], f"{sizes} px"]
    if loss["name"] != "cross_entropy":
        gamma = loss["focal_gamma"]
        parts.append(loss["name"] if gamma is None else f"{loss['name']} {gamma:.2g}")
    lr = format_number(optim["lr"], digits=2)
    parts += [f"{optim['optimizer']} {lr}", f"batch {config['batch_size']}", *_list_tricks(config)]
    return ", ".join(parts)


def _list_tricks(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of what is switched on beyond the plain recipe."""
    model, augment, transfer = config["model"], config["augment"], config["transfer"]
    if config["optim"]["schedule"] != "cosine":
        yield config["optim"]["schedule"]
    if augment["policy"] != "light":
        yield "not augmented" if augment["policy"] == "none" else augment["policy"]
    yield from (mixing for mixing in ("mixup", "cutmix") if augment[f"{mixing}_alpha"] > 0)
    if model["cut"]:
        yield f"cut {model['cut']}"
    if model["attention"] != "none":
        yield model["attention"]
    if model["pooling"] != "own":
        yield f"{model['pooling']} pooling"
    if model["hidden"]:
        yield f"head {'-'.join(map(str, model['hidden']))}"
    if transfer["trainable_blocks"] is not None:
        yield f"last {transfer['trainable_blocks']} blocks" if transfer["trainable_blocks"] else "head alone"
    if config["ema_horizon"] > 0:
        yield "averaged"


def describe_ending(trial: FrozenTrial, event: Event) -> str:
    """Return how a trial ended, in words."""
    if trial.state == TrialState.COMPLETE:
        is_best = trial.user_attrs.get("epoch_choice") == "best"
        best = f" of epoch {trial.user_attrs['chosen_epoch'] + 1}, its best," if is_best else ""
        return f"is complete with {trial.value:.4f}{best}"
    if trial.state == TrialState.PRUNED and "dead_end" in trial.user_attrs:
        return f"is a dead end: {trial.user_attrs['dead_end']}"
    if trial.state == TrialState.PRUNED:
        return f"is pruned at {trial.value:.4f}" if trial.value is not None else "is pruned"
    if trial.state == TrialState.FAIL:
        return f"failed: {trial.user_attrs.get('fail_reason', 'unknown')}"
    return f"is tried again: {event.reason}" if isinstance(event, Failed) else "is interrupted"


def _format_cells(job: RunningJob) -> list[str]:
    detail = job.detail
    epoch = int(detail.get("epoch", 0)) + 1
    batch = f" {100 * detail['batch'] // detail['n_batches']}%" if detail.get("n_batches") else ""
    return [
        job.name,
        job.device,
        f"epoch {min(epoch, job.n_epochs)}/{job.n_epochs}{batch}",
        f"{detail['image_size']} px" if "image_size" in detail else "",
        f"{detail['images_per_s']:.0f} images/s" if "images_per_s" in detail else "",
        f"{job.score:.4f}" if job.score is not None else "",
        f"{format_duration(left_s)} left" if (left_s := job.estimate_seconds_left()) is not None else "",
        job.description,
    ]
