"""What a miniature of a competition is, and the folder that its builder fills.

`@miniature(...)` puts a builder into MINIATURES; the builders lie in files by layout and import nothing of the product.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tests.automl_tests.competitions.checker import Form
from tests.automl_tests.competitions.painting import encoded, painted

Marks = Iterable[str] | Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a builder knows of the folder that it filled.

    Attributes:
        form: what the competition accepts.
        truth: what the best submission holds, row for row: numbers, a label, or labels with spaces between.
        classes: the names, in the sample's order where it has one.
        n_images: how many labelled images there are.
        n_groups: how many groups of images belong together; None where each stands for itself.
    """

    form: Form
    truth: Sequence[Sequence[str]]
    classes: Sequence[str]
    n_images: int
    n_groups: int | None = None


@dataclass(frozen=True, kw_only=True)
class Miniature:
    """A competition of the reference.

    Attributes:
        row: its number in the reference.
        layout: where labels and images lie, in a few words.
        task: what is predicted.
        submission: what a row of the submission holds.
        needs: flags that the reference says nobody can infer, and that the slug makes unnecessary.
        build: fills a folder; what it made.
    """

    row: int
    slug: str
    layout: str
    task: str
    submission: str
    needs: tuple[str, ...]
    build: Callable[[Path], Made]


MINIATURES: dict[int, Miniature] = {}


def miniature(
    row: int,
    slug: str,
    *,
    layout: str,
    task: str,
    submission: str,
    needs: tuple[str, ...] = (),
) -> Callable[[Callable[[Folder], Made]], Callable[[Folder], Made]]:
    """Puts a builder into the table of miniatures."""

    def register(builder: Callable[[Folder], Made]) -> Callable[[Folder], Made]:
        MINIATURES[row] = Miniature(
            row=row,
            slug=slug,
            layout=layout,
            task=task,
            submission=submission,
            needs=needs,
            build=lambda path: builder(Folder(path, seed=zlib.crc32(slug.encode()))),
        )
        return builder

    return register


class Folder:
    """A competition's folder in the making; what is drawn is the same each time."""

    def __init__(self, path: Path, *, seed: int) -> None:
        self.path = path
        self.rng = np.random.default_rng(seed)
        self.classes: list[str] = []

    def deal(self, n: int, classes: Sequence[str] | None = None) -> list[str]:
        """n labels of which all classes have about equal numbers, shuffled."""
        names = list(classes or self.classes)
        labels = (names * math.ceil(n / len(names)))[:n]
        return [labels[index] for index in self.rng.permutation(n)]

    def hex_ids(self, n: int, length: int) -> list[str]:
        """n distinct ids of hexadecimal digits."""
        ids: dict[str, None] = {}
        while len(ids) < n:
            ids["".join("0123456789abcdef"[digit] for digit in self.rng.integers(0, 16, length))] = None
        return list(ids)

    def uuids(self, n: int) -> list[str]:
        """n distinct ids such as 58857ccf-23d2-11e8-a6a3-ec086b02610b."""
        return [f"{i[:8]}-{i[8:12]}-{i[12:16]}-{i[16:20]}-{i[20:]}" for i in self.hex_ids(n, 32)]

    def image(self, marks: Marks, *, width: int = 32, height: int = 32) -> Image.Image:
        """An image that shows these classes, each fully or to its level."""
        levels = dict(marks) if isinstance(marks, Mapping) else dict.fromkeys(marks, 1.0)
        return painted([levels.get(name, 0.0) for name in self.classes], self.rng, width=width, height=height)

    def paint(self, address: str, *marks: str, mode: str = "RGB", width: int = 32, height: int = 32) -> None:
        """Write an image of these classes."""
        self.save(address, self.image(marks, width=width, height=height).convert(mode))

    def pyramid(self, address: str, *marks: str) -> None:
        """Write a TIFF of these classes in two resolutions, the larger one first."""
        image, content = self.image(marks, width=64, height=64), io.BytesIO()
        image.save(content, "TIFF", save_all=True, append_images=[image.resize((16, 16))])
        self.write(address, content.getvalue())

    def save(self, address: str, image: Image.Image) -> None:
        self.write(address, encoded(image, PurePosixPath(address).suffix))

    def csv(self, address: str, header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
        """Write a table; an address that ends in .csv.zip becomes an archive of that one table."""
        content = table_bytes(header, rows)
        if address.endswith(".zip"):
            self.zip(address, {PurePosixPath(address).stem: content})
        else:
            self.write(address, content)

    def json(self, address: str, document: object) -> None:
        self.write(address, json.dumps(document).encode())

    def zip(self, address: str, members: Mapping[str, bytes]) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, member in members.items():
                archive.writestr(name, member)
        self.write(address, content.getvalue())

    def junk(self, *addresses: str) -> None:
        """Write files that are none of the product's business."""
        for address in addresses:
            self.write(address, b"\x00junk " + address.encode())

    def write(self, address: str, content: bytes) -> None:
        path = self.path / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def table_bytes(header: Sequence[object], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode()


def one_hot(labels: Iterable[str], classes: Sequence[str]) -> list[list[str]]:
    """The truth of a column for each class."""
    return [[str(int(label == name)) for name in classes] for label in labels]


def column(cells: Iterable[object]) -> list[list[str]]:
    """The truth of one column."""
    return [[str(cell)] for cell in cells]
