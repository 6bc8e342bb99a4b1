"""Jobs and results of trials cross between processes as JSON, and come back equal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl.errors import UnfitEnvironmentError
from automl.training.trial_job import Completed, Infeasible, Refused, SweepResult, TrialJob, TrialResult
from tests.automl_tests.training_tests.trial_builders import config_of

PLAIN = TrialJob(trial=3, study_dir=Path("runs/digits"), config=config_of(), seed=5, train_folds=5)
FULL = TrialJob(
    trial=4,
    study_dir=Path("/runs/digits"),
    config=config_of(epochs=2),
    seed=7,
    weights_dir=Path("/weights"),
    init_from=Path("other/trials/00017"),
    fold=2,
    refit_kind="pseudo",
    soft_targets=Path("pseudo-0123.npz"),
    pixel_cache=Path("cache"),
    cache_gb=1.5,
)
RESULTS = (
    Completed(score=0.5, attributes={"seconds": 1.5}),
    Infeasible(constraint="memory", reason="2 images do not fit", attributes={"micro_batch": 2}),
    Refused(exit_code=7, problem="no weights", hint="pass --weights"),
)


@pytest.mark.parametrize("job", [PLAIN, FULL])
def test_a_job_comes_back_equal(job: TrialJob) -> None:
    assert TrialJob.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_a_job_with_an_unknown_key_is_none() -> None:
    with pytest.raises(TypeError, match="patience"):
        TrialJob.from_json({**PLAIN.to_json(), "patience": 3})


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_comes_back_equal(result: TrialResult) -> None:
    assert TrialResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_results_keep_the_keys_that_result_json_has() -> None:
    assert RESULTS[0].to_json() == {"outcome": "completed", "score": 0.5, "attributes": {"seconds": 1.5}}
    assert [result.to_json()["outcome"] for result in RESULTS] == ["completed", "dead_end", "refused"]
    with pytest.raises(ValueError, match="a trial cannot end as 'lost'"):
        TrialResult.from_json({"outcome": "lost"})


def test_a_refusal_carries_an_error_across() -> None:
    refusal = Refused.from_error(UnfitEnvironmentError("no weights", hint="pass --weights"))
    assert refusal == RESULTS[2]
    error = refusal.to_error()
    assert (type(error), error.problem, error.hint) == (UnfitEnvironmentError, "no weights", "pass --weights")


def test_a_sweep_comes_back_equal() -> None:
    result = SweepResult(lrs=(1e-4, 1e-3), losses=(0.7, 0.5), image_size=24, batch_size=16)
    document = json.loads(json.dumps(result.to_json()))
    assert document["outcome"] == Completed.outcome
    assert SweepResult.from_json(document) == result
