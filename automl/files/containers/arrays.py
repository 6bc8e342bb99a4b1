"""Find the images among named arrays: those of an HDF5 file, of .npz, or of .npy files beside one another.

arrays                                      images
------------------------------------------  ---------------------------------------------------------
(n, H, W), (n, H, W, C) or (n, C, H, W)     n of them, beside an array of n labels or called as such
                                            stacks are: images, x_train, test_images
(n, p) beside n labels, p a square or       n of them, flattened
three, called as stacks are
(n,) of encoded files, called so            n of them
an encoded file, or an array of an          one, of the array's name
image's shape, where there is no stack
(n,), (n, 1) or (n, k) beside a stack of n  a column, or k of them, of that stack; of those that name
                                            train, val or test, the one that names the same
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.files.array_images import MAX_CHANNELS, is_picture_shape
from automl.files.containers.container import (
    Columns,
    NoImagesError,
    find_names,
    format_value,
    is_key,
    make_missing_error,
    make_row_keys,
)

STACK_WORDS = frozenset({"x", "image", "images", "imgs", "img", "data", "pixels", "features", "inputs", "arr"})
SPLIT_WORDS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
WORD = re.compile(r"[A-Za-z]+")
MIN_SIDE = 4  # pixels; a smaller array is one of numbers
MIN_FLAT = 64  # numbers in a row that are an image's pixels one after the other
MAX_COLUMNS = 1000  # beside an image
INTERLEAVED_RATIO = 0.8  # of the steps between rows; by chance they do not become so much smaller


@dataclass(frozen=True, slots=True)
class NamedArray:
    """An array by its name, before it is read.

    Attributes:
        is_encoded: whether it is an image file's bytes, or each of its (n,) items is.
        read_row: reads the item of that number along the first axis.
        read: reads all of it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_encoded: bool
    read_row: Callable[[int], Any]
    read: Callable[[], Any]

    @property
    def is_numeric(self) -> bool:
        return self.dtype.kind in "buif" and not self.is_encoded


class ArrayFile:
    """The images among named arrays; see `automl.files.containers.container.Container`.

    Raises:
        NoImagesError: there is none.
    """

    def __init__(self, path: Path, arrays: Sequence[NamedArray]) -> None:
        self._path = path
        self.remarks: tuple[str, ...] = ()
        n_flat_of = Counter(array.shape[0] for array in arrays if array.shape and _is_flat(array.shape[1:]))
        self._stacks = [array for array in arrays if _is_stack(array, n_flat_of)]
        stacked = {array.name for array in self._stacks}
        self._others = [array for array in arrays if array.name not in stacked]
        alike = len(arrays) > 1 and len({array.shape for array in arrays}) == 1
        singles = [] if self._stacks else [array for array in arrays if _is_single(array, are_alike=alike)]
        self._singles = {array.name: array for array in singles}
        if self._stacks:
            self._columns_of = {stack.name: self._read_stack_columns(stack) for stack in self._stacks}
            names = {stack.name: find_names(self._columns_of[stack.name]) for stack in self._stacks}
            self.is_named = all(names.values())
            self._rows = dict(self._list_rows(names))
        else:
            self.is_named, self._rows = True, {}
            left_out = [array.name for array in arrays if array.name not in self._singles]
            self.remarks = (f"{len(left_out)} arrays that are no images",) if left_out and self._singles else ()
        self.keys = tuple(self._rows or self._singles)
        if not self.keys:
            shown = ", ".join(f"{array.name or 'array'} {'x'.join(map(str, array.shape))}" for array in arrays[:3])
            raise NoImagesError(f"no array in it is a stack of images or one ({shown or 'it is empty'})")

    @property
    def has_stacks(self) -> bool:
        """Whether the images are the items of arrays, not arrays themselves."""
        return bool(self._stacks)

    def read(self, key: str) -> bytes | NDArray[Any]:
        """Read one image."""
        if key in self._rows:
            stack, row = self._rows[key]
            return _to_image(stack.read_row(row), stack)
        if key in self._singles:
            return _to_image(self._singles[key].read(), self._singles[key])
        raise make_missing_error(self._path, key)

    def read_columns(self) -> Columns:
        """Return the arrays beside the stacks as columns."""
        if not self._stacks:
            return {}
        names = dict.fromkeys(name for columns in self._columns_of.values() for name in columns)
        return {
            name: tuple(
                value
                for stack in self._stacks
                for value in self._columns_of[stack.name].get(name, ("",) * stack.shape[0])
            )
            for name in names
        }

    def _list_rows(self, names: Mapping[str, Sequence[str]]) -> list[tuple[str, tuple[NamedArray, int]]]:
        listed = []
        for stack in self._stacks:
            keys = names[stack.name] if self.is_named else make_row_keys(stack.shape[0])
            prefix = f"{stack.name}/" if stack.name else ""
            listed += [(f"{prefix}{key}", (stack, row)) for row, key in enumerate(keys)]
        return listed

    def _read_stack_columns(self, stack: NamedArray) -> Columns:
        """Read the arrays that belong to a stack, called without the words that all of them share."""
        beside = [array for array in self._others if _is_beside(array, stack)]
        columns: dict[str, tuple[str, ...]] = {}
        for array in beside:
            values = np.asarray(array.read()).reshape(stack.shape[0], -1)
            name = _get_column_name(array.name)
            if values.shape[1] == 1:
                columns[name] = _format_values(values[:, 0])
            else:
                columns |= {f"{name}_{k}": _format_values(values[:, k]) for k in range(values.shape[1])}
        return columns


def _is_stack(array: NamedArray, n_flat_of: Mapping[int, int]) -> bool:
    """Whether an array is a stack of images by its shape, its name, and the labels beside it.

    Args:
        n_flat_of: how many arrays have one value, or a row of them, for each of so many images.
    """
    if not array.shape or not array.shape[0] or not (is_key(array.name) or not array.name):
        return False
    n_rows, rest = array.shape[0], array.shape[1:]
    called = bool(STACK_WORDS & set(_split_words(array.name))) or not _split_meaning(array.name)
    labelled = n_flat_of.get(n_rows, 0) > _is_flat(rest)
    if array.is_encoded:
        return len(array.shape) == 1 and (called or labelled)
    if not array.is_numeric:
        return False
    if len(rest) == 1:
        return called and labelled and rest[0] >= MIN_FLAT and find_flat_shape(rest[0]) is not None
    if len(rest) == 3:
        return is_picture_shape(rest) and min(sorted(rest)[1:]) >= MIN_SIDE
    if len(rest) != 2 or min(rest) < 1:
        return False
    if rest[1] <= MAX_CHANNELS < n_rows:  # H x W x C as well
        return called and labelled and rest[0] >= MIN_SIDE and rest[1] >= MIN_SIDE
    return min(rest) >= MIN_SIDE and (called or labelled)


def _is_flat(shape: tuple[int, ...]) -> bool:
    return math.prod(shape) <= MAX_COLUMNS and sum(side > 1 for side in shape) <= 1


def _is_single(array: NamedArray, *, are_alike: bool) -> bool:
    """Whether an array is an image; numbers with a sign or a fraction are one only where all arrays have one shape."""
    if not is_key(array.name):
        return False
    if array.is_encoded:
        return not array.shape
    sides = sorted(side for side in array.shape if side != 1)
    if not array.is_numeric or not is_picture_shape(array.shape) or len(sides) < 2 or sides[-2] < MIN_SIDE:
        return False
    return array.dtype.kind in "bu" or are_alike


def _is_beside(array: NamedArray, stack: NamedArray) -> bool:
    """Whether an array has a value for each image of the stack, and of no other part of the data."""
    if array.is_encoded or array.shape[:1] != stack.shape[:1] or not _is_flat(array.shape[1:]):
        return False
    return _find_part(array.name) == _find_part(stack.name)


def _find_part(name: str) -> str:
    """Return "train", "test", "val" or "", by the word in the name."""
    for word in _split_words(name):
        if word in SPLIT_WORDS:
            return next(part for part in ("train", "test", "val") if word.startswith(part))
    return ""


def _get_column_name(name: str) -> str:
    return "_".join(_split_meaning(name.rpartition("/")[2])) or "label"


def _split_meaning(name: str) -> list[str]:
    return [word for word in _split_words(name) if word not in SPLIT_WORDS]


def _split_words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name)]


def _format_values(values: NDArray[Any]) -> tuple[str, ...]:
    return tuple(format_value(value) or "" for value in values.tolist())


def _to_image(value: Any, array: NamedArray) -> bytes | NDArray[Any]:
    """Return a value that was read as a file's content, or as an array in an image's shape."""
    if array.is_encoded:
        return value.tobytes() if isinstance(value, np.ndarray | np.generic) else bytes(value)
    values = np.asarray(value)
    return unflatten_image(values) if values.ndim == 1 else values


def find_flat_shape(n_pixels: int) -> tuple[int, ...] | None:
    """Return the shape of an image whose pixels lie one after the other: a known one, a square, or three of these."""
    if n_pixels in KNOWN_SHAPES:
        return KNOWN_SHAPES[n_pixels]
    side, colour_side = math.isqrt(n_pixels), math.isqrt(n_pixels // 3)
    if side * side == n_pixels:
        return side, side
    return (3, colour_side, colour_side) if 3 * colour_side * colour_side == n_pixels else None


KNOWN_SHAPES: Mapping[int, tuple[int, ...]] = {137 * 236: (137, 236)}  # of bengaliai-cv19


def unflatten_image(values: NDArray[Any]) -> NDArray[Any]:
    """Return pixels that lie one after the other as an image; of three colours, whichever order is smoother.

    As in tables of pixels, three colours may be three squares or three values for each pixel; an image decides alone.

    Raises:
        NoImagesError: their number makes none.
    """
    shape = find_flat_shape(len(values))
    if shape is None:
        raise NoImagesError(f"{len(values)} numbers make no square, gray or of 3 colours")
    if len(shape) == 2:
        return values.reshape(shape)
    width = shape[2]
    # Where colours lie side by side, the pixel below is three widths further on.
    steps = [
        float(np.abs(np.diff(values.reshape(-1, row).astype(np.float64), axis=0)).mean()) for row in (3 * width, width)
    ]
    if steps[0] < INTERLEAVED_RATIO * steps[1]:
        return values.reshape(shape[1], width, 3)
    return values.reshape(shape).transpose(1, 2, 0)
