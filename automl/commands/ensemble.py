"""`automl ensemble`: the best trials' blend and the submission."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.commands.exits import reported
from automl.commands.flags import DEFAULT_WORKDIR, TTA, Device, StudyName, Top, Workdir, known_device
from automl.commands.screens import open_console, say_line

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles

DEFAULT_POOL = 15


@reported
def ensemble(
    top: Top = 5,
    pool: Annotated[int, typer.Option(min=1, help="Of how many of the best trials these are chosen.")] = DEFAULT_POOL,
    tta: TTA = "auto",
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="For predicting the test images: views, then members are left out until it is enough."
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="How many test images --max-minutes is for, where the hidden test set is larger."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The submission's file, instead of the study's own.")] = None,
    device: Device = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Ensemble the best complete trials with test-time augmentation and write the submission; nothing is trained.

    The same command again asks no model twice.
    """
    from automl.errors import UsageError
    from automl.workdir import existing_study

    if max_minutes == 0.0:
        raise UsageError("--max-minutes 0 leaves no time to predict in", hint="give the minutes that there are")
    if images is not None and max_minutes is None:
        raise UsageError(f"--images {images} says nothing without --max-minutes", hint="give --max-minutes as well")
    write_ensemble(
        existing_study(workdir, study),
        top=top,
        pool=pool,
        tta=tta,
        device=known_device(device),
        out=out,
        max_minutes=max_minutes,
        n_images=images,
    )


def write_ensemble(
    files: StudyFiles, *, out: Path | None, note: Callable[[str], None] = say_line, **asked: Any
) -> None:
    """Ensemble, write the submission, and print what it is made of.

    Args:
        asked: what else `automl.workflow.run_ensemble` takes.

    Raises:
        AutomlError: the study, its files or its trials do not suffice.
    """
    from automl.commands.ensemble_table import ensemble_lines
    from automl.workdir import shown
    from automl.workflow import run_ensemble

    result = run_ensemble(files, out=out or files.submission, note=note, **asked)
    console = open_console()
    for part in ensemble_lines(result):
        console.print(part, highlight=False, markup=False)
    typer.echo(f"wrote {shown(result.submission)}")
