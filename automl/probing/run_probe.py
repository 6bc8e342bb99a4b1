"""Compute probes in a worker: features of frozen backbones, heads on them, and the files of each probe.

Kill-safe: features are resumed from the store, a finished probe is reported again, and its result is the last of its
files. A probe that cannot be made, or for which no time is left, is reported as skipped, with the reason.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl.artifacts import StudyFiles, TrialFiles, read_arrays, read_json, write_json
from automl.config import AugmentConfig, ModelConfig, ResizeConfig, TransferConfig, TrialConfig
from automl.data.cache import PixelCache, Split
from automl.data.competition import Competition, load_competition
from automl.data.folds import load_folds
from automl.data.resize import EvaluationPixels
from automl.errors import DataError, StorageError, UnfitEnvironmentError, UsageError
from automl.probing.probe_heads import (
    KNN,
    MLP_SHARE,
    FittedHead,
    HeadProblem,
    can_fit_mlp,
    choose_head,
    fit_linear_heads,
    fit_mlp_head,
    score_neighbours,
)
from automl.probing.probe_job import (
    COMPLETED,
    MIRROR_VIEW,
    SKIPPED,
    CostModel,
    PlannedProbe,
    ProbeCandidate,
    ProbeJob,
    ProbeReport,
    order_probes,
)
from automl.space import derive_family
from automl.study.deadline import format_duration
from automl.training.feature_cache import SplitImages, load_features
from automl.training.feature_store import FeatureStore
from automl.training.fold_outputs import FoldResult, join_folds, save_weights
from automl.training.network.backbones import count_multiply_adds
from automl.training.network.create import build_model, compute_classes_digest, move_to_device, require_sizes_fit
from automl.training.network.network import Network
from automl.training.network.pretrained import (
    UnreachableHubError,
    build_unreachable_error,
    has_cached_weights,
)
from automl.training.network.shared_backbone import compute_backbone_digest, find_backbone, read_backbone_digest
from automl.training.reporting import Reporter, RunnerContext
from automl.training.seeding import tune_allocator, use_deterministic_algorithms
from automl.training.trial_context import fill_evaluation_pixels, fit_image_sizes
from automl.training.trial_run import hold_lock

TIMED_IMAGES = 8


def run_probes(job: ProbeJob, context: RunnerContext, *, started: float) -> list[ProbeReport]:
    """Compute the job's probes, the cheapest and most different first; each is reported as it ends.

    Args:
        started: time.monotonic() at which the budget began.

    Raises:
        StorageError: the study's files are damaged, or another process works on a probe.
        DataError: images are missing or unreadable.
    """
    use_deterministic_algorithms()
    worker = ProbeWorker.open(job, context)
    if worker.device == "cpu":
        torch.set_num_threads(worker.n_threads)
        tune_allocator()
    reports: list[ProbeReport] = []
    for planned in worker.plan_probes():
        report = planned if isinstance(planned, ProbeReport) else worker.run_probe(planned, started)
        context.report(len(reports), report.value, report.to_json())
        reports.append(report)
    return reports


@dataclass(slots=True, kw_only=True)
class ProbeWorker:
    """What the probes of a job have in common."""

    job: ProbeJob
    files: StudyFiles
    competition: Competition
    folds: NDArray[np.int64]
    pixel_cache: PixelCache
    store: FeatureStore
    device: str
    n_threads: int
    reporter: Reporter
    cost_model: CostModel = field(default_factory=CostModel)
    hub_is_down: bool = False

    @classmethod
    def open(cls, job: ProbeJob, context: RunnerContext) -> ProbeWorker:
        """Open what the job refers to.

        Raises:
            StorageError: the study's files are missing or damaged.
        """
        files = StudyFiles(job.study_dir)
        competition = load_competition(files.competition)
        return cls(
            job=job,
            files=files,
            competition=competition,
            folds=load_folds(files.folds, competition),
            pixel_cache=PixelCache(competition, job.pixel_cache or files.cache),
            store=FeatureStore(files.features, limit_gb=job.cache_gb),
            device=context.device.split("+")[0],
            n_threads=job.n_threads or context.n_threads,
            reporter=Reporter(context),
        )

    def plan_probes(self) -> list[ProbeReport | PlannedProbe]:
        """Return reports of what cannot be probed, and after them the probes in the order in which they are made."""
        skipped, planned = list[ProbeReport](), dict[tuple[str, int, str], PlannedProbe]()
        for number, candidate in zip(self.job.numbers, self.job.candidates, strict=True):
            try:
                probe = self._plan_probe(number, candidate)
            except UsageError as error:
                skipped.append(_skip(number, candidate, error.problem))
                continue
            first = planned.setdefault((candidate.backbone, probe.image_size, candidate.view), probe)
            if first is not probe:
                reason = f"it is the same as probe {first.number}: the nearest size it takes is {probe.image_size} px"
                skipped.append(_skip(number, candidate, reason))
        return [*skipped, *order_probes(list(planned.values()))]

    def run_probe(self, planned: PlannedProbe, started: float) -> ProbeReport:
        """Compute a probe, or find it finished, or say why it is skipped.

        Raises:
            StorageError: another process works on it, or the disk cannot be written.
            DataError: images are missing or unreadable.
        """
        number, candidate = planned.number, planned.candidate
        self._beat(number)
        files = self.files.get_probe_files(number)
        with hold_lock(files.lock):
            if (report := self._load_report(files, planned)) is not None:
                return report
            left_s = self.job.budget_s - (time.monotonic() - started)
            needed_s = self.cost_model.estimate_seconds(planned.cost * len(planned.views))
            if self.cost_model.cost and needed_s > left_s:
                return _skip(number, candidate, _explain_lack(needed_s, left_s))
            try:
                return self._compute_probe(planned, files, started)
            except UnreachableHubError as error:
                self.hub_is_down = True
                return _skip(number, candidate, error.problem)
            except (UsageError, UnfitEnvironmentError, _InfeasibleProbe) as error:
                return _skip(number, candidate, getattr(error, "problem", str(error)))
            except (torch.OutOfMemoryError, MemoryError):
                return _skip(number, candidate, f"it does not fit into the memory of {self.device}")

    def _plan_probe(self, number: int, candidate: ProbeCandidate) -> PlannedProbe:
        """Raises:
        UsageError: timm has no such backbone, or mirrored images have other labels.
        """
        mirrored = candidate.view == MIRROR_VIEW
        if mirrored and not self.competition.flips:
            raise UsageError("mirrored images would not keep their labels", hint="probe the view identity")
        config = TrialConfig(
            model=ModelConfig(backbone=candidate.backbone),
            resize=ResizeConfig(image_sizes=(candidate.image_size,)),
            augment=AugmentConfig(policy="light" if mirrored else "none"),
            transfer=TransferConfig(trainable_blocks=0, head_init="probe"),
            epochs=1,
        )
        own_config = self.files.get_probe_files(number).config
        config = fill_evaluation_pixels(fit_image_sizes(config), own_config=own_config)
        return PlannedProbe(
            number=number,
            candidate=candidate,
            config=config,
            cost=count_multiply_adds(candidate.backbone, config.resize.image_sizes[0]),
            family=derive_family(candidate.backbone),
        )

    def _compute_probe(self, planned: PlannedProbe, files: TrialFiles, started: float) -> ProbeReport:
        begun = time.monotonic()
        network = self._build_network(planned.config.model)
        require_sizes_fit(network, planned.config.resize.image_sizes, planned.config.model.backbone)
        network = move_to_device(network, self.device).eval()
        meter = ForwardMeter(network.get_submodule("body"), self.device)
        problem = self._load_problem(network, planned)
        ms_per_image = meter.measure_ms(planned.image_size)
        fitted = _fit_networks(problem)
        head_scores = {head.name: head.score for head in fitted}
        longest_s = MLP_SHARE * len(self.folds) * ms_per_image / 1000
        if can_fit_mlp(problem, planned.cost) and self._has_time(longest_s, started):
            fitted.append(fit_mlp_head(problem))
            head_scores[fitted[-1].name] = fitted[-1].score
        if self._has_time(0.0, started):
            head_scores[KNN] = score_neighbours(problem)
        chosen = choose_head(problem, fitted)
        files.result.unlink(missing_ok=True)  # of another probe, or of one whose files are gone
        self._write_files(planned, files, problem, network, chosen)
        seconds = time.monotonic() - begun
        self.cost_model.add(seconds, planned.cost * len(planned.views))
        report = ProbeReport(
            number=planned.number,
            candidate=planned.candidate,
            outcome=COMPLETED,
            score=chosen.score,
            score_error=chosen.score_error,
            head=chosen.name,
            head_scores=head_scores,
            image_size=planned.image_size,
            ms_per_image=round(ms_per_image, 3),
            seconds=round(seconds, 3),
        )
        write_json(files.result, report.to_json())
        return report

    def _build_network(self, model: ModelConfig) -> Network:
        weights_dir = self.job.weights_dir
        if weights_dir is None and self.hub_is_down and not has_cached_weights(model.backbone):
            raise build_unreachable_error(model.backbone)
        return build_model(model, n_classes=self.competition.n_classes, weights_dir=weights_dir)

    def _load_problem(self, network: Network, planned: PlannedProbe) -> HeadProblem:
        """Load the features of all images in the probe's views, computed as far as they are not stored."""
        digest = compute_backbone_digest(network)
        views: dict[Split, list[NDArray[np.floating]]] = {"train": [], "test": []}
        for split, own in views.items():
            images = SplitImages.from_cache(
                self.pixel_cache,
                split,
                EvaluationPixels.from_config(planned.config),
                n_threads=self.n_threads,
                on_progress=lambda done, total: self._beat(planned.number),
            )
            for view in planned.views if split == "train" else planned.views[:1]:
                features = load_features(
                    network,
                    planned.config,
                    images,
                    image_size=planned.image_size,
                    device=self.device,
                    store=self.store,
                    view=view,
                    backbone_digest=digest,
                    on_batch=lambda: self._beat(planned.number),
                )
                if features is None:
                    raise _InfeasibleProbe("there is no room for its features, neither on disk nor in memory")
                own.append(features)
        return HeadProblem(
            competition=self.competition,
            folds=self.folds,
            train_views=tuple(views["train"]),
            test_views=tuple(views["test"]),
            seeds=(self.job.seed, "probe", planned.number),
            device=self.device,
            on_step=lambda: self._beat(planned.number),
        )

    def _write_files(
        self, planned: PlannedProbe, files: TrialFiles, problem: HeadProblem, network: Network, head: FittedHead
    ) -> None:
        """Write what a trial's files would hold: predictions of the images as they are, and heads without backbone."""
        model = replace(planned.config.model, hidden=head.hidden, dropout=head.dropout)
        write_json(files.config, replace(planned.config, model=model, loss=head.loss).to_json())
        classes, rows, finished = compute_classes_digest(self.competition), problem.validated_rows, list[FoldResult]()
        for fold in problem.fold_numbers:
            network.head = head.heads[fold]
            save_weights(files.get_weights_path(fold), network, classes=classes, backbones=self.files.backbones)
            own = problem.folds[rows] == fold
            finished.append(
                FoldResult(
                    rows=rows[own],
                    probs=head.oof[own],
                    test_probs=head.test[fold],
                    history=[],
                    micro_batch=planned.config.batch_size,
                    n_parameters=sum(parameter.numel() for parameter in network.parameters()),
                    classes=classes,
                )
            )
        join_folds(files, finished)

    def _load_report(self, files: TrialFiles, planned: PlannedProbe) -> ProbeReport | None:
        """Return the report of the probe if it is finished, and all of its files are there and of this split."""
        try:
            report = ProbeReport.from_json(read_json(files.result))
            oof, test = read_arrays(files.oof), read_arrays(files.test)
            fold_numbers = np.unique(self.folds[self.folds >= 0]).tolist()
            for weights in (files.get_weights_path(fold) for fold in fold_numbers):
                find_backbone(weights, read_backbone_digest(weights) or "")
            is_own = (report.number, report.candidate) == (planned.number, planned.candidate)
            same_split = np.array_equal(self.folds[oof["rows"]], oof["folds"]) and len(oof["rows"]) == sum(
                self.folds >= 0
            )
            same_test = len(test["probs"]) == len(self.competition.test_ids)
        except (StorageError, KeyError, TypeError, IndexError):
            return None
        return report if is_own and same_split and same_test and files.config.exists() else None

    def _has_time(self, needed_s: float, started: float) -> bool:
        return time.monotonic() - started + needed_s < self.job.budget_s

    def _beat(self, number: int) -> None:
        self.reporter.beat({"probe": number})


class ForwardMeter:
    """Measures how long a backbone's forward passes take."""

    def __init__(self, backbone: nn.Module, device: str) -> None:
        self._backbone, self._device = backbone, device
        self._seconds, self._n_images, self._begun = 0.0, 0, 0.0
        backbone.register_forward_pre_hook(self._begin)
        backbone.register_forward_hook(self._end)

    def measure_ms(self, image_size: int) -> float:
        """Return milliseconds for an image: of the passes so far, or of some blank images where there were none."""
        if not self._n_images:
            blank = torch.zeros(TIMED_IMAGES, 3, image_size, image_size, device=self._device)
            with torch.no_grad():
                self._backbone(blank)
                self._seconds, self._n_images = 0.0, 0
                self._backbone(blank)
        return 1000.0 * self._seconds / self._n_images

    def _begin(self, *call: object) -> None:
        self._begun = self._read_clock()

    def _end(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        self._seconds += self._read_clock() - self._begun
        self._n_images += len(inputs[0])

    def _read_clock(self) -> float:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class _InfeasibleProbe(Exception):  # noqa: N818 - an outcome, not an error
    """A probe cannot be made here; the text says why."""


def _fit_networks(problem: HeadProblem) -> list[FittedHead]:
    try:
        return fit_linear_heads(problem)
    except DataError as error:  # of this backbone's features, not of the images
        raise _InfeasibleProbe(error.problem) from error


def _skip(number: int, candidate: ProbeCandidate, reason: str) -> ProbeReport:
    return ProbeReport(number=number, candidate=candidate, outcome=SKIPPED, reason=" ".join(reason.split()))


def _explain_lack(needed_s: float, left_s: float) -> str:
    return f"no time left: it would take {format_duration(needed_s)} of {format_duration(max(0.0, left_s))}"
