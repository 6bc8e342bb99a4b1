"""`automl search`: trials up to the target, then the ensemble and the submission."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import open_screen, reported, runner_outcomes, say_line, say_nothing
from automl.cli.ensemble import write_ensemble
from automl.cli.find_lr import INTERRUPTED, print_finding
from automl.cli.options import (
    DEFAULT_WORKDIR,
    HERE,
    NOTHING,
    TTA,
    Choices,
    Epochs,
    Fix,
    Folder,
    InitFrom,
    Pretrained,
    SpaceFlags,
    SpaceName,
    StudyName,
    Top,
    Weights,
    Workdir,
    asking,
    existing_folder,
    first_device,
    learning_rate,
    number_of_folds,
    number_to_keep,
)
from automl.errors import UsageError
from automl.readers.settings import Asked

if TYPE_CHECKING:
    from automl.search.placement import Placement
    from automl.search.run_search import SearchRequest
    from automl.space import Space
    from runners.base import Runner


@reported
@asking
def search(
    folder: Folder = HERE,
    asked: Asked = NOTHING,
    trials: Annotated[
        int, typer.Option(min=1, help="How many trials the study shall have, earlier runs included.")
    ] = 50,
    space: SpaceName = "default",
    fix: Fix = [],  # noqa: B006 (typer copies it)
    choices: Choices = [],  # noqa: B006
    center_lr: Annotated[
        str | None, typer.Option(help="Search lr within a decade of this; auto is what find-lr suggests.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to use; all that are visible by default.")] = None,
    trials_per_gpu: Annotated[int, typer.Option(min=1, help="Trials at once that share each GPU.")] = 1,
    gpus_per_trial: Annotated[int | None, typer.Option(min=1, help="GPUs on which each trial is trained.")] = None,
    cpu_slots: Annotated[int | None, typer.Option(min=1, help="Trials at once where no GPU is used.")] = None,
    timeout: Annotated[str | None, typer.Option(help="Be done by then, submission included: 8h, 90m.")] = None,
    trial_timeout: Annotated[str, typer.Option(help="Silence after which a trial is killed.")] = "10m",
    keep_checkpoints: Annotated[str, typer.Option(help="Of how many best trials to keep the weights, or all.")] = "15",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result alone.")] = False,
    top: Top = 5,
    tta: TTA = "auto",
    ensemble: Annotated[bool, typer.Option(help="End with an ensemble and a submission.")] = True,
    pretrained: Pretrained = True,
    weights: Weights = None,
    init_from: InitFrom = None,
    epochs: Epochs = None,
    epoch_choice: Annotated[
        str | None,
        typer.Option(help="Whose weights predict: last, or best by the validation score, which flatters that score."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Epochs without a better score after which a trial ends.")
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile each network first, which takes minutes.")
    ] = False,
    train_folds: Annotated[str, typer.Option(help="Folds to train of each trial: 1 to 5, or all.")] = "1",
    sampler: Annotated[str, typer.Option(help="tpe, random or qmc.")] = "tpe",
    pruner: Annotated[str, typer.Option(help="rank, median, percentile, hyperband or none.")] = "rank",
    seed: Annotated[int, typer.Option(help="Of folds, sampler and training.")] = 0,
    runner: Annotated[
        str, typer.Option(help="process (each trial in its own), ray, or inline (to debug).")
    ] = "process",
    ray_address: Annotated[str | None, typer.Option(help="Of a Ray cluster, or auto; with --runner ray.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Trials at once on the Ray cluster.")] = None,
    cpus_per_trial: Annotated[int | None, typer.Option(min=1, help="Cores for each trial, instead of a share.")] = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Search, then ensemble the best trials and write the submission.

    The same command again goes on where the last one ended, up to the number of trials.
    """
    from automl.artifacts import bytes_below
    from automl.deadline import Deadline, parse_duration
    from automl.search.placement import Placement, counted
    from automl.search.run_search import SearchRequest
    from automl.workdir import shown, study_files
    from runners.devices import cpu_count

    deadline = Deadline.after(parse_duration(timeout)) if timeout else Deadline()
    files = study_files(workdir, study or folder.resolve().name)
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
    chosen = placement.build_runner()
    wanted = SpaceFlags(
        name=space,
        fix=fix,
        choices=choices,
        init_from=init_from,
        epochs=epochs,
        pretrained=pretrained,
        epoch_choice=epoch_choice,
        patience=patience,
        compile=compile,
    )
    request = SearchRequest(
        folder=folder.resolve(),
        files=files,
        space=wanted.space(),
        n_trials=trials,
        top=top,
        asked=asked,
        weights_dir=existing_folder(weights),
        train_folds=number_of_folds(train_folds),
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        n_threads=cpu_count(),
        deadline=deadline,
        keep_weights=number_to_keep(keep_checkpoints, top),
    )
    say = say_nothing if quiet else say_line
    say(f"study '{files.root.name}' in {shown(files.root)}, trials on {counted(devices)}")
    if center_lr is not None:
        request = replace(request, space=_centred(request, center_lr, placement, say))
    _search(request, chosen, quiet=quiet)
    if ensemble:
        device = "cpu" if gpus == 0 else first_device()
        write_ensemble(files, top=top, tta=tta, device=device, out=None, note=say)
    say(f"the study takes {bytes_below(files.root) / 1e6:.0f} MB")


def _search(request: SearchRequest, runner: Runner, *, quiet: bool) -> None:
    from automl.search.progress import Watched
    from automl.search.run_search import run_search
    from automl.training.entry_points import run_trial

    interrupted = "interrupted; running trials keep their last epoch, the same command goes on with them"
    with open_screen(quiet=quiet) as screen, runner_outcomes(screen.line, interrupted=interrupted):
        run_search(
            request,
            run_trial,
            runner,
            watch=lambda loop, study: Watched(loop, study, screen, n_trials=request.n_trials),
            note=screen.line,
        )


def _centred(request: SearchRequest, center: str, placement: Placement, say: Callable[[str], None]) -> Space:
    """The space with lr about the number that was given, or about the one that a range test suggests."""
    from automl.space import centred

    if center != "auto":
        return centred(request.space, learning_rate(center))
    centred(request.space, 1.0)  # before a test is made in vain
    return centred(request.space, _suggested_lr(request, placement, say))


def _suggested_lr(request: SearchRequest, placement: Placement, say: Callable[[str], None]) -> float:
    """The suggestion that is kept in the study's folder, or that of a test made now, where the trials run."""
    from automl.lr_finder.lr_finder import LrRequest, find_lr, kept_finding
    from automl.workdir import shown

    wanted = LrRequest(
        folder=request.folder,
        files=request.files,
        space=request.space,
        asked=request.asked,
        weights_dir=request.weights_dir,
        seed=request.seed,
        n_threads=request.n_threads,
    )
    finding = kept_finding(wanted)
    if finding is None:
        say(f"{shown(request.files.find_lr)} holds no test of the first trial's configuration: making it now")
        with runner_outcomes(say, interrupted=INTERRUPTED):
            finding = find_lr(wanted, placement.build_runner(), note=say)
        print_finding(finding, say)
    if finding.suggestion is None:
        raise UsageError(
            "--center-lr auto found no learning rate: the loss did not clearly fall",
            hint=f"read {shown(request.files.find_lr_page)} and give a number, or leave --center-lr out",
        )
    say(f"lr is searched within a decade of {finding.suggestion:.1e}, from {shown(request.files.find_lr)}")
    return finding.suggestion
