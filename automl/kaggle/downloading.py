"""A competition's files fetched and unpacked, so that the same command goes on wherever an earlier one was cut short.

All is in the folder itself: what is fetched lies in a hidden folder in it until it is unpacked, beside a note of what
the folder is for. A folder that holds anything else is left alone. Not responsible for: resuming a transfer, which the
client does (automl.kaggle.client).
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
from automl.errors import AutomlError, DataError, StorageError, StudyInUseError, UsageError, listed
from automl.files.archives import COMPRESSIONS, Archive
from automl.kaggle.client import Kaggle

CHUNK_BYTES = 1024**2


class Bundle(Archive):
    """A competition's archive as Kaggle sends it.

    Its members are written as they are read, so that they may be as large as the disk; names that lead out of it are
    refused when it is opened, links and other systems' litter are left out.
    """

    @property
    def n_bytes(self) -> int:
        """What all files take once they are unpacked."""
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
                raise _not_written(folder / name, error) from error
            on_file(n_done)

    def close(self) -> None:
        self._zip.close()

    def _write(self, name: str, target: Path) -> None:
        member = self._members[name]
        if member.flag_bits & 0x1 or member.compress_type not in COMPRESSIONS:
            raise self._unfit(name, "is encrypted or compressed in an unusual way")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._zip.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, CHUNK_BYTES)  # checks the checksum at the end, stops at the size
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise self._unfit(name, f"is damaged ({type(error).__name__})") from error

    def _unfit(self, name: str, what: str) -> DataError:
        hint = "run the same command again to fetch it anew"
        return DataError(f"{self.path.name}: member {listed([name])} {what}", hint=hint)


def _not_written(path: Path, error: OSError) -> AutomlError:
    problem = f"{path} cannot be written: {error.strerror or error}"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return DataError(problem, hint="unpack the bundle by hand, or download it again")
    return StorageError(problem, hint="free some space or mend the permissions, then run the same command again")


HIDDEN = ".automl-download"  # hidden names are no part of a competition: automl.files.image_names
NOTE_FILE, LOCK_FILE = "download.json", "lock"
SPARE_BYTES = 100 * 1024**2  # a disk that is full to the last byte breaks what else runs
TOLD_EVERY_S = 10.0
Note = Callable[[str], None]


def download_competition(slug: str, folder: Path, sign_in: Callable[[], Kaggle], *, note: Note) -> None:
    """Have the competition's files in the folder.

    Raises:
        UsageError: something else is in the folder; or there is no such competition.
        UnfitEnvironmentError: Kaggle, the network or the credentials.
        DataError: the bundle is damaged, or would write outside the folder.
        StorageError: the disk.
    """
    state = _state(folder, slug)
    if state.get("finished"):
        note(f"{folder} holds {slug} since {state['finished'][:10]}: {state['n_files']} files; nothing was fetched")
        return
    with _claimed(folder, slug) as parts:
        archive = sign_in().download(slug, parts, check_room=lambda size: _check_room(parts, size, slug, note))
        n_files, n_bytes = _unpacked(archive, folder, note)
        finished = {"finished": datetime.now(UTC).isoformat(), "n_files": n_files, "n_bytes": n_bytes}
        write_json(parts / NOTE_FILE, {"slug": slug, **finished})
        archive.unlink()
    note(f"wrote {folder}: {n_files} files, {_size(n_bytes)}")


def _state(folder: Path, slug: str) -> dict[str, Any]:
    """What an earlier download of the same competition has noted; empty for a folder that may be made or filled.

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
    state = read_json(folder / HIDDEN / NOTE_FILE) if (folder / HIDDEN / NOTE_FILE).is_file() else {}
    if not isinstance(state, dict) or state.get("slug") != slug:
        what = f"holds {state['slug']}" if isinstance(state, dict) and "slug" in state else "is not empty"
        raise UsageError(f"{folder} {what}: it is left as it is", hint="name another folder with --into")
    return state


@contextlib.contextmanager
def _claimed(folder: Path, slug: str) -> Iterator[Path]:
    """The hidden folder, marked and locked; gone again where nothing came.

    Raises:
        StudyInUseError: another process fetches into it.
        StorageError: it cannot be made.
    """
    parts, was_there = folder / HIDDEN, folder.exists()
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
        write_json(parts / NOTE_FILE, {"slug": slug})
        try:
            yield parts
        except AutomlError:
            _give_up(folder, was_there=was_there)
            raise


def _give_up(folder: Path, *, was_there: bool) -> None:
    """Leave no trace where nothing was fetched; leave everything where something was."""
    fetched = [path for path in (folder / HIDDEN).iterdir() if path.name not in (NOTE_FILE, LOCK_FILE)]
    if fetched or len(list(folder.iterdir())) > 1:
        return
    shutil.rmtree(folder / HIDDEN)
    if not was_there:
        folder.rmdir()


def _check_room(parts: Path, size: int, slug: str, note: Note) -> None:
    """Refuse before the first byte what would fill the disk: the bundle, and at least as much once it is unpacked."""
    n_present = sum(path.stat().st_size for path in parts.glob(f"{slug}.*"))
    n_left = max(0, size - n_present)
    _require_room(parts, n_left + size, f"{slug} with {_size(size)}, packed and unpacked")
    note(f"fetching {_size(size)}" + (f", {_size(n_left)} of it still to come" if n_present else ""))


def _unpacked(archive: Path, folder: Path, note: Note) -> tuple[int, int]:
    """How many files and bytes the archive held; an archive that is of no use is deleted, to be fetched anew."""
    try:
        bundle = Bundle(archive)
        with contextlib.closing(bundle):
            _require_room(folder, bundle.n_bytes, f"{archive.name} unpacked")
            bundle.unpack(folder, on_file=_Ticker(len(bundle.names), note))
            return len(bundle.names), bundle.n_bytes
    except DataError:
        archive.unlink(missing_ok=True)
        raise


def _require_room(place: Path, n_bytes: int, what: str) -> None:
    free = shutil.disk_usage(place).free
    if n_bytes + SPARE_BYTES > free:
        raise StorageError(
            f"{what} needs {_size(n_bytes)}, but {_size(free)} are free at {place.resolve()}",
            hint="free some space, or name another place with --into",
        )


def _size(n_bytes: int) -> str:
    """1.2 GB, 35 MB or 12 kB."""
    for unit, n in (("GB", 1024**3), ("MB", 1024**2)):
        if n_bytes >= n:
            return f"{n_bytes / n:.1f} {unit}"
    return f"{n_bytes / 1024:.1f} kB"


class _Ticker:
    """Tells of long unpacking now and then."""

    def __init__(self, n_files: int, note: Note) -> None:
        self._n_files = n_files
        self._note = note
        self._last = time.monotonic()

    def __call__(self, n_done: int) -> None:
        if time.monotonic() - self._last >= TOLD_EVERY_S:
            self._last = time.monotonic()
            self._note(f"unpacked {n_done} of {self._n_files} files")
