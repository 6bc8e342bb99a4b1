"""Trains what tests.benchmarks.recipe asks for, several at once; the results are kept, and none is trained twice."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from automl.artifacts import StudyFiles
from automl.config import TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, save_competition
from automl.data.folds import make_folds, save_folds
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.training.entry_points import run_trial
from tests.benchmarks.recipe_table import Result

METRICS = {"cifar-10": "accuracy", "dogs-vs-cats": "roc_auc"}
N_TEST = 2  # test images that each training also predicts; more would take time and tell nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A competition's folder, how its labelled images are divided, and what is trained when nothing is switched on.

    Attributes:
        n_folds: the first is validated on, the others are trained on.
        n_images: as many of the labelled ones are used, the first ones; None is all.
    """

    competition: str
    n_folds: int
    config: TrialConfig
    n_images: int | None = None

    def study(self, folder: Path) -> StudyFiles:
        """The files that all trainings of the bench share."""
        return StudyFiles(folder / f"{self.competition}-{self.n_images}-{self.n_folds}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One of many.

    Attributes:
        seed: by which it is compared with the baseline.
        seed_offset: between that and the seed it is trained with.
        body_to: a file for the trained body, with which others may begin.
    """

    bench: Bench
    technique: str
    seed: int
    config: TrialConfig
    seed_offset: int = 0
    weights_dir: Path | None = None
    body_to: Path | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """All that decides the score besides the seed."""
        return {"n_images": self.bench.n_images, "n_folds": self.bench.n_folds, **self.config.to_json()}

    def is_answered_by(self, result: Result) -> bool:
        own = (self.bench.competition, self.technique, self.seed, self.asked)
        is_same = own == (result.competition, result.technique, result.seed, result.config)
        return is_same and (self.body_to is None or self.body_to.exists())


@dataclass(frozen=True, slots=True)
class Silence:
    """A runner's context that never stops a trial."""

    device: str
    n_threads: int

    def report(self, step: int, value: float, detail: Mapping[str, Any] | None = None) -> None: ...

    def beat(self, detail: Mapping[str, Any] | None = None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where trainings run.

    Attributes:
        data: has a folder for each competition.
        folder: of studies and pixels; may be deleted afterwards.
        records: a JSON line for each result.
        n_processes: as many trainings at once, with one core each on the CPU.
    """

    data: Path
    folder: Path
    records: Path
    n_processes: int
    on_gpu: bool

    def results(self) -> list[Result]:
        """All that were ever recorded."""
        lines = self.records.read_text().splitlines() if self.records.exists() else []
        return [Result(**json.loads(line)) for line in lines]

    def measure(self, trainings: Iterable[Training]) -> list[Result]:
        """The results of all trainings; those on record are not repeated."""
        wanted, known = list(trainings), self.results()
        missing = [training for training in wanted if not any(map(training.is_answered_by, known))]
        sizes: dict[Bench, set[int]] = {}
        for training in wanted:
            sizes.setdefault(training.bench, set()).update(training.config.resize.image_sizes)
        for bench, image_sizes in sizes.items():
            self._prepare(bench, image_sizes)
        for number, result in enumerate(self._run(missing), start=1):
            with self.records.open("a") as records:
                records.write(json.dumps(dataclasses.asdict(result)) + "\n")
            score = "diverged" if result.score is None else f"{result.score:.4f}"
            place = f"{number}/{len(missing)} {result.competition} {result.technique} seed {result.seed}"
            print(f"{place}: {score} after {result.seconds:.1f} s", flush=True)
        return [result for result in self.results() if any(training.is_answered_by(result) for training in wanted)]

    def _prepare(self, bench: Bench, image_sizes: set[int]) -> None:
        """Divide the images once for all trainings, and decode them before any clock runs."""
        files = bench.study(self.folder)
        whole = read_competition(self.data / bench.competition, CompetitionSettings(metric=METRICS[bench.competition]))
        competition = first_images(whole, bench.n_images)
        save_competition(competition, files.competition)
        save_folds(make_folds(competition, n_folds=bench.n_folds), competition, files.folds)
        for image_size in image_sizes:
            PixelCache(competition, files.cache).load_pixels("train", image_size, n_threads=os.cpu_count() or 1)

    def _run(self, trainings: list[Training]) -> Iterator[Result]:
        if not trainings:
            return
        n_threads = max(1, (os.cpu_count() or 1) // self.n_processes) if self.on_gpu else 1
        with ProcessPoolExecutor(self.n_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = []
            for number, training in enumerate(trainings):
                device = f"cuda:{number % torch.cuda.device_count()}" if self.on_gpu else "cpu"
                futures.append(pool.submit(train, training, self.folder, Silence(device, n_threads)))
            for future in as_completed(futures):
                yield future.result()


def first_images(competition: Competition, n_images: int | None) -> Competition:
    """The competition with its first labelled images and hardly any to predict."""
    return dataclasses.replace(
        competition,
        image_ids=competition.image_ids[:n_images],
        image_paths=competition.image_paths[:n_images],
        targets=competition.targets[:n_images],
        groups=None if competition.groups is None else competition.groups[:n_images],
        test_ids=competition.test_ids[:N_TEST],
        test_paths=competition.test_paths[:N_TEST],
    )


def train(training: Training, folder: Path, context: Silence) -> Result:
    """Train in a study of its own, and as trial 0 of it, since a trial's number is one of its seeds.

    Raises:
        RuntimeError: the trial was refused.
    """
    shared, own = training.bench.study(folder), StudyFiles(Path(tempfile.mkdtemp(dir=folder)))
    for path in (shared.competition, shared.folds, shared.cache):
        (own.root / path.name).symlink_to(path.absolute())
    payload = {
        "trial": 0,
        "study_dir": str(own.root),
        "config": training.config.to_json(),
        "train_folds": 1,
        "seed": training.seed + training.seed_offset,
        "weights_dir": None if training.weights_dir is None else str(training.weights_dir),
        "init_from": None,
    }
    clock = time.process_time if context.device == "cpu" else time.perf_counter
    began = clock()
    answer = run_trial(payload, context)
    seconds = clock() - began
    if answer["outcome"] == "refused":
        raise RuntimeError(f"{training.technique}: {answer['problem']}")
    if training.body_to is not None:
        keep_body(own.get_trial_files(0).get_weights_path(0), training.body_to)
    shutil.rmtree(own.root)
    return Result(
        competition=training.bench.competition,
        technique=training.technique,
        seed=training.seed,
        config=training.asked,
        score=answer.get("score"),
        seconds=seconds,
    )


def keep_body(trained: Path, path: Path) -> None:
    """Write the body of a trained network as timm's weights of the backbone, without a classifier."""
    weights = safetensors.torch.load_file(trained)
    body = {name.removeprefix("body."): tensor for name, tensor in weights.items() if name.startswith("body.")}
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(body, path)
