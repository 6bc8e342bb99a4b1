"""`automl ensemble`: blend the best trials, write the submission, and print what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli.console import open_console, print_line, report_errors
from automl.cli.options import DEFAULT_WORKDIR, TTA, Device, StudyName, Top, Workdir, choose_device
from automl.errors import Notify
from automl.study.deadline import format_duration

if TYPE_CHECKING:
    from rich.table import Table

    from automl.artifacts import StudyFiles
    from automl.ensemble.ensemble_result import EnsembleResult

DEFAULT_POOL = 15
TEXTS = ("trial", "network", "view")  # columns whose cells begin at the left
VIEWS_ABREAST = 4


@report_errors
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
    """Ensemble the best trials and probes with test-time augmentation and write the submission; nothing is trained.

    The same command again asks no model twice.
    """
    from automl.cli.workdir import find_study
    from automl.errors import UsageError

    if max_minutes == 0.0:
        raise UsageError("--max-minutes 0 leaves no time to predict in", hint="give the minutes that there are")
    if images is not None and max_minutes is None:
        raise UsageError(f"--images {images} says nothing without --max-minutes", hint="give --max-minutes as well")
    write_ensemble(
        find_study(workdir, study),
        top=top,
        pool=pool,
        tta=tta,
        device=choose_device(device),
        out=out,
        max_minutes=max_minutes,
        n_images=images,
    )


def write_ensemble(
    files: StudyFiles, *, out: Path | None, notify: Notify = print_line, **options: Any
) -> EnsembleResult:
    """Ensemble, write the submission, print what it is made of, and return it.

    Args:
        options: other attributes of `automl.ensemble.ensemble_result.EnsembleRequest`.

    Raises:
        AutomlError: the study, its files or its trials do not suffice.
    """
    from automl.cli.workdir import format_path
    from automl.ensemble.ensemble_result import EnsembleRequest
    from automl.search.current_submission import summarize_ensemble, write_summary
    from automl.search.run_search import run_ensemble
    from runners.devices import count_cpus

    request = EnsembleRequest(out=out or files.submission, n_threads=count_cpus(), **options)
    result = run_ensemble(files, request, notify=notify)
    console = open_console()
    for part in render_ensemble(result):
        console.print(part, highlight=False, markup=False)
    if result.submission is None:
        typer.echo("no test images, so there is no submission: automl predict FOLDER predicts new ones")
        return result
    typer.echo(f"wrote {format_path(result.submission)}")
    if out is None:
        write_summary(files, summarize_ensemble(result))
    return result


def render_ensemble(result: EnsembleResult) -> Iterator[str | Table]:
    """Yield tables of members and views, how alike members err, and what all of it scores."""
    better = "greater" if result.greater_is_better else "smaller"
    yield ""
    yield f"{result.metric}, {better} is better; what something adds is positive where it helps"
    yield ""
    yield _render_members(result)
    if result.view_gains:
        yield ""
        yield _render_views(result)
    if len(result.members) > 1:
        yield ""
        yield "how alike members err (1 in the same way, 0 with nothing in common):"
        yield _render_correlations(result)
    yield ""
    yield from _format_scores(result)
    yield result.rule_words
    yield from _format_time(result)


def _render_members(result: EnsembleResult) -> Table:
    table = _build_table("trial", "weight", "own score", "adds", "ms/image", "network", "px", "folds", "views")
    for member in result.members:
        table.add_row(
            member.name,
            f"{member.weight:.3f}",
            f"{result.member_scores[member.name]:.4f}",
            _format_gain(result.member_gains[member.name]),
            f"{1000.0 * member.cost:.1f}",
            member.config.model.backbone,
            str(member.image_size),
            str(len(member.folds)),
            str(len(member.views)),
        )
    return table


def _render_views(result: EnsembleResult) -> Table:
    """Return the table of views, as many side by side as fit."""
    table = _build_table(*["view", "adds"] * min(VIEWS_ABREAST, len(result.view_gains)))
    cells = [cell for view, gain in result.view_gains.items() for cell in (view, _format_gain(gain))]
    for start in range(0, len(cells), 2 * VIEWS_ABREAST):
        table.add_row(*cells[start : start + 2 * VIEWS_ABREAST])
    return table


def _render_correlations(result: EnsembleResult) -> Table:
    """Return the upper half of the square, without what is 1 by itself."""
    names = [member.name for member in result.members]
    table = _build_table("trial", *names[1:])
    for row, name in enumerate(names[:-1]):
        correlations = result.error_correlations[row]
        table.add_row(name, *[f"{correlations[at]:.2f}" if at > row else "" for at in range(1, len(names))])
    return table


def _format_scores(result: EnsembleResult) -> Iterator[str]:
    n_rows = f"{result.n_rows} image{'' if result.n_rows == 1 else 's'}"
    choices = "which also told what to leave out" if result.is_trimmed else "each with choices made without it"
    source = f"on {n_rows} out of fold, {choices}"
    yield f"ensemble           {result.score:.4f} +- {result.score_error:.4f}, {source}"
    if result.view_gains:
        yield f"  without views    {result.score_without_tta:.4f}"
    noun = "probe" if result.best_single_kind == "probe" else "trial"
    yield f"best single {noun}  {result.best_single_score:.4f}, {_describe_optimism(result)}"


def _describe_optimism(result: EnsembleResult) -> str:
    from automl.ensemble.ensemble_recipe import describe_member

    name = describe_member(result.best_single_number, result.best_single_kind)
    if result.n_trials < 2:
        return f"{name}, the only one"
    flattered = f"which flatters it by about {result.optimism:.4f}"
    return f"{name}: the best of {result.n_trials} by this score, {flattered}"


def _format_time(result: EnsembleResult) -> Iterator[str]:
    per_image = result.recipe.cost
    if per_image > 0:
        yield f"{1000.0 * per_image:.1f} ms an image in all: {format_duration(1000.0 * per_image)} for 1000 test images"


def _build_table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column in TEXTS else "right", overflow="fold")
    return table


def _format_gain(gain: float | None) -> str:
    return "-" if gain is None else f"{gain:+.4f}"
