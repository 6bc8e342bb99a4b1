"""`automl refit`: the remaining folds of the trials that an ensemble would take, then the ensemble of all folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.console import convert_runner_errors, ignore_line, open_display, print_line, report_errors
from automl.cli.ensemble import write_ensemble
from automl.cli.options import (
    DEFAULT_WORKDIR,
    TTA,
    CacheGb,
    StudyName,
    Top,
    Weights,
    Workdir,
    build_deadline,
    build_placement,
    expand_flags,
    get_first_device,
    parse_trial_numbers,
    resolve_weights_folder,
    resource_flags,
    runner_flags,
)

if TYPE_CHECKING:
    from automl.refit.refit_result import RefitResult
    from automl.refit.run_refit import RefitRequest
    from runners.base import Runner


@report_errors
@expand_flags(resources=resource_flags("fold"), workers=runner_flags("fold"))
def refit(
    *,
    top: Top = 5,
    trials: Annotated[
        str | None, typer.Option(help="Refit these instead: 3,17; by default those that an ensemble would take.")
    ] = None,
    pool: Annotated[int, typer.Option(min=1, help="How many of the best trials they are chosen from.")] = 15,
    pseudo_labels: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Train again, also on test images predicted so surely; the rules must allow it."
        ),
    ] = None,
    distill: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=0.999, help="Train again, with this share of the predictions out of fold in the labels."
        ),
    ] = None,
    resources: dict[str, Any],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result alone.")] = False,
    tta: TTA = "auto",
    ensemble: Annotated[bool, typer.Option(help="End with an ensemble and a submission.")] = True,
    weights: Weights = None,
    cache_gb: CacheGb = None,
    workers: dict[str, Any],
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Train the folds that the search left out, of the trials that an ensemble would take, then ensemble all folds.

    The same command again goes on where the last one ended. Folds come out as the search would have trained them.
    """
    from automl.cli.workdir import find_study, format_path
    from automl.refit.plan import RefitSelection
    from automl.refit.run_refit import RefitRequest
    from automl.search.placement import describe_devices
    from runners.devices import count_cpus

    deadline = build_deadline(resources)
    selection = RefitSelection(top=top, n_pool=pool, numbers=parse_trial_numbers(trials))
    files = find_study(workdir, study)
    placement = build_placement(resources, workers, storage=files.runner)
    devices = placement.list_devices()
    placement.build_runner()  # what does not fit is refused before anything is read
    device = "cpu" if resources["gpus"] == 0 else get_first_device()
    request = RefitRequest(
        files=files,
        selection=selection,
        weights_dir=resolve_weights_folder(weights),
        cache_gb=cache_gb,
        pseudo_labels=pseudo_labels,
        distill=distill,
        deadline=deadline,
        device=device,
        n_threads=count_cpus(),
    )
    notify = ignore_line if quiet else print_line
    notify(f"study '{files.root.name}' in {format_path(files.root)}, folds on {describe_devices(devices)}")
    result = _refit(request, placement.build_runner, quiet=quiet)
    _print_result(result)
    if ensemble:
        write_ensemble(files, top=top, tta=tta, device=device, out=None, pool=pool, notify=notify)
    result.require_all()


def _refit(request: RefitRequest, build_runner: Callable[[], Runner], *, quiet: bool) -> RefitResult:
    from automl.refit.run_refit import FoldExecution, RefitMonitor, run_refit
    from automl.training.entry_points import run_fold

    interrupted = "interrupted; running folds keep their last epoch, the same command goes on with them"
    with open_display(quiet=quiet) as display, convert_runner_errors(display.print_line, interrupted=interrupted):
        execution = FoldExecution(run_fold, build_runner, lambda loop: RefitMonitor(loop, display))
        return run_refit(request, execution, notify=display.print_line)


def _print_result(result: RefitResult) -> None:
    for own in result.scores:
        folds = ", ".join(f"{score:.4f}" for score in own.fold_scores.values())
        typer.echo(
            f"trial {own.trial}: {own.score:.4f} on {own.n_rows} rows of {len(own.fold_scores)} folds ({folds}); "
            f"{own.searched:.4f} in the search"
        )
    for line in result.lines:
        typer.echo(line)
