"""`automl predict` as a user meets it: a folder of images in, a table out."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import Result

from automl.artifacts import StudyFiles, write_json
from automl.data.competition import Competition, load_competition, save_competition
from automl.ensemble.apply import locate_fold_weights, predict_ensemble
from automl.ensemble.ensemble_recipe import Drop, Recipe, RecipeMember
from automl.ensemble.predictor import Predictor
from tests.automl_tests.ensemble_tests.small_studies import N_TRAIN, TrainedStudy
from tests.conftest import automl_here

pytestmark = pytest.mark.slow

VIEWS = ("identity", "up", "down")
NINE_DIGITS = 5e-9


def recipe_of(study: TrainedStudy, *, by_rank: bool = False) -> Recipe:
    """Of the study's two best trials, with a view in one of them, over two folds."""
    members = [
        RecipeMember(
            number=candidate.number,
            member_kind="search",
            weight=weight,
            temperature=temperature,
            config=candidate.config,
            folds=(0, 1),
            views=views,
            seconds_per_image=0.001,
        )
        for candidate, weight, temperature, views in zip(
            study.candidates, (0.75, 0.25), (1.0, 1.5), (VIEWS, ("identity",)), strict=False
        )
    ]
    savings = (Drop(view="down"), Drop(view="up"), Drop(member=members[1].name))
    return Recipe(
        members=tuple(members),
        by_rank=by_rank,
        rule={"rule": "plain"},
        short_side=study.cache.short_side,
        drop_order=savings,
        n_threads=1,
    )


@dataclass
class World:
    """A study with an ensemble in a working folder, and a folder of photos beside it; the competition's own is gone."""

    here: Path
    files: StudyFiles
    photos: Path
    expected: NDArray[np.float64]  # of the photos, in sorted order

    def predict(self, *arguments: str) -> Result:
        return automl_here(self.here, "predict", *arguments, "--device", "cpu")

    def table(self, name: str = "predictions.csv") -> list[list[str]]:
        with (self.here / name).open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    def numbers(self, name: str = "predictions.csv") -> NDArray[np.float64]:
        return np.array([[float(cell) for cell in row[1:3]] for row in self.table(name)[1:]])


@pytest.fixture
def world(study: TrainedStudy, tmp_path: Path) -> World:
    files = StudyFiles(tmp_path / "automl_runs" / "sides")
    shutil.copytree(study.files.root, files.root, ignore=shutil.ignore_patterns("cache"))
    (files.root / "study.db").touch()  # by which a study is known
    recipe = recipe_of(study)
    write_json(files.ensemble, {"recipe": recipe.to_json()})
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in study.competition.test_paths:
        shutil.copy(path, photos / path.name)
    predictor = Predictor(study.competition, study.cache, device="cpu", cache_folder=None)
    expected = predict_ensemble(recipe, lambda member, fold: locate_fold_weights(files, member, fold), predictor)
    expected = expected / expected.sum(axis=1, keepdims=True)
    moved = load_competition(files.competition)
    gone = tmp_path / "gone"
    shutil.copytree(study.competition.root, gone)
    save_competition(_at(moved, gone), files.competition)
    shutil.rmtree(gone)
    return World(tmp_path, files, photos, expected)


def _at(competition: Competition, root: Path) -> Competition:
    def moved(paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(root / path.name for path in paths)

    return replace(
        competition, root=root, image_paths=moved(competition.image_paths), test_paths=moved(competition.test_paths)
    )


def test_photos_become_a_table_without_the_competitions_folder(world: World) -> None:
    answer = world.predict("photos")
    assert answer.exit_code == 0, answer.output
    rows = world.table()
    assert rows[0] == ["image", "left", "right", "label"]
    assert [row[0] for row in rows[1:]] == sorted(path.name for path in world.photos.iterdir())
    assert rows[1][0] == f"image{N_TRAIN:03d}.png"
    np.testing.assert_allclose(world.numbers(), world.expected, rtol=NINE_DIGITS)
    assert [row[3] for row in rows[1:]] == [("left", "right")[index] for index in world.expected.argmax(axis=1)]
    assert "wrote predictions.csv: 12 images" in answer.output
    assert not list(world.files.cache.glob("*")), "nothing stays of the pixels"


def test_the_same_photos_give_the_same_bytes(world: World) -> None:
    world.predict("photos", "--out", "one.csv")
    world.predict(str(world.photos), "--out", "two.csv")
    assert (world.here / "one.csv").read_bytes() == (world.here / "two.csv").read_bytes()


def test_a_single_image_is_predicted_as_among_others(world: World) -> None:
    answer = world.predict(f"photos/image{N_TRAIN + 3:03d}.png")
    assert answer.exit_code == 0, answer.output
    np.testing.assert_allclose(world.numbers(), world.expected[3:4], atol=1e-6)
    assert "1 image\n" in answer.output


def test_without_views_other_probabilities_come_out(world: World) -> None:
    assert world.predict("photos", "--tta", "none", "--out", "quick.csv").exit_code == 0
    assert world.predict("photos").exit_code == 0
    moved = np.abs(world.numbers("quick.csv") - world.numbers()).max()
    assert 0 < moved < 0.2
    answer = world.predict("photos", "--tta", "flips")
    assert answer.exit_code == 2
    assert "--tta flips" in answer.output


def test_a_time_limit_leaves_out_what_has_no_time_and_says_so(world: World) -> None:
    assert world.predict("photos", "--tta", "none", "--out", "quick.csv").exit_code == 0
    answer = world.predict("photos", "--max-minutes", "0", "--out", "none.csv")
    assert answer.exit_code == 0, answer.output
    assert "time: views left out: up, down" in answer.output
    assert "time: members left out:" in answer.output
    answer = world.predict("photos", "--max-minutes", "60", "--out", "hour.csv")
    assert "left out" not in answer.output
    assert world.predict("photos").exit_code == 0
    assert (world.here / "hour.csv").read_bytes() == (world.here / "predictions.csv").read_bytes()


def test_probabilities_are_shown_where_the_submission_averages_ranks(world: World, study: TrainedStudy) -> None:
    write_json(world.files.ensemble, {"recipe": recipe_of(study, by_rank=True).to_json()})
    answer = world.predict("photos")
    assert "probabilities are averaged here, where the submission averages ranks" in answer.output
    np.testing.assert_allclose(world.numbers(), world.expected, rtol=NINE_DIGITS)


def test_broken_images_are_named_and_left_out(world: World) -> None:
    (world.photos / "broken.jpg").write_bytes(b"no image")
    cut = world.photos / "image999.png"
    cut.write_bytes((world.photos / f"image{N_TRAIN:03d}.png").read_bytes()[:200])
    answer = world.predict("photos")
    assert answer.exit_code == 0, answer.output
    assert "left out: broken.jpg cannot be decoded" in answer.output
    assert "left out: image999.png cannot be decoded" in answer.output
    assert len(world.table()) == 1 + 12
    np.testing.assert_allclose(world.numbers(), world.expected, rtol=NINE_DIGITS)


def test_where_no_image_can_be_predicted_nothing_is_written(world: World) -> None:
    for path in world.photos.iterdir():
        path.write_bytes(b"no image")
    answer = world.predict("photos")
    assert answer.exit_code == 3
    assert "none of 12 images can be decoded" in answer.output
    (world.here / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        assert world.predict(folder).exit_code == 3
    assert not (world.here / "predictions.csv").exists()


def test_only_a_table_of_such_predictions_is_replaced(world: World) -> None:
    (world.here / "train.csv").write_text("id,label\n")
    answer = world.predict("photos", "--out", "train.csv")
    assert answer.exit_code == 2
    assert "train.csv is there already" in answer.output
    assert (world.here / "train.csv").read_text() == "id,label\n"
    assert world.predict("photos", "--out", "train.csv", "--overwrite").exit_code == 0
    assert world.predict("photos", "--out", "train.csv").exit_code == 0
    assert len(world.table("train.csv")) == 13


def test_without_an_ensemble_there_is_nothing_to_predict_with(world: World) -> None:
    world.files.ensemble.unlink()
    answer = world.predict("photos")
    assert answer.exit_code == 2
    assert "make one first: automl ensemble" in answer.output
    answer = world.predict("photos", "--kit", str(world.photos))
    assert answer.exit_code == 2
    assert "is no kit" in answer.output
    assert world.predict("photos", "--kit", "kit", "--study", "sides").exit_code == 2


def test_missing_weights_are_named_with_what_makes_them_again(world: World, study: TrainedStudy) -> None:
    number = study.candidates[0].number
    weights = world.files.get_trial_files(number).get_weights_path(1)
    content = weights.read_bytes()
    weights.unlink()
    answer = world.predict("photos")
    assert answer.exit_code == 5
    assert "1 of the ensemble's 4 networks are gone" in answer.output
    assert f"trials/{number:05d}/fold1.safetensors" in answer.output
    assert "automl refit" in answer.output

    again = world.files.get_trial_files(number).get_refit_files("refit").get_weights_path(1)
    again.parent.mkdir()
    again.write_bytes(content)
    assert world.predict("photos").exit_code == 0, "refit has trained it again"
    np.testing.assert_allclose(world.numbers(), world.expected, rtol=NINE_DIGITS)


def test_a_recipe_that_is_damaged_is_a_storage_error(world: World) -> None:
    document = json.loads(world.files.ensemble.read_text())
    document["recipe"]["members"][0]["views"] = ["mirror"]
    write_json(world.files.ensemble, document)
    answer = world.predict("photos")
    assert answer.exit_code == 5
    assert "recipe of an ensemble cannot be understood" in answer.output
