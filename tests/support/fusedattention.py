"""Attention's arithmetic in the fused step, in NumPy: sums over tokens that can be joined, with powers of two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.support.fusedmemory import Floats, number, rounded

LOWEST = np.float32(-1e30)


@dataclass
class Sums:
    """Running sums over tokens, for each query head: largest score [heads], total [heads], values [heads, d]."""

    largest: Floats
    total: Floats
    out: Floats

    @classmethod
    def of_nothing(cls, heads: int, d: int) -> Sums:
        return cls(np.full(heads, LOWEST), np.zeros(heads, np.float32), np.zeros((heads, d), np.float32))

    def add(self, queries: Floats, keys: Floats, values: Floats) -> None:
        """Adds tokens: keys and values [tokens, d]. A token's weight is rounded for its value, not for the total."""
        scores = queries @ keys.T
        largest = np.maximum(self.largest, scores.max(axis=1))
        shrink, weights = np.exp2(self.largest - largest), np.exp2(scores - largest[:, None])
        self.total = self.total * shrink + weights.sum(axis=1)
        self.out = self.out * shrink[:, None] + number(rounded(weights)) @ values
        self.largest = largest


def joined(largest: Floats, total: Floats, out: Floats) -> Sums:
    """Returns the sums over all tokens from those over parts of them; the first axis of each array is that of parts."""
    most = largest.max(axis=0)
    factors = np.exp2(largest - most)
    return Sums(most, (factors * total).sum(axis=0), (factors[..., None] * out).sum(axis=0))


def rotated(heads: Floats, cosine: Floats, sine: Floats) -> Floats:
    """Returns heads [..., d] rotated: dimensions i and i + d / 2 form a plane."""
    a, b = np.split(heads, 2, axis=-1)
    return np.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=-1)
