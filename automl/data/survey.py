"""One look at every image: whether it can be decoded, its size, its colours, and marks to tell duplicates by.

Made once and kept in a file. Not responsible for: what follows from it (automl.data.cleaning,
automl.inspection.inspection).
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl.artifacts import Arrays, digest_of, read_arrays, write_bytes
from automl.data.competition import Competition
from automl.errors import DataError, StorageError
from automl.files.addresses import files_behind
from automl.files.decoding import look

Progress = Callable[[int, int], None]

RULES = "1"  # raise it when decoding or what is noted changes, so that old files are made again
THUMBNAIL_SIDE = 32
DECODED_SIDE = 64  # JPEG is reduced no further, so that thumbnails of a photo in two sizes agree
CHUNK = 32  # images per task of a thread


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFacts:
    """Of the images of one split, in the competition's order; zeros where an image cannot be decoded.

    Attributes:
        widths, heights: (n,) pixels, int32, upright.
        n_bytes: (n,) int64, of the file or archive member; of the pixels where an image is a row of a table.
        thumbnails: (n, 32, 32, 3) uint8 RGB, the whole image squeezed into a square.
        content: (n,) digest of the same bytes, as text; "" where the image cannot be decoded.
        problems: row -> why the image cannot be decoded, in a line that names it by its address below the root.
        formats: what kinds of files there are, with counts: "JPEG", "16-bit gray PNG", "animated GIF", ...
    """

    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    n_bytes: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]
    content: tuple[str, ...]
    problems: Mapping[int, str]
    formats: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What was seen of all images."""

    train: ImageFacts
    test: ImageFacts


def survey_images(
    competition: Competition, folder: Path, *, n_threads: int = 1, on_progress: Progress | None = None
) -> Survey:
    """What one pass over all images of a competition sees; read from its file in the folder the second time.

    Images that are known to be unreadable (competition.unreadable_test) are not opened, and have no problem.

    Args:
        folder: where the file is kept; it may be deleted at any time. A changed image makes another file.
        on_progress: called from this thread with (images done, images), now and then; not at all for a kept survey.

    Raises:
        StorageError: the file cannot be written.
    """
    known_unreadable = frozenset(competition.unreadable_test)
    train: list[Path | None] = list(competition.image_paths)
    test = [None if row in known_unreadable else path for row, path in enumerate(competition.test_paths)]
    target = folder / f"survey-{_fingerprint(competition.root, [*train, *test])}.npz"
    kept = _kept(target, len(train), len(test))
    if kept is not None:
        return kept
    survey = _surveyed(train, test, competition.root, n_threads=n_threads, report=on_progress or _silent)
    _keep(survey, target)
    return survey


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of one image; kind is empty where it could not be decoded, or was not opened."""

    size: tuple[int, int] = (0, 0)
    n_bytes: int = 0
    content: str = ""
    kind: str = ""
    problem: str = ""


def _silent(done: int, total: int) -> None:
    pass


def _fingerprint(root: Path, paths: Sequence[Path | None]) -> str:
    """Of names, sizes and times of change, as the pixel cache's; a file that is gone has neither size nor time."""
    parts, stamps = [RULES], dict[Path, str]()
    for path in paths:
        if path is None:
            parts.append("")
            continue
        parts.append(str(path)[len(str(root)) :])
        for file in files_behind(path):
            if file not in stamps:
                stamps[file] = _stamp(file)
            parts.append(stamps[file])
    return digest_of(parts)


def _stamp(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return "gone"
    return f"{status.st_size} {status.st_mtime_ns}"


def _surveyed(
    train: Sequence[Path | None], test: Sequence[Path | None], root: Path, *, n_threads: int, report: Progress
) -> Survey:
    paths = [*train, *test]
    thumbnails = np.zeros((len(paths), THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), dtype=np.uint8)

    def look_at_chunk(start: int) -> list[_Seen]:
        rows = range(start, min(start + CHUNK, len(paths)))
        return [_look_at(paths[row], root, thumbnails[row]) for row in rows]

    seen: list[_Seen] = []
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="survey")
    try:
        for chunk in pool.map(look_at_chunk, range(0, len(paths), CHUNK)):
            seen += chunk
            report(len(seen), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return Survey(
        train=_facts(seen[: len(train)], thumbnails[: len(train)]),
        test=_facts(seen[len(train) :], thumbnails[len(train) :]),
    )


def _look_at(path: Path | None, root: Path, thumbnail: NDArray[np.uint8]) -> _Seen:
    """What is seen of an image, whose thumbnail is put into the array."""
    if path is None:
        return _Seen()
    try:
        looked = look(path, min_side=DECODED_SIDE)
    except DataError as error:
        return _Seen(problem=error.problem.replace(f"{root}/", ""))
    thumbnail[:] = _thumbnail(looked.image, looked.size)
    return _Seen(looked.size, looked.n_bytes, looked.digest, looked.kind)


def _thumbnail(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image, which may be decoded at a fraction of its size, squeezed into a square."""
    box = (0.0, 0.0, float(image.width), float(image.height))
    reduction = max(1, round(size[0] / image.width))
    if image.size == tuple(math.ceil(side / reduction) for side in size):
        # It may end in a part of a pixel, which would shift copies of other sizes against each other.
        box = (0.0, 0.0, size[0] / reduction, size[1] / reduction)
    # Pillow's resize averages over the pixels that it leaves out, unlike OpenCV's linear one.
    return np.asarray(image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR, box=box))


def _facts(seen: Sequence[_Seen], thumbnails: NDArray[np.uint8]) -> ImageFacts:
    sizes = np.array([image.size for image in seen], dtype=np.int32).reshape(-1, 2)
    return ImageFacts(
        widths=sizes[:, 0],
        heights=sizes[:, 1],
        n_bytes=np.array([image.n_bytes for image in seen], dtype=np.int64),
        thumbnails=thumbnails,
        content=tuple(image.content for image in seen),
        problems={row: image.problem for row, image in enumerate(seen) if image.problem},
        formats=dict(Counter(image.kind for image in seen if image.kind).most_common()),
    )


def _keep(survey: Survey, target: Path) -> None:
    """Write the survey; not compressed, as reading it should take no time and thumbnails hardly shrink."""
    arrays: Arrays = {}
    for split, facts in (("train", survey.train), ("test", survey.test)):
        texts = {"content": facts.content, "problems": list(facts.problems.items()), "formats": dict(facts.formats)}
        arrays |= {
            f"{split}_widths": facts.widths,
            f"{split}_heights": facts.heights,
            f"{split}_n_bytes": facts.n_bytes,
            f"{split}_thumbnails": facts.thumbnails,
            f"{split}_texts": np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8),
        }
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_bytes(target, content.getvalue())


def _kept(target: Path, n_train: int, n_test: int) -> Survey | None:
    """The survey in the file, or None where it is absent or not what it should be."""
    try:
        arrays = read_arrays(target)
        survey = Survey(train=_facts_of(arrays, "train"), test=_facts_of(arrays, "test"))
    except (StorageError, KeyError, ValueError, TypeError):
        return None
    whole = len(survey.train.content) == n_train and len(survey.test.content) == n_test
    return survey if whole else None


def _facts_of(arrays: Arrays, split: str) -> ImageFacts:
    texts: dict[str, Any] = json.loads(arrays[f"{split}_texts"].tobytes())
    return ImageFacts(
        widths=arrays[f"{split}_widths"],
        heights=arrays[f"{split}_heights"],
        n_bytes=arrays[f"{split}_n_bytes"],
        thumbnails=arrays[f"{split}_thumbnails"],
        content=tuple(texts["content"]),
        problems={int(row): problem for row, problem in texts["problems"]},
        formats={kind: int(count) for kind, count in texts["formats"].items()},
    )
