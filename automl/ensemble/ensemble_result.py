"""What an ensemble was made of and what it may be expected to score, as printed and as ensemble.json holds it.

Not responsible for: working any of it out (automl.ensemble.build, automl.ensemble.contributions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl.ensemble.ensemble_recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleMember:
    """A trial in the ensemble.

    Attributes:
        name: the trial's number, or as "17-pseudo".
        kind: "search", "pseudo" or "distilled".
        temperature: by which its logits are divided; 1 leaves them.
        score: its own, with the identity view, on the rows that the ensemble is scored on.
        adds: how much worse the ensemble's cross-fitted score is without it; None for the only member. Out of fold
            one fold's model speaks for it, of test images the mean of all: what more folds add is not in it.
        folds: whose models are averaged.
        views: their names, the identity first.
        seconds_per_image: through all views and all folds' models, where the ensemble was made.
    """

    name: str
    number: int
    kind: str
    weight: float
    temperature: float
    score: float
    adds: float | None
    backbone: str
    image_size: int
    folds: tuple[int, ...]
    views: tuple[str, ...]
    seconds_per_image: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleResult:
    """What was built, and what it may be expected to score.

    What something adds is positive where it helps, in the metric's units, whichever way the metric points.

    Attributes:
        members: the heaviest first.
        metric, greater_is_better: what all scores are of.
        score: cross-fitted on n_rows rows out of fold, with the views and the rule. Not quite where is_trimmed.
        score_error: its standard error.
        is_trimmed: whether parts were left out for lack of time. Which ones, all rows have told, those that are scored
            among them: the score is then a little flattered.
        score_without_tta: the same blends with the identity view alone, and with a rule that was chosen for them.
        best_single_score: of one trial on the same rows, the best of n_trials.
        luck: by how much the best of n_trials looks better than it is, as it was chosen for its score.
        n_trials: complete trials with predictions of these rows.
        tta: what the views are called, as "mirror+crops", and their names.
        view_adds: what each view beside the identity adds.
        error_correlations: of the members, in their order; see automl.ensemble.contributions.
        kind: "mean" of the best members, or "greedy" weights.
        rule: what decides the rows out of fold and the test images alike, as its to_json has it.
        rule_kind: "plain", "matched" to the training frequencies, or "searched".
        decided: the rule in words.
        submission, submission_digest: where it was written, and its SHA-256: a later search writes another one there.
        device: on which the test images were predicted.
        notes: what was left out or decided, a line each.
        recipe: all that is needed, beside the weights, to predict other images.
    """

    members: tuple[EnsembleMember, ...]
    metric: str
    greater_is_better: bool
    score: float
    score_error: float
    is_trimmed: bool
    score_without_tta: float
    best_single_number: int
    best_single_score: float
    luck: float
    n_trials: int
    tta: str
    views: tuple[str, ...]
    view_adds: Mapping[str, float]
    error_correlations: tuple[tuple[float, ...], ...]
    kind: str
    by_rank: bool
    rule: Mapping[str, Any]
    rule_kind: str
    decided: str
    n_pool: int
    n_rows: int
    seconds: float
    submission: Path
    submission_digest: str
    device: str
    notes: tuple[str, ...]
    recipe: Recipe

    @property
    def seconds_per_image(self) -> float:
        """Of all members."""
        return sum(member.seconds_per_image for member in self.members)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "submission": str(self.submission), "recipe": self.recipe.to_json()}
