"""Search spaces as values: loaded by name or from a file, narrowed by flags, described at a glance.

A space is a function `suggest(trial) -> TrialConfig` in a Python file, which may also hold `FIRST_TRIALS`: parameters
of known good configurations, proposed before the sampler takes over. Not responsible for: who answers the questions
(automl.suggest, automl.study.study), nor how a space's questions are found (automl.dimensions).
"""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from automl.artifacts import TrialFiles, digest_of, read_json
from automl.config import ModelConfig, TrialConfig
from automl.dimensions import Dimension, dimensions_of
from automl.errors import StorageError, UsageError
from automl.own_code import module_at
from automl.suggest import CENTRED, Narrowed, Narrowing, Params, Replay
from automl.suggest import Suggest as Suggest  # spaces of users import it from here

SearchSpace: TypeAlias = Callable[[Suggest], TrialConfig]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A search space with its name, its first trials, how it was narrowed, and what is the same for every trial.

    Attributes:
        suggest: the space's own function.
        summary: the first line of its file's docstring.
        first_trials: parameters by name, from the space's file; those it leaves out take the space's first answer.
        fixed: parameter -> its only value.
        choices: parameter -> the values left of a categorical one.
        lr_center: learning rate about which lr is asked, instead of in the space's own range.
        init_from: folder of another trial, whose network and weights every trial begins with.
        model: the network of that trial; its backbone, cut, attention, pooling and head replace the space's answers.
        epochs: of each trial, instead of the space's own; an answer of as many freeze_epochs leaves one epoch unfrozen.
        pretrained: whether to start from pretrained weights, instead of the space's own answer.
        epoch_choice, patience, compile: of each trial, instead of the space's own.
    """

    name: str
    suggest: SearchSpace
    summary: str = ""
    first_trials: tuple[Mapping[str, Any], ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lr_center: float | None = None
    init_from: Path | None = None
    model: ModelConfig | None = None
    epochs: int | None = None
    pretrained: bool | None = None
    epoch_choice: str | None = None
    patience: int | None = None
    compile: bool | None = None

    def __call__(self, trial: Suggest) -> TrialConfig:
        """The configuration that the trial's answers make.

        Raises:
            UsageError: a value that is named in the narrowing does not fit its parameter, or the answers make no valid
                configuration.
        """
        narrowing = Narrowing(
            fixed=self.fixed,
            choices=self.choices,
            pinned={} if self.model is None else _answers_of(self.model),
            lr_center=self.lr_center,
        )
        return _for_every_trial(self, self.suggest(Narrowed(trial, narrowing)))

    @property
    def fingerprint(self) -> str:
        """Of all that the space can answer; a study is bound to it."""
        dimensions = [str(dimension) for dimension in describe(self)]
        overrides = (self.epochs, self.pretrained, self.epoch_choice, self.patience, self.compile)
        return digest_of([*dimensions, *map(str, (*overrides, self.lr_center, self.init_from, self.model))])

    def first_config(self) -> TrialConfig:
        """The configuration of the first proposal, or of the space's first answers where it has none."""
        return self(Replay(self.first_trials[0] if self.first_trials else {}))

    def proposals(self) -> list[Params]:
        """Complete parameters of the first trials as far as the narrowing leaves them distinct, best first.

        A number outside of what is left of its range moves to the nearest bound.
        """
        distinct: list[Params] = []
        for known in self.first_trials:
            replay = Replay(known)
            self(replay)
            if replay.params not in distinct:
                distinct.append(replay.params)
        return distinct


def space_names() -> list[str]:
    """The names of the spaces that are shipped."""
    import search_spaces

    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load_space(name_or_path: str) -> Space:
    """A shipped space by its name, or the user's own by the path of its file.

    Raises:
        UsageError: there is no such space, or its file defines no `suggest`.
    """
    if name_or_path.endswith(".py"):
        module = module_at(Path(name_or_path), hint="give the path of a Python file that defines suggest(trial)")
    elif name_or_path in space_names():
        module = importlib.import_module(f"search_spaces.{name_or_path}")
    else:
        near = difflib.get_close_matches(name_or_path, space_names(), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"there is no search space '{name_or_path}'",
            hint=f"{meant}use one of {', '.join(space_names())}, or the path of a .py file",
        )
    suggest = getattr(module, "suggest", None)
    if not callable(suggest):
        raise UsageError(f"{name_or_path} defines no function suggest(trial)", hint="see search_spaces/tiny.py")
    summary = (module.__doc__ or "").strip().partition("\n")[0]
    first_trials = tuple(getattr(module, "FIRST_TRIALS", ()))
    return Space(name=Path(name_or_path).stem, suggest=suggest, summary=summary, first_trials=first_trials)


def describe(space: Space) -> list[Dimension]:
    """All questions that the space asks, with the answers to others on which each depends."""
    return dimensions_of(space)


def narrowed(space: Space, *, fix: Sequence[str] = (), choices: Sequence[str] = ()) -> Space:
    """The space with `name=value` pinned and `name=a,b` narrowed.

    Raises:
        UsageError: an assignment is malformed, or names a parameter or value that the space does not know.
    """
    fixed = dict(_assignment(text, "--fix") for text in fix)
    kept = {name: tuple(values.split(",")) for name, values in (_assignment(text, "--choices") for text in choices)}
    known = [dimension.name for dimension in describe(space)]
    for name in (*fixed, *kept):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"the space '{space.name}' has no parameter '{name}'",
                hint=f"{meant}its parameters are {', '.join(known)}",
            )
    result = replace(space, fixed={**space.fixed, **fixed}, choices={**space.choices, **kept})
    describe(result)
    return result


def centred(space: Space, lr: float) -> Space:
    """The space with lr asked within a decade to both sides of this one.

    Where lr lies in the space's own range, that range limits it still.

    Raises:
        UsageError: the space asks for no range of lr, or lr is pinned, or this one is not a positive number.
    """
    if not 0.0 < lr < math.inf:
        raise UsageError(f"--center-lr {lr:g} is not a positive number", hint="give one, such as 3e-4, or auto")
    if CENTRED in space.fixed:
        raise UsageError(
            f"--fix {CENTRED}={space.fixed[CENTRED]} and --center-lr were both given", hint="give one of them"
        )
    if CENTRED not in [dimension.name for dimension in describe(space)]:
        raise UsageError(
            f"the space '{space.name}' has no parameter '{CENTRED}' to be centred", hint="leave --center-lr out"
        )
    result = replace(space, lr_center=lr)
    describe(result)
    return result


def inheriting(space: Space, trial: Path) -> Space:
    """The space with the network of a trial that was trained before, by its folder.

    Raises:
        UsageError: there is no trial with weights in the folder, or the network is narrowed as well.
        StorageError: its configuration is damaged.
    """
    files = TrialFiles(trial.resolve())
    if not (files.config.is_file() and files.weights(0).is_file()):
        missing = files.weights(0) if files.config.is_file() else files.config
        raise UsageError(
            f"--init-from {trial} is not the folder of a trial that kept its weights: it has no {missing.name}",
            hint="give one such as automl_runs/STUDY/trials/00017; automl status names the best trials",
        )
    model = replace(_config_at(files).model, pretrained=False)
    for name, value in _answers_of(model).items():
        if name in space.fixed or name in space.choices:
            raise UsageError(
                f"--init-from {trial} has {name} = {value}, which --fix or --choices narrow as well",
                hint=f"leave {name} out of them",
            )
    return replace(space, init_from=files.root, model=model)


def _for_every_trial(space: Space, config: TrialConfig) -> TrialConfig:
    """The configuration with what the space sets over its own answers."""
    changes: dict[str, Any] = {
        name: value for name in ("epoch_choice", "patience", "compile") if (value := getattr(space, name)) is not None
    }
    if space.epochs is not None:
        frozen = min(config.transfer.freeze_epochs, space.epochs - 1)
        changes |= {"epochs": space.epochs, "transfer": replace(config.transfer, freeze_epochs=frozen)}
    if space.model is not None:
        own = config.model
        changes["model"] = replace(space.model, dropout=own.dropout, drop_path=own.drop_path, pretrained=False)
    elif space.pretrained is not None:
        changes["model"] = replace(config.model, pretrained=space.pretrained)
    try:
        return replace(config, **changes)
    except UsageError as error:
        if space.epochs is None:
            raise
        hint = f"give more than --epochs {space.epochs}, or narrow the space with --fix or --choices"
        raise UsageError(error.problem, hint=hint) from error


def _answers_of(model: ModelConfig) -> Params:
    """What a space would have to be answered to make this network."""
    head = "-".join(map(str, model.hidden)) or "linear"
    return {
        "backbone": model.backbone,
        "cut": model.cut,
        "attention": model.attention,
        "pooling": model.pooling,
        "head": head,
    }


def _config_at(files: TrialFiles) -> TrialConfig:
    document = read_json(files.config)
    if not isinstance(document, dict):
        raise StorageError(f"{files.config} holds no trial's configuration", hint="give another trial's folder")
    return TrialConfig.from_json(document)


def _assignment(text: str, flag: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise UsageError(f"{flag} {text} is not name=value", hint=f"write for example {flag} optimizer=adamw")
    return name, value
