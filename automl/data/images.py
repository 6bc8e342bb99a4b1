"""The image files below a competition's folder, and which of them an id names.

Only names are looked at. An id is never joined to a path: it either names a file that the walk found, or nothing, so
that no id can lead out of the folder. Not responsible for: labels, or what is in a file.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from automl.errors import DataError, listed

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
SKIPPED_NAMES = frozenset({"__MACOSX", "Thumbs.db", "automl_runs"})  # hidden names are skipped too


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """The images below root by their relative POSIX names, in sorted order, parted by the folder they lie in.

    Attributes:
        train: below a folder whose name starts with "train".
        test: below a folder whose name starts with "test".
        other: all the rest.
    """

    root: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    other: tuple[str, ...]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What ids name: for each id an image, or None where it is missing or ambiguous."""

    names: tuple[str | None, ...]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]  # "id (file, file)"


class ImageLookup:
    """Finds the image that an id names, in the first of several sets of images that has one.

    An id is a path from the competition's folder, else a path below the training or test folder, else a file name,
    else a file name without its extension. Unicode forms of one name are the same name.
    """

    def __init__(self, *pools: Iterable[str]) -> None:
        self._levels = [level for pool in pools if pool for level in _levels_of(pool)]

    def candidates(self, image_id: str) -> list[str]:
        """The images that the id names; more than one where it is ambiguous."""
        exact = unicodedata.normalize("NFC", image_id.strip())
        stem = without_suffix(exact)
        for is_stem, names in self._levels:
            found = names.get(stem if is_stem else exact)
            if found:
                return found
        return []

    def join(self, image_ids: Sequence[str]) -> Joined:
        """The image of each id."""
        found = [self.candidates(image_id) for image_id in image_ids]
        pairs = list(zip(image_ids, found, strict=True))
        return Joined(
            names=tuple(names[0] if len(names) == 1 else None for names in found),
            missing=tuple(image_id for image_id, names in pairs if not names),
            ambiguous=tuple(f"{image_id} ({listed(names)})" for image_id, names in pairs if len(names) > 1),
        )


def find_images(root: Path) -> ImageFiles:
    """The images below a folder, whatever the case of their extensions; hidden files and our own are left out.

    Raises:
        DataError: there is none, a folder cannot be read, a link leads out of root, or a name cannot be kept as text.
    """
    names = sorted(_walk(root, ""))
    if not names:
        raise DataError(
            f"{root} holds no images ({', '.join(IMAGE_SUFFIXES)})",
            hint="give the competition's folder, with its archives unpacked",
        )
    _require_plain_text(names)
    parted: dict[str, list[str]] = {"train": [], "test": [], "other": []}
    for name in names:
        parted[_part_of(name)].append(name)
    return ImageFiles(root=root, **{part: tuple(members) for part, members in parted.items()})


def without_suffix(name: str) -> str:
    """The name without its image extension; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def split_folder(name: str) -> str:
    """The path of the training or test folder that an image lies below, with its slash, or "" where there is none."""
    folders = name.split("/")[:-1]
    depth = next((depth for depth, folder in enumerate(folders, 1) if _kind_of(folder) != "other"), 0)
    return "".join(f"{folder}/" for folder in folders[:depth])


def _walk(root: Path, below: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(root / below))
    except OSError as error:
        raise DataError(
            f"{root / below} cannot be read: {error.strerror or error}", hint="give the competition's folder"
        ) from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name in SKIPPED_NAMES:
            continue
        relative = below + entry.name
        if entry.is_symlink():
            yield from _linked_image(root, relative)
        elif entry.is_dir():
            yield from _walk(root, f"{relative}/")
        elif _is_image_name(entry.name) and entry.is_file():
            yield relative


def _linked_image(root: Path, relative: str) -> Iterator[str]:
    """The link where it leads to an image inside root; what a linked folder holds is found under its own name."""
    link = root / relative
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # dangling or looping: RuntimeError is pathlib's word for a loop
        return
    is_image = _is_image_name(link.name) and target.is_file()
    if (is_image or target.is_dir()) and not target.is_relative_to(root):
        raise DataError(
            f"{listed([relative])} is a link that leads out of {root}, to {target}",
            hint="put the images themselves into the folder",
        )
    if is_image:
        yield relative


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _require_plain_text(names: Sequence[str]) -> None:
    """Names become ids in CSV and JSON files, which hold no other bytes than UTF-8 and confuse a carriage return."""
    odd = [name for name in names if "\r" in name or not _is_utf8(name)]
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


def _part_of(name: str) -> str:
    kinds = (_kind_of(folder) for folder in name.split("/")[:-1])
    return next((kind for kind in kinds if kind != "other"), "other")


def _kind_of(folder: str) -> str:
    lowered = folder.lower()
    return next((kind for kind in ("train", "test") if lowered.startswith(kind)), "other")


def _levels_of(pool: Iterable[str]) -> list[tuple[bool, dict[str, list[str]]]]:
    """(whether it holds names without extension, id -> images) in the order in which they are tried."""
    paths: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    stems: dict[str, list[str]] = {}
    for image in pool:
        path = unicodedata.normalize("NFC", image)
        name = PurePosixPath(path).name
        paths.setdefault(path, []).append(image)
        below.setdefault(path.removeprefix(split_folder(path)), []).append(image)
        names.setdefault(name, []).append(image)
        stems.setdefault(without_suffix(name), []).append(image)
    return [(False, paths), (False, below), (False, names), (True, stems)]


def _place(names: Sequence[str]) -> str:
    folders = sorted({split_folder(name) or name.rpartition("/")[0] for name in names})
    shown = [f"{folder.rstrip('/')}/" if folder else "the folder" for folder in folders]
    return listed(shown) if len(shown) <= 2 else "the folder"
