"""The lock that keeps a second driver off a study; the kernel lets go of it when its holder ends, however it ends.

Not responsible for: the locks of single trials (automl.training.trial) or SQLite's own.
"""

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
def locked(files: StudyFiles) -> Iterator[None]:
    """Hold the study's lock; the kernel lets go of it when this process ends, however it ends.

    Raises:
        StudyInUseError: another process holds it.
        StorageError: the folder cannot be written.
    """
    with _opened_lock(files) as file:
        if not _lock_at_once(file):
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


def driver_of(files: StudyFiles) -> str | None:
    """Who works on the study at this moment ("process 41 on host"), or None."""
    if not files.lock.exists():
        return None
    with files.lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip()
    return None


def _opened_lock(files: StudyFiles) -> IO[str]:
    try:
        files.root.mkdir(parents=True, exist_ok=True)
        return files.lock.open("a+")
    except OSError as error:
        raise StorageError(
            f"{files.lock} cannot be opened: {error.strerror or error}",
            hint="mend the permissions, or choose another place with --workdir",
        ) from error


def _lock_at_once(file: IO[str]) -> bool:
    # A few tries: `driver_of` holds the lock shared for an instant when it looks.
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False
