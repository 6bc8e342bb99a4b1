"""Find near-duplicate pairs of images by perceptual hash: re-encoded, resized, or cropped by about 1 %.

Candidates share bits of the hash and are confirmed on the thumbnails. Handwritten digits, cells and scans resemble
each other without being copies, so that no fixed difference will do: a pair must be far nearer to each other than
either is to what else is near.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

Floats = NDArray[np.float32]
Pairs = NDArray[np.int64]  # (m, 2)

HASH_SIDE = 8
BAND_BITS = 16  # of the hash's 64: hashes that differ in at most three bits have one of the four bands in common
MAX_BITS = 10  # copies cropped by 1 % differ in up to 6
NEIGHBOURS = 32  # of each image within a band, so that bands that all images share cost no more than their number
NEAREST = 4  # candidates of each image that are looked at more closely
CHUNK = 128  # images at a time; more do not fit into a processor's cache
BITS_SET = np.array([number.bit_count() for number in range(256)], dtype=np.uint8)

N_SAMPLED = 1000
N_CROWD = 5  # how many of the sampled images are nearer to an image than its crowd; copies of it may be among them
# Distance of the nearest pair over that of the crowd: up to 0.02 for re-encoded and resized photos, never below 0.15
# for digits.
MAX_RELATIVE_DISTANCE = 0.1
# A distance (1 - correlation) below it is the same in any crowd; JPEG at quality 75 keeps below 0.0005.
MAX_ABSOLUTE_DISTANCE = 0.001
MAX_DIFFERENCE = 24.0  # gray levels, mean over the thumbnail; two shots of one scene in CIFAR-10 differ by 20
FLAT = 3.0  # gray levels; below this standard deviation there is nothing but noise to compare


def compute_contrasts(thumbnails: NDArray[np.uint8]) -> Floats:
    """Return (n,) standard deviation of each thumbnail around the mean of each of its channels, in gray levels."""
    deviations = [_center_channels(chunk).std(axis=(1, 2)) for chunk in _iterate_chunks(thumbnails)]
    return np.concatenate(deviations) if deviations else np.zeros(0, dtype=np.float32)


def find_similar_pairs(thumbnails: NDArray[np.uint8]) -> Pairs:
    """Return pairs (m, 2), i < j, of thumbnails (n, side, side, 3) that show the same; none of these may be flat.

    Time and memory grow with n, never with its square.

    Source: hash: Zauner 2010, Implementation and benchmarking of perceptual image hash functions, 3.2.1, with the
    median as in the Python package imagehash.
    """
    if len(thumbnails) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    coarse = np.concatenate([_extract_low_frequencies(chunk) for chunk in _iterate_chunks(thumbnails)])
    pairs = _select_nearest(_find_candidates(_compute_hashes(coarse), coarse), coarse)
    limits = _compute_limits(thumbnails, pairs)
    alike = pairs[_compute_fine_distances(thumbnails, pairs) <= limits]
    differences = [np.abs(thumbnails[some].astype(np.int16) - thumbnails[other]).mean() for some, other in alike]
    return alike[np.array(differences) <= MAX_DIFFERENCE]


def _iterate_chunks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(array), CHUNK):
        yield array[start : start + CHUNK]


def _center_channels(thumbnails: NDArray[np.uint8]) -> Floats:
    """Return (n, 3, side * side) without the mean of each channel."""
    n = len(thumbnails)
    planes = np.ascontiguousarray(thumbnails.reshape(n, -1, 3).transpose(0, 2, 1)).astype(np.float32)
    planes -= planes.mean(axis=2, keepdims=True)
    return planes


def _normalize(thumbnails: NDArray[np.uint8]) -> Floats:
    """Return (n, 3 * side * side) without brightness and contrast, of length 1: products are correlations."""
    vectors = _center_channels(thumbnails).reshape(len(thumbnails), -1)
    vectors /= np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), 1e-6)[:, None]
    return vectors


def _extract_low_frequencies(thumbnails: NDArray[np.uint8]) -> Floats:
    """Return (n, 64) the part of the normalised thumbnails in the lowest frequencies of the gray image."""
    n, side = thumbnails.shape[:2]
    gray = _normalize(thumbnails).reshape(n, 3, side, side).sum(axis=1) / np.sqrt(np.float32(3.0))
    low: Floats = dctn(gray, axes=(1, 2), norm="ortho")[:, :HASH_SIDE, :HASH_SIDE].reshape(n, -1)
    return low


def _compute_hashes(coarse: Floats) -> NDArray[np.uint64]:
    """Return hashes (n,) of 64 bits each: which frequencies are stronger than the median one."""
    bits = coarse > np.median(coarse, axis=1, keepdims=True)
    bits[:, 0] = True  # brightness, which was taken out
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _find_candidates(hashes: NDArray[np.uint64], coarse: Floats) -> Pairs:
    """Return pairs (m, 2), i < j, whose hashes have a band in common and differ little."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    for shift in range(0, 64, BAND_BITS):
        left, right = np.uint64(shift), np.uint64(-shift % 64)
        rotated = (hashes << left) | (hashes >> right) if shift else hashes
        order = np.argsort(rotated, kind="stable")  # by band, and within it by the rest of the hash
        bands = rotated[order] >> np.uint64(64 - BAND_BITS)
        for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            together = np.flatnonzero(bands[step:] == bands[:-step])
            if len(together) == 0:
                break
            pairs = np.stack([order[together], order[together + step]], axis=1)
            pairs = pairs[_count_differing_bits(hashes[pairs[:, 0]], hashes[pairs[:, 1]]) <= MAX_BITS]
            found.append(pairs[_compute_distances(coarse, pairs) <= MAX_RELATIVE_DISTANCE])
    first, last = np.sort(np.concatenate(found), axis=1).T
    return np.stack(np.divmod(np.unique(first * len(hashes) + last), len(hashes)), axis=1)


def _count_differing_bits(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.int64]:
    differing = (some ^ others).view(np.uint8).reshape(-1, 8)
    counts: NDArray[np.int64] = BITS_SET[differing].sum(axis=1, dtype=np.int64)
    return counts


def _compute_distances(coarse: Floats, pairs: Pairs) -> Floats:
    """Return (m,), at most 1 - correlation of the thumbnails, as coarse vectors are projections."""
    distances = [np.zeros(0, dtype=np.float32)]
    for some, others in (chunk.T for chunk in _iterate_chunks(pairs)):
        difference = coarse[some] - coarse[others]
        distances.append(np.einsum("ij,ij->i", difference, difference) / 2)
    return np.concatenate(distances)


def _select_nearest(pairs: Pairs, coarse: Floats) -> Pairs:
    """Return the pairs in which one image is among the nearest NEAREST candidates of the other."""
    distances = _compute_distances(coarse, pairs)
    kept = np.zeros(len(pairs), dtype=bool)
    for images in pairs.T:
        order = np.lexsort((distances, images))
        _, starts, counts = np.unique(images[order], return_index=True, return_counts=True)
        kept[order[np.arange(len(order)) - np.repeat(starts, counts) < NEAREST]] = True
    return pairs[kept]


def _compute_limits(thumbnails: NDArray[np.uint8], pairs: Pairs) -> Floats:
    """Return (m,) the largest distance of each pair that counts as the same, by the density around them."""
    rows = np.unique(pairs)
    if len(rows) == 0:
        return np.zeros(0, dtype=np.float32)
    n = len(thumbnails)
    sampled = np.random.default_rng(0).choice(n, min(n, N_SAMPLED), replace=False)
    sample = _normalize(thumbnails[np.sort(sampled)])
    position = min(N_CROWD, len(sample) - 1)
    crowd = np.zeros(n, dtype=np.float32)
    for chunk in _iterate_chunks(rows):
        distances = 1.0 - _normalize(thumbnails[chunk]) @ sample.T
        crowd[chunk] = np.partition(distances, position, axis=1)[:, position]
    limits: Floats = np.maximum(MAX_ABSOLUTE_DISTANCE, MAX_RELATIVE_DISTANCE * crowd[pairs].min(axis=1))
    return limits


def _compute_fine_distances(thumbnails: NDArray[np.uint8], pairs: Pairs) -> Floats:
    """Return (m,) 1 - the correlation of the thumbnails."""
    distances = [np.zeros(0, dtype=np.float32)]
    for some, others in (chunk.T for chunk in _iterate_chunks(pairs)):
        products = _normalize(thumbnails[some]) * _normalize(thumbnails[others])
        distances.append(1.0 - products.sum(axis=1))
    return np.concatenate(distances)
