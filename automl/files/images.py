"""The images in a competition's folder and in the archives at its top, by name.

Only names are looked at. Not responsible for: labels, what is in a file, or which image an id names
(automl.files.image_index).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from automl.errors import DataError, listed
from automl.files.archives import Archive
from automl.files.image_names import (
    ARCHIVE_SUFFIX,
    folder_of,
    is_image_name,
    part_of,
    split_folder,
)
from automl.files.listing import top_archives, walk
from automl.files.tables import find_documents
from automl.files.unsupported import advice, counted_kinds, described, json_kind, kind_of, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """The images below root by their relative POSIX names, in sorted order, parted by the folder they lie in.

    Attributes:
        train: below a folder or in an archive whose name starts with "train".
        test: below a folder or in an archive whose name starts with "test".
        other: all the rest, those below a folder valid or val among them.
        unread: kinds of files that may hold images and cannot be read, with their counts, such as {".dcm": 3}.
        unread_examples: the first file of each of these kinds.
        notes: lines of evidence.
    """

    root: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    other: tuple[str, ...]
    unread: Mapping[str, int] = field(default_factory=dict)
    unread_examples: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def n_images(self) -> int:
        return len(self.train) + len(self.test) + len(self.other)

    @property
    def train_place(self) -> str:
        """Where training images are looked for, in words."""
        return _place(self.train or self.other)

    @property
    def test_place(self) -> str:
        """Where test images are looked for, in words."""
        return _place(self.test or self.other)

    @property
    def unread_advice(self) -> str | None:
        """What to do so that the unread files can be read, in one line for a hint; None where there are none."""
        return advice(self.unread, self.unread_examples) if self.unread else None


def find_images(root: Path) -> ImageFiles:
    """The images below a folder, whatever the case of their extensions; hidden files and our own are left out.

    Images in an archive at the top are found as if its name were a folder's, unless they are unpacked beside it.

    Raises:
        DataError: a folder or an archive cannot be read, a link leads out of root, or a name cannot be kept as text.
    """
    on_disk = [name for name in walk(root, _matters) if not _is_top_archive(name)]
    unpacked, packed, notes = set(on_disk), [], []
    for archive in top_archives(root):
        members, left_out = _parted_by_unpacked([name for name in archive.names if _matters(name)], archive, unpacked)
        packed += [f"{archive.path.name}/{member}" for member in members]
        if left_out:
            notes.append(_unpacked_note(archive, left_out))
    names = [*on_disk, *packed]
    images = sorted(name for name in names if is_image_name(name))
    _require_plain_text(images)
    counts, examples = counted_kinds(name for name in names if not is_image_name(name))
    if not images:
        _count_documents(root, counts, examples)
    if counts:
        notes.append(f"images: not read: {described(counts)}")
    return ImageFiles(root=root, **_parted(images), unread=counts, unread_examples=examples, notes=tuple(notes))


def require_images(files: ImageFiles) -> None:
    """Raises:
    DataError: there is no image; it says what was seen instead, and what to convert to which names or to unpack.
    """
    if not files.n_images:
        raise refusal(files.root, files.unread, files.unread_examples)


def _matters(name: str) -> bool:
    return is_image_name(name) or kind_of(name) is not None


def _is_top_archive(name: str) -> bool:
    return "/" not in name and name.lower().endswith(ARCHIVE_SUFFIX)


def _parted_by_unpacked(
    members: Sequence[str], archive: Archive, unpacked: set[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """The members to take, and those left out by the folder they are unpacked to.

    What an archive has in one folder at its top is taken for unpacked where one of these files lies beside the archive
    or in the folder of its name.
    """
    own_folder = archive.path.name[: -len(ARCHIVE_SUFFIX)] + "/"
    folder_of_group: dict[str, str] = {}
    for member in members:
        first = member.partition("/")[0] if "/" in member else ""
        if first not in folder_of_group and own_folder + member in unpacked:
            folder_of_group[first] = own_folder
        elif first not in folder_of_group and member in unpacked:
            folder_of_group[first] = f"{first}/" if first else "the folder"
    taken: list[str] = []
    left_out: dict[str, list[str]] = {}
    for member in members:
        group = folder_of_group.get(member.partition("/")[0] if "/" in member else "")
        (taken if group is None else left_out.setdefault(group, [])).append(member)
    return taken, left_out


def _unpacked_note(archive: Archive, left_out: Mapping[str, Sequence[str]]) -> str:
    n_files = sum(len(members) for members in left_out.values())
    folders = listed(sorted(left_out))
    return f"images: {folders} taken, and {n_files} files of {archive.path.name}, unpacked there, left out"


def _count_documents(root: Path, counts: dict[str, int], examples: dict[str, str]) -> None:
    """Count the JSON files that stand for images, which only matters where there are none."""
    for name, path in find_documents(root).items():
        kind = json_kind(path)
        if kind is not None:
            counts[kind] = counts.get(kind, 0) + 1
            examples.setdefault(kind, name)


def _parted(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    parted: dict[str, list[str]] = {"train": [], "test": [], "other": []}
    part_of_folder: dict[str, str] = {}
    for name in names:
        folder = folder_of(name)
        part = part_of_folder.get(folder)
        if part is None:
            part = part_of_folder[folder] = part_of(name)
        parted[part].append(name)
    return {part: tuple(members) for part, members in parted.items()}


def _require_plain_text(names: Sequence[str]) -> None:
    """Names become ids in CSV and JSON files, which hold no other bytes than UTF-8 and confuse a carriage return."""
    odd = [name for name in names if "\r" in name or not (name.isascii() or _is_utf8(name))]
    if odd:
        raise DataError(
            f"the file names of {len(odd)} images are not UTF-8 text: {listed(odd)}",
            hint="rename or remove these files",
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _place(names: Sequence[str]) -> str:
    example_of = {folder_of(name): name for name in names}
    folders = sorted({split_folder(name) or name.rpartition("/")[0] for name in example_of.values()})
    shown = [f"{folder.rstrip('/')}/" if folder else "the folder" for folder in folders]
    return listed(shown) if 1 <= len(shown) <= 2 else "the folder"
