"""Download and unpack a competition's files, resuming wherever an earlier command was cut short.

All is in the folder itself: what is fetched lies in a hidden folder in it until it is unpacked, beside a file that says
what the folder is for. A folder that holds anything else is left alone. The client resumes the transfer itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.artifacts import read_json, write_json
from automl.errors import AutomlError, DataError, Notify, StorageError, StudyInUseError, UsageError, join_names
from automl.files.archives import COMPRESSIONS, Archive
from automl.kaggle.client import Kaggle

CHUNK_BYTES = 1024**2
DOWNLOAD_FOLDER = ".automl-download"  # hidden names are no part of a competition: automl.files.image_names
STATE_FILE, LOCK_FILE = "download.json", "lock"
SPARE_BYTES = 100 * 1024**2  # a disk that is full to the last byte breaks what else runs
REPORT_INTERVAL_S = 10.0


def download_competition(slug: str, folder: Path, sign_in: Callable[[], Kaggle], *, notify: Notify) -> None:
    """Download and unpack a competition's files into the folder, or go on where it was cut short.

    Raises:
        UsageError: something else is in the folder; or there is no such competition.
        UnfitEnvironmentError: Kaggle, the network or the credentials.
        DataError: the bundle is damaged, or would write outside the folder.
        StorageError: the disk.
    """
    state = _read_state(folder, slug)
    if state.get("finished"):
        notify(f"{folder} holds {slug} since {state['finished'][:10]}: {state['n_files']} files; nothing was fetched")
        return
    with _lock_folder(folder, slug) as parts:
        archive = sign_in().download(slug, parts, check_room=lambda size: _check_room(parts, size, slug, notify))
        n_files, n_bytes = _unpack_bundle(archive, folder, notify)
        finished = {"finished": datetime.now(UTC).isoformat(), "n_files": n_files, "n_bytes": n_bytes}
        write_json(parts / STATE_FILE, {"slug": slug, **finished})
        archive.unlink()
    notify(f"wrote {folder}: {n_files} files, {_format_size(n_bytes)}")


class Bundle(Archive):
    """A competition's archive as Kaggle sends it, unpacked to the disk.

    Its members are written as they are read, so that they may be as large as the disk; names that lead out of it are
    refused when it is opened, links and other systems' litter are left out.
    """

    @property
    def n_bytes(self) -> int:
        """The size of all files once they are unpacked."""
        return sum(member.file_size for member in self._members.values())

    def unpack(self, folder: Path, *, on_file: Callable[[int], None]) -> None:
        """Write every file below the folder, over what is there.

        Args:
            on_file: gets the number of files that are written, after each.

        Raises:
            DataError: a member is encrypted or damaged, or its name cannot be a file's.
            StorageError: the disk is full or cannot be written.
        """
        for n_done, name in enumerate(self.names, start=1):
            try:
                self._write(name, folder / name)
            except OSError as error:
                raise _make_write_error(folder / name, error) from error
            on_file(n_done)

    def close(self) -> None:
        self._zip.close()

    def _write(self, name: str, target: Path) -> None:
        member = self._members[name]
        if member.flag_bits & 0x1 or member.compress_type not in COMPRESSIONS:
            raise self._make_member_error(name, "is encrypted or compressed in an unusual way")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._zip.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, CHUNK_BYTES)  # checks the checksum at the end, stops at the size
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise self._make_member_error(name, f"is damaged ({type(error).__name__})") from error

    def _make_member_error(self, name: str, subject: str) -> DataError:
        hint = "run the same command again to fetch it anew"
        return DataError(f"{self.path.name}: member {join_names([name])} {subject}", hint=hint)


def _read_state(folder: Path, slug: str) -> dict[str, Any]:
    """Read the state of an earlier download; empty for a folder that may be made or filled.

    Raises:
        UsageError: the folder holds something else, or is none.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{folder} is not a folder: {error.strerror}", hint="name another with --into") from error
    if not names:
        return {}
    state = (
        read_json(folder / DOWNLOAD_FOLDER / STATE_FILE) if (folder / DOWNLOAD_FOLDER / STATE_FILE).is_file() else {}
    )
    if not isinstance(state, dict) or state.get("slug") != slug:
        subject = f"holds {state['slug']}" if isinstance(state, dict) and "slug" in state else "is not empty"
        raise UsageError(f"{folder} {subject}: it is left as it is", hint="name another folder with --into")
    return state


@contextlib.contextmanager
def _lock_folder(folder: Path, slug: str) -> Iterator[Path]:
    """Make, mark and lock the hidden folder; remove it where nothing was fetched.

    Raises:
        StudyInUseError: another process fetches into it.
        StorageError: it cannot be made.
    """
    parts, existed = folder / DOWNLOAD_FOLDER, folder.exists()
    try:
        parts.mkdir(parents=True, exist_ok=True)
        lock = (parts / LOCK_FILE).open("w")
    except OSError as error:
        raise StorageError(
            f"{parts} cannot be made: {error.strerror}", hint="name another place with --into"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "wait for it, or name another folder with --into"
            raise StudyInUseError(f"another process fetches into {folder}", hint=hint) from error
        write_json(parts / STATE_FILE, {"slug": slug})
        try:
            yield parts
        except AutomlError:
            _remove_traces(folder, existed=existed)
            raise


def _remove_traces(folder: Path, *, existed: bool) -> None:
    """Leave no trace where nothing was fetched; leave everything where something was."""
    fetched = [path for path in (folder / DOWNLOAD_FOLDER).iterdir() if path.name not in (STATE_FILE, LOCK_FILE)]
    if fetched or len(list(folder.iterdir())) > 1:
        return
    shutil.rmtree(folder / DOWNLOAD_FOLDER)
    if not existed:
        folder.rmdir()


def _check_room(parts: Path, size: int, slug: str, notify: Notify) -> None:
    """Check the room for the archive, and at least as much unpacked, before the first byte is fetched."""
    n_present = sum(path.stat().st_size for path in parts.glob(f"{slug}.*"))
    n_left = max(0, size - n_present)
    _require_room(parts, n_left + size, f"{slug} with {_format_size(size)}, packed and unpacked")
    notify(f"fetching {_format_size(size)}" + (f", {_format_size(n_left)} of it still to come" if n_present else ""))


def _unpack_bundle(archive: Path, folder: Path, notify: Notify) -> tuple[int, int]:
    """Unpack the archive; return how many files and bytes. A damaged one is deleted, to be fetched anew."""
    try:
        bundle = Bundle(archive)
        with contextlib.closing(bundle):
            _require_room(folder, bundle.n_bytes, f"{archive.name} unpacked")
            bundle.unpack(folder, on_file=_UnpackingProgress(len(bundle.names), notify))
            return len(bundle.names), bundle.n_bytes
    except DataError:
        archive.unlink(missing_ok=True)
        raise


def _require_room(place: Path, n_bytes: int, subject: str) -> None:
    free = shutil.disk_usage(place).free
    if n_bytes + SPARE_BYTES > free:
        raise StorageError(
            f"{subject} needs {_format_size(n_bytes)}, but {_format_size(free)} are free at {place.resolve()}",
            hint="free some space, or name another place with --into",
        )


def _format_size(n_bytes: int) -> str:
    """Format bytes as 1.2 GB, 35 MB or 12 kB."""
    for unit, n in (("GB", 1024**3), ("MB", 1024**2)):
        if n_bytes >= n:
            return f"{n_bytes / n:.1f} {unit}"
    return f"{n_bytes / 1024:.1f} kB"


class _UnpackingProgress:
    """Report the progress of unpacking every few seconds."""

    def __init__(self, n_files: int, notify: Notify) -> None:
        self._n_files = n_files
        self._notify = notify
        self._last = time.monotonic()

    def __call__(self, n_done: int) -> None:
        if time.monotonic() - self._last >= REPORT_INTERVAL_S:
            self._last = time.monotonic()
            self._notify(f"unpacked {n_done} of {self._n_files} files")


def _make_write_error(path: Path, error: OSError) -> AutomlError:
    problem = f"{path} cannot be written: {error.strerror or error}"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return DataError(problem, hint="unpack the bundle by hand, or download it again")
    return StorageError(problem, hint="free some space or fix the permissions, then run the same command again")
