"""Whether images are still those that they were, without reading them.

Not responsible for: what is kept of them (automl.data.cache).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from automl.artifacts import digest_of
from automl.errors import DataError, listed
from automl.files.addresses import files_behind


def fingerprint_of(root: Path, paths: Sequence[Path | None], *, rules: str) -> str:
    """Of names, sizes and times of change: a changed image, archive or table has another one.

    Args:
        root: above all paths.
        paths: addresses; None for images that nobody can read.
        rules: of what is made of the images.

    Raises:
        DataError: images are gone; it names some.
    """
    parts, missing = [rules], []
    start = len((root / "x").as_posix()) - 1  # a slice, as Path.relative_to takes seconds for many images
    stamps: dict[Path, str | None] = {}
    for path in paths:
        if path is None:
            parts.append("")
            continue
        files = files_behind(path)
        for file in files:
            if file not in stamps:
                stamps[file] = _stamp(file)
        stamped = [stamp for file in files if (stamp := stamps[file]) is not None]
        if len(stamped) < len(files):
            missing.append(path)
        parts.append(" ".join([path.as_posix()[start:], *stamped]))
    if missing:
        names = [path.as_posix()[start:] for path in missing]
        raise DataError(
            f"{len(missing)} of {len(paths)} images are gone: {listed(names)}",
            hint="restore them, or begin another study with --study",
        )
    return digest_of(parts)


def _stamp(file: Path) -> str | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}"
