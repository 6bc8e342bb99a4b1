"""What the folds of a trial share: configuration, device, threads, pixels and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from automl.artifacts import StudyFiles, read_arrays, read_json, write_json
from automl.config import TransferConfig, TrialConfig
from automl.data.competition import load_competition
from automl.errors import StorageError
from automl.training.distributed.ddp_rank import DdpRank
from automl.training.entry_points import run_trial
from automl.training.inference import ImageViews, predict_views
from automl.training.network.create import load_trained
from automl.training.trial_context import TrialContext, find_trial_files
from automl.training.trial_job import TrialJob
from automl.training.trial_run import write_config
from tests.automl_tests.training_tests.trial_builders import (
    ScriptedContext,
    config_of,
    payload_of,
    write_study,
)


@pytest.mark.slow
def test_image_sizes_that_a_backbone_does_not_take_are_rounded_to_those_that_it_does(tmp_path: Path) -> None:
    study, context = write_study(tmp_path, n_train=15), ScriptedContext()
    run_trial(payload_of(study, config_of(backbone="test_vit", sizes="20-30", epochs=2)), context)
    assert [detail["image_size"] for detail in context.details] == [16, 32]
    assert read_json(study.get_trial_files(0).config)["resize"]["image_sizes"] == [16, 32]


def job_of(study: StudyFiles, **changes: object) -> TrialJob:
    return TrialJob.from_json(payload_of(study, config_of(), **changes))


def test_a_job_is_opened_for_the_first_of_its_devices(shapes: StudyFiles) -> None:
    trial = TrialContext.open_job(job_of(shapes), ScriptedContext(device="cuda:1+cuda:2", n_threads=5))
    assert (trial.device, trial.n_threads, trial.threads_per_rank) == ("cuda:1", 5, 5)
    assert len(trial.folds) == len(trial.competition.image_ids)


@pytest.mark.parametrize(("n_threads", "per_rank"), [(5, 2), (2, 1), (1, 1)])
def test_ranks_share_the_threads_and_each_has_one_at_least(n_threads: int, per_rank: int, shapes: StudyFiles) -> None:
    trial = TrialContext.open_job(job_of(shapes), ScriptedContext(n_threads=n_threads))
    assert replace(trial, ranks=DdpRank(0, 2, "cpu")).threads_per_rank == per_rank


def test_the_first_fold_is_reported_or_else_the_only_one(shapes: StudyFiles) -> None:
    for fold, reported in ((None, 0), (3, 3)):
        assert TrialContext.open_job(job_of(shapes, fold=fold), ScriptedContext()).reported_fold == reported


def test_a_refit_writes_beside_the_files_of_the_trial(shapes: StudyFiles) -> None:
    own, refit = (find_trial_files(job_of(shapes, refit_kind=kind)) for kind in (None, "pseudo"))
    assert own.root == shapes.get_trial_files(0).root
    assert refit.root == own.get_refit_files("pseudo").root != own.root


def test_test_images_follow_the_training_images(shapes: StudyFiles) -> None:
    trial = TrialContext.open_job(job_of(shapes), ScriptedContext())
    train, test = (trial.load_pixels(split, 24) for split in ("train", "test"))
    both = trial.load_all_pixels(24)
    assert np.array_equal(both[np.array([1, len(train) + 2])], np.stack([train[1], test[2]]))


def pixels_of(trial: TrialContext) -> tuple[str, float]:
    return trial.config.resize.interpolation, trial.config.resize.crop_pct


def put_trial(study: StudyFiles, number: int = 0, **resize: object) -> Path:
    """The configuration of a trial that has begun; what is not in resize is not in the file, as an older version's."""
    document = config_of().to_json()
    document["resize"] = {"image_sizes": [32], **resize}
    files = study.get_trial_files(number)
    write_json(files.config, document)
    return files.root


PRETRAINED = replace(config_of(), model=replace(config_of().model, pretrained=True))


@pytest.mark.parametrize(
    ("config", "expected"),
    [(PRETRAINED, ("bilinear", 0.95)), (config_of(), ("bicubic", 1.0))],
    ids=["pretrained", "not"],
)
def test_a_new_trial_evaluates_pixels_as_its_weights_were(
    config: TrialConfig, expected: tuple[str, float], tmp_path: Path
) -> None:
    study = write_study(tmp_path)
    trial = TrialContext.open_job(TrialJob.from_json(payload_of(study, config)), ScriptedContext())
    assert pixels_of(trial) == expected
    write_config(trial)
    again = TrialContext.open_job(TrialJob.from_json(payload_of(study, config)), ScriptedContext())
    assert again.config == trial.config


def test_pixels_that_a_space_names_stay(tmp_path: Path) -> None:
    config = replace(PRETRAINED, resize=replace(PRETRAINED.resize, crop_pct=0.8))
    job = TrialJob.from_json(payload_of(write_study(tmp_path), config))
    assert pixels_of(TrialContext.open_job(job, ScriptedContext())) == ("area", 0.8)


@pytest.mark.parametrize("resize", [{}, {"interpolation": "bicubic", "crop_pct": 0.9}], ids=["older", "newer"])
@pytest.mark.parametrize("refit_kind", [None, "refit", "pseudo"])
def test_a_trial_that_has_begun_goes_on_with_its_pixels_and_so_do_its_further_folds(
    refit_kind: str | None, resize: dict[str, object], tmp_path: Path
) -> None:
    study = write_study(tmp_path)
    put_trial(study, **resize)
    job = TrialJob.from_json(
        payload_of(study, PRETRAINED, refit_kind=refit_kind, fold=None if refit_kind is None else 3)
    )
    expected = (resize.get("interpolation", "area"), resize.get("crop_pct", 1.0))
    assert pixels_of(TrialContext.open_job(job, ScriptedContext())) == expected


@pytest.mark.parametrize("config", [PRETRAINED, config_of()], ids=["pretrained", "not"])
def test_a_trial_that_begins_with_anothers_weights_begins_with_its_pixels(config: TrialConfig, tmp_path: Path) -> None:
    study = write_study(tmp_path)
    for number, resize in enumerate(({}, {"interpolation": "lanczos", "crop_pct": 0.8}), start=1):
        origin = put_trial(study, number, **resize)
        job = TrialJob.from_json(payload_of(study, config, init_from=str(origin)))
        expected = (resize.get("interpolation", "area"), resize.get("crop_pct", 1.0))
        assert pixels_of(TrialContext.open_job(job, ScriptedContext())) == expected


def test_pixels_are_loaded_as_they_are_evaluated(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    sides = [
        TrialContext.open_job(job_of(study, trial=number), ScriptedContext()).load_pixels("test", 16).shape[1]
        for number in (0, 1, 2)
        if number == 0 or put_trial(study, number, **({} if number == 1 else {"crop_pct": 0.5}))
    ]
    assert sides == [18, 24, 32]


def test_an_older_trial_predicts_bit_for_bit_as_it_did(tmp_path: Path) -> None:
    """Against squares by Pillow's bilinear and OpenCV's INTER_AREA, as all versions before made them."""
    study = write_study(tmp_path)
    config = config_of(sizes="20", epochs=2, augment="none", transfer=TransferConfig(freeze_epochs=1))
    document = config.to_json()
    document["resize"] = {"image_sizes": [20], "scale_batch": False, "scale_augment": False}
    files = study.get_trial_files(0)
    write_json(files.config, document)
    assert run_trial(payload_of(study, config), ScriptedContext())["outcome"] == "completed"
    competition = load_competition(study.competition)
    model = load_trained(config, files.get_weights_path(0), competition=competition, device="cpu")

    def load(start: int, end: int) -> NDArray[np.uint8]:
        images = [Image.open(path).convert("RGB") for path in competition.test_paths[start:end]]
        squares = [image.resize((24, 24), Image.Resampling.BILINEAR, reducing_gap=2.0) for image in images]
        return np.stack([cv2.resize(np.asarray(own), (20, 20), None, 0, 0, cv2.INTER_AREA) for own in squares])

    n_test = len(competition.test_paths)
    probs = predict_views(model, [ImageViews(load, [lambda batch: batch])], n_test, device="cpu")[0]
    assert np.array_equal(read_arrays(files.test)["probs"], probs)


@pytest.mark.parametrize(("begun", "expected"), [(None, "random"), ("random", "random"), ("probe", "probe")])
def test_a_trial_that_has_begun_keeps_its_heads_first_weights_though_its_space_has_others_now(
    begun: str | None, expected: str, tmp_path: Path
) -> None:
    study, document = write_study(tmp_path), config_of().to_json()
    document["transfer"]["head_init"] = begun
    if begun is None:  # an older version's
        document["transfer"] = {"freeze_epochs": 0, "trainable_blocks": None, "layer_decay": 1.0}
    write_json(study.get_trial_files(0).config, document)
    model = replace(config_of().model, pretrained=True)
    config = replace(config_of(), model=model, transfer=TransferConfig(head_init="probe", freeze_norms=True))
    trial = TrialContext.open_job(TrialJob.from_json(payload_of(study, config)), ScriptedContext())
    assert trial.config.transfer.head_init == expected
    resize = TrialConfig.from_json(document).resize
    write_config(replace(trial, config=replace(trial.config, model=config_of().model, resize=resize)))
    new = TrialContext.open_job(TrialJob.from_json(payload_of(study, config, trial=1)), ScriptedContext())
    assert (new.config.transfer.head_init, new.config.transfer.freeze_norms) == ("probe", True)
    scratch = replace(config, model=config_of().model)
    new = TrialContext.open_job(TrialJob.from_json(payload_of(study, scratch, trial=2)), ScriptedContext())
    assert (new.config.transfer.head_init, new.config.transfer.freeze_norms) == ("random", False)


def test_a_study_without_its_files_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        TrialContext.open_job(job_of(StudyFiles(tmp_path)), ScriptedContext())
