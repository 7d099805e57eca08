"""What the privacy benchmarks audit: measurements as they are, and with too little noise, which must be found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from synth.gan.private import noise

AUDITS = {"audit": "as it is", "faulty": "a quarter of the noise"}


@contextmanager
def measured_as(arm: str) -> Iterator[None]:
    """Measurements of one of the :data:`AUDITS`."""
    right, less = noise.noisy, 4.0 if arm == "faulty" else 1.0
    with mock.patch.object(noise, "noisy", lambda counts, scale: right(counts, scale / less)):
        yield
