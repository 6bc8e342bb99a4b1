"""Encode and decode the messages between a driver and its worker processes: one JSON object per line.

Driver to worker: `{"job": ...}` once, then `{"verdict": ...}`. Worker to driver: events.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from runners.base import JSON, Event, Failed, Finished, Job, Progressed, Reported, Started, Stopped, Task

_EVENTS: dict[str, type[Any]] = {
    event_class.__name__: event_class for event_class in (Started, Progressed, Reported, Finished, Stopped, Failed)
}


class LineBuffer:
    """Puts the lines of a byte stream together again."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[JSON]:
        """Return the messages that this chunk completes.

        Raises:
            ValueError: a line is not JSON.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]


def encode(message: Mapping[str, JSON]) -> bytes:
    """Encode a message as one line.

    Raises:
        TypeError: the message is not JSON.
    """
    return json.dumps(message).encode() + b"\n"


def encode_event(event: Event) -> bytes:
    return encode({"event": type(event).__name__, **asdict(event)})


def decode_event(message: JSON) -> Event:
    """Decode the event in a message.

    Raises:
        ValueError: it holds none.
    """
    try:
        fields = dict(message)
        event: Event = _EVENTS[fields.pop("event")](**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no event: {message!r:.200}") from error
    return event


def encode_job(job: Job, *, device: str, n_threads: int) -> bytes:
    """Encode a job for a worker.

    Raises:
        TypeError: the payload is not JSON.
        ValueError: the task cannot be imported by name.
    """
    fields = {"job_id": job.id, "task": get_task_name(job.task), "payload": dict(job.payload)}
    return encode({"job": fields | {"device": device, "n_threads": n_threads}})


def get_task_name(task: Task) -> str:
    """Return the "module:qualname" by which another process finds the task.

    Raises:
        ValueError: another process would not find it.
    """
    module, qualname = getattr(task, "__module__", "?"), getattr(task, "__qualname__", "?")
    if module == "__main__" or _get_nested(sys.modules.get(module), qualname) is not task:
        raise ValueError(f"{task!r} is not a task that another process can import; define it at the top of a module")
    return f"{module}:{qualname}"


def load_task(name: str) -> Task:
    module, _, qualname = name.partition(":")
    task: Task | None = _get_nested(import_module(module), qualname)
    if task is None:
        raise ImportError(f"there is no {qualname!r} in module {module!r}")
    return task


def _get_nested(owner: Any, qualname: str) -> Any:
    for part in qualname.split("."):
        owner = getattr(owner, part, None)
    return owner
