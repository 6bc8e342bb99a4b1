"""`automl refit`: the remaining folds of the trials that an ensemble would take, then the ensemble of all folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import open_screen, reported, runner_outcomes, say_line, say_nothing
from automl.cli.ensemble import write_ensemble
from automl.cli.options import (
    DEFAULT_WORKDIR,
    TTA,
    StudyName,
    Top,
    Weights,
    Workdir,
    existing_folder,
    first_device,
    trial_numbers,
)

if TYPE_CHECKING:
    from automl.refit.refit_result import RefitResult
    from automl.refit.run_refit import RefitRequest
    from runners.base import Runner


@reported
def refit(
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
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to use; all that are visible by default.")] = None,
    trials_per_gpu: Annotated[int, typer.Option(min=1, help="Folds at once that share each GPU.")] = 1,
    gpus_per_trial: Annotated[int | None, typer.Option(min=1, help="GPUs on which each fold is trained.")] = None,
    cpu_slots: Annotated[int | None, typer.Option(min=1, help="Folds at once where no GPU is used.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Be done by then, submission included: 8h, 90m.")] = None,
    trial_timeout: Annotated[str, typer.Option(help="Silence after which a fold's process is killed.")] = "10m",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result alone.")] = False,
    tta: TTA = "auto",
    ensemble: Annotated[bool, typer.Option(help="End with an ensemble and a submission.")] = True,
    weights: Weights = None,
    runner: Annotated[str, typer.Option(help="process (each fold in its own), ray, or inline (to debug).")] = "process",
    ray_address: Annotated[str | None, typer.Option(help="Of a Ray cluster, or auto; with --runner ray.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Folds at once on the Ray cluster.")] = None,
    cpus_per_trial: Annotated[int | None, typer.Option(min=1, help="Cores for each fold, instead of a share.")] = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Train the folds that the search left out, of the trials that an ensemble would take, then ensemble all folds.

    The same command again goes on where the last one ended. Folds come out as the search would have trained them.
    """
    from automl.deadline import Deadline, parse_duration
    from automl.refit.plan import Wanted
    from automl.refit.run_refit import RefitRequest
    from automl.search.placement import Placement, counted
    from automl.workdir import existing_study, shown
    from runners.devices import cpu_count

    deadline = Deadline.after(parse_duration(timeout)) if timeout else Deadline()
    wanted = Wanted(top=top, n_pool=pool, numbers=trial_numbers(trials))
    files = existing_study(workdir, study)
    placement = Placement(
        runner=runner,
        gpus=gpus,
        trials_per_gpu=trials_per_gpu,
        gpus_per_trial=gpus_per_trial,
        cpu_slots=cpu_slots,
        ray_address=ray_address,
        slots=slots,
        cpus_per_trial=cpus_per_trial,
        silence_timeout_s=parse_duration(trial_timeout),
        storage=files.runner,
    )
    devices = placement.devices()
    placement.build_runner()  # what does not fit is refused before anything is read
    device = "cpu" if gpus == 0 else first_device()
    request = RefitRequest(
        files=files,
        wanted=wanted,
        weights_dir=existing_folder(weights),
        pseudo=pseudo_labels,
        distill=distill,
        deadline=deadline,
        device=device,
        n_threads=cpu_count(),
    )
    say = say_nothing if quiet else say_line
    say(f"study '{files.root.name}' in {shown(files.root)}, folds on {counted(devices)}")
    result = _refit(request, placement.build_runner, quiet=quiet)
    _print_result(result)
    if ensemble:
        write_ensemble(files, top=top, tta=tta, device=device, out=None, pool=pool, note=say)
    result.require_all()


def _refit(request: RefitRequest, build_runner: Callable[[], Runner], *, quiet: bool) -> RefitResult:
    from automl.refit.refit_progress import WatchedRefit
    from automl.refit.run_refit import Carrying, run_refit
    from automl.training.entry_points import run_fold

    interrupted = "interrupted; running folds keep their last epoch, the same command goes on with them"
    with open_screen(quiet=quiet) as screen, runner_outcomes(screen.line, interrupted=interrupted):
        carrying = Carrying(run_fold, build_runner, lambda loop: WatchedRefit(loop, screen))
        return run_refit(request, carrying, note=screen.line)


def _print_result(result: RefitResult) -> None:
    for own in result.scores:
        folds = ", ".join(f"{score:.4f}" for score in own.fold_scores.values())
        typer.echo(
            f"trial {own.trial}: {own.score:.4f} on {own.n_rows} rows of {len(own.fold_scores)} folds ({folds}); "
            f"{own.searched:.4f} in the search"
        )
    for line in result.lines:
        typer.echo(line)
