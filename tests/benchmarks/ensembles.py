"""What an ensemble is worth: python -m tests.benchmarks.ensembles DATA_FOLDER [--work DIR] [--trials 16]

On DATA_FOLDER/cifar-10 and DATA_FOLDER/dogs-vs-cats, as Kaggle ships them, with a fifth of the labelled images held out
as the test set. Each is searched, with small networks from scratch; then the best single trial, the plain mean of the
best five and the selected ensemble are compared, as they are and through the views of `--tta flips` and `--tta auto`,
and again after the members were trained on all folds. Two scores of each: the one that is known out of fold, which for
the ensemble is what `automl` prints, and the one on the images that were held out. The work folder is kept: an
interrupted run goes on.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, read_json
from automl.cli.console import ignore_line
from automl.config import TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.decisions.bootstrap import bootstrap_scores
from automl.decisions.choose import fit_matched_rule
from automl.decisions.rules import Rule, parse_rule
from automl.ensemble.apply import predict_ensemble
from automl.ensemble.candidates import Candidate, Member, predict_oof, predict_test, read_members
from automl.ensemble.ensemble_result import EnsembleRequest, EnsembleResult
from automl.ensemble.predictor import Predictor
from automl.ensemble.tta import TTA_GROUPS
from automl.search.run_search import run_ensemble
from automl.study.study import read_study, select_best_trials
from tests.benchmarks.held_out import HeldOut, hold_out

N_BEST = 5
N_THREADS = 2
AUTOML = (sys.executable, "-c", "from automl.cli.app import main; main()")


@dataclass(frozen=True, slots=True)
class Case:
    """A competition, and how it is searched."""

    name: str
    flags: tuple[str, ...]


CASES = (
    Case("dogs-vs-cats", ("--metric", "log_loss", "--epochs", "15", "--choices", "resize=32,32-48")),
    Case("cifar-10", ("--epochs", "10", "--choices", "resize=32,24-32")),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; a score is (score, standard error)."""

    what: str
    views: str
    out_of_fold: tuple[float, float]
    held_out: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A searched competition, and the truth about its test images."""

    competition: Competition
    files: StudyFiles
    truths: NDArray[np.int64]

    def predictor(self) -> Predictor:
        cache = PixelCache(self.competition, self.files.cache)
        return Predictor(
            self.competition, cache, device="cpu", cache_folder=self.files.predictions, n_threads=N_THREADS
        )

    def scored(self, targets: NDArray[np.int64], probs: NDArray[Any], rule: Rule | None = None) -> tuple[float, float]:
        """The score and its standard error of probabilities that a rule decides; None for the plain one."""
        scorer = self.competition.scorer
        rule = rule or fit_matched_rule(scorer.metric, scorer.context, probs)
        error = bootstrap_scores([probs], targets, scorer).std()
        return scorer.metric.score(targets, rule(np.asarray(probs, np.float64))), float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "automl-ensembles")
    parser.add_argument("--trials", type=int, default=16)
    given = parser.parse_args()
    for case in CASES:
        bench = searched(case, given.data, given.work.resolve(), n_trials=given.trials)
        metric = bench.competition.metric
        better = "more is better" if metric.greater_is_better else "less is better"
        print(f"\n| {case.name}, {metric.name}, {better} | views | out of fold | held out |\n| --- | --- | --- | --- |")
        for row in rows(bench, case, given.work.resolve()):
            print(f"| {row.what} | {row.views} | {_shown(row.out_of_fold)} | {_shown(row.held_out)} |", flush=True)
        n_trained, n_test = len(bench.competition.image_ids), len(bench.competition.test_ids)
        print(f"\n{given.trials} trials on {n_trained} images, {n_test} held out; {platform.machine()}, CPU")


def searched(case: Case, data: Path, work: Path, *, n_trials: int) -> Bench:
    """The competition with a fifth held out, searched by the command line; done once."""
    held = hold_out(data / case.name, work / case.name)
    space = ("--space", "tiny", "--no-pretrained", "--cpu-slots", "2", "--gpus", "0", "--keep-checkpoints", "all")
    automl(work, "search", case.name, "--trials", str(n_trials), *space, *case.flags, "--no-ensemble", "--quiet")
    return opened(work, case.name, held)


def opened(work: Path, name: str, held: HeldOut) -> Bench:
    files = StudyFiles(work / "automl_runs" / name)
    competition = load_competition(files.competition)
    return Bench(competition, files, held.targets(competition))


def automl(work: Path, *words: str) -> None:
    subprocess.run([*AUTOML, *words], cwd=work, check=True, stdout=subprocess.DEVNULL)


def rows(bench: Bench, case: Case, work: Path) -> Iterator[Row]:
    yield from compared(bench, "")
    yield from compared(refitted(bench, case, work), ", all folds")


def refitted(bench: Bench, case: Case, work: Path) -> Bench:
    """The same in a copy of the study whose members are trained on all folds; done once."""
    runs = work / "automl_runs_refit"
    if not (runs / case.name).exists():
        shutil.copytree(bench.files.root, runs / case.name)
    slots = ("--cpu-slots", "2", "--gpus", "0", "--workdir", runs.name)
    automl(work, "refit", "--study", case.name, "--top", str(N_BEST), *slots, "--no-ensemble", "--quiet")
    return replace(bench, files=StudyFiles(runs / case.name))


def compared(bench: Bench, suffix: str) -> Iterator[Row]:
    """The best trial, the mean of the best five, and what is selected, each with and without views."""
    members = best_members(bench, with_refits=bool(suffix))
    for views in ("none", "flips"):
        if not suffix:
            yield _plain_row(bench, members[:1], "best single trial", views)
        yield _plain_row(bench, members, f"plain mean of the best {N_BEST}{suffix}", views)
    for views in ("none", "flips", "auto"):
        yield _selected_row(bench, f"selected ensemble{suffix}", views)


def best_members(bench: Bench, *, with_refits: bool) -> list[Member]:
    """Of the best trials by the study; those that were trained on all folds, where that is asked."""
    candidates = [
        Candidate(number=trial.number, score=trial.value or 0.0, config=_config(bench.files, trial.number))
        for trial in select_best_trials(read_study(bench.files))
    ]
    folds = load_folds(bench.files.folds, bench.competition)
    if with_refits:
        candidates = [
            own for own in candidates if bench.files.get_trial_files(own.number).get_refit_files("refit").root.exists()
        ]
    return read_members(candidates[:N_BEST], bench.files, bench.competition, folds, notify=ignore_line)


def _config(files: StudyFiles, number: int) -> TrialConfig:
    return TrialConfig.from_json(read_json(files.get_trial_files(number).config))


def _plain_row(bench: Bench, members: Sequence[Member], what: str, views: str) -> Row:
    predictor = bench.predictor()
    oof = np.mean([predict_oof(member, TTA_GROUPS[views], predictor).mean(axis=0) for member in members], axis=0)
    test = np.mean([predict_test(member, TTA_GROUPS[views], predictor) for member in members], axis=0)
    targets = bench.competition.targets[members[0].rows]
    return Row(what, views, bench.scored(targets, oof), bench.scored(bench.truths, test))


def _selected_row(bench: Bench, what: str, views: str) -> Row:
    request = EnsembleRequest(top=N_BEST, tta=views, device="cpu", out=bench.files.submission)
    result = run_ensemble(bench.files, request, notify=ignore_line)
    probs = selected_probs(bench, result)
    scorer = bench.competition.scorer
    rule = parse_rule(result.recipe.rule, scorer.metric, scorer.context)
    used = f"auto: {result.tta}" if views == "auto" else views
    return Row(what, used, (result.score, result.score_error), bench.scored(bench.truths, probs, rule))


def selected_probs(bench: Bench, result: EnsembleResult) -> NDArray[np.float64]:
    """(n_test, n_classes), as in the submission."""

    def locate_weights(member: Any, fold: int) -> Path:
        own = bench.files.get_trial_files(member.number)
        refitted = own.get_refit_files("refit").get_weights_path(fold)
        return refitted if refitted.exists() else own.get_weights_path(fold)

    return predict_ensemble(result.recipe, locate_weights, bench.predictor())


def _shown(score: tuple[float, float]) -> str:
    return f"{score[0]:.4f} ± {score[1]:.4f}"


if __name__ == "__main__":
    main()
