"""List the images in a competition's folder and in the archives at its top, by name alone.

Files that may hold images but cannot be read are counted, and it is said what to convert them to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from automl.errors import DataError, join_names
from automl.files.addresses import read_bytes
from automl.files.archives import Archive
from automl.files.image_formats import (
    DOUBLE_SUFFIXES,
    IMAGE_SUFFIXES,
    JSON_ARRAYS,
    JSON_URLS,
    UNREAD_FORMATS,
    find_unread_format,
)
from automl.files.image_names import (
    ARCHIVE_SUFFIX,
    get_folder,
    get_split,
    get_split_folder,
    is_image_name,
)
from automl.files.listing import open_top_archives, walk
from automl.files.tables import find_documents

PEEKED_BYTES = 65_536
URL = re.compile(rb'"url"\s*:\s*\[?\s*"https?://')
FILE_NAME_KEY = b'"file_name"'  # then the links are those of licences
NUMBERS = re.compile(
    rb"\[\s*-?[0-9][0-9.eE+-]*\s*(,\s*-?[0-9][0-9.eE+-]*\s*){63}"
)  # 64 in a row: no box, no list of ids


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """The images below root by their relative POSIX names, sorted, split by the folder they lie in.

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
    def train_location(self) -> str:
        """Where training images are looked for, in words."""
        return _describe_folders(self.train or self.other)

    @property
    def test_location(self) -> str:
        """Where test images are looked for, in words."""
        return _describe_folders(self.test or self.other)

    @property
    def unread_hint(self) -> str | None:
        """How to convert or unpack the files that are not read, in one line; None where there are none."""
        return _suggest_conversion(self.unread, self.unread_examples) if self.unread else None


def find_images(root: Path) -> ImageFiles:
    """Find the images below a folder, whatever the case of their extensions; hidden files and our own are left out.

    Images in an archive at the top are found as if its name were a folder's, unless they are unpacked beside it.

    Raises:
        DataError: a folder or an archive cannot be read, a link leads out of root, or a name cannot be kept as text.
    """
    on_disk = [name for name in walk(root, _is_relevant) if not _is_top_archive(name)]
    unpacked, packed, notes = set(on_disk), [], []
    for archive in open_top_archives(root):
        members, left_out = _separate_unpacked(
            [name for name in archive.names if _is_relevant(name)], archive, unpacked
        )
        packed += [f"{archive.path.name}/{member}" for member in members]
        if left_out:
            notes.append(_describe_unpacked(archive, left_out))
    names = [*on_disk, *packed]
    images = sorted(name for name in names if is_image_name(name))
    _require_plain_text(images)
    counts, examples = _count_unread(name for name in names if not is_image_name(name))
    if not images:
        _count_documents(root, counts, examples)
    if counts:
        notes.append(f"images: not read: {_describe_unread(counts)}")
    return ImageFiles(root=root, **_group_by_split(images), unread=counts, unread_examples=examples, notes=tuple(notes))


def require_images(files: ImageFiles) -> None:
    """Require at least one image.

    Raises:
        DataError: there is no image; it says what was seen instead, and what to convert to which names or to unpack.
    """
    if not files.n_images:
        raise _make_no_images_error(files.root, files.unread, files.unread_examples)


def _is_relevant(name: str) -> bool:
    return is_image_name(name) or find_unread_format(name) is not None


def _is_top_archive(name: str) -> bool:
    return "/" not in name and name.lower().endswith(ARCHIVE_SUFFIX)


def _separate_unpacked(
    members: Sequence[str], archive: Archive, unpacked: set[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """Separate the members to take from those that are unpacked on the disk, by the folder they are unpacked to.

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


def _describe_unpacked(archive: Archive, left_out: Mapping[str, Sequence[str]]) -> str:
    n_files = sum(len(members) for members in left_out.values())
    folders = join_names(sorted(left_out))
    return f"images: {folders} taken, and {n_files} files of {archive.path.name}, unpacked there, left out"


def _count_unread(names: Iterable[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Count the unread files by suffix, and name the first of each."""
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for name in names:
        suffix = find_unread_format(name)
        if suffix is not None:
            counts[suffix] = counts.get(suffix, 0) + 1
            examples[suffix] = min(name, examples.get(suffix, name))
    return counts, examples


def _count_documents(root: Path, counts: dict[str, int], examples: dict[str, str]) -> None:
    """Count the JSON files that stand for images, which only matters where there are none."""
    for name, path in find_documents(root).items():
        file_format = _detect_json_format(path)
        if file_format is not None:
            counts[file_format] = counts.get(file_format, 0) + 1
            examples.setdefault(file_format, name)


def _detect_json_format(path: Path) -> str | None:
    """Return the key in UNREAD_FORMATS of a JSON file whose records hold links or pixels, by its first bytes."""
    head = read_bytes(path, at_most=PEEKED_BYTES)
    if URL.search(head) and FILE_NAME_KEY not in head:
        return JSON_URLS
    return JSON_ARRAYS if NUMBERS.search(head) else None


def _describe_unread(unread: Mapping[str, int]) -> str:
    """Describe unread files by suffix: "3 .dcm (DICOM), 1 .7z (7-Zip archive)"."""
    return ", ".join(
        f"{unread[suffix]} {suffix} ({UNREAD_FORMATS[suffix].name})" for suffix in _order_by_weight(unread)
    )


def _suggest_conversion(unread: Mapping[str, int], examples: Mapping[str, str]) -> str:
    """Return what to do so that these files can be read, in one line; archives first, as they may hold the rest."""
    suffix = _order_by_weight(unread)[0]
    file = examples[suffix]
    stem = file[: -len(suffix)] if suffix in DOUBLE_SUFFIXES else str(PurePosixPath(file).with_suffix(""))
    shown = {"file": file, "stem": stem, "folder": get_folder(file)}
    return UNREAD_FORMATS[suffix].advice.format(**{key: join_names([text]) for key, text in shown.items()})


def _make_no_images_error(root: Path, unread: Mapping[str, int], examples: Mapping[str, str]) -> DataError:
    """Build the error for a folder in which no image was found: what was seen instead, and what to do about it."""
    if not unread:
        return DataError(
            f"{root} holds no images ({', '.join(IMAGE_SUFFIXES)})",
            hint="give the competition's folder, with its archives unpacked",
        )
    return DataError(
        f"{root} holds no images that can be read, but {_describe_unread(unread)}",
        hint=_suggest_conversion(unread, examples),
    )


def _order_by_weight(unread: Mapping[str, int]) -> Sequence[str]:
    return sorted(unread, key=lambda suffix: (not UNREAD_FORMATS[suffix].is_archive, -unread[suffix], suffix))


def _group_by_split(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    names_by_split: dict[str, list[str]] = {"train": [], "test": [], "other": []}
    part_of_folder: dict[str, str] = {}
    for name in names:
        folder = get_folder(name)
        part = part_of_folder.get(folder)
        if part is None:
            part = part_of_folder[folder] = get_split(name)
        names_by_split[part].append(name)
    return {part: tuple(members) for part, members in names_by_split.items()}


def _require_plain_text(names: Sequence[str]) -> None:
    """Require names that CSV and JSON files can hold as ids: UTF-8 without a carriage return."""
    odd = [name for name in names if "\r" in name or not (name.isascii() or _is_utf8(name))]
    if odd:
        raise DataError(
            f"the file names of {len(odd)} images are not UTF-8 text: {join_names(odd)}",
            hint="rename or remove these files",
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _describe_folders(names: Sequence[str]) -> str:
    example_of = {get_folder(name): name for name in names}
    folders = sorted({get_split_folder(name) or name.rpartition("/")[0] for name in example_of.values()})
    shown = [f"{folder.rstrip('/')}/" if folder else "the folder" for folder in folders]
    return join_names(shown) if 1 <= len(shown) <= 2 else "the folder"
