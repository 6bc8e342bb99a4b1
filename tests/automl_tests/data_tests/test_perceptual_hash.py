"""Similar pairs are found among thumbnails, and images that only resemble each other are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from automl.data import perceptual_hash
from automl.data.duplicates import Duplicates, find_duplicates
from automl.data.perceptual_hash import find_similar_pairs
from automl.data.survey import Survey
from tests.automl_tests.data_tests.photos import encoded, facts, photo


def test_no_two_digits_are_taken_for_copies() -> None:
    pixels = (load_digits().images * 15.9).astype(np.uint8)
    squares = [Image.fromarray(digit).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR) for digit in pixels]
    digits = np.stack([np.asarray(square) for square in squares])
    duplicates = find_duplicates(Survey(train=facts(digits[:1500]), test=facts(digits[1500:])))
    assert duplicates == Duplicates(clusters=(), n_exact=0, shared=(), n_exact_shared=0, n_chained=0)


def test_re_encoded_digits_are_found_among_the_digits() -> None:
    pixels = (load_digits().images * 15.9).astype(np.uint8)
    large = [Image.fromarray(digit).resize((32, 32), Image.Resampling.BICUBIC).convert("RGB") for digit in pixels]
    again = [Image.open(io.BytesIO(encoded(image, quality=75))) for image in large[:100]]
    pairs = find_similar_pairs(np.stack([np.asarray(image) for image in [*large, *again]]))
    right = {(row, 1797 + row) for row in range(100)}
    assert len(right & set(map(tuple, pairs.tolist()))) >= 97
    assert len(pairs) <= 100


def test_scans_of_one_machine_are_not_copies_of_each_other() -> None:
    rng = np.random.default_rng(0)
    scene = np.asarray(photo(0, 32, 32)).astype(float)
    lesions = [np.asarray(photo(seed, 32, 32)).astype(float) - 128 for seed in range(1, 301)]
    scans = [np.clip(scene + 0.15 * lesion + rng.normal(0, 2, scene.shape), 0, 255) for lesion in lesions]
    assert len(find_similar_pairs(np.stack(scans).astype(np.uint8))) == 0


def test_the_same_pattern_in_another_light_is_another_image() -> None:
    dark = np.stack([np.asarray(photo(seed, 32, 32)) // 3 for seed in range(30)])
    assert find_similar_pairs(np.concatenate([dark, dark[:1] + 10])).tolist() == [[0, 30]]
    assert find_similar_pairs(np.concatenate([dark, dark[:1] + 100])).tolist() == []


def test_a_crowd_under_one_hash_costs_pairs_in_proportion_to_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    distances = perceptual_hash._compute_distances

    def counted(coarse: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        compared.append(len(pairs))
        return distances(coarse, pairs)

    monkeypatch.setattr(perceptual_hash, "_compute_distances", counted)
    scene = np.asarray(photo(0, 32, 32)).astype(int)
    rng = np.random.default_rng(0)
    crowd = np.clip(scene + rng.integers(-3, 4, (800, 32, 32, 3)), 0, 255).astype(np.uint8)
    find_similar_pairs(crowd)
    assert 800 < sum(compared) < 800 * 799 / 4
