"""List the images in a competition's folder and in the archives at its top, by name alone.

Files that may hold images but cannot be read are counted, and it is said what to convert them to.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from automl.errors import DataError, join_names
from automl.files.addresses import read_bytes
from automl.files.archives import Archive
from automl.files.containers.members import Members, find_members
from automl.files.containers.opening import JSON_SUFFIXES, may_hold_images
from automl.files.dicom import HEAD_BYTES, is_dicom
from automl.files.encoded_images import is_encoded_image
from automl.files.evidence import WARNING, format_warning
from automl.files.folder_roles import CopyFinder, FolderChoice, FolderRoles
from automl.files.folder_tree import FolderTree, find_folder
from automl.files.image_formats import IMAGE_SUFFIXES, JSON_ARRAYS, JSON_URLS, find_unread_format
from automl.files.image_names import (
    ARCHIVE_SUFFIX,
    get_folder,
    get_split_folder,
    is_image_name,
)
from automl.files.listing import list_files, list_plain_files, open_top_archives
from automl.files.table_formats import is_table_file_name
from automl.files.tables import find_documents, format_count
from automl.files.unread import count_unread, describe_unread, index_unread, suggest_conversion

PEEKED_BYTES = 65_536
DICOM_INDEX = "DICOMDIR"  # lists the images of a disc, and holds none
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")  # of a name that says what the file is; 1.2.840.113619 has none
URL = re.compile(rb'"url"\s*:\s*\[?\s*"https?://')
NO_CHOICE = FolderChoice()
PEEKED_FILES = 20  # of those whose names do not tell what they are
FILE_NAME_KEY = b'"file_name"'  # then the links are those of licences
NUMBERS = re.compile(
    rb"\[\s*-?[0-9][0-9.eE+-]*\s*(,\s*-?[0-9][0-9.eE+-]*\s*){63}"
)  # 64 in a row: no box, no list of ids


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """The images below root by their relative POSIX names, sorted, split by the folder they lie in.

    Attributes:
        train: below the given folder, or below one or in an archive with a word such as train in its name.
        test: the same of a word such as test.
        other: all the rest.
        validation: those of the others below a folder such as val, and not added by the user.
        unlabelled: those of the others below a folder such as unlabeled or seg_pred: images to predict, if any.
        added: those of the others that the user adds to the training images.
        fixed_fold: the folder, with its slash, of those added images that trials validate on.
        copies: images of folders that repeat another, which are in none of the others.
        role_folders: the training, test, validation or unlabelled folder above the images of a folder.
        unread: kinds of files that may hold images and cannot be read, with their counts, such as {".dcm": 3}.
        unread_examples: the first file of each of these kinds.
        unread_by_stem: those of these files that may be an image, by their names without extension, in lower case.
        notes: lines of evidence.
    """

    root: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    other: tuple[str, ...]
    validation: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    fixed_fold: str | None = None
    copies: tuple[str, ...] = ()
    role_folders: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    unread_examples: Mapping[str, str] = field(default_factory=dict)
    unread_by_stem: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def n_images(self) -> int:
        return len(self.train) + len(self.test) + len(self.other)

    @property
    def train_location(self) -> str:
        """Where training images are looked for, in words."""
        return _describe_folders(self.train or self.other, self.role_folders)

    @property
    def test_location(self) -> str:
        """Where test images are looked for, in words."""
        return _describe_folders(self.test or self.other, self.role_folders)

    @property
    def images_to_predict(self) -> tuple[str, ...]:
        """Images that are plainly there to be predicted: of the test, else of a folder such as unlabeled."""
        return self.test or self.unlabelled

    @property
    def training_pool(self) -> tuple[str, ...]:
        """Images that may have their label in their name or folder, those that the user adds among them."""
        pool = self.train or self._leave_out(self.validation, self.unlabelled) or self.other
        return tuple(sorted({*pool, *self.added}))

    def _leave_out(self, *others: tuple[str, ...]) -> tuple[str, ...]:
        left_out = {image for images in others for image in images}
        return tuple(image for image in self.other if image not in left_out)

    def get_role_folder(self, image: str) -> str:
        """Return the training, test, validation or unlabelled folder above an image, with its slash, or ""."""
        return self.role_folders.get(get_folder(image), "")

    @property
    def unread_hint(self) -> str | None:
        """How to convert or unpack the files that are not read, in one line; None where there are none."""
        return suggest_conversion(self.unread, self.unread_examples) if self.unread else None


def find_images(root: Path, choice: FolderChoice = NO_CHOICE, *, follow_links: bool = False) -> ImageFiles:
    """Find the images below a folder, whatever the case of their extensions; hidden files and our own are left out.

    Images in an archive at the top are found as if its name were a folder's, unless they are unpacked beside it.

    Args:
        choice: the folders that the user names.
        follow_links: whether links may lead out of root.

    Raises:
        UsageError: no image lies in a folder that the user names.
        DataError: a folder or an archive cannot be read, a link leads out of root, or a name cannot be kept as text.
    """
    listing = list_files(root, _is_relevant, follow_links=follow_links)
    on_disk = [name for name in listing.names if not _is_top_archive(name)]
    unpacked, packed, notes = set(on_disk), [], listing.describe()
    for archive in open_top_archives(root, follow_links=follow_links):
        members, left_out = _separate_unpacked(
            [name for name in archive.names if _is_relevant(name)], archive, unpacked
        )
        packed += [f"{archive.path.name}/{member}" for member in members]
        if left_out:
            notes.append(_describe_unpacked(archive, left_out))
    names = [*on_disk, *packed]
    images = sorted(name for name in names if is_image_name(name))
    holders = [name for name in names if may_hold_images(name) and (name in unpacked or not is_table_file_name(name))]
    inner = find_members(root, holders, images, chosen=choice.images)
    images = sorted([*images, *inner.images]) or _find_hidden_images(root, inner, follow_links)
    _require_plain_text(images)
    unread = [*inner.unread, *(name for name in names if not is_image_name(name) and not may_hold_images(name))]
    counts, examples = count_unread(name for name in unread if not is_table_file_name(name))
    if not images:
        _count_documents(root, counts, examples, follow_links)
    anywhere = images or list_files(root, lambda name: not SUFFIX.search(name), follow_links=follow_links).names
    notes += [*_describe_members(inner), *_describe_other_files(root, anywhere, frozenset(images))]
    if counts:
        what_to_do = suggest_conversion(counts, examples)
        notes.append(format_warning(f"images: not read: {describe_unread(counts)}: {what_to_do}"))
    if inner.errors and not images:
        raise next(iter(inner.errors.values()))
    files = _group_by_role(root, images, choice)
    return replace(
        files,
        unread=counts,
        unread_examples=examples,
        unread_by_stem=index_unread([*unread, *inner.left_out]),
        notes=(*notes, *files.notes),
    )


def _find_hidden_images(root: Path, members: Members, follow_links: bool) -> list[str]:
    """Find images whose files' names do not tell: pixels in JSON, DICOM without a suffix; where there are no others."""
    listing = list_files(root, lambda name: name.lower().endswith(JSON_SUFFIXES), follow_links=follow_links)
    documents = [name for name in sorted(listing.names) if _detect_json_format(root / name) == JSON_ARRAYS]
    found = find_members(root, documents, ())
    members.notes += found.notes
    members.errors.update(found.errors)
    if found.images:
        return sorted(found.images)
    listing = list_files(root, lambda name: not SUFFIX.search(name) and name != DICOM_INDEX, follow_links=follow_links)
    return sorted(name for name in listing.names if is_dicom(read_bytes(root / name, at_most=HEAD_BYTES)))


def _describe_other_files(root: Path, names: Sequence[str], read: frozenset[str]) -> list[str]:
    """Describe what lies in the folders of these files, is not read, and is neither an image nor may hold any."""
    counts: dict[str, int] = defaultdict(int)
    unnamed: list[str] = []
    for folder in sorted({get_folder(name) for name in names} - {""}):
        for name in list_plain_files(root / folder):
            suffix = SUFFIX.search(name)
            if folder + name in read:  # DICOM may have no extension
                continue
            if suffix is None:
                unnamed.append(folder + name)
            elif not (_is_relevant(name) or is_table_file_name(name)):
                counts[suffix[0].lower()] += 1
    shown = [f"{count} {suffix}" for suffix, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    lines = [f"images: files beside them that are none are left out: {join_names(shown, at_most=8)}"] if shown else []
    example = next((name for name in unnamed[:PEEKED_FILES] if _is_image_by_content(root / name)), None)
    if example is not None:
        lines.append(
            format_warning(
                f"images: {format_count(len(unnamed), 'file')} without an extension left out; {join_names([example])} "
                "is an image by its first bytes: rename it, as to .jpg"
            )
        )
    elif unnamed:
        lines.append(f"images: {format_count(len(unnamed), 'file')} without an extension left out")
    return lines


def _is_image_by_content(path: Path) -> bool:
    return is_encoded_image(read_bytes(path, at_most=PEEKED_BYTES))


def _describe_members(members: Members) -> list[str]:
    damaged = [
        format_warning(f"images: {name} is left out: {error.problem}") for name, error in sorted(members.errors.items())
    ]
    return [*members.notes, *damaged]


def require_images(files: ImageFiles) -> None:
    """Require at least one image.

    Raises:
        DataError: there is no image; it says what was seen instead, and what to convert to which names or to unpack.
    """
    if not files.n_images:
        raise _make_no_images_error(files)


def _is_relevant(name: str) -> bool:
    if is_image_name(name) or may_hold_images(name):
        return True
    return find_unread_format(name) is not None and not is_table_file_name(name)


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


def _count_documents(root: Path, counts: dict[str, int], examples: dict[str, str], follow_links: bool) -> None:
    """Count the JSON files that stand for images, which only matters where there are none."""
    for name, path in find_documents(root, follow_links=follow_links).items():
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


def _make_no_images_error(files: ImageFiles) -> DataError:
    """Build the error for a folder in which no image was found: what was seen instead, and what to do about it."""
    seen = [line.removeprefix(WARNING) for line in files.notes]
    if not files.unread:
        return DataError(
            f"{files.root} holds no images ({', '.join(IMAGE_SUFFIXES)})",
            hint="give the competition's folder, with its archives unpacked",
            seen=seen,
        )
    return DataError(
        f"{files.root} holds no images that can be read, but {describe_unread(files.unread)}",
        hint=suggest_conversion(files.unread, files.unread_examples),
        seen=seen,
    )


def _group_by_role(root: Path, names: Sequence[str], choice: FolderChoice) -> ImageFiles:
    """Group images by what their folders are for, without those of folders that repeat another."""
    choice = _find_chosen_folders(names, choice)
    chosen = frozenset({folder for folder in (choice.images, choice.test_images, *choice.all_added) if folder})
    tree = FolderTree(names)
    copies = CopyFinder(tree=tree, read=lambda name: read_bytes(root / name), chosen=chosen)
    if not choice.takes_all:
        copies.find()
    left_out = {name for folder in tree.members if copies.is_left_out(folder) for name in tree.members[folder]}
    kept = [name for name in names if name not in left_out]
    tree = FolderTree(kept) if left_out else tree
    roles = FolderRoles(tree=tree, choice=choice)
    found = {folder: roles.find(folder) for folder in sorted(tree.members)}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in kept:
        role = found[get_folder(name)][0]
        groups[role].append(name)
        if role not in ("train", "test", "other"):
            groups["other"].append(name)
    return ImageFiles(
        root=root,
        train=tuple(groups["train"]),
        test=tuple(groups["test"]),
        other=tuple(groups["other"]),
        validation=tuple(groups["validation"]),
        unlabelled=tuple(groups["unlabelled"]),
        added=tuple(groups["added"]),
        fixed_fold=choice.fixed_fold,
        copies=tuple(sorted(left_out)),
        role_folders={folder: path for folder, (_, path) in found.items() if path},
        notes=() if choice.takes_all else (*copies.lines, *roles.lines, *_describe_added(choice, groups["added"])),
    )


def _describe_added(choice: FolderChoice, added: Sequence[str]) -> list[str]:
    folders = join_names([folder or "the folder" for folder in choice.all_added])
    return [f"images: {len(added)} of {folders} are training images too, as asked"] if added else []


def _find_chosen_folders(names: Sequence[str], choice: FolderChoice) -> FolderChoice:
    if choice == NO_CHOICE:
        return choice
    tree = FolderTree(names)

    def find(folder: str | None, flag: str) -> str | None:
        return None if folder is None else find_folder(folder, tree, flag)

    return replace(
        choice,
        images=find(choice.images, "--images"),
        test_images=find(choice.test_images, "--test-images"),
        added=tuple(find_folder(folder, tree, "--add") for folder in choice.added),
        fixed_fold=find(choice.fixed_fold, "--fixed-fold"),
    )


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


def _describe_folders(names: Sequence[str], role_folders: Mapping[str, str]) -> str:
    example_of = {get_folder(name): name for name in names}
    folders = sorted(
        {role_folders.get(folder) or get_split_folder(name) or folder for folder, name in example_of.items()}
    )
    shown = [f"{folder.rstrip('/')}/" if folder else "the folder" for folder in folders]
    return join_names(shown) if 1 <= len(shown) <= 2 else "the folder"
