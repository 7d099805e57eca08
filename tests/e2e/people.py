"""A small table with a secret in every private column, and its contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.e2e.secrets_scanner import numbers

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: people
name: people
version: "1.0.0"
status: active
description: {{purpose: test, usage: test, limitations: test}}
servers:
  - {{server: local, type: local, path: people.csv, format: csv}}
schema:
  - name: people
    properties:
      - name: person
        logicalType: string
        customProperties:
          - {{property: synthesis.role, value: identifier}}
          - {{property: synthesis.generate, value: drop}}
      - name: full_name
        logicalType: string
        classification: direct-identifier
        customProperties:
          - {{property: synthesis.role, value: identifier}}
          - {{property: synthesis.privacy, value: direct}}
          - {{property: synthesis.generate, value: generate}}
          - {{property: synthesis.faker, value: name}}
      - name: note
        logicalType: string
        customProperties:
          - {{property: synthesis.role, value: text}}
          - {{property: synthesis.generate, value: drop}}
      - name: age
        logicalType: integer
        logicalTypeOptions: {{minimum: 0, maximum: 120}}
        customProperties: [{{property: synthesis.privacy, value: quasi}}]
      - name: town
        logicalType: string
        customProperties:
          - {{property: synthesis.role, value: categorical}}
          - {{property: synthesis.privacy, value: quasi}}
      - name: income
        logicalType: number
        logicalTypeOptions: {{minimum: 0, maximum: 100000000}}
        customProperties:
          - {{property: synthesis.privacy, value: sensitive}}
          - {{property: synthesis.decimals, value: 2}}
      - name: ill
        logicalType: boolean
        customProperties:
          - {{property: synthesis.role, value: boolean}}
          - {{property: synthesis.privacy, value: sensitive}}
    customProperties:
      - {{property: synthesis.entity, value: person}}
      - {{property: synthesis.target, value: ill}}
      - {{property: synthesis.task, value: classification}}
customProperties:
  - {{property: synthesis.domain, value: tabular}}
  - {{property: synthesis.licence, value: none}}
  - {{property: synthesis.maxAttempts, value: 50}}
  - {{property: synthesis.training, value: {{effort: 0.02}}}}
{gates}"""


# Limits so wide that any table passes: the scheduler and the release are under test here, not the generator.
def open_gates() -> str:
    """Every limit of every gate opened, with a reason."""
    from dataclasses import fields
    from importlib import import_module

    from validators.gates import GATES

    lines = ["  - property: synthesis.gates", "    value:"]
    for gate in GATES["tabular"]:
        limits = fields(import_module(gate.module).Limits)
        wide = {f.name: wide_open(f) for f in limits}
        chosen = {name: value for name, value in wide.items() if value is not None}
        if chosen:
            lines.append(f"      {gate.name}:")
            lines += [f"        {name}: {{limit: {value}, reason: a test of the road}}"
                      for name, value in chosen.items()]
    return "\n".join(lines) + "\n"


def wide_open(limit) -> float | None:
    """The end of this limit's range that next to nothing fails; ``None`` leaves the default."""
    low, high = limit.metadata["range"]
    if limit.name == "isolated_share":  # says whom to look at
        return None
    return low if limit.metadata["direction"] == "at least" else high


@dataclass(frozen=True)
class Planted:
    """Where the table is and what must not be found outside ``private/``."""

    contract: Path
    secrets: list[bytes]


def plant(folder: Path, *, rows: int = 2000, gates: str = "", seed: int = 0) -> Planted:
    """Write ``people.csv`` and ``people.yaml`` into ``folder``."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows)
    towns = np.array(["north", "south", "east", "west"])[rng.integers(0, 4, rows)]
    income = np.round(np.exp(rng.normal(10, 0.5, rows)) + 100 * age, 2)
    ill = rng.random(rows) < 1 / (1 + np.exp(-(age - 55) / 10))
    words = ["person,full_name,note,age,town,income,ill"]
    secrets = []
    for i in range(rows):
        person, name = f"PERSONKEY{i * 7919 + 31337:09d}", f"Zyx{i:05d} Qvorname{i * 31:06d}"
        note = f"NOTESECRET{i:07d}"
        town, money = str(towns[i]), f"{income[i]:.2f}"
        if i == 3:
            town = "RARETOWN-Wqzx77"  # fewer than k people
        if i in (4, 5):
            money = ("98765432.19", "97654321.87")[i - 4]  # an extreme nobody else has
        words.append(f"{person},{name},{note},{age[i]},{town},{money},{'true' if ill[i] else 'false'}")
        if i % 97 == 0 or i < 6:
            secrets += [person.encode(), name.encode(), note.encode()]
    secrets += [b"RARETOWN", *numbers(98765432.19), *numbers(97654321.87)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "people.csv").write_text("\n".join(words) + "\n", encoding="utf-8")
    contract = folder / "people.yaml"
    contract.write_text(CONTRACT.format(gates=gates), encoding="utf-8")
    return Planted(contract=contract, secrets=secrets)
