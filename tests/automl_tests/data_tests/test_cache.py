"""Pixels are decoded once, by one process, whole or not at all."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data.cache import PixelCache
from automl.data.competition import Competition
from automl.errors import DataError, StorageError
from automl.files.decoding import decode_image
from automl.readers.read import read_competition
from tests.automl_tests.small_competitions import competition_of, put_csv, put_zip


def put_gradients(root: Path, n_train: int, *, size: tuple[int, int] = (40, 30)) -> Competition:
    """n_train images and two test images; the mean colour of each tells its number."""
    train = [f"train/{number}.png" for number in range(n_train)]
    test = ["test/a.png", "test/b.png"]
    for number, name in enumerate([*train, *test]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 2 * number % 256, 7)).save(path)
    return competition_of(root, train, test)


def test_pixels_come_in_the_competitions_order_read_only_and_square(tmp_path: Path) -> None:
    cache = PixelCache(put_gradients(tmp_path, 70), tmp_path / "cache")
    train = cache.load_pixels("train", 16, n_threads=3)
    assert (train.shape, train.dtype) == ((70, 24, 24, 3), np.uint8)
    assert train[:, 0, 0, 0].tolist() == list(range(70))
    assert train[:, -1, -1, 1].tolist() == [2 * number for number in range(70)]
    assert cache.load_pixels("test", 16)[:, 5, 5, 0].tolist() == [70, 71]
    assert isinstance(train, np.memmap) and train.flags.c_contiguous and not train.flags.writeable


@pytest.mark.parametrize(
    ("size", "image_size", "side"),
    [((40, 30), 30, 30), ((40, 30), 29, 40), ((40, 30), 64, 64), ((500, 375), 224, 264), ((500, 375), 128, 152)],
)
def test_the_side_leaves_room_for_crops_where_the_images_have_the_pixels(
    tmp_path: Path, size: tuple[int, int], image_size: int, side: int
) -> None:
    assert PixelCache(put_gradients(tmp_path, 3, size=size), tmp_path / "cache").get_cached_side(image_size) == side


@pytest.mark.parametrize(
    ("crop_pct", "image_size", "side"),
    [(1.0, 224, 256), (0.875, 224, 256), (0.95, 160, 183), (0.8, 224, 280), (0.8, 375, 375)],
)
def test_the_side_holds_the_middle_that_is_evaluated(
    tmp_path: Path, crop_pct: float, image_size: int, side: int
) -> None:
    cache = PixelCache(put_gradients(tmp_path, 3, size=(500, 375)), tmp_path / "cache")
    assert cache.get_cached_side(image_size, interpolation="bicubic", crop_pct=crop_pct) == side


def test_the_side_of_averaged_images_holds_the_middle_too(tmp_path: Path) -> None:
    cache = PixelCache(put_gradients(tmp_path, 3, size=(500, 375)), tmp_path / "cache")
    assert [cache.get_cached_side(224, crop_pct=crop_pct) for crop_pct in (1.0, 0.875, 0.8)] == [264, 264, 280]


def test_one_file_serves_all_interpolations_but_that_of_averaged_images(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(competition.image_paths[1])
    cache = PixelCache(competition, tmp_path / "cache")
    averaged = cache.load_pixels("train", 21)
    fingerprint = cache.compute_fingerprint("train")
    assert [path.name for path in cache.folder.glob("*.npy")] == [f"train-32-{fingerprint}.npy"]
    sharp = [cache.load_pixels("train", 21, interpolation=name) for name in ("bilinear", "bicubic", "lanczos")]
    assert sorted(path.name for path in cache.folder.glob("*.npy")) == [
        f"train-24-bicubic-{fingerprint}.npy",
        f"train-32-{fingerprint}.npy",
    ]
    image = Image.fromarray(noise)
    assert np.array_equal(averaged[1], image.resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0))
    for pixels in sharp:
        assert np.array_equal(pixels[1], image.resize((24, 24), Image.Resampling.BICUBIC, reducing_gap=3.0))


def test_a_large_jpeg_is_decoded_at_twice_the_side_at_least(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    large = image.resize((1600, 1600), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=100)
    pixels = PixelCache(competition_of(tmp_path, ["a.jpg"], []), tmp_path / "cache").load_pixels(
        "train", 90, interpolation="bicubic"
    )
    one_step = np.asarray(large.resize((103, 103), Image.Resampling.BICUBIC))
    assert np.abs(pixels[0].astype(int) - one_step).mean() < 1.5


def test_a_short_side_that_is_given_is_not_measured(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    assert PixelCache(competition, tmp_path / "cache").short_side == 30
    for path in competition.image_paths:
        path.unlink()
    cache = PixelCache(competition, tmp_path / "cache", short_side=500.0)
    assert cache.short_side == 500
    assert cache.get_cached_side(224) == 264
    assert cache.load_pixels("test", 16).shape == (2, 24, 24, 3)


def test_the_fingerprint_is_that_of_the_file_and_changes_with_an_image(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    cache = PixelCache(competition, tmp_path / "cache")
    cache.load_pixels("test", 16)
    before = cache.compute_fingerprint("test")
    assert (tmp_path / "cache" / f"test-24-{before}.npy").exists()
    assert before != cache.compute_fingerprint("train")
    Image.new("RGB", (40, 31), (9, 9, 9)).save(competition.test_paths[1])
    assert cache.compute_fingerprint("test") != before


def test_images_that_have_the_size_are_kept_pixel_by_pixel(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 4, size=(16, 16))
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(competition.image_paths[2])
    assert np.array_equal(PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[2], noise)


def test_shrinking_averages_over_all_pixels(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 2, size=(400, 400))
    stripes = np.zeros((400, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    for path in competition.image_paths:
        Image.fromarray(stripes).save(path)
    pixels = PixelCache(competition, tmp_path / "cache").load_pixels("train", 20)
    assert np.abs(pixels.astype(int) - 100).max() <= 6


def test_a_second_use_maps_the_same_file_and_decodes_nothing(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 5)
    first: list[tuple[int, int]] = []
    PixelCache(competition, tmp_path / "cache").load_pixels("train", 16, on_progress=lambda *done: first.append(done))
    again: list[tuple[int, int]] = []
    pixels = PixelCache(competition, tmp_path / "cache").load_pixels(
        "train", 16, on_progress=lambda *done: again.append(done)
    )
    assert first == [(5, 5)]
    assert again == []
    assert pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_changed_image_is_decoded_again(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)
    Image.new("RGB", (40, 30), (250, 0, 0)).save(competition.image_paths[1])
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[1, 0, 0, 0] == 250


def test_any_number_of_threads_gives_the_same_file(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 70)
    for n_threads in (1, 4):
        PixelCache(competition, tmp_path / str(n_threads)).load_pixels("train", 16, n_threads=n_threads)
    (one,) = (tmp_path / "1").glob("*.npy")
    assert one.read_bytes() == (tmp_path / "4" / one.name).read_bytes()


def test_a_damaged_or_deleted_file_is_built_again_and_leftovers_of_a_killed_builder_go(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)
    (file,) = (tmp_path / "cache").glob("*.npy")
    content = file.read_bytes()
    np.save(file, np.zeros((2, 24, 24, 3), dtype=np.uint8))
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[2, 0, 0, 0] == 2
    file.write_bytes(content[:100])
    leftover = tmp_path / "cache" / f".{file.name}.tmp.0badcafe"
    leftover.write_bytes(b"half")
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[2, 0, 0, 0] == 2
    assert not leftover.exists()
    shutil.rmtree(tmp_path / "cache")
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[2, 0, 0, 0] == 2


def build_in_a_process(competition: Competition, folder: Path) -> tuple[int, int]:
    """(images that this process decoded, sum of all pixels)."""
    decoded: list[int] = []
    pixels = PixelCache(competition, folder).load_pixels(
        "train", 16, on_progress=lambda done, total: decoded.append(done)
    )
    return max(decoded, default=0), int(pixels.sum(dtype=np.int64))


@pytest.mark.slow
def test_of_several_processes_one_builds_and_all_have_its_pixels(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 200)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        built = pool.starmap(build_in_a_process, [(competition, tmp_path / "cache")] * 2, chunksize=1)
    assert sorted(n_decoded for n_decoded, _ in built) == [0, 200]
    assert built[0][1] == built[1][1]
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_who_waits_for_a_builder_shows_life_and_then_takes_its_file(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 5)
    PixelCache(competition, tmp_path / "ready").load_pixels("train", 16)
    (ready,) = (tmp_path / "ready").glob("*.npy")
    (tmp_path / "cache").mkdir()
    reported: list[tuple[int, int]] = []

    def finish_the_building(done: int, total: int) -> None:
        if not reported:
            shutil.copy(ready, tmp_path / "cache")
            fcntl.flock(builder, fcntl.LOCK_UN)
        reported.append((done, total))

    with (tmp_path / "cache" / ready.with_suffix(".lock").name).open("wb") as builder:
        fcntl.flock(builder, fcntl.LOCK_EX)
        pixels = PixelCache(competition, tmp_path / "cache").load_pixels("train", 16, on_progress=finish_the_building)
    assert reported == [(0, 5)]
    assert pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_while_one_builds_no_other_can_begin(tmp_path: Path) -> None:
    locked: list[bool] = []

    def try_to_begin(done: int, total: int) -> None:
        (lock,) = (tmp_path / "cache").glob("*.lock")
        with lock.open("wb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        locked.append(done < total)

    PixelCache(put_gradients(tmp_path, 40), tmp_path / "cache").load_pixels("train", 16, on_progress=try_to_begin)
    assert locked == [True, False]


def test_all_unreadable_images_are_named_in_one_error_and_nothing_is_left(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 50)
    for number in (3, 4, 33, 49):
        competition.image_paths[number].write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        PixelCache(competition, tmp_path / "cache").load_pixels("train", 16, n_threads=2)
    assert caught.value.problem == (
        "4 of 50 images cannot be decoded: train/3.png, train/4.png, train/33.png and 1 more"
    )
    assert "replace these images" in caught.value.hint
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_one_unreadable_image_is_named_with_its_reason(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    competition.image_paths[1].write_bytes(competition.image_paths[1].read_bytes()[:50])
    with pytest.raises(DataError, match=r"train/1\.png cannot be decoded: "):
        PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)


def test_images_that_are_gone_are_named(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    competition.image_paths[1].unlink()
    with pytest.raises(DataError, match=r"1 of 3 images are gone: train/1\.png"):
        PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)


def test_a_disk_without_room_is_told_before_an_image_is_decoded(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 50)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    decoded: list[int] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"\.npy cannot be written: "):
            PixelCache(competition, tmp_path / "cache").load_pixels(
                "train", 16, on_progress=lambda done, total: decoded.append(done)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert decoded == []
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_cache_folder_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        PixelCache(put_gradients(tmp_path, 2), tmp_path / "cache").load_pixels("train", 16)


def test_test_images_that_nobody_can_read_are_zeros_and_never_opened(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    competition.test_paths[0].write_bytes(b"no image")
    competition = replace(competition, unreadable_test=(0,))
    pixels = PixelCache(competition, tmp_path / "cache").load_pixels("test", 16)
    assert pixels[0].max() == 0
    assert pixels[1, 0, 0].tolist() == [4, 8, 7]
    competition.test_paths[0].unlink()
    os.mkfifo(competition.test_paths[0])
    decoded: list[tuple[int, int]] = []
    PixelCache(competition, tmp_path / "cache").load_pixels("test", 16, on_progress=lambda *done: decoded.append(done))
    assert decoded == []  # its change makes no other file either


def test_rows_that_become_unreadable_make_another_file(tmp_path: Path) -> None:
    competition = put_gradients(tmp_path, 3)
    assert PixelCache(competition, tmp_path / "cache").load_pixels("test", 16)[0].max() > 0
    without = replace(competition, unreadable_test=(0,))
    assert PixelCache(without, tmp_path / "cache").load_pixels("test", 16)[0].max() == 0
    assert PixelCache(without, tmp_path / "cache").load_pixels("train", 16)[1, 0, 0, 0] == 1


def test_images_in_an_archive_are_decoded_again_when_the_archive_changes(tmp_path: Path) -> None:
    put_gradients(tmp_path, 3)
    contents = [(tmp_path / "train" / f"{number}.png").read_bytes() for number in range(3)]
    put_zip(tmp_path / "a.zip", {"train/0.png": contents[0], "train/1.png": contents[1]})
    competition = competition_of(tmp_path, ["a.zip/train/0.png", "a.zip/train/1.png"], [])
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[:, 0, 0, 0].tolist() == [0, 1]
    put_zip(tmp_path / "a.zip", {"train/0.png": contents[2], "train/1.png": contents[1], "train/2.png": b""})
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[:, 0, 0, 0].tolist() == [2, 1]
    (tmp_path / "a.zip").unlink()
    with pytest.raises(DataError, match=r"2 of 2 images are gone: a\.zip/train/0\.png, "):
        PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)


def test_an_image_in_files_by_colour_is_decoded_again_when_one_of_them_changes(tmp_path: Path) -> None:
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("L", (16, 16), number).save(tmp_path / f"x_{colour}.png")
    competition = competition_of(tmp_path, ["x_{red,green,blue}.png"], [])
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[0, 0, 0].tolist() == [0, 1, 2]
    Image.new("L", (16, 16), 77).save(tmp_path / "x_blue.png")
    assert PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)[0, 0, 0].tolist() == [0, 1, 77]
    (tmp_path / "x_blue.png").unlink()
    with pytest.raises(DataError, match=r"1 of 1 images are gone: x_\{red,green,blue\}\.png"):
        PixelCache(competition, tmp_path / "cache").load_pixels("train", 16)


def test_rows_of_a_table_are_cached_and_the_table_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = ",".join(f"pixel{number}" for number in range(16))
    put_csv(tmp_path / "train.csv", header, *(",".join([str(row)] * 16) for row in range(50)))
    competition = competition_of(tmp_path, [f"train.csv/{row}" for row in range(50)], ["train.csv/3"])
    opened: list[Path] = []
    monkeypatch.setattr(
        Path, "open", lambda path, *given, plain=Path.open: (opened.append(path), plain(path, *given))[1]
    )
    pixels = PixelCache(competition, tmp_path / "cache").load_pixels("train", 4)
    assert pixels[:, 0, 0, 0].tolist() == list(range(50))
    assert len([path for path in opened if path.name == "train.csv"]) <= 1


def test_the_cache_holds_what_the_one_loader_loads(real_data: Path, tmp_path: Path) -> None:
    competition = read_competition(real_data / "cifar-10")
    pixels = PixelCache(competition, tmp_path).load_pixels("test", 32, n_threads=os.cpu_count() or 1)
    assert pixels.shape == (1000, 32, 32, 3)
    for row in (0, 500, 999):
        assert np.array_equal(pixels[row], np.asarray(decode_image(competition.test_paths[row])))
