"""Find the image that an id names.

An id is never joined to a path: it either names an image that was found, or nothing, so that no id can lead out of the
folder.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from automl.errors import join_names
from automl.files.addresses import COLOUR_SETS, build_colour_address
from automl.files.image_formats import IMAGE_SUFFIXES
from automl.files.image_names import get_folder, get_split_folder, is_image_name, strip_archive, strip_suffix

THUMBNAIL = "_thumbnail"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedImages:
    """The image of each id, or None where it is missing or ambiguous.

    Attributes:
        ambiguous: "id (file, file)".
        notes: lines of evidence about which of several files were taken.
    """

    names: tuple[str | None, ...]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]
    notes: tuple[str, ...] = ()


class ImageLookup:
    """Find the image that an id names, in the first of several sets of images that has one.

    An id is a path from the competition's folder or in an archive, else a path below the training or test folder, else
    one below any folder, or a file name; each of them with its extension, else without. The first folders of a path
    that leads to nothing may be those of another machine: the rest is looked for from the competition's folder.
    Unicode forms of one name are the same name. Of several images by one name without extension, the one of the
    commoner format is taken, a thumbnail before the full image, and a file before a member of an archive. Where there
    is a file for each colour alone, they are one image.
    """

    def __init__(self, *pools: Iterable[str]) -> None:
        self._pools = [_Pool(pool) for pool in pools if pool]

    def find(self, image_id: str) -> list[str]:
        """Return the images that the id names; more than one where it is ambiguous."""
        return self._find_with_note(image_id)[0]

    def match(self, image_ids: Sequence[str]) -> MatchedImages:
        """Match each id to its image."""
        found = [self._find_with_note(image_id) for image_id in image_ids]
        pairs = [(image_id, names) for image_id, (names, _) in zip(image_ids, found, strict=True)]
        notes = Counter(note for names, note in found if note is not None and len(names) == 1)
        return MatchedImages(
            names=tuple(names[0] if len(names) == 1 else None for _, names in pairs),
            missing=tuple(image_id for image_id, names in pairs if not names),
            ambiguous=tuple(f"{image_id} ({join_names(names)})" for image_id, names in pairs if len(names) > 1),
            notes=tuple(f"{note} ({n} ids)" if n > 1 else f"{note} (1 id)" for note, n in notes.items()),
        )

    def _find_with_note(self, image_id: str) -> tuple[list[str], str | None]:
        wanted = _normalize(image_id.strip())
        for pool in self._pools:
            names, note = pool.find(wanted)
            if names:
                return names, note
        while wanted.count("/") > 1 and ".." not in wanted:  # one folder at least must be right
            wanted = wanted.partition("/")[2]
            for pool in self._pools:
                names, note = pool.find_at_path(wanted)
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
    """A set of images, indexed lazily by path, name and stem."""

    def __init__(self, images: Iterable[str]) -> None:
        self._images = tuple(images)
        self._index_of_endings: dict[int, _Index] = {}

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

    def _index_endings(self, n_folders: int) -> _Index:
        """Index images by their names and that many folders before them, with and without extension."""
        if n_folders not in self._index_of_endings:
            ends = [("/".join(path.split("/")[-n_folders - 1 :]), image) for path, image in self._composed]
            stems = [(strip_suffix(end), image) for end, image in ends]
            self._index_of_endings[n_folders] = _Index([*ends, *stems])
        return self._index_of_endings[n_folders]

    @cached_property
    def _has_thumbnails(self) -> bool:
        return any(THUMBNAIL in image for image in self._images)

    @cached_property
    def _composed(self) -> list[tuple[str, str]]:
        return [(_normalize(image), image) for image in self._images]

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
        return _Index(_find_colour_images(self._composed))


def _find_colour_images(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return (id, address) of the images that have a file for each colour and nothing else, such as x_red.png."""
    seen: dict[tuple[str, str], set[str]] = {}
    for _, image in pairs:
        stem = strip_suffix(image)
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
        (_normalize(before.rpartition("/")[2]), build_colour_address(f"{before}_", colours, after))
        for before, colours, after in whole
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
        other = next(name for name in found if formats[name] != formats[best[0]])
        note = f"images: {_get_suffix(best[0])} taken where there is a {_get_suffix(other)} of the same name"
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
    return -1 if wanted.lower().endswith(suffix) else IMAGE_SUFFIXES.index(suffix)


def _get_suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _normalize(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
