"""The flags by which a user says what a folder does not tell, for every command that reads a competition.

Not responsible for: what follows from them (automl.reading.layouts), nor for automl.toml (automl.reading.asked).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from automl.reading.asked import Asked, asked_here
from automl.tasks import Task

R = TypeVar("R")

NOTHING = Asked()
FLAGS: dict[str, Any] = {
    "competition": Annotated[
        str | None, typer.Option(help="Kaggle's name of the competition, where the folder has another.")
    ],
    "metric": Annotated[
        str | None, typer.Option(help="What is optimised: a name, or path.py:function; proposed from the submission.")
    ],
    "task": Annotated[Task | None, typer.Option(help="What is predicted, where the labels mislead.")],
    "group": Annotated[
        str | None, typer.Option(help="Column whose equal values stay in one fold; none for no groups.")
    ],
    "flips": Annotated[
        bool | None, typer.Option("--flips/--no-flips", help="Whether a mirrored image keeps its label.")
    ],
    "labels": Annotated[str | None, typer.Option(help="File of the training labels, where there are several.")],
    "label": Annotated[str | None, typer.Option(help="Column of the labels, where there are several.")],
    "sample": Annotated[str | None, typer.Option(help="File of the sample submission, where there are several.")],
    "negative": Annotated[
        str | None, typer.Option(help="The class that is 0 where one probability is asked of several classes.")
    ],
    "skip_missing": Annotated[
        bool, typer.Option("--skip-missing", help="Leave out rows without an image; in the test they get the prior.")
    ],
    "skip_broken": Annotated[bool, typer.Option("--skip-broken", help="The same for images that cannot be decoded.")],
}


def asking(command: Callable[..., R]) -> Callable[..., R]:
    """The command with these flags in place of its parameter `asked`.

    What a flag does not say, automl.toml in the working folder may.
    """
    plain = inspect.signature(command, eval_str=True)
    defaults = {field.name: field.default for field in fields(Asked)}
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=flag)
        for name, flag in FLAGS.items()
    ]
    others = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in plain.parameters.items()
        if name != "asked"
    ]
    place = list(plain.parameters).index("asked")

    @functools.wraps(command)
    def wrapped(**given: Any) -> R:
        said = Asked(**{name: given.pop(name) for name in FLAGS})
        return command(**given, asked=asked_here(said, Path()))

    wrapped.__signature__ = plain.replace(parameters=[*others[:place], *flags, *others[place:]])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in [*others, *flags]}
    return wrapped
