"""A design of shadows that train nothing, so that processes can be looked at; imported by those processes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from validators.shadowing import Design


@dataclass(frozen=True, kw_only=True)
class Fake(Design):
    """Scores are the shadow's number and the process's; from ``hangs`` on a shadow never ends, ``fails`` fails."""

    SIGNALS: ClassVar[tuple[str, ...]] = ("number", "process")
    hangs: int = 99
    fails: int = 99
    called: str = "fake"

    @property
    def name(self) -> str:
        return self.called

    def score(self, number: int) -> np.ndarray:
        if number >= self.fails:
            raise ValueError("the patient Mustermann is not in it")
        if number >= self.hangs:
            time.sleep(600)
        return np.full((2, len(self.rows)), float(number)) * [[1.0], [0.0]] + [[0.0], [float(os.getpid())]]


def fake(count: int, **more: object) -> Fake:
    """``count`` shadows of four people."""
    return Fake(owners=np.arange(4), inside=np.zeros((count, 4), bool), rows=np.arange(3), seed=0,
                **more)  # type: ignore[arg-type]
