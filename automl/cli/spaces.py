"""`automl spaces`: which search spaces there are, and what one of them asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import report_errors
from automl.cli.options import Choices, Fix, parse_learning_rate
from automl.config import list_shared_settings
from automl.suggest import format_numbers, format_value

if TYPE_CHECKING:
    from automl.dimensions import Dimension
    from automl.space import Space


@report_errors
def spaces(
    name: Annotated[str | None, typer.Argument(help="A search space, or the path of your own .py file.")] = None,
    fix: Fix = [],  # noqa: B006
    choices: Choices = [],  # noqa: B006
    center_lr: Annotated[str | None, typer.Option(help="Ask lr within a decade of this, as a search would.")] = None,
) -> None:
    """List the search spaces, or print one at a glance."""
    from automl.space import center_learning_rate, describe, list_spaces, load_space, narrow_space

    if name is None:
        for each in list_spaces():
            typer.echo(f"{each:14}{load_space(each).summary}")
        return
    space = narrow_space(load_space(name), fix=fix, choices=choices)
    if center_lr is not None:
        space = center_learning_rate(space, parse_learning_rate(center_lr))
    dimensions = describe(space)
    typer.echo(f"{space.name}: {space.summary}\n{_format_common_line(space, dimensions)}\n")
    width = 2 + max(len(dimension.name) for dimension in dimensions)
    for dimension in dimensions:
        condition = f"   [if {dimension.condition}]" if dimension.condition else ""
        typer.echo(f"{dimension.name:{width}}{format_numbers(dimension.domain + condition)}")
    for proposal in space.list_proposals():
        typer.echo("first trial: " + ", ".join(f"{key}={format_value(value)}" for key, value in proposal.items()))


def _format_common_line(space: Space, dimensions: list[Dimension]) -> str:
    """ "epochs: 12 (--epochs), patience: none (--patience)": without the space's own parameters."""
    config, questions = space.build_first_config(), {dimension.name for dimension in dimensions}
    return ", ".join(
        f"{setting.name.replace('_', ' ')}: {format_value(getattr(config, setting.name))} ({setting.flag})"
        for setting in list_shared_settings()
        if not setting.group and setting.name not in questions
    )
