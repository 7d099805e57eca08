"""A publication to play with: contract, shards, report, keys and store in one folder."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synth.contract import Column, Contract, IdentifierPolicy, Limit, Privacy, Role, Task
from synth.release.publish import publish

PRIVATE = "db.clinic-internal.example"
RAW = {
    "apiVersion": "v3.1.0", "kind": "DataContract", "id": "urn:people", "name": "people", "version": "1.2.0",
    "status": "active", "description": {"purpose": "Forecast income.", "usage": "training"},
    "servers": [{"server": PRIVATE, "type": "postgres", "host": PRIVATE, "database": "patients_live"}],
    "team": {"members": [{"username": "jane.secret"}]},
    "schema": [{
        "name": "people", "physicalName": "patients_live.people_t",
        "properties": [
            {"name": "person_key", "logicalType": "string", "examples": ["secret-example-77"]},
            {"name": "age", "logicalType": "integer", "required": True, "physicalName": "AGE_SECRET_COLUMN",
             "logicalTypeOptions": {"minimum": 0, "maximum": 120}, "examples": [93],
             "quality": [{"type": "library", "metric": "nullValues", "mustBe": 0},
                         {"type": "sql", "query": "select secret_query"}],
             "customProperties": [{"property": "synthesis.role", "value": "numeric"},
                                  {"property": "internal.owner", "value": "jane.secret"}]},
            {"name": "income", "logicalType": "number"},
            {"name": "group", "logicalType": "string"},
            {"name": "ticket", "logicalType": "string"},
        ]}],
    "customProperties": [{"property": "synthesis.entity", "value": "person_key"},
                         {"property": "synthesis.source", "value": f"s3://{PRIVATE}/people.csv"},
                         {"property": "synthesis.domain", "value": "tabular"}],
}


def make_contract(**changed: Any) -> Contract:
    fields: dict[str, Any] = dict(
        name="people", version="1.2.0", domain="tabular", path=Path("people.yaml"), digest="c" * 64,
        description="People | and <b>incomes</b>", source=f"s3://{PRIVATE}/people.csv", licence="CC-BY-4.0",
        purpose="Forecast income.", entity="person_key", target="group", task=Task.CLASSIFICATION,
        columns=(
            Column(name="person_key", role=Role.IDENTIFIER, privacy=Privacy.DIRECT),
            Column(name="age", role=Role.NUMERIC, required=True, minimum=0, maximum=120, privacy=Privacy.QUASI),
            Column(name="income", role=Role.NUMERIC, privacy=Privacy.SENSITIVE),
            Column(name="group", role=Role.CATEGORICAL, protected=True, description="a | b"),
            Column(name="ticket", role=Role.IDENTIFIER, generate=IdentifierPolicy.GENERATE, faker="uuid4"),
        ),
        limits=(Limit(gate="fidelity", key="shape", value=0.05, reason="small table"),),
        retention_until=date(2099, 1, 31), raw=RAW,
    )
    return Contract(**{**fields, **changed})


REPORT = {"verdict": {"overall": "pass", "gates": [
    {"gate": "contract", "deciding": {"title": "Rows | that break a <= b", "value": 0.0, "high": 0.01, "limit": 0.05,
                                      "direction": "at most"}}]}, "gates": [
    {"gate": "contract", "title": "Contract", "question": "Does every row keep the contract?", "verdict": "pass",
     "findings": [{"id": "contract.suite", "verdict": "pass"}, {"id": "contract.rows", "verdict": "info"}],
     "not_tested": ["what the contract does not say"]}]}
PROVENANCE = {"plan_digest": "d" * 64, "commit": "a" * 40,
              "gates": [{"gate": "contract", "verdict": "pass", "limits": {"violating_rows": 0.0}}]}


def write_shards(folder: Path, shards: int = 2, rows: int = 50) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for i in range(shards):
        table = pa.table({"age": rng.integers(0, 90, rows), "income": rng.normal(size=rows),
                          "group": rng.choice(["a", "b"], rows), "ticket": [f"t{i}-{j}" for j in range(rows)]})
        pq.write_table(table, folder / f"train-{i:05d}-of-{shards:05d}.parquet", write_statistics=False)
    return folder


def full(path: Path, data: bytes) -> None:
    """A writer that finds no room on the disk half way."""
    path.write_bytes(data[:10])
    raise OSError(errno.ENOSPC, "No space left on device")


@dataclass(frozen=True)
class Bench:
    """Everything a publication needs, in a folder of its own."""

    folder: Path

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def publish(self, store: Any = None, *, run: str = "run-1", **changed: Any) -> dict[str, Any]:
        contract = changed.pop("contract", None) or make_contract()
        shards = changed.pop("shards", None) or write_shards(self.folder / "shards")
        return publish(self.folder / run / "release", contract=contract, shards=shards, report=REPORT,
                       html="<!doctype html><title>r</title>", provenance=PROVENANCE,
                       store=self.store if store is None else store, run=run, keys=self.keys, **changed)
