"""Jobs and reports of probes as JSON, and the order in which probes run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from automl.config import ModelConfig, ResizeConfig, TrialConfig
from automl.errors import UsageError
from automl.probing.probe_job import CostModel, PlannedProbe, ProbeCandidate, ProbeJob, ProbeReport, order_probes

JOB = ProbeJob(
    study_dir=Path("/study"),
    candidates=(ProbeCandidate("resnet18", 224), ProbeCandidate("vit_tiny_patch16_224", 160, "mirror")),
    numbers=(3, 5),
    seed=1,
    weights_dir=Path("/weights"),
    cache_gb=0.5,
    budget_s=90.0,
    n_threads=2,
)


@pytest.mark.parametrize("job", [JOB, ProbeJob(study_dir=Path("/s"), candidates=(), numbers=(), seed=0)])
def test_a_job_survives_json(job: ProbeJob) -> None:
    assert ProbeJob.from_json(json.loads(json.dumps(job.to_json(), allow_nan=False))) == job


def test_a_job_without_a_budget_has_none_in_json() -> None:
    job = ProbeJob(study_dir=Path("/s"), candidates=(), numbers=(), seed=0)
    assert job.to_json()["budget_s"] is None
    assert job.budget_s == math.inf


def test_each_candidate_has_a_number() -> None:
    with pytest.raises(ValueError, match="2 candidates, but 1 numbers"):
        ProbeJob(study_dir=Path("/s"), candidates=JOB.candidates, numbers=(1,), seed=0)


def test_a_candidate_is_left_out_by_its_number() -> None:
    assert JOB.leave_out(3).candidates == JOB.candidates[1:]
    assert JOB.leave_out(3).numbers == (5,)
    assert JOB.leave_out(4) == JOB


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(UsageError, match="upside_down"):
        ProbeCandidate("resnet18", 224, "upside_down")


def test_a_candidate_reads_well() -> None:
    assert [str(candidate) for candidate in JOB.candidates] == [
        "resnet18 at 224 px",
        "vit_tiny_patch16_224 at 160 px with mirrored images",
    ]


def test_a_report_survives_json() -> None:
    report = ProbeReport(
        number=3,
        candidate=JOB.candidates[1],
        outcome="completed",
        score=0.1,
        score_error=0.01,
        head="linear",
        head_scores={"linear": 0.1, "knn": 0.2},
        image_size=160,
        ms_per_image=3.5,
        seconds=60.0,
    )
    skipped = ProbeReport(number=3, candidate=JOB.candidates[0], outcome="skipped", reason="no time left")
    for own in (report, skipped):
        assert ProbeReport.from_json(json.loads(json.dumps(own.to_json(), allow_nan=False))) == own
    assert report.value == 0.1
    assert math.isnan(skipped.value)


def planned(
    number: int, backbone: str, cost: float, *, family: str, view: str = "identity", size: int = 224
) -> PlannedProbe:
    config = TrialConfig(model=ModelConfig(backbone=backbone), resize=ResizeConfig(image_sizes=(size,)))
    candidate = ProbeCandidate(backbone, size, view)
    return PlannedProbe(number=number, candidate=candidate, config=config, cost=cost, family=family)


def test_the_cheapest_comes_first_and_then_each_family_by_its_largest_images() -> None:
    probes = [
        planned(0, "large", 900.0, family="a"),
        planned(1, "small", 50.0, family="a", size=160),
        planned(2, "small", 100.0, family="a"),
        planned(3, "other", 250.0, family="b"),
        planned(4, "other", 125.0, family="b", size=160),
        planned(5, "dear", 5000.0, family="c"),
        planned(6, "small", 75.0, family="a", size=192),
    ]
    assert [probe.number for probe in order_probes(probes)] == [1, 3, 5, 2, 4, 0, 6]
    assert order_probes([]) == []


def test_mirrored_images_come_after_the_images_themselves() -> None:
    probes = [planned(0, "small", 100.0, family="a", view="mirror"), planned(1, "small", 100.0, family="a")]
    assert [probe.number for probe in order_probes(probes)] == [1, 0]


def test_probes_that_cost_the_same_keep_their_order() -> None:
    probes = [planned(number, "same", 1.0, family=str(number)) for number in (4, 2, 9)]
    assert [probe.number for probe in order_probes(probes)] == [2, 4, 9]


def test_time_is_estimated_from_all_that_was_computed() -> None:
    pace = CostModel()
    assert pace.estimate_seconds(100.0) == 0.0
    pace.add(10.0, 100.0)
    pace.add(50.0, 200.0)
    assert pace.estimate_seconds(30.0) == pytest.approx(6.0)


def test_neither_torch_nor_numpy_is_imported_before_a_job_runs() -> None:
    script = (
        "import sys, automl.probing.probe_job, automl.probing.entry_point; "
        "sys.exit(bool({'torch', 'numpy', 'timm', 'optuna'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
