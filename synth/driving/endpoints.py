"""The ends of trips, cut away before anything else is made of recordings whose places are on earth.

Where somebody's trips begin and end is where they live and work. All states within a radius of any end of a driver's
trips go, whichever trip they are of: who passes their own door in the middle of a trip is not seen there either. A
silence of :data:`PARKED` seconds ends a trip, since a logger that starts again did so at a door.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.driving.readers.base import Recorded

PARKED = 120.0  # s
PIECE = "piece"  # column of what is left of a track: no step of a scene leads across what was cut


@dataclass(frozen=True)
class Trimmed:
    """What is left, and how much was cut: ``trips`` there were, ``gone`` those wholly within a radius, ``states``."""

    recorded: Recorded
    trips: int = 0
    gone: int = 0
    states: int = 0


def trimmed(recorded: Recorded, metres: float, entity: str | None) -> Trimmed:
    """Recordings without the states within ``metres`` of an end of a trip of the same ``entity`` (a column of what is
    known about the tracks; ``None``, or nothing said: of the same track). Places without a number stay, for the reader
    of tracks to count."""
    states = recorded.states
    if not metres or not len(states):
        return Trimmed(recorded)
    track = _codes(states["recording"].astype(str), states["track"].astype(str))
    time, x, y = (states[name].to_numpy(np.float64) for name in ("time", "x", "y"))
    order = np.lexsort((time, track))
    order = order[np.isfinite(time + x + y)[order]]
    if not len(order):
        return Trimmed(recorded)
    begins = np.r_[True, (np.diff(track[order]) != 0) | (np.diff(time[order]) > PARKED)]
    first = np.flatnonzero(begins)
    ends = np.r_[order[first], order[np.r_[first[1:], len(order)] - 1]]
    away = np.zeros(len(states), bool)
    whose = _whose(recorded, track, entity)
    away[order] = _near(np.stack([x, y], 1), order, ends, whose, metres)
    trip = np.cumsum(begins) - 1
    gone = int((np.bincount(trip, weights=~away[order]) == 0).sum())
    # every stretch between two cuts is a track of its own: nothing is filled in across them
    piece = np.zeros(len(states), np.int64)
    piece[order] = trip + np.cumsum(np.r_[False, away[order][1:] & ~away[order][:-1]])
    left = np.flatnonzero(~away)
    kept = Recorded(states=states.iloc[left].assign(**{PIECE: _codes(pd.Series(track[left]), pd.Series(piece[left]))}
                                                    ).reset_index(drop=True),
                    about=recorded.about.iloc[left].reset_index(drop=True), refused=recorded.refused)
    return Trimmed(kept, trips=len(first), gone=gone, states=int(away.sum()))


def _codes(*parts: pd.Series) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(pd.MultiIndex.from_arrays(parts))[0], np.int64)


def _whose(recorded: Recorded, track: NDArray[np.int64], entity: str | None) -> NDArray[np.int64]:
    """Codes [rows] of whose trip it is."""
    if entity is None or entity not in recorded.about:
        return track
    named = pd.factorize(recorded.about[entity])[0]
    return np.where(named >= 0, named, track + int(named.max(initial=-1)) + 1)


def _near(place: NDArray[np.float64], rows: NDArray[np.int64], ends: NDArray[np.int64], whose: NDArray[np.int64],
          metres: float) -> NDArray[np.bool_]:
    """Whether each of ``rows`` is within ``metres`` of one of its own ``ends``."""
    from scipy.spatial import cKDTree

    found = np.zeros(len(rows), bool)
    sorted_ends, sorted_rows = (at[np.argsort(whose[at], kind="stable")] for at in (ends, rows))
    back = np.argsort(whose[rows], kind="stable")
    for who in np.unique(whose[ends]):
        a, b = (slice(*np.searchsorted(whose[at], [who, who + 1])) for at in (sorted_ends, sorted_rows))
        reach = cKDTree(place[sorted_ends[a]]).query(place[sorted_rows[b]], distance_upper_bound=metres * (1 + 1e-9))[0]
        found[back[b]] = reach <= metres
    return found
