"""What the search costs beside the training: python -m tests.benchmarks.overheads

Both sides of each comparison run in turn, several times; medians are printed, and their ratio.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from automl.config import ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.search.search_loop import SearchLoop, search
from automl.space import Space
from automl.study.pruners import build_pruner
from automl.study.samplers import build_sampler
from automl.study.study import SearchStudy
from automl.suggest import Suggest
from runners.base import Event, Finished, Job, Supervisor, Verdict
from runners.inline import InlineRunner
from runners.process import ProcessRunner
from tests.benchmarks.tasks import EPOCHS, curve, first_batch

N_TRIALS, REPEATS = 8, 3


def suggest(trial: Suggest) -> TrialConfig:
    """Six questions."""
    return TrialConfig(
        model=ModelConfig(
            backbone=trial.suggest_categorical("backbone", ["a", "b", "c"]),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
        ),
        resize=ResizeConfig(image_sizes=(32,)),
        optim=OptimConfig(
            optimizer=trial.suggest_categorical("optimizer", ["adam", "sgd"]),
            lr=trial.suggest_float("lr", 1e-5, 1e-1, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        ),
        batch_size=trial.suggest_categorical("batch_size", [16, 32]),
        epochs=EPOCHS,
    )


SPACE = Space(name="bench", suggest=suggest)


def new_study(folder: Path) -> optuna.Study:
    return optuna.create_study(
        storage=f"sqlite:///{folder}/study.db", direction="maximize", pruner=build_pruner("median", epochs=EPOCHS)
    )


def bare_optuna(folder: Path) -> None:
    """The loop of Optuna's tutorial on the same study, space and curve."""
    study = new_study(folder)
    for number in range(N_TRIALS):
        study.sampler = build_sampler("tpe", study_seed=0, trial_number=number)
        trial = study.ask()
        suggest(trial)
        for step in range(EPOCHS):
            trial.report(step / EPOCHS, step)
            trial.should_prune()
        study.tell(trial, 1.0)


def with_runner(make: Callable[[], Any]) -> Callable[[Path], None]:
    """The product's loop on one slot."""

    def run(folder: Path) -> None:
        loop = SearchLoop(SearchStudy(new_study(folder)), SPACE, curve, lambda *_: {}, n_trials=N_TRIALS)
        search(loop, make())

    return run


def seconds_of(run: Callable[[Path], None]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run(Path(folder))
        return time.perf_counter() - began


class InTurn(Supervisor):
    """Some jobs, one after the other; keeps their results."""

    def __init__(self, n_jobs: int, train_s: float) -> None:
        self._jobs = [Job(id=str(n), task=first_batch, payload={"train_s": train_s}) for n in range(n_jobs)]
        self.results: list[dict[str, float]] = []

    def next_job(self) -> Job | None:
        return self._jobs.pop(0) if self._jobs else None

    def handle(self, event: Event) -> Verdict:
        if isinstance(event, Finished):
            self.results.append(event.result)
        return Verdict.CONTINUE


def gaps(preload: tuple[str, ...]) -> list[float]:
    """Seconds between one trial's end and the next one's first batch."""
    supervisor = InTurn(4, train_s=12.0)
    ProcessRunner(["cpu"], n_threads=1, preload=preload).run(supervisor)
    ends, begins = [r["end"] for r in supervisor.results], [r["first_batch"] for r in supervisor.results]
    return [begin - end for end, begin in zip(ends, begins[1:], strict=False)]


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sides = {
        "bare Optuna loop": bare_optuna,
        "search, inline": with_runner(InlineRunner),
        "search, one process per trial": with_runner(lambda: ProcessRunner(["cpu"], n_threads=1)),
    }
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, run in sides.items():
            measured[name].append(seconds_of(run))
    base = statistics.median(measured["bare Optuna loop"])
    print(f"{N_TRIALS} trials x {EPOCHS} reports on SQLite, medians of {REPEATS}:")
    for name, seconds in measured.items():
        median = statistics.median(seconds)
        print(f"  {name:32}{1000 * median / (N_TRIALS * EPOCHS):7.1f} ms per report, {median / base:5.2f} x")
    cold, warm = gaps(()), gaps(("automl.training.trial",))
    print("from one trial's end to the next one's first batch, medians of 3:")
    print(f"  imports after the end           {statistics.median(cold):7.2f} s")
    print(f"  next process prepared           {statistics.median(warm):7.2f} s")
    print(f"  ratio                           {statistics.median(cold) / statistics.median(warm):7.1f} x")


if __name__ == "__main__":
    main()
