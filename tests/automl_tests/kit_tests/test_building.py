"""What a kit's folder holds, and what becomes of what was there before."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from automl.artifacts import read_json, write_json
from automl.data.competition import load_competition
from automl.errors import StorageError, UsageError
from automl.kit import building
from automl.kit.manifest import KitFiles, is_kit, read_manifest
from automl.kit.running import load_kit_competition
from tests.automl_tests.kit_tests.worlds import World
from tests.conftest import automl_here


def test_each_member_has_its_weights_and_each_file_its_digest(kit: KitFiles, world: World) -> None:
    manifest = read_manifest(kit)
    names = {
        f"weights/{member.name}-fold{fold}.safetensors" for member in world.recipe.members for fold in member.folds
    }
    assert names == {path.relative_to(kit.root).as_posix() for path in kit.root.glob("weights/*")}
    for member in world.recipe.members:
        for fold in member.folds:
            source = world.files.trial(member.number).weights(fold)
            assert kit.weights(member, fold).read_bytes() == source.read_bytes()
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


def test_the_competition_leaves_without_saying_which_training_image_has_which_label(
    kit: KitFiles, world: World
) -> None:
    own, taken = world.competition, load_kit_competition(kit)
    assert (taken.image_ids, taken.image_paths, taken.groups) == ((), (), None)
    assert str(world.folder) not in kit.competition.read_text()
    assert not any(image_id in kit.competition.read_text() for image_id in own.image_ids)
    assert taken.targets.tolist() == sorted(own.targets.tolist()) != own.targets.tolist()
    assert np.array_equal(taken.prior, own.prior)
    assert taken.scorer == own.scorer
    assert (taken.classes, taken.submission, taken.test_ids) == (own.classes, own.submission, own.test_ids)


def test_a_metric_of_one_s_own_goes_along(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def halved(y_true, y_pred):\n    return 0.5\n")
    copy = world.copied(tmp_path)
    document = {**read_json(copy.files.competition), "metric": f"{tmp_path}/mine.py:halved"}
    write_json(copy.files.competition, document)
    kit = copy.kit()
    (tmp_path / "mine.py").unlink()
    shutil.move(kit.root, tmp_path / "elsewhere")
    metric = load_kit_competition(KitFiles(tmp_path / "elsewhere")).metric
    assert metric.function(np.zeros(2), np.zeros((2, 2))) == 0.5
    assert "metric.py" in read_manifest(KitFiles(tmp_path / "elsewhere")).files


def test_folds_that_were_trained_after_the_search_are_taken_from_where_they_lie(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    member = copy.recipe.members[0]
    trial = copy.files.trial(member.number)
    refit = trial.retrained("refit").weights(1)
    refit.parent.mkdir()
    trial.weights(1).rename(refit)
    content = refit.read_bytes()
    assert copy.kit().weights(member, 1).read_bytes() == content


def test_weights_that_are_gone_are_named_and_refit_is_the_way_out(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    number = copy.recipe.members[0].number
    copy.files.trial(number).weights(1).unlink()
    with pytest.raises(StorageError, match=rf"networks are gone: trials/{number:05d}/fold1\.safetensors$") as raised:
        copy.kit()
    assert "automl refit" in raised.value.hint
    assert not copy.files.kit.exists()


def test_without_an_ensemble_there_is_no_kit(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    copy.files.ensemble.unlink()
    with pytest.raises(UsageError, match="there is no ensemble"):
        copy.kit()


def test_an_ensemble_json_that_lacks_figures_is_an_error_that_says_which(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    figures = read_json(copy.files.ensemble)
    del figures["luck"]
    write_json(copy.files.ensemble, figures)
    with pytest.raises(StorageError, match=r"ensemble\.json cannot be understood: KeyError\('luck'\)"):
        copy.kit()


def test_a_folder_that_is_no_kit_is_left_as_it_is(world: World, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(UsageError, match="thesis is there already, and is no kit"):
        world.kit(out=tmp_path / "thesis")
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis", "chapter1.tex"]


def test_a_kit_is_replaced_by_a_new_one_but_for_what_somebody_put_into_it(world: World, tmp_path: Path) -> None:
    world.kit(out=tmp_path / "kit")
    (tmp_path / "kit" / "weights" / "of-another-member.safetensors").write_bytes(b"")
    (tmp_path / "kit" / "dataset-metadata.json").write_text('{"id": "me/kit"}')
    kit = world.kit(out=tmp_path / "kit", slug="another")
    assert not (kit.root / "weights" / "of-another-member.safetensors").exists()
    assert json.loads((kit.root / "dataset-metadata.json").read_text()) == {"id": "me/kit"}
    assert read_manifest(kit).slug == "another"
    assert [path.name for path in tmp_path.iterdir()] == ["kit"]


def test_an_interrupted_kit_is_none_and_the_one_before_it_stays(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.kit(out=tmp_path / "kit", slug="before")

    def killed(path: Path, document: object) -> None:
        if path.name == "kit.json":
            raise KeyboardInterrupt
        write_json(path, document)

    monkeypatch.setattr(building, "write_json", killed)
    for out in (tmp_path / "kit", tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            world.kit(out=out)
    assert read_manifest(before).slug == "before"
    assert not is_kit(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["kit"]


def test_half_stores_float16_and_the_card_says_how_far_that_moves(world: World, tmp_path: Path) -> None:
    kit = world.kit(out=tmp_path / "kit", half=True)
    member = world.recipe.members[0]
    weights = safetensors.torch.load_file(kit.weights(member, member.folds[0]))
    assert weights["head.fc.weight"].dtype == torch.float16
    assert {tensor.dtype for name, tensor in weights.items() if "running" in name} == {torch.float32}
    assert read_manifest(kit).half
    card = kit.card.read_text()
    assert "float16, but for batch norm's statistics" in card
    assert "moves the probabilities of 14 test images by" in card


def test_the_command_says_what_it_wrote_and_how_to_try_it(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    result = automl_here(tmp_path, "kit", "--workdir", str(tmp_path), "--study", "study", "--device", "cpu", "--half")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("members, float16")
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


def test_what_people_read_says_what_ensemble_json_says(kit: KitFiles, world: World) -> None:
    figures, card = read_json(world.files.ensemble), kit.card.read_text()
    assert f"{figures['score']:.5f} ± {figures['score_error']:.5f}" in card
    assert f"best single trial, number {figures['best_single_number']} | {figures['best_single_score']:.5f}" in card
    for member in figures["members"]:
        assert f"| {member['name']} | {member['weight']:.3f} | {member['backbone']} | {member['image_size']} |" in card
    assert "left (33.3 %), middle (33.3 %), right (33.3 %)" in card
    assert f"- torch {torch.__version__.partition('+')[0]}\n" in card
    assert f"Scored on {figures['n_rows']} of the training images" in card
    assert f"torch=={torch.__version__.partition('+')[0]}\n" in kit.requirements.read_text()
    assert load_competition(world.files.competition).evidence[0] in card
