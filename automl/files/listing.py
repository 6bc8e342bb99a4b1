"""List a competition's folder: its files in one pass, and the archives at its top.

Only names are read, and links lead out of the folder only where the user allows it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.archives import Archive, open_archive
from automl.files.evidence import format_warning
from automl.files.image_names import ARCHIVE_SUFFIX, is_junk

NameFilter = Callable[[str], bool]
FIRST_OF_SPLIT = ".z01"  # beside a .zip that cannot be opened without it
HUB_FOLDER = "blobs"  # where the Hugging Face hub's cache holds what its snapshots link to
OWN_FOLDERS = frozenset({"automl_runs", "__pycache__"})  # what lies there is no data that someone may miss
# Endings that browsers and download managers give to what is not there yet, as in a.jpg.crdownload.
UNFINISHED = re.compile(r".+\.\w+\.(?:crdownload|part|partial|filepart|download|opdownload|incomplete|aria2|tmp)", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files below a folder that are wanted by their names, and what was left out.

    Attributes:
        names: with slashes, in no order.
        litter: number of wanted files in folders that systems leave behind, by the folder's name.
        unfinished: files of downloads that did not end.
        dangling: links that lead to nothing.
    """

    names: tuple[str, ...]
    litter: Mapping[str, int] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    dangling: tuple[str, ...] = ()

    def describe(self, subject: str = "images") -> list[str]:
        """Describe what was left out, in lines of evidence about that subject."""
        lines = []
        if self.litter:
            folders = [f"{name}/ ({n} file{'s' * (n > 1)})" for name, n in sorted(self.litter.items())]
            lines.append(f"{subject}: left out as litter: {join_names(folders)}")
        if self.unfinished:
            n, noun = len(self.unfinished), "download" if len(self.unfinished) == 1 else "downloads"
            lines.append(format_warning(f"{subject}: {n} unfinished {noun} left out: {join_names(self.unfinished)}"))
        if self.dangling:
            n, noun = len(self.dangling), "link leads" if len(self.dangling) == 1 else "links lead"
            lines.append(format_warning(f"{subject}: {n} {noun} to no file: {join_names(self.dangling)}"))
        return lines


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder to list.

    Attributes:
        below: its path from the root, with its slash, or "".
        real: where it lies on the disk.
        bases: the root, and the targets of the links that led here; what they hold is listed anyway.
    """

    below: str
    real: Path
    bases: tuple[Path, ...]


def list_files(root: Path, wanted: NameFilter, *, follow_links: bool = False) -> Listing:
    """List the files below root that are wanted by name, and what was left out.

    Raises:
        DataError: a folder cannot be read, or a link to a wanted file or to a folder leads out of root and links are
            not to be followed.
    """
    names, unfinished, dangling = [], [], []
    litter: Counter[str] = Counter()
    waiting = [_Place("", root, (root.resolve(),))]
    while waiting:
        place = waiting.pop()
        for entry in _list_entries(place.real):
            name = place.below + entry.name
            if is_junk(entry.name):
                if entry.name.lower() not in OWN_FOLDERS and not entry.name.startswith("."):
                    litter[entry.name] += _count_litter(entry, wanted)
            elif entry.is_symlink():
                target = _resolve_link(root, name, Path(entry.path), wanted(entry.name), place.bases, follow_links)
                if target is None and (wanted(entry.name) or "." not in entry.name):
                    dangling.append(name)
                elif target is not None and target.is_dir():
                    if not _overlaps(target, place.bases):
                        waiting.append(_Place(f"{name}/", target, (*place.bases, target)))
                elif target is not None and wanted(entry.name) and target.is_file():
                    names.append(name)
            elif entry.is_dir():
                waiting.append(_Place(f"{name}/", place.real / entry.name, place.bases))
            elif wanted(entry.name) and entry.is_file():
                names.append(name)
            elif UNFINISHED.fullmatch(entry.name):
                unfinished.append(name)
    return Listing(
        names=tuple(names),
        litter={name: n for name, n in litter.items() if n},
        unfinished=tuple(sorted(unfinished)),
        dangling=tuple(sorted(dangling)),
    )


def walk(root: Path, wanted: NameFilter, *, follow_links: bool = False) -> Iterator[str]:
    """Iterate over the paths below root of the files that are wanted by name, with slashes, in no order.

    Raises:
        DataError: as for `list_files`.
    """
    return iter(list_files(root, wanted, follow_links=follow_links).names)


def list_plain_files(folder: Path) -> list[str]:
    """List the names of the files in a folder that are no links and no litter; none where there is no such folder."""
    if not folder.is_dir():  # as that of an archive's members
        return []
    return [entry.name for entry in _list_entries(folder) if not is_junk(entry.name) and _is_plain_file(entry)]


def _is_plain_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) and not UNFINISHED.fullmatch(entry.name)


def list_top_files(root: Path, suffixes: tuple[str, ...], *, follow_links: bool = False) -> list[str]:
    """List the files at the top of root that end in one of the suffixes, in any case, sorted.

    Raises:
        DataError: the folder cannot be read, or one of these files is a link that leads out of it, and links are not
            to be followed.
    """
    entries = (
        entry for entry in _list_entries(root) if not is_junk(entry.name) and entry.name.lower().endswith(suffixes)
    )
    return sorted(entry.name for entry in entries if _is_top_file(root, entry, follow_links))


def open_top_archives(root: Path, *, follow_links: bool = False) -> list[Archive]:
    """Open the .zip archives at the top of root; parts of split ones, and damaged but unpacked ones, are left out.

    Raises:
        DataError: an archive cannot be read, and nothing by its name without .zip lies beside it.
    """
    names = list_top_files(root, (ARCHIVE_SUFFIX,), follow_links=follow_links)
    firsts = list_top_files(root, (FIRST_OF_SPLIT,), follow_links=follow_links)
    split = {name[: -len(FIRST_OF_SPLIT)].lower() for name in firsts}
    opened = (_open_unless_unpacked(root, name) for name in names if name[: -len(ARCHIVE_SUFFIX)].lower() not in split)
    return [archive for archive in opened if archive is not None]


def _open_unless_unpacked(root: Path, name: str) -> Archive | None:
    try:
        return open_archive(root / name)
    except DataError:
        if (root / name[: -len(ARCHIVE_SUFFIX)]).exists():
            return None
        raise


def _list_entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read: {error.strerror or error}", hint="give the competition's folder"
        ) from error


def _count_litter(entry: os.DirEntry[str], wanted: NameFilter) -> int:
    """Count the wanted files in a folder that is litter, as far as it may be read."""
    if not entry.is_dir(follow_symlinks=False):
        return 0
    return sum(1 for _, _, names in os.walk(entry.path) for name in names if wanted(name) and not is_junk(name))


def _is_top_file(root: Path, entry: os.DirEntry[str], follow_links: bool) -> bool:
    if not entry.is_symlink():
        return entry.is_file()
    target = _resolve_link(root, entry.name, Path(entry.path), True, (root.resolve(),), follow_links)
    return target is not None and target.is_file()


def _resolve_link(
    root: Path, name: str, link: Path, is_wanted: bool, bases: tuple[Path, ...], follow_links: bool
) -> Path | None:
    """Return what a link leads to; None where that is nothing.

    Raises:
        DataError: it leads out of root, to a wanted file or to a folder, and links are not to be followed.
    """
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # dangling or looping: RuntimeError is pathlib's word for a loop
        return None
    matters = (is_wanted and target.is_file()) or target.is_dir()
    if matters and not follow_links and not target.is_relative_to(bases[0]):
        raise _make_link_error(root, name, target)
    return target


def _overlaps(target: Path, bases: tuple[Path, ...]) -> bool:
    """Whether what a linked folder holds is listed by another name, or it holds what led to it, and so has no end."""
    return any(target.is_relative_to(base) or base.is_relative_to(target) for base in bases)


def _make_link_error(root: Path, name: str, target: Path) -> DataError:
    problem = f"{join_names([name])} is a link that leads out of {root}, to {target}"
    if target.parent.name == HUB_FOLDER:
        return DataError(
            f"{problem}: the folder is a snapshot in the cache of the Hugging Face hub",
            hint="pass --follow-links to read what its links lead to, or download it with --local-dir FOLDER",
        )
    return DataError(
        problem, hint="pass --follow-links to read what links lead to, or put the files themselves into the folder"
    )
