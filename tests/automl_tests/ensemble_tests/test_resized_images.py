"""Resized images: made once, ahead of the requests, in memory or in a file without a name."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from automl.data.resize import EvaluationPixels
from automl.ensemble import resized_images
from automl.ensemble.resized_images import ResizedImages, ResizedImageStore

PIXELS = np.random.default_rng(0).integers(0, 256, size=(50, 24, 24, 3)).astype(np.uint8)
ROWS = np.random.default_rng(1).permutation(50)[:37]


def store_of(folder: Path, n_threads: int = 2) -> ResizedImageStore:
    return ResizedImageStore(folder, batch_size=8, n_threads=n_threads)


def all_of(made: ResizedImages) -> np.ndarray:
    bounds = [*range(0, len(made.rows), made.batch_size), len(made.rows)]
    return np.concatenate([made.get_batch(a, b) for a, b in pairwise(bounds)])


@pytest.mark.parametrize("side", [16, 24, 30])
@pytest.mark.parametrize("room", ["memory", "file", "none"])
def test_squares_are_the_rows_at_that_side_wherever_they_are_kept(
    side: int, room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if room != "memory":
        monkeypatch.setattr(resized_images, "SMALL", 0)
    folder = tmp_path / "cache"
    if room == "none":
        folder.write_bytes(b"a file is no folder for files")
    made = store_of(folder).get("x", PIXELS, ROWS, EvaluationPixels(side))
    assert made.in_file == (room == "file" and side != 24)
    for _ in range(2):
        assert np.array_equal(all_of(made), EvaluationPixels(side).resize_batch(PIXELS[ROWS]))
    assert room != "file" or list(folder.glob("*")) == []  # the file has no name


def test_each_image_is_resized_once_for_all_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resized: list[int] = []
    monkeypatch.setattr(EvaluationPixels, "resize_into", lambda own, target, images: resized.append(len(images)))
    store = store_of(tmp_path)
    for _ in range(3):
        all_of(store.get("x", PIXELS, ROWS.copy(), EvaluationPixels(16)))
    assert sum(resized) == len(ROWS)
    all_of(store.get("x", PIXELS, ROWS[::-1].copy(), EvaluationPixels(16)))
    all_of(store.get("y", PIXELS, ROWS, EvaluationPixels(16)))
    assert sum(resized) == 3 * len(ROWS)


def test_parts_of_a_batch_come_from_the_same_batch(tmp_path: Path) -> None:
    made = store_of(tmp_path).get("x", PIXELS, ROWS, EvaluationPixels(16))
    expected = EvaluationPixels(16).resize_batch(PIXELS[ROWS])
    for start, end in ((0, 8), (8, 12), (12, 14), (14, 16), (36, 37), (0, 4)):
        assert np.array_equal(made.get_batch(start, end), expected[start:end])


def test_the_next_batches_are_made_while_nobody_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, third = [], threading.Event()

    def resize(own: EvaluationPixels, target: np.ndarray, images: np.ndarray) -> None:
        if target.shape[1] != 12:  # left over from another test
            return
        made.append(len(images))
        if len(made) == 3:
            third.set()

    monkeypatch.setattr(EvaluationPixels, "resize_into", resize)
    store_of(tmp_path, n_threads=1).get("x", PIXELS, ROWS, EvaluationPixels(12)).get_batch(0, 8)
    assert third.wait(10)
    assert len(made) == 3  # one that was requested, one for each thread and one more


def test_the_oldest_squares_go_where_memory_or_files_are_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_bytes = 37 * 16 * 16 * 3
    monkeypatch.setattr(resized_images, "IN_MEMORY", 2 * n_bytes)
    store = store_of(tmp_path)
    first, second = (
        store.get("a", PIXELS, ROWS, EvaluationPixels(16)),
        store.get("b", PIXELS, ROWS, EvaluationPixels(16)),
    )
    assert store.get("a", PIXELS, ROWS, EvaluationPixels(16)) is first
    store.get("c", PIXELS, ROWS, EvaluationPixels(16))
    assert store.get("a", PIXELS, ROWS, EvaluationPixels(16)) is first
    assert store.get("b", PIXELS, ROWS, EvaluationPixels(16)) is not second
    monkeypatch.setattr(resized_images, "SMALL", 0)
    mapped = [
        store.get(f"m{number}", PIXELS, ROWS, EvaluationPixels(16)) for number in range(resized_images.MAPPED + 1)
    ]
    assert store.get("m1", PIXELS, ROWS, EvaluationPixels(16)) is mapped[1]
    assert store.get("m0", PIXELS, ROWS, EvaluationPixels(16)) is not mapped[0]


@pytest.mark.slow
def test_a_store_that_nobody_holds_any_more_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = store_of(tmp_path)
    all_of(store.get("x", PIXELS, ROWS, EvaluationPixels(16)))
    own = set(threading.enumerate()) - before
    assert own
    del store
    gc.collect()
    for thread in own:
        thread.join(10)
    assert not any(thread.is_alive() for thread in own)


def test_squares_without_room_are_still_right_with_many_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = ResizedImages(
            pixels=PIXELS, rows=ROWS, evaluation=EvaluationPixels(16), kept=None, batch_size=4, pool=pool, n_ahead=5
        )
        assert np.array_equal(all_of(made), EvaluationPixels(16).resize_batch(PIXELS[ROWS]))
