"""The plan of the probes: which, in which order, within which time; the command from the folder to the submission."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.artifacts import StudyFiles, write_arrays
from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.data.competition import load_competition
from automl.errors import UsageError
from automl.probing.probe_job import COMPLETED, ProbeCandidate, ProbeJob, ProbeReport
from automl.readers.read import read_competition
from automl.readers.settings import CompetitionSettings
from automl.search.run_probes import (
    MAX_PROBES,
    ProbeRequest,
    build_probe_supervisor,
    describe_report,
    explain_no_probes,
    list_candidates_of_space,
    open_probes,
    require_budget,
    run_probe_command,
)
from automl.space import Space, Suggest, load_space, narrow_space
from automl.study.deadline import Deadline
from runners.base import Context
from runners.inline import InlineRunner


def request_of(root: Path, **changes: Any) -> ProbeRequest:
    space = narrow_space(
        load_space("default"), choices=["backbone=efficientnet_b0,efficientnet_b1,densenet121", "resize=224,160-320"]
    )
    given: dict[str, Any] = {"folder": root, "files": StudyFiles(root / "runs" / "s"), "space": space}
    return ProbeRequest(**{**given, **changes})


def fake_probes(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Probes that see nothing: a larger image scores better, and one backbone has no weights."""
    job = ProbeJob.from_json(payload)
    study = StudyFiles(job.study_dir)
    competition = load_competition(study.competition)
    for step, (number, candidate) in enumerate(zip(job.numbers, job.candidates, strict=True)):
        report = ProbeReport(number=number, candidate=candidate, outcome="skipped", reason="there are no weights")
        if candidate.backbone != "densenet121":
            share = candidate.image_size / 1000 + 0.3 * (candidate.view == "mirror")
            right = np.arange(len(competition.targets)) < share * len(competition.targets)
            probs = np.full((len(right), competition.n_classes), 0.01, np.float32)
            probs[np.arange(len(right)), np.where(right, competition.targets, (competition.targets + 1) % 10)] = 0.91
            own = study.get_probe_files(number)
            write_arrays(own.oof, rows=np.arange(len(right)), folds=np.zeros(len(right)), probs=probs)
            write_arrays(own.test, probs=np.full((len(competition.test_ids), competition.n_classes), 0.1, np.float32))
            score = float(competition.scorer(competition.targets, probs))
            report = replace(report, outcome=COMPLETED, reason="", score=score, score_error=0.01, head="linear")
            report = replace(report, ms_per_image=5.0, seconds=1.0)
        context.report(step, report.value, report.to_json())
    return {"outcome": "completed"}


def test_candidates_are_dealt_over_families_and_sizes_and_a_cpu_begins_with_a_quick_one(tmp_path: Path) -> None:
    candidates = list_candidates_of_space(request_of(tmp_path))
    assert candidates[:4] == [
        ProbeCandidate("efficientnet_b0", 160),
        ProbeCandidate("efficientnet_b0", 224),
        ProbeCandidate("densenet121", 320),
        ProbeCandidate("efficientnet_b1", 224),
    ]
    assert len(candidates) == len(set(candidates)) == 7
    on_gpu = list_candidates_of_space(request_of(tmp_path, devices=["cuda:0"]))
    assert on_gpu == candidates[1:]


def test_choices_of_resize_that_name_no_sizes_leave_the_first_trials(tmp_path: Path) -> None:
    def suggest(trial: Suggest) -> TrialConfig:
        sides = {"small": 64, "large": 128}[trial.suggest_categorical("resize", ["small", "large"])]
        return TrialConfig(model=ModelConfig(backbone="resnet18"), resize=ResizeConfig(image_sizes=(sides,)))

    request = request_of(tmp_path, space=Space(name="own", suggest=suggest))
    assert list_candidates_of_space(request) == [ProbeCandidate("resnet18", 64)]


@pytest.mark.parametrize(
    ("changes", "n_threads", "n_jobs"),
    [
        ({"devices": ["cpu", "cpu"]}, 8, 1),  # all cores of this machine for one job
        ({"devices": ["cpu", "cpu"], "is_local": False}, None, 2),  # a cluster knows its own
        ({"devices": ["cuda:0", "cuda:1"]}, None, 2),
    ],
)
def test_probes_are_dealt_over_devices_and_only_this_machines_cores_are_counted(
    changes: dict[str, Any], n_threads: int | None, n_jobs: int, digits: Path, tmp_path: Path
) -> None:
    request = request_of(tmp_path, folder=digits, n_threads=8, cache_gb=1.5, **changes)
    request.files.root.mkdir(parents=True)
    competition = read_competition(digits, CompetitionSettings(flips=False))
    with open_probes(request, competition) as study:
        _, supervisor = build_probe_supervisor(
            request,
            competition,
            study,
            fake_probes,
            after_report=lambda: None,
            build_next=lambda: None,
            notify=lambda line: None,
        )
        jobs = [job.payload for job in iter(supervisor.next_job, None) if job is not None]
    assert [(job["n_threads"], job["cache_gb"]) for job in jobs] == [(n_threads, 1.5)] * n_jobs


def test_probes_of_a_search_cost_a_tenth_of_its_trials_at_most(tmp_path: Path) -> None:
    epochs = request_of(tmp_path).space.build_first_config().epochs
    few = request_of(tmp_path, n_trials=1)
    assert few.count_probes() == int(0.1 * epochs * 3)
    assert len(list_candidates_of_space(few)) == few.count_probes()
    assert request_of(tmp_path, n_trials=50).count_probes() == MAX_PROBES
    now = 100.0
    deadline = Deadline.from_timeout(1200.0, clock=lambda: now)
    assert request_of(tmp_path, deadline=deadline).compute_budget_s() == pytest.approx(0.1 * (1200.0 - 120.0))
    assert math.isinf(request_of(tmp_path).compute_budget_s())
    assert request_of(tmp_path, probe_budget="3m").compute_budget_s() == 180.0
    assert request_of(tmp_path, probe_budget="3m").count_probes() > MAX_PROBES


def report_of(candidate: ProbeCandidate, ms_per_image: float) -> ProbeReport:
    return ProbeReport(number=0, candidate=candidate, outcome=COMPLETED, score=0.5, ms_per_image=ms_per_image)


def test_probes_have_half_of_a_time_in_which_no_trial_would_be_done(tmp_path: Path) -> None:
    deadline = Deadline(at_s=400.0, clock=lambda: 0.0)
    request = request_of(tmp_path, deadline=deadline)
    config = request.space.build_first_config()
    passes = 3 * config.epochs * 1000  # of a thousand images
    size = config.resize.image_sizes[-1]
    slow = report_of(ProbeCandidate("resnet18", size // 2), 1000 * 401 / passes / 4)  # four times the pixels: 401 s
    quick = report_of(ProbeCandidate("resnet18", size), 1000 * 399 / passes)
    assert request.compute_extra_s([slow], n_images=1000) == 200.0
    assert request.compute_extra_s([slow, quick], n_images=1000) == 0.0
    two = replace(request, devices=["cpu", "cpu"])  # which share the cores that the probe had alone
    assert two.compute_extra_s([slow, quick], n_images=1000) == 200.0
    assert replace(two, is_local=False).compute_extra_s([slow, quick], n_images=1000) == 0.0
    assert request.compute_extra_s([], n_images=1000) == 0.0
    assert replace(request, probe_budget="1m").compute_extra_s([slow], n_images=1000) == 0.0
    assert replace(request, deadline=Deadline()).compute_extra_s([slow], n_images=1000) == 0.0


def only_the_first(payload: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """A job that has no time but for one probe at first."""
    job = ProbeJob.from_json(payload)
    first = replace(job, numbers=job.numbers[:1], candidates=job.candidates[:1])
    return fake_probes((first if job.budget_s < 20.0 else job).to_json(), context)


@pytest.mark.parametrize(("timeout_s", "n_probes"), [(100.0, 8), (1e6, 8), (None, 8)])
def test_probing_goes_on_where_no_trial_would_be_done(
    timeout_s: float | None, n_probes: int, digits: Path, tmp_path: Path
) -> None:
    deadline = Deadline() if timeout_s is None else Deadline.from_timeout(timeout_s)
    lines: list[str] = []
    request = request_of(tmp_path, folder=digits, settings=CompetitionSettings(flips=True), deadline=deadline)
    run_probe_command(request, only_the_first, InlineRunner(), notify=lines.append)
    assert sum(line.startswith("probe ") for line in lines) == n_probes
    assert any(line.startswith("probing goes on for") for line in lines) == (timeout_s == 100.0)


def test_a_space_from_scratch_is_not_probed() -> None:
    assert explain_no_probes(load_space("default")) is None
    without = replace(load_space("default"), overrides={"pretrained": False})
    assert explain_no_probes(without) == "the space trains from scratch"


def test_a_budget_is_auto_none_or_a_duration() -> None:
    for budget in ("auto", "none", "90s", "3m"):
        require_budget(budget)
    with pytest.raises(UsageError, match="'soon' is not a duration"):
        require_budget("soon")


def test_the_command_goes_from_the_folder_to_a_submission_and_the_same_again_does_nothing(
    digits: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    request = request_of(tmp_path, folder=digits, settings=CompetitionSettings(flips=True))
    completed, skipped = run_probe_command(request, fake_probes, InlineRunner(), notify=lines.append)
    best = completed[0]
    assert best.candidate == ProbeCandidate(best.candidate.backbone, 320, "mirror")
    assert [report.candidate.backbone for report in skipped] == ["densenet121", "densenet121"]
    assert request.files.submission.exists()
    assert sum(line.startswith("probe ") for line in lines) == 8
    before = {path: path.stat().st_mtime_ns for path in request.files.probes.rglob("*") if path.is_file()}
    again, _ = run_probe_command(request, fake_probes, InlineRunner(), notify=lines.append)
    assert [report.number for report in again] == [report.number for report in completed]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert os.listdir(request.files.root / "probes")  # noqa: PTH208


def test_labels_that_a_mirror_changes_have_no_mirrored_probe(digits: Path, tmp_path: Path) -> None:
    request = request_of(tmp_path, folder=digits, settings=CompetitionSettings(flips=False))
    completed, _ = run_probe_command(request, fake_probes, InlineRunner(), notify=lambda line: None)
    assert {report.candidate.view for report in completed} == {"identity"}


def test_a_line_says_how_a_probe_ended() -> None:
    own = ProbeCandidate("resnet18", 160, "mirror")
    report = ProbeReport(
        number=4,
        candidate=own,
        outcome=COMPLETED,
        score=0.12345,
        score_error=0.01,
        head="mlp",
        ms_per_image=3.21,
        seconds=65,
    )
    expected = "probe 4: resnet18, 160 px, mirrored too: 0.1235 ± 0.0100 (mlp head, 3.21 ms an image, 1 min 05 s)"
    assert describe_report(report) == expected
    skipped = ProbeReport(number=5, candidate=own, outcome="skipped", reason="no time left")
    assert describe_report(skipped) == "probe 5: resnet18, 160 px, mirrored too is skipped: no time left"
