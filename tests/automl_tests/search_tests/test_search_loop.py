"""The search loop as a state machine: events in, states of the study and verdicts out; no process, no clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from automl.config import ModelConfig, OptimConfig, ResizeConfig, TrialConfig
from automl.errors import NoUsableModelError, UnfitEnvironmentError, UsageError
from automl.search.search_loop import SearchLoop, search
from automl.space import Space
from automl.study.pruners import RankPruner
from automl.study.study import SearchStudy
from automl.suggest import Suggest
from runners.base import Failed, Finished, Job, Progressed, Reported, Runner, Started, Stopped, Supervisor, Verdict

EPOCHS = 6  # the rank pruner looks after epochs 2 and 4


def suggest(trial: Suggest) -> TrialConfig:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    return TrialConfig(
        model=ModelConfig(backbone="resnet18"),
        resize=ResizeConfig(image_sizes=(32,)),
        optim=OptimConfig(lr=lr),
        epochs=EPOCHS,
    )


SPACE = Space(name="test", suggest=suggest, first_trials=({"lr": 1e-3}, {"lr": 1e-4}))


def never_called(payload: Any, context: Any) -> None:
    raise AssertionError("the loop itself never calls a task")


def new_study(storage: str | None = None, *, pruner: Any = None) -> SearchStudy:
    study = optuna.create_study(
        study_name="s",
        storage=storage,
        direction="maximize",
        pruner=pruner or RankPruner(epochs=EPOCHS),
        load_if_exists=True,
    )
    return SearchStudy(study)


def new_loop(
    study: SearchStudy,
    *,
    n_trials: int = 50,
    keep_complete: int = 2,
    time_left_s: Callable[[], float] = lambda: math.inf,
) -> SearchLoop:
    return SearchLoop(
        study,
        SPACE,
        never_called,
        lambda number, config: {"trial": number, "lr": config.optim.lr},
        n_trials=n_trials,
        keep_complete=keep_complete,
        time_left_s=time_left_s,
    )


def start(loop: SearchLoop) -> Job:
    job = loop.next_job()
    assert job is not None
    loop.handle(Started(job_id=job.id, device="cpu"))
    return job


def report(loop: SearchLoop, job: Job, step: int, value: float) -> Verdict:
    return loop.handle(Reported(job_id=job.id, step=step, value=value, detail={"seconds": 2.0}))


def complete(loop: SearchLoop, job: Job, score: float) -> None:
    for step in range(EPOCHS):
        assert report(loop, job, step, score) is Verdict.CONTINUE
    result = {"outcome": "completed", "score": score, "attributes": {"n_parameters": 7}}
    loop.handle(Finished(job_id=job.id, result=result))


def states(study: SearchStudy) -> list[TrialState]:
    return [trial.state for trial in study.optuna_study.get_trials()]


def test_the_first_trials_are_the_known_good_ones_then_the_sampler_takes_over() -> None:
    loop = new_loop(new_study())
    rates = [start(loop).payload["lr"] for _ in range(4)]
    assert rates[:2] == [1e-3, 1e-4]
    assert len(set(rates)) == 4


def test_jobs_end_at_the_target_and_running_ones_count() -> None:
    study = new_study()
    loop = new_loop(study, n_trials=2)
    first, second = start(loop), start(loop)
    assert loop.next_job() is None
    complete(loop, first, 0.5)
    complete(loop, second, 0.6)
    assert loop.next_job() is None
    assert states(study) == [TrialState.COMPLETE] * 2


def test_a_second_loop_counts_what_the_first_one_ended() -> None:
    study = new_study()
    first = new_loop(study, n_trials=1)
    complete(first, start(first), 0.5)
    again = new_loop(study, n_trials=2)
    complete(again, start(again), 0.6)
    assert again.next_job() is None
    assert states(study) == [TrialState.COMPLETE] * 2


def test_a_complete_trial_holds_its_score_curve_and_provenance() -> None:
    study = new_study()
    loop = new_loop(study)
    complete(loop, start(loop), 0.75)
    (trial,) = study.optuna_study.get_trials()
    assert trial.value == 0.75
    assert trial.intermediate_values == dict.fromkeys(range(EPOCHS), 0.75)
    assert trial.user_attrs["image_sizes"] == [32] * EPOCHS
    assert trial.user_attrs["epochs_trained"] == EPOCHS
    assert trial.user_attrs["seconds"] == 2.0 * EPOCHS
    assert trial.user_attrs["device"] == "cpu"
    assert trial.user_attrs["n_parameters"] == 7
    assert "torch" in trial.user_attrs["versions"]
    assert "git_commit" in trial.user_attrs


def test_the_worst_of_five_is_stopped_at_a_checkpoint_step_and_is_pruned_with_its_values() -> None:
    study = new_study()
    loop = new_loop(study)
    for score in (0.9, 0.8, 0.7, 0.6):
        complete(loop, start(loop), score)
    weak = start(loop)
    assert report(loop, weak, 0, 0.1) is Verdict.CONTINUE
    assert report(loop, weak, 1, 0.1) is Verdict.STOP
    loop.handle(Stopped(job_id=weak.id))
    trial = study.optuna_study.get_trials()[-1]
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {0: 0.1, 1: 0.1}
    assert trial.user_attrs["epochs_trained"] == 2


def test_no_trial_is_pruned_where_too_few_could_become_complete() -> None:
    loop = new_loop(new_study(), n_trials=6, keep_complete=6)
    for score in (0.9, 0.8, 0.7, 0.6):
        complete(loop, start(loop), score)
    assert report(loop, start(loop), 1, 0.1) is Verdict.CONTINUE


def test_two_weak_trials_at_once_do_not_both_pass_the_last_free_place_for_pruning() -> None:
    loop = new_loop(new_study(), n_trials=6, keep_complete=5)
    for score in (0.9, 0.8, 0.7, 0.6):
        complete(loop, start(loop), score)
    fifth, sixth = start(loop), start(loop)
    assert report(loop, fifth, 1, 0.1) is Verdict.STOP
    assert report(loop, sixth, 1, 0.05) is Verdict.CONTINUE


def test_an_interrupted_trial_goes_on_under_its_own_number_with_its_own_params() -> None:
    study = new_study()
    first = new_loop(study)
    start(first)
    interrupted = start(first)
    report(first, interrupted, 0, 0.3)
    again = new_loop(study)
    jobs = [start(again), start(again)]
    assert [job.id for job in jobs] == ["0", "1"]
    assert jobs[1].payload == interrupted.payload
    assert report(again, jobs[1], 0, 0.3) is Verdict.CONTINUE  # replayed from the checkpoint
    report(again, jobs[1], 1, 0.4)
    assert study.optuna_study.get_trials()[1].intermediate_values == {0: 0.3, 1: 0.4}


def test_a_trial_whose_driver_died_before_recording_that_it_is_pruned_is_recorded_so_and_not_run() -> None:
    study = new_study()
    loop = new_loop(study)
    for score in (0.9, 0.8, 0.7, 0.6):
        complete(loop, start(loop), score)
    weak = start(loop)
    assert report(loop, weak, 1, 0.1) is Verdict.STOP
    again = new_loop(study)
    assert start(again).id == "5"
    assert study.optuna_study.get_trials()[4].state is TrialState.PRUNED


def test_a_trial_cut_short_between_suggestions_is_completed_with_the_same_values(tmp_path: Path) -> None:
    study = new_study(f"sqlite:///{tmp_path}/a.db")
    for _ in range(2):
        loop = new_loop(study)
        start(loop)
    undisturbed = new_study(f"sqlite:///{tmp_path}/b.db")
    loop = new_loop(undisturbed)
    expected = [start(loop).payload for _ in range(3)][2]
    study.ask(SPACE)  # the third: asked, but not one question answered
    resumed = new_loop(study)
    payloads = [start(resumed).payload for _ in range(3)]
    assert payloads[2] == expected


def test_a_trial_cut_short_between_two_questions_gets_the_answers_that_it_would_have_got() -> None:
    def two_questions(trial: Suggest) -> TrialConfig:
        return replace(suggest(trial), batch_size=trial.suggest_int("batch_size", 2, 1000))

    space = Space(name="two", suggest=two_questions)
    undisturbed, cut_short = new_study(), new_study()
    expected = undisturbed.ask(space)
    space(undisturbed.seed_questions(expected))
    trial = cut_short.ask(space)
    suggest(cut_short.seed_questions(trial))  # the first question alone; then the driver is killed
    (again,) = cut_short.list_running()
    space(cut_short.seed_questions(again))
    assert again.params == expected.params


def test_a_failed_trial_is_retried_once_with_the_same_params_then_it_is_fail() -> None:
    study = new_study()
    loop = new_loop(study)
    job = start(loop)
    loop.handle(Failed(job_id=job.id, reason="killed by signal 9", died=True))
    retry = start(loop)
    assert (retry.id, retry.payload) == (job.id, job.payload)
    loop.handle(Failed(job_id=job.id, reason="killed by signal 9", died=True, log="boom"))
    (trial,) = study.optuna_study.get_trials()
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs["fail_reason"] == "killed by signal 9"
    assert trial.user_attrs["last_death_log"] == "boom"
    assert start(loop).id == "1"


def test_deaths_count_only_without_a_new_epoch_in_between() -> None:
    study = new_study()
    loop = new_loop(study)
    for step in range(EPOCHS - 1):
        job = start(loop)
        assert job.id == "0"
        report(loop, job, step, 0.5)
        loop.handle(Failed(job_id=job.id, reason="killed by signal 9", died=True))
    assert states(study) == [TrialState.RUNNING]


def test_five_failures_in_a_row_stop_the_search_with_the_cause() -> None:
    loop = new_loop(new_study())
    for _ in range(10):
        job = start(loop)
        loop.handle(Failed(job_id=job.id, reason="no kernel image"))
    assert loop.next_job() is None
    assert isinstance(loop.error, NoUsableModelError)
    assert "no kernel image" in loop.error.problem


def test_a_complete_trial_between_failures_keeps_the_search_going() -> None:
    loop = new_loop(new_study())
    for round_number in range(3):
        for _ in range(4):
            job = start(loop)
            loop.handle(Failed(job_id=job.id, reason="flaky"))
        complete(loop, start(loop), 0.5 + round_number / 10)
    assert loop.error is None


def test_a_dead_end_is_pruned_with_a_violated_constraint_that_names_it() -> None:
    study = new_study()
    loop = new_loop(study)
    job = start(loop)
    reason = "loss became nan in epoch 1, step 3, lr 0.1"
    loop.handle(Finished(job_id=job.id, result={"outcome": "dead_end", "constraint": "diverged", "reason": reason}))
    (trial,) = study.optuna_study.get_trials()
    assert trial.state is TrialState.PRUNED
    assert trial.constraints == {"diverged": 1.0}
    assert trial.user_attrs["dead_end"] == reason


def test_a_score_that_is_not_finite_never_becomes_complete() -> None:
    study = new_study()
    loop = new_loop(study)
    job = start(loop)
    assert report(loop, job, 0, float("nan")) is Verdict.CONTINUE
    loop.handle(Finished(job_id=job.id, result={"outcome": "completed", "score": float("inf")}))
    (trial,) = study.optuna_study.get_trials()
    assert trial.state is TrialState.PRUNED
    assert "diverged" in trial.constraints


def refusal(exit_code: int) -> dict[str, Any]:
    return {"outcome": "refused", "exit_code": exit_code, "problem": "no weights", "hint": "pass --weights"}


def test_missing_weights_stop_the_search_and_leave_the_trials_to_go_on() -> None:
    study = new_study()
    loop = new_loop(study)
    first, second = start(loop), start(loop)
    loop.handle(Finished(job_id=first.id, result=refusal(7)))
    assert loop.next_job() is None
    assert report(loop, second, 0, 0.5) is Verdict.STOP
    loop.handle(Stopped(job_id=second.id))
    assert isinstance(loop.error, UnfitEnvironmentError)
    assert states(study) == [TrialState.RUNNING] * 2


def test_a_configuration_that_cannot_be_built_fails_and_stops_the_search() -> None:
    study = new_study()
    loop = new_loop(study)
    loop.handle(Finished(job_id=start(loop).id, result=refusal(2)))
    assert isinstance(loop.error, UsageError)
    assert states(study) == [TrialState.FAIL]


def test_a_trial_that_a_person_ended_by_another_tool_is_stopped_and_left_as_it_is() -> None:
    study = new_study()
    loop = new_loop(study)
    job = start(loop)
    report(loop, job, 0, 0.5)
    study.optuna_study.tell(0, state=TrialState.FAIL)
    assert report(loop, job, 1, 0.5) is Verdict.STOP
    loop.handle(Stopped(job_id=job.id))
    assert states(study) == [TrialState.FAIL]
    assert start(loop).id == "1"


def test_when_the_time_is_up_running_trials_stop_and_go_on_with_the_next_search() -> None:
    study = new_study()
    left_s = 100.0
    loop = new_loop(study, time_left_s=lambda: left_s)
    job = start(loop)
    assert report(loop, job, 0, 0.5) is Verdict.CONTINUE
    left_s = 0.0
    assert loop.handle(Progressed(job_id=job.id)) is Verdict.STOP
    loop.handle(Stopped(job_id=job.id))
    assert loop.next_job() is None
    assert loop.error is None
    assert states(study) == [TrialState.RUNNING]
    assert start(new_loop(study)).id == job.id


def test_a_trial_that_has_trained_its_last_epoch_may_finish_when_the_time_is_up() -> None:
    left_s = 100.0
    loop = new_loop(new_study(), time_left_s=lambda: left_s)
    job = start(loop)
    left_s = 0.0
    assert report(loop, job, EPOCHS - 1, 0.5) is Verdict.CONTINUE


def test_no_trial_is_begun_that_would_hardly_be_done_in_time() -> None:
    left_s = 100.0
    loop = new_loop(new_study(), time_left_s=lambda: left_s)
    complete(loop, start(loop), 0.5)  # two seconds for each of its epochs
    left_s = 2.0 * EPOCHS - 1
    assert loop.next_job() is None
    left_s = 2.0 * EPOCHS + 1
    assert loop.next_job() is not None


def test_search_raises_what_stopped_the_loop() -> None:
    class RefusingRunner(Runner):
        def run(self, supervisor: Supervisor) -> None:
            while (job := supervisor.next_job()) is not None:
                supervisor.handle(Started(job_id=job.id, device="cpu"))
                supervisor.handle(Finished(job_id=job.id, result=refusal(7)))

    with pytest.raises(UnfitEnvironmentError, match="no weights"):
        search(new_loop(new_study()), RefusingRunner())
