"""Pairs of images that look the same on their thumbnails: re-encoded, resized, or cropped by a hair.

Found by a perceptual hash and confirmed on the thumbnails. Handwritten digits, cells and scans of one machine resemble
each other without being copies, so that no fixed difference will do: a pair must be far nearer to each other than
either is to what else is near. Not responsible for: what follows for the images (automl.data.duplicates).
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

N_SAMPLED = 1000
CROWD = 5  # how many of the sampled images are nearer to an image than its crowd; copies of it may be among them
APART = 0.1  # nearest pair over crowd; up to 0.02 for re-encoded and resized photos, never below 0.15 for digits
SAME = 0.001  # nearer than this (1 - correlation) is the same in any crowd; JPEG at quality 75 keeps below 0.0005
MAX_DIFFERENCE = 24.0  # gray levels, mean over the thumbnail; two shots of one scene in CIFAR-10 differ by 20
FLAT = 3.0  # gray levels; below this standard deviation there is nothing but noise to compare


def contrasts(thumbnails: NDArray[np.uint8]) -> Floats:
    """(n,) standard deviation of each thumbnail around the mean of each of its channels, in gray levels."""
    deviations = [_centred(chunk).std(axis=(1, 2)) for chunk in _chunks(thumbnails)]
    return np.concatenate(deviations) if deviations else np.zeros(0, dtype=np.float32)


def look_alikes(thumbnails: NDArray[np.uint8]) -> Pairs:
    """(m, 2) pairs i < j of the thumbnails (n, side, side, 3) that show the same; none of these may be flat.

    Time and memory grow with n, never with its square.

    Source: hash: Zauner 2010, Implementation and benchmarking of perceptual image hash functions, 3.2.1, with the
    median as in the Python package imagehash.
    """
    if len(thumbnails) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    coarse = np.concatenate([_low_frequencies(chunk) for chunk in _chunks(thumbnails)])
    pairs = _nearest(_candidates(_hashes(coarse), coarse), coarse)
    limits = _limits(thumbnails, pairs)
    alike = pairs[_fine_distances(thumbnails, pairs) <= limits]
    differences = [np.abs(thumbnails[some].astype(np.int16) - thumbnails[other]).mean() for some, other in alike]
    return alike[np.array(differences) <= MAX_DIFFERENCE]


def _chunks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(array), CHUNK):
        yield array[start : start + CHUNK]


def _centred(thumbnails: NDArray[np.uint8]) -> Floats:
    """(n, 3, side * side) without the mean of each channel."""
    n = len(thumbnails)
    planes = np.ascontiguousarray(thumbnails.reshape(n, -1, 3).transpose(0, 2, 1)).astype(np.float32)
    planes -= planes.mean(axis=2, keepdims=True)
    return planes


def _normalised(thumbnails: NDArray[np.uint8]) -> Floats:
    """(n, 3 * side * side) without brightness and contrast, each of length 1: products of two are correlations."""
    vectors = _centred(thumbnails).reshape(len(thumbnails), -1)
    vectors /= np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), 1e-6)[:, None]
    return vectors


def _low_frequencies(thumbnails: NDArray[np.uint8]) -> Floats:
    """(n, 64) part of the normalised thumbnails in the lowest frequencies of the gray image."""
    n, side = thumbnails.shape[:2]
    gray = _normalised(thumbnails).reshape(n, 3, side, side).sum(axis=1) / np.sqrt(np.float32(3.0))
    low: Floats = dctn(gray, axes=(1, 2), norm="ortho")[:, :HASH_SIDE, :HASH_SIDE].reshape(n, -1)
    return low


def _hashes(coarse: Floats) -> NDArray[np.uint64]:
    """(n,) 64 bits each: which frequencies are stronger than the median one."""
    bits = coarse > np.median(coarse, axis=1, keepdims=True)
    bits[:, 0] = True  # brightness, which was taken out
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _candidates(hashes: NDArray[np.uint64], coarse: Floats) -> Pairs:
    """(m, 2) pairs i < j whose hashes have a band in common and differ little."""
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
            pairs = pairs[_bits_apart(hashes[pairs[:, 0]], hashes[pairs[:, 1]]) <= MAX_BITS]
            found.append(pairs[_distances(coarse, pairs) <= APART])
    first, last = np.sort(np.concatenate(found), axis=1).T
    return np.stack(np.divmod(np.unique(first * len(hashes) + last), len(hashes)), axis=1)


BITS_SET = np.array([number.bit_count() for number in range(256)], dtype=np.uint8)


def _bits_apart(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.int64]:
    differing = (some ^ others).view(np.uint8).reshape(-1, 8)
    counts: NDArray[np.int64] = BITS_SET[differing].sum(axis=1, dtype=np.int64)
    return counts


def _distances(coarse: Floats, pairs: Pairs) -> Floats:
    """(m,) at most 1 - the correlation of the thumbnails, as the coarse vectors are projections of the normalised."""
    distances = [np.zeros(0, dtype=np.float32)]
    for some, others in (chunk.T for chunk in _chunks(pairs)):
        difference = coarse[some] - coarse[others]
        distances.append(np.einsum("ij,ij->i", difference, difference) / 2)
    return np.concatenate(distances)


def _nearest(pairs: Pairs, coarse: Floats) -> Pairs:
    """The pairs in which one image is among the nearest NEAREST candidates of the other."""
    distances = _distances(coarse, pairs)
    kept = np.zeros(len(pairs), dtype=bool)
    for images in pairs.T:
        order = np.lexsort((distances, images))
        _, starts, counts = np.unique(images[order], return_index=True, return_counts=True)
        kept[order[np.arange(len(order)) - np.repeat(starts, counts) < NEAREST]] = True
    return pairs[kept]


def _limits(thumbnails: NDArray[np.uint8], pairs: Pairs) -> Floats:
    """(m,) how far the images of each pair may be apart, by how crowded it is around them."""
    rows = np.unique(pairs)
    if len(rows) == 0:
        return np.zeros(0, dtype=np.float32)
    n = len(thumbnails)
    sampled = np.random.default_rng(0).choice(n, min(n, N_SAMPLED), replace=False)
    sample = _normalised(thumbnails[np.sort(sampled)])
    position = min(CROWD, len(sample) - 1)
    crowd = np.zeros(n, dtype=np.float32)
    for chunk in _chunks(rows):
        distances = 1.0 - _normalised(thumbnails[chunk]) @ sample.T
        crowd[chunk] = np.partition(distances, position, axis=1)[:, position]
    limits: Floats = np.maximum(SAME, APART * crowd[pairs].min(axis=1))
    return limits


def _fine_distances(thumbnails: NDArray[np.uint8], pairs: Pairs) -> Floats:
    """(m,) 1 - the correlation of the thumbnails."""
    distances = [np.zeros(0, dtype=np.float32)]
    for some, others in (chunk.T for chunk in _chunks(pairs)):
        products = _normalised(thumbnails[some]) * _normalised(thumbnails[others])
        distances.append(1.0 - products.sum(axis=1))
    return np.concatenate(distances)
