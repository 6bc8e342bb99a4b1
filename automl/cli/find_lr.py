"""`automl find-lr`: the learning-rate range test of the configuration that a search would try first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import reported, runner_outcomes, say_line
from automl.cli.options import (
    DEFAULT_WORKDIR,
    HERE,
    NOTHING,
    Choices,
    Device,
    Epochs,
    Fix,
    Folder,
    InitFrom,
    Pretrained,
    SpaceFlags,
    SpaceName,
    StudyName,
    Weights,
    Workdir,
    asking,
    existing_folder,
    known_device,
)
from automl.readers.settings import Asked

if TYPE_CHECKING:
    from automl.lr_finder.lr_finder import LrFinding

INTERRUPTED = "interrupted; nothing was kept of the test"


@reported
@asking
def find_lr(
    folder: Folder = HERE,
    asked: Asked = NOTHING,
    space: SpaceName = "default",
    fix: Fix = [],  # noqa: B006
    choices: Choices = [],  # noqa: B006
    device: Device = None,
    pretrained: Pretrained = True,
    weights: Weights = None,
    init_from: InitFrom = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option(help="Of folds and training.")] = 0,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Find a learning rate: train a few steps at ever higher ones, and see where the loss falls.

    What is tested is the configuration that a search with the same flags would try first. Nothing that is trained is
    kept, and the study is not begun: a search may follow with any settings, --center-lr auto among them.
    """
    from automl.lr_finder.lr_finder import LrRequest
    from automl.lr_finder.lr_finder import find_lr as find
    from automl.workdir import shown, study_files
    from runners.devices import cpu_count
    from runners.inline import InlineRunner

    wanted = SpaceFlags(name=space, fix=fix, choices=choices, init_from=init_from, epochs=epochs, pretrained=pretrained)
    request = LrRequest(
        folder=folder.resolve(),
        files=study_files(workdir, study or folder.resolve().name),
        space=wanted.space(),
        asked=asked,
        n_threads=cpu_count(),
        weights_dir=existing_folder(weights),
        seed=seed,
    )
    runner = InlineRunner(known_device(device), n_threads=cpu_count())
    with runner_outcomes(say_line, interrupted=INTERRUPTED):
        finding = find(request, runner, note=say_line)
    print_finding(finding)
    typer.echo(f"wrote {shown(request.files.find_lr_page)} and {shown(request.files.find_lr)}")


def print_finding(finding: LrFinding, say: Callable[[str], None] = typer.echo) -> None:
    """Print what a range test came to."""
    lowest, highest = finding.lrs[0], finding.lrs[-1]
    steps = f"{len(finding.lrs)} steps of {finding.batch_size} images of {finding.image_size} px"
    if finding.suggestion is None or finding.falling is None:
        say(f"no suggestion: from {lowest:.0e} to {highest:.0e} the loss does not clearly fall, in {steps}")
        say("  noise hides the fall, or little is left to learn: read the plot, or --fix a larger batch_size")
        return
    say(f"suggestion: lr {finding.suggestion:.1e}, where the loss falls most steeply, in {steps}")
    say(f"  it falls from {finding.falling[0]:.1e} on and is lowest at {finding.falling[1]:.1e}")
