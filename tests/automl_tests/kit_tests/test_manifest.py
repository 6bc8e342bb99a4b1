"""kit.json: each file with its digest, what the kit repeats, and whether a folder is a kit."""

from __future__ import annotations

import hashlib

import torch

from automl.kit.manifest import KitFiles, read_manifest
from tests.automl_tests.kit_tests.worlds import World


def test_each_member_has_its_weights_and_each_file_its_digest(kit: KitFiles, world: World) -> None:
    manifest = read_manifest(kit)
    names = {
        f"weights/{member.name}-fold{fold}.safetensors" for member in world.recipe.members for fold in member.folds
    }
    assert names == {path.relative_to(kit.root).as_posix() for path in kit.root.glob("weights/*")}
    for member in world.recipe.members:
        for fold in member.folds:
            source = world.files.get_trial_files(member.number).get_weights_path(fold)
            assert kit.locate_weights(member, fold).read_bytes() == source.read_bytes()
    assert names | {"competition.json", manifest.wheel} == set(manifest.files)
    for name, digest in manifest.files.items():
        assert hashlib.sha256((kit.root / name).read_bytes()).hexdigest() == digest


def test_kit_json_says_what_it_repeats(kit: KitFiles, world: World) -> None:
    manifest = read_manifest(kit)
    assert manifest.recipe == world.recipe
    assert manifest.submission == hashlib.sha256(world.files.submission.read_bytes()).hexdigest()
    assert manifest.versions["torch"] == torch.__version__.partition("+")[0]
    assert {need["package"] for need in manifest.needs} >= {"torch", "timm", "safetensors", "pillow"}
    assert not manifest.half
