"""How scenes are put into rows when nothing may be taken from them: every size, bound and word is fixed or declared."""

from __future__ import annotations

from dataclasses import replace

from synth.contract.model import Contract, Role
from synth.contract.traffic import LANE_WIDTH
from synth.driving.header import SIZES, Header
from synth.driving.scenes import Kind
from synth.tabular.schema import ColumnSchema, TableSchema

# what numbers of a header may be; values beyond are brought to the ends. Times end with the scene.
BOUNDS = {"gap": (0.0, 200.0), "closing": (-25.0, 25.0), "offset": (-2.0, 2.0), "drift": (-2.0, 2.0),
          "room": (0.0, 150.0), "pace": (-25.0, 25.0), "depth": (0.0, 12.0), "speed": (0.0, 60.0), "lanes": (1.0, 12.0)}
ACCELERATION = (-6.0, 4.0)  # m/s^2, mean of a stretch
TIMES = ("onset", "cross", "brake", "lasting")
FINE = {"gap": 1, "room": 1, "lanes": 0}  # digits after the point; of the rest:
DIGITS = 2


def public_header(contract: Contract, listing: TableSchema) -> Header:
    """A header without anything that :meth:`.Header.fit` reads off scenes: declared shape and lanes, usual sizes."""
    block = contract.traffic
    assert block is not None
    return Header(shape=block.shape, lane_width=LANE_WIDTH if block.lane_width is None else block.lane_width,
                  sizes=tuple(SIZES[kind] for kind in Kind), lengths=False, widths=False,
                  listed=tuple(n for n in ("speed", "lanes") if n in listing.names))


def public_columns(header: Header) -> TableSchema:
    """The header's own columns with bounds and a grid."""
    return TableSchema(columns=tuple(_bounded(column, header) for column in header.schema().columns))


def _bounded(column: ColumnSchema, header: Header) -> ColumnSchema:
    if column.role is not Role.NUMERIC:
        return column
    part = column.name.rsplit(" ", 1)[-1]
    low, high = (0.0, round(header.shape.steps * header.shape.dt, 1)) if part in TIMES else BOUNDS.get(
        part, ACCELERATION)
    return replace(column, minimum=low, maximum=high, decimals=FINE.get(part, 1 if part in TIMES else DIGITS))
