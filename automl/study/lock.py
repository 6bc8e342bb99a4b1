"""Lock a study against a second driver; the kernel releases the lock when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from typing import IO

from automl.artifacts import StudyFiles
from automl.errors import StorageError, StudyInUseError


@contextlib.contextmanager
def lock_study(files: StudyFiles) -> Iterator[None]:
    """Hold the study's lock; the kernel releases it when this process ends, however it ends.

    Raises:
        StudyInUseError: another process holds it.
        StorageError: the folder cannot be written.
    """
    with _open_lock(files) as file:
        if not _try_lock(file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise StudyInUseError(
                f"study '{files.root.name}' is in use by {holder}",
                hint="stop it first, or begin another with --study",
            )
        with contextlib.suppress(OSError):  # on a full disk a message lacks this name, no more
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield


def find_driver(files: StudyFiles) -> str | None:
    """Return the process that drives the study at this moment ("process 41 on host"), or None."""
    if not files.lock.exists():
        return None
    with files.lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip()
    return None


def _open_lock(files: StudyFiles) -> IO[str]:
    try:
        files.root.mkdir(parents=True, exist_ok=True)
        return files.lock.open("a+")
    except OSError as error:
        raise StorageError(
            f"{files.lock} cannot be opened: {error.strerror or error}",
            hint="fix the permissions, or choose another place with --workdir",
        ) from error


def _try_lock(file: IO[str]) -> bool:
    # A few tries: `find_driver` holds the lock shared for an instant when it looks.
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False
