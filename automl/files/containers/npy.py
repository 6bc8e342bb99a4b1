"""Parse NumPy's .npy format without ever unpickling an object.

Source: NumPy enhancement proposal 1 (NEP 1), as numpy.lib.format writes it.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

ARRAY_SUFFIX = ".npy"
MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 65_536


class NotAnArrayError(Exception):
    """The bytes are no whole .npy file of numbers; the reason in a few words."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What a .npy file says of its array; the numbers begin at `start`."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def map_numbers(self, buffer: Any) -> NDArray[Any]:
        """View the numbers in the buffer of the whole file, without a copy.

        Raises:
            NotAnArrayError: the buffer is shorter than the header says.
        """
        if len(buffer) < self.start + self.n_bytes:
            raise NotAnArrayError(f"it is cut after {len(buffer)} of {self.start + self.n_bytes} bytes")
        flat = np.frombuffer(buffer, dtype=self.dtype, count=math.prod(self.shape), offset=self.start)
        return flat.reshape(self.shape, order="F" if self.is_fortran else "C")


def read_header(file: IO[bytes]) -> ArrayHeader:
    """Read the header of a .npy file from its beginning.

    Raises:
        NotAnArrayError: it is none, or its array holds objects, which only unpickling would give.
    """
    try:
        version = npy_format.read_magic(file)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, is_fortran, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # the header is a literal of Python's, and a damaged one makes it trip over anything
        raise NotAnArrayError(str(error) or type(error).__name__) from error
    if dtype.hasobject or dtype.kind not in "buifSU":
        raise NotAnArrayError(f"it holds {'objects' if dtype.hasobject else dtype}, not numbers")
    if any(side < 0 for side in shape):
        raise NotAnArrayError(f"its shape is {shape}")
    return ArrayHeader(tuple(int(side) for side in shape), bool(is_fortran), dtype, file.tell())


def parse_array(content: bytes) -> NDArray[Any]:
    """Parse the content of a .npy file.

    Raises:
        NotAnArrayError: it is none.
    """
    return read_header(io.BytesIO(content)).map_numbers(content)
