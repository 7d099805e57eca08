"""Who was in a release, as a sketch that says nothing to those without the key: a bottom-k sample of keyed digests.

Each person's name (a 64-bit digest that stays in the private half) is put through HMAC-SHA256 under the publisher's
ledger key, and the smallest :data:`SIZE` results are kept. Two sketches under one key hold the same people below the
smaller of their two edges, so counting those in both estimates how many people two releases share. Without the
key the numbers are noise; a sketch of fewer people is filled up with noise, so that it does not tell how many.

Bottom-k sampling: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007. What a sketch can miss:
people who are fewer than about 3 in :data:`SIZE` of the larger release, and people whose names changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synth.errors import VerificationError
from synth.release.signing import SigningKey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZE = 2048
_Z = 1.959963984540054  # two-sided 95 %


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerKey:
    """The key of the digests, derived from the publisher's signing key. Prints its name only."""

    secret: bytes
    name: str

    def __repr__(self) -> str:
        return f"LedgerKey({self.name})"

    @classmethod
    def of(cls, key: SigningKey) -> LedgerKey:
        """The ledger key that belongs to a signing key: another signing key, another ledger key."""
        raw = key.private.private_bytes_raw()
        secret = hmac.new(raw, b"synth-pipeline ledger of people 1", hashlib.sha256).digest()
        return cls(secret=secret, name=hmac.new(secret, b"name", hashlib.sha256).hexdigest()[:16])

    def digests(self, names: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Keyed digests of names, uint64 of the same shape (n,)."""
        import numpy as np

        keyed = hmac.new(self.secret, b"person", hashlib.sha256)
        found = bytearray()
        for name in np.ascontiguousarray(names, dtype=">u8"):
            each = keyed.copy()
            each.update(name.tobytes())
            found += each.digest()[:8]
        return np.frombuffer(bytes(found), dtype=">u8").astype(np.uint64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sketch:
    """A sample of the people of one release."""

    unit: str  # what is counted: "people", "rows", "images", "scenes"
    count: int  # how many, rounded to ten
    key: str  # name of the ledger key
    complete: bool  # everybody is in it, filled up with noise
    values: NDArray[np.uint64]  # sorted, shape (SIZE,)

    @classmethod
    def of(cls, names: NDArray[np.uint64], unit: str, key: LedgerKey) -> Sketch:
        """The sketch of the people called ``names`` (repeated names count once)."""
        import numpy as np

        unique = np.unique(names)
        found = np.sort(key.digests(unique))[:SIZE]
        missing = SIZE - len(found)
        noise = np.frombuffer(os.urandom(8 * missing), dtype=np.uint64)
        return cls(unit=unit, count=max(10 * round(len(unique) / 10), 10), key=key.name,
                   complete=len(unique) <= SIZE, values=np.sort(np.concatenate([found, noise])))

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger."""
        return {"unit": self.unit, "count": self.count, "key": self.key, "complete": self.complete,
                "sample": base64.b64encode(self.values.astype(">u8").tobytes()).decode()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> Sketch:
        """Read what :meth:`to_json` wrote; a :class:`VerificationError` if it is malformed."""
        import numpy as np

        try:
            values = np.frombuffer(base64.b64decode(data["sample"], validate=True), dtype=">u8").astype(np.uint64)
            if len(values) != SIZE:
                raise ValueError
            return cls(unit=str(data["unit"]), count=int(data["count"]), key=str(data["key"]),
                       complete=bool(data["complete"]), values=values)
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise VerificationError("the sample of people in the ledger cannot be read", where=where) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """How many people two releases share, with a 95 % interval; shares are of the first release's people."""

    share: float
    low: float
    high: float


def overlap(first: Sketch, second: Sketch) -> Overlap | None:
    """The overlap of two sketches; ``None`` if they were made under different keys or count different things.

    Digests are uniform, so those below the smaller edge are a simple random sample of the union, in which each
    shared person shows up with a known chance; the count is Poisson (score interval).
    """
    import numpy as np

    if first.key != second.key or first.unit != second.unit:
        return None
    edges = [2.0**64 if s.complete else float(s.values[-1]) for s in (first, second)]
    edge = min(edges)
    both = np.intersect1d(first.values, second.values)
    shared, chance = int((both.astype(float) <= edge).sum()), edge / 2.0**64
    half, middle = _Z * np.sqrt(shared + _Z**2 / 4), shared + _Z**2 / 2
    people = max(first.count, 1) * chance
    low_edge = middle - half if shared else 0.0
    share, low, high = (float(min(max(v, 0.0) / people, 1.0)) for v in (shared, low_edge, middle + half))
    if first.complete and second.complete:  # everybody is in both: there is nothing to estimate
        low = high = share
    return Overlap(share=share, low=low, high=high)
