"""What the folds of a trial share: configuration, device, threads, pixels and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.artifacts import StudyFiles, read_json
from automl.errors import StorageError
from automl.training.distributed.ddp_rank import DdpRank
from automl.training.entry_points import run_trial
from automl.training.trial_context import TrialContext, find_trial_files
from automl.training.trial_job import TrialJob
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


def test_a_study_without_its_files_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        TrialContext.open_job(job_of(StudyFiles(tmp_path)), ScriptedContext())
