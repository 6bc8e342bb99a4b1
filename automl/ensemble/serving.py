"""The test images' probabilities of a chosen ensemble, also where a member's weights are gone, and their time.

Not responsible for: predicting with all weights there (automl.ensemble.apply) or writing the submission
(automl.ensemble.submission).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.ensemble.apply import blended_probs
from automl.ensemble.calibration import tempered
from automl.ensemble.choose import Choice
from automl.ensemble.looking import Looker, Trained
from automl.ensemble.pool import Note
from automl.ensemble.predict import Member, predict_test
from automl.ensemble.recipe import Recipe, RecipeMember
from automl.ensemble.tta import IDENTITY
from automl.ensemble.weighing import PLAIN, Floats
from automl.ensemble.weights import blend
from automl.errors import StorageError
from automl.training.models import missing_weights


def submitted_probs(choice: Choice, recipe: Recipe, looker: Looker, *, note: Note) -> Floats:
    """(n_test, n_classes) of the ensemble; the rows of images that nobody can see are zeros.

    Where the identity is the only view, a member whose weights are gone answers with what it left in its files.

    Raises:
        StorageError: weights are missing or damaged that views need.
    """
    members = {member.name: member for member, _ in choice.weighted}

    def weights_of(asked: RecipeMember, fold: int) -> Path:
        member = members[asked.name]
        if fold not in member.models:
            raise missing_weights(member.missing_weights)
        return member.models[fold].weights

    try:
        return blended_probs(recipe, weights_of, looker)
    except StorageError:
        if choice.views != PLAIN:
            raise
    return _from_files_where_needed(recipe, members, looker, note)


def seen_test_rows(looker: Looker) -> NDArray[np.int64]:
    """The test images that somebody can see."""
    competition = looker.competition
    return np.setdiff1d(np.arange(len(competition.test_ids)), competition.unreadable_test)


def seconds_of_members(members: Sequence[Member], looker: Looker) -> dict[str, float]:
    """By member: of one view through one fold's model; 0 for one that answers with what it left in its files.

    Measured by looking at the test images, which it has to do anyway, and remembered with what it said. All have looked
    before any is asked, as networks of one kind share the best time that one of them was seen to take.
    """
    looked = {member.name: _one_that_looked(member, looker) for member in members}
    return {name: 0.0 if one is None else looker.seconds_per_image(one) for name, one in looked.items()}


def _one_that_looked(member: Member, looker: Looker) -> Trained | None:
    for trained in member.models.values():
        with contextlib.suppress(StorageError):  # damaged; another fold's model is as fast
            looker.look(trained, [IDENTITY], "test", seen_test_rows(looker))
            return trained
    return None


def _from_files_where_needed(
    recipe: Recipe, members: dict[str, Member], looker: Looker, note: Note
) -> NDArray[np.float64]:
    competition, seen = looker.competition, seen_test_rows(looker)
    blended = np.zeros((len(competition.test_ids), competition.n_classes))
    for member in recipe.members:
        said = tempered(_said(members[member.name], looker, note), member.temperature, competition.task)
        blended[seen] += blend(said[None, seen], np.array([member.weight]), by_rank=recipe.by_rank)
    return blended


def _said(member: Member, looker: Looker, note: Note) -> NDArray[np.float64]:
    try:
        return predict_test(member, [IDENTITY], looker)
    except StorageError as error:
        note(f"trial {member.name} answers with the predictions in its files: {error.problem}; {error.hint}")
        return member.test.astype(np.float64)
