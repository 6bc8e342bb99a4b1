"""Tell what each folder of images is for: training, test, validation, images to predict, or a copy of another folder.

From names, and from what lies beside a folder: one that is called train may be a class, where other classes do.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from posixpath import commonpath

from automl.errors import DataError, join_names
from automl.files.evidence import format_suggestion, format_warning
from automl.files.folder_tree import FolderTree, iterate_ancestors, split_path
from automl.files.image_formats import CONTAINER_SUFFIXES
from automl.files.image_names import (
    ARCHIVE_SUFFIX,
    DERIVED_WORDS,
    GENERIC_WORDS,
    MASK_WORDS,
    ORIGINAL_WORDS,
    find_role,
    has_own_word,
    split_words,
    strip_suffix,
)

SIDES_TEXT = """28 32 48 50 64 75 80 96 100 112 120 128 144 150 160 180 192 200 224 240 250 256 288 299 300 320 331
336 350 380 384 400 448 480 500 512 528 560 600 640 672 720 736 768 800 896 1000 1024 1080 1280 1536 2048"""
SIDES = frozenset(SIDES_TEXT.split())
SIZE = rf"\(?(?:{'|'.join(SIDES)})(?:x\d+)?(?:px)?\)?|resized?|small|mini|tiny|thumb(?:nail)?s?|compressed|scaled|copy"
SIZED_NAME = re.compile(rf"(?P<base>.*?[^ _-])(?:[ _-]*(?:{SIZE}))+|(?:{SIZE})[ _-]+(?P<rest>.+)", re.IGNORECASE)
COPIED_SHARE = 0.9  # of the names of a copy are those of the other folder
N_COMPARED = 8  # files whose bytes are compared before two folders of equal names are taken for copies
MAX_LISTED = 6  # copies, each in a line of its own
MAX_TRIMMED = 3  # endings that a derived file may have, as in leaf_final_masked.jpg of leaf.jpg


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChoice:
    """The folders that the user names; None or empty where names tell.

    Attributes:
        images, test_images: of the training and of the test images.
        added: whose images are training images too.
        fixed_fold: the same, and the fold that trials validate on.
        takes_all: whether every image is wanted, copies too, whatever its folder is for.
    """

    images: str | None = None
    test_images: str | None = None
    added: tuple[str, ...] = ()
    fixed_fold: str | None = None
    takes_all: bool = False

    @property
    def all_added(self) -> tuple[str, ...]:
        """Folders whose images are training images too, that of the fixed fold among them."""
        return self.added if self.fixed_fold is None else (*self.added, self.fixed_fold)


@dataclass(slots=True, kw_only=True)
class FolderRoles:
    """What each folder is for.

    Attributes:
        choice: the folders that the user names, each with its slash.
        lines: evidence about folders whose names say one thing and what lies beside them another.
    """

    tree: FolderTree
    choice: FolderChoice = field(default_factory=FolderChoice)
    lines: list[str] = field(default_factory=list)
    _own: dict[str, str | None] = field(default_factory=dict)
    _common: str = ""

    def __post_init__(self) -> None:
        folders = [folder for folder in self.tree.members if folder]
        if folders and "" not in self.tree.members:
            shared = commonpath([min(folders), max(folders)])
            self._common = f"{shared}/" if shared else ""

    def find(self, folder: str) -> tuple[str, str]:
        """Return (role, path of the folder that has it) of all images in a folder; ("other", "") where none has one."""
        chosen = [
            (path, role)
            for path, role in (
                *((path, "added") for path in self.choice.all_added),
                (self.choice.test_images, "test"),
                (self.choice.images, "train"),
            )
            if path is not None and folder.startswith(path)
        ]
        role, path = self._find_by_name(folder)
        if chosen:
            named, given = max((path, role) for path, role in chosen)
            is_inside = given == "train" and len(path) > len(named) and role in ("test" if named else "", "unlabelled")
            if not is_inside or self.choice.test_images is not None:
                return given, named
        is_overruled = {"train": self.choice.images, "test": self.choice.test_images}.get(role) is not None
        return ("other", path) if is_overruled and not chosen else (role, path)

    def _find_by_name(self, folder: str) -> tuple[str, str]:
        first: tuple[str, str] | None = None
        for _, path in iterate_ancestors(folder):
            if path not in self._own:
                self._own[path] = self._find_own_role(path)
            role = self._own[path]
            if role in ("train", "test"):
                return role, path
            if role is not None and first is None:
                first = role, path
        return first or ("other", "")

    def _find_own_role(self, path: str) -> str | None:
        """Return what the folder's name says, unless it is a class or holds the folders of all parts itself."""
        parent, name = split_path(path)
        role = self._read_name(path)
        if role is None or (role == "validation" and has_own_word(name)):
            return None
        inner = {find_role(split_path(child)[1], first_word=True) for child in self.tree.children.get(path, ())}
        if "train" in inner and inner & {"test", "validation"} and None not in inner:
            return None
        siblings = [child for child in self.tree.children[parent] if child != path]
        counterparts = {self._read_name(child) for child in siblings} - {None, "unlabelled", role}
        if not counterparts and not _is_top(parent, name) and find_role(name, first_word=True) is None:
            return None
        if self._is_class(path, role, siblings, has_counterpart=bool(counterparts)):
            self._tell_class(path, role, siblings)
            return None
        return role

    def _read_name(self, path: str) -> str | None:
        """Return what the folder's name says; below the top the word must come first: toy_train is a class there."""
        parent, name = split_path(path)
        return find_role(name, first_word=not _is_top(parent, name) and parent != self._common)

    def _is_class(self, path: str, role: str, siblings: Sequence[str], *, has_counterpart: bool) -> bool:
        """Whether a folder that is called train, valid or test_tube lies, as a class, beside other classes."""
        name = split_path(path)[1]
        if self.tree.children.get(path):
            return False
        if role == "validation":
            return any("invalid" in split_words(split_path(child)[1]) for child in siblings)
        special = has_own_word(name)
        if has_counterpart or not (role == "train" or (role == "test" and special)):
            return False
        plain = [child for child in siblings if self.tree.members.get(child) and self._names_class(child, role)]
        return len(plain) >= (1 if special and role == "train" else 2)

    def _names_class(self, path: str, role: str) -> bool:
        name = split_path(path)[1]
        own = self._read_name(path)
        return has_own_word(name) if own == role else own is None and not set(split_words(name)) <= GENERIC_WORDS

    def _tell_class(self, path: str, role: str, siblings: Sequence[str]) -> None:
        shown = join_names([path, *(child for child in siblings if self._read_name(child) is None)], at_most=4)
        self.lines.append(f"images: {path} is taken for a class, as it lies beside others: {shown}")
        flag = {"test": "--test-images", "validation": "--add"}.get(role, "--images")
        self.lines.append(
            format_suggestion(f"{flag} {path}", f"takes it for a folder of {role} images, not for a class")
        )


def _is_top(parent: str, name: str) -> bool:
    """Whether a folder lies at the top, of an archive or of a file of many images too; or is such a file itself."""
    folders = parent.lower().split("/")[:-1]
    is_inside = bool(folders) and folders[-1].endswith(CONTAINER_SUFFIXES)
    is_file = name.lower().endswith(CONTAINER_SUFFIXES)
    return is_inside or is_file or all(folder.endswith(ARCHIVE_SUFFIX) for folder in folders)


def _strip_size(name: str) -> str:
    """Return the lowered name without what tells of another size: train of train_512 and of small_train."""
    match = SIZED_NAME.fullmatch(name)
    return (match["base"] or match["rest"] if match else name).lower()


@dataclass(slots=True, kw_only=True)
class CopyFinder:
    """Find folders that hold the images of another folder once more.

    Attributes:
        read: reads a file's bytes by its path below the competition's folder.
        chosen: folders that the user names, which are never left out.
        left_out: paths of the copies, in the order in which they are found.
        lines: evidence for each.
    """

    tree: FolderTree
    read: Callable[[str], bytes]
    chosen: frozenset[str] = frozenset()
    left_out: dict[str, None] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def find(self) -> CopyFinder:
        """Find all copies: a folder in its own parent, beside its original, resized, in gray, or as masks.

        Raises:
            DataError: of several copies none is plainly the original.
        """
        waiting = [""]
        while waiting:
            parent = waiting.pop()
            children = [child for child in self.tree.children.get(parent, ()) if self.tree.n_below[child] > 1]
            for child in children:
                self._find_inside_parent(parent, child)
            self._find_sized(children)
            self._find_derived(children)
            self._find_masks(children)
            waiting += [child for child in reversed(children) if child not in self.left_out]
        if len(self.left_out) > MAX_LISTED:
            self.lines = [format_warning(f"images: {join_names(list(self.left_out))} hold copies or masks: left out")]
        return self

    def is_left_out(self, folder: str) -> bool:
        """Whether a folder is a copy, or lies in one."""
        return any(path in self.left_out for _, path in iterate_ancestors(folder))

    def _find_inside_parent(self, parent: str, child: str) -> None:
        """Leave out a folder that repeats what lies beside it, as cell_images/cell_images/ does."""
        place, name = parent or "the folder", split_path(child)[1]
        if find_role(name) in ("train", "test"):
            return
        pairs = []
        for image in self.tree.list_below(child):
            beside = parent + image[len(child) :]
            if beside.startswith(child) or not self.tree.has_image(beside):
                return
            pairs.append((image, beside))
        if self._has_equal_bytes(pairs):
            self._leave_out(child, f"repeats the files of {place}", is_warning=False)
        elif not (words := set(split_words(name))) or words & DERIVED_WORDS:
            self._leave_out(child, f"holds the images of {place} by the same names")

    def _find_sized(self, children: Sequence[str]) -> None:
        """Of train/ and train_512/, or Train/ and train/, with the same names take the plainly named one."""
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for child in children:
            alike[_strip_size(split_path(child)[1])].append(child)
        for base, copies in alike.items():
            is_plain_name = find_role(base) or set(split_words(base)) <= GENERIC_WORDS
            if len(copies) < 2 or not (is_plain_name or all(self.tree.children.get(child) for child in copies)):
                continue  # tumor/ and tumor_small/ are two classes
            plain = [child for child in copies if split_path(child)[1].lower() == base]
            chosen = [child for child in copies if self._is_chosen(child)]
            original = (chosen or plain or copies)[0]
            stems = self._list_stems(original)
            same = [child for child in copies if child != original and _covers(stems, self._list_stems(child))]
            others = [child for child in children if child not in copies]
            if same and not plain and not chosen and not any(split_path(child)[1].startswith(base) for child in others):
                raise self._make_unclear_error([original, *same])
            for child in same if plain or chosen else ():
                if child not in plain:
                    self._leave_out(child, f"holds the images of {original} by the same names")
                elif self._has_equal_bytes(list(zip(self._list(original), self._list(child), strict=False))):
                    self._leave_out(child, f"repeats the files of {original}", is_warning=False)

    def _find_derived(self, children: Sequence[str]) -> None:
        """Of color/, grayscale/ and segmented/ with the same names take the one that is called the original."""
        spoken = {child: _strip_generic(split_path(child)[1]) for child in children}
        variants = [child for child, words in spoken.items() if words and words <= ORIGINAL_WORDS | DERIVED_WORDS]
        if len(variants) < 2:
            return
        chosen = [child for child in variants if self._is_chosen(child)]
        originals = chosen or [child for child in variants if spoken[child] & ORIGINAL_WORDS]
        original = (originals or variants)[0]
        stems = self._list_stems(original)
        same = [child for child in variants if child != original and _covers(stems, self._list_stems(child), trim=True)]
        if same and len(originals) != 1 and not chosen:
            raise self._make_unclear_error([original, *same])
        for child in same:
            self._leave_out(child, f"holds the images of {original} once more")

    def _find_masks(self, children: Sequence[str]) -> None:
        """Leave out masks/ beside images/ with the same names; but no class "mask" beside "no_mask"."""
        names = {child: split_words(split_path(child)[1]) for child in children}
        masks = [
            child
            for child, words in names.items()
            if MASK_WORDS & set(words) and all(word in MASK_WORDS | GENERIC_WORDS or find_role(word) for word in words)
        ]
        if len(masks) != 1 or self._is_chosen(masks[0]):
            return
        others = [child for child in children if child != masks[0]]
        word = next(word for word in names[masks[0]] if word in MASK_WORDS)
        if not others or any(word.rstrip("s") in child.lower() for child in others):
            return
        stems = {stem.rpartition("/")[2] for child in others for stem in self._list_stems(child)}
        own = [stem.rpartition("/")[2] for stem in self._list_stems(masks[0])]
        if sum(stem in stems for stem in own) >= COPIED_SHARE * len(own):
            self._leave_out(masks[0], f"has a file by the name of each image of {join_names(others)}, as masks have")

    def _list(self, folder: str) -> list[str]:
        return sorted(self.tree.list_below(folder))

    def _list_stems(self, folder: str) -> set[str]:
        return {strip_suffix(image[len(folder) :]) for image in self.tree.list_below(folder)}

    def _is_chosen(self, folder: str) -> bool:
        return any(path.startswith(folder) for path in self.chosen if path)

    def _has_equal_bytes(self, pairs: Sequence[tuple[str, str]]) -> bool:
        step = max(1, len(pairs) // N_COMPARED)
        contents = [(self.read(one), self.read(other)) for one, other in sorted(pairs)[::step]]
        return any(one for one, _ in contents) and all(one == other for one, other in contents)

    def _leave_out(self, folder: str, reason: str, *, is_warning: bool = True) -> None:
        if self._is_chosen(folder) or folder in self.left_out:
            return
        self.left_out[folder] = None
        text = f"images: {folder} {reason}, and is left out{', but where a path names it' if is_warning else ''}"
        self.lines.append(format_warning(text) if is_warning else text)
        if is_warning and not MASK_WORDS & set(split_words(split_path(folder)[1])):
            self.lines.append(format_suggestion(f"--images {folder}", "takes that folder for the training images"))

    def _make_unclear_error(self, folders: list[str]) -> DataError:
        return DataError(
            f"{join_names(folders, at_most=5)} hold the same images, and none of them is plainly the original",
            hint=f"name the one to take, such as --images {folders[-1]}; that of the test images with --test-images",
        )


def _strip_generic(name: str) -> set[str]:
    """Return the words of a name but those that say nothing, such as images."""
    return set(split_words(name)) - (GENERIC_WORDS - ORIGINAL_WORDS - DERIVED_WORDS)


def _covers(stems: set[str], others: set[str], *, trim: bool = False) -> bool:
    """Whether nearly all of the others are among the stems, with or without a few endings."""
    n_found = sum(stem in stems or (trim and any(short in stems for short in _trim(stem))) for stem in others)
    return n_found >= COPIED_SHARE * max(len(others), 1)


def _trim(stem: str) -> Iterator[str]:
    for _ in range(MAX_TRIMMED):
        stem = re.sub(r"[ _-][^ _/-]*$", "", stem)
        yield stem
