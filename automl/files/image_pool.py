"""Index a set of images by path, name, stem and folder, and choose where one name has several files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from automl.files.addresses import COLOUR_SETS, build_colour_address
from automl.files.id_forms import Rewrite
from automl.files.image_formats import IMAGE_SUFFIXES
from automl.files.image_names import get_folder, get_split_folder, is_image_name, strip_archive, strip_suffix

THUMBNAIL = "_thumbnail"
SEPARATOR = re.compile(r"[_\W]")  # ends an id at the beginning of a longer name


class ImagePool:
    """A set of images, indexed lazily by their names as `rewrite` writes them; what is looked for is written so too."""

    def __init__(self, images: Iterable[str], rewrite: Rewrite) -> None:
        self.images = tuple(images)
        self._rewrite = rewrite
        self._index_of_endings: dict[int, _Index] = {}
        self._index_of_folders: dict[int, _Index] = {}
        self._index_of_beginnings: dict[int, _Index] = {}

    def find(self, wanted: str) -> tuple[list[str], str | None]:
        """Return the images by that name, and a note where a choice was made."""
        if is_image_name(wanted):
            for index in (self._paths, self._below, self._names):
                if found := index[wanted]:
                    return _choose(found, wanted)
        stem = strip_suffix(wanted)
        if "/" in stem:
            found = self._path_stems[stem] or self._below_stems[stem]
            return _choose(found or self._index_endings(wanted.count("/"))[wanted], wanted)
        found = self._stems[stem]
        thumbnails = self._stems[stem + THUMBNAIL] if self._has_thumbnails and stem else []
        if thumbnails:
            note = f"images: {THUMBNAIL} files taken where there is a full image of the same name" if found else None
            return _choose(thumbnails, wanted)[0], note
        return _choose(found or self._colours[stem], wanted)

    def find_at_path(self, wanted: str) -> tuple[list[str], str | None]:
        """Return the images at that path from the competition's folder, with or without extension."""
        return _choose(self._paths[wanted] or self._path_stems[strip_suffix(wanted)], wanted)

    def find_anywhere(self, wanted: str) -> tuple[list[str], str | None]:
        """Return the images by the path's last part alone, with or without extension."""
        name = wanted.rpartition("/")[2]
        return _choose(self._names[name] or self._stems[strip_suffix(name)], wanted)

    def list_below(self, folder: str) -> list[str]:
        """List the images at any depth below the folders of that name, or of a path that ends so, sorted."""
        n_folders = folder.count("/")
        if n_folders not in self._index_of_folders:
            self._index_of_folders[n_folders] = _Index(self._pair_folders(n_folders))
        return sorted(set(self._index_of_folders[n_folders][folder])) if folder else []

    def list_beginning(self, beginning: str) -> list[str]:
        """List the images whose names, or paths, begin so before a separator, sorted."""
        n_folders = beginning.count("/")
        if n_folders not in self._index_of_beginnings:
            self._index_of_beginnings[n_folders] = _Index(self._pair_beginnings(n_folders))
        return sorted(set(self._index_of_beginnings[n_folders][beginning])) if beginning else []

    def _index_endings(self, n_folders: int) -> _Index:
        """Index images by their names and that many folders before them, with and without extension."""
        if n_folders not in self._index_of_endings:
            ends = [("/".join(path.split("/")[-n_folders - 1 :]), image) for path, image in self._composed]
            stems = [(strip_suffix(end), image) for end, image in ends]
            self._index_of_endings[n_folders] = _Index([*ends, *stems])
        return self._index_of_endings[n_folders]

    def _pair_folders(self, n_folders: int) -> Iterable[tuple[str, str]]:
        """Pair each image with each folder above it, by the folder's name and that many folders before it."""
        keys_of: dict[str, list[str]] = {}
        for image in self.images:
            folder = get_folder(image)
            if folder not in keys_of:
                parts = folder.split("/")[:-1]
                ends = range(n_folders, len(parts))
                keys_of[folder] = [self._rewrite("/".join(parts[end - n_folders : end + 1])) for end in ends]
            for key in keys_of[folder]:
                yield key, image

    def _pair_beginnings(self, n_folders: int) -> Iterable[tuple[str, str]]:
        """Pair each image with each part of its name before a separator, and that many folders before it."""
        for image in self.images:
            folder = "".join(f"{part}/" for part in image.split("/")[:-1][-n_folders:] if n_folders)
            stem = strip_suffix(image.rpartition("/")[2])
            for separator in SEPARATOR.finditer(stem):
                yield self._rewrite(folder + stem[: separator.start()]), image

    @cached_property
    def _has_thumbnails(self) -> bool:
        return any(THUMBNAIL in image for image in self.images)

    @cached_property
    def _composed(self) -> list[tuple[str, str]]:
        return [(self._rewrite(image), image) for image in self.images]

    @cached_property
    def _below_each_folder(self) -> list[tuple[str, str]]:
        depth_of: dict[str, int] = {}
        pairs = []
        for path, image in self._composed:
            folder = get_folder(path)
            if folder not in depth_of:
                depth_of[folder] = len(get_split_folder(path))
            pairs.append((path[depth_of[folder] :], image))
        return pairs

    @cached_property
    def _inner_paths(self) -> list[tuple[str, str]]:
        """Paths from the folder, and for members of archives also those from the archive."""
        inner = ((strip_archive(path), path, image) for path, image in self._composed if ".zip/" in path.lower())
        return [*self._composed, *((below, image) for below, path, image in inner if below != path)]

    @cached_property
    def _paths(self) -> _Index:
        return _Index(self._inner_paths)

    @cached_property
    def _path_stems(self) -> _Index:
        return _Index((strip_suffix(path), image) for path, image in self._inner_paths)

    @cached_property
    def _below(self) -> _Index:
        return _Index(self._below_each_folder)

    @cached_property
    def _below_stems(self) -> _Index:
        return _Index((strip_suffix(path), image) for path, image in self._below_each_folder)

    @cached_property
    def _names(self) -> _Index:
        return _Index((path.rpartition("/")[2], image) for path, image in self._composed)

    @cached_property
    def _stems(self) -> _Index:
        return _Index((strip_suffix(path.rpartition("/")[2]), image) for path, image in self._composed)

    @cached_property
    def _colours(self) -> _Index:
        named = find_colour_images(self.images)
        return _Index((self._rewrite(before.rpartition("/")[2]), address) for before, address in named)


class _Index:
    """Images by a key, nearly all of which have one image."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._first: dict[str, str] = {}
        self._all: dict[str, list[str]] = {}
        for key, image in pairs:
            first = self._first.setdefault(key, image)
            if first is not image:
                self._all.setdefault(key, [first]).append(image)

    def __getitem__(self, key: str) -> list[str]:
        first = self._first.get(key)
        return [] if first is None else self._all.get(key) or [first]


def find_colour_images(images: Iterable[str]) -> list[tuple[str, str]]:
    """Return (path before the colour, address) of what has a file for each colour and nothing else, as x_red.png."""
    seen: dict[tuple[str, str], set[str]] = {}
    for image in images:
        stem = strip_suffix(image)
        before, _, colour = stem.rpartition("_")
        if before and colour in COLOUR_SETS[-1]:
            seen.setdefault((before, image[len(stem) :]), set()).add(colour)
    return [
        (before, build_colour_address(f"{before}_", colours, after))
        for (before, after), found in seen.items()
        for colours in COLOUR_SETS
        if found == set(colours)
    ]


def _choose(found: list[str], wanted: str) -> tuple[list[str], str | None]:
    """Choose among several images: files before members of archives, preferred formats before others."""
    if len(found) < 2:
        return found, _describe_colours(found)
    note = None
    files = [name for name in found if strip_archive(name) == name]
    if files and len(files) < len(found):
        found, note = files, "images: files taken where an archive has an image of the same name"
    formats = {name: _rank_format(name, wanted) for name in found}
    best = [name for name in found if formats[name] == min(formats.values())]
    if len(best) < len(found):
        others = " or ".join(sorted({_get_suffix(name) for name in found} - {_get_suffix(best[0])}))
        note = f"images: {_get_suffix(best[0])} taken where there is a {others} of the same name"
    return best, note or _describe_colours(best)


def _describe_colours(names: Sequence[str]) -> str | None:
    if len(names) != 1 or "{" not in names[0]:
        return None
    colours = next((colours for colours in COLOUR_SETS if build_colour_address("", colours, "") in names[0]), None)
    if colours is None:
        return None
    rule = ", half of the yellow added to red and to green" if "yellow" in colours else ""
    return f"images: a gray file for each colour ({', '.join(colours)}), together one RGB image{rule}"


def _rank_format(name: str, wanted: str) -> int:
    """Rank the format of a file: the wanted extension first, in any case, then the preferred ones."""
    suffix = _get_suffix(name)
    if wanted.lower().endswith(suffix):
        return -1
    return IMAGE_SUFFIXES.index(suffix) if suffix in IMAGE_SUFFIXES else len(IMAGE_SUFFIXES)


def _get_suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()
