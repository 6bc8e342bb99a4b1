"""The folders that images lie in, as a tree: their children, and the images in and below each of them.

A folder is its path with a slash behind it; the folder that all lie in is "".
"""

from __future__ import annotations

import difflib
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

from automl.errors import UsageError, join_names
from automl.files.image_names import get_folder


class FolderTree:
    """The folders of images by their paths, which end in a slash; the folder itself is "".

    Attributes:
        members: the images right in a folder.
        n_below: the number of images anywhere below it.
        children: of each folder.
    """

    def __init__(self, images: Collection[str]) -> None:
        self._images = frozenset(images)
        self.members: defaultdict[str, list[str]] = defaultdict(list)
        for image in images:
            self.members[get_folder(image)].append(image)
        self.children: defaultdict[str, list[str]] = defaultdict(list)
        self.n_below: Counter[str] = Counter()
        for folder, members in self.members.items():
            for parent, child in iterate_ancestors(folder):
                if child not in self.n_below:
                    self.children[parent].append(child)
                self.n_below[child] += len(members)
            self.n_below[""] += len(members)
        for children in self.children.values():
            children.sort()

    def has_image(self, image: str) -> bool:
        """Whether there is such an image."""
        return image in self._images

    def list_below(self, folder: str) -> Iterator[str]:
        """List the images anywhere below a folder."""
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            yield from self.members.get(current, ())
            waiting += self.children.get(current, ())


def iterate_ancestors(folder: str) -> Iterator[tuple[str, str]]:
    """Iterate over (parent, folder) from the top down to the folder."""
    at = -1
    while (end := folder.find("/", at + 1)) >= 0:
        yield folder[: at + 1], folder[: end + 1]
        at = end


def split_path(path: str) -> tuple[str, str]:
    """Split "a/b/" into its parent "a/" and its name "b"."""
    parent, _, name = path.rstrip("/").rpartition("/")
    return f"{parent}/" if parent else "", name


def find_folder(given: str, tree: FolderTree, flag: str) -> str:
    """Return the path, with its slash, of the folder that a flag names; "" for ".".

    Raises:
        UsageError: no image lies in such a folder.
    """
    wanted = os.path.normpath(given.strip().replace("\\", "/")).strip("/")
    if wanted == ".":
        return ""
    folders = {folder.rstrip("/"): folder for folder in tree.n_below if folder}
    found = folders.get(wanted) or next(
        (path for name, path in folders.items() if name.lower() == wanted.lower()), None
    )
    if found is not None:
        return found
    close = difflib.get_close_matches(wanted, folders, n=3) or sorted(folders, key=lambda name: (name.count("/"), name))
    names = join_names(close, at_most=5)
    hint = f"name one of {names}" if names else "check the folder: it has no folder with images"
    raise UsageError(f"{flag} {given}: no image lies in such a folder", hint=hint)
