"""Which image an id names.

An id is never joined to a path: it either names an image that was found, or nothing, so that no id can lead out of the
folder. Not responsible for: finding the images (automl.files.images).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from automl.errors import listed
from automl.files.addresses import COLOUR_SETS, colours_address
from automl.files.image_names import below_archive, folder_of, is_image_name, split_folder, without_suffix

FORMAT_ORDER = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # what is read first and surest
THUMBNAIL = "_thumbnail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What ids name: for each id an image, or None where it is missing or ambiguous.

    Attributes:
        ambiguous: "id (file, file)".
        notes: lines of evidence about which of several files were taken.
    """

    names: tuple[str | None, ...]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]
    notes: tuple[str, ...] = ()


class ImageLookup:
    """Finds the image that an id names, in the first of several sets of images that has one.

    An id is a path from the competition's folder or in an archive, else a path below the training or test folder, else
    one below any folder, or a file name; each of them with its extension, else without. The first folders of a path
    that leads to nothing may be those of another machine: the rest is looked for from the competition's folder.
    Unicode forms of one name are the same name. Of several images by one name without extension, the one of the
    commoner format is taken, a thumbnail before the full image, and a file before a member of an archive. Where there
    is a file for each colour alone, they are one image.
    """

    def __init__(self, *pools: Iterable[str]) -> None:
        self._pools = [_Pool(pool) for pool in pools if pool]

    def candidates(self, image_id: str) -> list[str]:
        """The images that the id names; more than one where it is ambiguous."""
        return self._found(image_id)[0]

    def join(self, image_ids: Sequence[str]) -> Joined:
        """The image of each id."""
        found = [self._found(image_id) for image_id in image_ids]
        pairs = [(image_id, names) for image_id, (names, _) in zip(image_ids, found, strict=True)]
        notes = Counter(note for names, note in found if note is not None and len(names) == 1)
        return Joined(
            names=tuple(names[0] if len(names) == 1 else None for _, names in pairs),
            missing=tuple(image_id for image_id, names in pairs if not names),
            ambiguous=tuple(f"{image_id} ({listed(names)})" for image_id, names in pairs if len(names) > 1),
            notes=tuple(f"{note} ({n} ids)" if n > 1 else f"{note} (1 id)" for note, n in notes.items()),
        )

    def _found(self, image_id: str) -> tuple[list[str], str | None]:
        wanted = _composed(image_id.strip())
        for pool in self._pools:
            names, note = pool.find(wanted)
            if names:
                return names, note
        while wanted.count("/") > 1 and ".." not in wanted:  # one folder at least must be right
            wanted = wanted.partition("/")[2]
            for pool in self._pools:
                names, note = pool.at_path(wanted)
                if names:
                    return names, note
        return [], None


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


class _Pool:
    """A set of images, indexed in the ways that were asked for so far."""

    def __init__(self, images: Iterable[str]) -> None:
        self._images = tuple(images)
        self._index_of_endings: dict[int, _Index] = {}

    def find(self, wanted: str) -> tuple[list[str], str | None]:
        """The images by that name, and a note where a choice was made."""
        if is_image_name(wanted):
            for index in (self._paths, self._below, self._names):
                if found := index[wanted]:
                    return _chosen(found, wanted)
        stem = without_suffix(wanted)
        if "/" in stem:
            found = self._path_stems[stem] or self._below_stems[stem]
            return _chosen(found or self._endings(wanted.count("/"))[wanted], wanted)
        found = self._stems[stem]
        thumbnails = self._stems[stem + THUMBNAIL] if self._has_thumbnails and stem else []
        if thumbnails:
            note = f"images: {THUMBNAIL} files taken where there is a full image of the same name" if found else None
            return _chosen(thumbnails, wanted)[0], note
        return _chosen(found or self._colours[stem], wanted)

    def at_path(self, wanted: str) -> tuple[list[str], str | None]:
        """The images at that path from the competition's folder, with or without extension."""
        return _chosen(self._paths[wanted] or self._path_stems[without_suffix(wanted)], wanted)

    def _endings(self, n_folders: int) -> _Index:
        """Images by their names and that many folders before them, with and without extension."""
        if n_folders not in self._index_of_endings:
            ends = [("/".join(path.split("/")[-n_folders - 1 :]), image) for path, image in self._composed]
            bare = [(without_suffix(end), image) for end, image in ends]
            self._index_of_endings[n_folders] = _Index([*ends, *bare])
        return self._index_of_endings[n_folders]

    @cached_property
    def _has_thumbnails(self) -> bool:
        return any(THUMBNAIL in image for image in self._images)

    @cached_property
    def _composed(self) -> list[tuple[str, str]]:
        return [(_composed(image), image) for image in self._images]

    @cached_property
    def _below_each_folder(self) -> list[tuple[str, str]]:
        depth_of: dict[str, int] = {}
        pairs = []
        for path, image in self._composed:
            folder = folder_of(path)
            if folder not in depth_of:
                depth_of[folder] = len(split_folder(path))
            pairs.append((path[depth_of[folder] :], image))
        return pairs

    @cached_property
    def _inner_paths(self) -> list[tuple[str, str]]:
        """Paths from the folder, and for members of archives also those from the archive."""
        inner = ((below_archive(path), path, image) for path, image in self._composed if ".zip/" in path.lower())
        return [*self._composed, *((below, image) for below, path, image in inner if below != path)]

    @cached_property
    def _paths(self) -> _Index:
        return _Index(self._inner_paths)

    @cached_property
    def _path_stems(self) -> _Index:
        return _Index((without_suffix(path), image) for path, image in self._inner_paths)

    @cached_property
    def _below(self) -> _Index:
        return _Index(self._below_each_folder)

    @cached_property
    def _below_stems(self) -> _Index:
        return _Index((without_suffix(path), image) for path, image in self._below_each_folder)

    @cached_property
    def _names(self) -> _Index:
        return _Index((path.rpartition("/")[2], image) for path, image in self._composed)

    @cached_property
    def _stems(self) -> _Index:
        return _Index((without_suffix(path.rpartition("/")[2]), image) for path, image in self._composed)

    @cached_property
    def _colours(self) -> _Index:
        return _Index(_colour_images(self._composed))


def _colour_images(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(id, address) of the images that have a file for each colour and nothing else, such as x_red.png."""
    seen: dict[tuple[str, str], set[str]] = {}
    for _, image in pairs:
        stem = without_suffix(image)
        before, _, colour = stem.rpartition("_")
        if before and colour in COLOUR_SETS[-1]:
            seen.setdefault((before, image[len(stem) :]), set()).add(colour)
    whole = [
        (before, colours, after)
        for (before, after), found in seen.items()
        for colours in COLOUR_SETS
        if found == set(colours)
    ]
    return [
        (_composed(before.rpartition("/")[2]), colours_address(f"{before}_", colours, after))
        for before, colours, after in whole
    ]


def _chosen(found: list[str], wanted: str) -> tuple[list[str], str | None]:
    """The images left of several when files go before members of archives, and common formats before others."""
    if len(found) < 2:
        return found, _colours_note(found)
    note = None
    files = [name for name in found if below_archive(name) == name]
    if files and len(files) < len(found):
        found, note = files, "images: files taken where an archive has an image of the same name"
    formats = {name: _format_rank(name, wanted) for name in found}
    best = [name for name in found if formats[name] == min(formats.values())]
    if len(best) < len(found):
        other = next(name for name in found if formats[name] != formats[best[0]])
        note = f"images: {_suffix(best[0])} taken where there is a {_suffix(other)} of the same name"
    return best, note or _colours_note(best)


def _colours_note(names: Sequence[str]) -> str | None:
    if len(names) != 1 or "{" not in names[0]:
        return None
    colours = next((colours for colours in COLOUR_SETS if colours_address("", colours, "") in names[0]), None)
    if colours is None:
        return None
    rule = ", half of the yellow added to red and to green" if "yellow" in colours else ""
    return f"images: a gray file for each colour ({', '.join(colours)}), together one RGB image{rule}"


def _format_rank(name: str, wanted: str) -> int:
    """The lowest is taken: the extension that was asked for, in any case, then the commoner ones."""
    suffix = _suffix(name)
    return -1 if wanted.lower().endswith(suffix) else FORMAT_ORDER.index(suffix)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
