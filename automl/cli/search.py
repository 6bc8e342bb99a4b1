"""`automl search`: trials up to the target, then the ensemble and the submission."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.console import convert_runner_errors, ignore_line, open_display, print_line, report_errors
from automl.cli.ensemble import write_ensemble
from automl.cli.find_lr import INTERRUPTED, print_finding
from automl.cli.options import (
    COMPETITION_FLAGS,
    DEFAULT_WORKDIR,
    HERE,
    TTA,
    CacheGb,
    Choices,
    Fix,
    Folder,
    InitFrom,
    SpaceFlags,
    SpaceName,
    StudyName,
    Top,
    Weights,
    Workdir,
    build_deadline,
    build_placement,
    expand_flags,
    get_first_device,
    override_flags,
    parse_keep_checkpoints,
    parse_learning_rate,
    parse_train_folds,
    resolve_weights_folder,
    resource_flags,
    runner_flags,
)
from automl.errors import Notify, NoUsableModelError, UsageError
from automl.readers.settings import CompetitionSettings
from automl.suggest import format_number

if TYPE_CHECKING:
    from automl.search.placement import Placement
    from automl.search.run_search import SearchRequest
    from automl.space import Space
    from runners.base import Runner


@report_errors
@expand_flags(
    settings=COMPETITION_FLAGS,
    resources=resource_flags("trial"),
    model_overrides=override_flags(of_model=True),
    overrides=override_flags(of_model=False),
    workers=runner_flags("trial"),
)
def search(
    *,
    folder: Folder = HERE,
    settings: CompetitionSettings,
    trials: Annotated[
        int, typer.Option(min=1, help="How many trials the study shall have, earlier runs included.")
    ] = 50,
    space: SpaceName = "default",
    fix: Fix = [],  # noqa: B006 (typer copies it)
    choices: Choices = [],  # noqa: B006
    center_lr: Annotated[
        str | None, typer.Option(help="Search lr within a decade of this; auto is what find-lr suggests.")
    ] = None,
    resources: dict[str, Any],
    probe: Annotated[
        str, typer.Option(help="Time for probes before the trials: auto (a tenth of all), none, or such as 3m.")
    ] = "auto",
    cache_gb: CacheGb = None,
    keep_checkpoints: Annotated[str, typer.Option(help="Of how many best trials to keep the weights, or all.")] = "15",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result alone.")] = False,
    top: Top = 5,
    tta: TTA = "auto",
    ensemble: Annotated[bool, typer.Option(help="End with an ensemble and a submission.")] = True,
    model_overrides: dict[str, Any],
    weights: Weights = None,
    init_from: InitFrom = None,
    overrides: dict[str, Any],
    train_folds: Annotated[str, typer.Option(help="Folds to train of each trial: 1 to 5, or all.")] = "1",
    sampler: Annotated[str, typer.Option(help="tpe, random or qmc.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="rank, median, percentile, hyperband or none.")] = "rank",
    seed: Annotated[int, typer.Option(help="Of folds, sampler and training.")] = 0,
    workers: dict[str, Any],
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Probe the backbones, search, then ensemble the best and write the submission.

    The same command again goes on where the last one ended, up to the number of trials.
    """
    from automl.artifacts import count_bytes_below
    from automl.cli.workdir import format_path, get_study_files
    from automl.search.placement import describe_devices
    from automl.search.run_search import SearchRequest
    from runners.devices import count_cpus

    deadline = build_deadline(resources)
    files = get_study_files(workdir, study or folder.resolve().name)
    placement = build_placement(resources, workers, storage=files.runner)
    devices = placement.list_devices()
    trial_runner = placement.build_runner()
    overrides |= model_overrides
    space_flags = SpaceFlags(name=space, fix=fix, choices=choices, init_from=init_from, overrides=overrides)
    request = SearchRequest(
        folder=folder.resolve(),
        files=files,
        space=space_flags.load_space(),
        n_trials=trials,
        top=top,
        settings=settings,
        weights_dir=resolve_weights_folder(weights),
        train_folds=parse_train_folds(train_folds),
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        n_threads=count_cpus(),
        deadline=deadline,
        keep_weights=parse_keep_checkpoints(keep_checkpoints, top),
        probe_budget=probe,
        is_local=placement.ray_address is None,
        devices=devices,
        cache_gb=cache_gb,
    )
    notify = ignore_line if quiet else print_line
    notify(f"study '{files.root.name}' in {format_path(files.root)}, trials on {describe_devices(devices)}")
    if center_lr is not None:
        request = replace(request, space=_center_space(request, center_lr, placement, notify))
    _search(request, trial_runner, quiet=quiet)
    if ensemble:
        device = "cpu" if resources["gpus"] == 0 else get_first_device()
        _finish(request, top=top, tta=tta, device=device, notify=notify)
    notify(f"the study takes {count_bytes_below(files.root) / 1e6:.0f} MB")


def _finish(request: SearchRequest, *, top: int, tta: str, device: str, notify: Notify) -> None:
    """Write the ensemble; where neither a trial is complete nor a probe, a submission of a trial that is not."""
    from automl.cli.workdir import format_path
    from automl.data.competition import load_competition
    from automl.search.current_submission import keep_better, read_summary, write_unfinished

    files = request.files
    before = read_summary(files)
    submission = files.submission.read_bytes() if files.submission.exists() else None
    try:
        result = write_ensemble(files, top=top, tta=tta, device=device, out=None, notify=notify)
        line = None
        if before is not None and submission is not None:
            competition = load_competition(files.competition)
            line = keep_better(files, competition, result, before=before, submission=submission)
        if line is not None:
            print_line(line)
    except NoUsableModelError:
        competition = load_competition(files.competition)
        line = write_unfinished(files, competition, device=device, n_threads=request.n_threads)
        if line is None:
            raise
        print_line(line)
        print_line(f"wrote {format_path(files.submission)}")


def _search(request: SearchRequest, runner: Runner, *, quiet: bool) -> None:
    from automl.probing.entry_point import run_probes
    from automl.search.progress import SearchMonitor
    from automl.search.run_search import SearchTasks, run_search
    from automl.training.entry_points import run_trial

    interrupted = "interrupted; running trials keep their last epoch, the same command goes on with them"
    with open_display(quiet=quiet) as display, convert_runner_errors(display.print_line, interrupted=interrupted):
        run_search(
            request,
            SearchTasks(trial=run_trial, probes=run_probes),
            runner,
            build_monitor=lambda loop, study: SearchMonitor(loop, study, display, n_trials=request.n_trials),
            notify=display.print_line,
        )


def _center_space(request: SearchRequest, center: str, placement: Placement, notify: Notify) -> Space:
    """Center lr on the number that was given, or on the one that a range test suggests."""
    from automl.space import center_learning_rate

    if center != "auto":
        return center_learning_rate(request.space, parse_learning_rate(center))
    center_learning_rate(request.space, 1.0)  # before a test is made in vain
    return center_learning_rate(request.space, _find_suggested_lr(request, placement, notify))


def _find_suggested_lr(request: SearchRequest, placement: Placement, notify: Notify) -> float:
    """Return the suggestion that is kept in the study's folder, or that of a test made now, where the trials run."""
    from automl.cli.workdir import format_path
    from automl.lr_finder.lr_finder import LrRequest, find_lr, read_finding

    wanted = LrRequest(
        folder=request.folder,
        files=request.files,
        space=request.space,
        settings=request.settings,
        weights_dir=request.weights_dir,
        seed=request.seed,
        n_threads=request.n_threads,
    )
    finding = read_finding(wanted)
    if finding is None:
        notify(f"{format_path(request.files.find_lr)} holds no test of the first trial's configuration: making it now")
        with convert_runner_errors(notify, interrupted=INTERRUPTED):
            finding = find_lr(wanted, placement.build_runner(), notify=notify)
        print_finding(finding, notify)
    if finding.suggestion is None:
        raise UsageError(
            "--center-lr auto found no learning rate: the loss did not clearly fall",
            hint=f"read {format_path(request.files.find_lr_page)} and give a number, or leave --center-lr out",
        )
    center = format_number(finding.suggestion, digits=2)
    notify(f"lr is searched within a decade of {center}, from {format_path(request.files.find_lr)}")
    return finding.suggestion
