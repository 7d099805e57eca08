"""One seed in, any number of independent named streams out.

Each consumer names its stream, so adding a consumer never shifts the numbers another one draws.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream ``names`` below ``seed``; stable across versions and machines."""
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for the stream ``names`` below ``seed``."""
    return np.random.default_rng(derive(seed, *names))
