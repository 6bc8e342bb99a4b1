"""The documents of a kit: what README.md, requirements.txt and MODEL_CARD.md say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from automl.artifacts import read_json, write_json
from automl.data.competition import load_competition
from automl.kit.manifest import KitFiles
from tests.automl_tests.kit_tests.worlds import World


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
def test_the_card_says_on_what_soft_targets_members_were_trained(
    world: World, tmp_path: Path, kind: str, words: str
) -> None:
    members = read_json(world.files.ensemble)["members"]
    assert words not in card_with(world, tmp_path / "plain")
    assert words in card_with(world, tmp_path / "taught", members=[{**members[0], "kind": kind}, *members[1:]])
