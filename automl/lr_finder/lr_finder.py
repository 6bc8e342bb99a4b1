"""Find a learning rate: from the competition's folder to a suggestion, a file that keeps it, and a plot.

It leaves the study alone: neither its database nor its folds are begun, so that a search may follow with other
settings.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automl.artifacts import StudyFiles, read_json, write_json
from automl.config import OptimConfig, TrialConfig, list_shared_settings
from automl.data.competition import save_competition
from automl.data.folds import load_folds, make_folds, save_folds
from automl.errors import Notify, StorageError, UsageError
from automl.inspection.prepare import prepare_competition
from automl.readers.settings import CompetitionSettings
from automl.reports.lr_page import write_lr_page
from automl.space import Space
from automl.training.entry_points import run_lr_sweep
from automl.training.lr_range import find_falling_range, smooth_losses, suggest_lr
from automl.training.trial_job import Refused, SweepResult, TrialJob, TrialResult
from runners.base import Event, Failed, Finished, Job, Runner, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class LrRequest:
    """The flags of `automl find-lr`; the space's first configuration is tested."""

    folder: Path
    files: StudyFiles
    space: Space
    settings: CompetitionSettings = field(default_factory=CompetitionSettings)
    weights_dir: Path | None = None
    seed: int = 0
    n_threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LrFinding:
    """The result of a range test.

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


def find_lr(request: LrRequest, runner: Runner, *, notify: Notify) -> LrFinding:
    """Test the space's first configuration, and write what was found into the study's folder.

    Args:
        runner: carries the test.
        notify: takes one line for each thing worth knowing.

    Raises:
        AutomlError: the folder, the space or the environment does not fit.
        Interrupted: a signal arrived.
    """
    config, files = _build_test_config(request.space), request.files
    competition = prepare_competition(
        request.folder, request.settings, cache=files.cache, n_threads=request.n_threads, notify=notify
    )
    own = files.folds.exists()
    folds = load_folds(files.folds, competition) if own else make_folds(competition, seed=request.seed)
    notify(f"testing learning rates with {describe_config(config)}")
    scratch = files.find_lr_study
    try:
        save_competition(competition, scratch.competition)
        save_folds(folds, competition, scratch.folds)
        swept = _run_job(Job(id="find-lr", task=run_lr_sweep, payload=_make_job(request, config).to_json()), runner)
    finally:
        shutil.rmtree(scratch.root, ignore_errors=True)
    finding = _parse_finding(config, swept)
    _write_finding(finding, request)
    return finding


def read_finding(request: LrRequest) -> LrFinding | None:
    """Read the finding in the study's folder; return None where there is none of the request's configuration.

    Raises:
        StorageError: its file is damaged.
    """
    path = request.files.find_lr
    if not path.exists():
        return None
    document = read_json(path)
    try:
        tested = TrialConfig.from_json(document["config"])
        same = tested == _build_test_config(request.space) and document["init_from"] == _format_init_from(request)
        return _parse_finding(tested, SweepResult.from_json(document)) if same else None
    except UsageError:  # of another version
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{path} is damaged ({type(error).__name__})", hint="remove it; automl find-lr writes it again"
        ) from error


def describe_config(config: TrialConfig) -> str:
    """Return the configuration in a few words."""
    sizes = "-".join(map(str, config.resize.image_sizes))
    return f"{config.model.backbone}, {sizes} px, {config.optim.optimizer}, batch {config.batch_size}"


def _build_test_config(space: Space) -> TrialConfig:
    """Return the space's first configuration, with the default of what single steps do not depend on."""
    config = space.build_first_config()
    ignored = {setting.name: setting.default for setting in list_shared_settings() if not setting.affects_steps}
    return replace(
        config,
        optim=replace(config.optim, lr=OptimConfig().lr),
        ema_horizon=0.0,
        **ignored,
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


def _run_job(job: Job, runner: Runner) -> SweepResult:
    """Run the job, and return what its task returned.

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
    if result["outcome"] == Refused.outcome:
        refusal = TrialResult.from_json(result)
        assert isinstance(refusal, Refused)
        raise refusal.to_error()
    return SweepResult.from_json(result)


def _make_job(request: LrRequest, config: TrialConfig) -> TrialJob:
    return TrialJob(
        trial=0,
        study_dir=request.files.find_lr_study.root,
        config=config,
        seed=request.seed,
        weights_dir=request.weights_dir,
        init_from=request.space.init_from,
        pixel_cache=request.files.cache,
    )


def _format_init_from(request: LrRequest) -> str | None:
    return None if request.space.init_from is None else str(request.space.init_from)


def _parse_finding(config: TrialConfig, swept: SweepResult) -> LrFinding:
    suggestion = suggest_lr(swept.lrs, swept.losses)
    return LrFinding(
        config=config,
        image_size=swept.image_size,
        batch_size=swept.batch_size,
        lrs=swept.lrs,
        losses=swept.losses,
        suggestion=None if suggestion is None else float(f"{suggestion:.1e}"),  # more digits would claim too much
        falling=find_falling_range(swept.lrs, swept.losses),
    )


def _write_finding(finding: LrFinding, request: LrRequest) -> None:
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
        "smoothed": smooth_losses(finding.losses),
        "config": config.to_json(),
        "init_from": _format_init_from(request),
    }
    write_json(files.find_lr, document)
    write_lr_page(
        files.find_lr_page,
        title=f"Learning rates of study {files.root.name}",
        summary=f"{describe_config(config)}; steps of {finding.batch_size} images of {finding.image_size} pixels.",
        lrs=finding.lrs,
        losses=finding.losses,
        smoothed=smooth_losses(finding.losses),
        suggestion=finding.suggestion,
        falling=finding.falling,
    )
