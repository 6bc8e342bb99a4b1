"""Adapt Ray Tune to a supervisor, in the driver: Tune carries the jobs, the supervisor decides.

Each attempt at a job is a Tune trial of its own; a job given a second time is a new trial to Tune, which itself retries
and stops nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from runners.base import Event, Failed, Job, Started, Stopped, Supervisor, Verdict
from runners.messages import decode_event
from runners.signals import SignalRecorder

_TuneTrial: TypeAlias = Any
_Result: TypeAlias = Mapping[str, Any]


@dataclass(kw_only=True)
class _Attempt:
    """A job that was submitted to Tune and has not ended.

    Attributes:
        begun: whether an event of it has come.
        stop_requested: whether a verdict was STOP; from then on only its end is of interest.
    """

    job_id: str
    begun: bool = False
    stop_requested: bool = False


class Bridge:
    """What Tune's searcher, scheduler and stopper ask; it keeps the supervisor's exceptions out of Tune.

    Attributes:
        error: what the supervisor has raised, or what broke a slot; Tune then ends as soon as it can.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        signals: SignalRecorder,
        encode_order: Callable[[Job], Mapping[str, str]],
        get_node_prefix: Callable[[str], str],
        *,
        grace_s: float,
    ) -> None:
        """Args:
        encode_order: makes a trial's configuration of a job.
        get_node_prefix: what to put before a device of the node of this id.
        grace_s: how long jobs may run on after a signal.
        """
        self.error: BaseException | None = None
        self._supervisor = signals.stop_at_signal(supervisor)
        self._signals = signals
        self._encode_order = encode_order
        self._get_node_prefix = get_node_prefix
        self._grace_s = grace_s
        self._deadline_s: float | None = None
        self._attempts: dict[str, _Attempt] = {}
        self._has_no_job = False  # since the last event

    def next_config(self, trial_id: str) -> Mapping[str, str] | str | None:
        """Return the configuration of a new Tune trial, None when there is none now, FINISHED when no job is left."""
        with self._keep_errors():
            job = None if self.error is not None or self._has_no_job else self._supervisor.next_job()
            self._has_no_job = job is None
            if job is not None:
                config = self._encode_order(job)
                self._attempts[trial_id] = _Attempt(job_id=job.id)
                return config
        finished: str = Searcher.FINISHED
        return None if self._attempts else finished

    def handle_result(self, trial: _TuneTrial, result: _Result) -> None:
        """Request the verdict on an event that is not a job's last."""
        with self._keep_errors():
            attempt = self._attempts[trial.trial_id]
            if not result["event"] or attempt.stop_requested:
                return
            attempt.begun = True
            event = decode_event(json.loads(result["event"]))
            if isinstance(event, Started):
                event = replace(event, device=self._get_node_prefix(result["node"]) + event.device)
            if self._request_verdict(event) is Verdict.STOP:
                attempt.stop_requested = True
                # Not by Tune's own STOP: to the supervisor a job has ended when it has, not when it was requested to.
                trial.temporary_state.ray_actor.request_stop.remote()

    def end(self, trial_id: str, result: _Result) -> None:
        """Pass a job's last event on."""
        with self._keep_errors():
            del self._attempts[trial_id]
            if result["broken"]:
                raise RuntimeError(f"a slot of the Ray runner broke:\n{result['broken']}")
            self._request_verdict(decode_event(json.loads(result["event"])))

    def handle_lost_slot(self, trial_id: str, cause: str) -> None:
        """End a job whose slot is gone."""
        with self._keep_errors():
            attempt = self._attempts.pop(trial_id)
            end: Stopped | Failed = Stopped(job_id=attempt.job_id)
            if not attempt.stop_requested:
                end = Failed(job_id=attempt.job_id, reason="its Ray actor died, or its machine", died=True, log=cause)
            self._request_verdict(end)

    def needs_to_end(self) -> bool:
        """Whether Tune shall drop everything: at once after an exception, after a signal when the jobs have ended."""
        if self.error is not None:
            return True
        if self._signals.first is None:
            return False
        self._deadline_s = self._deadline_s or time.monotonic() + self._grace_s
        is_idle = not any(attempt.begun for attempt in self._attempts.values())
        return is_idle or self._signals.count > 1 or time.monotonic() > self._deadline_s

    def _request_verdict(self, event: Event) -> Verdict:
        if self.error is not None:
            return Verdict.STOP
        self._has_no_job = False
        return self._supervisor.handle(event)

    @contextlib.contextmanager
    def _keep_errors(self) -> Iterator[None]:
        """Keep an exception for the end of the run: Tune would turn it into a failed trial."""
        try:
            yield
        except BaseException as error:
            self.error = self.error or error

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # Tune writes down its settings in order to restore a run, which is never done; nothing of this may be in there.
        return str, ("the bridge to the supervisor",)


class JobSearcher(Searcher):  # type: ignore[misc]
    """Tune's way of asking what to run: it asks the supervisor."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def suggest(self, trial_id: str) -> Mapping[str, str] | str | None:
        return self._bridge.next_config(trial_id)

    def on_trial_result(self, trial_id: str, result: _Result) -> None:
        pass

    def on_trial_complete(self, trial_id: str, result: _Result | None = None, error: bool = False) -> None:
        if not error:
            assert result is not None
            self._bridge.end(trial_id, result)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("the study is resumed, not Tune's run")


class JobScheduler(FIFOScheduler):  # type: ignore[misc]
    """Tune's way of asking what to stop: it asks the supervisor."""

    _supports_buffered_results = False

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def on_trial_result(self, controller: Any, trial: _TuneTrial, result: _Result) -> str:
        self._bridge.handle_result(trial, result)
        verdict: str = self.CONTINUE
        return verdict

    def on_trial_error(self, controller: Any, trial: _TuneTrial) -> None:
        self._bridge.handle_lost_slot(trial.trial_id, Path(trial.error_file).read_text() if trial.error_file else "")


class EndStopper(tune.Stopper):  # type: ignore[misc]
    """Tune's way of asking whether to end it all."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: _Result) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.needs_to_end()
