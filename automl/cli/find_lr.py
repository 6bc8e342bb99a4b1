"""`automl find-lr`: the learning-rate range test of the configuration that a search would try first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.console import convert_runner_errors, print_line, report_errors
from automl.cli.options import (
    COMPETITION_FLAGS,
    DEFAULT_WORKDIR,
    HERE,
    Choices,
    Device,
    Fix,
    Folder,
    InitFrom,
    SpaceFlags,
    SpaceName,
    StudyName,
    Weights,
    Workdir,
    choose_device,
    expand_flags,
    override_flags,
    resolve_weights_folder,
)
from automl.errors import Notify
from automl.readers.settings import CompetitionSettings
from automl.suggest import format_number

if TYPE_CHECKING:
    from automl.lr_finder.lr_finder import LrFinding

INTERRUPTED = "interrupted; nothing was kept of the test"


@report_errors
@expand_flags(
    settings=COMPETITION_FLAGS,
    model_overrides=override_flags(of_model=True, steps_only=True),
    overrides=override_flags(of_model=False, steps_only=True),
)
def find_lr(
    *,
    folder: Folder = HERE,
    settings: CompetitionSettings,
    space: SpaceName = "default",
    fix: Fix = [],  # noqa: B006
    choices: Choices = [],  # noqa: B006
    device: Device = None,
    model_overrides: dict[str, Any],
    weights: Weights = None,
    init_from: InitFrom = None,
    overrides: dict[str, Any],
    seed: Annotated[int, typer.Option(help="Of folds and training.")] = 0,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Find a learning rate: train a few steps at ever higher ones, and see where the loss falls.

    What is tested is the configuration that a search with the same flags would try first. Nothing that is trained is
    kept, and the study is not begun: a search may follow with any settings, --center-lr auto among them.
    """
    from automl.cli.workdir import format_path, get_study_files
    from automl.lr_finder.lr_finder import LrRequest
    from automl.lr_finder.lr_finder import find_lr as find
    from runners.devices import count_cpus
    from runners.inline import InlineRunner

    overrides |= model_overrides
    space_flags = SpaceFlags(name=space, fix=fix, choices=choices, init_from=init_from, overrides=overrides)
    request = LrRequest(
        folder=folder.resolve(),
        files=get_study_files(workdir, study or folder.resolve().name),
        space=space_flags.load_space(),
        settings=settings,
        n_threads=count_cpus(),
        weights_dir=resolve_weights_folder(weights),
        seed=seed,
    )
    runner = InlineRunner(choose_device(device), n_threads=count_cpus())
    with convert_runner_errors(print_line, interrupted=INTERRUPTED):
        finding = find(request, runner, notify=print_line)
    print_finding(finding)
    typer.echo(f"wrote {format_path(request.files.find_lr_page)} and {format_path(request.files.find_lr)}")


def print_finding(finding: LrFinding, notify: Notify = typer.echo) -> None:
    """Print the result of a range test."""
    lowest, highest = finding.lrs[0], finding.lrs[-1]
    steps = f"{len(finding.lrs)} steps of {finding.batch_size} images of {finding.image_size} px"
    if finding.suggestion is None or finding.falling is None:
        tested = f"from {format_number(lowest, digits=1)} to {format_number(highest, digits=1)}"
        notify(f"no suggestion: {tested} the loss does not clearly fall, in {steps}")
        notify("  noise hides the fall, or little is left to learn: read the plot, or --fix a larger batch_size")
        return
    suggestion, falling, best = (
        format_number(lr, digits=2) for lr in (finding.suggestion, finding.falling[0], finding.falling[1])
    )
    notify(f"suggestion: lr {suggestion}, where the loss falls most steeply, in {steps}")
    notify(f"  it falls from {falling} on and is lowest at {best}")
