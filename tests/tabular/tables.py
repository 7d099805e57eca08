"""Small private tables with contracts, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from synth.contract import Contract
from synth.contract.load import loads
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
