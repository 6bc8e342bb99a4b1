"""Find the images in files of many images that lie in a folder, and which of these files to take.

Image files go before: where the training images are files, files of many training images are left out, as those would
be the same images once more. The same of the test; loose images at the top of the folder do not count.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from automl.errors import DataError, join_names
from automl.files.array_images import is_picture_shape
from automl.files.containers.arrays import SPLIT_WORDS, STACK_WORDS
from automl.files.containers.container import Container, NoImagesError
from automl.files.containers.npy import ARRAY_SUFFIX, NotAnArrayError, read_header
from automl.files.containers.opening import is_container_name, open_container
from automl.files.evidence import format_suggestion, format_warning
from automl.files.image_names import ARCHIVE_SUFFIX, get_folder, get_split, get_split_folder, split_words

SIZE = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")
LABEL_WORDS = frozenset({"y", "label", "labels", "target", "targets", "classes"})
MANY_FOLDERS = 4  # with a file of one name each: it is the image of its folder


@dataclass(slots=True, kw_only=True)
class Members:
    """What was found in files of many images.

    Attributes:
        images: addresses of images, among them .npy files that are one image each.
        unread: files that hold no images, or cannot be read here.
        left_out: files that were not opened, as image files are there.
        notes: lines of evidence.
        errors: of files that are damaged, by their names.
    """

    images: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: dict[str, DataError] = field(default_factory=dict)


def find_members(root: Path, files: Iterable[str], images: Sequence[str], *, chosen: str | None = None) -> Members:
    """Find the images in files that may hold many, opening only those that are needed.

    Args:
        files: paths below root.
        images: of image files, in whose parts of the data no further images are looked for.
        chosen: the folder of the training images, where the user names it.
    """
    found = Members()
    wanted = list(_drop_taken(sorted(files), images, found))
    wanted = _choose_size(wanted, chosen, found)
    opened: dict[str, Container] = {}
    for name, is_one_image in _sort_arrays(root, wanted, found):
        if is_one_image:
            found.images.append(name)
            continue
        try:
            _require_on_disk(name)
            opened[name] = open_container(root / name)
        except NoImagesError:
            found.unread.append(name)
        except DataError as error:
            found.unread.append(name)
            found.errors[name] = error
    opened = _drop_repeated(opened, found)
    for name, container in opened.items():
        found.images += [f"{name}/{key}" for key in container.keys]
        found.notes += [format_warning(f"images: left out of {name}: {remark}") for remark in container.remarks]
    found.notes += _describe_opened(opened)
    return found


def _require_on_disk(name: str) -> None:
    """Require that a file lies in no archive: what cannot be read from its middle is to be unpacked."""
    archive, found, _ = name.lower().partition(f"{ARCHIVE_SUFFIX}/")
    if found:
        packed = name[: len(archive) + len(ARCHIVE_SUFFIX)]
        raise DataError(f"{name} is a file of many images in an archive", hint=f"unpack {packed} there")


def split_address(image: str) -> tuple[str, str] | None:
    """Return (file, key) of an image in a file of many images; None of any other address."""
    at = image.find("/")
    while at >= 0:
        if is_container_name(image[:at]):
            return image[:at], image[at + 1 :]
        at = image.find("/", at + 1)
    return None


def group_members(images: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys of images in files of many images, by file; other images are passed over."""
    keys_of: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        if (place := split_address(image)) is not None:
            keys_of[place[0]].append(place[1])
    return dict(keys_of)


def list_rows(root: Path, images: Iterable[str]) -> list[str]:
    """List images in the order of their files, where no file names them; else nothing: numbers are no ids."""
    listed = []
    for name, keys in sorted(group_members(images).items()):
        container, wanted = open_container(root / name), set(keys)
        if container.is_named:
            return []
        listed += [f"{name}/{key}" for key in container.keys if key in wanted]
    return listed


def _drop_taken(files: Sequence[str], images: Sequence[str], found: Members) -> Iterator[str]:
    """Iterate over the files of parts of the data that have no image files."""
    taken = {get_split(image) for image in images if "/" in image}
    for name in files:
        part = get_split(f"{name}/image")
        if not taken or (part not in taken and "other" not in taken and part != "other"):
            yield name
        else:
            found.left_out.append(name)
    if found.left_out:
        n, noun = len(found.left_out), "file" if len(found.left_out) == 1 else "files"
        line = f"images: {n} {noun} that may hold images left out, as image files are there"
        found.notes.append(format_warning(f"{line}: {join_names(found.left_out)}"))


def _choose_size(files: Sequence[str], chosen: str | None, found: Members) -> list[str]:
    """Of a set that lies there in several sizes, such as in records-192x192/ and records-224x224/, take the largest."""
    folders_of: defaultdict[str, dict[str, int]] = defaultdict(dict)
    base_of: dict[str, tuple[str, str]] = {}
    for name in files:
        folder = _find_sized_folder(name)
        if folder:
            (width, height), base = SIZE.findall(folder)[-1], SIZE.sub("*", folder)
            folders_of[base][folder] = int(width) * int(height)
            base_of[name] = base, folder
    kept: dict[str, str] = {}
    for base, areas in folders_of.items():
        given = [folder for folder in areas if chosen is not None and f"{chosen.strip('/')}/".startswith(folder)]
        kept[base] = (given or sorted(areas, key=lambda folder: (-areas[folder], folder)))[0]
        others = sorted(folder for folder in areas if folder != kept[base])
        if others:
            line = f"images: {kept[base]} taken, and left out as the same in other sizes: {join_names(others)}"
            found.notes.append(format_warning(line))
            inside = [f"{name}/image" for name in files if name.startswith(others[-1])]
            folder = next((get_split_folder(each) for each in inside if get_split(each) == "train"), others[-1])
            found.notes.append(format_suggestion(f"--images {folder}", "takes that size"))
    return [name for name in files if name not in base_of or kept[base_of[name][0]] == base_of[name][1]]


def _find_sized_folder(name: str) -> str:
    """Return the path of the first folder with a size in its name, with its slash, or ""."""
    parts = name.split("/")[:-1]
    depth = next((depth for depth, part in enumerate(parts, 1) if SIZE.search(part)), 0)
    return "".join(f"{part}/" for part in parts[:depth])


def _sort_arrays(root: Path, files: Sequence[str], found: Members) -> Iterator[tuple[str, bool]]:
    """Iterate over the files, and whether each is one image: a .npy file is, unless it is called as stacks are.

    One .npy file of each folder is looked at; the labels beside a stack are passed over.
    """
    arrays = [name for name in files if name.lower().endswith(ARRAY_SUFFIX)]
    n_folders = Counter(PurePosixPath(name).name for name in arrays)
    is_picture: dict[str, bool] = {}
    for name in files:
        if not name.lower().endswith(ARRAY_SUFFIX):
            yield name, False
            continue
        words, folder = set(split_words(PurePosixPath(name).stem)), get_folder(name)
        is_common = n_folders[PurePosixPath(name).name] > MANY_FOLDERS
        if words and words <= LABEL_WORDS | SPLIT_WORDS and words & LABEL_WORDS:
            continue
        if _is_stack_name(PurePosixPath(name).stem) and not is_common:
            yield name, False
            continue
        if folder not in is_picture:
            is_picture[folder] = _is_picture_file(root / name)
        yield name, is_picture[folder]


def _is_stack_name(stem: str) -> bool:
    words = set(split_words(stem))
    return bool(words) and words <= STACK_WORDS | SPLIT_WORDS and not any(map(str.isdigit, stem))


def _is_picture_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = read_header(file)
    except (OSError, NotAnArrayError):
        return True  # that it is damaged is told when it is decoded
    return header.dtype.kind in "buif" and is_picture_shape(header.shape)


def _drop_repeated(opened: Mapping[str, Container], found: Members) -> dict[str, Container]:
    """Leave out files whose images are all, by their names, in larger files of the same part of the data."""
    kept: dict[str, Container] = {}
    keys_of: defaultdict[str, set[str]] = defaultdict(set)
    for name in sorted(opened, key=lambda name: (-len(opened[name].keys), name)):
        container, seen = opened[name], keys_of[get_split(f"{name}/image")]
        if container.is_named and seen.issuperset(container.keys):
            line = f"images: {name} left out, as its {len(container.keys)} images are in a larger file by these names"
            found.notes.append(format_warning(line))
            continue
        kept[name] = container
        if container.is_named and len(opened) > 1:
            seen.update(container.keys)
    return {name: kept[name] for name in opened if name in kept}


def _describe_opened(opened: Mapping[str, Container]) -> list[str]:
    if not opened:
        return []
    n_images = sum(len(container.keys) for container in opened.values())
    files = f"{len(opened)} files of many images" if len(opened) > 1 else "one file of many images"
    return [f"images: {n_images} in {files}: {join_names(sorted(opened))}"]
