"""A small competition on disk with trained trials and ensembles of them, for the tests of kits."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from automl.artifacts import StudyFiles, read_json, write_json
from automl.config import AugmentConfig, ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition, save_competition
from automl.data.folds import load_folds, make_folds, save_folds
from automl.decisions.rules import parse_rule
from automl.ensemble.apply import locate_fold_weights, predict_ensemble
from automl.ensemble.build import build_ensemble
from automl.ensemble.candidates import Candidate
from automl.ensemble.ensemble_recipe import Recipe, read_recipe
from automl.ensemble.ensemble_result import EnsembleRequest
from automl.ensemble.predictor import Predictor
from automl.kit.building import KitRequest, build_kit
from automl.kit.manifest import KitFiles
from automl.kit.running import KitRun, submit
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.submission.decide import get_deciding_metric
from automl.submission.write import write_submission
from automl.training.entry_points import run_trial
from tests.automl_tests.ensemble_tests.small_studies import QuietContext
from tests.automl_tests.small_competitions import put_csv

N_TRAIN, N_TEST = 60, 14
CLASSES = ("left", "middle", "right")


@dataclass(frozen=True)
class World:
    """A competition's folder and a study of it, whose ensemble is made."""

    folder: Path
    files: StudyFiles

    @property
    def competition(self) -> Competition:
        return load_competition(self.files.competition)

    @property
    def recipe(self) -> Recipe:
        return read_recipe(self.files.ensemble)

    def copied(self, root: Path) -> World:
        """The same with a study of its own, which a test may change."""
        shutil.copytree(self.files.root, root / "study")
        files = StudyFiles(root / "study")
        figures = read_json(files.ensemble)
        write_json(files.ensemble, {**figures, "submission": str(files.submission)})
        return World(self.folder, files)

    def asking_for_labels(self, folder: Path) -> World:
        """The same images and trials in a competition that asks for one label each and scores them by macro F1."""
        shutil.copytree(self.folder, folder)
        put_csv(folder / "sample_submission.csv", "id,label", *(f"test{number},left" for number in range(N_TEST)))
        save_competition(read_competition(folder, CompetitionSettings(metric="f1_macro")), self.files.competition)
        return World(folder, self.files)

    def ensemble(self, **arguments: Any) -> World:
        """The ensemble made as `automl ensemble` makes it."""
        competition = self.competition
        trained = [self.files.get_trial_files(number).config for number in range(len(configs()))]
        candidates = [
            Candidate(number=number, score=0.5, config=TrialConfig.from_json(read_json(config)))
            for number, config in enumerate(trained)
        ]
        build_ensemble(
            competition,
            load_folds(self.files.folds, competition),
            candidates,
            self.files,
            EnsembleRequest(device="cpu", out=self.files.submission, **{"top": 3, "tta": "flips", **arguments}),
        )
        return self

    def decreed(self, **changes: Any) -> World:
        """The ensemble by another recipe than the one that was found best, and the submission that it makes."""
        members = changes.pop("member", None)
        recipe = replace(self.recipe, **changes)
        if members is not None:
            recipe = replace(recipe, members=tuple(replace(member, **members) for member in recipe.members))
        competition = self.competition
        cache = PixelCache(competition, self.files.cache)
        predictor = Predictor(competition, cache, device="cpu", cache_folder=None, n_threads=recipe.n_threads)
        probs = predict_ensemble(recipe, lambda member, fold: locate_fold_weights(self.files, member, fold), predictor)
        rule = parse_rule(recipe.rule, get_deciding_metric(competition), competition.scorer.context)
        write_submission(competition, probs, self.files.submission, rule, by_rank=recipe.by_rank)
        digest = hashlib.sha256(self.files.submission.read_bytes()).hexdigest()
        changes = {"recipe": recipe.to_json(), "submission_digest": digest}
        write_json(self.files.ensemble, {**read_json(self.files.ensemble), **changes})
        return self

    def kit(self, **changes: Any) -> KitFiles:
        request = KitRequest(**{"slug": "bright-sides", "out": self.files.kit, **changes})
        return build_kit(self.files, request, device="cpu", notify=lambda line: None)


def submitted(kit: KitFiles, folder: Path | None, scratch: Path, **changes: Any) -> tuple[bytes, list[str]]:
    """What a kit writes in this process, and what it says."""
    import time

    out = scratch / "submission.csv"
    scratch.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    run = KitRun(folder=folder, out=out, max_minutes=None, device="cpu", scratch=scratch, started=time.monotonic())
    submit(kit, replace(run, **changes), notify=lines.append)
    return out.read_bytes(), lines


def train_world(root: Path) -> World:
    """Three trials on two folds each, in two image sizes, of photos whose classes are the bright third."""
    folder, files = root / "bright-sides", StudyFiles(root / "study")
    put_folder(folder)
    competition = read_competition(folder, CompetitionSettings(metric="log_loss"))
    folds = make_folds(competition)
    save_competition(competition, files.competition)
    save_folds(folds, competition, files.folds)
    for number, config in enumerate(configs()):
        train(files, number, config)
    return World(folder, files).ensemble()


def train(files: StudyFiles, number: int, config: TrialConfig) -> None:
    payload = {
        "trial": number,
        "study_dir": str(files.root),
        "config": config.to_json(),
        "train_folds": 2,
        "seed": 0,
        "weights_dir": None,
        "init_from": None,
    }
    run_trial(payload, QuietContext())


def put_folder(folder: Path, *, n_test: int = N_TEST, seed: int = 0) -> None:
    """The competition's folder: train/, test/, train.csv and a sample submission with a column for each class."""
    rng = np.random.default_rng(seed)
    targets = np.arange(N_TRAIN) % 3
    for split, sides in (("train", targets), ("test", rng.integers(0, 3, size=n_test))):
        (folder / split).mkdir(parents=True)
        for number, side in enumerate(sides):
            put_photo(folder / split / f"{split}{number}.jpg", int(side), rng)
    put_csv(folder / "train.csv", "id,label", *(f"train{n},{CLASSES[side]}" for n, side in enumerate(targets)))
    rows = [f"test{number},0.3,0.3,0.4" for number in range(n_test)]
    put_csv(folder / "sample_submission.csv", f"id,{','.join(CLASSES)}", *rows)


def put_photo(path: Path, side: int, rng: np.random.Generator) -> None:
    """40 x 30 pixels of noise with a brighter third; as a JPEG, so that it is decoded and not only copied."""
    pixels = rng.integers(0, 150, size=(30, 40, 3))
    pixels[:, 13 * side : 13 * side + 13] += 60
    Image.fromarray(pixels.astype(np.uint8)).save(path, format="JPEG", quality=90)


def configs() -> list[TrialConfig]:
    return [
        TrialConfig(
            model=ModelConfig(backbone=backbone, pretrained=False),
            resize=ResizeConfig(image_sizes=(image_size,)),
            optim=OptimConfig(lr=5e-3),
            augment=AugmentConfig(policy="light"),
            batch_size=12,
            epochs=3,
        )
        for backbone, image_size in (("test_byobnet", 24), ("test_resnet", 32), ("test_efficientnet", 24))
    ]
