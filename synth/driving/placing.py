"""Where vehicles start along the road: as gaps to those of their lane that came before them in a header, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.driving.roles import ACTOR
from synth.driving.scenes import EGO

Floats = NDArray[np.float64]


def mates(s: Floats, lane: NDArray[np.int64], there: NDArray[np.bool_], slot: int, ahead: NDArray[np.bool_],
          past: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Slot before ``slot`` that its gap is measured from: the outermost of its lane on its side; -1 nobody's.

    The actor counts for vehicles ``past`` it alone: it need not be nearer than those that come after it.
    """
    same = there[:, :slot] & (lane[:, :slot] == lane[:, slot, None])
    if slot > ACTOR:
        same[:, ACTOR] &= past
    key = np.where(same, np.where(ahead[:, None], s[:, :slot], -s[:, :slot]), -np.inf)
    return np.where(same.any(1), key.argmax(1), -1)


def beyond(s: Floats, lane: NDArray[np.int64], there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Vehicles [n, K] in the actor's lane and beyond it on its side, seen from the ego vehicle."""
    if s.shape[1] <= ACTOR:
        return np.zeros(s.shape, bool)
    away = s - s[:, :1]
    same = there & there[:, [ACTOR]] & (lane == lane[:, [ACTOR]]) & (away * away[:, [ACTOR]] > 0)
    found = same & (np.abs(away) > np.abs(away[:, [ACTOR]]))
    found[:, :ACTOR + 1] = False
    return np.asarray(found)


def chain(s: Floats, length: Floats, lane: NDArray[np.int64], there: NDArray[np.bool_], past: NDArray[np.bool_]
           ) -> dict[int, tuple[Floats, NDArray[np.int64]]]:
    """For each slot after the ego vehicle: (gap, slot whose speed its own is compared with)."""
    out, rows = {}, np.arange(len(s))
    for slot in range(1, s.shape[1]):
        ahead = s[:, slot] > s[:, EGO]
        mate = mates(s, lane, there, slot, ahead, past[:, slot])
        whom = np.maximum(mate, 0)
        away = np.where(ahead, 1, -1) * (s[:, slot] - s[rows, whom])
        out[slot] = (np.where(mate < 0, away, away - (length[rows, whom] + length[:, slot]) / 2), whom)
    return out


def place(s: Floats, length: Floats, lane: NDArray[np.int64], there: NDArray[np.bool_], slot: int,
           ahead: NDArray[np.bool_], gap: Floats, past: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64]]:
    """The inverse: where the vehicle in ``slot`` is along the road, and whom it was placed by."""
    mate = mates(s, lane, there, slot, ahead, past)
    whom, rows = np.maximum(mate, 0), np.arange(len(s))
    way = gap + np.where(mate < 0, 0.0, (length[rows, whom] + length[:, slot]) / 2)
    return s[rows, whom] + np.where(ahead, way, -way), whom
