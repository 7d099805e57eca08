"""Gaussian noise from the operating system's generator: a published seed must not be able to take it off again.

Uniform numbers come from ``os.urandom`` (53 bits each), pairs of them become normal ones by the method of Box and
Muller (1958) in double precision. What is given out is rounded to whole numbers, so the low bits of a double, which
give plain floating-point noise away (Mironov 2012), are not there to be read.
"""

from __future__ import annotations

import os

import numpy as np

DESCRIPTION = ("operating system (os.urandom), Box-Muller in double precision, rounded to whole counts; not a discrete "
               "Gaussian sampler, so the granularity of doubles far out in the tail is not covered")


def uniform(size: int) -> np.ndarray:
    """``size`` numbers in (0, 1], float64, from the operating system."""
    bits = np.frombuffer(os.urandom(8 * size), np.uint64) >> np.uint64(11)
    return (bits.astype(np.float64) + 1) / 2.0**53


def normal(shape: int | tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers of a shape."""
    size = int(np.prod(shape))
    radius = np.sqrt(-2 * np.log(uniform(size)))
    drawn: np.ndarray = radius * np.cos(2 * np.pi * uniform(size))
    return drawn.reshape(shape)


def noisy(counts: np.ndarray, scale: float) -> np.ndarray:
    """Counts (or scores) plus Gaussian noise of standard deviation ``scale``, then rounded: float64, whole values.

    Rounding before the noise would not do: two scores that differ by one could end up two apart.
    """
    return np.asarray(np.round(counts + scale * normal(counts.shape)))


def seed() -> int:
    """63 secret bits, for choices that must not be repeatable by whoever knows the published seed."""
    return int.from_bytes(os.urandom(8), "big") >> 1
