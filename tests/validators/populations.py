"""Simulated populations with mixed types, spikes, missing cells and repeated people, and planted faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract import Column, Contract, Privacy, Role, Task
from synth.seeds import generator
from synth.tabular.evidence import TableEvidence
from synth.tabular.schema import ColumnSchema, TableSchema

LABELS = {"region": 8, "job": 6, "status": 3}


def schema() -> TableSchema:
    """Nine modelled columns."""
    columns = [ColumnSchema(name="age", role=Role.NUMERIC, nullable=False, integer=True),
               ColumnSchema(name="income", role=Role.NUMERIC, nullable=True, decimals=2),
               ColumnSchema(name="savings", role=Role.NUMERIC, nullable=False, decimals=0),
               ColumnSchema(name="weight", role=Role.NUMERIC, nullable=False, decimals=1),
               ColumnSchema(name="seen", role=Role.DATETIME, nullable=False, unit="D")]
    for name, size in LABELS.items():
        columns.append(ColumnSchema(name=name, role=Role.CATEGORICAL, nullable=name == "job",
                                    values=tuple(f"{name}{i}" for i in range(size))))
    columns.append(ColumnSchema(name="ill", role=Role.BOOLEAN, nullable=False, values=("false", "true")))
    return TableSchema(columns=tuple(columns))


def contract(**changes: object) -> Contract:
    """A contract over :func:`schema`: target ill, sensitive income and ill, protected status."""
    roles = {c.name: c.role for c in schema().columns}
    sensitive, protected = {"income", "ill"}, {"status"}
    columns = tuple(Column(name=n, role=r, privacy=Privacy.SENSITIVE if n in sensitive else Privacy.NONE,
                           protected=n in protected) for n, r in roles.items())
    base = Contract(name="people", version="1.0.0", domain="tabular", path=Path("people.yaml"), digest="0" * 64,
                    description="", source="people.csv", columns=columns, target="ill", task=Task.CLASSIFICATION)
    return replace(base, **changes)  # type: ignore[arg-type]


def people(count: int, seed: int, *, repeated: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
    """``count`` rows and their entities; with ``repeated`` a person has one to three similar rows."""
    rng = generator(seed, "people")
    entities = np.repeat(np.arange(count), rng.integers(1, 4, count) if repeated else 1)[:count]
    persons = int(entities[-1]) + 1 if count else 0
    kind = rng.choice(4, persons, p=[0.4, 0.3, 0.2, 0.1])
    age = np.clip(np.round(rng.normal(np.array([35, 50, 28, 65])[kind], 9)), 18, 95)
    region = np.minimum(rng.geometric(np.array([0.3, 0.45, 0.25, 0.5])[kind]) - 1, 7)
    job = (kind + rng.choice(6, persons, p=[0.5, 0.2, 0.1, 0.1, 0.07, 0.03])) % 6
    status = rng.choice(3, persons, p=[0.55, 0.37, 0.08])
    who = entities
    rows = len(who)
    income = np.exp(rng.normal(7 + 0.3 * kind + 0.01 * age, 0.7))[who] * np.exp(rng.normal(0, 0.05, rows))
    income = np.where(rng.random(rows) < 0.08 + 0.1 * (job[who] == 0), np.nan, np.round(income, 2))
    savings = np.where(rng.random(rows) < 0.4, 0.0, np.round(rng.exponential(3000, persons)[who] * (1 + age[who] / 40)))
    weight = np.round(rng.normal(70 + 5 * (status[who] == 1) + 0.1 * age[who], 11), 1)
    seen = np.floor(rng.normal(18_000 + 100 * kind[who], 400))
    risk = -3 + 0.05 * (age[who] - 40) + 0.04 * (weight - 75) + 0.8 * (job[who] == 2) + 0.5 * (kind[who] == 3)
    ill = rng.random(rows) < 1 / (1 + np.exp(-risk))
    frame = pd.DataFrame({"age": age[who], "income": income, "savings": savings, "weight": weight, "seen": seen})
    for name, codes in (("region", region), ("job", job), ("status", status)):
        frame[name] = pd.Series([f"{name}{c}" for c in codes[who]], dtype="str")
    frame.loc[rng.random(rows) < 0.05, "job"] = np.nan
    frame["ill"] = pd.Series(np.where(ill, "true", "false"), dtype="str")
    frame = frame.astype({c.name: "float64" if c.is_number else "str" for c in schema().columns})
    schema().check(frame)
    return frame, entities


def evidence(rows: int, seed: int, *, repeated: bool = False, synthetic: pd.DataFrame | None = None,
             terms: Contract | None = None) -> TableEvidence:
    """Train .6, holdout .2, reference .2 of ``rows``, by person; synthetic is a fresh draw unless given."""
    frame, entities = people(rows, seed, repeated=repeated)
    draw = generator(seed, "split").random(int(entities.max(initial=0)) + 1)[entities]
    masks = {"train": draw < 0.6, "holdout": (draw >= 0.6) & (draw < 0.8), "reference": draw >= 0.8}
    parts = {name: frame[mask].reset_index(drop=True) for name, mask in masks.items()}
    if synthetic is None:  # a population of single rows: a generator draws rows, not people
        fresh, who = people(3 * rows if repeated else rows, seed + 10_000, repeated=repeated)
        first = np.flatnonzero(np.r_[True, who[1:] != who[:-1]]) if repeated else np.arange(rows)
        if repeated:  # people with more rows weigh more, as in the parts
            pool = generator(seed, "rows").permutation(len(fresh))
            unique = np.unique(who[pool], return_index=True)[1]
            first = np.sort(pool[unique])
            sizes = np.bincount(who)[who[first]]
            keep = generator(seed, "weigh").random(len(first)) < sizes / 3
            first = first[keep]
        synthetic = fresh.iloc[first[: int(masks["train"].sum())]].reset_index(drop=True)
    return TableEvidence(contract=terms or contract(), schema=schema(), synthetic=synthetic, seed=seed,
                         entities={name: entities[mask] for name, mask in masks.items()}, **parts)


def memorised(e: TableEvidence, seed: int, noise: float = 0.02) -> pd.DataFrame:
    """Training rows with a little noise on the numbers."""
    rng = generator(seed, "memoriser")
    frame = e.train.iloc[rng.permutation(len(e.train))].reset_index(drop=True)
    for name in e.schema.numbers:
        values = frame[name] + noise * np.nanstd(frame[name]) * rng.standard_normal(len(frame))
        frame[name] = np.where(frame[name] == 0, 0.0, np.round(values, e.schema[name].decimals or 0))
    return frame


def resampled(e: TableEvidence, seed: int) -> pd.DataFrame:
    """A bootstrap of the training rows."""
    rng = generator(seed, "bootstrap")
    return e.train.iloc[rng.integers(0, len(e.train), len(e.train))].reset_index(drop=True)


def partly_copied(e: TableEvidence, seed: int, share: float) -> pd.DataFrame:
    """Fresh rows of which a share is exact training rows."""
    frame, rng = e.synthetic.copy(), generator(seed, "copied")
    count = int(share * len(frame))
    source = e.train.iloc[rng.permutation(len(e.train))[:count]]
    return pd.concat([source, frame.iloc[count:]], ignore_index=True)


def collapsed(e: TableEvidence, seed: int, modes: int = 20) -> pd.DataFrame:
    """A few fresh rows over and over, with noise on the numbers."""
    rng = generator(seed, "collapsed")
    few = e.synthetic.iloc[rng.permutation(len(e.synthetic))[:modes]]
    frame = few.iloc[rng.integers(0, len(few), len(e.synthetic))].reset_index(drop=True)
    for name in e.schema.numbers:
        frame[name] = np.round(frame[name] + 0.05 * np.nanstd(e.synthetic[name]) * rng.standard_normal(len(frame)),
                               e.schema[name].decimals or 0)
    return frame


def independent(e: TableEvidence, seed: int) -> pd.DataFrame:
    """Every column shuffled by itself."""
    rng = generator(seed, "independent")
    return pd.DataFrame({n: e.synthetic[n].to_numpy()[rng.permutation(len(e.synthetic))] for n in e.schema.names}
                        ).astype(dict(e.synthetic.dtypes))


def permuted_labels(e: TableEvidence, seed: int, target: str = "ill") -> pd.DataFrame:
    """Only the target shuffled."""
    frame = e.synthetic.copy()
    frame[target] = frame[target].to_numpy()[generator(seed, "labels").permutation(len(frame))]
    return frame.astype(dict(e.synthetic.dtypes))
