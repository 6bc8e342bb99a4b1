"""A bundle unpacked: every file below one folder, none outside it, none that does not fit on the disk.

Not responsible for: archives inside the bundle, which are read where they lie (automl.files.archives), or fetching it
(automl.kaggle.downloading).
"""

from __future__ import annotations

import errno
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from automl.errors import AutomlError, DataError, StorageError, listed
from automl.files.archives import COMPRESSIONS, Archive

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
