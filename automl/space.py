"""Search spaces as values: loaded by name or from a file, narrowed by flags, described at a glance.

A space is a function `suggest(trial) -> TrialConfig` in a Python file, which may also hold `FIRST_TRIALS`: parameters
of known good configurations, proposed before the sampler takes over. Not responsible for: who answers the questions
(automl.suggest, automl.study).
"""

from __future__ import annotations

import difflib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from automl.artifacts import digest_of
from automl.config import TrialConfig
from automl.errors import UsageError
from automl.suggest import Narrowed, Params, Replay, Suggest

__all__ = ["Dimension", "SearchSpace", "Space", "Suggest", "describe", "load_space", "narrowed", "space_names"]

SearchSpace: TypeAlias = Callable[[Suggest], TrialConfig]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A search space with its name, its first trials and how it was narrowed.

    Attributes:
        suggest: the space's own function.
        summary: the first line of its file's docstring.
        first_trials: parameters by name, from the space's file; those it leaves out take the space's first answer.
        fixed: parameter -> its only value.
        choices: parameter -> the values left of a categorical one.
        epochs: of each trial, instead of the space's own.
        pretrained: whether to start from pretrained weights, instead of the space's own answer.
    """

    name: str
    suggest: SearchSpace
    summary: str = ""
    first_trials: tuple[Mapping[str, Any], ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    epochs: int | None = None
    pretrained: bool | None = None

    def __call__(self, trial: Suggest) -> TrialConfig:
        """The configuration that the trial's answers make.

        Raises:
            UsageError: a value named in `fixed` or `choices` does not fit the parameter, or the answers make no
                valid configuration.
        """
        config = self.suggest(Narrowed(trial, self.fixed, self.choices))
        if self.epochs is not None:
            config = replace(config, epochs=self.epochs)
        if self.pretrained is not None:
            config = replace(config, model=replace(config.model, pretrained=self.pretrained))
        return config

    @property
    def fingerprint(self) -> str:
        """Of all that the space can answer; a study is bound to it."""
        dimensions = [str(dimension) for dimension in describe(self)]
        return digest_of([*dimensions, str(self.epochs), str(self.pretrained)])

    def first_config(self) -> TrialConfig:
        """The configuration of the first proposal, or of the space's first answers where it has none."""
        return self(Replay(self.first_trials[0] if self.first_trials else {}))

    def proposals(self) -> list[Params]:
        """Complete parameters of the first trials as far as the narrowing leaves them distinct, best first."""
        distinct: list[Params] = []
        for known in self.first_trials:
            replay = Replay(known)
            self(replay)
            if replay.params not in distinct:
                distinct.append(replay.params)
        return distinct


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One question of a space.

    Attributes:
        domain: "1e-05 .. 0.01 (log)" or "adam, adamw, sgd".
        condition: "loss = focal" where the question is asked only then, else empty.
    """

    name: str
    domain: str
    condition: str = ""


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
        module = _module_at(Path(name_or_path))
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


def describe(space: Space) -> list[Dimension]:
    """All questions that the space asks, with the answers to others on which each depends.

    Every option of every categorical question is tried alone; a question that needs two particular answers at once,
    neither of them the first option, is not found.
    """
    base = Replay({})
    space(base)
    domains, options = dict(base.domains), dict(base.options)
    reached_by: dict[str, Params] = {name: {} for name in domains}
    asked: dict[str, dict[Any, set[str]]] = {}
    pending = list(options)
    while pending:
        name = pending.pop(0)
        for option in options[name]:
            branch = Replay({**reached_by[name], name: option})
            space(branch)
            asked.setdefault(name, {})[option] = set(branch.domains)
            for other in branch.domains.keys() - domains.keys():
                domains[other] = branch.domains[other]
                reached_by[other] = {**reached_by[name], name: option}
                if other in branch.options:
                    options[other] = branch.options[other]
                    pending.append(other)
    return [Dimension(name=name, domain=domain, condition=_condition(name, asked)) for name, domain in domains.items()]


def _condition(name: str, asked: Mapping[str, Mapping[Any, set[str]]]) -> str:
    parts = []
    for question, names_by_option in asked.items():
        leading = [str(option) for option, names in names_by_option.items() if name in names]
        if question != name and 0 < len(leading) < len(names_by_option):
            parts.append(f"{question} = {' or '.join(leading)}")
    return " and ".join(parts)


def _assignment(text: str, flag: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise UsageError(f"{flag} {text} is not name=value", hint=f"write for example {flag} optimizer=adamw")
    return name, value


def _module_at(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", hint="give the path of a Python file that defines suggest(trial)")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be loaded: {type(error).__name__}: {error}", hint="mend the file") from error
    return module
