"""What stands after so many CPU minutes: python -m tests.benchmarks.first_minute --data FOLDER --weights DIR

FOLDER is dogs-vs-cats or cifar-10 as Kaggle ships it, DIR holds the weights of tf_efficientnet_lite0 to 2. A fifth of
the labelled images is held out as the test set. Each side gets the same folder, weights, cores and CPU time, one after
the other, and the submission that stands at each mark is scored:

    probes             automl probe
    search             automl search, which begins with probes
    search-no-probes   automl search --probe none
    optuna             a plain Optuna and timm script (tests.benchmarks.plain_optuna)
    fastai             vision_learner, fine_tune and test-time augmentation (tests.benchmarks.plain_fastai)

The last two need not predict: that is done afterwards, uncounted, from the best or last weights that they had kept.
fastai is run for each mark by itself, with the image size and the epochs that fit. Results are kept beside --out, and
an interrupted run goes on from them. On a quiet machine: automl plans by the clock on the wall.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.cpu_clock import QUIET_WAITING, Watched, exit_on_sigterm, watch
from tests.benchmarks.held_out import HeldOut, hold_out
from tests.benchmarks.plain_fastai import plan_epochs

REPOSITORY = Path(__file__).resolve().parents[2]
AUTOML = (sys.executable, "-W", "ignore", "-c", "from automl.cli.app import main; main()")
BACKBONES = "tf_efficientnet_lite0,tf_efficientnet_lite1,tf_efficientnet_lite2"
SIDES = {
    "probes": "`automl probe`",
    "search": "`automl search`",
    "search-no-probes": "`automl search --probe none`",
    "optuna": "Optuna and timm, MedianPruner",
    "fastai": "fastai, `fine_tune` and TTA",
}
SMALLEST = 1e-15  # what a probability is clipped to, as Kaggle does
N_BOOTSTRAP = 1000


@dataclass(frozen=True, slots=True)
class Case:
    """A competition, and how it is searched.

    Attributes:
        sizes: of images that automl may choose from; the Optuna script may take the smaller one too, without which it
            would have nothing in the first minutes, and fastai takes what fits into the time.
        positive: the class whose probability is asked; None where the class's name is.
    """

    name: str
    metric: str
    sizes: str
    smaller: str
    positive: str | None


CASES = {
    "dogs-vs-cats": Case("dogs-vs-cats", "log_loss", "160,192,224", "128", "dog"),
    "cifar-10": Case("cifar-10", "accuracy", "96,128,160", "64", None),
}


@dataclass(frozen=True, slots=True)
class Score:
    """Of a submission on held-out images.

    Attributes:
        value: log loss where probabilities are asked, accuracy else; error by bootstrap over the images.
    """

    value: float
    error: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A competition with a fifth held out, and where everything about it is put."""

    case: Case
    held: HeldOut
    work: Path
    weights: Path
    cores: int
    seed: int
    stretch: float

    def build_command(self, side: str, marks_s: Sequence[float], standing: Path) -> list[str]:
        """The command of a side that is to have something at each mark."""
        wall = f"{math.ceil(marks_s[-1] / self.cores * self.stretch)}s"
        folder, weights, seed = str(self.held.root), str(self.weights), str(self.seed)
        given = ["--weights", weights, "--seed", seed, "--workdir", str(standing.parent.parent)]
        given += ["--study", standing.parent.name, "--metric", self.case.metric]
        given += ["--choices", f"backbone={BACKBONES}", "--choices", f"resize={self.case.sizes}"]
        plain = ["--weights", weights, "--seed", seed, "--threads", str(self.cores), "--out", str(standing)]
        match side:
            case "probes":
                return [*AUTOML, "probe", folder, *given, "--budget", wall]
            case "search":
                return [*AUTOML, "search", folder, *given, "--timeout", wall, "--quiet"]
            case "search-no-probes":
                return [*AUTOML, "search", folder, *given, "--timeout", wall, "--quiet", "--probe", "none"]
            case "optuna":
                return [
                    *_module("plain_optuna"),
                    "train",
                    folder,
                    *plain,
                    "--sizes",
                    f"{self.case.smaller},{self.case.sizes}",
                ]
            case "fastai":
                return [*_module("plain_fastai"), "train", folder, *plain, *self._plan_fastai(marks_s[-1])]
            case _:
                raise ValueError(side)

    def _plan_fastai(self, mark_s: float) -> list[str]:
        """fastai's image size and epochs for a mark; what they cost is measured once, and not counted."""
        measured = self.work / "fastai-cost.json"
        if not measured.exists():
            self._run_uncounted("fastai", "cost", "--out", str(measured))
        startup_s, image_ms = json.loads(measured.read_text())
        n_images = len(list((self.held.root / "train").iterdir()))
        size, epochs = plan_epochs(mark_s, startup_s, image_ms, n_images)
        return ["--size", str(size), "--epochs", str(epochs)]

    def run(self, side: str, marks_s: Sequence[float]) -> list[dict[str, Any]]:
        """Run a side up to the last mark; a record for the first submission and for each mark."""
        name = f"{side}-{marks_s[-1]:g}s-seed{self.seed}"
        root = self.work / name
        is_plain = side in ("optuna", "fastai")
        standing = root / "weights.pt" if is_plain else root / "runs" / name / "submission.csv"
        shutil.rmtree(root, ignore_errors=True)  # of a run that was interrupted
        root.mkdir(parents=True)
        watched = watch(
            self.build_command(side, marks_s, standing),
            standing,
            marks_s,
            root / "copies",
            cwd=REPOSITORY,
            log=root / "log.txt",
        )
        return [self._describe(side, watched, *row) for row in list_copies(watched)]

    def _describe(
        self, side: str, watched: Watched, mark_s: float | None, cpu_s: float | None, copy: Path | None
    ) -> dict[str, Any]:
        """The record of what stood at a mark, None for the first submission."""
        record: dict[str, Any] = {"side": side, "seed": self.seed, "mark_s": mark_s, "cpu_s": cpu_s}
        record |= {"ended_s": watched.cpu_s, "wall_s": watched.wall_s, "returncode": watched.returncode}
        if copy is not None:
            score = score_submission(self._predict(side, copy), self.held.labels, self.case.positive)
            record |= {"value": score.value, "error": score.error, "accuracy": score.accuracy}
        return record

    def _predict(self, side: str, copy: Path) -> Path:
        """The submission itself, or what the kept weights of a plain script predict, which is not counted."""
        if copy.suffix == ".csv":
            return copy
        out = copy.with_suffix(".csv")
        self._run_uncounted(side, "predict", "--out", str(copy), "--submission", str(out))
        return out

    def _run_uncounted(self, side: str, what: str, *words: str) -> None:
        given = [what, str(self.held.root), "--weights", str(self.weights), "--threads", str(self.cores)]
        environment = {**os.environ, **QUIET_WAITING}
        subprocess.run([*_module(f"plain_{side}"), *given, *words], check=True, cwd=REPOSITORY, env=environment)


def _module(name: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", f"tests.benchmarks.{name}"]


def list_copies(watched: Watched) -> Iterator[tuple[float | None, float | None, Path | None]]:
    """Mark, CPU seconds and copied file: of the first submission, whose mark is None, then of each mark."""
    yield None, watched.first_s, watched.first
    for mark_s, (cpu_s, copy) in watched.marks.items():
        yield mark_s, cpu_s, copy


def score_submission(path: Path, labels: Sequence[str], positive: str | None) -> Score:
    """Score a submission whose test images are called 1 to n; labels are theirs in this order."""
    with path.open(newline="") as file:
        answers = {row[0]: row[1] for row in list(csv.reader(file))[1:]}
    if set(answers) != {str(number + 1) for number in range(len(labels))}:
        raise ValueError(f"{path} is not about the {len(labels)} held-out images")
    said = [answers[str(number + 1)] for number in range(len(labels))]
    if positive is None:
        right = np.array([answer == label for answer, label in zip(said, labels, strict=True)], np.float64)
        return Score(float(right.mean()), bootstrap_error(right), float(right.mean()))
    truths = np.array([label == positive for label in labels])
    probs = np.clip(np.array(said, np.float64), SMALLEST, 1 - SMALLEST)
    losses = -np.log(np.where(truths, probs, 1 - probs))
    return Score(float(losses.mean()), bootstrap_error(losses), float(((probs > 0.5) == truths).mean()))


def bootstrap_error(values: NDArray[np.float64]) -> float:
    """The standard deviation of the mean over images drawn anew."""
    rng = np.random.default_rng(0)
    return float(values[rng.integers(len(values), size=(N_BOOTSTRAP, len(values)))].mean(axis=1).std())


def group_marks(side: str, marks_s: Sequence[float], *, apart: bool) -> list[list[float]]:
    """The marks of each run of a side: fastai's schedule is made for its last epoch, so each mark has a run."""
    return [[mark] for mark in marks_s] if apart or side == "fastai" else [list(marks_s)]


def measure(bench: Bench, side: str, marks_s: Sequence[float]) -> list[dict[str, Any]]:
    """The records of a run, made once."""
    kept = bench.work / f"{side}-{'-'.join(f'{mark:g}' for mark in marks_s)}s-seed{bench.seed}.json"
    if not kept.exists():
        records = bench.run(side, marks_s)
        kept.write_text(json.dumps(records, indent=1))
    loaded: list[dict[str, Any]] = json.loads(kept.read_text())
    return loaded


def build_table(case: Case, records: Sequence[dict[str, Any]], sides: Sequence[str], marks_s: Sequence[float]) -> str:
    """The Markdown table: a line for each side, a column for each mark."""
    better = "less is better" if case.positive else "more is better"
    heads = [f"{mark / 60:g} CPU min" for mark in marks_s]
    lines = [f"| {case.name}, {case.metric}, {better} | first submission | its score | {' | '.join(heads)} |"]
    lines.append("| --- |" + " --- |" * (2 + len(marks_s)))
    for side in sides:
        own = [record for record in records if record["side"] == side]
        first = [record for record in own if record["mark_s"] is None]
        known = [record["cpu_s"] for record in first if record["cpu_s"] is not None]
        seconds = f"{np.mean(known):.0f} CPU s" if known and side not in ("optuna", "fastai") else ""
        cells = [seconds, format_cell(case, first) if seconds else ""]
        cells += [format_cell(case, [record for record in own if record["mark_s"] == mark]) for mark in marks_s]
        lines.append(f"| {SIDES[side]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def format_cell(case: Case, records: Sequence[dict[str, Any]]) -> str:
    """The mean over seeds and its error, and how many of the seeds have nothing to score."""
    scored = [record for record in records if "value" in record]
    if not scored:
        return "nothing"
    value = np.mean([record["value"] for record in scored])
    error = math.sqrt(sum(record["error"] ** 2 for record in scored)) / len(scored)
    accuracy = f" ({np.mean([record['accuracy'] for record in scored]):.1%})" if case.positive else ""
    missing = f", nothing in {len(records) - len(scored)} of {len(records)}" if len(scored) < len(records) else ""
    return f"{value:.4f} ± {error:.4f}{accuracy}{missing}"


def describe_ends(records: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each run that ended by itself, before its last mark: with what, and after which time."""
    lines = [
        f"- {record['side']}, seed {record['seed']}, ended with {record['returncode']}"
        f" after {record['ended_s']:.0f} CPU s, {record['wall_s']:.0f} s on the wall"
        for record in records
        if record["returncode"] is not None
    ]
    return list(dict.fromkeys(lines))


def main() -> None:
    given = ask()
    exit_on_sigterm()
    if given.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    cores, case = len(os.sched_getaffinity(0)), CASES[given.data.resolve().name]
    marks_s, records = [60 * minutes for minutes in sorted(given.minutes)], []
    for seed in range(given.seeds):
        name = case.name if given.limit is None else f"{case.name}-{given.limit}"
        work = given.work.resolve() / name
        held = hold_out(given.data, work / f"seed{seed}" / case.name, seed=seed, limit=given.limit)
        bench = Bench(case, held, work, given.weights.resolve(), cores, seed, given.stretch)
        for side in given.sides:
            for marks in group_marks(side, marks_s, apart=given.apart):
                records += measure(bench, side, marks)
                print("\n" + build_table(case, records, given.sides, marks_s), flush=True)
    n_train = len(list((held.root / "train").iterdir()))
    table = build_table(case, records, given.sides, marks_s)
    table += f"\n\n- {n_train} labelled images and {len(held.labels)} held out, seeds: {given.seeds}, cores: {cores}\n"
    table += "".join(f"{line}\n" for line in describe_ends(records))
    out = given.out or work.with_suffix(".md")
    out.write_text(table)
    out.with_suffix(".json").write_text(json.dumps(records, indent=1))
    print("\n" + table)


def ask() -> argparse.Namespace:
    """Read the command line."""

    def split(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.first_minute",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder named like one of the two competitions")
    parser.add_argument("--weights", type=Path, required=True, help="folder of pretrained weights, NAME.safetensors")
    parser.add_argument("--minutes", type=lambda text: [float(word) for word in split(text)], default=[1, 3, 7, 20])
    parser.add_argument("--sides", type=split, default=list(SIDES))
    parser.add_argument("--seeds", type=int, default=1, help="how many, each with other images held out")
    parser.add_argument("--limit", type=int, help="how many labelled images to use at all")
    parser.add_argument("--cores", type=int, help="on which every side runs; all by default")
    parser.add_argument("--apart", action="store_true", help="a run for each mark, which knows that it ends there")
    parser.add_argument("--stretch", type=float, default=1.0, help="seconds on the wall for what quiet cores do in one")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "automl-first-minute")
    parser.add_argument("--out", type=Path, help="the table; the records are put beside it as .json")
    given = parser.parse_args()
    if unknown := [side for side in given.sides if side not in SIDES]:
        parser.error(f"no side is called {', '.join(unknown)}; there are {', '.join(SIDES)}")
    if given.data.resolve().name not in CASES:
        parser.error(f"--data has to be a folder called {' or '.join(CASES)}")
    return given


if __name__ == "__main__":
    main()
