"""What the name of an image tells: whether it is one, and of which part of the competition.

A name is a path from the competition's folder with slashes, whether it leads through folders or through an archive.
Not responsible for: what is on the disk (automl.files.listing) or what an id names (automl.files.lookups).
"""

from __future__ import annotations

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# What macOS and Windows leave behind, and our own runs; hidden names are skipped too.
SKIPPED_NAMES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "automl_runs"})
ARCHIVE_SUFFIX = ".zip"


def is_image_name(name: str) -> bool:
    """Whether the name has an image extension, in any case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_junk(name: str) -> bool:
    """Whether a file or folder of that name is none of the competition's."""
    return name.startswith(".") or name in SKIPPED_NAMES


def without_suffix(name: str) -> str:
    """The name without its image extension; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def folder_of(name: str) -> str:
    """The path of the folder that a file lies in, with its slash, or "" at the top."""
    return name[: name.rfind("/") + 1]


def split_folder(name: str) -> str:
    """The path of the training or test folder that an image lies below, with its slash, or "" where there is none."""
    folders = name.split("/")[:-1]
    depth = next((depth for depth, folder in enumerate(folders, 1) if _part_named(folder) != "other"), 0)
    return "".join(f"{folder}/" for folder in folders[:depth])


def part_of(name: str) -> str:
    """ "train", "test" or "other": by the first folder on the way that begins so."""
    return next((part for folder in name.split("/")[:-1] if (part := _part_named(folder)) != "other"), "other")


def below_archive(name: str) -> str:
    """The path that a member has inside its archive; the name itself of what lies in no archive."""
    folders = name.lower().split("/")[:-1]
    depth = next((depth for depth, folder in enumerate(folders, 1) if folder.endswith(ARCHIVE_SUFFIX)), 0)
    return "/".join(name.split("/")[depth:])


def _part_named(folder: str) -> str:
    lowered = folder.lower()
    return next((part for part in ("train", "test") if lowered.startswith(part)), "other")
