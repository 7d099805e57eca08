"""What stops recorded traffic: in the contract's words, and after scenes were cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from synth.contract import Contract
from synth.contract.model import Role, Training
from synth.contract.traffic import DERIVED
from synth.domain import RECIPES
from synth.driving.cut import Cut
from synth.driving.scenes import MANOEUVRE, MANOEUVRES
from synth.errors import UserError
from synth.tabular.scan import at_line
from synth.tabular.scan import refuse as refuse_table

MOST_REFUSED = 0.5  # of the windows; recordings that are worse are not understood, and nobody should go on
MOST_STACKED, LOOKED_AT = 0.2, 2000  # share of scenes with overlapping vehicles (people measure badly), scenes tried
WINDOWS = ("astray", "beside_the_road", "astray_neighbour")  # what short views and cuts cost is no misunderstanding
HINTS = {
    "not_finite": "rows without a finite time and place; they are left out",
    "repeated_rows": "rows that stand twice; one of them is kept",
    "twice_in_a_frame": "tracks that are in two places at one time; numbers of tracks are used again, or recordings "
                        "are mixed: name the column `recording`",
    "gaps": "pauses in tracks; such a track is taken as several",
    "jumps": "tracks that go further in one step than a vehicle can; such a track is taken as several",
    "too_short": "tracks of less than three steps, or that never move and have no heading",
    "size": "vehicles that are no vehicle's size",
    "not_a_vehicle": "tracks of pedestrians and things",
    "slower_than_rate": "recordings with fewer states a second than the contract's `rate`",
    "slow_channel": "measured channels whose values come more slowly than the contract's `rate`; they are left out",
    "near_an_end": "trips that never leave the radius round the ends of their driver's trips (`endpoints`)",
    "leader_leaves": "windows whose leader is not seen to the end",
    "astray": "windows of vehicles that do not drive along the road",
    "astray_neighbour": "windows with such a vehicle near the ego vehicle",
    "beside_the_road": "windows of vehicles beside the lanes: check `lanes` and `laneWidth`",
    "shares_a_driver_across_a_cut": "windows with drivers on both sides of a cut between parts",
    "no_road_frame: astray": "directions of recordings in which too many drive across the road",
    "no_road_frame: bends": "directions of recordings whose road bends too much for one frame",
    "no_road_frame: no_axis": "recordings without a common direction, such as crossings",
    "no_road_frame: nobody_moves": "recordings in which nobody drives",
    "no_road_frame: lanes": "directions of recordings with more than twelve lanes: check `laneWidth`",
    "no_road_frame: lanes_unknown": "recordings without numbers of lanes: say `laneWidth` under synthesis.traffic",
    "no_road_frame: lane_width_unknown": "directions with one lane only: say `laneWidth` under synthesis.traffic",
    "no_road_frame: lane_width": "directions whose lanes are no lane's width: say `laneWidth`, or correct the lanes",
    "doctype": "XML files with a document type, which may hold bombs; they are not read",
    "truncated": "XML files that break off",
    "damaged": "files that cannot be read",
    "lanelet_reference": "files with references to lanelets that are not there",
}


def refuse(contract: Contract) -> list[UserError]:
    """What is wrong with the contract's words on traffic, before the recordings are looked at."""
    block = contract.traffic
    if block is None:
        return [UserError("the contract has no block on traffic", where=str(contract.path),
                          todo="add `synthesis.traffic` (data_contracts/README.md)")]
    where, found = at_line(contract, block.line), []
    names = {c.name: c for c in contract.columns}
    if MANOEUVRE not in names or names[MANOEUVRE].role is not Role.CATEGORICAL:
        found.append(UserError(f"the column {MANOEUVRE!r} is not described as categorical", where=where,
                               todo="describe it: what a scene shows, found by rules, is what users ask for"))
    elif (given := names[MANOEUVRE].values) is not None and (wrong := set(given) - set(MANOEUVRES)):
        found.append(UserError(f"{len(wrong)} values of {MANOEUVRE!r} are not manoeuvres",
                               where=at_line(contract, names[MANOEUVRE].line),
                               todo=f"manoeuvres are {', '.join(MANOEUVRES)}"))
    for name in DERIVED[1:]:
        if name in names and names[name].modelled and names[name].role not in (Role.NUMERIC, Role.ORDINAL):
            found.append(UserError(f"the column {name!r} is made by the ingest, and is a number",
                                   where=at_line(contract, names[name].line), todo="give it role numeric"))
    if contract.entity is None and not block.each_track_is_a_driver:
        found.append(UserError("no column says whose drive a track is", where=where,
                               todo="name it as `synthesis.entity` (driver, trip or vehicle); only if every track is "
                                    "of another person, set `eachTrackIsADriver: true` (the report will say so)"))
    if contract.entity is not None and block.each_track_is_a_driver:
        found.append(UserError("the contract names the driver and says that each track is one", where=where,
                               todo="keep `synthesis.entity`, or `eachTrackIsADriver`"))
    if contract.entity in DERIVED:
        found.append(UserError("the entity is a column that the ingest makes", where=where,
                               todo="name the column of the driver, trip or vehicle"))
    return found + _training(contract) + refuse_table(replace(contract, training=Training()), keeps_budgets=True)


def _training(contract: Contract) -> list[UserError]:
    """A recipe that there is not."""
    if (contract.training.recipe, contract.training.options) == (RECIPES[contract.domain], ()):
        return []
    from synth.driving.recipes import named  # imports torch

    try:
        named(contract.training)
    except UserError as error:
        return [UserError(error.what, where=at_line(contract, contract.training.line), todo=error.todo)]
    return []


def few(contract: Contract, cut: Cut) -> list[UserError]:
    """No scenes, or too much put aside."""
    block = contract.traffic
    assert block is not None
    kept = int((cut.groups.group >= 0).sum())
    lost = sum(n for code, n in cut.refused.items() if code in WINDOWS)
    if kept and lost <= MOST_REFUSED * (kept + lost):
        return []
    reasons = "; ".join(f"{n} {hint(code)}" for code, n in Counter(cut.refused).most_common(5))
    where = at_line(contract, block.line)
    if not kept and cut.recordings and cut.longest < block.seconds:
        return [UserError(f"a scene lasts {block.seconds:g} s, and no recording lasts longer than {cut.longest:.1f} s",
                          where=where, todo="make `seconds` shorter")]
    what = f"{lost} of {kept + lost} windows were put aside, more than {MOST_REFUSED:.0%}" if kept else \
        "no scene can be cut from the recordings"
    return [UserError(what + (f": {reasons}" if reasons else ""), where=where,
                      todo="correct what the reasons say")]


def alone(contract: Contract, cut: Cut) -> list[UserError]:
    """Recordings with one vehicle at a time: there is no traffic in them."""
    block = contract.traffic
    assert block is not None
    if block.vehicles > 1 and len(cut.scenes) and not cut.scenes.present[:, 1:].any():
        return [UserError("no vehicle ever has another one near it", where=at_line(contract, block.line),
                          todo="set `vehicles: 1` if single drives are meant; otherwise give recordings of whole "
                               "roads, or check the clock and `recording`")]
    return []


def stacked(contract: Contract, cut: Cut) -> list[UserError]:
    """Vehicles that stand in one another: their clocks are not the same, or their places are of other roads."""
    from synth.driving.geometry import collisions

    block = contract.traffic
    assert block is not None
    if not len(cut.scenes):
        return []
    rows = np.linspace(0, len(cut.scenes) - 1, min(len(cut.scenes), LOOKED_AT)).astype(np.int64)
    share = float(collisions(cut.scenes.take(rows)).any(axis=(1, 2)).mean())
    if share <= MOST_STACKED:
        return []
    return [UserError(f"vehicles stand in one another in {share:.0%} of the scenes",
                      where=at_line(contract, block.line),
                      todo="check that all tracks of a recording have one clock and one grid, and name the column "
                           "`recording`; single drives without the others need `vehicles: 1`")]


def hint(code: str) -> str:
    """A reason in words."""
    return HINTS.get(code, code)


def counted(cut: Cut) -> dict[str, int]:
    """The manoeuvres of the scenes kept."""
    kept = cut.groups.group >= 0
    said = np.array(cut.texts[MANOEUVRE], object)[kept]
    return {name: int((said == name).sum()) for name in MANOEUVRES}
