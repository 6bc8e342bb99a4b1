"""Whether probes tell which networks fine-tune well, and what they save.

    python -m tests.benchmarks.probe_agreement --data FOLDER --weights DIR

Each backbone at each image size is probed, and fine-tuned for a few epochs by one and the same recipe;
Spearman's correlation of the scores, and CPU seconds of twelve probes against those of as many trials.
Run on a quiet machine. FOLDER is dogs-vs-cats or cifar-10 as Kaggle ships it; what is measured is
kept, and an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scipy.stats import spearmanr

from automl.artifacts import StudyFiles
from automl.probing.probe_job import IDENTITY_VIEW, ProbeReport
from automl.probing.probe_study import read_probe_study
from automl.study.study import read_study, select_best_trials
from tests.benchmarks.cpu_clock import Watched, exit_on_sigterm, watch
from tests.benchmarks.first_minute import AUTOML, BACKBONES, CASES, REPOSITORY

SIZES = {"dogs-vs-cats": (96, 128, 160, 224), "cifar-10": (64, 96, 128, 160)}
FULL_EPOCHS = 12  # of the default space
# An ordinary recipe with everything unusual off, the same for every pair.
RECIPE = {
    "optimizer": "adamw",
    "lr": "3e-4",
    "weight_decay": "1e-2",
    "dropout": "0.1",
    "batch_size": "32",
    "augment": "light",
    "mixing": "none",
    "loss": "cross_entropy",
    "label_smoothing": "0",
    "freeze_epochs": "0",
    "ema_horizon": "0",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A backbone at an image size.

    Attributes:
        probe, trial: scores out of fold by the competition's metric, the trial's on the first fold.
        trial_cpu_s: of the whole command that trained it.
    """

    backbone: str
    image_size: int
    probe: float
    probe_error: float
    trial: float
    trial_cpu_s: float


@dataclass(frozen=True, slots=True)
class Shop:
    """A competition, and where studies of it are kept."""

    data: Path
    weights: Path
    work: Path

    @property
    def metric(self) -> str:
        return CASES[self.data.name].metric

    def run(self, name: str, command: str, *words: str) -> Watched:
        """Run a command of automl to its end, in a study of that name.

        Raises:
            RuntimeError: it failed.
        """
        log = self.work / f"{name}.txt"
        given = ["--weights", str(self.weights), "--metric", self.metric, "--study", name, "--workdir"]
        watched = watch(
            [*AUTOML, command, str(self.data), *given, str(self.work / "runs"), *words],
            self.find_study(name).submission,
            [math.inf],
            self.work / "copies" / name,
            cwd=REPOSITORY,
            log=log,
        )
        if watched.returncode != 0:
            raise RuntimeError(f"automl {command} ended with {watched.returncode}; see {log}")
        return watched

    def measure(self, name: str, command: str, *words: str) -> dict[str, float]:
        """CPU and wall seconds of a command; run once, from the beginning."""
        kept = self.work / f"{name}.json"
        if not kept.exists():
            shutil.rmtree(self.find_study(name).root, ignore_errors=True)  # of a run that was interrupted
            watched = self.run(name, command, *words)
            kept.write_text(json.dumps({"cpu_s": watched.cpu_s, "wall_s": watched.wall_s}))
        costs: dict[str, float] = json.loads(kept.read_text())
        return costs

    def find_study(self, name: str) -> StudyFiles:
        return StudyFiles(self.work / "runs" / name)


def list_pairs(backbones: Sequence[str], sizes: Sequence[int]) -> list[tuple[str, int]]:
    """All backbones at all sizes."""
    return list(itertools.product(backbones, sizes))


def fix(values: Mapping[str, str]) -> list[str]:
    """The flags that pin parameters."""
    return [word for name, value in values.items() for word in ("--fix", f"{name}={value}")]


def measure_pairs(shop: Shop, backbones: Sequence[str], sizes: Sequence[int], epochs: int) -> str:
    """Probe and fine-tune every pair, and describe what came of it."""
    narrowed = ["--choices", f"backbone={','.join(backbones)}", "--choices", f"resize={','.join(map(str, sizes))}"]
    twelve, files = shop.measure("probes", "probe", *narrowed), shop.find_study("probes")
    n_probes = sum(1 for _ in iterate_probes(files))
    shop.run("probes", "probe", *narrowed, "--budget", "10h")  # those of the pairs that were not among the twelve
    probes = {(own.candidate.backbone, own.candidate.image_size): own for own in iterate_probes(files)}
    pairs = []
    for backbone, size in list_pairs(backbones, sizes):
        pins = {**RECIPE, "backbone": backbone, "resize": str(size)}
        once = ["--trials", "1", "--epochs", str(epochs), "--pruner", "none", "--probe", "none", "--no-ensemble"]
        name = f"{backbone}-{size}-{epochs}"
        cost = shop.measure(name, "search", *fix(pins), *once, "--quiet")
        trial = select_best_trials(read_study(shop.find_study(name)), 1)[0]
        probe = probes[backbone, size]
        pairs.append(Pair(backbone, size, probe.value, probe.score_error or 0.0, trial.value or 0.0, cost["cpu_s"]))
        print(pairs[-1], flush=True)
    (shop.work / "pairs.json").write_text(json.dumps([asdict(pair) for pair in pairs], indent=1))
    return describe_pairs(pairs, n_probes=n_probes, probes_cpu_s=twelve["cpu_s"], epochs=epochs)


def iterate_probes(files: StudyFiles) -> Iterator[ProbeReport]:
    """The completed probes of images as they are."""
    study = read_probe_study(files)
    assert study is not None
    yield from (report for report in study.list_reports() if report.candidate.view == IDENTITY_VIEW)


def describe_pairs(pairs: Sequence[Pair], *, n_probes: int, probes_cpu_s: float, epochs: int) -> str:
    """The table of all pairs, the correlation and the costs; as many trials as probes, at the trials' mean."""
    lines = ["| backbone | size | probe | fine-tuned | CPU s |", "| --- | --- | --- | --- | --- |"]
    for pair in pairs:
        probe = f"{pair.probe:.4f} ± {pair.probe_error:.4f}"
        lines.append(f"| {pair.backbone} | {pair.image_size} | {probe} | {pair.trial:.4f} | {pair.trial_cpu_s:.0f} |")
    correlation = spearmanr([pair.probe for pair in pairs], [pair.trial for pair in pairs]).statistic
    trials_s = n_probes * sum(pair.trial_cpu_s for pair in pairs) / len(pairs)
    whole_s = trials_s * FULL_EPOCHS / epochs
    return "\n".join(
        [
            *lines,
            "",
            f"Spearman's correlation of {len(pairs)} pairs: {correlation:.2f}",
            f"{n_probes} probes: {probes_cpu_s:.0f} CPU s; {n_probes} trials of {epochs} epochs: {trials_s:.0f} CPU s;"
            f" ratio {probes_cpu_s / trials_s:.3f}, of {FULL_EPOCHS} epochs {probes_cpu_s / whole_s:.3f}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.probe_agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backbones", default=BACKBONES)
    parser.add_argument("--sizes", help="joined by commas")
    parser.add_argument("--epochs", type=int, default=3, help="of each fine-tuned trial")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "automl-probe-agreement")
    given = parser.parse_args()
    exit_on_sigterm()
    data = given.data.resolve()
    shop = Shop(data, given.weights.resolve(), given.work.resolve() / data.name)
    shop.work.mkdir(parents=True, exist_ok=True)
    sizes = [int(word) for word in given.sizes.split(",")] if given.sizes else SIZES[data.name]
    print(measure_pairs(shop, given.backbones.split(","), sizes, given.epochs))


if __name__ == "__main__":
    main()
