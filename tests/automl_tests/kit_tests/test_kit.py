"""`automl kit` as a user meets it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from automl.kit.manifest import KitFiles, is_kit, read_manifest
from tests.automl_tests.kit_tests.worlds import World
from tests.conftest import automl_here


def test_the_command_says_what_it_wrote_and_how_to_try_it(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    result = automl_here(tmp_path, "kit", "--workdir", str(tmp_path), "--study", "study", "--device", "cpu", "--half")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"weights: \d+ networks of \d members?, float16", lines[0])
    assert lines[1].startswith("float16: moves the probabilities of 14 test images by")
    assert lines[2].startswith("wrote study/kit: ")
    assert lines[3] == f"try it: python study/kit/submit.py --input {world.folder} --out submission.csv"
    assert is_kit(copy.files.kit)
    assert read_manifest(KitFiles(copy.files.kit)).slug == "bright-sides"


def test_a_slug_that_is_none_is_refused(world: World, tmp_path: Path) -> None:
    world.copied(tmp_path)
    result = automl_here(tmp_path, "kit", "--workdir", str(tmp_path), "--study", "study", "--slug", "../leaves")
    assert result.exit_code == 3
    assert "'../leaves' cannot name a competition" in result.stderr


@pytest.mark.parametrize("command", ["kit", "predict"])
def test_a_device_that_is_not_there_is_refused(world: World, tmp_path: Path, command: str) -> None:
    world.copied(tmp_path)
    arguments = [str(world.folder)] if command == "predict" else []
    flags = ["--workdir", str(tmp_path), "--study", "study", "--device", "cuda:99"]
    result = automl_here(tmp_path, command, *arguments, *flags)
    assert result.exit_code == 7
    assert "there is no device 'cuda:99' to be used" in result.stderr
