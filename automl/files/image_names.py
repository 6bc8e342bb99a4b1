"""What the name of a file tells: whether it is an image, and of which part of the competition.

A name is a path from the competition's folder with slashes, whether it leads through folders or through an archive.
Not responsible for: what is on the disk (automl.files.listing) or what an id names (automl.files.image_index).
"""

from __future__ import annotations

import re

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# What macOS and Windows leave behind, and our own runs; hidden names are skipped too.
SKIPPED_NAMES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "automl_runs"})
ARCHIVE_SUFFIX = ".zip"
PART_WORD = re.compile(
    r"(?:^|[^a-zA-Z]|(?<=[a-z])(?=T))((?i:train|test))"
)  # as in seg_train and ImagesTest, not latest


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
    return "".join(f"{folder}/" for folder in name.split("/")[: _depth_of_part(name)])


def part_of(name: str) -> str:
    """ "train", "test" or "other": by the first folder on the way that begins so, or at the top has such a word."""
    depth = _depth_of_part(name)
    return _word_of_part(name.split("/")[depth - 1]) if depth else "other"


def is_of_test(name: str) -> bool:
    """Whether a table or document is called as one of the test: test.csv, sales_test2.csv, but not latest.csv."""
    return _word_of_part(name) == "test"


def below_archive(name: str) -> str:
    """The path that a member has inside its archive; the name itself of what lies in no archive."""
    folders = name.lower().split("/")[:-1]
    depth = next((depth for depth, folder in enumerate(folders, 1) if folder.endswith(ARCHIVE_SUFFIX)), 0)
    return "/".join(name.split("/")[depth:])


def _depth_of_part(name: str) -> int:
    """How many folders lead to the training or test folder and into it; 0 where there is none.

    Below the top the word must come first: a folder such as toy_train is a class there.
    """
    at_top = True
    for depth, folder in enumerate(name.split("/")[:-1], 1):
        if folder.lower().startswith(("train", "test")) or (at_top and PART_WORD.search(folder)):
            return depth
        at_top = at_top and folder.lower().endswith(ARCHIVE_SUFFIX)
    return 0


def _word_of_part(name: str) -> str:
    match = PART_WORD.search(name)
    return match[1].lower() if match else "other"
