"""Settings that every trial shares: one declaration beside a field makes flag, override and part in the fingerprint."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import automl.config
from automl.config import TrialConfig, list_shared_settings
from automl.space import UNNAMED_OVERRIDES, load_space

# The fingerprints of the shipped space `tiny` in studies that were begun before overrides had names.
FINGERPRINTS = {"plain": "fee3d3cbbd823b43", "overridden": "567db2de9cceb69e"}
OVERRIDES: dict[str, Any] = {
    "epochs": 5,
    "pretrained": False,
    "epoch_choice": "best",
    "patience": 2,
    "compile": True,
}

# Run with a config.py that declares one more setting, and nothing else changed anywhere.
PROGRAM = """
import importlib.util, json, sys
from dataclasses import replace

spec = importlib.util.spec_from_file_location("automl.config", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["automl.config"] = module
spec.loader.exec_module(module)

from typer.testing import CliRunner
from automl.cli.app import app
from automl.cli.options import SpaceFlags, override_flags
from automl.space import load_space

def help_of(command):
    return CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output

group = override_flags(of_model=False)
values = {name: default for name, (_, default) in group.flags.items()}
space = SpaceFlags(name="tiny", overrides=group.build(values | {"rewinds": 7})).load_space()
print(json.dumps({
    "search": "--rewinds" in help_of("search") and "Rewind the tape so often." in help_of("search"),
    "find-lr": "--rewinds" in help_of("find-lr"),
    "trial": space.build_first_config().rewinds,
    "plain": load_space("tiny").fingerprint,
    "first": space.fingerprint,
    "second": replace(space, overrides={"rewinds": 8}).fingerprint,
}))
"""
DECLARATION = """\
    rewinds: int | None = declare_shared(
        None,
        help="Rewind the tape so often.",
        in_fingerprint={in_fingerprint},
        affects_steps={affects_steps},
        minimum=1,
    )
"""


def with_one_more(folder: Path, **traits: bool) -> dict[str, Any]:
    """What a program sees of a setting that is declared at the end of TrialConfig."""
    source, end = (
        Path(automl.config.__file__).read_text(),
        "    def __post_init__(self) -> None:\n        _require_known",
    )
    before, place, after = source.rpartition(end + '("class_sampling"')
    assert place
    path = folder / "config.py"
    path.write_text(before + DECLARATION.format(**traits) + "\n" + place + after)
    command = [sys.executable, "-c", PROGRAM, str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    seen: dict[str, Any] = json.loads(finished.stdout)
    return seen


def test_a_setting_that_is_declared_once_has_a_flag_reaches_every_trial_and_enters_the_fingerprint(
    tmp_path: Path,
) -> None:
    seen = with_one_more(tmp_path, in_fingerprint=True, affects_steps=True)
    assert seen["search"] and seen["find-lr"]
    assert seen["trial"] == 7
    assert len({seen["plain"], seen["first"], seen["second"]}) == 3


def test_a_declaration_says_that_studies_and_range_tests_do_without_the_setting(tmp_path: Path) -> None:
    seen = with_one_more(tmp_path, in_fingerprint=False, affects_steps=False)
    assert seen["search"] and not seen["find-lr"]
    assert seen["trial"] == 7
    assert seen["first"] == seen["second"] == seen["plain"]


def test_studies_of_earlier_versions_go_on_as_their_fingerprints_stay() -> None:
    space = load_space("tiny")
    assert space.fingerprint == FINGERPRINTS["plain"]
    assert replace(space, overrides=OVERRIDES).fingerprint == FINGERPRINTS["overridden"]


def test_each_override_that_had_no_name_still_enters_the_fingerprint() -> None:
    bound = {setting.name for setting in list_shared_settings() if setting.in_fingerprint}
    assert bound >= set(UNNAMED_OVERRIDES)


def test_every_setting_is_set_over_the_spaces_answer() -> None:
    config: TrialConfig = replace(load_space("tiny"), overrides=OVERRIDES).build_first_config()
    for setting in list_shared_settings():
        owner = getattr(config, setting.group) if setting.group else config
        assert getattr(owner, setting.name) == OVERRIDES[setting.name], setting.name
