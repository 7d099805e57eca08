"""Logs of a drive: the same signals through CSV, Parquet, MF4, candump and a DBC; a DBC that does not fit says so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synth.driving.readers.telemetry import read_telemetry
from synth.errors import UserError
from tests.driving.logs import DBC

OTHER = DBC.replace("BO_ 291", "BO_ 292").replace("BO_ 512", "BO_ 513")
LONGER = DBC.replace("Motion: 4", "Motion: 8").replace("Pedals: 2", "Pedals: 4")


@pytest.fixture
def drive(tmp_path):
    """Two seconds: speed each 20 ms, pedals each 100 ms; as signals and as messages."""
    import cantools

    (tmp_path / "bus.dbc").write_text(DBC)
    (tmp_path / "other.dbc").write_text(OTHER)
    (tmp_path / "longer.dbc").write_text(LONGER)
    database = cantools.database.load_file(tmp_path / "bus.dbc")
    start = 1_700_000_000.0
    frames = [(start + i * 0.02, 291, database.encode_message("Motion", {"Speed": 50 + 0.5 * i, "YawRate": -0.1}))
              for i in range(100)]
    frames += [(start + i * 0.1, 512, database.encode_message("Pedals", {"Brake": 4 * i, "Gear": 3}))
               for i in range(20)]
    frames += [(start + 0.5, 700, b"\x01")]
    frames.sort()
    (tmp_path / "bus.log").write_text("".join(f"({t:.6f}) can0 {i:03X}#{d.hex().upper()}\n" for t, i, d in frames))
    pd.DataFrame([(t, hex(i), d.hex()) for t, i, d in frames], columns=["time", "id", "data"]).to_csv(
        tmp_path / "bus.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("name", ["bus.log", "bus.csv"])
def test_messages_are_decoded_and_their_clock_is_left_out(drive, name):
    found = read_telemetry(str(drive / name), dbc=str(drive / "bus.dbc"), rate=10)
    table = found.table
    assert table.time.tolist() == pytest.approx([i / 10 for i in range(20)])
    assert table.Speed.tolist() == pytest.approx([50 + 2.5 * i for i in range(20)], abs=0.006)
    assert table.YawRate.tolist() == pytest.approx([-0.1] * 20, abs=6e-4)
    assert table.Brake.tolist() == pytest.approx([4 * i for i in range(20)], abs=0.21)
    assert (table.Gear == 3).all()
    assert found.units["Speed"] == "km/h" and found.refused == {"message not in the DBC": 1}


@pytest.mark.parametrize(("dbc", "says"), [
    ("other.dbc", "none of the log's 121 messages is in the DBC"),
    ("longer.dbc", "120 of the log's 120 messages in the DBC have another length"),
    ("none.dbc", "no such DBC"), (None, "needs a DBC")])
def test_a_dbc_that_does_not_fit_its_log(drive, dbc, says):
    with pytest.raises(UserError, match=says) as error:
        read_telemetry(str(drive / "bus.log"), dbc=dbc and str(drive / dbc))
    assert error.value.todo and "1700000000" not in str(error.value)


def test_a_file_that_is_no_dbc_is_not_quoted(drive):
    (drive / "bad.dbc").write_text("BO_ 1 Jane_Roe")
    with pytest.raises(UserError, match="cannot be read") as error:
        read_telemetry(str(drive / "bus.log"), dbc=str(drive / "bad.dbc"))
    assert "Roe" not in str(error.value)


def test_mf4_with_signals(drive):
    from asammdf import MDF, Signal

    t = np.arange(50) * 0.1
    log = MDF(version="4.10")
    log.append([Signal(np.sin(t), t, unit="m/s", name="speed"), Signal(np.array([b"Jane"] * 50), t, name="driver",
                                                                         encoding="utf-8")])
    log.save(drive / "signals.mf4")
    log.close()
    found = read_telemetry(str(drive / "signals.mf4"), rate=5)
    assert np.allclose(found.table.speed, np.sin(np.arange(25) / 5)) and found.units == {"speed": "m/s"}
    assert "driver" not in found.table and found.refused == {"channel without numbers": 1}
    with pytest.raises(UserError, match="cannot be read as MDF"):
        (drive / "bad.mf4").write_bytes(b"MDF 4.10 Jane Roe")
        read_telemetry(str(drive / "bad.mf4"))


def test_mf4_with_messages_of_the_bus(drive):
    from asammdf import MDF, Signal, Source

    names = [("BusChannel", "u1"), ("ID", "<u4"), ("IDE", "u1"), ("DLC", "u1"), ("DataLength", "u1")]
    frames = np.zeros(30, [*((f"CAN_DataFrame.{n}", kind) for n, kind in names),
                           ("CAN_DataFrame.DataBytes", "u1", (8,))])
    for name, value in (("BusChannel", 1), ("ID", 291), ("DLC", 4), ("DataLength", 4)):
        frames[f"CAN_DataFrame.{name}"] = value
    frames["CAN_DataFrame.DataBytes"][:, :2] = (np.arange(30) * 100).astype("<u2").view("u1").reshape(30, 2)
    bus = Source(name="CAN1", path="CAN1", comment="", source_type=2, bus_type=2)
    log = MDF(version="4.10")
    log.append([Signal(frames, np.arange(30) * 0.1, name="CAN_DataFrame", source=bus)], acq_source=bus)
    log.save(drive / "bus.mf4")
    log.close()
    found = read_telemetry(str(drive / "bus.mf4"), dbc=str(drive / "bus.dbc"))
    assert found.table.Speed.tolist() == pytest.approx(list(range(30))) and found.units["Speed"] == "km/h"
    for dbc, says in (("other.dbc", "none of the log's messages"), (None, "needs a DBC")):
        with pytest.raises(UserError, match=says):
            read_telemetry(str(drive / "bus.mf4"), dbc=dbc and str(drive / dbc))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_channels_of_a_table(tmp_path, suffix):
    table = pd.DataFrame({"t": [100.0, 100.1, 100.2, 103.0], "v": [1.0, 2.0, np.nan, 4.0], "who": ["x"] * 4})
    path = tmp_path / f"log{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    found = read_telemetry(str(path), time="t", rate=10)
    held = found.table.v.tolist()
    assert held[:3] == [1, 2, 2] and held[11] == 2 and np.isnan(held[12:30]).all() and held[30] == 4
    assert found.refused == {"channel without numbers": 1}
    with pytest.raises(UserError, match="no column 'time'"):
        read_telemetry(str(path))


@pytest.mark.parametrize(("name", "text", "says"), [
    ("a.txt", "x", "not known"), ("a.csv", "", "cannot be read as a table"),
    ("a.csv", "time,who\n1,Jane\n", "no channel with numbers"), ("a.csv", "time,v\n0,1\n1e12,2\n", "span years"),
    ("a.csv", "time,id,data\n1,2,Jane\n", "1 of 1 rows are no CAN messages")])
def test_logs_that_cannot_be_used(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=says) as error:
        read_telemetry(str(tmp_path / name), dbc=None)
    assert "Jane" not in str(error.value)
    with pytest.raises(UserError, match="no such log"):
        read_telemetry(str(tmp_path / "gone.csv"))
