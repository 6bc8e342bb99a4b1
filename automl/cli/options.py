"""Flags that several commands have, and what their texts mean.

Not responsible for: what a command does with them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from automl.config import EPOCH_CHOICES
from automl.errors import UnfitEnvironmentError, UsageError
from automl.readers.settings import Asked, asked_here
from automl.tasks import Task

if TYPE_CHECKING:
    from automl.space import Space

Folder = Annotated[Path, typer.Argument(help="The competition's folder; it is only read.", show_default="here")]
Workdir = Annotated[Path, typer.Option(help="Where studies are kept.")]
StudyName = Annotated[str | None, typer.Option("--study", help="The study's name; by default the folder's.")]
SpaceName = Annotated[str, typer.Option("--space", help="A search space by name, or the path of your own .py file.")]
Fix = Annotated[list[str], typer.Option(help="Pin a parameter: optimizer=adamw. Repeatable.")]
Choices = Annotated[list[str], typer.Option(help="Narrow a parameter: backbone=resnet50,densenet121. Repeatable.")]
Top = Annotated[int, typer.Option(min=1, help="How many of the best trials the ensemble may take.")]
TTA = Annotated[str, typer.Option(help="Views of each image: auto, none, flips, dihedral, shifts, scales or crops.")]
Pretrained = Annotated[bool, typer.Option(help="Start from pretrained weights.")]
Weights = Annotated[Path | None, typer.Option(help="A folder of pretrained weights, instead of the hub.")]
InitFrom = Annotated[
    Path | None, typer.Option(help="Start from the network of a trial, automl_runs/STUDY/trials/00017.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs of each trial, instead of the space's.")]
Device = Annotated[str | None, typer.Option(help="cuda:0 or cpu; the first GPU by default.")]
HERE = Path()
DEFAULT_WORKDIR = Path("automl_runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFlags:
    """What was asked about the search space, and about what is the same for every trial."""

    name: str
    fix: Sequence[str] = ()
    choices: Sequence[str] = ()
    init_from: Path | None = None
    epochs: int | None = None
    pretrained: bool = True
    epoch_choice: str | None = None
    patience: int | None = None
    compile: bool = False

    def space(self) -> Space:
        """The space that was asked for.

        Raises:
            UsageError: there is no such space, or what was asked does not fit it.
        """
        from dataclasses import replace

        from automl.space import describe, inheriting, load_space, narrowed

        if self.epoch_choice not in (None, *EPOCH_CHOICES):
            known = " or ".join(EPOCH_CHOICES)
            raise UsageError(f"--epoch-choice {self.epoch_choice} is not {known}", hint=f"use {known}")
        space = narrowed(load_space(self.name), fix=self.fix, choices=self.choices)
        if self.init_from is not None:
            space = inheriting(space, self.init_from)
        space = replace(
            space,
            epochs=self.epochs,
            pretrained=None if self.pretrained else False,
            epoch_choice=self.epoch_choice,
            patience=self.patience,
            compile=self.compile or None,
        )
        describe(space)
        return space


def learning_rate(text: str) -> float:
    """The number that `--center-lr` names.

    Raises:
        UsageError: it is none.
    """
    try:
        return float(text)
    except ValueError as error:
        hint = "give one, such as 3e-4; automl search takes auto as well"
        raise UsageError(f"--center-lr {text} is not a number", hint=hint) from error


def existing_folder(folder: Path | None) -> Path | None:
    """The folder that `--weights` names, where it is given.

    Raises:
        UnfitEnvironmentError: there is none.
    """
    if folder is not None and not folder.is_dir():
        raise UnfitEnvironmentError(f"--weights {folder} is not a folder", hint="name the folder that holds the files")
    return None if folder is None else folder.resolve()


def number_of_folds(text: str) -> int:
    """How many folds `--train-folds` asks for.

    Raises:
        UsageError: there are not so many.
    """
    from automl.data.folds import N_FOLDS

    if text == "all":
        return N_FOLDS
    if text.isdigit() and 1 <= int(text) <= N_FOLDS:
        return int(text)
    raise UsageError(f"--train-folds {text} is not 1 to {N_FOLDS} or all", hint="leave it out to train one fold")


def number_to_keep(text: str, top: int) -> int | None:
    """Of how many trials `--keep-checkpoints` keeps the weights; None for all.

    Raises:
        UsageError: fewer than the ensemble may take.
    """
    if text == "all":
        return None
    if not text.isdigit() or int(text) < top:
        raise UsageError(
            f"--keep-checkpoints {text} is not a number from --top {top} on, or all",
            hint="leave it out to keep the weights of the best 15 trials",
        )
    return int(text)


def trial_numbers(text: str | None) -> tuple[int, ...] | None:
    """The trials that `--trials` names, where it is given.

    Raises:
        UsageError: they are no numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"--trials {text} are no numbers of trials", hint="write for example --trials 3,17")
    return tuple(int(part) for part in parts)


def first_device() -> str:
    """The first GPU that is visible, or the CPU."""
    from runners.devices import visible_gpus

    return (visible_gpus() or ["cpu"])[0]


def known_device(asked: str | None) -> str:
    """The device that is asked for, else the first GPU that is visible, else the CPU.

    Raises:
        UnfitEnvironmentError: it is not there.
    """
    from runners.devices import visible_gpus

    known = ["cpu", *visible_gpus()]
    if asked is not None and asked not in known:
        raise UnfitEnvironmentError(f"there is no device '{asked}' to be used", hint=f"use one of {', '.join(known)}")
    return asked or first_device()


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
