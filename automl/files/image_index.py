"""Find the image that an id names.

An id is never joined to a path: it either names an image that was found, or nothing, so that no id can lead out of the
folder.
"""

from __future__ import annotations

import copy
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from automl.errors import join_names
from automl.files import id_forms
from automl.files.id_forms import Rewrite
from automl.files.image_names import find_role, get_folder, get_split, is_image_name
from automl.files.image_pool import ImagePool

MIN_EXPLAINED = 0.9  # of the ids that name no image as they are written; fewer fit another way by chance
MIN_EXPLAINED_OF_ALL_IMAGES = 0.5  # of these ids, where every image has one
FORMS = ("number", "folder", "stem", "name", "path")  # how an id names its image, the surest last
ALL_POOLS = -1  # in place of the number of a set of images
COMPARED_NAMES = 1000  # enough to show what files are called


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedImages:
    """The image of each id, or None where it is missing or ambiguous.

    Attributes:
        ambiguous: "id (file, file)".
        notes: lines of evidence about which of several files were taken, and about ids that are written otherwise.
        form: how most ids that have an image name it, of FORMS; "" where none has.
    """

    names: tuple[str | None, ...]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]
    notes: tuple[str, ...] = ()
    form: str = ""

    @property
    def n_found(self) -> int:
        return sum(1 for name in self.names if name is not None)

    @property
    def strength(self) -> int:
        """How surely the ids name images: 5 by path, 4 by name, 3 by stem, 2 by folder, 1 by number, 0 not at all."""
        return FORMS.index(self.form) + 1 if self.form else 0


@dataclass(frozen=True, slots=True)
class _Found:
    """The images that an id names; more than one where it is ambiguous.

    Attributes:
        note: which of several files was taken.
        words: in what other way the id is written, such as "by number"; "" where it is as the file's name.
        form: how it names its image, of FORMS, where its text alone does not tell.
    """

    images: Sequence[str]
    note: str | None = None
    words: str = ""
    form: str = ""


NOTHING = _Found(())


class ImageLookup:
    """Find the image that an id names, in the first of several sets of images that has one.

    An id is a path from the competition's folder or in an archive, else a path below the training or test folder, else
    one below any folder, or a file name; each of them with its extension, else without. The first folders of a path
    that leads to nothing may be those of another machine: the rest is looked for from the competition's folder.
    Unicode forms of one name are the same name. Of several images by one name without extension, the one of the
    commoner format is taken, a thumbnail before the full image, and a file before a member of an archive. Where there
    is a file for each colour alone, they are one image. Backslashes, drives, addresses such as file://, quotes and
    needless slashes and dots around a path are dropped where the id names nothing as it is written.

    What else may be written otherwise (other case, 7 for 0007.png, the name of a folder) is decided for a set of ids
    together, by `match` and `fit`: in one way that gives each of them an image of its own.
    """

    def __init__(self, *pools: Iterable[str]) -> None:
        self._pools = [ImagePool(pool, id_forms.normalize) for pool in pools if pool]
        self._rewritten: dict[tuple[int, Rewrite], ImagePool] = {}
        self._found: dict[str, _Found] = {}  # each id is asked for several times
        self._fitted: Mapping[str, _Found] = {}

    def find(self, image_id: str) -> list[str]:
        """Return the images that the id names; more than one where it is ambiguous."""
        return list(self._find(image_id).images)

    def find_several(self, image_id: str) -> list[str]:
        """Return the images that stand for the id together, sorted: those of the folder of that name, else by prefix.

        A prefix ends before a sign: 10_left.png and 10_right.png are images of the id 10.
        """
        wanted = id_forms.clean_id(image_id, self._has_backslashes)
        for pool in self._pools:
            if found := pool.list_below(wanted) or pool.list_beginning(wanted):
                return found
        return []

    def match_several(self, image_ids: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Return the images that stand for each id together, in one way for all ids; none where two ids claim one."""
        wanted = [id_forms.clean_id(image_id, self._has_backslashes) for image_id in image_ids]
        best: list[list[str]] = [[] for _ in wanted]
        for rewrite in (id_forms.normalize, id_forms.drop_zeros):
            for pool in [self._rewrite(at, rewrite) for at in range(len(self._pools))]:
                for list_images in (pool.list_below, pool.list_beginning):
                    found = [list_images(rewrite(image_id)) for image_id in wanted]
                    best = max(best, found, key=lambda lists: sum(map(bool, lists)))
        n_ids_of = Counter(image for images in dict(zip(image_ids, best, strict=True)).values() for image in images)
        return tuple(tuple(images) if all(n_ids_of[image] == 1 for image in images) else () for images in best)

    def match(self, image_ids: Sequence[str]) -> MatchedImages:
        """Match each id to its image."""
        fitted = self.fit(image_ids)
        found = self._add_folders(image_ids, [fitted._find(image_id) for image_id in image_ids])
        pairs = [(image_id, one.images) for image_id, one in zip(image_ids, found, strict=True)]
        forms = Counter(_get_form(image_id, one) for image_id, one in zip(image_ids, found, strict=True) if one.images)
        return MatchedImages(
            names=tuple(images[0] if len(images) == 1 else None for _, images in pairs),
            missing=tuple(image_id for image_id, images in pairs if not images),
            ambiguous=tuple(f"{text} ({join_names(list(images))})" for text, images in pairs if len(images) > 1),
            notes=tuple(_describe_found(list(zip(image_ids, found, strict=True)))),
            form=max(forms, key=lambda form: (forms[form], FORMS.index(form)), default=""),
        )

    def _add_folders(self, image_ids: Sequence[str], found: Sequence[_Found]) -> list[_Found]:
        """Add the images of folders by the ids' names where these are numbers and may mean either, 24/1.png or 1/24."""
        numbers = [image_id.strip() for image_id in image_ids]
        if not all(map(str.isdecimal, numbers)):
            return list(found)
        below = [[image for pool in self._pools for image in pool.list_below(text)] for text in numbers]
        pairs = list(zip(found, below, strict=True))
        n_both = sum(bool(one.images and other) and set(one.images).isdisjoint(other) for one, other in pairs)
        if not n_both or n_both < MIN_EXPLAINED * len(pairs):
            return list(found)
        return [_Found((*one.images, *other), one.note) for one, other in pairs]

    def fit(self, image_ids: Iterable[str]) -> ImageLookup:
        """Return a lookup that finds these ids also where all that name nothing are written in one other way."""
        found = {image_id: self._find(image_id) for image_id in map(str.strip, image_ids)}
        if all(one.images for one in found.values()):
            return self
        fitted = copy.copy(self)
        fitted._fitted = {**self._fitted, **self._explain(found)}
        return fitted

    def find_nearest(self, image_id: str) -> str | None:
        """Return the file whose name is the most like the id, for a message; None where there are no images."""
        wanted = id_forms.clean_id(image_id, self._has_backslashes)
        for at in range(len(self._pools)):
            for way in WAYS:
                if found := way.find(self._rewrite(at, way.rewrite), way.rewrite(wanted)).images:
                    return found[0]
        if several := self.find_several(image_id):
            return several[0]
        images = self._list_images(ALL_POOLS)
        name_of = {image.rpartition("/")[2]: image for image in images[:: 1 + len(images) // COMPARED_NAMES]}
        close = difflib.get_close_matches(wanted.rpartition("/")[2], name_of, n=1, cutoff=0.0)
        return name_of[close[0]] if close else None

    def describe_miss(self, image_ids: Sequence[str], origin: str) -> str:
        """Describe the first of ids that name nothing beside the file that is called the most like it, in a line.

        Args:
            origin: of the ids, such as "train.csv".
        """
        image_id = next((image_id for image_id in image_ids if image_id.strip()), "")
        nearest = self.find_nearest(image_id)
        file = "no image is there" if nearest is None else f"a file is called {join_names([nearest])}"
        return f"id {join_names([image_id])} of {origin}; {file}"

    def _find(self, image_id: str) -> _Found:
        text = image_id.strip()
        found = self._found.get(text)
        if found is None:
            found = self._found[text] = self._find_as_written(text)
        return found if found.images else self._fitted.get(text, NOTHING)

    def _find_as_written(self, text: str) -> _Found:
        wanted = id_forms.normalize(text)
        if (found := _search(self._pools, wanted)).images:
            return found
        cleaned = id_forms.clean_id(text, self._has_backslashes)
        if cleaned and cleaned != wanted and (found := _search(self._pools, cleaned)).images:
            return _Found(found.images, found.note, "as plain paths")
        return NOTHING

    def _explain(self, found: Mapping[str, _Found]) -> dict[str, _Found]:
        """Find the images of the ids without any, in the one way that gives the most of them one of their own."""
        cleaned = {image_id: id_forms.clean_id(image_id, self._has_backslashes) for image_id in found}
        left = {image_id: cleaned[image_id] for image_id, one in found.items() if not one.images}
        taken = {image for one in found.values() for image in one.images}
        best: dict[str, _Found] = {}
        for way in WAYS if self._pools else ():
            explained: dict[str, _Found] = {}
            for at in [0, ALL_POOLS] if way.in_first_pool else range(len(self._pools)):
                if at == ALL_POOLS and (not explained or len(self._pools) == 1):
                    continue  # most images have to be of the first one
                explained = self._apply(way, at, left, taken)
                images = [image for one in explained.values() for image in one.images]
                if (
                    len(explained) > len(best)
                    and self._is_enough(images, len(left), at, taken)
                    and way.fits(list(cleaned.values()), list(left.values()), images, self._list_images(at))
                    and self._agrees(way, at, [(cleaned[image_id], one) for image_id, one in found.items()])
                ):
                    best = explained
            if len(best) == len(left):
                break
        return best

    def _apply(self, way: _Way, at: int, left: Mapping[str, str], taken: set[str]) -> dict[str, _Found]:
        """Return the image of each id that has one alone, which no other id has."""
        if way.find is _find_file and not self._differs(at, way.rewrite, left.values()):
            return {}
        pool = self._rewrite(at, way.rewrite)
        found = {image_id: way.find(pool, way.rewrite(cleaned)) for image_id, cleaned in left.items()}
        n_ids_of = Counter(image for one in found.values() for image in one.images)
        return {
            image_id: _Found(one.images, one.note, way.words, way.form)
            for image_id, one in found.items()
            if len(one.images) == 1 and n_ids_of[one.images[0]] == 1 and one.images[0] not in taken
        }

    def _is_enough(self, explained: Sequence[str], n_left: int, at: int, taken: set[str]) -> bool:
        """Whether so many of the ids that are left have images; of all sets, if most of these are of the first one."""
        if at == ALL_POOLS:
            n_first = len(set(self._pools[0].images).intersection(explained))
            return len(explained) >= MIN_EXPLAINED * n_left and n_first >= MIN_EXPLAINED_OF_ALL_IMAGES * len(explained)
        if len(explained) >= MIN_EXPLAINED * n_left:
            return True
        has_all_images = taken.issuperset(set(self._list_images(at)).difference(explained))
        return has_all_images and len(explained) >= MIN_EXPLAINED_OF_ALL_IMAGES * n_left

    def _agrees(self, way: _Way, at: int, found: Sequence[tuple[str, _Found]]) -> bool:
        """Whether nearly all ids that name images as they are written name these in the other way too."""
        pool = self._rewrite(at, way.rewrite)
        written = [(cleaned, one) for cleaned, one in found if one.images]
        n_same = sum(set(one.images) <= set(way.find(pool, way.rewrite(cleaned)).images) for cleaned, one in written)
        return n_same >= MIN_EXPLAINED * len(written)

    def _differs(self, at: int, rewrite: Rewrite, image_ids: Iterable[str]) -> bool:
        """Whether some id or some image of a set is another when it is rewritten."""
        return any(rewrite(name) != name for names in (image_ids, self._list_images(at)) for name in names)

    def _rewrite(self, at: int, rewrite: Rewrite) -> ImagePool:
        """Return the set of images at that place by rewritten names."""
        if rewrite is id_forms.normalize and at != ALL_POOLS:
            return self._pools[at]
        if (at, rewrite) not in self._rewritten:
            self._rewritten[at, rewrite] = ImagePool(self._list_images(at), rewrite)
        return self._rewritten[at, rewrite]

    def _list_images(self, at: int) -> Sequence[str]:
        if at != ALL_POOLS:
            return self._pools[at].images
        return [image for pool in self._pools for image in pool.images]

    @cached_property
    def _has_backslashes(self) -> bool:
        return any("\\" in image for pool in self._pools for image in pool.images)


def _find_file(pool: ImagePool, wanted: str) -> _Found:
    return _search([pool], wanted)


def _find_in_folder(pool: ImagePool, wanted: str) -> _Found:
    return _Found(pool.list_below(wanted))


def _fit_always(*_: object) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A way in which ids may be written otherwise than files.

    Attributes:
        words: as a line of evidence says it.
        rewrite: what makes ids and files comparable.
        form: how such ids name their images, of FORMS, where their text alone does not tell.
        find: the images that a rewritten id names among rewritten files.
        in_first_pool: whether it is believed only where most images are of the first set, as it might fit another one
            by chance.
        fits: whether the ids may be written so, and their images be these, given all ids, those that name nothing as
            they are written, the images that these would have, and all images of the set.
    """

    words: str
    rewrite: Rewrite
    form: str = ""
    find: Callable[[ImagePool, str], _Found] = _find_file
    in_first_pool: bool = False
    fits: Callable[[Sequence[str], Sequence[str], Sequence[str], Sequence[str]], bool] = _fit_always


def _are_numbers(
    image_ids: Sequence[str], left: Sequence[str], explained: Sequence[str], images: Sequence[str]
) -> bool:
    """Whether ids count images: nearly all are whole, zeros are as one program pads them, and they are not shifted."""
    stems = [id_forms.get_stem(image_id) for image_id in image_ids]
    if sum(id_forms.parse_whole_number(stem) is not None for stem in stems) < MIN_EXPLAINED * len(stems):
        return False
    padded = [[stem for stem in stems if stem.isdecimal()], [id_forms.get_stem(image) for image in explained]]
    if any(map(id_forms.is_fraction, stems)) or not all(map(id_forms.has_one_width, padded)):
        return False
    return len(explained) == len(left) or not id_forms.is_shifted(left, images)


def _share_a_folder(
    image_ids: Sequence[str], left: Sequence[str], explained: Sequence[str], images: Sequence[str]
) -> bool:
    """Whether all ids lie in one folder that is not here, and that is not called as another part of the data."""
    folders = {get_folder(image_id) for image_id in image_ids}
    if len(folders) != 1 or folders == {""} or len(left) < len(image_ids):
        return False
    part = get_split(left[0])
    is_other_part = any(find_role(folder) in ("validation", "unlabelled") for folder in left[0].split("/")[:-1])
    return not is_other_part and all(part in ("other", get_split(image)) for image in explained)


WAYS = (  # in the order in which one is preferred to another that explains as many ids
    _Way(words="in other case", rewrite=id_forms.ignore_case),
    _Way(words="in another Unicode form", rewrite=id_forms.ignore_width),
    _Way(words="by URL decoding", rewrite=id_forms.decode_url),
    _Way(words="as paths from elsewhere", rewrite=id_forms.drop_parents),
    _Way(words="but for case, Unicode form and URL encoding", rewrite=id_forms.clean_text),
    _Way(words="by number", form="number", rewrite=id_forms.drop_zeros, in_first_pool=True, fits=_are_numbers),
    *(
        _Way(words=words, form="folder", rewrite=rewrite, find=_find_in_folder, in_first_pool=True, fits=fits)
        for words, rewrite, fits in (
            ("by folder", id_forms.normalize, _fit_always),
            ("by folder but for case", id_forms.clean_text, _fit_always),
            ("by the number of a folder", id_forms.drop_zeros, _are_numbers),
        )
    ),
    _Way(
        words="by file name alone",
        form="name",
        rewrite=id_forms.clean_text,
        find=lambda pool, wanted: _Found(*pool.find_anywhere(wanted)),
        in_first_pool=True,
        fits=_share_a_folder,
    ),
)


def _search(pools: Sequence[ImagePool], wanted: str) -> _Found:
    """Search the images that an id names as it is written, in the first set that has one."""
    for pool in pools:
        names, note = pool.find(wanted)
        if names:
            return _Found(names, note)
    while wanted.count("/") > 1 and ".." not in wanted:  # one folder at least must be right
        wanted = wanted.partition("/")[2]
        for pool in pools:
            names, note = pool.find_at_path(wanted)
            if names:
                return _Found(names, note)
    return NOTHING


def _get_form(image_id: str, found: _Found) -> str:
    """Return how an id names its image, of FORMS."""
    if found.form:
        return found.form
    cleaned = id_forms.clean_id(image_id)
    if "/" in cleaned:
        return "path"
    if is_image_name(cleaned):
        return "name"
    return "number" if id_forms.parse_whole_number(cleaned) is not None else "stem"


def _describe_found(pairs: Sequence[tuple[str, _Found]]) -> Iterator[str]:
    """Describe which of several files were taken, and in which other way ids are written, with counts."""
    single = [(image_id, found) for image_id, found in pairs if len(found.images) == 1]
    notes = Counter(found.note for _, found in single if found.note is not None)
    yield from (f"{note} ({n} ids)" if n > 1 else f"{note} (1 id)" for note, n in notes.items())
    written = [(image_id, found) for image_id, found in single if found.words]
    n_written = Counter(found.words for _, found in written)
    first = {found.words: (image_id, found) for image_id, found in reversed(written)}
    for words, n in n_written.items():
        image_id, found = first[words]
        (image,) = found.images
        is_path = found.form == "folder" or "/" in image_id or "\\" in image_id
        example = join_names([f"{image_id} is {image if is_path else image.rpartition('/')[2]}"])
        yield f"images: ids matched {words}, {example} ({n} ids)" if n > 1 else f"images: id matched {words}, {example}"
