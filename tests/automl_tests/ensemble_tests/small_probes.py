"""Probes with small untrained backbones and fitted heads, laid out on the disk as a probe's worker leaves them."""

from __future__ import annotations

import shutil

import numpy as np
import torch
from numpy.typing import NDArray

from automl.artifacts import StudyFiles, write_json
from automl.config import AugmentConfig, ModelConfig, ResizeConfig, TransferConfig, TrialConfig
from automl.data.cache import PixelCache, Split
from automl.data.competition import Competition
from automl.data.resize import EvaluationPixels
from automl.ensemble.candidates import Candidate
from automl.ensemble.ensemble_recipe import PROBE
from automl.probing.probe_heads import build_linear_layer
from automl.probing.probe_job import COMPLETED, ProbeCandidate, ProbeReport
from automl.training.fold_outputs import FoldResult, delete_fold_arrays, join_folds, save_fold
from automl.training.inference import predict_probs
from automl.training.linear_head import HeadTask, fit_fold_heads
from automl.training.network.create import Normalisation, build_model, compute_classes_digest
from automl.training.network.network import Network


def put_probe(
    files: StudyFiles,
    competition: Competition,
    folds: NDArray[np.int64],
    number: int,
    *,
    backbone: str = "test_resnet",
    image_size: int = 32,
    policy: str = "none",
    backbone_seed: int = 0,
    strength: float = 1.0,
    score: float | None = None,
) -> Candidate:
    """A finished probe: linear heads of all folds on a backbone whose weights are those of the seed.

    Args:
        score: to report in place of its own.
    """
    config = TrialConfig(
        model=ModelConfig(backbone=backbone, pretrained=False),
        resize=ResizeConfig(image_sizes=(image_size,)),
        augment=AugmentConfig(policy=policy),
        transfer=TransferConfig(trainable_blocks=0),
        epochs=1,
    )
    torch.manual_seed(backbone_seed)
    network = build_model(config.model, n_classes=competition.n_classes, weights_dir=None).eval()
    cache = PixelCache(competition, files.cache)
    targets = np.eye(competition.n_classes, dtype=np.float32)[competition.targets]
    task = HeadTask(views=[compute_features(network, cache, "train", image_size)], targets=targets, link="softmax")
    probe, finished = files.get_probe_files(number), []
    for fold, head in sorted(fit_fold_heads(task, folds, strengths=(strength,)).items()):
        network.head = build_linear_layer(head)
        fold_result = _predict_fold(network, competition, cache, np.flatnonzero(folds == fold), image_size)
        save_fold(probe, fold, network, fold_result, backbones=files.backbones)
        finished.append(fold_result)
    join_folds(probe, finished)
    delete_fold_arrays(probe, len(finished))
    write_json(probe.config, config.to_json())
    rows, probs = (np.concatenate([getattr(own, name) for own in finished]) for name in ("rows", "probs"))
    own_score = competition.scorer(competition.targets[rows], probs) if score is None else score
    report = ProbeReport(
        number=number,
        candidate=ProbeCandidate(backbone, image_size),
        outcome=COMPLETED,
        score=own_score,
        head="linear",
    )
    write_json(probe.result, report.to_json())
    return Candidate(number=number, score=own_score, config=config, member_kind=PROBE)


def put_twin_probe(files: StudyFiles, number: int, *, of: int, score: float) -> None:
    """A copy of a finished probe under another number and score."""
    own = files.get_probe_files(number)
    shutil.copytree(files.get_probe_files(of).root, own.root)
    report = ProbeReport(
        number=number, candidate=ProbeCandidate("test_resnet", 32), outcome=COMPLETED, score=score, head="linear"
    )
    write_json(own.result, report.to_json())


@torch.no_grad()
def compute_features(network: Network, cache: PixelCache, split: Split, image_size: int) -> NDArray[np.float32]:
    """(n, F) of the split's images as they are."""
    images = EvaluationPixels(image_size).resize_batch(np.array(cache.load_pixels(split, image_size)))
    features = network.extract_features(Normalisation.from_model(network)(images, "cpu"))
    return network.get_submodule("neck")(features).numpy()


def _predict_fold(
    network: Network, competition: Competition, cache: PixelCache, rows: NDArray[np.int64], image_size: int
) -> FoldResult:
    def predict(split: Split, of_rows: NDArray[np.int64]) -> NDArray[np.float32]:
        pixels = cache.load_pixels(split, image_size)
        return predict_probs(network, pixels, of_rows, evaluation=EvaluationPixels(image_size), device="cpu")

    return FoldResult(
        rows=rows,
        probs=predict("train", rows),
        test_probs=predict("test", np.arange(len(competition.test_ids))),
        history=[],
        micro_batch=1,
        n_parameters=1,
        classes=compute_classes_digest(competition),
    )
