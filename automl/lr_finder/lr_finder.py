"""The learning-rate range test of a competition: from the folder to a suggestion, a file that keeps it, and a plot.

It leaves the study alone: neither its database nor its folds are begun, so that a search may follow with other
settings. Not responsible for: the test itself (automl.training.lr_sweep), flags and printing (automl.commands).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles, read_json, write_json
from automl.config import OptimConfig, TrialConfig
from automl.data.competition import save_competition
from automl.data.folds import load_folds, make_folds, save_folds
from automl.errors import ERROR_OF_EXIT_CODE, AutomlError, StorageError, UsageError
from automl.inspection.prepare import prepare_competition
from automl.lr_finder.page import write_lr_page
from automl.readers.settings import Asked
from automl.space import Space
from automl.training.entry_points import sweep
from automl.training.lr_range import falling_range, smoothed, suggest_lr
from runners.base import Event, Failed, Finished, Job, Runner, Verdict

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LrRequest:
    """What `automl find-lr` was asked; the space's first configuration is tested."""

    folder: Path
    files: StudyFiles
    space: Space
    asked: Asked = field(default_factory=Asked)
    weights_dir: Path | None = None
    seed: int = 0
    n_threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LrFinding:
    """What a range test came to.

    Attributes:
        config: that was tested; its learning rate is none of those.
        image_size, batch_size: of the steps.
        lrs, losses: of each step, up to where it diverged; as they were, not smoothed.
        suggestion: None where the loss does not clearly fall.
        falling: learning rates between which the smoothed loss falls to its lowest.
    """

    config: TrialConfig
    image_size: int
    batch_size: int
    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float | None
    falling: tuple[float, float] | None


def find_lr(request: LrRequest, runner: Runner, *, note: Note) -> LrFinding:
    """Test the space's first configuration, and write what was found into the study's folder.

    Args:
        runner: carries the test.
        note: takes one line for each thing worth knowing.

    Raises:
        AutomlError: the folder, the space or the environment does not fit.
        Interrupted: a signal arrived.
    """
    config, files = _tested(request.space), request.files
    competition = prepare_competition(
        request.folder, request.asked, cache=files.cache, n_threads=request.n_threads, note=note
    )
    own = files.folds.exists()
    folds = load_folds(files.folds, competition) if own else make_folds(competition, seed=request.seed)
    note(f"testing learning rates with {described(config)}")
    scratch = files.find_lr_study
    try:
        save_competition(competition, scratch.competition)
        save_folds(folds, competition, scratch.folds)
        swept = _carried(Job(id="find-lr", task=sweep, payload=_payload(request, config)), runner)
    finally:
        shutil.rmtree(scratch.root, ignore_errors=True)
    finding = _read(config, swept)
    _keep(finding, request)
    return finding


def kept_finding(request: LrRequest) -> LrFinding | None:
    """The finding in the study's folder, or None where there is none for the configuration that the request asks for.

    Raises:
        StorageError: its file is damaged.
    """
    path = request.files.find_lr
    if not path.exists():
        return None
    document = read_json(path)
    try:
        tested = TrialConfig.from_json(document["config"])
        same = tested == _tested(request.space) and document["init_from"] == _init_from(request)
        return _read(tested, document) if same else None
    except UsageError:  # of another version
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{path} is damaged ({type(error).__name__})", hint="remove it; automl find-lr writes it again"
        ) from error


def described(config: TrialConfig) -> str:
    """The configuration in a few words."""
    sizes = "-".join(map(str, config.resize.image_sizes))
    return f"{config.model.backbone}, {sizes} px, {config.optim.optimizer}, batch {config.batch_size}"


def _tested(space: Space) -> TrialConfig:
    """The space's first configuration, with what has no say in single steps as it is by default."""
    config = space.first_config()
    return replace(
        config,
        optim=replace(config.optim, lr=OptimConfig().lr),
        ema_horizon=0.0,
        epoch_choice="last",
        patience=None,
        compile=False,
    )


class _OneJob:
    """A supervisor that has one job, and keeps how it ended."""

    def __init__(self, job: Job) -> None:
        self._jobs = [job]
        self.end: Finished | Failed | None = None

    def next_job(self) -> Job | None:
        return self._jobs.pop() if self._jobs else None

    def handle(self, event: Event) -> Verdict:
        if isinstance(event, (Finished, Failed)):
            self.end = event
        return Verdict.CONTINUE


def _carried(job: Job, runner: Runner) -> Mapping[str, Any]:
    """What the job's task returned.

    Raises:
        AutomlError: the task refused.
        RuntimeError: it failed for no reason that it knows.
    """
    supervisor = _OneJob(job)
    runner.run(supervisor)
    if not isinstance(supervisor.end, Finished):
        failed = supervisor.end
        raise RuntimeError("the range test did not end" if failed is None else f"{failed.reason}\n{failed.log}")
    result: Mapping[str, Any] = supervisor.end.result
    if result["outcome"] == "refused":
        kind = ERROR_OF_EXIT_CODE.get(result["exit_code"], AutomlError)
        raise kind(result["problem"], hint=result["hint"])
    return result


def _payload(request: LrRequest, config: TrialConfig) -> dict[str, Any]:
    return {
        "trial": 0,
        "study_dir": str(request.files.find_lr_study.root),
        "cache": str(request.files.cache),
        "config": config.to_json(),
        "train_folds": 1,
        "seed": request.seed,
        "weights_dir": None if request.weights_dir is None else str(request.weights_dir),
        "init_from": _init_from(request),
    }


def _init_from(request: LrRequest) -> str | None:
    return None if request.space.init_from is None else str(request.space.init_from)


def _read(config: TrialConfig, swept: Mapping[str, Any]) -> LrFinding:
    lrs, losses = tuple(map(float, swept["lrs"])), tuple(map(float, swept["losses"]))
    found = suggest_lr(lrs, losses)
    return LrFinding(
        config=config,
        image_size=int(swept["image_size"]),
        batch_size=int(swept["batch_size"]),
        lrs=lrs,
        losses=losses,
        suggestion=None if found is None else float(f"{found:.1e}"),  # more digits would claim too much
        falling=falling_range(lrs, losses),
    )


def _keep(finding: LrFinding, request: LrRequest) -> None:
    config, files = finding.config, request.files
    document = {
        "backbone": config.model.backbone,
        "optimizer": config.optim.optimizer,
        "batch_size": finding.batch_size,
        "image_size": finding.image_size,
        "suggestion": finding.suggestion,
        "falling": finding.falling,
        "lrs": finding.lrs,
        "losses": finding.losses,
        "smoothed": smoothed(finding.losses),
        "config": config.to_json(),
        "init_from": _init_from(request),
    }
    write_json(files.find_lr, document)
    write_lr_page(
        files.find_lr_page,
        title=f"Learning rates of study {files.root.name}",
        summary=f"{described(config)}; steps of {finding.batch_size} images of {finding.image_size} pixels.",
        lrs=finding.lrs,
        losses=finding.losses,
        suggestion=finding.suggestion,
        falling=finding.falling,
    )
