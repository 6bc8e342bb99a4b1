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
            source = world.files.get_trial_files(member.number).locate_weights(fold)
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
    write_json(copy.files.ensemble, {**read_json(copy.files.ensemble), "metric": document["metric"]})
    kit = copy.kit()
    assert "Metric: mine.py:halved; " in kit.card.read_text()
    (tmp_path / "mine.py").unlink()
    shutil.move(kit.root, tmp_path / "elsewhere")
    metric = load_kit_competition(KitFiles(tmp_path / "elsewhere")).metric
    assert metric.function(np.zeros(2), np.zeros((2, 2))) == 0.5
    assert "metric.py" in read_manifest(KitFiles(tmp_path / "elsewhere")).files


def test_folds_that_were_trained_after_the_search_are_taken_from_where_they_lie(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    member = copy.recipe.members[0]
    trial = copy.files.get_trial_files(member.number)
    refit = trial.get_refit_files("refit").locate_weights(1)
    refit.parent.mkdir()
    trial.locate_weights(1).rename(refit)
    content = refit.read_bytes()
    assert copy.kit().locate_weights(member, 1).read_bytes() == content


def test_weights_that_are_gone_are_named_and_refit_is_the_way_out(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    number = copy.recipe.members[0].number
    copy.files.get_trial_files(number).locate_weights(1).unlink()
    with pytest.raises(StorageError, match=rf"networks are gone: .*/trials/{number:05d}/fold1\.safetensors$") as raised:
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
    weights = safetensors.torch.load_file(kit.locate_weights(member, member.folds[0]))
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
    assert f"Scored on {figures['n_rows']} of 60 training images" in card
    assert f"torch=={torch.__version__.partition('+')[0]}\n" in kit.requirements.read_text()
    assert load_competition(world.files.competition).evidence[0] in card


def card_with(world: World, folder: Path, **figures: object) -> str:
    """The model card of the study's kit, were these the figures of its ensemble."""
    copy = world.copied(folder)
    write_json(copy.files.ensemble, {**read_json(copy.files.ensemble), **figures})
    return copy.kit().card.read_text()


def test_the_card_does_not_name_the_folds_that_predict_as_those_that_were_scored(world: World, tmp_path: Path) -> None:
    """A refitted member has more folds than the rows on which it was compared with others."""
    members = read_json(world.files.ensemble)["members"]
    card = card_with(world, tmp_path, n_rows=12, members=[{**member, "folds": [0, 1, 2, 3, 4]} for member in members])
    (scored,) = [paragraph for paragraph in card.split("\n\n") if paragraph.startswith("Metric: ")]
    assert "Scored on 12 of 60 training images" in scored
    assert "fold" not in scored
    assert "| 0, 1, 2, 3, 4 |" in card


def test_the_card_says_what_flatters_its_scores(world: World, tmp_path: Path) -> None:
    plain = card_with(world, tmp_path / "plain", is_trimmed=False, n_trials=9, luck=0.0123)
    assert "Parts were left out" not in plain
    assert "is the best of 9 by this very score: about\n  0.01230 of it is luck" in plain
    assert "The trials were searched for by their scores on some or all of these images" in plain
    assert "left out to save time" in card_with(world, tmp_path / "trimmed", is_trimmed=True)
    assert "is luck" not in card_with(world, tmp_path / "alone", n_trials=1)
    alone = card_with(world, tmp_path / "identity", views=["identity"])
    assert "without views" not in alone
    assert "Where views were not asked for" not in alone


@pytest.mark.parametrize(
    ("kind", "words"),
    [("pseudo", "also trained on test images"), ("distilled", "models that have seen the images that are scored")],
)
def test_the_card_says_what_members_were_taught(world: World, tmp_path: Path, kind: str, words: str) -> None:
    members = read_json(world.files.ensemble)["members"]
    assert words not in card_with(world, tmp_path / "plain")
    assert words in card_with(world, tmp_path / "taught", members=[{**members[0], "kind": kind}, *members[1:]])


def test_the_folders_of_this_machine_are_in_no_text_of_the_kit(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path / "home")
    document = read_json(copy.files.competition)
    lines = [f"metric: {tmp_path}/home/own.py:score, as asked", f"labels: from {document['root']}/train.csv"]
    (tmp_path / "home" / "own.py").write_text("def score(y_true, y_pred):\n    return 0.5\n")
    metric = f"{tmp_path}/home/own.py:score"
    write_json(copy.files.competition, {**document, "metric": metric, "evidence": lines})
    notes = [f"trial 3 is left out: {copy.files.root}/trials/00003/oof.npz is damaged"]
    write_json(copy.files.ensemble, {**read_json(copy.files.ensemble), "metric": metric, "notes": notes})
    kit = copy.kit()
    assert "trials/00003/oof.npz is damaged" in kit.card.read_text()
    assert "metric: own.py:score, as asked" in kit.card.read_text()
    for place in (kit.card, kit.competition, kit.manifest, kit.readme):
        assert str(tmp_path) not in place.read_text()
        assert document["root"] not in place.read_text()


def test_a_submission_that_a_later_search_put_in_place_is_not_taken_for_the_ensemble_s(
    world: World, tmp_path: Path
) -> None:
    copy = world.copied(tmp_path)
    written = copy.files.submission.read_bytes()
    copy.files.submission.write_text("id,left,middle,right\n")
    assert read_manifest(copy.kit()).submission == hashlib.sha256(written).hexdigest()


@pytest.mark.parametrize("command", ["kit", "predict"])
def test_a_device_that_is_not_there_is_refused(world: World, tmp_path: Path, command: str) -> None:
    world.copied(tmp_path)
    arguments = [str(world.folder)] if command == "predict" else []
    asked = ["--workdir", str(tmp_path), "--study", "study", "--device", "cuda:99"]
    result = automl_here(tmp_path, command, *arguments, *asked)
    assert result.exit_code == 7
    assert "there is no device 'cuda:99' to be used" in result.stderr
