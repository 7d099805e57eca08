"""A straight road as a SUMO network, written directly: netconvert is not needed for parallel lanes."""

from __future__ import annotations

from synth.driving.files.roads import Road

EDGE, ROUTE = "road", "along"
_LIMIT = 70.0  # m/s; above anything that is driven, so that a replay is never held back
SAID = "<!-- SyntheticData=YES: drawn from a generative model, no recording of anybody's drive -->\n"


def network(road: Road) -> str:
    """The network as XML: one edge, lane 0 on the right, x and y as in the scenes."""
    y = [f"{road.centre(i):.4f}" for i in range(road.lanes)]
    lanes = "".join(
        f'        <lane id="{EDGE}_{i}" index="{i}" speed="{_LIMIT:.2f}" length="{road.length:.2f}" '
        f'width="{road.lane_width:.2f}" shape="{road.start:.2f},{at} {road.end:.2f},{at}"/>\n'
        for i, at in enumerate(y))
    every = " ".join(f"{EDGE}_{i}" for i in range(road.lanes))
    bounds = f"{road.start:.2f},0.00,{road.end:.2f},{road.width:.2f}"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{SAID}'
        '<net version="1.20" junctionCornerDetail="5" limitTurnSpeed="5.50">\n'
        f'    <location netOffset="0.00,0.00" convBoundary="{bounds}" origBoundary="{bounds}" projParameter="!"/>\n'
        f'    <edge id="{EDGE}" from="start" to="end" priority="1">\n{lanes}    </edge>\n'
        + _end("start", road.start, road.width, "") + _end("end", road.end, road.width, every) + "</net>\n")


def _end(name: str, x: float, width: float, lanes: str) -> str:
    return (f'    <junction id="{name}" type="dead_end" x="{x:.2f}" y="{width / 2:.2f}" incLanes="{lanes}" '
            f'intLanes="" shape="{x:.2f},0.00 {x:.2f},{width:.2f}"/>\n')
