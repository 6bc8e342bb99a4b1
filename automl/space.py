"""Load search spaces by name or from a file, narrow them by flags, and list their dimensions.

A space is a function `suggest(trial) -> TrialConfig` in a Python file, which may also hold `FIRST_TRIALS`: parameters
of known good configurations, proposed before the sampler takes over.
See also: automl.suggest, the trial protocol; automl.dimensions finds a space's parameters.
"""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from automl.artifacts import TrialFiles, compute_digest, read_json
from automl.config import ModelConfig, TrialConfig, list_shared_settings
from automl.dimensions import Dimension, find_dimensions
from automl.errors import StorageError, UsageError
from automl.own_code import load_module
from automl.suggest import (
    CENTERED_PARAMETER,
    NarrowedTrial,
    Narrowing,
    Params,
    Replay,
    format_number,
    parse_final_size,
)
from automl.suggest import Suggest as Suggest  # spaces of users import it from here

SearchSpace: TypeAlias = Callable[[Suggest], TrialConfig]
# These enter the fingerprint by their place, set or not; overrides that were added later by name, where they are set.
CENTER_STEPS = (1.0, 1 / 3, 3.0)  # first trials' learning rates over a centred one
PRETRAININGS = ("dino", "siglip", "clip", "beit", "mae")  # words in timm's names
UNNAMED_OVERRIDES = ("epochs", "pretrained", "epoch_choice", "patience", "compile")


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
        overrides: of each trial's configuration, instead of the space's own answers, by the names of
            `automl.config.list_shared_settings`; an answer of as many freeze_epochs leaves one epoch unfrozen.
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
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, trial: Suggest) -> TrialConfig:
        """Return the configuration that the trial's parameters make.

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
        return _for_every_trial(self, self.suggest(NarrowedTrial(trial, narrowing)))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all configurations of the space; a study is bound to it."""
        dimensions = [str(dimension) for dimension in describe(self)]
        unnamed = [self.overrides.get(name) for name in UNNAMED_OVERRIDES]
        return compute_digest(
            [*dimensions, *map(str, (*unnamed, self.lr_center, self.init_from, self.model)), *self._named_overrides()]
        )

    def _named_overrides(self) -> list[str]:
        """Return "name=value" of the overrides that a study is bound to, in the order of their declaration."""
        return [
            f"{setting.name}={self.overrides[setting.name]}"
            for setting in list_shared_settings()
            if setting.in_fingerprint and setting.name in self.overrides and setting.name not in UNNAMED_OVERRIDES
        ]

    def build_first_config(self) -> TrialConfig:
        """Return the configuration of the first proposal, or of the space's first answers where it has none."""
        proposals = self.list_proposals()
        return self(Replay(proposals[0] if proposals else {}))

    def list_proposals(self, ranking: Sequence[tuple[str, int]] = ()) -> list[Params]:
        """Return complete parameters of the first trials as far as they are distinct, best first.

        Where `--choices` leaves a first trial's own value out, those that are left are dealt out in turn. A number
        outside of what is left of its range moves to the nearest bound. About a centred learning rate, the first trial
        has this one itself, and the next ones a third of it and three times as much.

        Args:
            ranking: backbones and image sizes, best first. The i-th first trial takes the i-th backbone that the
                space allows, the best of each family first, at the resize choice that ends nearest to its size.
        """
        recipes: Sequence[Mapping[str, Any]] = self.first_trials
        if not recipes and self.lr_center is not None:
            recipes = ({},)
        allowed = _replay(self, {}).choices.get("backbone", ())
        dealt = deal_over_families([entry for entry in ranking if entry[0] in allowed])
        turns = dict.fromkeys(self.choices, 0)
        distinct: list[Params] = []
        for number, recipe in enumerate(recipes):
            known = self._answer_for(recipe, number)
            if number < len(dealt):
                known |= self._answer_for_probed(known, *dealt[number])
            params = _replay(self, known, turns).params
            if params not in distinct:
                distinct.append(params)
        return distinct

    def _answer_for(self, recipe: Mapping[str, Any], number: int) -> Params:
        """Return what a first trial states, with its silent answers to the narrowed choices and the centred lr."""
        whole = _replay(self.suggest, recipe).params
        silent = {name: whole[name] for name in self.choices if name in whole}
        centered = {}
        if self.lr_center is not None:
            factor = CENTER_STEPS[number % len(CENTER_STEPS)]
            centered[CENTERED_PARAMETER] = self.lr_center if factor == 1.0 else float(f"{factor * self.lr_center:.1e}")
        return {**silent, **recipe, **centered}

    def _answer_for_probed(self, known: Mapping[str, Any], backbone: str, image_size: int) -> Params:
        """Return the backbone, and of the resize choices with it the one that ends nearest to the size."""
        offered = _replay(self, {**known, "backbone": backbone}).choices.get("resize", ())
        sizes = {choice: size for choice in offered if (size := parse_final_size(choice)) is not None}
        if not sizes:
            return {"backbone": backbone}
        nearest = min(sizes, key=lambda choice: (abs(sizes[choice] - image_size), str(choice).count("-")))
        return {"backbone": backbone, "resize": nearest}


def deal_over_families(ranking: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return each backbone once with its best size: the best of every family first, then the second of each."""
    best: dict[str, int] = {}
    for backbone, image_size in ranking:
        best.setdefault(backbone, image_size)
    places: dict[str, int] = {}
    n_of_family: Counter[str] = Counter()
    for backbone in best:
        family = derive_family(backbone)
        places[backbone] = n_of_family[family]
        n_of_family[family] += 1
    return sorted(best.items(), key=lambda entry: places[entry[0]])


def derive_family(backbone: str) -> str:
    """Derive a backbone's family from timm's name: its letters before the first digit, and how it was pretrained.

    Examples: efficientnet of tf_efficientnetv2_s, resnext of resnext50_32x4d, "vit dino" of vit_small_patch16_dinov3,
    "convnext clip" of convnext_base.clip_laion2b.
    """
    name = re.sub(r"^(tf|test)_", "", backbone.lower())
    letters = re.match(r"[a-z]*", name)
    stem = letters[0] if letters else name
    if re.match(r"v\d", name[len(stem) - 1 :]):  # the version of efficientnetv2 and convnextv2
        stem = stem[:-1]
    pretraining = [word for word in PRETRAININGS if word in name]
    return " ".join([stem, *pretraining[:1]])


def list_spaces() -> list[str]:
    """Return the names of the built-in spaces."""
    import search_spaces

    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load_space(name_or_path: str) -> Space:
    """Load a built-in space by its name, or the user's own by the path of its file.

    Raises:
        UsageError: there is no such space, or its file defines no `suggest`.
    """
    if name_or_path.endswith(".py"):
        module = load_module(Path(name_or_path), hint="give the path of a Python file that defines suggest(trial)")
    elif name_or_path in list_spaces():
        module = importlib.import_module(f"search_spaces.{name_or_path}")
    else:
        near = difflib.get_close_matches(name_or_path, list_spaces(), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"there is no search space '{name_or_path}'",
            hint=f"{meant}use one of {', '.join(list_spaces())}, or the path of a .py file",
        )
    suggest = getattr(module, "suggest", None)
    if not callable(suggest):
        raise UsageError(f"{name_or_path} defines no function suggest(trial)", hint="see search_spaces/tiny.py")
    summary = (module.__doc__ or "").strip().partition("\n")[0]
    first_trials = tuple(getattr(module, "FIRST_TRIALS", ()))
    return Space(name=Path(name_or_path).stem, suggest=suggest, summary=summary, first_trials=first_trials)


def describe(space: Space) -> list[Dimension]:
    """Return all parameters of the space, with the values of others on which each depends."""
    return find_dimensions(space)


def narrow_space(space: Space, *, fix: Sequence[str] = (), choices: Sequence[str] = ()) -> Space:
    """Return the space with `name=value` pinned and `name=a,b` narrowed.

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


def center_learning_rate(space: Space, lr: float) -> Space:
    """Return the space with lr suggested within a decade to both sides of this one.

    Where lr lies in the space's own range, that range limits it still.

    Raises:
        UsageError: the space asks for no range of lr, or lr is pinned, or this one is not a positive number.
    """
    if not 0.0 < lr < math.inf:
        raise UsageError(
            f"--center-lr {format_number(lr)} is not a positive number", hint="give one, such as 3e-4, or auto"
        )
    if CENTERED_PARAMETER in space.fixed:
        raise UsageError(
            f"--fix {CENTERED_PARAMETER}={space.fixed[CENTERED_PARAMETER]} and --center-lr were both given",
            hint="give one of them",
        )
    if CENTERED_PARAMETER not in [dimension.name for dimension in describe(space)]:
        raise UsageError(
            f"the space '{space.name}' has no parameter '{CENTERED_PARAMETER}' to be centred",
            hint="leave --center-lr out",
        )
    result = replace(space, lr_center=lr)
    describe(result)
    return result


def warm_start_space(space: Space, trial: Path) -> Space:
    """Return the space with the network of a trial that was trained before, by its folder.

    Raises:
        UsageError: there is no trial with weights in the folder, or the network is narrowed as well.
        StorageError: its configuration is damaged.
    """
    files = TrialFiles(trial.resolve())
    if not (files.config.is_file() and files.get_weights_path(0).is_file()):
        missing = files.get_weights_path(0) if files.config.is_file() else files.config
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


def _replay(suggest: Callable[[Suggest], Any], known: Mapping[str, Any], turns: dict[str, int] | None = None) -> Replay:
    replay = Replay(known, turns)
    suggest(replay)
    return replay


def _for_every_trial(space: Space, config: TrialConfig) -> TrialConfig:
    """Return the configuration with what the space sets over its own answers."""
    changes: dict[str, Any] = {}
    epochs = space.overrides.get("epochs")
    if epochs is not None:
        changes["transfer"] = replace(config.transfer, freeze_epochs=min(config.transfer.freeze_epochs, epochs - 1))
    groups = {setting.name: setting.group for setting in list_shared_settings()}
    for name, value in space.overrides.items():
        group = groups[name]
        if group:
            changes[group] = replace(changes.get(group, getattr(config, group)), **{name: value})
        else:
            changes[name] = value
    if space.model is not None:
        own = config.model
        changes["model"] = replace(space.model, dropout=own.dropout, drop_path=own.drop_path, pretrained=False)
    try:
        return replace(config, **changes)
    except UsageError as error:
        if epochs is None:
            raise
        hint = f"give more than --epochs {epochs}, or narrow the space with --fix or --choices"
        raise UsageError(error.problem, hint=hint) from error


def _answers_of(model: ModelConfig) -> Params:
    """Return the parameters of a space that make this network."""
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
