"""Faults of trials and of the search over them: poison, hangs, failures in a row, orphans, two drivers, lost ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from automl.artifacts import StudyFiles
from automl.search.search_loop import SearchLoop, search
from automl.study.study import SearchStudy, open_study, read_study
from runners.base import Verdict
from runners.context import JobContext
from runners.inline import InlineRunner
from tests.faults_tests.programs import DRIVER, ROOT, files_of, run, search_command, start
from tests.soak import driver
from tests.soak.journal import Journal, read_journal
from tests.soak.processes import marked, wait_until
from tests.soak.space import EPOCHS, SPACE, TERMS, payload_of
from tests.soak.task import train

pytestmark = pytest.mark.slow

FAULTY = {"1": "poison", "2": "hang", "4": "memory"}


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path / "leaf")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """A study of eight trials, of which one kills its worker, one hangs and one runs out of memory, always."""
    files = StudyFiles(tmp_path_factory.mktemp("faulty") / "leaf")
    command = [*DRIVER, str(files.root), "--trials", "8", "--silence", "1.5", "--faults", json.dumps(FAULTY)]
    finished = run([*command, "--epoch-seconds", "0"])
    assert finished.returncode == 0, finished.stderr
    return files


@pytest.mark.parametrize(
    ("number", "reason"),
    [(1, "killed by signal 9"), (2, "no sign of life for 1.5 s"), (4, "MemoryError")],
)
def test_a_trial_that_kills_its_worker_or_hangs_is_tried_twice_and_fails_with_its_reason(
    number: int, reason: str, faulty: StudyFiles
) -> None:
    trial = read_study(faulty).trials[number]
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs["fail_reason"] == reason
    assert read_journal(faulty).attempts[number] == [[0], [0]]


def test_the_other_trials_of_a_study_with_bad_ones_end_as_they_would_without(faulty: StudyFiles) -> None:
    others = [trial for trial in read_study(faulty).trials if str(trial.number) not in FAULTY]
    assert len(others) == 5
    assert {trial.state for trial in others} == {TrialState.COMPLETE}
    assert all(len(trial.intermediate_values) == EPOCHS for trial in others)
    assert not marked(str(faulty.root))


def test_five_failures_in_a_row_end_the_search_with_4_and_the_cause(work: Path, mark: str) -> None:
    command = [*search_command(work, trials=50), "--trial-timeout", "60s"]
    finished = run(command, mark=mark, faults={str(number): "raise" for number in range(50)})
    assert finished.returncode == 4
    assert "5 trials in a row failed" in finished.stderr
    assert "no kernel image is available" in finished.stderr
    assert len(read_study(files_of(work)).trials) < 8


def test_a_second_search_is_refused_with_6_while_the_first_one_lives_and_not_longer(work: Path, mark: str) -> None:
    command, files = search_command(work), files_of(work)
    first = start(command, mark=mark, epoch_seconds=2.0)
    wait_until(lambda: read_journal(files).n_epochs > 0, what="trials to begin")
    second = run(command, mark=mark)
    assert second.returncode == 6
    assert f"is in use by process {first.pid} on " in second.stderr
    first.kill()
    assert run(command, mark=mark).returncode == 0
    first.communicate()


def test_of_two_drivers_at_the_same_moment_exactly_one_works(tmp_path: Path) -> None:
    contenders = [
        subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.contender"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(2)
    ]
    send(contenders, "")
    for number in range(20):
        assert sorted(send(contenders, f"{tmp_path / str(number)}\n")) == ["lost with 6", "won"]
        send(contenders, "\n", answered=False)
    for contender in contenders:
        contender.communicate()


def send(contenders: list[subprocess.Popen[str]], line: str, *, answered: bool = True) -> list[str]:
    for contender in contenders:
        assert contender.stdin is not None
        contender.stdin.write(line)
        contender.stdin.flush()
    return [contender.stdout.readline().strip() for contender in contenders if answered and contender.stdout]


def test_a_trial_waits_for_an_orphan_that_still_holds_its_lock(files: StudyFiles, mark: str) -> None:
    with open_study(files, TERMS, sampler="random"):
        lock = files.get_trial_files(0).lock
    lock.parent.mkdir(parents=True)
    program = (
        "import fcntl, sys, time\nfile = open(sys.argv[1], 'wb')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\nsys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", program, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as orphan:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        search = start([*DRIVER, str(files.root), "--trials", "2", "--epoch-seconds", "0"], mark=mark)
        wait_until(lambda: files.get_trial_files(1).result.exists(), what="the other trial to end")
        assert 0 not in read_journal(files).attempts
        orphan.communicate("\n")
        _, stderr = search.communicate(timeout=60)
    assert search.returncode == 0, stderr
    assert [trial.state for trial in read_study(files).trials] == [TrialState.COMPLETE] * 2
    assert read_journal(files).n_lost_attempts == 0


def test_a_trial_that_ended_unrecorded_is_recorded_and_not_trained_again(files: StudyFiles) -> None:
    with open_study(files, TERMS, sampler="random") as study:
        trial = study.ask(SPACE)
        config = SPACE(trial)
        context = JobContext("0", lambda event: Verdict.CONTINUE, device="cpu", n_threads=1)
        train(payload_of(files, 0, config), context)  # and here its driver is killed
    driver.run(files, InlineRunner(), n_trials=1)
    (trial_kept,) = read_study(files).trials
    assert trial_kept.state is TrialState.COMPLETE
    assert sorted(trial_kept.intermediate_values) == list(range(EPOCHS))
    assert read_journal(files) == Journal({0: [list(range(EPOCHS)), []]}, read_journal(files).trial_of_process)


class Broken(optuna.pruners.BasePruner):
    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        raise ZeroDivisionError("a bug in the pruner")


def test_a_bug_in_the_pruner_ends_the_search_and_the_study_goes_on_without_it(files: StudyFiles) -> None:
    with open_study(files, TERMS, sampler="random") as study:
        study.optuna_study.pruner = Broken()
        with pytest.raises(ZeroDivisionError):
            search(loop_of(study, files, n_trials=2), InlineRunner())
        assert [trial.state for trial in study.optuna_study.trials] == [TrialState.RUNNING]
    driver.run(files, InlineRunner(), n_trials=2)
    assert [trial.state for trial in read_study(files).trials] == [TrialState.COMPLETE] * 2
    assert read_journal(files).n_repeated == 0


def test_a_bug_in_the_sampler_ends_the_search_and_the_study_goes_on_without_it(
    files: StudyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> Any:
        raise ZeroDivisionError("a bug in the sampler")

    with monkeypatch.context() as patched, open_study(files, TERMS, sampler="random") as study:
        patched.setattr(optuna.samplers.RandomSampler, "sample_independent", broken)
        with pytest.raises(ZeroDivisionError):
            search(loop_of(study, files, n_trials=3), InlineRunner())
    driver.run(files, InlineRunner(), n_trials=3)
    assert [trial.number for trial in read_study(files).trials] == [0, 1, 2]


def loop_of(study: SearchStudy, files: StudyFiles, *, n_trials: int) -> SearchLoop:
    return SearchLoop(study, SPACE, train, lambda number, config: payload_of(files, number, config), n_trials=n_trials)


@pytest.mark.slow
def test_a_study_of_ten_thousand_trials_is_opened_and_suggests_as_quickly_as_a_person_waits(files: StudyFiles) -> None:
    with open_study(files, TERMS) as study:
        trials = [
            optuna.trial.create_trial(
                params={"lr": 10 ** (-1 - (n % 400) / 100), "batch_size": 32},
                distributions={
                    "lr": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
                    "batch_size": optuna.distributions.CategoricalDistribution([16, 32, 64]),
                },
                value=n / 10_000,
            )
            for n in range(10_000)
        ]
        study.optuna_study.add_trials(trials)
    begun = time.monotonic()
    with open_study(files, TERMS) as study:
        opened = time.monotonic()
        assert SPACE(study.ask(SPACE)).optim.lr > 0
    assert opened - begun < 10, "seconds to open"
    assert time.monotonic() - opened < 5, "seconds to ask the first time, with all trials to be read"
