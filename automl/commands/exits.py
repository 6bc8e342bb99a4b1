"""How a command ends: in one line with a hint and the exit code of its kind, or interrupted.

Not responsible for: which error is of which kind (automl.errors).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import typer

from automl.errors import AutomlError, UnfitEnvironmentError, printable

P = ParamSpec("P")
R = TypeVar("R")


def reported(command: Callable[P, R]) -> Callable[P, R]:
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


@contextmanager
def runner_outcomes(say: Callable[[str], None], *, interrupted: str) -> Iterator[None]:
    """While a runner runs: what it raises becomes an AutomlError, or the exit code of a signal.

    Args:
        interrupted: what to say after a signal.
    """
    from runners.base import Interrupted, NoPlaceError

    try:
        yield
    except NoPlaceError as error:
        hint = "check --ray-address, --gpus-per-trial and --cpus-per-trial"
        raise UnfitEnvironmentError(str(error), hint=hint) from error
    except Interrupted as signal:
        say(interrupted)
        raise typer.Exit(128 + signal.signal_number) from signal
