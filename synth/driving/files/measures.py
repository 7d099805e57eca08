"""What each released scene shows by the rules, whatever its row asked for: one row a scene, in the listing's order.

========== ======== ======================================================================================
column     type     meaning
========== ======== ======================================================================================
scene      int32    the scene: the row of ``metadata.parquet`` (0 is the first)
shows      string   manoeuvre, seen from the ego vehicle
min_ttc    float32  s, least time to collision of the ego vehicle with its leader or follower; empty: none
max_drac   float32  m/s^2, largest deceleration that either needs to avoid a crash
min_pet    float32  s, least time from when one of the ego vehicle and another leaves a place to when the other
                    gets there, where their ways cross; empty: they do not
avoidable  bool     of near misses: brakes can still avoid a crash on this road; empty for other scenes
========== ======== ======================================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synth.driving.encroachment import min_pet
from synth.driving.files.base import SYNTHETIC, Released
from synth.driving.safety import avoidable, following

if TYPE_CHECKING:
    import pyarrow as pa

NEAR_MISS = "near_miss"


def schema() -> pa.Schema:
    """Columns, types and metadata of the file."""
    import pyarrow as pa

    f4 = pa.float32()
    return pa.schema([("scene", pa.int32()), ("shows", pa.string()), ("min_ttc", f4), ("max_drac", f4), ("min_pet", f4),
                      ("avoidable", pa.bool_())], metadata=SYNTHETIC)


def write(path: Path, released: Released) -> None:
    """The whole set into one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    scenes, shows, pairs = released.scenes, released.shows, following(released.scenes)
    needed = pairs.max_drac
    times = [pa.array(v.astype(np.float32), pa.float32(), mask=~np.isfinite(v))
             for v in (pairs.min_ttc, min_pet(scenes))]
    could = pa.array(avoidable(needed, np.array([w.friction for w in released.weather])), pa.bool_(),
                     mask=shows != NEAR_MISS)
    table = pa.table([pa.array(np.arange(len(scenes)), pa.int32()), pa.array(shows.tolist(), pa.string()), times[0],
                      pa.array(needed, pa.float32()), times[1], could], schema=schema())
    pq.write_table(table, path, compression="zstd")
