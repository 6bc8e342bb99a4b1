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
from automl.errors import StorageError, UsageError
from automl.kit import building
from automl.kit.building import convert_to_float16
from automl.kit.manifest import KitFiles, is_kit, read_manifest
from automl.kit.running import load_kit_competition
from tests.automl_tests.kit_tests.worlds import World


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
    refit = trial.get_refit_files("refit").get_weights_path(1)
    refit.parent.mkdir()
    trial.get_weights_path(1).rename(refit)
    content = refit.read_bytes()
    assert copy.kit().locate_weights(member, 1).read_bytes() == content


def test_weights_that_are_gone_are_named_and_refit_is_the_way_out(world: World, tmp_path: Path) -> None:
    copy = world.copied(tmp_path)
    number = copy.recipe.members[0].number
    copy.files.get_trial_files(number).get_weights_path(1).unlink()
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


def back(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(convert_to_float16(safetensors.torch.save(tensors), "w.safetensors"))


def test_weights_become_float16_rounded_to_the_nearest() -> None:
    weight = torch.tensor([1.0, 0.1, -3.14159])
    half = back({"conv.weight": weight})["conv.weight"]
    assert half.dtype == torch.float16
    assert torch.equal(half, weight.half())


def test_batch_norm_s_statistics_and_integers_stay_as_they_are() -> None:
    tensors = {
        "bn.running_mean": torch.tensor([0.1]),
        "bn.running_var": torch.tensor([1e-9]),
        "bn.num_batches_tracked": torch.tensor(70001),
        "relative_position_index": torch.tensor([[3, 4]]),
    }
    kept = back(tensors)
    assert all(torch.equal(kept[name], tensor) and kept[name].dtype == tensor.dtype for name, tensor in tensors.items())


def test_what_float16_cannot_hold_stays_float32() -> None:
    weight = torch.tensor([1.0, 70000.0])
    assert torch.equal(back({"scale": weight})["scale"], weight)


def test_a_damaged_file_is_an_error_that_names_it() -> None:
    with pytest.raises(StorageError, match=r"w\.safetensors cannot be read"):
        convert_to_float16(b"nothing of the kind", "w.safetensors")
