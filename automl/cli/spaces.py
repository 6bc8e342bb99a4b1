"""`automl spaces`: which search spaces there are, and what one of them asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli.console import reported
from automl.cli.options import Choices, Fix, learning_rate

if TYPE_CHECKING:
    from automl.dimensions import Dimension
    from automl.space import Space

# What every trial of a study has in common, and the flag of a search that changes it.
COMMON = {"epochs": "--epochs", "epoch_choice": "--epoch-choice", "patience": "--patience", "compile": "--compile"}


@reported
def spaces(
    name: Annotated[str | None, typer.Argument(help="A search space, or the path of your own .py file.")] = None,
    fix: Fix = [],  # noqa: B006
    choices: Choices = [],  # noqa: B006
    center_lr: Annotated[str | None, typer.Option(help="Ask lr within a decade of this, as a search would.")] = None,
) -> None:
    """List the search spaces, or print one at a glance."""
    from automl.space import centred, describe, load_space, narrowed, space_names

    if name is None:
        for each in space_names():
            typer.echo(f"{each:14}{load_space(each).summary}")
        return
    space = narrowed(load_space(name), fix=fix, choices=choices)
    if center_lr is not None:
        space = centred(space, learning_rate(center_lr))
    dimensions = describe(space)
    typer.echo(f"{space.name}: {space.summary}\n{_common_line(space, dimensions)}\n")
    width = 2 + max(len(dimension.name) for dimension in dimensions)
    for dimension in dimensions:
        condition = f"   [if {dimension.condition}]" if dimension.condition else ""
        typer.echo(f"{dimension.name:{width}}{dimension.domain}{condition}")
    for proposal in space.proposals():
        typer.echo("first trial: " + ", ".join(f"{key}={_word(value)}" for key, value in proposal.items()))


def _common_line(space: Space, dimensions: list[Dimension]) -> str:
    """ "epochs: 12 (--epochs), patience: none (--patience)": without what the space itself asks for."""
    config, asked = space.first_config(), {dimension.name for dimension in dimensions}
    return ", ".join(
        f"{name.replace('_', ' ')}: {_word(getattr(config, name))} ({flag})"
        for name, flag in COMMON.items()
        if name not in asked
    )


def _word(value: object) -> str:
    from automl.suggest import word_of

    return word_of(value)
