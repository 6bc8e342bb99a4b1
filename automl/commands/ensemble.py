"""`automl ensemble`: the best trials' blend and the submission."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.commands.exits import reported
from automl.commands.flags import DEFAULT_WORKDIR, TTA, Device, StudyName, Top, Workdir, first_device
from automl.commands.screens import say_line

if TYPE_CHECKING:
    from automl.artifacts import StudyFiles
    from automl.ensemble.build import EnsembleResult


@reported
def ensemble(
    top: Top = 5,
    tta: TTA = "auto",
    out: Annotated[Path | None, typer.Option(help="The submission's file, instead of the study's own.")] = None,
    device: Device = None,
    study: StudyName = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Ensemble the best complete trials with test-time augmentation and write the submission; nothing is trained."""
    from automl.workdir import existing_study

    files = existing_study(workdir, study)
    write_ensemble(files, top=top, tta=tta, device=device or first_device(), out=out, at_least=top)


def write_ensemble(
    files: StudyFiles,
    *,
    top: int,
    tta: str,
    device: str,
    out: Path | None,
    at_least: int,
    note: Callable[[str], None] = say_line,
) -> None:
    """Ensemble, write the submission, and print what it is made of.

    Raises:
        AutomlError: the study, its files or its trials do not suffice.
    """
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
    if result.decided:
        typer.echo(result.decided)
    typer.echo(f"best single trial {result.best_single_score:.4f} (trial {result.best_single_number})")
    typer.echo(f"wrote {shown(result.submission)}")
