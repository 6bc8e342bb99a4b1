"""The command line: parse, call, print.

Everything heavy is imported inside the commands, so that `automl --help` answers at once.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from automl import __version__
from automl.errors import AutomlError, UnfitEnvironmentError, UsageError, printable

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles
    from automl.display import Screen
    from automl.ensemble.build import EnsembleResult
    from automl.space import Space
    from automl.workflow import SearchRequest
    from runners.base import Runner

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="automl",
    help="Hyperparameter search for image-classification competitions, from the folder to the submission.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(help="The competition's folder; it is only read.", show_default="here")]
Workdir = Annotated[Path, typer.Option(help="Where studies are kept.")]
StudyName = Annotated[str | None, typer.Option("--study", help="The study's name; by default the folder's.")]
SpaceName = Annotated[str, typer.Option("--space", help="A search space by name, or the path of your own .py file.")]
Fix = Annotated[list[str], typer.Option(help="Pin a parameter: optimizer=adamw. Repeatable.")]
Choices = Annotated[list[str], typer.Option(help="Narrow a parameter: backbone=resnet50,densenet121. Repeatable.")]
Top = Annotated[int, typer.Option(min=1, help="How many of the best trials the ensemble may take.")]
TTA = Annotated[str, typer.Option(help="Test-time augmentation: auto, none, flips, dihedral or shifts.")]
CpuSlots = Annotated[int | None, typer.Option(min=1, help="Trials at once where no GPU is used.")]
HERE = Path()
DEFAULT_WORKDIR = Path("automl_runs")


def main() -> None:
    """Run the command line of this process."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    app()


def _reported(command: Callable[P, R]) -> Callable[P, R]:
    """The command, ending in one line with a hint and the exit code of its kind where an AutomlError escapes."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AutomlError as error:
            typer.echo(printable(f"Error: {error.problem}\n  hint: {error.hint}"), err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error

    return wrapped


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"automl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
@_reported
def search(
    folder: Folder = HERE,
    trials: Annotated[
        int, typer.Option(min=1, help="How many trials the study shall have, earlier runs included.")
    ] = 50,
    space: SpaceName = "default",
    fix: Fix = [],  # noqa: B006 (typer copies it)
    choices: Choices = [],  # noqa: B006
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to use; all that are visible by default.")] = None,
    trials_per_gpu: Annotated[int, typer.Option(min=1, help="Trials at once that share each GPU.")] = 1,
    gpus_per_trial: Annotated[int | None, typer.Option(min=1, help="GPUs on which each trial is trained.")] = None,
    cpu_slots: CpuSlots = None,
    timeout: Annotated[str | None, typer.Option(help="Be done by then, submission included: 8h, 90m.")] = None,
    trial_timeout: Annotated[str, typer.Option(help="Silence after which a trial is killed.")] = "10m",
    keep_checkpoints: Annotated[str, typer.Option(help="Of how many best trials to keep the weights, or all.")] = "15",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result alone.")] = False,
    top: Top = 5,
    tta: TTA = "auto",
    ensemble: Annotated[bool, typer.Option(help="End with an ensemble and a submission.")] = True,
    pretrained: Annotated[bool, typer.Option(help="Start from pretrained weights.")] = True,
    weights: Annotated[Path | None, typer.Option(help="A folder of pretrained weights, instead of the hub.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each trial, instead of the space's.")] = None,
    metric: Annotated[str | None, typer.Option(help="What is optimised; proposed from the submission's form.")] = None,
    flips: Annotated[bool, typer.Option(help="Whether a mirrored image keeps its label.")] = True,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out rows whose image is missing.")
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
    from automl.placement import Placement, counted
    from automl.space import load_space, narrowed
    from automl.workdir import shown, study_files
    from automl.workflow import SearchRequest
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
    request = SearchRequest(
        folder=folder.resolve(),
        files=files,
        space=_overridden(narrowed(load_space(space), fix=fix, choices=choices), epochs, pretrained),
        n_trials=trials,
        top=top,
        metric=metric,
        flips=flips,
        skip_missing=skip_missing,
        weights_dir=_existing_folder(weights),
        train_folds=_number_of_folds(train_folds),
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        n_threads=cpu_count(),
        deadline=deadline,
        keep_weights=_number_to_keep(keep_checkpoints, top),
    )
    say = _say_nothing if quiet else typer.echo
    say(f"study '{files.root.name}' in {shown(files.root)}, trials on {counted(devices)}")
    _search(request, chosen, quiet=quiet)
    if ensemble:
        _ensemble(
            files, top=top, tta=tta, device="cpu" if gpus == 0 else _first_device(), out=None, at_least=1, note=say
        )
    say(f"the study takes {bytes_below(files.root) / 1e6:.0f} MB")


@app.command()
@_reported
def ensemble(
    top: Top = 5,
    tta: TTA = "auto",
    out: Annotated[Path | None, typer.Option(help="The submission's file, instead of the study's own.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda:0 or cpu; the first GPU by default.")] = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Ensemble the best complete trials with test-time augmentation and write the submission; nothing is trained."""
    from automl.workdir import existing_study

    files = existing_study(workdir, study)
    _ensemble(files, top=top, tta=tta, device=device or _first_device(), out=out, at_least=top)


@app.command()
@_reported
def status(
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials to show.")] = 10,
) -> None:
    """Show a study: its best trials, their states, the time they took, and what is running."""
    from automl.lock import driver_of
    from automl.status import status_lines
    from automl.study import read_study
    from automl.workdir import existing_study

    files = existing_study(workdir, study)
    console = _console()
    for part in status_lines(read_study(files), driver=driver_of(files), top=top):
        console.print(part, highlight=False, markup=False)


@app.command()
@_reported
def spaces(
    name: Annotated[str | None, typer.Argument(help="A search space, or the path of your own .py file.")] = None,
    fix: Fix = [],  # noqa: B006
    choices: Choices = [],  # noqa: B006
) -> None:
    """List the search spaces, or print one at a glance."""
    from automl.space import describe, load_space, narrowed, space_names

    if name is None:
        for each in space_names():
            typer.echo(f"{each:14}{load_space(each).summary}")
        return
    space = narrowed(load_space(name), fix=fix, choices=choices)
    typer.echo(f"{space.name}: {space.summary}\nepochs: {space.first_config().epochs}\n")
    for dimension in describe(space):
        condition = f"   [if {dimension.condition}]" if dimension.condition else ""
        typer.echo(f"{dimension.name:16}{dimension.domain}{condition}")
    for proposal in space.proposals():
        typer.echo("first trial: " + ", ".join(f"{key}={value}" for key, value in proposal.items()))


@app.command()
@_reported
def dashboard(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Show a study in the Optuna dashboard, on this machine only and without changing it."""
    from automl.dashboard import serve_dashboard
    from automl.study import read_study
    from automl.workdir import existing_study

    files = existing_study(workdir, study)
    read_study(files)
    server = serve_dashboard(files, port=port)
    typer.echo(f"dashboard of study '{files.root.name}': http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)")
    sys.stdout.flush()
    server.serve_forever()


@app.command()
@_reported
def report(study: StudyName = None, workdir: Workdir = DEFAULT_WORKDIR) -> None:
    """Write a study as one HTML page that needs no network: scores, learning curves, parameters."""
    from automl.report import write_report
    from automl.study import read_study
    from automl.workdir import existing_study, shown

    files = existing_study(workdir, study)
    write_report(read_study(files), files.report)
    typer.echo(f"wrote {shown(files.report)}")


def _search(request: SearchRequest, runner: Runner, *, quiet: bool) -> None:
    from automl.display import Watched
    from automl.training.task import run_trial
    from automl.workflow import run_search
    from runners.base import Interrupted, NoPlaceError

    with _screen(quiet=quiet) as screen:
        try:
            run_search(
                request,
                run_trial,
                runner,
                watch=lambda loop, study: Watched(loop, study, screen, n_trials=request.n_trials),
                note=screen.line,
            )
        except NoPlaceError as error:
            hint = "check --ray-address, --gpus-per-trial and --cpus-per-trial"
            raise UnfitEnvironmentError(str(error), hint=hint) from error
        except Interrupted as signal:
            screen.line("interrupted; running trials keep their last epoch, the same command goes on with them")
            raise typer.Exit(128 + signal.signal_number) from signal


def _ensemble(
    files: StudyFiles,
    *,
    top: int,
    tta: str,
    device: str,
    out: Path | None,
    at_least: int,
    note: Callable[[str], None] = typer.echo,
) -> None:
    from automl.workflow import run_ensemble

    out = out or files.submission
    _print_ensemble(run_ensemble(files, top=top, tta=tta, device=device, out=out, at_least=at_least, note=note))


def _print_ensemble(result: EnsembleResult) -> None:
    from automl.workdir import shown

    for member in result.members:
        typer.echo(
            f"  weight {member.weight:.3f}  score {member.score:.4f}  trial {member.number}: "
            f"{member.backbone}, {member.image_size} px"
        )
    typer.echo(f"ensemble {result.score:.4f} +- {result.score_error:.4f}, cross-fitted on rows out of fold")
    typer.echo(f"best single trial {result.best_single_score:.4f} (trial {result.best_single_number})")
    typer.echo(f"wrote {shown(result.submission)}")


def _first_device() -> str:
    from runners.devices import visible_gpus

    return (visible_gpus() or ["cpu"])[0]


def _say_nothing(text: str) -> None:
    """What `--quiet` does with a line."""


def _overridden(space: Space, epochs: int | None, pretrained: bool) -> Space:
    from dataclasses import replace

    return replace(space, epochs=epochs, pretrained=None if pretrained else False)


def _number_of_folds(text: str) -> int:
    from automl.data.folds import N_FOLDS

    if text == "all":
        return N_FOLDS
    if text.isdigit() and 1 <= int(text) <= N_FOLDS:
        return int(text)
    raise UsageError(f"--train-folds {text} is not 1 to {N_FOLDS} or all", hint="leave it out to train one fold")


def _number_to_keep(text: str, top: int) -> int | None:
    if text == "all":
        return None
    if not text.isdigit() or int(text) < top:
        raise UsageError(
            f"--keep-checkpoints {text} is not a number from --top {top} on, or all",
            hint="leave it out to keep the weights of the best 15 trials",
        )
    return int(text)


def _existing_folder(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise UnfitEnvironmentError(f"--weights {folder} is not a folder", hint="name the folder that holds the files")
    return None if folder is None else folder.resolve()


def _console() -> Any:
    from rich.console import Console

    return Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=160)


@contextmanager
def _screen(*, quiet: bool) -> Iterator[Screen]:
    from automl.display import LiveScreen, PlainScreen, QuietScreen

    console = _console()
    if quiet:
        yield QuietScreen()
        return
    if not console.is_terminal:
        yield PlainScreen(console)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        yield LiveScreen(live)
