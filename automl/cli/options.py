"""Declare the flags that several commands share, one by one or in groups, and parse their texts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from automl.config import list_shared_settings
from automl.errors import UnfitEnvironmentError, UsageError
from automl.readers.settings import CompetitionSettings, load_settings, require_settings
from automl.shared_settings import SharedSetting
from automl.tasks import Task

if TYPE_CHECKING:
    from automl.search.placement import Placement
    from automl.space import Space
    from automl.study.deadline import Deadline

R = TypeVar("R")

Folder = Annotated[Path, typer.Argument(help="The competition's folder; it is only read.", show_default="here")]
Workdir = Annotated[Path, typer.Option(help="Where studies are kept.")]
StudyName = Annotated[str | None, typer.Option("--study", help="The study's name; by default the folder's.")]
SpaceName = Annotated[str, typer.Option("--space", help="A search space by name, or the path of your own .py file.")]
Fix = Annotated[list[str], typer.Option(help="Pin a parameter: optimizer=adamw. Repeatable.")]
Choices = Annotated[list[str], typer.Option(help="Narrow a parameter: backbone=resnet50,densenet121. Repeatable.")]
Top = Annotated[int, typer.Option(min=1, help="How many of the best trials the ensemble may take.")]
TTA = Annotated[str, typer.Option(help="Views of each image: auto, none, flips, dihedral, shifts, scales or crops.")]
Weights = Annotated[Path | None, typer.Option(help="A folder of pretrained weights, instead of the hub.")]
InitFrom = Annotated[
    Path | None, typer.Option(help="Start from the network of a trial, automl_runs/STUDY/trials/00017.")
]
CacheGb = Annotated[
    float | None,
    typer.Option(min=0.0, help="GB of disk for features; half of what is free, up to 20, by default."),
]
Device = Annotated[str | None, typer.Option(help="cuda:0 or cpu; the first GPU by default.")]
HERE = Path()
DEFAULT_WORKDIR = Path("automl_runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFlags:
    """The flags about the search space, and about what every trial shares."""

    name: str
    fix: Sequence[str] = ()
    choices: Sequence[str] = ()
    init_from: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def load_space(self) -> Space:
        """Return the space, narrowed and with its overrides.

        Raises:
            UsageError: there is no such space, or the flags do not fit it.
        """
        from dataclasses import replace

        from automl.space import describe, load_space, narrow_space, warm_start_space

        space = narrow_space(load_space(self.name), fix=self.fix, choices=self.choices)
        if self.init_from is not None:
            space = warm_start_space(space, self.init_from)
        space = replace(space, overrides=self.overrides)
        describe(space)
        return space


def parse_learning_rate(text: str) -> float:
    """Parse `--center-lr`.

    Raises:
        UsageError: it is none.
    """
    try:
        return float(text)
    except ValueError as error:
        hint = "give one, such as 3e-4; automl search takes auto as well"
        raise UsageError(f"--center-lr {text} is not a number", hint=hint) from error


def resolve_weights_folder(folder: Path | None) -> Path | None:
    """Return the absolute folder of `--weights`, where it is given.

    Raises:
        UnfitEnvironmentError: there is none.
    """
    if folder is not None and not folder.is_dir():
        raise UnfitEnvironmentError(f"--weights {folder} is not a folder", hint="name the folder that holds the files")
    return None if folder is None else folder.resolve()


def parse_train_folds(text: str) -> int:
    """Parse how many folds `--train-folds` names.

    Raises:
        UsageError: there are not so many.
    """
    from automl.data.folds import N_FOLDS

    if text == "all":
        return N_FOLDS
    if text.isdigit() and 1 <= int(text) <= N_FOLDS:
        return int(text)
    raise UsageError(f"--train-folds {text} is not 1 to {N_FOLDS} or all", hint="leave it out to train one fold")


def parse_keep_checkpoints(text: str, top: int) -> int | None:
    """Parse of how many trials `--keep-checkpoints` keeps the weights; None for all.

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


def parse_trial_numbers(text: str | None) -> tuple[int, ...] | None:
    """Parse the trials of `--trials`, where it is given.

    Raises:
        UsageError: they are no numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"--trials {text} are no numbers of trials", hint="write for example --trials 3,17")
    return tuple(int(part) for part in parts)


def get_first_device() -> str:
    """Return the first GPU that is visible, or the CPU."""
    from runners.devices import list_visible_gpus

    return (list_visible_gpus() or ["cpu"])[0]


def choose_device(name: str | None) -> str:
    """Return the named device, else the first GPU that is visible, else the CPU.

    Raises:
        UnfitEnvironmentError: it is not there.
    """
    from runners.devices import list_visible_gpus

    known = ["cpu", *list_visible_gpus()]
    if name is not None and name not in known:
        raise UnfitEnvironmentError(f"there is no device '{name}' to be used", hint=f"use one of {', '.join(known)}")
    return name or get_first_device()


@dataclass(frozen=True, slots=True)
class FlagGroup:
    """Flags that a command declares, and gets, as one parameter.

    Attributes:
        flags: name -> annotation for typer, default.
        build: makes the parameter's value of the flags' values by name.
    """

    flags: Mapping[str, tuple[Any, Any]]
    build: Callable[[dict[str, Any]], Any] = dict


def expand_flags(**groups: FlagGroup) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Replace the command's parameters of these names by the flags of their groups, in place."""

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        plain = inspect.signature(command, eval_str=True)
        flags = [flag for parameter in plain.parameters.values() for flag in _expand(parameter, groups)]

        @functools.wraps(command)
        def expanded(**values: Any) -> R:
            built = {
                name: group.build({flag: values.pop(flag) for flag in group.flags}) for name, group in groups.items()
            }
            return command(**values, **built)

        expanded.__signature__ = plain.replace(parameters=flags)  # type: ignore[attr-defined]
        expanded.__annotations__ = {flag.name: flag.annotation for flag in flags}
        return expanded

    return decorate


def _expand(parameter: inspect.Parameter, groups: Mapping[str, FlagGroup]) -> list[inspect.Parameter]:
    if parameter.name not in groups:
        return [parameter]
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in groups[parameter.name].flags.items()
    ]


def override_flags(*, of_model: bool, steps_only: bool = False) -> FlagGroup:
    """Return the flags of the settings that every trial shares; their value holds those that were given.

    Args:
        of_model: those of the network, or else all others.
        steps_only: leave out what single training steps do not depend on.
    """
    settings = [
        setting
        for setting in list_shared_settings()
        if (setting.group == "model") == of_model and (setting.affects_steps or not steps_only)
    ]
    flags = {setting.name: _override_flag(setting) for setting in settings}
    return FlagGroup(flags, functools.partial(_select_overrides, settings))


def _override_flag(setting: SharedSetting) -> tuple[Any, Any]:
    """Return annotation and default: of a switch the field's own, else none."""
    if setting.value_type is bool:
        names = () if setting.default else (setting.flag,)
        return Annotated[bool, typer.Option(*names, help=setting.help)], setting.default
    return Annotated[setting.value_type | None, typer.Option(min=setting.minimum, help=setting.help)], None


def _select_overrides(settings: Sequence[SharedSetting], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given.

    Raises:
        UsageError: a text is none of the setting's choices.
    """
    overrides = {}
    for setting in settings:
        value = values[setting.name]
        if value is None or (setting.value_type is bool and value == setting.default):
            continue
        if setting.choices and value not in setting.choices:
            known = " or ".join(setting.choices)
            raise UsageError(f"{setting.flag} {value} is not {known}", hint=f"use {known}")
        overrides[setting.name] = value
    return overrides


def resource_flags(job: str) -> FlagGroup:
    """Return the flags about the devices and the time of jobs, "trial" or "fold"."""
    jobs = f"{job.capitalize()}s"
    flags = {
        "gpus": (
            Annotated[int | None, typer.Option(min=0, help="GPUs to use; all that are visible by default.")],
            None,
        ),
        "trials_per_gpu": (Annotated[int, typer.Option(min=1, help=f"{jobs} at once that share each GPU.")], 1),
        "gpus_per_trial": (
            Annotated[int | None, typer.Option(min=1, help=f"GPUs on which each {job} is trained.")],
            None,
        ),
        "cpu_slots": (Annotated[int | None, typer.Option(min=1, help=f"{jobs} at once where no GPU is used.")], None),
        "timeout": (
            Annotated[str | None, typer.Option(help="Be done by then, submission included: 8h, 90m.")],
            None,
        ),
        "trial_timeout": (Annotated[str, typer.Option(help=f"Silence after which a {job} is killed.")], "10m"),
    }
    return FlagGroup(flags)


def runner_flags(job: str) -> FlagGroup:
    """Return the flags about the runner of jobs, "trial" or "fold"."""
    processes = f"process (each {job} in its own), ray, or inline (to debug)."
    slots = f"{job.capitalize()}s at once on the Ray cluster."
    cpus = f"Cores for each {job}, instead of a share."
    flags = {
        "runner": (Annotated[str, typer.Option(help=processes)], "process"),
        "ray_address": (
            Annotated[str | None, typer.Option(help="Of a Ray cluster, or auto; with --runner ray.")],
            None,
        ),
        "slots": (Annotated[int | None, typer.Option(min=1, help=slots)], None),
        "cpus_per_trial": (Annotated[int | None, typer.Option(min=1, help=cpus)], None),
    }
    return FlagGroup(flags)


def build_placement(resources: Mapping[str, Any], workers: Mapping[str, Any], *, storage: Path) -> Placement:
    """Return where jobs run, by the values of `resource_flags` and `runner_flags`.

    Raises:
        UsageError: --trial-timeout is no duration.
    """
    from automl.search.placement import Placement
    from automl.study.deadline import parse_duration

    devices = {name: value for name, value in resources.items() if name not in ("timeout", "trial_timeout")}
    silence_s = parse_duration(resources["trial_timeout"])
    return Placement(**devices, **workers, silence_timeout_s=silence_s, storage=storage)


def build_deadline(resources: Mapping[str, Any]) -> Deadline:
    """Return the deadline that --timeout sets from now on.

    Raises:
        UsageError: it is no duration.
    """
    from automl.study.deadline import Deadline, parse_duration

    timeout = resources["timeout"]
    return Deadline.from_timeout(parse_duration(timeout)) if timeout else Deadline()


_COMPETITION_OPTIONS: dict[str, Any] = {
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
    "labels": Annotated[str | None, typer.Option(help="File of the training labels, or folders, or names of files.")],
    "label": Annotated[str | None, typer.Option(help="Column of the labels; several joined by commas.")],
    "sample": Annotated[str | None, typer.Option(help="File of the sample submission, where there are several.")],
    "negative": Annotated[
        str | None, typer.Option(help="The class that is 0 where one probability is asked of several classes.")
    ],
    "skip_missing": Annotated[
        bool, typer.Option("--skip-missing", help="Leave out rows without an image; in the test they get the prior.")
    ],
    "skip_broken": Annotated[bool, typer.Option("--skip-broken", help="The same for images that cannot be decoded.")],
    "submission": Annotated[
        str | None, typer.Option(help="labels or probabilities, where no sample submission says what is asked.")
    ],
    "images": Annotated[str | None, typer.Option(help="Folder of the training images, where there are several.")],
    "test_images": Annotated[str | None, typer.Option(help="Folder of the test images, where it is unclear.")],
    "class_level": Annotated[
        int | None, typer.Option(min=1, help="Which folder below the training images names the class, 1 the first.")
    ],
    "add": Annotated[str | None, typer.Option(help="Folders, joined by commas, whose images are trained on too.")],
    "fixed_fold": Annotated[
        str | None, typer.Option(help="Folder whose images are added, as the fold that trials validate on.")
    ],
    "follow_links": Annotated[bool, typer.Option("--follow-links", help="Follow links that lead out of the folder.")],
}


def _read_settings(values: dict[str, Any]) -> CompetitionSettings:
    """Return the flags' values; what a flag leaves open, the settings file in the working folder may hold."""
    return require_settings(load_settings(CompetitionSettings(**values), Path()))


_DEFAULTS = {setting.name: setting.default for setting in fields(CompetitionSettings)}
COMPETITION_FLAGS = FlagGroup(
    {name: (annotation, _DEFAULTS[name]) for name, annotation in _COMPETITION_OPTIONS.items()}, _read_settings
)
