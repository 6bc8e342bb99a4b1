"""`automl ensemble`: the best trials' blend and the submission."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.console import open_console, reported, say_line
from automl.cli.options import DEFAULT_WORKDIR, TTA, Device, StudyName, Top, Workdir, known_device
from automl.deadline import duration

if TYPE_CHECKING:
    from rich.table import Table

    from automl.artifacts import StudyFiles
    from automl.ensemble.ensemble_result import EnsembleResult

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
        asked: what else `automl.search.run_search.run_ensemble` takes.

    Raises:
        AutomlError: the study, its files or its trials do not suffice.
    """
    from automl.cli.ensemble import ensemble_lines
    from automl.search.run_search import run_ensemble
    from automl.workdir import shown

    result = run_ensemble(files, out=out or files.submission, note=note, **asked)
    console = open_console()
    for part in ensemble_lines(result):
        console.print(part, highlight=False, markup=False)
    typer.echo(f"wrote {shown(result.submission)}")


TEXTS = ("trial", "network", "view")  # columns whose cells begin at the left
VIEWS_ABREAST = 4


def ensemble_lines(result: EnsembleResult) -> Iterator[str | Table]:
    """Tables of members and views, how alike members err, and what all of it scores."""
    better = "greater" if result.greater_is_better else "smaller"
    yield ""
    yield f"{result.metric}, {better} is better; what something adds is positive where it helps"
    yield ""
    yield _members(result)
    if result.view_adds:
        yield ""
        yield _views(result)
    if len(result.members) > 1:
        yield ""
        yield "how alike members err (1 in the same way, 0 with nothing in common):"
        yield _correlations(result)
    yield ""
    yield from _scores(result)
    yield result.decided
    yield from _time(result)


def _members(result: EnsembleResult) -> Table:
    table = _table("trial", "weight", "own score", "adds", "ms/image", "network", "px", "folds", "views")
    for member in result.members:
        table.add_row(
            member.name,
            f"{member.weight:.3f}",
            f"{member.score:.4f}",
            _added(member.adds),
            f"{1000.0 * member.seconds_per_image:.1f}",
            member.backbone,
            str(member.image_size),
            str(len(member.folds)),
            str(len(member.views)),
        )
    return table


def _views(result: EnsembleResult) -> Table:
    """As many side by side as fit."""
    table = _table(*["view", "adds"] * min(VIEWS_ABREAST, len(result.view_adds)))
    cells = [cell for view, adds in result.view_adds.items() for cell in (view, _added(adds))]
    for start in range(0, len(cells), 2 * VIEWS_ABREAST):
        table.add_row(*cells[start : start + 2 * VIEWS_ABREAST])
    return table


def _correlations(result: EnsembleResult) -> Table:
    """The upper half of the square, without what is 1 by itself."""
    names = [member.name for member in result.members]
    table = _table("trial", *names[1:])
    for row, name in enumerate(names[:-1]):
        correlations = result.error_correlations[row]
        table.add_row(name, *[f"{correlations[at]:.2f}" if at > row else "" for at in range(1, len(names))])
    return table


def _scores(result: EnsembleResult) -> Iterator[str]:
    n_rows = f"{result.n_rows} image{'' if result.n_rows == 1 else 's'}"
    told = "which also told what to leave out" if result.is_trimmed else "each with choices made without it"
    source = f"on {n_rows} out of fold, {told}"
    yield f"ensemble           {result.score:.4f} +- {result.score_error:.4f}, {source}"
    if result.view_adds:
        yield f"  without views    {result.score_without_tta:.4f}"
    yield f"best single trial  {result.best_single_score:.4f}, {_luck(result)}"


def _luck(result: EnsembleResult) -> str:
    if result.n_trials < 2:
        return f"trial {result.best_single_number}, the only one"
    flattered = f"which flatters it by about {result.luck:.4f}"
    return f"trial {result.best_single_number}: the best of {result.n_trials} by this score, {flattered}"


def _time(result: EnsembleResult) -> Iterator[str]:
    per_image = result.seconds_per_image
    if per_image > 0:
        yield f"{1000.0 * per_image:.1f} ms an image in all: {duration(1000.0 * per_image)} for 1000 test images"


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column in TEXTS else "right", overflow="fold")
    return table


def _added(adds: float | None) -> str:
    return "-" if adds is None else f"{adds:+.4f}"
