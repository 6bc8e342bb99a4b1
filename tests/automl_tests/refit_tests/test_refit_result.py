"""The result of a refit: scores out of fold, and what could not be trained."""

from __future__ import annotations

import numpy as np
import pytest

from automl.artifacts import read_json
from automl.data.competition import load_competition
from automl.data.folds import load_folds
from tests.automl_tests.refit_tests.studies import Refit, finished_fold


@pytest.mark.slow
def test_the_score_is_that_of_all_rows_beside_each_folds_and_the_searchs(refit: Refit) -> None:
    (score,) = refit.run(numbers=(1,)).scores
    competition = load_competition(refit.files.competition)
    folds = load_folds(refit.files.folds, competition)
    by_hand = {0: finished_fold(refit.files, 1, 0, skill=0.8)}
    by_hand |= {fold: finished_fold(refit.files, 1, fold) for fold in range(1, 5)}
    for fold, finished in by_hand.items():
        assert score.fold_scores[fold] == competition.scorer(competition.targets[finished.rows], finished.probs)
    rows = np.concatenate([finished.rows for finished in by_hand.values()])
    probs = np.concatenate([finished.probs for finished in by_hand.values()])
    assert score.score == pytest.approx(competition.scorer(competition.targets[rows], probs))
    assert (score.n_rows, score.searched) == (int((folds >= 0).sum()), score.fold_scores[0])
    document = read_json(refit.files.refit)
    assert document["trials"] == [1]
    assert document["results"][0]["score"] == score.score
    assert document["results"][0]["fold_scores"]["4"] == score.fold_scores[4]
