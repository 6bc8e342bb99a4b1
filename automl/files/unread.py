"""Tell of files that may hold images and are not read: how many, what to make of them, and which ids they bear.

An image whose file is there and is not read is never called missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from automl.errors import DataError, join_names
from automl.files.image_formats import DOUBLE_SUFFIXES, UNREAD_FORMATS, find_unread_format
from automl.files.image_names import get_folder


def count_unread(names: Iterable[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Count the unread files by suffix, and name the first of each."""
    counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    for name in names:
        suffix = find_unread_format(name)
        if suffix is not None:
            counts[suffix] = counts.get(suffix, 0) + 1
            examples[suffix] = min(name, examples.get(suffix, name))
    return counts, examples


def describe_unread(unread: Mapping[str, int]) -> str:
    """Describe unread files by suffix: "3 .dcm (DICOM), 1 .7z (7-Zip archive)"."""
    return ", ".join(
        f"{unread[suffix]} {suffix} ({UNREAD_FORMATS[suffix].name})" for suffix in _order_by_weight(unread)
    )


def suggest_conversion(unread: Mapping[str, int], examples: Mapping[str, str]) -> str:
    """Return what to do so that these files can be read, in one line; archives first, as they may hold the rest."""
    suffix = _order_by_weight(unread)[0]
    file = examples[suffix]
    stem = file[: -len(suffix)] if suffix in DOUBLE_SUFFIXES else str(PurePosixPath(file).with_suffix(""))
    shown = {"file": file, "stem": stem, "folder": get_folder(file)}
    return UNREAD_FORMATS[suffix].advice.format(**{key: join_names([text]) for key, text in shown.items()})


def _order_by_weight(unread: Mapping[str, int]) -> Sequence[str]:
    return sorted(unread, key=lambda suffix: (not UNREAD_FORMATS[suffix].is_archive, -unread[suffix], suffix))


def index_unread(names: Iterable[str]) -> dict[str, str]:
    """Index files that may hold an image and are not read by their names without extension, in lower case."""
    return {
        PurePosixPath(name).stem.lower(): name
        for name in sorted(names, reverse=True)
        if (suffix := find_unread_format(name)) is not None and not UNREAD_FORMATS[suffix].is_archive
    }


def find_unread_file(image_id: str, unread_by_stem: Mapping[str, str]) -> str | None:
    """Return the unread file that an id names, with or without extension; None where there is none."""
    name = PurePosixPath(image_id.strip().replace("\\", "/")).name.lower()
    return unread_by_stem.get(name) or unread_by_stem.get(PurePosixPath(name).stem)


def require_read(missing: Sequence[str], origin: str, unread_by_stem: Mapping[str, str]) -> None:
    """Require that ids without an image do not name files that are there and are not read.

    Args:
        missing: the ids without an image.
        origin: of the ids, such as "train.csv".
        unread_by_stem: as `automl.files.images.ImageFiles` has it.

    Raises:
        DataError: some do; it names the files, and says what to make of them.
    """
    files = [file for image_id in missing if (file := find_unread_file(image_id, unread_by_stem)) is not None]
    if not files:
        return
    counts, examples = count_unread(files)
    verb, noun = ("lies", "image") if len(files) == 1 else ("lie", "images")
    raise DataError(
        f"{origin} names {len(files)} {noun} that {verb} there and cannot be read: {join_names(files)}",
        hint=suggest_conversion(counts, examples),
        seen=[f"not read: {describe_unread(counts)}"],
    )
