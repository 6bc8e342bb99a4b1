"""Plan the probes of a search, and run them: which backbones at which sizes, within which time.

A probe fits light heads on the features of a frozen pretrained backbone; see automl.probing.probe_job.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from automl.artifacts import StudyFiles
from automl.data.competition import Competition
from automl.errors import Notify, UsageError
from automl.inspection.prepare import prepare_competition
from automl.probing.probe_job import ProbeCandidate, ProbeJob, ProbeReport
from automl.probing.probe_study import ProbeStudy, build_probe_terms, open_probe_study
from automl.readers.settings import CompetitionSettings
from automl.search.probe_loop import ProbeLoop, ProbesFirst, deal_candidates, is_completed
from automl.search.study_files import require_unchanged, write_study_files
from automl.search.upkeep import StudyKeeper
from automl.space import Space, derive_family, describe
from automl.study.deadline import Deadline, format_duration, parse_duration
from automl.study.lock import lock_study
from automl.suggest import parse_final_size
from runners.base import Runner, Supervisor, Task

MAX_PROBES = 12
COST_SHARE = 0.1  # of the time for everything, that probes may take
FORWARD_PASSES = 3  # that training an image costs: backward is twice forward. Source: Kaplan et al. 2020, section 2.1
SHARE_WITHOUT_TRIALS = 0.5  # of the time left, for probes where no trial would be done in it
QUICK_SIZE = 160  # on a CPU the first probe sees images no larger than this, so that a submission is there at once
AUTO, NONE = "auto", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """The flags about probes, of `automl probe` and `automl search`.

    Attributes:
        probe_budget: "auto", "none", or a duration such as 3m.
        n_trials: that the search shall have; probes cost a tenth of them at most. None where there is no search.
        devices: one entry for each slot that the runner has.
        n_threads: processor cores of this machine.
        is_local: whether jobs run on this machine, so that one job of probes on the CPU may have all of its cores.
        cache_gb: how large the feature store may become; None for a share of the disk.
    """

    folder: Path
    files: StudyFiles
    space: Space
    settings: CompetitionSettings = field(default_factory=CompetitionSettings)
    weights_dir: Path | None = None
    seed: int = 0
    probe_budget: str = AUTO
    n_trials: int | None = None
    deadline: Deadline = field(default_factory=Deadline)
    devices: Sequence[str] = ("cpu",)
    n_threads: int = 1
    is_local: bool = True
    cache_gb: float | None = None

    @property
    def is_on_cpu(self) -> bool:
        return self.devices[0] == "cpu"

    def compute_budget_s(self) -> float:
        """Return the seconds that all probes may take; infinite where nothing limits them.

        Raises:
            UsageError: the budget is no duration.
        """
        if self.probe_budget == AUTO:
            return COST_SHARE * self.deadline.get_training_seconds_left()
        return parse_duration(self.probe_budget)

    def compute_extra_s(self, reports: Sequence[ProbeReport], *, n_images: int) -> float:
        """Return further seconds for probes, by what those so far cost: 0 where a trial would be done in the time left.

        What a trial costs is known from a probe's forward pass only roughly; where not even one is done, a probe at a
        larger size is worth more than the first epochs of a trial.

        Args:
            n_images: labelled ones.
        """
        time_left_s = self.deadline.get_training_seconds_left()
        if self.probe_budget != AUTO or not reports or math.isinf(time_left_s):
            return 0.0
        config = self.space.build_first_config()
        final_size = config.resize.image_sizes[-1]
        pixel_ms = min((own.ms_per_image or 0.0) / own.candidate.image_size**2 for own in reports)
        n_sharing = len(self.devices) if self.is_on_cpu and self.is_local else 1  # trials share the cores of a probe
        trial_s = n_sharing * config.epochs * FORWARD_PASSES * n_images * pixel_ms * final_size**2 / 1000
        return SHARE_WITHOUT_TRIALS * time_left_s if trial_s > time_left_s else 0.0

    def count_probes(self) -> int:
        """Return how many probes there may be: as many as cost a tenth of the trials, by passes over the images."""
        if self.probe_budget != AUTO or self.n_trials is None:
            return MAX_PROBES if self.probe_budget == AUTO else 4 * MAX_PROBES
        epochs = self.space.build_first_config().epochs
        return max(1, min(MAX_PROBES, int(COST_SHARE * self.n_trials * epochs * FORWARD_PASSES)))


def run_probe_command(
    request: ProbeRequest, task: Task, runner: Runner, *, notify: Notify
) -> tuple[list[ProbeReport], list[ProbeReport]]:
    """Probe a folder without a search; return all completed probes, best first, and what was skipped.

    The study is made if it is new, and a search goes on with it. A submission is written as in a search.

    Raises:
        AutomlError: the folder, the study or the environment does not fit.
        Interrupted: a signal arrived; the same command goes on.
    """
    require_budget(request.probe_budget)
    competition = prepare_competition(
        request.folder, request.settings, cache=request.files.cache, n_threads=request.n_threads, notify=notify
    )
    require_unchanged(request.files, competition)
    reason = explain_no_probes(request.space)
    if reason is not None:
        raise UsageError(f"nothing can be probed: {reason}", hint="name a space of pretrained backbones with --space")
    with lock_study(request.files), open_probes(request, competition) as study:
        has_trials = request.files.trials.exists()
        write_study_files(request.files, competition, seed=request.seed, has_trials=has_trials, notify=notify)
        keeper = StudyKeeper(None, request.files, competition, probes=study, top=1, keep_weights=None)
        loop, supervisor = build_probe_supervisor(
            request, competition, study, task, after_report=keeper.tidy, build_next=lambda: None, notify=notify
        )
        runner.run(supervisor)
        if loop.error is not None:
            raise loop.error
        return study.list_reports(), study.list_skipped()


def open_probes(request: ProbeRequest, competition: Competition) -> contextlib.AbstractContextManager[ProbeStudy]:
    """Open the study of probes for the request; the caller holds the study's lock."""
    return open_probe_study(request.files, build_probe_terms(competition, seed=request.seed))


def build_probe_supervisor(
    request: ProbeRequest,
    competition: Competition,
    study: ProbeStudy,
    task: Task,
    *,
    after_report: Callable[[], None],
    build_next: Callable[[], Supervisor | None],
    notify: Notify,
) -> tuple[ProbeLoop, Supervisor]:
    """Build the supervisor of the probes, of those that have not been made yet, and of what comes after them.

    Args:
        after_report: called when a probe has been recorded.
        build_next: builds the supervisor of the trials, once all probes have ended.
    """
    deadline = Deadline.from_budget(request.compute_budget_s())

    def plan_first() -> ProbeJob:
        job, budget_s = _plan(request, study, list_candidates_of_space(request)), deadline.get_training_seconds_left()
        if job.numbers:
            n_probes = f"{len(job.numbers)} probe{'s' * (len(job.numbers) > 1)}"
            limit = "" if math.isinf(budget_s) else f", {format_duration(budget_s)} at most"
            notify(f"probing: light heads on frozen pretrained features, {n_probes}{limit}")
        return job

    def plan_extended() -> ProbeJob:
        nonlocal deadline
        extra_s = request.compute_extra_s(study.list_reports(), n_images=len(competition.image_ids))
        if not extra_s:
            return _plan(request, study, [])
        deadline = Deadline.from_budget(extra_s)
        job = _plan(request, study, list_candidates_of_space(request))
        if job.numbers:
            notify(f"probing goes on for {format_duration(extra_s)} at most: no trial would be done in the time left")
        return job

    def plan_mirrored() -> ProbeJob:
        study.record_unfinished("no time left")
        has_time = deadline.get_training_seconds_left() > 0
        return _plan(request, study, _list_mirrored(study, competition) if has_time else [])

    def report(own: ProbeReport) -> None:
        notify(describe_report(own))
        if is_completed(own):
            after_report()

    later_waves = iter((plan_extended, plan_mirrored))

    def plan_next() -> ProbeJob | None:
        return next((job for plan in later_waves if (job := plan()).numbers), None)

    def begin_next() -> Supervisor | None:
        study.record_unfinished("no time left")
        return build_next()

    loop = ProbeLoop(
        study,
        deal_candidates(plan_first(), 1 if request.is_on_cpu and request.is_local else len(request.devices)),
        task,
        on_report=report,
        budget_left_s=lambda: deadline.get_training_seconds_left(),
        time_left_s=request.deadline.get_training_seconds_left,
    )
    return loop, ProbesFirst(loop, after_probes=plan_next, build_next=begin_next)


def require_budget(budget: str) -> None:
    """Refuse a budget that is neither auto nor none nor a duration.

    Raises:
        UsageError: it is none of them.
    """
    if budget not in (AUTO, NONE):
        parse_duration(budget)


def explain_no_probes(space: Space) -> str | None:
    """Return why a space's backbones cannot be probed, or None."""
    if space.init_from is not None:
        return "trials begin with the weights of another trial"
    if not space.build_first_config().model.pretrained:
        return "the space trains from scratch"
    return None


def list_candidates_of_space(request: ProbeRequest) -> list[ProbeCandidate]:
    """List backbones of the space at final sizes of its schedules, the smallest first, dealt out over families.

    Backbones of a family come in the space's own order, which goes from small to large. On a CPU the very first
    candidate is smaller than the space's sizes, where these are large.
    """
    sizes = _list_final_sizes(request.space)
    families: dict[str, list[str]] = {}
    for backbone in list_choices(request.space, "backbone") or [request.space.build_first_config().model.backbone]:
        families.setdefault(derive_family(backbone), []).append(backbone)
    backbones = [name for column in zip_longest(*families.values()) for name in column if name is not None]
    dealt = [
        ProbeCandidate(backbone, sizes[(index + turn) % len(sizes)])
        for turn in range(len(sizes))
        for index, backbone in enumerate(backbones)
    ]
    quick = [ProbeCandidate(backbones[0], QUICK_SIZE)] if request.is_on_cpu and min(sizes) > QUICK_SIZE else []
    return [*quick, *dealt][: request.count_probes()]


def describe_report(report: ProbeReport) -> str:
    """Return how a probe ended, in a line."""
    own = report.candidate
    name = f"probe {report.number}: {own.backbone}, {own.image_size} px{', mirrored too' * (own.view == 'mirror')}"
    if not is_completed(report):
        return f"{name} is skipped: {report.reason}"
    error = f" ± {report.score_error:.4f}" if report.score_error is not None else ""
    seconds = format_duration(report.seconds or 0.0)
    return f"{name}: {report.value:.4f}{error} ({report.head} head, {report.ms_per_image:.3g} ms an image, {seconds})"


def _plan(request: ProbeRequest, study: ProbeStudy, candidates: Sequence[ProbeCandidate]) -> ProbeJob:
    """Return the job of those that are to be made, which may be none."""
    begun = study.begin(candidates) if candidates else {}
    return ProbeJob(
        study_dir=request.files.root,
        numbers=tuple(begun),
        candidates=tuple(begun.values()),
        seed=request.seed,
        weights_dir=request.weights_dir,
        cache_gb=request.cache_gb,
        n_threads=request.n_threads if request.is_on_cpu and request.is_local else None,
    )


def _list_mirrored(study: ProbeStudy, competition: Competition) -> list[ProbeCandidate]:
    """Return the best probe once more with mirrored images, where these keep their label."""
    reports = study.list_reports()
    if not (competition.flips and reports and reports[0].candidate.view == "identity"):
        return []
    best = reports[0].candidate
    return [ProbeCandidate(best.backbone, best.image_size, "mirror")]


def list_choices(space: Space, name: str) -> list[str]:
    """List the choices of a categorical parameter; none where the space does not ask for it."""
    found = [dimension.domain.split(", ") for dimension in describe(space) if dimension.name == name]
    return list(dict.fromkeys(choice for choices in found for choice in choices))


def _list_final_sizes(space: Space) -> list[int]:
    """Return the image sizes that a trial may end with, ascending; the first trial's where no choice names sizes."""
    sizes = {size for choice in list_choices(space, "resize") if (size := parse_final_size(choice)) is not None}
    return sorted(sizes) or [space.build_first_config().resize.image_sizes[-1]]
