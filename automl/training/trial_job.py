"""Jobs and results of trials, as they cross between the driver and the process that trains: as JSON.

Imports no torch, so that a driver can build a job in an instant. `automl.training.entry_points` rebuilds it once, and
everything in automl.training takes the typed object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from automl.config import TrialConfig
from automl.errors import ERROR_OF_EXIT_CODE, AutomlError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """A trial to train, or one of its folds, or its learning rate to test.

    Invariant: `TrialJob.from_json(job.to_json()) == job`.

    Attributes:
        trial: its number in the study.
        study_dir: the study's folder.
        seed: the study's.
        weights_dir: folder of pretrained weights, or None for the hub.
        init_from: folder of another trial whose weights training begins with, or None.
        train_folds: how many of the folds are trained, from the first one on.
        fold: the only fold that is trained, after the search; None where the trial trains its folds.
        refit_kind: into which of the trial's folders a fold is trained: refit, pseudo or distilled; None is its own.
        soft_targets: file of the targets that take the place of the labels, or None.
        pixel_cache: folder of the decoded images, or None for the study's own.
        cache_gb: limit of the study's feature store, or None for half of what is free on its disk.
    """

    trial: int
    study_dir: Path
    config: TrialConfig
    seed: int
    weights_dir: Path | None = None
    init_from: Path | None = None
    train_folds: int = 1
    fold: int | None = None
    refit_kind: str | None = None
    soft_targets: Path | None = None
    pixel_cache: Path | None = None
    cache_gb: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists and scalars."""
        document = {own.name: getattr(self, own.name) for own in dataclasses.fields(self)}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in document.items()}
        return {**plain, "config": self.config.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrialJob:
        """Return the job that `to_json` wrote.

        Raises:
            UsageError: its configuration is of another version.
            TypeError: a key is missing or unknown.
        """
        paths = ("study_dir", "weights_dir", "init_from", "soft_targets", "pixel_cache")
        values = dict(document)
        values.update({name: Path(values[name]) for name in paths if values.get(name) is not None})
        return cls(**{**values, "config": TrialConfig.from_json(document["config"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How a job of a trial ended: one of the three classes below, each written with its `outcome`.

    Invariant: `TrialResult.from_json(result.to_json()) == result`.
    """

    outcome: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts and scalars."""
        return {"outcome": self.outcome, **{own.name: getattr(self, own.name) for own in dataclasses.fields(self)}}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> TrialResult:
        """Return the result that `to_json` wrote.

        Raises:
            ValueError: its outcome is unknown.
        """
        values = dict(document)
        outcome = values.pop("outcome")
        for result_class in (Completed, Infeasible, Refused):
            if result_class.outcome == outcome:
                return result_class(**values)
        raise ValueError(f"a trial cannot end as {outcome!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(TrialResult):
    """All folds are trained.

    Attributes:
        score: of the validation rows of all folds together.
        attributes: what the study keeps beside the score.
    """

    outcome = "completed"
    score: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible(TrialResult):
    """The configuration cannot be trained on this device, and could not the next time either.

    Attributes:
        constraint: that it violates: "diverged" or "memory".
        reason: one line.
        attributes: what the study keeps beside the reason.
    """

    outcome = "dead_end"
    constraint: str
    reason: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(TrialResult):
    """Not only this job cannot go on, but the whole command; an `AutomlError` as it crosses to the driver."""

    outcome = "refused"
    exit_code: int
    problem: str
    hint: str

    @classmethod
    def from_error(cls, error: AutomlError) -> Refused:
        """Return the error as a result."""
        return cls(exit_code=error.exit_code, problem=error.problem, hint=error.hint)

    def to_error(self) -> AutomlError:
        """Return the error that the job met."""
        error_class = ERROR_OF_EXIT_CODE.get(self.exit_code, AutomlError)
        return error_class(self.problem, hint=self.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What the steps of a learning-rate range test came to.

    Attributes:
        lrs, losses: of each step, up to where it diverged; as they were, not smoothed.
        image_size, batch_size: of the steps.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    image_size: int
    batch_size: int

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and scalars."""
        return {
            "outcome": "completed",
            "lrs": list(self.lrs),
            "losses": list(self.losses),
            "image_size": self.image_size,
            "batch_size": self.batch_size,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SweepResult:
        """Return the result that `to_json` wrote, or the part of find_lr.json that is one.

        Raises:
            KeyError, TypeError, ValueError: the document holds none.
        """
        return cls(
            lrs=tuple(map(float, document["lrs"])),
            losses=tuple(map(float, document["losses"])),
            image_size=int(document["image_size"]),
            batch_size=int(document["batch_size"]),
        )
