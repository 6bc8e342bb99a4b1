"""Jobs and reports of probes, as they cross between driver and worker as JSON, and the order in which they run.

A probe is a light head on the features of a frozen pretrained backbone. Imports neither torch nor numpy, so that a
driver can build a job in an instant; `automl.probing.entry_point` carries it out.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from automl.config import TrialConfig
from automl.errors import UsageError

View = Literal["identity", "mirror"]
IDENTITY_VIEW: View = "identity"
MIRROR_VIEW: View = "mirror"
VIEWS = (IDENTITY_VIEW, MIRROR_VIEW)
COMPLETED, SKIPPED = "completed", "skipped"


@dataclass(frozen=True, slots=True)
class ProbeCandidate:
    """What a probe looks at the images with.

    Attributes:
        backbone: timm's name, with pretrained weights.
        image_size: in pixels per side; the nearest that the backbone takes is used.
        view: "identity", or "mirror" for heads fitted on images and mirrored images.
    """

    backbone: str
    image_size: int
    view: str = IDENTITY_VIEW

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise UsageError(f"view = {self.view!r}, but it must be {' or '.join(VIEWS)}", hint="fix the probes")

    def __str__(self) -> str:
        mirrored = "" if self.view == IDENTITY_VIEW else " with mirrored images"
        return f"{self.backbone} at {self.image_size} px{mirrored}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeJob:
    """Probes to compute in one process, in the order that it chooses.

    Invariant: `ProbeJob.from_json(job.to_json()) == job`.

    Attributes:
        study_dir: the study's folder.
        candidates: what to probe.
        numbers: of each candidate's trial in the study of probes.
        seed: the study's.
        weights_dir: folder of pretrained weights, or None for the hub.
        cache_gb: that the feature store may take on disk, or None for its own limit.
        budget_s: wall time for all of them; the first one always runs. Infinite is no limit.
        n_threads: processor cores, or None for those that the runner gives.
        pixel_cache: folder of the decoded images, or None for the study's own.
    """

    study_dir: Path
    candidates: tuple[ProbeCandidate, ...]
    numbers: tuple[int, ...]
    seed: int
    weights_dir: Path | None = None
    cache_gb: float | None = None
    budget_s: float = math.inf
    n_threads: int | None = None
    pixel_cache: Path | None = None

    def __post_init__(self) -> None:
        if len(self.candidates) != len(self.numbers):
            raise ValueError(f"{len(self.candidates)} candidates, but {len(self.numbers)} numbers")

    def leave_out(self, number: int) -> ProbeJob:
        """Return the job without the probe of that number, if it is among them."""
        kept = [index for index, own in enumerate(self.numbers) if own != number]
        return dataclasses.replace(
            self,
            candidates=tuple(self.candidates[index] for index in kept),
            numbers=tuple(self.numbers[index] for index in kept),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists and scalars."""
        document = {own.name: getattr(self, own.name) for own in dataclasses.fields(self)}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in document.items()}
        return {
            **plain,
            "candidates": [dataclasses.asdict(candidate) for candidate in self.candidates],
            "numbers": list(self.numbers),
            "budget_s": self.budget_s if math.isfinite(self.budget_s) else None,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ProbeJob:
        """Return the job that `to_json` wrote.

        Raises:
            TypeError: a key is missing or unknown.
        """
        values = dict(document)
        paths = ("study_dir", "weights_dir", "pixel_cache")
        values.update({name: Path(values[name]) for name in paths if values.get(name) is not None})
        budget_s = values.get("budget_s")
        return cls(
            **{
                **values,
                "candidates": tuple(ProbeCandidate(**candidate) for candidate in values["candidates"]),
                "numbers": tuple(values["numbers"]),
                "budget_s": math.inf if budget_s is None else budget_s,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What came of a probe.

    Invariant: `ProbeReport.from_json(report.to_json()) == report`.

    Attributes:
        number: of its trial in the study of probes.
        candidate: as it was asked for.
        outcome: "completed" or "skipped".
        score: of the chosen head, out of fold on all validated rows; None where it was skipped, as what follows.
        score_error: its standard error.
        head: which head was chosen: "linear", "ridge" or "mlp".
        head_scores: of every head that was fitted, also of "knn", which is no network and never chosen.
        image_size: that was used, the nearest to the candidate's that the backbone takes.
        ms_per_image: of the backbone's forward pass on this device.
        seconds: that the probe took in all.
        reason: why it was skipped, in a line; empty where it was not.
    """

    number: int
    candidate: ProbeCandidate
    outcome: str
    score: float | None = None
    score_error: float | None = None
    head: str | None = None
    head_scores: Mapping[str, float] = field(default_factory=dict)
    image_size: int | None = None
    ms_per_image: float | None = None
    seconds: float | None = None
    reason: str = ""

    @property
    def value(self) -> float:
        """The score as a report's value; nan where there is none."""
        return math.nan if self.score is None else self.score

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts and scalars."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ProbeReport:
        """Return the report that `to_json` wrote.

        Raises:
            KeyError, TypeError: the document holds none.
        """
        return cls(**{**document, "candidate": ProbeCandidate(**document["candidate"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedProbe:
    """A probe that can be made.

    Attributes:
        config: of its network, with a linear head; its image size is one that the backbone takes.
        cost: multiplications of the backbone for one image.
        family: of the backbone, see `automl.space.derive_family`.
    """

    number: int
    candidate: ProbeCandidate
    config: TrialConfig
    cost: float
    family: str

    @property
    def image_size(self) -> int:
        return self.config.resize.image_sizes[0]

    @property
    def views(self) -> tuple[View, ...]:
        """Of the images that heads are fitted on."""
        return (IDENTITY_VIEW, MIRROR_VIEW) if self.candidate.view == MIRROR_VIEW else (IDENTITY_VIEW,)


@dataclass(slots=True, kw_only=True)
class CostModel:
    """How long probes take here, by the multiplications of their backbones.

    Attributes:
        seconds, cost: of all that was computed.
    """

    seconds: float = 0.0
    cost: float = 0.0

    def add(self, seconds: float, cost: float) -> None:
        """Learn from a probe that was computed."""
        self.seconds, self.cost = self.seconds + seconds, self.cost + cost

    def estimate_seconds(self, cost: float) -> float:
        """Estimate how long a probe takes; 0 as long as none was computed."""
        return self.seconds * cost / self.cost if self.cost else 0.0


def order_probes(planned: Sequence[PlannedProbe]) -> list[PlannedProbe]:
    """Order probes: the cheapest first, then in turn one of each family, of its largest images and cheapest backbone.

    What an image shows matters more than which backbone sees it: of one at 160 and 224 pixels, frozen, the log loss on
    photos was measured to be .061 and .026. Where a large one has no time, the smaller ones after it may have.
    """
    if not planned:
        return []
    first = min(planned, key=lambda own: (_compute_cost(own), own.number))
    counts, waiting, ordered = (
        collections.Counter([first.family]),
        [own for own in planned if own is not first],
        [first],
    )
    while waiting:
        next_of = {
            own.family: own
            for own in sorted(waiting, key=lambda own: (own.image_size, -_compute_cost(own), -own.number))
        }  # the last of each family stays: the largest size, the cheapest of it
        chosen = min(next_of.values(), key=lambda own: (counts[own.family], _compute_cost(own), own.number))
        waiting.remove(chosen)
        counts[chosen.family] += 1
        ordered.append(chosen)
    return ordered


def _compute_cost(planned: PlannedProbe) -> float:
    return planned.cost * len(planned.views)
