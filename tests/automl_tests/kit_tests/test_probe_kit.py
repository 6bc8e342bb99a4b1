"""A kit of probes: heads beside the backbone that they share, and the ensemble's very submission from them."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from automl.artifacts import StudyFiles
from automl.data.folds import load_folds
from automl.ensemble.build import build_ensemble
from automl.ensemble.candidates import Candidate
from automl.ensemble.ensemble_recipe import PROBE
from automl.ensemble.ensemble_result import EnsembleRequest
from automl.errors import StorageError
from automl.kit.manifest import KitFiles, read_manifest
from automl.training.network.shared_backbone import read_backbone_digest
from tests.automl_tests.ensemble_tests.small_probes import put_probe
from tests.automl_tests.kit_tests.test_running import SAME, probabilities
from tests.automl_tests.kit_tests.worlds import World, submitted
from tests.conftest import automl_here


@pytest.fixture(scope="module")
def probed(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A trial and two probes, of which one has its number, and an ensemble of all three; to be read only."""
    root = tmp_path_factory.mktemp("probed") / "study"
    shutil.copytree(world.files.root, root, ignore=shutil.ignore_patterns("predictions"))
    files, competition, trial = StudyFiles(root), world.competition, world.recipe.members[0]
    folds = load_folds(files.folds, competition)
    probes = [
        put_probe(files, competition, folds, number, backbone=backbone, image_size=size, policy="light")
        for number, backbone, size in ((trial.number, "test_resnet", 32), (9, "test_efficientnet", 24))
    ]
    candidates = [Candidate(number=trial.number, score=0.5, config=trial.config), *probes]
    request = EnsembleRequest(device="cpu", out=files.submission, top=3, tta="flips")
    build_ensemble(competition, folds, candidates, files, request)
    made = World(world.folder, files)
    members = [
        replace(
            made.recipe.members[0],
            number=own.number,
            member_kind=own.member_kind,
            config=own.config,
            weight=weight,
            folds=(0, 1, 2, 3, 4) if own in probes else (0, 1),
            views=("identity", "mirror", "top-left"),
            shares_backbone=own in probes,
        )
        for own, weight in zip(candidates, (0.5, 0.3, 0.2), strict=True)
    ]
    return made.decreed(members=tuple(members))


def digests_of(world: World) -> set[str]:
    files = world.files
    weights = [files.get_probe_files(own.number).get_weights_path(0) for own in world.recipe.members if is_probe(own)]
    return {digest for path in weights if (digest := read_backbone_digest(path)) is not None}


def is_probe(member: object) -> bool:
    return getattr(member, "member_kind", "") == PROBE


def test_heads_lie_beside_their_backbones_which_are_stored_once(probed: World, tmp_path: Path) -> None:
    kit = probed.kit(out=tmp_path / "kit")
    probes = [member for member in probed.recipe.members if is_probe(member)]
    assert probes
    names = {path.name for path in (kit.root / "weights").iterdir()}
    digests = digests_of(probed)
    assert {name for name in names if name.startswith("backbone-")} == {
        f"backbone-{one}.safetensors" for one in digests
    }
    for member in probes:
        assert member.folds == (0, 1, 2, 3, 4)
        head = safetensors.torch.load_file(kit.locate_weights(member, 0))
        assert not [name for name in head if name.startswith("body.")]
    assert {f"weights/{name}" for name in names} <= read_manifest(kit).files.keys()
    card = kit.card.read_text()
    assert f"{len(digests)} backbone" in card and "stored once for all heads" in card
    assert "The members called probe are light heads" in card


@pytest.mark.slow
def test_a_kit_of_probes_repeats_the_submission_byte_for_byte(probed: World, tmp_path: Path) -> None:
    kit = probed.kit(out=tmp_path / "kit")
    shutil.move(kit.root, tmp_path / "elsewhere")
    content, lines = submitted(KitFiles(tmp_path / "elsewhere"), probed.folder, tmp_path / "scratch")
    assert content == probed.files.submission.read_bytes()
    assert lines[-1] == SAME
    plenty, _ = submitted(KitFiles(tmp_path / "elsewhere"), probed.folder, tmp_path / "in-time", max_minutes=60.0)
    assert plenty == content


@pytest.mark.slow
def test_half_a_kit_of_probes_still_finds_its_backbones(probed: World, tmp_path: Path) -> None:
    kit = probed.kit(out=tmp_path / "kit", half=True)
    for digest in digests_of(probed):
        tensors = safetensors.torch.load_file(kit.locate_backbone(digest))
        assert torch.float16 in {tensor.dtype for tensor in tensors.values()}
    content, _ = submitted(kit, probed.folder, tmp_path / "scratch")
    exact = probed.files.submission.read_bytes()
    assert content != exact
    assert np.abs(probabilities(content) - probabilities(exact)).max() < 0.02
    again = probed.kit(out=tmp_path / "again", half=True)
    assert read_manifest(again).files == read_manifest(kit).files


@pytest.mark.slow
def test_predict_takes_probes_from_the_study_and_from_its_kit_alike(probed: World, tmp_path: Path) -> None:
    kit = probed.kit(out=tmp_path / "kit")
    images = probed.folder / "test"
    flags = {"study": ["--workdir", str(probed.files.root.parent), "--study", "study"], "kit": ["--kit", str(kit.root)]}
    for name, own in flags.items():
        out = ["--out", str(tmp_path / f"{name}.csv"), "--device", "cpu"]
        result = automl_here(tmp_path, "predict", str(images), *own, *out)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "kit.csv").read_bytes() == (tmp_path / "study.csv").read_bytes()
    with (tmp_path / "kit.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 14


def test_a_backbone_that_is_gone_is_named_before_a_kit_is_begun(probed: World, tmp_path: Path) -> None:
    copy = probed.copied(tmp_path)
    digest = min(digests_of(probed))
    (copy.files.backbones / f"{digest}.safetensors").unlink()
    with pytest.raises(StorageError, match=rf"backbones/{digest}\.safetensors") as raised:
        copy.kit()
    assert raised.value.hint.startswith("restore them")
    assert not copy.files.kit.exists()
