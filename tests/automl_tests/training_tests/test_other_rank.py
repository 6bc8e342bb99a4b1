"""Any rank but 0: how it ends, and that it never outlives rank 0."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from automl.training.distributed import other_rank
from automl.training.distributed.main_rank import OUT_OF_MEMORY
from automl.training.entry_points import run_trial
from tests.automl_tests.training_tests.forks import fork, serve_as_rank, wait_for_exit_code
from tests.automl_tests.training_tests.trial_builders import (
    TWO_DEVICES,
    UNNORMALISED,
    ScriptedContext,
    payload_of,
    write_study,
)
from tests.runners_tests.processes import is_gone, wait_until_gone

pytestmark = pytest.mark.usefixtures("no_process_is_left")


@pytest.fixture
def orders() -> Iterator[tuple[int, int]]:
    """A pipe: the end from which a rank reads its orders, and the end of rank 0."""
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    for fd in (read_fd, write_fd):
        with contextlib.suppress(OSError):
            os.close(fd)


def serve(orders: tuple[int, int], main_pid: int) -> None:
    serve_as_rank(orders[0], os.dup(1), (orders[1],), main_pid)


def test_a_rank_ends_when_rank_0_closes_its_orders(orders: tuple[int, int]) -> None:
    main_pid = os.getpid()
    pid = fork(lambda: serve(orders, main_pid))
    os.close(orders[1])
    assert wait_for_exit_code(pid) == other_rank._MAIN_RANK_GONE


def test_a_rank_whose_rank_0_is_gone_before_it_begins_ends(orders: tuple[int, int]) -> None:
    assert wait_for_exit_code(fork(lambda: serve(orders, 1))) == other_rank._MAIN_RANK_GONE


def test_a_rank_is_killed_with_rank_0_even_when_its_orders_stay_open(orders: tuple[int, int], tmp_path: Path) -> None:
    """Rank 0 is a process that starts the rank and waits; this one keeps the orders open."""
    note = tmp_path / "pid"

    def lead() -> None:
        main_pid = os.getpid()
        pid = fork(lambda: serve(orders, main_pid))
        note.with_suffix(".part").write_text(str(pid))
        note.with_suffix(".part").rename(note)
        time.sleep(600)

    main_pid = fork(lead)
    while not note.exists():
        time.sleep(0.01)
    other_pid = int(note.read_text())
    time.sleep(0.2)  # it asks the kernel for its end at the very beginning
    assert not is_gone(other_pid)
    os.kill(main_pid, signal.SIGKILL)
    assert wait_for_exit_code(main_pid) == -signal.SIGKILL
    wait_until_gone([other_pid])


def test_memory_that_runs_out_has_an_exit_code_of_its_own(
    orders: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **job: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(other_rank, "_serve", refuse)
    main_pid = os.getpid()
    pid = fork(lambda: serve(orders, main_pid))
    os.write(orders[1], b"{}\n")
    assert wait_for_exit_code(pid) == OUT_OF_MEMORY


WITHOUT_MEMORY = """
import sys
if "automl.training.distributed.other_rank" in sys.orig_argv:
    import torch
    def refuse(*ignored, **also_ignored):
        raise torch.OutOfMemoryError("no room")
    torch.nn.Module.to = refuse
"""


@pytest.mark.slow
def test_a_network_that_does_not_fit_on_the_other_device_is_a_dead_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_MEMORY)  # Python imports it when it starts
    monkeypatch.syspath_prepend(tmp_path)
    answer = run_trial(payload_of(write_study(tmp_path / "root"), UNNORMALISED), ScriptedContext(device=TWO_DEVICES))
    assert (answer["outcome"], answer["constraint"]) == ("dead_end", "memory")


@pytest.mark.slow
def test_no_process_outlives_the_one_that_leads_the_trial(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    command = [sys.executable, "-m", "tests.automl_tests.training_tests.lead_main_rank", str(study.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as main:
        assert main.stdout is not None
        ranks = [int(pid) for pid in main.stdout.readline().split()]
        main.kill()
    assert len(ranks) == 1
    wait_until_gone(ranks)
