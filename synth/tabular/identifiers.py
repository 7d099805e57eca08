"""Made-up identifiers for the synthetic table: from faker, unrelated to any row."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from synth.contract.model import Column
from synth.errors import UserError
from synth.seeds import derive, generator

POOL = 2_000  # different faker values behind a column that need not be unique
UUID = "uuid4"  # what an identifier gets when the contract names no provider


def generate(column: Column, rows: int, *, seed: int, start: int = 0, unique: bool | None = None) -> pa.Array:
    """``rows`` values for ``column``, the ``start``-th row of the table onwards.

    Unique columns get random UUIDs, running numbers, or a pooled value with the row's number in it; others a
    value of a pool of :data:`POOL`. :class:`UserError` for a provider that faker does not have or that gives
    no single value.
    """
    unique = column.unique if unique is None else unique
    provider = column.faker or UUID
    rng = generator(seed, "identifiers", column.name, start)
    if provider == UUID:
        return pa.array(_uuids(rng, rows), pa.string())
    # a unique text needs no large pool: the row's number makes it unique
    pool = _pool(provider, derive(seed, "identifiers", column.name))
    if pool is None:
        place = f"column {column.name!r}" + (f", contract line {column.line}" if column.line else "")
        raise UserError(f"faker has no provider {provider!r} that gives one value", where=place,
                        todo="choose one such as name, email, phone_number, uuid4, random_int, street_address")
    if unique and pa.types.is_integer(pool.type):
        return pa.array(np.arange(start + 1, start + rows + 1))
    drawn = pool.take(pa.array(rng.integers(0, len(pool), rows)))
    if not unique:
        return drawn
    return pa.array([_numbered(str(text), start + i + 1) for i, text in enumerate(drawn.to_pylist())], pa.string())


def _numbered(text: str, number: int) -> str:
    name, at, domain = text.partition("@")
    return f"{name}{number}@{domain}" if at else f"{text} {number}"


@lru_cache(maxsize=64)
def _pool(provider: str, seed: int) -> pa.Array | None:
    """:data:`POOL` texts or integers; ``None`` if faker has no such provider. Made once for all batches of a table."""
    from faker import Faker

    faker = Faker()
    faker.seed_instance(seed)
    try:
        make = None if provider.startswith("_") else faker.get_formatter(provider)
        first = make() if callable(make) else None
    except (AttributeError, TypeError):
        return None
    if make is None or isinstance(first, bool) or not isinstance(first, (str, int)):
        return None
    values: list[Any] = [first, *(make() for _ in range(POOL - 1))]
    return pa.array(values, pa.int64() if isinstance(first, int) else pa.string())


def _uuids(rng: np.random.Generator, rows: int) -> list[str]:
    raw = rng.integers(0, 256, (rows, 16), dtype=np.uint8)
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40  # version 4
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80  # variant of RFC 9562
    text = raw.tobytes().hex()
    return [f"{text[i:i + 8]}-{text[i + 8:i + 12]}-{text[i + 12:i + 16]}-{text[i + 16:i + 20]}-{text[i + 20:i + 32]}"
            for i in range(0, 32 * rows, 32)]
