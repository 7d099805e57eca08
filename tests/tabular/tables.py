"""Small private tables with contracts, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from synth.contract import Contract
from synth.contract.load import loads
from synth.errors import UserError
from synth.progress import Silent
from synth.tabular.ingest import ingest
from synth.tabular.schema import TableSchema

SECRET = "Zq7xSECRET"  # planted in data; no message may hold it
SECRET_NUMBER = 918273645


def column(name: str, kind: str, *, required: bool = False, options: dict[str, Any] | None = None,
           **settings: Any) -> dict[str, Any]:
    """A contract column: ``kind`` is its logical type, ``settings`` its synthesis.* properties."""
    entry: dict[str, Any] = {"name": name, "logicalType": kind, "required": required}
    if options:
        entry["logicalTypeOptions"] = options
    if settings:
        entry["customProperties"] = [{"property": f"synthesis.{k}", "value": v} for k, v in settings.items()]
    return entry


def contract(source: Path | str, *columns: dict[str, Any], server: dict[str, str] | None = None,
             top: dict[str, Any] | None = None, **table: Any) -> Contract:
    """A contract for ``source``; ``table`` are synthesis.* properties of the table, ``top`` of the contract."""
    document = {
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": "t", "name": "t", "version": "1.0.0",
        "servers": [{"server": "s", "type": "local", "location": str(source), **(server or {})}],
        "schema": [{"name": "t", "properties": list(columns), "customProperties": [
            {"property": f"synthesis.{k}", "value": v} for k, v in table.items()]}],
        "customProperties": [{"property": f"synthesis.{k}", "value": v} for k, v in (top or {}).items()],
    }
    return loads(yaml.safe_dump(document, sort_keys=False), Path("/contracts/t.yaml"))


def ingested(agreed: Contract, out: Path) -> tuple[pd.DataFrame, TableSchema, dict[str, Any]]:
    """Working frame, schema and record of a contract's data."""
    out.mkdir(exist_ok=True)
    record = ingest(agreed, out, progress=Silent())
    schema = TableSchema.load(out / "schema.json")
    frame = pd.read_parquet(out / "table.parquet")
    schema.check(frame)
    return frame, schema, record


def csv(tmp_path: Path, name: str, cells: list[Any]) -> Path:
    """A CSV file of one column beside a filler, so that an empty cell is not an empty line."""
    path = tmp_path / "data.csv"
    path.write_text(f"{name},filler\n" + "".join(f"{c},{i % 2}\n" for i, c in enumerate(cells)))
    return path


def parquet(tmp_path: Path, name: str, array: pa.Array) -> Path:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({name: array, "filler": [i % 2 for i in range(len(array))]}), path)
    return path


FILLER = column("filler", "boolean")


def one(tmp_path: Path, source: Path, described: dict[str, Any], **more: Any) -> tuple[pd.Series, Any]:
    """Working column and its schema."""
    frame, schema, _ = ingested(contract(source, described, FILLER, **more), tmp_path / "out")
    return frame[described["name"]], schema[described["name"]]


def refused(tmp_path: Path, agreed: Contract) -> str:
    """The message of data that must be refused; it never quotes a cell, and nothing is left behind."""
    out = tmp_path / "refused"
    out.mkdir(exist_ok=True)
    with pytest.raises(UserError) as caught:
        ingest(agreed, out, progress=Silent())
    message = str(caught.value)
    assert caught.value.exit_code == 2 and "where:" in message and "what to do:" in message
    assert SECRET not in message and str(SECRET_NUMBER) not in message and message.count("\n") < 24
    assert not list(out.glob("*.parquet"))
    return message
