"""Tasks for the tests of the runners; importable, so that a worker process finds them by name."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from runners.base import JSON, Context
from runners.simulated import SimulatedDeath

FOREVER_S = 60.0  # longer than any test waits


def climb(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Report `n_steps` values, each a tenth above the one before; tell each completed step in the file `trace`."""
    for step in range(payload.get("n_steps", 3)):
        context.report(step, payload.get("start", 0.0) + step / 10, {"seconds": payload.get("seconds", 1.0)})
        if "trace" in payload:
            with Path(payload["trace"]).open("a") as trace:
                trace.write(f"{step}\n")
    return {"n_steps": payload.get("n_steps", 3)}


def echo(payload: Mapping[str, JSON], context: Context) -> JSON:
    return payload["value"]


def climb_and_echo_context(payload: Mapping[str, JSON], context: Context) -> JSON:
    context.report(0, 0.0)
    return {"device": context.device, "n_threads": context.n_threads}


def fail(payload: Mapping[str, JSON], context: Context) -> JSON:
    context.report(0, 0.0)
    raise ValueError("no such luck")


def leave(payload: Mapping[str, JSON], context: Context) -> JSON:
    sys.exit(3)


def return_an_object(payload: Mapping[str, JSON], context: Context) -> JSON:
    return {1, 2}


def beat_once(payload: Mapping[str, JSON], context: Context) -> JSON:
    context.beat({"batch": 7})
    return None


def climb_deaf(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Go on in spite of every request to stop."""
    for step in range(5):
        try:
            context.report(step, 0.0)
        except BaseException:
            continue
    return "never heard"


def stop_badly(payload: Mapping[str, JSON], context: Context) -> JSON:
    try:
        context.report(0, 0.0)
    finally:
        raise RuntimeError("the loader would not close")


# What only a process of its own survives


def kill_itself(payload: Mapping[str, JSON], context: Context) -> JSON:
    print("about to go")
    context.report(0, 0.5)
    os.kill(os.getpid(), signal.SIGKILL)
    return "unreachable"


def exit_without_a_word(payload: Mapping[str, JSON], context: Context) -> JSON:
    os._exit(3)


def terminate_itself(payload: Mapping[str, JSON], context: Context) -> JSON:
    os.kill(os.getpid(), signal.SIGTERM)
    context.report(0, 0.0)
    return "unreachable"


def garble(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Write into the pipe of the events, as a library would that closes a descriptor twice."""
    os.write(int(sys.argv[2]), b"\xff not JSON\n")
    time.sleep(FOREVER_S)
    return "unreachable"


def babble(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Print megabytes and bytes that are no text."""
    for step in range(2):
        sys.stdout.buffer.write(b"\xff\xfe\x00" * 500_000 + b'\n{"event": "Finished", "job_id": "babble"}\n')
        print("snow \u2603 and half a pair \ud800")
        context.report(step, float(step))
    return "done"


def babble_then_die(payload: Mapping[str, JSON], context: Context) -> JSON:
    for number in range(10_000):
        print("line", number)
    sys.stdout.buffer.write(b"snow \xff\n")
    sys.stdout.flush()
    os._exit(4)


def be_silent(payload: Mapping[str, JSON], context: Context) -> JSON:
    context.report(0, 0.0, {"pid": os.getpid()})
    time.sleep(FOREVER_S)
    return "unreachable"


def hold_the_interpreter(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Let no other thread of the process run, as a hung extension does."""
    context.report(0, 0.0, {"pid": os.getpid()})
    ctypes.PyDLL(None).sleep(int(FOREVER_S))
    return "unreachable"


def beat_for_ever(payload: Mapping[str, JSON], context: Context) -> JSON:
    context.report(0, 0.0, {"pid": os.getpid()})
    return _beat_for(FOREVER_S, context)


def beat_for(payload: Mapping[str, JSON], context: Context) -> JSON:
    return _beat_for(payload["seconds"], context)


def _beat_for(seconds: float, context: Context) -> int:
    n_beats, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        context.beat({"n_beats": n_beats})
        n_beats += 1
        time.sleep(0.002)
    return n_beats


def start_a_process_and_wait(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Start a process of its own, as a data loader does, tell its pid, and wait for the verdict."""
    helper = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER_S})"], close_fds=False)
    context.report(0, 0.0, {"pid": helper.pid})
    if payload.get("die"):
        os._exit(5)
    return "left a process"


def fork_and_die(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Leave a forked process which holds every pipe of its parent."""
    if os.fork() == 0:
        time.sleep(FOREVER_S)
    os._exit(6)


def hang_at_the_end(payload: Mapping[str, JSON], context: Context) -> JSON:
    threading.Thread(target=time.sleep, args=(FOREVER_S,)).start()
    return "done"


def freeze(payload: Mapping[str, JSON], context: Context) -> JSON:
    context.report(0, 0.0, {"pid": os.getpid()})
    os.kill(os.getpid(), signal.SIGSTOP)
    return "unreachable"


def meet(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Wait until the other has come too."""
    Path(payload["mine"]).touch()
    end = time.monotonic() + FOREVER_S
    while not Path(payload["other"]).exists():
        if time.monotonic() > end:
            raise TimeoutError("the other never came")
        time.sleep(0.01)
    return "met"


def describe_process(payload: Mapping[str, JSON], context: Context) -> JSON:
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "EXTRA")
    return {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "device": context.device,
        "environment": {name: os.environ.get(name) for name in names},
        "stdin": sys.stdin.read(),
        "shares_its_pipe": os.get_inheritable(int(sys.argv[2])),
    }


def terminate_a_helper(payload: Mapping[str, JSON], context: Context) -> JSON:
    """Fork a helper process, wait until it runs, terminate it, and tell its exit code."""
    fork = multiprocessing.get_context("fork")
    line = fork.SimpleQueue()
    helper = fork.Process(target=_greet_and_sleep, args=(line,))
    helper.start()
    line.get()
    helper.terminate()
    helper.join(FOREVER_S)
    return helper.exitcode


def _greet_and_sleep(line: multiprocessing.queues.SimpleQueue[str]) -> None:
    line.put("here")
    time.sleep(FOREVER_S)


def wait_for_preloads(payload: Mapping[str, JSON], context: Context) -> JSON:
    """The pids of the processes that have imported `preloaded`, once there are so many."""
    end = time.monotonic() + FOREVER_S
    while len(ready := list(Path(os.environ["PRELOADS"]).iterdir())) < payload["n_preloads"]:
        if time.monotonic() > end:
            raise TimeoutError("no process stands by")
        time.sleep(0.01)
    return [int(path.name) for path in ready]


def interrupt_twice_and_sleep(payload: Mapping[str, JSON], context: Context) -> JSON:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(FOREVER_S)
    return "unreachable"


def interrupt_is_ignored(payload: Mapping[str, JSON], context: Context) -> JSON:
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def die_in_simulation(payload: Mapping[str, JSON], context: Context) -> JSON:
    context.report(0, 0.0)
    raise SimulatedDeath("killed by signal 9")
