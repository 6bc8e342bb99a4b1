"""Copies of an image are found in whatever form they come, in training and test."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl.data.duplicates import Duplicates, find_duplicates
from automl.data.survey import Survey, survey_images
from automl.readers.read import read_competition
from tests.automl_tests.data_tests.photos import encoded, facts, photo
from tests.automl_tests.small_competitions import competition_of

Encoded = tuple[str, bytes]  # suffix and content


def find_copies(root: Path, train: Sequence[bytes], test: Sequence[bytes] = ()) -> Duplicates:
    """The duplicates among files of these contents."""
    names: dict[str, list[str]] = {"train": [], "test": []}
    for split, contents in (("train", train), ("test", test)):
        (root / split).mkdir(parents=True)
        for number, content in enumerate(contents):
            names[split].append(f"{split}/{number}.jpg")
            (root / names[split][-1]).write_bytes(content)
    return find_duplicates(survey_images(competition_of(root, names["train"], names["test"]), root / "cache"))


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "the same bytes": lambda image: encoded(image, quality=95),
    "as PNG": lambda image: encoded(image, "PNG"),
    "at quality 50": lambda image: encoded(image, quality=50),
    "at half the size": lambda image: encoded(image.resize((80, 60), Image.Resampling.BICUBIC)),
    "at twice the size": lambda image: encoded(image.resize((320, 240), Image.Resampling.BILINEAR)),
    "with a hair cut off": lambda image: encoded(image.crop((1, 1, 159, 119))),
    "a little brighter": lambda image: encoded(image.point(lambda value: min(255, round(value * 1.05)))),
}


@pytest.mark.parametrize("form", COPIES)
def test_a_copy_is_found_in_training_and_in_test(tmp_path: Path, form: str) -> None:
    photos = [photo(seed) for seed in range(20)]
    train = [encoded(image, quality=95) for image in photos]
    copies = [COPIES[form](photos[row]) for row in (3, 11)]
    duplicates = find_copies(tmp_path, [*train, copies[0]], [encoded(photo(99)), copies[1]])
    assert duplicates.clusters == ((3, 20),)
    assert duplicates.shared == ((11, 1),)
    assert (duplicates.n_copies, duplicates.n_chained) == (1, 0)
    assert (duplicates.n_exact, duplicates.n_exact_shared) == ((1, 1) if form == "the same bytes" else (0, 0))


def test_the_same_pixels_in_another_file_are_an_exact_copy(tmp_path: Path) -> None:
    pixels = photo(0)
    again = io.BytesIO()
    pixels.save(again, "PNG", compress_level=1)
    duplicates = find_copies(tmp_path, [encoded(photo(1), "PNG"), encoded(pixels, "PNG"), again.getvalue()])
    assert (duplicates.clusters, duplicates.n_exact) == (((1, 2),), 1)


def test_copies_of_copies_are_one_cluster(tmp_path: Path) -> None:
    forms = [COPIES[form](photo(0)) for form in list(COPIES)[:5]]
    others = [encoded(photo(seed)) for seed in range(1, 12)]
    assert find_copies(tmp_path, [*others, *forms]).clusters == ((11, 12, 13, 14, 15),)


def test_flat_images_are_copies_only_where_their_bytes_are() -> None:
    flat = np.full((5, 32, 32, 3), 200, dtype=np.uint8)
    flat[:, 0, 0] += np.arange(5, dtype=np.uint8)[:, None]
    duplicates = find_duplicates(Survey(train=facts(flat, list("abcad")), test=facts(flat[:2], ["x", "c"])))
    assert duplicates.clusters == ((0, 3),)
    assert duplicates.shared == ((2, 1),)


def test_images_that_cannot_be_decoded_are_copies_of_nothing() -> None:
    nothing = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    survey = Survey(train=facts(nothing, ["", "", ""]), test=facts(nothing, ["", "", ""]))
    assert find_duplicates(survey).clusters == find_duplicates(survey).shared == ()


def test_a_chain_of_similar_images_that_swallows_the_data_is_cut_down_to_exact_copies() -> None:
    # A slow film: each frame is the one before it but for a hair, the last is another picture than the first.
    start, end = (np.asarray(photo(seed, 32, 32)).astype(float) for seed in (0, 1))
    end = start + 0.4 * (end - start)
    others = [np.asarray(photo(seed, 32, 32)) for seed in range(2, 102)]
    film = [(start + (end - start) * step / 39).astype(np.uint8) for step in range(40)]
    content = [str(number) for number in range(140)]
    content[105] = content[104]
    thumbnails = np.stack([*others, *film])
    thumbnails[105] = thumbnails[104]
    duplicates = find_duplicates(Survey(train=facts(thumbnails, content), test=facts(thumbnails[120:121], ["t"])))
    assert duplicates.n_chained == 40
    assert duplicates.clusters == ((104, 105),)
    short = find_duplicates(Survey(train=facts(thumbnails[:108], content[:108]), test=facts(thumbnails[:0])))
    assert (short.clusters, short.n_chained) == ((tuple(range(100, 108)),), 0)


def test_a_test_image_in_a_chain_is_no_copy_unless_it_is_an_exact_one() -> None:
    start, end = (np.asarray(photo(seed, 32, 32)).astype(float) for seed in (0, 1))
    others = [np.asarray(photo(seed, 32, 32)) for seed in range(2, 102)]
    film = [(start + 0.4 * (end - start) * step / 39).astype(np.uint8) for step in range(40)]
    between = (start + 0.4 * (end - start) * 20.5 / 39).astype(np.uint8)
    test = np.stack([film[20], between])
    long = find_duplicates(Survey(train=facts(np.stack([*others, *film])), test=facts(test)))
    assert (long.n_chained, long.shared, long.n_exact_shared) == (40, ((120, 0),), 1)
    short = find_duplicates(Survey(train=facts(np.stack([*others, *film[18:23]])), test=facts(test)))
    assert [test_row for _, test_row in short.shared] == [0, 1]


def test_copies_with_other_labels_are_found_whatever_the_task() -> None:
    duplicates = Duplicates(clusters=((0, 2), (1, 3, 4)), n_exact=0, shared=(), n_exact_shared=0, n_chained=0)
    assert duplicates.find_label_conflicts(np.array([0, 1, 0, 1, 2])) == (1, 3, 4)
    assert duplicates.find_label_conflicts(np.array([[0, 1], [1, 1], [0, 0], [1, 1], [1, 1]])) == (0, 2)
    assert duplicates.find_label_conflicts(np.array([[0.5], [1.0], [0.5], [1.0], [1.0]])) == ()


@pytest.mark.slow
def test_of_6000_real_photos_only_two_shots_of_one_scene_are_copies(real_data: Path, tmp_path: Path) -> None:
    cifar = read_competition(real_data / "cifar-10")
    duplicates = find_duplicates(survey_images(cifar, tmp_path))
    assert (duplicates.n_copies, duplicates.n_chained, duplicates.n_exact_shared) == (0, 0, 0)
    (pair,) = duplicates.shared
    assert (cifar.image_paths[pair[0]].name, cifar.test_paths[pair[1]].name) == ("731.jpg", "623.jpg")
