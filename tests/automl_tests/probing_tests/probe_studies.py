"""Small studies for each task, weights of tiny backbones, and jobs that probe with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file

from automl.artifacts import StudyFiles, TrialFiles
from automl.data.competition import SubmissionKind
from automl.probing.entry_point import run_probes
from automl.probing.probe_job import ProbeCandidate, ProbeJob, ProbeReport
from automl.tasks import Task
from tests.automl_tests.training_tests.toy_competitions import SHAPES, ToyCompetition, shape_image
from tests.automl_tests.training_tests.trial_builders import TOY_COMPETITIONS, ScriptedContext, write_study

TINY, OTHER = "test_resnet", "test_byobnet"
PAIR = replace(
    SHAPES,
    task=Task.BINARY,
    classes=SHAPES.classes[:2],
    metric="log_loss",
    kind=SubmissionKind.PROBABILITY,
    targets=lambda n, rng: np.arange(n) % 2,
)
GRADES = replace(
    SHAPES,
    task=Task.ORDINAL,
    metric="qwk",
    targets=lambda n, rng: np.arange(n) % 3,
    image=lambda grade, rng: np.clip(shape_image(0, rng) // 2 + 60 * grade, 0, 255).astype(np.uint8),
)
TOYS: dict[Task, ToyCompetition] = {**TOY_COMPETITIONS, Task.BINARY: PAIR, Task.ORDINAL: GRADES}


def put_weights(folder: Path, *backbones: str) -> Path:
    """Weights of these backbones, by chance, as a folder of pretrained weights has them."""
    folder.mkdir(exist_ok=True)
    for backbone in backbones:
        torch.manual_seed(1)
        save_file(timm.create_model(backbone).state_dict(), folder / f"{backbone}.safetensors")
    return folder


def study_of(root: Path, task: Task) -> StudyFiles:
    """A study's folder of that task, before any trial."""
    return write_study(root, TOYS[task])


def job_of(study: StudyFiles, weights: Path | None, *candidates: ProbeCandidate, **changes: Any) -> ProbeJob:
    """A job of these candidates, numbered from 0, or of one tiny one."""
    chosen = candidates or (ProbeCandidate(TINY, 32),)
    values: dict[str, Any] = {"numbers": tuple(range(len(chosen))), "seed": 5, "weights_dir": weights, **changes}
    return ProbeJob(study_dir=study.root, candidates=chosen, **values)


def run(job: ProbeJob, context: ScriptedContext | None = None) -> list[ProbeReport]:
    """The reports of the job, run as a runner does."""
    own = context or ScriptedContext()
    answer = run_probes(job.to_json(), own)
    assert answer == {"outcome": "completed", "n_reports": len(own.details)}, answer
    return [ProbeReport.from_json(detail) for detail in own.details]


def read_contents(files: TrialFiles) -> dict[str, bytes]:
    """The bytes of all files of a finished probe but those that say how long it took."""
    paths = sorted(path for path in files.root.iterdir() if path not in (files.result, files.lock))
    return {path.name: path.read_bytes() for path in paths}
