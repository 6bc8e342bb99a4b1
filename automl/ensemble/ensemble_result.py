"""The request for an ensemble, and its result: as printed, and as ensemble.json holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.ensemble.crossfit import BlendMethod
from automl.ensemble.ensemble_recipe import SEARCH, Recipe, RecipeMember

N_POOL = 15  # trials that members are selected from; Source: a simulation in which the best 15 of 50 beat all 50


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleRequest:
    """The request for an ensemble.

    Attributes:
        top: how many members at most.
        pool: of how many trials, the best ones, the members are selected, beside a few probes; `top` where that is
            more.
        tta: a group of views, or "auto" for those that a member's training has shown it and that help.
        device: on which the images are predicted.
        out: the submission's file.
        max_minutes: for predicting the test images; parts are left out until it suffices. None for no limit.
        n_images: how many test images that time is for; None for those there are.
        n_threads: for the arithmetic.
    """

    top: int
    tta: str
    device: str
    out: Path
    pool: int = N_POOL
    max_minutes: float | None = None
    n_images: int | None = None
    n_threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleResult:
    """What was built, and what it may be expected to score.

    A gain is positive where something helps, in the metric's units, whichever way the metric points.

    Attributes:
        recipe: the members, the heaviest first, and all else that is needed, beside their weights, to predict.
        member_scores: by member, its own score with the identity view, on the rows that the ensemble is scored on.
        member_gains: by member, how much worse the ensemble's cross-fitted score is without it; None for the only
            member. Out of fold one fold's model predicts, test images the mean of all: what more folds gain is not
            in it.
        metric, greater_is_better: what all scores are of.
        score: cross-fitted on n_rows rows out of fold, with the views and the rule. Not quite where is_trimmed.
        score_error: its standard error.
        is_trimmed: whether parts were left out for lack of time. Which ones was decided on all rows, those that are
            scored among them: the score is then a little optimistic.
        score_without_tta: the same blends with the identity view alone, and with a rule that was chosen for them.
        best_single_number, best_single_kind, best_single_score: of one trial or probe on the same rows, the best of
            n_trials.
        optimism: by how much the best of n_trials looks better than it is, as it was chosen for its score.
        n_trials: complete trials and finished probes with predictions of these rows.
        tta: what the views are called, as "mirror+crops", and their names.
        view_gains: what each view beside the identity gains.
        error_correlations: of the members, in their order; see automl.ensemble.contributions.
        blend_method: "mean" of the best members, or "greedy" weights.
        rule_source: "plain", "matched" to the training frequencies, or "searched".
        rule_words: the decision rule in words.
        submission, submission_digest: where it was written, and its SHA-256: a later search writes another one there.
            None and "" where there are no test images.
        device: on which the test images were predicted.
        notes: what was left out or decided, a line each.
    """

    recipe: Recipe
    member_scores: Mapping[str, float]
    member_gains: Mapping[str, float | None]
    metric: str
    greater_is_better: bool
    score: float
    score_error: float
    is_trimmed: bool
    score_without_tta: float
    best_single_number: int
    best_single_score: float
    optimism: float
    n_trials: int
    tta: str
    views: tuple[str, ...]
    view_gains: Mapping[str, float]
    error_correlations: tuple[tuple[float, ...], ...]
    blend_method: BlendMethod
    rule_source: str
    rule_words: str
    n_pool: int
    n_rows: int
    seconds: float
    submission: Path | None
    submission_digest: str
    device: str
    notes: tuple[str, ...]
    best_single_kind: str = SEARCH

    @property
    def members(self) -> tuple[RecipeMember, ...]:
        """The heaviest first."""
        return self.recipe.members

    def to_json(self) -> dict[str, Any]:
        """Return the document of ensemble.json; its keys are older than the names of the fields."""
        return {
            "members": [self._member_to_json(member) for member in self.members],
            "metric": self.metric,
            "greater_is_better": self.greater_is_better,
            "score": self.score,
            "score_error": self.score_error,
            "is_trimmed": self.is_trimmed,
            "score_without_tta": self.score_without_tta,
            "best_single_number": self.best_single_number,
            "best_single_kind": self.best_single_kind,
            "best_single_score": self.best_single_score,
            "luck": self.optimism,
            "n_trials": self.n_trials,
            "tta": self.tta,
            "views": list(self.views),
            "view_adds": dict(self.view_gains),
            "error_correlations": [list(row) for row in self.error_correlations],
            "kind": self.blend_method,
            "by_rank": self.recipe.by_rank,
            "rule": dict(self.recipe.rule),
            "rule_kind": self.rule_source,
            "decided": self.rule_words,
            "n_pool": self.n_pool,
            "n_rows": self.n_rows,
            "seconds": self.seconds,
            "submission": None if self.submission is None else str(self.submission),
            "submission_digest": self.submission_digest,
            "device": self.device,
            "notes": list(self.notes),
            "recipe": self.recipe.to_json(),
        }

    def _member_to_json(self, member: RecipeMember) -> dict[str, Any]:
        return {
            "name": member.name,
            "number": member.number,
            "kind": member.member_kind,
            "weight": member.weight,
            "temperature": member.temperature,
            "score": self.member_scores[member.name],
            "adds": self.member_gains[member.name],
            "backbone": member.config.model.backbone,
            "image_size": member.image_size,
            "folds": list(member.folds),
            "views": list(member.views),
            "seconds_per_image": member.cost,
        }
