"""Shared settings: the declaration, beside a field's default, of a flag that sets the field for every trial of a study.

See also: automl.config.TrialConfig, whose fields and groups declare them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

SHARED = "shared"  # key of a field's metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSetting:
    """A flag that sets a field of TrialConfig or of its groups for every trial of a study, over the space's own answer.

    The flag of `automl search` and `automl find-lr`, the override of `automl.space.Space` and its part in the space's
    fingerprint all follow from this declaration, which stands beside the field's default.

    Attributes:
        help: of the flag.
        in_fingerprint: whether a study refuses to go on with another value.
        affects_steps: whether single training steps depend on it; find-lr has no flag for, and ignores, what does not.
        minimum: of a number.
        choices: of a text.
        name, group, value_type, default: of the field and of the group that it is in, "" for TrialConfig itself;
            found by `find_shared_settings`.
    """

    help: str
    in_fingerprint: bool
    affects_steps: bool
    minimum: int | None = None
    choices: tuple[str, ...] = ()
    name: str = ""
    group: str = ""
    value_type: type = str
    default: Any = None

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"


def declare_shared(default: Any, **traits: Any) -> Any:
    """Declare a field that a flag sets for every trial, see SharedSetting."""
    return field(default=default, metadata={SHARED: SharedSetting(**traits)})


def find_shared_settings(config: type) -> tuple[SharedSetting, ...]:
    """Return the settings that a dataclass and its groups declare, those of the groups first."""
    groups = {name: hint for name, hint in get_type_hints(config).items() if dataclasses.is_dataclass(hint)}
    return tuple(
        _complete(declared, group, get_type_hints(owner)[declared.name])
        for group, owner in (*groups.items(), ("", config))
        for declared in dataclasses.fields(owner)
        if SHARED in declared.metadata
    )


def _complete(declared: dataclasses.Field[Any], group: str, hint: Any) -> SharedSetting:
    value_type = next((part for part in get_args(hint) if part is not type(None)), hint)
    found = {"name": declared.name, "group": group, "value_type": value_type, "default": declared.default}
    setting: SharedSetting = dataclasses.replace(declared.metadata[SHARED], **found)
    return setting
