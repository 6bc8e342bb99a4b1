"""Tell from a file's name whether it is an image, and whether it is of the training or the test set.

A name is a path from the competition's folder with slashes, whether it leads through folders or through an archive.
"""

from __future__ import annotations

import re

from automl.files.image_formats import IMAGE_SUFFIXES

# What macOS and Windows leave behind, and our own runs; hidden names are skipped too.
SKIPPED_NAMES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "automl_runs"})
ARCHIVE_SUFFIX = ".zip"
SPLIT_WORD = re.compile(
    r"(?:^|[^a-zA-Z]|(?<=[a-z])(?=T))((?i:train|test))"
)  # as in seg_train and ImagesTest, not latest


def is_image_name(name: str) -> bool:
    """Whether the name has an image extension, in any case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or left by an operating system or by automl's own runs."""
    return name.startswith(".") or name in SKIPPED_NAMES


def strip_suffix(name: str) -> str:
    """Return the name without its image extension; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in IMAGE_SUFFIXES else name


def get_folder(name: str) -> str:
    """Return the path of the folder that a file lies in, with its slash, or "" at the top."""
    return name[: name.rfind("/") + 1]


def get_split_folder(name: str) -> str:
    """Return the path of the training or test folder above an image, with its slash, or "" where there is none."""
    return "".join(f"{folder}/" for folder in name.split("/")[: _count_split_folders(name)])


def get_split(name: str) -> str:
    """Return "train", "test" or "other", by the first folder that begins so or, at the top, has such a word."""
    depth = _count_split_folders(name)
    return _find_split_word(name.split("/")[depth - 1]) if depth else "other"


def is_test_name(name: str) -> bool:
    """Whether a table or document is named as one of the test: test.csv, sales_test2.csv, but not latest.csv."""
    return _find_split_word(name) == "test"


def strip_archive(name: str) -> str:
    """Return the path that a member has inside its archive; the name itself of what lies in no archive."""
    folders = name.lower().split("/")[:-1]
    depth = next((depth for depth, folder in enumerate(folders, 1) if folder.endswith(ARCHIVE_SUFFIX)), 0)
    return "/".join(name.split("/")[depth:])


def _count_split_folders(name: str) -> int:
    """Count the folders down to the training or test folder, itself included; 0 where there is none.

    Below the top the word must come first: a folder such as toy_train is a class there.
    """
    at_top = True
    for depth, folder in enumerate(name.split("/")[:-1], 1):
        if folder.lower().startswith(("train", "test")) or (at_top and SPLIT_WORD.search(folder)):
            return depth
        at_top = at_top and folder.lower().endswith(ARCHIVE_SUFFIX)
    return 0


def _find_split_word(name: str) -> str:
    match = SPLIT_WORD.search(name)
    return match[1].lower() if match else "other"
