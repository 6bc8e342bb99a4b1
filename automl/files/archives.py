"""Read the members of .zip archives in place: nothing is unpacked to the disk.

A member of an archive is named as `unzip` would name it. An archive that may be made to do harm (a name that leads out,
a few kilobytes that become gigabytes) is refused.
"""

from __future__ import annotations

import os
import stat
import threading
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.image_names import is_junk

MAX_MEMBER_BYTES = 2 * 1024**3  # a table of pixels may have hundreds of megabytes, an image never
# Text of zeros shrinks to a fiftieth, deflate can do no more than a thousandth: in between, a large one is a bomb.
MAX_RATIO, RATIO_MATTERS_BYTES = 200, 64 * 1024**2
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # bzip2 and LZMA cannot be stopped at a size
_OPEN_LOCK = threading.Lock()


class Archive:
    """The files in an open .zip archive, for any number of threads.

    Attributes:
        names: of all files by their path in the archive, in its order; hidden ones and other systems' litter left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._zip = _open_zip(path)
        self._members = _index_members(path, self._zip.infolist())
        self.names = tuple(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str, *, at_most: int | None = None) -> bytes:
        """Read a member and check its checksum; its first bytes where at_most is given.

        Raises:
            DataError: there is no such member, or it is encrypted, damaged, too large, or compressed in another way.
        """
        member = self._members.get(name)
        if member is None:
            raise DataError(
                f"{self.path.name} has no member {join_names([name])}", hint="restore the archive as it was downloaded"
            )
        _require_readable(self.path, name, member)
        n_bytes = member.file_size + 1 if at_most is None else at_most  # never -1: it would not stop at the size
        try:
            with self._lock, self._zip.open(member) as file:
                content = file.read(n_bytes)
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            ValueError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise _make_damaged_error(self.path, name, error) from error
        if at_most is None and len(content) != member.file_size:
            raise _make_damaged_error(self.path, name, EOFError(f"{len(content)} of {member.file_size} bytes"))
        return content


def open_archive(path: Path) -> Archive:
    """Open the archive at path, once in this process until the file changes.

    Raises:
        DataError: it is no .zip archive that can be read.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _make_unreadable_error(path, getattr(error, "strerror", None) or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise _make_unreadable_error(path, "it is no file")
    with _OPEN_LOCK:
        return _open_cached(path, status.st_size, status.st_mtime_ns, os.getpid())


@lru_cache(maxsize=32)
def _open_cached(path: Path, size: int, changed_ns: int, pid: int) -> Archive:
    """Open an archive; a changed file or a forked process, which must not share a file position, opens it anew."""
    return Archive(path)


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except UnicodeDecodeError as error:
        raise _make_unreadable_error(path, "names in it are not UTF-8 text") from error
    except Exception as error:  # a damaged directory of members makes it trip over anything
        raise _make_unreadable_error(path, str(error) or type(error).__name__) from error


def _index_members(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    named = ((_normalize_name(path, member), member) for member in members if _is_file(member))
    return {name: member for name, member in named if not any(is_junk(part) for part in name.split("/"))}


def _is_file(member: zipfile.ZipInfo) -> bool:
    return not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16)


def _normalize_name(path: Path, member: zipfile.ZipInfo) -> str:
    """Return the path of a member with slashes.

    Raises:
        DataError: it is absolute, leads out of the archive or holds a NUL.
    """
    name = _decode_name(member).replace("\\", "/")  # as Windows' own tools write it
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name or not parts:
        raise DataError(
            f"{path.name} holds a member whose name leads out of it: {join_names([name])}",
            hint="download the archive again from the competition's page",
        )
    return "/".join(parts)


def _decode_name(member: zipfile.ZipInfo) -> str:
    """Decode a member's name: many tools write UTF-8 without a flag, and zipfile takes the bytes for code page 437.

    Source: APPNOTE.TXT 6.3.10, appendix D (bit 11 of the flags says that a name is UTF-8).
    """
    name = member.orig_filename
    if name.isascii() or member.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _require_readable(path: Path, name: str, member: zipfile.ZipInfo) -> None:
    ratio = member.file_size / max(1, member.compress_size)
    if member.flag_bits & 0x1:
        problem = "is encrypted"
    elif member.compress_type not in COMPRESSIONS:
        problem = f"is compressed by method {member.compress_type}, not by deflate"
    elif member.file_size > MAX_MEMBER_BYTES:
        problem = f"has {member.file_size} bytes, more than {MAX_MEMBER_BYTES // 1024**3} GB"
    elif member.file_size > RATIO_MATTERS_BYTES and ratio > MAX_RATIO:
        problem = f"would grow from {member.compress_size} to {member.file_size} bytes, as a bomb does"
    else:
        return
    raise DataError(f"{path.name}: member {join_names([name])} {problem}", hint=f"unpack {path.name} beside it")


def _make_damaged_error(path: Path, name: str, error: Exception) -> DataError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return DataError(
        f"{path.name}: member {join_names([name])} is damaged ({reason})", hint="download the archive again"
    )


def _make_unreadable_error(path: Path, reason: str) -> DataError:
    return DataError(
        f"{join_names([path.name])} is no archive that can be read: {' '.join(reason.split())}",
        hint="download it again, or unpack it beside itself and move it away",
    )
