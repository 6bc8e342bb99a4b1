"""Probes in a worker: their files are those of a trial, killed ones go on, what cannot be made is skipped and told."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.artifacts import StudyFiles, read_arrays, read_json
from automl.config import TrialConfig
from automl.data.cache import PixelCache
from automl.data.competition import Competition, load_competition, save_competition
from automl.data.folds import load_folds
from automl.data.resize import EvaluationPixels
from automl.probing import probe_heads, run_probe
from automl.probing.entry_point import run_probes
from automl.probing.probe_job import ProbeCandidate, ProbeReport
from automl.tasks import Task
from automl.training.inference import predict_probs
from automl.training.network.backbones import get_pretrained_crop
from automl.training.network.create import compute_classes_digest, load_trained
from runners.base import JobStopped
from tests.automl_tests.probing_tests.probe_studies import (
    OTHER,
    TINY,
    job_of,
    put_weights,
    read_contents,
    run,
    study_of,
)
from tests.automl_tests.training_tests.trial_builders import ScriptedContext

pytestmark = pytest.mark.usefixtures("few_strengths")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_weights(tmp_path_factory.mktemp("weights"), TINY, OTHER)


@pytest.fixture(scope="module")
def probed(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyFiles, ProbeReport]:
    """A study whose first probe is finished, for tests that only read it."""
    study = study_of(tmp_path_factory.mktemp("probed"), Task.BINARY)
    (report,) = run(job_of(study, weights))
    return study, report


def predict_with_files(study: StudyFiles, number: int, split: Any, rows: np.ndarray, fold: int) -> np.ndarray:
    """What the ensemble predicts with the files that a probe has left."""
    competition, files = load_competition(study.competition), study.get_probe_files(number)
    config = TrialConfig.from_json(read_json(files.config))
    network = load_trained(config, files.get_weights_path(fold), competition=competition, device="cpu")
    evaluation = EvaluationPixels.from_config(config)
    pixels = PixelCache(competition, study.cache).load_pixels(
        split, evaluation.image_size, interpolation=evaluation.interpolation, crop_pct=evaluation.crop_pct
    )
    return predict_probs(network, pixels, rows, evaluation=evaluation, device="cpu")


# ---- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", list(Task))
def test_the_files_are_those_of_a_trial(task: Task, weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, task)
    (report,) = run(job_of(study, weights))
    competition, files = load_competition(study.competition), study.get_probe_files(0)
    folds, oof, test = load_folds(study.folds, competition), read_arrays(files.oof), read_arrays(files.test)
    assert report.outcome == "completed"
    assert set(report.head_scores) == {"linear", "knn", *(["ridge"] if task is Task.ORDINAL else [])}
    assert sorted(oof["rows"]) == np.flatnonzero(folds >= 0).tolist()
    assert (folds[oof["rows"]] == oof["folds"]).all()
    assert str(oof["classes"]) == str(test["classes"]) == compute_classes_digest(competition)
    assert report.score == pytest.approx(competition.scorer(competition.targets[oof["rows"]], oof["probs"]))
    rows, validated = np.arange(len(competition.test_ids)), oof["rows"][oof["folds"] == 3]
    by_fold = [predict_with_files(study, 0, "test", rows, fold) for fold in range(5)]
    np.testing.assert_allclose(np.mean(by_fold, axis=0), test["probs"], atol=1e-5)
    np.testing.assert_allclose(
        predict_with_files(study, 0, "train", validated, 3), oof["probs"][oof["folds"] == 3], atol=1e-5
    )


def test_the_result_and_the_configuration_say_what_was_made(probed: tuple[StudyFiles, ProbeReport]) -> None:
    study, report = probed
    files = study.get_probe_files(0)
    assert ProbeReport.from_json(read_json(files.result)) == report
    config = TrialConfig.from_json(read_json(files.config))
    assert (config.model.backbone, config.model.pretrained, config.model.hidden) == (TINY, True, ())
    assert (config.transfer.trainable_blocks, config.transfer.head_init) == (0, "probe")
    pixels = (config.resize.interpolation, config.resize.crop_pct)
    assert (config.resize.image_sizes, pixels) == ((32,), get_pretrained_crop(TINY, 32))
    assert (config.augment.policy, config.loss.name, config.epochs) == ("none", "cross_entropy", 1)
    assert (report.candidate, report.image_size) == (ProbeCandidate(TINY, 32), 32)
    assert report.ms_per_image is not None
    assert report.ms_per_image > 0
    assert {path.name for path in files.root.glob("*.npz")} == {"oof.npz", "test.npz"}


def test_the_backbone_is_written_once_and_heads_alone_beside_the_probe(probed: tuple[StudyFiles, ProbeReport]) -> None:
    study, _ = probed
    (backbone,) = study.backbones.glob("*.safetensors")
    heads = list(study.get_probe_files(0).root.glob("fold*.safetensors"))
    assert len(heads) == 5
    assert max(path.stat().st_size for path in heads) < backbone.stat().st_size / 10


def test_a_mirrored_probe_is_fitted_on_both_views_and_predicts_images_as_they_are(
    weights: Path, tmp_path: Path
) -> None:
    study = study_of(tmp_path, Task.BINARY)
    plain, mirrored = run(
        job_of(study, weights, ProbeCandidate(TINY, 32), ProbeCandidate(TINY, 32, "mirror")), ScriptedContext()
    )
    competition, files = load_competition(study.competition), study.get_probe_files(1)
    oof = read_arrays(files.oof)
    rows = oof["rows"][oof["folds"] == 2]
    alone = predict_with_files(study, 1, "train", rows, 2)
    np.testing.assert_allclose(alone, oof["probs"][oof["folds"] == 2], atol=1e-5)
    assert TrialConfig.from_json(read_json(files.config)).augment.policy == "light"
    assert mirrored.score != plain.score
    assert mirrored.score != competition.scorer(competition.targets[oof["rows"]], oof["probs"])


def test_an_mlp_that_is_better_becomes_the_member(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_heads, "MIN_MLP_ROWS", 10)
    monkeypatch.setattr(probe_heads, "MLP_EPOCHS", 2)
    monkeypatch.setattr(run_probe, "choose_head", lambda problem, fitted: fitted[-1])
    study = study_of(tmp_path, Task.BINARY)
    (report,) = run(job_of(study, weights, ProbeCandidate(TINY, 256)))
    files = study.get_probe_files(0)
    config = TrialConfig.from_json(read_json(files.config))
    assert report.head == "mlp"
    assert (config.model.hidden, config.model.dropout) == ((256,), 0.5)
    by_fold = [predict_with_files(study, 0, "test", np.arange(7), fold) for fold in range(5)]
    np.testing.assert_allclose(np.mean(by_fold, axis=0), read_arrays(files.test)["probs"], atol=1e-5)


# ---- Again -----------------------------------------------------------------------------------------------------------


def test_a_finished_probe_is_reported_and_not_computed_again(
    probed: tuple[StudyFiles, ProbeReport], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, report = probed
    monkeypatch.setattr(run_probe, "build_model", None)
    assert run(job_of(study, weights, budget_s=0.0)) == [report]


@pytest.mark.parametrize("gone", ["oof.npz", "fold2.safetensors", "result.json", "config.json"])
def test_a_probe_of_which_a_file_is_gone_is_made_again_of_the_features(
    gone: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(tmp_path, Task.BINARY)
    run(job_of(study, weights))
    files = study.get_probe_files(0)
    before = read_contents(files)
    (files.root / gone).unlink()
    monkeypatch.setattr(PixelCache, "load_pixels", lambda *arguments, **named: pytest.fail("it was decoded again"))
    run(job_of(study, weights))
    assert read_contents(files) == before
    assert files.result.exists()


def test_a_probe_of_another_candidate_under_the_number_is_replaced(weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, Task.BINARY)
    run(job_of(study, weights, ProbeCandidate(OTHER, 32)))
    (report,) = run(job_of(study, weights))
    assert report.candidate == ProbeCandidate(TINY, 32)
    assert TrialConfig.from_json(read_json(study.get_probe_files(0).config)).model.backbone == TINY


KILLED = """
import json, os, signal, sys, torch
torch.set_num_threads(1)
from automl.probing import run_probe
from automl.probing.entry_point import run_probes
from automl.training import feature_cache, feature_store
from tests.automl_tests.training_tests.trial_builders import ScriptedContext

feature_store.BLOCK = feature_cache.BATCH_SIZE = 8
kill = lambda *ignored, **named: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "features":
    compute, calls = feature_cache._Extraction._compute, []
    def counted(self, squares):
        calls.append(1)
        return compute(self, squares) if len(calls) < 5 else kill()
    feature_cache._Extraction._compute = counted
elif sys.argv[2] == "heads":
    run_probe.score_neighbours = kill
elif sys.argv[2] == "files":
    run_probe.join_folds = kill
run_probes(json.loads(sys.argv[1]), ScriptedContext())
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["features", "heads", "files"])
def test_a_killed_probe_goes_on_to_the_same_bytes(moment: str, weights: Path, tmp_path: Path) -> None:
    undisturbed, killed = (study_of(tmp_path / name, Task.BINARY) for name in ("undisturbed", "killed"))
    for study, when in ((undisturbed, "never"), (killed, moment), (killed, "never")):
        command = [sys.executable, "-c", KILLED, json.dumps(job_of(study, weights).to_json()), when]
        code = subprocess.run(command, check=False).returncode
        assert code == (0 if when == "never" else -signal.SIGKILL)
        if when == moment:
            assert not study.get_probe_files(0).result.exists()
            assert any(study.features.iterdir())
    assert read_contents(killed.get_probe_files(0)) == read_contents(undisturbed.get_probe_files(0))


# ---- Order and budget ------------------------------------------------------------------------------------------------


def test_the_cheapest_come_first_and_every_beat_names_its_probe(weights: Path, tmp_path: Path) -> None:
    study, context = study_of(tmp_path, Task.BINARY), ScriptedContext()
    run(job_of(study, weights, ProbeCandidate(TINY, 64), ProbeCandidate(TINY, 32), numbers=(7, 4)), context)
    assert [detail["number"] for detail in context.details] == [4, 7]
    assert [step for step, _ in context.reports] == [0, 1]
    assert context.reports[0][1] == context.details[0]["score"]
    assert {beat["probe"] for beat in context.beats if beat is not None} <= {4, 7}
    assert context.beats


def test_the_first_probe_always_runs_and_the_rest_only_in_time(weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, Task.BINARY)
    first, second = run(
        job_of(study, weights, ProbeCandidate(TINY, 32), ProbeCandidate(TINY, 64), budget_s=1e-3), ScriptedContext()
    )
    assert first.outcome == "completed"
    assert second.outcome == "skipped"
    assert second.reason.startswith("no time left: it would take ")
    assert math.isnan(second.value)
    assert not study.get_probe_files(1).result.exists()


def test_a_probe_is_stopped_by_its_runner_and_goes_on_later(weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, Task.BINARY)
    with pytest.raises(JobStopped):
        run_probes(job_of(study, weights).to_json(), ScriptedContext(stop_at_beat=1))
    (report,) = run(job_of(study, weights))
    assert report.outcome == "completed"


# ---- What cannot be probed -------------------------------------------------------------------------------------------


def skipped_reason(study: StudyFiles, weights: Path | None, *candidates: ProbeCandidate) -> str:
    report = run(job_of(study, weights, *candidates), ScriptedContext())[0]
    assert report.outcome == "skipped"
    assert "\n" not in report.reason
    return report.reason


def test_a_backbone_without_weights_is_skipped_and_the_next_one_probed(weights: Path, tmp_path: Path) -> None:
    study, context = study_of(tmp_path, Task.BINARY), ScriptedContext()
    candidates = (ProbeCandidate("test_efficientnet", 32), ProbeCandidate(TINY, 32))
    reports = {report.number: report for report in run(job_of(study, weights, *candidates), context)}
    assert "holds no weights of 'test_efficientnet'" in reports[0].reason
    assert reports[1].outcome == "completed"


def test_an_unreachable_hub_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*arguments: object, **named: object) -> None:
        asked.append(arguments)
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names, **rest: None)
    study = study_of(tmp_path, Task.BINARY)
    candidates = (ProbeCandidate("resnet18", 32), ProbeCandidate("resnet34", 32), ProbeCandidate("regnety_002", 32))
    reports = run(job_of(study, None, *candidates), ScriptedContext())
    assert len(asked) == 1
    assert [report.outcome for report in reports] == ["skipped"] * 3
    assert all("neither from the hub nor from a folder" in report.reason for report in reports)


def test_sizes_that_become_one_are_probed_once(weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, Task.BINARY)
    put_weights(tmp_path / "weights", "test_vit")
    candidates = (ProbeCandidate("test_vit", 33), ProbeCandidate("test_vit", 32))
    reports = {
        report.number: report for report in run(job_of(study, tmp_path / "weights", *candidates), ScriptedContext())
    }
    assert reports[0].outcome == "completed"
    assert (reports[0].candidate.image_size, reports[0].image_size) == (33, 32)
    assert reports[1].reason.startswith("it is the same as probe 0")


def test_nothing_is_mirrored_where_flips_change_labels(weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, Task.BINARY)
    save_competition(replace(load_competition(study.competition), flips=False), study.competition)
    assert "would not keep" in skipped_reason(study, weights, ProbeCandidate(TINY, 32, "mirror"))


def test_what_does_not_fit_into_memory_is_skipped(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(run_probe, "load_features", fail)
    assert skipped_reason(study_of(tmp_path, Task.BINARY), weights) == "it does not fit into the memory of cpu"


def test_features_without_room_and_features_that_are_not_finite_are_skipped(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(tmp_path, Task.BINARY)
    monkeypatch.setattr(run_probe, "load_features", lambda *arguments, **named: None)
    assert "no room" in skipped_reason(study, weights)
    broken = np.full((60, 4), np.nan, np.float32)
    monkeypatch.setattr(run_probe, "load_features", lambda *arguments, **named: broken)
    assert "not finite" in skipped_reason(study, weights)


def test_an_unknown_backbone_is_skipped(weights: Path, tmp_path: Path) -> None:
    reason = skipped_reason(study_of(tmp_path, Task.BINARY), weights, ProbeCandidate("no_such_net", 32))
    assert reason == "timm has no backbone 'no_such_net'"


def test_missing_images_refuse_the_whole_command(weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, Task.BINARY)
    competition: Competition = load_competition(study.competition)
    competition.image_paths[3].unlink()
    answer = run_probes(job_of(study, weights).to_json(), ScriptedContext())
    assert (answer["outcome"], answer["exit_code"]) == ("refused", 3)


def test_a_forward_pass_is_timed_even_where_all_features_are_stored(weights: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path, Task.BINARY)
    run(job_of(study, weights))
    (again,) = run(job_of(study, weights, numbers=(1,)))
    assert again.ms_per_image is not None
    assert again.ms_per_image > 0
