"""Survey every image once: whether it can be decoded, its size, a thumbnail, and a digest for finding duplicates.

Cached in a file.
See also: automl.data.cleaning, automl.inspection.inspection.
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

from automl.artifacts import Arrays, compute_digest, read_arrays, write_bytes
from automl.data.competition import Competition
from automl.errors import DataError, StorageError
from automl.files.addresses import list_source_files
from automl.files.decoding import inspect_image

Progress = Callable[[int, int], None]

RULES = "1"  # raise it when decoding or what is recorded changes, so that old files are made again
THUMBNAIL_SIDE = 32
DECODED_SIDE = 64  # JPEG is reduced no further, so that thumbnails of a photo in two sizes agree
CHUNK = 32  # images per task of a thread


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFacts:
    """Facts of the images of one split, in the competition's order; zeros where an image cannot be decoded.

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
    """Facts of all images, training and test."""

    train: ImageFacts
    test: ImageFacts


def survey_images(
    competition: Competition, folder: Path, *, n_threads: int = 1, on_progress: Progress | None = None
) -> Survey:
    """Survey all images of a competition in one pass; read from its file in the folder the second time.

    Images that are known to be unreadable (competition.unreadable_test) are not opened, and have no problem.

    Args:
        folder: where the file is cached; it may be deleted at any time. A changed image makes another file.
        on_progress: called from this thread with (images done, images), now and then; not at all for a cached survey.

    Raises:
        StorageError: the file cannot be written.
    """
    known_unreadable = frozenset(competition.unreadable_test)
    train: list[Path | None] = list(competition.image_paths)
    test = [None if row in known_unreadable else path for row, path in enumerate(competition.test_paths)]
    target = folder / f"survey-{_compute_fingerprint(competition.root, [*train, *test])}.npz"
    cached = _read_survey(target, len(train), len(test))
    if cached is not None:
        return cached
    survey = _survey_paths(train, test, competition.root, n_threads=n_threads, report=on_progress or _ignore_progress)
    _write_survey(survey, target)
    return survey


@dataclass(frozen=True, slots=True)
class _SurveyedImage:
    """Facts of one image; image_format is empty where it could not be decoded, or was not opened."""

    size: tuple[int, int] = (0, 0)
    n_bytes: int = 0
    content: str = ""
    image_format: str = ""
    problem: str = ""


def _ignore_progress(done: int, total: int) -> None:
    pass


def _compute_fingerprint(root: Path, paths: Sequence[Path | None]) -> str:
    """Return a fingerprint of names, sizes and modification times; a missing file has neither size nor time."""
    parts, stamps = [RULES], dict[Path, str]()
    for path in paths:
        if path is None:
            parts.append("")
            continue
        parts.append(str(path)[len(str(root)) :])
        for file in list_source_files(path):
            if file not in stamps:
                stamps[file] = _stamp(file)
            parts.append(stamps[file])
    return compute_digest(parts)


def _stamp(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return "gone"
    return f"{status.st_size} {status.st_mtime_ns}"


def _survey_paths(
    train: Sequence[Path | None], test: Sequence[Path | None], root: Path, *, n_threads: int, report: Progress
) -> Survey:
    paths = [*train, *test]
    thumbnails = np.zeros((len(paths), THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), dtype=np.uint8)

    def survey_chunk(start: int) -> list[_SurveyedImage]:
        rows = range(start, min(start + CHUNK, len(paths)))
        return [_survey_image(paths[row], root, thumbnails[row]) for row in rows]

    surveyed: list[_SurveyedImage] = []
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="survey")
    try:
        for chunk in pool.map(survey_chunk, range(0, len(paths), CHUNK)):
            surveyed += chunk
            report(len(surveyed), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return Survey(
        train=_collect_facts(surveyed[: len(train)], thumbnails[: len(train)]),
        test=_collect_facts(surveyed[len(train) :], thumbnails[len(train) :]),
    )


def _survey_image(path: Path | None, root: Path, thumbnail: NDArray[np.uint8]) -> _SurveyedImage:
    """Return the facts of an image; its thumbnail is written into the array."""
    if path is None:
        return _SurveyedImage()
    try:
        looked = inspect_image(path, min_side=DECODED_SIDE)
    except DataError as error:
        return _SurveyedImage(problem=error.problem.replace(f"{root}/", ""))
    thumbnail[:] = _make_thumbnail(looked.image, looked.size)
    return _SurveyedImage(looked.size, looked.n_bytes, looked.digest, looked.format_name)


def _make_thumbnail(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the image, which may be decoded at a fraction of its size, squeezed into a square."""
    box = (0.0, 0.0, float(image.width), float(image.height))
    reduction = max(1, round(size[0] / image.width))
    if image.size == tuple(math.ceil(side / reduction) for side in size):
        # It may end in a part of a pixel, which would shift copies of other sizes against each other.
        box = (0.0, 0.0, size[0] / reduction, size[1] / reduction)
    # Pillow's resize averages over the pixels that it leaves out, unlike OpenCV's linear one.
    return np.asarray(image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR, box=box))


def _collect_facts(surveyed: Sequence[_SurveyedImage], thumbnails: NDArray[np.uint8]) -> ImageFacts:
    sizes = np.array([image.size for image in surveyed], dtype=np.int32).reshape(-1, 2)
    return ImageFacts(
        widths=sizes[:, 0],
        heights=sizes[:, 1],
        n_bytes=np.array([image.n_bytes for image in surveyed], dtype=np.int64),
        thumbnails=thumbnails,
        content=tuple(image.content for image in surveyed),
        problems={row: image.problem for row, image in enumerate(surveyed) if image.problem},
        formats=dict(Counter(image.image_format for image in surveyed if image.image_format).most_common()),
    )


def _write_survey(survey: Survey, target: Path) -> None:
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


def _read_survey(target: Path, n_train: int, n_test: int) -> Survey | None:
    """Return the survey in the file, or None where it is absent or not what it should be."""
    try:
        arrays = read_arrays(target)
        survey = Survey(train=_parse_facts(arrays, "train"), test=_parse_facts(arrays, "test"))
    except (StorageError, KeyError, ValueError, TypeError):
        return None
    whole = len(survey.train.content) == n_train and len(survey.test.content) == n_test
    return survey if whole else None


def _parse_facts(arrays: Arrays, split: str) -> ImageFacts:
    texts: dict[str, Any] = json.loads(arrays[f"{split}_texts"].tobytes())
    return ImageFacts(
        widths=arrays[f"{split}_widths"],
        heights=arrays[f"{split}_heights"],
        n_bytes=arrays[f"{split}_n_bytes"],
        thumbnails=arrays[f"{split}_thumbnails"],
        content=tuple(texts["content"]),
        problems={int(row): problem for row, problem in texts["problems"]},
        formats={name: int(count) for name, count in texts["formats"].items()},
    )
