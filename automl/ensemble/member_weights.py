"""Where the networks of an ensemble's members lie in a study.

Not responsible for: which folds a member has (automl.ensemble.predict), or training those that are missing
(automl.refitting).
"""

from __future__ import annotations

from pathlib import Path

from automl.artifacts import StudyFiles
from automl.ensemble.apply import WeightsOf
from automl.ensemble.recipe import Recipe, RecipeMember
from automl.errors import StorageError, listed

N_NAMED = 5


def study_weights(files: StudyFiles, member: RecipeMember, fold: int) -> Path:
    """Where a fold's network lies: with the trial's own folds, or with those trained after the search."""
    trial = files.trial(member.number)
    if member.kind != "search":
        return trial.retrained(member.kind).weights(fold)
    refit = trial.retrained("refit").weights(fold)
    return refit if refit.exists() and not trial.weights(fold).exists() else trial.weights(fold)


def require_networks(recipe: Recipe, weights_of: WeightsOf, *, again: str) -> None:
    """Let a recipe pass whose members' networks are all there.

    Args:
        again: what makes missing ones again, in the imperative.

    Raises:
        StorageError: it names those that are gone.
    """
    wanted = [weights_of(member, fold) for member in recipe.members for fold in member.folds]
    missing = [str(path) for path in wanted if not path.is_file()]
    if missing:
        raise StorageError(
            f"{len(missing)} of the ensemble's {len(wanted)} networks are gone: {listed(missing, at_most=N_NAMED)}",
            hint=again,
        )
