"""What a kind of folder is, and the folder that its builder fills.

A builder is registered by `@kind(...)` in a module by_<topic>.py of this package. It fills the folder and returns the
truth: what each image is, by its path, and what the product has to say of the whole, or how it has to refuse. The
builders import nothing of the product.

    @kind("ids that lost their zeros")
    def padded(folder: Folder) -> Read | Refused:
        for i in range(24):
            folder.image(f"train/{i:04d}.png")
        folder.csv("train.csv", ["id", "label"], [[i, "cat" if i % 2 else "dog"] for i in range(24)])
        folder.sample([f"t{i}" for i in range(4)], value="cat")      # paints test/t0.png .. and writes the sample
        return Read(
            train={f"train/{i:04d}.png": "cat" if i % 2 else "dog" for i in range(24)},
            test=[f"test/t{i}.png" for i in range(4)],
            says=("matched by number",),
        )

`flags` of `@kind` are given to `automl inspect`. Several variants of a kind are several builders, or one with
`@kind(name, variants=[...])`, whose builder takes the variant as its second argument.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a folder is, where it has to be read.

    Attributes:
        train: the label of each training image by its path below the folder; several joined by "|", values as numbers.
        test: paths of the test images; None where they do not matter.
        task, submission_kind, groups, classes, n_left_out: as `inspect --json` prints them; None where it does not
            matter.
        says: each stands in a line of evidence, a warning or a suggested flag.
        columns: of the submission; None where they do not matter.
    """

    train: Mapping[str, str | float]
    test: Sequence[str] | None = None
    task: str | None = None
    submission_kind: str | None = None
    groups: str | None = None
    classes: Sequence[str] | None = None
    n_left_out: int | None = None
    columns: Sequence[str] | None = None
    says: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """How a folder has to be refused.

    Attributes:
        says: each stands in the problem, the hint or what was seen.
        exit_code: 3 for the folder, 2 for a flag.
    """

    says: Sequence[str]
    exit_code: int = 3


Truth = Read | Refused


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A folder of a kind.

    Attributes:
        build: fills a folder and returns the truth.
        below: the folder below the built one that is inspected.
    """

    name: str
    flags: tuple[str, ...]
    build: Callable[[Folder], Truth]
    below: str = ""


KINDS: dict[str, Kind] = {}


@dataclass
class Folder:
    """A folder that is being filled; pictures differ by a running number.

    Attributes:
        root: where it lies.
    """

    root: Path
    n_painted: int = field(default=0)

    def image(self, *names: str, side: int = 8) -> None:
        """Write pictures, in the format that the end of the name says; PNG where it says nothing that Pillow knows."""
        for name in names:
            path = self._place(name)
            self.n_painted += 1
            pixels = np.random.default_rng(self.n_painted).integers(0, 255, (side, side, 3), np.uint8)
            picture = Image.fromarray(pixels)
            known = Image.registered_extensions().get(path.suffix.lower())
            picture.save(path, format=known if known in Image.SAVE else "PNG")

    def file(self, name: str, content: bytes | str = b"x") -> None:
        """Write any file."""
        self._place(name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def csv(
        self,
        name: str,
        header: Sequence[object] | None,
        rows: Iterable[Sequence[object]],
        *,
        delimiter: str = ",",
        encoding: str = "utf-8",
    ) -> None:
        """Write a table; without its first line where header is None."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerows([*([header] if header is not None else []), *rows])
        self._place(name).write_bytes(text.getvalue().encode(encoding))

    def json(self, name: str, content: Any) -> None:
        """Write a JSON document."""
        self.file(name, json.dumps(content))

    def sample(
        self,
        ids: Sequence[str],
        *,
        value: object = "",
        header: Sequence[str] = ("id", "label"),
        folder: str = "test",
        suffix: str = ".png",
        name: str = "sample_submission.csv",
    ) -> list[str]:
        """Paint a test image for each id, write the sample submission, and return the images' paths."""
        images = [f"{folder}/{image_id}{suffix}" for image_id in ids]
        self.image(*images)
        self.csv(name, header, [[image_id, *[value] * (len(header) - 1)] for image_id in ids])
        return images

    def link(self, name: str, target: str) -> None:
        """Make a link, whose target is written as it is given."""
        self._place(name).symlink_to(target)

    def _place(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def kind(
    name: str, *, flags: Sequence[str] = (), variants: Sequence[Any] | None = None, below: str = ""
) -> Callable[[Callable[..., Truth]], Callable[..., Truth]]:
    """Register a builder, once for each variant."""

    def register(build: Callable[..., Truth]) -> Callable[..., Truth]:
        for variant in [None] if variants is None else variants:
            full = name if variants is None else f"{name}: {variant}"
            if full in KINDS:
                raise ValueError(f"two kinds are called {full}")
            KINDS[full] = Kind(
                name=full, flags=tuple(flags), build=_bind(build, variants is None, variant), below=below
            )
        return build

    return register


def _bind(build: Callable[..., Truth], is_single: bool, variant: Any) -> Callable[[Folder], Truth]:
    return build if is_single else lambda folder: build(folder, variant)
