"""Read labels from a folder for each class, such as train/cat/0.jpg, and tell which level of folders names the class.

Folders are classes only where their names may be those of classes: neither parts of a set, nor dates, nor patients.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename

from automl.errors import DataError, UsageError, join_names
from automl.files.evidence import format_suggestion, format_warning
from automl.files.image_names import (
    DERIVED_WORDS,
    GENERIC_WORDS,
    find_role,
    get_folder,
    is_junk,
    split_words,
    strip_suffix,
)
from automl.files.tables import format_count
from automl.readers.labels.class_names import find_doubt, find_level_doubt, is_odd_class
from automl.readers.labels.source import (
    FOLDER,
    FOLDERS,
    LabelOrigin,
    Labels,
    LabelSource,
    LayoutMismatchError,
    normalize_name,
)

MAX_STRAY_SHARE, MAX_STRAYS = 0.01, 2  # of the images may lie beside the folders of classes
Level = Sequence[str]  # (n,) the name of each image's folder


def read_folder_labels(source: LabelSource) -> Labels:
    """Read labels from a folder for each class.

    Where several levels of folders may be that of the classes, it is the one that --class-level gives, or that holds
    the sample's labels, or that alone does not look like something else.

    Raises:
        LayoutMismatchError: the training images do not lie in such folders.
        DataError: several levels of folders may be that of the classes.
        UsageError: there is no such level as --class-level gives.
    """
    source.require_no_table(FOLDERS)
    _require_no_class_called_test(source)
    folders = _sort_into_folders(source)
    levels = [[names[level] for names in folders.names] for level in range(folders.depth)]
    chosen, lines = _choose_level(levels, folders, source)
    _require_no_class_below(folders, chosen, source)
    labels, spelling_lines = _unify_spellings(levels[chosen], source)
    images = folders.images
    evidence = (
        f"labels: {len(images)} images, from the folder of each class ({join_names(images[:1])})",
        *lines,
        *spelling_lines,
        *_describe_strays(folders.strays),
        *_describe_deeper(folders),
        *_describe_holders(labels),
        *_describe_empty(folders, chosen, source),
        *describe_unused_parts(source),
    )
    return Labels(
        ids=images,
        columns=("label",),
        cells=tuple((label,) for label in labels),
        images=images,
        others=_make_groups(levels, chosen, folders),
        evidence=evidence,
        origin=LabelOrigin.FOLDERS,
        place="the folder of each image",
    )


def require_no_class_folders(read: Labels, name: str, source: LabelSource) -> None:
    """Require that folders are no labels as well, where nothing but its columns says that a file holds them.

    Raises:
        DataError: they may be, and are others.
    """
    if has_other_class_folders(read, source):
        raise DataError(
            f"the labels may be those of {name}, from {read.place}, or the folders of the images, and these differ",
            hint=f"say --labels {name} or --labels folders",
        )


def has_other_class_folders(read: Labels, source: LabelSource) -> bool:
    """Whether the images lie in folders of classes that tell others of them apart than the labels."""
    try:
        folders = read_folder_labels(source)
    except (LayoutMismatchError, DataError):
        return False
    folder_of = dict(zip(folders.images, folders.texts, strict=True))
    labelled = zip(read.images, read.cells, strict=True)
    pairs = {(folder_of[image], cells) for image, cells in labelled if image in folder_of}
    n_folders, n_labels = len({folder for folder, _ in pairs}), len({cells for _, cells in pairs})
    return not len(pairs) == n_folders == n_labels


def _require_no_class_called_test(source: LabelSource) -> None:
    """Require that a folder such as test or crash_test, beside those of classes, is plainly not a class.

    It is not where it holds folders, where its images are asked for, or where its name says nothing more.
    """
    files, requested = source.files, source.test_images
    if files.train or not files.test or not requested or source.settings.test_images:
        return
    folder = files.get_role_folder(files.test[0])
    if any(get_folder(image) != folder for image in files.test):
        return  # a folder of a class holds images alone
    words = set(split_words(folder.rstrip("/").rpartition("/")[2])) - GENERIC_WORDS
    is_named_so = source.sample.addresses is None or all(find_role(word) == "test" for word in words)
    if requested.isdisjoint(files.test) or not is_named_so:
        other = get_folder(min(requested)) or "."
        flags = "--images ." if requested & set(files.test) else f"--images . --test-images {other}"
        raise DataError(
            f"it is unclear whether {folder} is a class or holds the test images",
            hint=f"say {flags}, which takes it for a class, or --test-images {folder}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folders:
    """The training images in their folders.

    Attributes:
        names: (n,) of each image the names of its folders, from the first that differs.
        depth: how many of these all images have.
        strays: images beside the folders, left out.
    """

    images: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    depth: int
    strays: tuple[str, ...]


def _sort_into_folders(source: LabelSource) -> _Folders:
    images = source.training_images
    names_of = {folder: _list_folder_names(folder, source) for folder in dict.fromkeys(map(get_folder, images))}
    if len(names_of) > 1 and not any(names_of.values()):
        names_of = {folder: (basename(source.files.get_role_folder(folder).rstrip("/")),) for folder in names_of}
    sizes: Counter[tuple[str, ...]] = Counter()
    for image in images:
        sizes[names_of[get_folder(image)]] += 1
    at_most = min(max(MAX_STRAYS, int(MAX_STRAY_SHARE * len(images))), len(images) // 4)
    n_shared, n_strays = _count_shared(sizes, at_most)
    depth = max(
        (level for level in range(1, max(map(len, sizes), default=0) + 1) if _count_shallow(sizes, level) <= at_most),
        default=0,
    )
    if depth <= n_shared:
        where = source.files.train_location
        if 0 < n_strays < len(images):
            bare = [image for image in images if len(names_of[get_folder(image)]) <= n_shared]
            problem = f"{n_strays} of {len(images)} images lie in no class folder: {join_names(bare)}"
            if 2 * n_strays < len(images):
                raise DataError(problem, hint="move them away; --labels names reads the labels off file names instead")
            raise LayoutMismatchError(problem)
        raise LayoutMismatchError(f"{where} has no folder for each class")
    kept = [image for image in images if len(names_of[get_folder(image)]) >= depth]
    return _Folders(
        images=tuple(kept),
        names=tuple(names_of[get_folder(image)][n_shared:] for image in kept),
        depth=depth - n_shared,
        strays=tuple(image for image in images if len(names_of[get_folder(image)]) < depth),
    )


def _list_folder_names(folder: str, source: LabelSource) -> tuple[str, ...]:
    """List the folders of an image without the one that says that it is of training."""
    role = source.files.get_role_folder(folder)
    above, below = role.rstrip("/").split("/")[:-1], folder[len(role) :].split("/")[:-1]
    return (*above, *below) if role else tuple(folder.split("/")[:-1])


def _count_shared(sizes: Mapping[tuple[str, ...], int], at_most: int) -> tuple[int, int]:
    """Count the folders that all images share but a few strays, and the images that lie in no further folder."""
    n_shared = 0
    while True:
        n_bare = _count_shallow(sizes, n_shared + 1)
        heads = {names[n_shared] for names in sizes if len(names) > n_shared}
        if n_bare > at_most or len(heads) != 1:
            return n_shared, n_bare
        n_shared += 1


def _count_shallow(sizes: Mapping[tuple[str, ...], int], depth: int) -> int:
    return sum(size for names, size in sizes.items() if len(names) < depth)


def _choose_level(levels: Sequence[Level], folders: _Folders, source: LabelSource) -> tuple[int, list[str]]:
    """Return the level of the classes, 0 the first, and evidence of the choice."""
    given = source.settings.class_level
    if given is not None:
        if given > len(levels):
            raise UsageError(
                f"--class-level {given}: the images have {format_count(len(levels), 'level')} of folders in common",
                hint=_describe_levels(levels, range(len(levels))),
            )
        return given - 1, [f"labels: {_describe_levels(levels, [given - 1])}, as asked"]
    several = [level for level, names in enumerate(levels) if len(set(names)) > 1]
    stems = [strip_suffix(basename(image)) for image in folders.images]
    find = find_doubt if len(several) == 1 else find_level_doubt
    doubts = {level: find(levels[level], stems) for level in several}
    likely = [level for level in several if doubts[level] is None]
    named = [
        level
        for level in several
        if source.sample_labels.keys() & {normalize_name(name) for name in set(levels[level])}
    ]
    if len(named) == 1 and (source.has_word_labels or named == likely or not likely):
        return named[0], _describe_choice(levels, named[0], several, "which holds the sample's labels")
    if len(several) == 1 and source.settings.labels == FOLDERS:
        return several[0], []
    if len(likely) == 1:
        others = " and ".join(f"those of level {level + 1} {doubt.reason}" for level, doubt in doubts.items() if doubt)
        return likely[0], _describe_choice(levels, likely[0], several, f"as {others}")
    if not likely:
        reasons = [f"{_describe_levels(levels, [level])} {doubt.reason}" for level, doubt in doubts.items() if doubt]
        flags = " or ".join(f"--class-level {level + 1}" for level in doubts)
        raise LayoutMismatchError(f"the folders are hardly classes: {'; '.join(reasons)} ({flags} takes them)")
    raise DataError(
        f"{len(likely)} levels of folders may be those of the classes: {_describe_levels(levels, likely)}",
        hint=f"say which one it is by {' or '.join(f'--class-level {level + 1}' for level in likely)}",
    )


def _require_no_class_below(folders: _Folders, chosen: int, source: LabelSource) -> None:
    """Require that no folder beside those of the classes holds folders of the classes itself."""
    classes = {names[chosen] for names in folders.names}
    inside = {
        (names[chosen], image)
        for names, image in zip(folders.names, folders.images, strict=True)
        if len(names) > chosen + 1 and names[chosen + 1] in classes - {names[chosen]}
    }
    if inside and source.settings.class_level is None:
        folder, image = min(inside)
        raise DataError(
            f"the folder {join_names([folder])} lies beside those of the classes and holds such folders itself: "
            f"{join_names([image])}",
            hint="move it away, or say what it is: --images, --test-images or --add FOLDER, or --class-level 1",
        )


def _describe_choice(levels: Sequence[Level], chosen: int, several: Sequence[int], reason: str) -> list[str]:
    if len(several) == 1:
        return []
    lines = [f"labels: classes are {_describe_levels(levels, [chosen])}, {reason}"]
    for level in several:
        if level == chosen:
            continue
        shown = _describe_levels(levels, [level])
        lines.append(format_suggestion(f"--class-level {level + 1}", f"takes {shown} for the classes"))
        if any(DERIVED_WORDS & set(split_words(name)) for name in set(levels[level])):
            text = f"labels: {shown} may hold images made of each other, and folds will not know; --images takes one"
            lines.append(format_warning(text))
    return lines


def _describe_levels(levels: Sequence[Level], shown: Iterable[int]) -> str:
    names = {level: sorted(set(levels[level])) for level in shown}
    return "; ".join(f"level {level + 1} ({join_names(found)})" for level, found in names.items())


def _make_groups(levels: Sequence[Level], chosen: int, folders: _Folders) -> dict[str, tuple[str, ...]]:
    """Make a column of the folders of patients, places or times, whose images belong together."""
    stems = [strip_suffix(basename(image)) for image in folders.images]
    found: list[Level] = []
    for level, names in enumerate(levels):
        if level != chosen and len(set(names)) > 1:
            doubt = find_level_doubt(names, stems)
            found += [names] if (doubt.makes_groups if doubt else level < chosen) else []
    return {FOLDER: tuple(max(found, key=lambda names: len(set(names))))} if found else {}


def _unify_spellings(names: Level, source: LabelSource) -> tuple[list[str], list[str]]:
    """Return (n,) labels, those of several Unicode forms as the sample writes them, and evidence."""
    forms: defaultdict[str, set[str]] = defaultdict(set)
    for name in set(names):
        forms[normalize_name(name)].add(name)
    spelling = {
        key: source.sample_labels.get(key) or (key if len(found) > 1 else min(found)) for key, found in forms.items()
    }
    merged = sorted(spelling[key] for key, found in forms.items() if len(found) > 1)
    respelled = sorted(spelling[key] for key, found in forms.items() if found != {spelling[key]} and len(found) == 1)
    lines = []
    if merged:
        lines.append(
            format_warning(f"labels: folders of one name in two Unicode forms are one class: {join_names(merged)}")
        )
    if respelled:
        lines.append(f"labels: {join_names(respelled)} in the sample's Unicode form, not in that of the folders")
    return [spelling[normalize_name(name)] for name in names], [*lines, *describe_alike(list(spelling.values()))]


def describe_alike(labels: Sequence[str]) -> list[str]:
    """Report classes whose names differ by case or blanks alone."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        alike[re.sub(r"[\s_-]+", " ", label.casefold()).strip()].append(label)
    return [
        format_warning(
            f"labels: classes that differ by case or blanks alone: {join_names([repr(name) for name in found])}; "
            "rename the folders if they are one class"
        )
        for found in alike.values()
        if len(found) > 1
    ]


def _describe_strays(strays: tuple[str, ...]) -> list[str]:
    if not strays:
        return []
    n_images = format_count(len(strays), "image")
    return [format_warning(f"labels: {n_images} beside the class folders left out: {join_names(strays)}")]


def _describe_deeper(folders: _Folders) -> list[str]:
    deeper = [image for image, names in zip(folders.images, folders.names, strict=True) if len(names) > folders.depth]
    if not deeper:
        return []
    n_images = format_count(len(deeper), "image")
    return [f"labels: {n_images} deeper in a class folder taken for that class: {join_names(deeper)}"]


def _describe_holders(labels: Sequence[str]) -> list[str]:
    odd = sorted({label for label in set(labels) if is_odd_class(label)})
    is_mixed = 0 < len(odd) < len(set(labels))
    return [format_warning(f"labels: {join_names(odd)}, too, is taken for a class")] if is_mixed else []


def _describe_empty(folders: _Folders, chosen: int, source: LabelSource) -> list[str]:
    """Report folders beside those of the classes that hold no file at all."""
    known: set[str] = set()
    for image, names in zip(folders.images, folders.names, strict=True):
        path = image.split("/")[:-1]
        known.add("/".join(path[: len(path) - (len(names) - chosen - 1)]))
    parents = sorted({folder.rpartition("/")[0] for folder in known})
    empty = [
        f"{parent}/{name}" if parent else name
        for parent in parents
        for name in _list_subfolders(source.root / parent)
        if (f"{parent}/{name}" if parent else name) not in known and _is_empty(source.root / parent / name)
    ]
    return [format_warning(f"labels: folders without a file are no classes: {join_names(empty)}")] if empty else []


def _list_subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []  # in an archive
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_junk(entry.name))


def _is_empty(folder: Path) -> bool:
    return not any(not is_junk(file) for _, _, files in os.walk(folder) for file in files)


def describe_unused_parts(source: LabelSource) -> list[str]:
    """Report folders of validation images, with the flags that use them, and of unlabelled ones, which are no class."""
    lines = []
    used = {*source.files.added, *source.training_images}
    validation = [image for image in source.files.validation if image not in source.test_images and image not in used]
    if validation:
        folder = source.files.get_role_folder(validation[0])
        if not source.files.train:
            lines.append(f"images: {format_count(len(validation), 'image')} of {folder} left out")
        lines.append(format_suggestion(f"--add {folder}", f"trains on these {len(validation)} validation images too"))
        lines.append(format_suggestion(f"--fixed-fold {folder}", "makes them the fold that trials validate on"))
    unlabelled = [image for image in source.files.unlabelled if image not in source.test_images and image not in used]
    if unlabelled and not source.files.train:
        folder = source.files.get_role_folder(unlabelled[0])
        lines.append(f"images: {format_count(len(unlabelled), 'image')} of {folder} are no class and left out")
    return lines
