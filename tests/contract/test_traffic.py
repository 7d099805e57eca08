"""The traffic block of a contract: read into a frozen object, or refused with every mistake at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.contract.load import load, loads
from synth.contract.traffic import RecordingFormat, Traffic, Units
from synth.domain import RECIPES, fitting
from synth.errors import Problems, UserError

BASE = """\
apiVersion: v3.1.0
kind: DataContract
id: road
name: road
version: "1.0.0"
status: draft
servers:
  - {server: s, type: local, path: data}
schema:
  - name: scenes
    properties:
      - name: manoeuvre
        logicalType: string
customProperties:
  - {property: synthesis.domain, value: driving}
  - property: synthesis.traffic
    value: {}
"""


def block(value: str, text: str = BASE):
    return loads(text.replace("value: {}", f"value: {value}"), Path("/x/road.yaml"))


def test_nothing_need_be_said() -> None:
    contract = block("{}")
    assert contract.traffic == Traffic() and contract.traffic.format is RecordingFormat.TABLE
    assert (contract.traffic.shape.vehicles, contract.traffic.shape.steps, contract.traffic.shape.rate) == (4, 40, 5.0)
    assert contract.training.recipe == RECIPES["driving"] and fitting(contract).name == "driving"
    assert contract.traffic.column("x") == "x" and contract.traffic.mu("anything") == 0.9


def test_everything_that_can_be_said() -> None:
    traffic = block("{format: table, columns: {track: car, x: east}, units: {length: ft, speed: mph, angle: deg, "
                    "time: ms}, vehicles: 6, seconds: 4, rate: 10, stride: 0.5, lanes: 3, laneWidth: 3.66, friction: "
                    "{dry: 0.8, ice: 1e-1}, eachTrackIsADriver: true, release: [sumo, telemetry], scenarioFiles: 7}"
                    ).traffic
    assert traffic == Traffic(columns=(("track", "car"), ("x", "east")), units=Units(
        length="ft", speed="mph", angle="deg", time="ms"), vehicles=6, seconds=4.0, rate=10.0, stride=0.5, lanes=3,
        lane_width=3.66, friction=(("dry", 0.8), ("ice", 0.1)), each_track_is_a_driver=True,
        release=("sumo", "telemetry"), scenario_files=7)
    assert traffic.steps == 40 and traffic.stride_steps == 5
    assert traffic.mu("ice") == 0.1 and traffic.mu(None) == 0.9 and traffic.column("x") == "east"


def test_a_column_may_be_left_out_but_not_one_that_is_needed() -> None:
    assert block("{columns: {heading: null}}").traffic.column("heading") == ""
    with pytest.raises(Problems, match="column for 'x' must be text"):
        block("{columns: {x: null}}")


@pytest.mark.parametrize(("value", "what"), [
    ("{vehicle: 4}", "unknown key 'vehicle'"), ("{format: highd}", "unknown format of the recordings"),
    ("{vehicles: 0}", "from 1 to 16"), ("{vehicles: 2.5}", "whole number"), ("{seconds: long}", "must be a number"),
    ("{seconds: 60, rate: 25}", "1500 steps"), ("{columns: {speeed: v}}", "unknown key 'speeed'"),
    ("{columns: {x: a, y: a}}", "same column"), ("{columns: {x: 3}}", "must be text"),
    ("{units: {speed: knots}}", "unknown unit of speed"), ("{units: feet}", "must be a mapping"),
    ("{friction: [0.9]}", "must be a mapping"), ("{friction: {dry: 9}}", "from 0.05 to 1.2"),
    ("{release: []}", "list of formats"), ("{release: [esmini]}", "unknown format of the released files"),
    ("{release: [sumo, sumo]}", "list of formats"), ("{eachTrackIsADriver: 1}", "true or false"),
    ("{format: ngsim, units: {length: ft}}", "are for tables"), ("{laneWidth: 12}", "from 2.4 to 5"),
    ("[a]", "must be a mapping"),
])
def test_a_mistake_is_named_at_its_line(value: str, what: str) -> None:
    with pytest.raises(Problems) as caught:
        block(value)
    assert what in caught.value.render() and "road.yaml:17" in caught.value.render()


def test_the_block_belongs_to_its_domain() -> None:
    without = BASE[: BASE.index("  - property: synthesis.traffic")]
    with pytest.raises(UserError, match=r"needs 'synthesis.traffic'"):
        fitting(loads(without, Path("/x/road.yaml")))
    with pytest.raises(UserError, match=r"does not have 'synthesis.traffic'"):
        fitting(block("{}", BASE.replace("value: driving", "value: tabular")))


def test_the_contract_that_ships() -> None:
    contract = load(Path(__file__).resolve().parents[2] / "data_contracts" / "motorway.yaml")
    assert fitting(contract).name == "driving" and contract.entity == "driver"
    assert contract.traffic is not None and contract.traffic.mu("snow") == 0.45
