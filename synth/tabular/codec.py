"""A working frame as a matrix of integer tokens, and back.

Every column becomes one token: numbers through :mod:`synth.tabular.numbers`, labels by their vocabulary. A
long vocabulary takes two, a coarse one and a fine one below it, so that no layer of a network ever has ten
thousand outputs. Missing is a token of its own, never a filled-in value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synth.contract.model import Role
from synth.errors import UserError
from synth.seeds import generator
from synth.tabular.numbers import Interval, NumberCodec
from synth.tabular.schema import ColumnSchema, TableSchema

LONG = 512  # a longer vocabulary is coded in two tokens


@dataclass(frozen=True, kw_only=True)
class LabelCodec:
    """Tokens of one label column: [missing?] + labels; or [missing?] + groups, then the place in the group."""

    name: str
    missing: bool
    labels: tuple[str, ...]  # in token order; a long vocabulary is sorted by frequency
    group: int  # labels in a group; 0 = one token
    ordered: bool
    positions: np.ndarray  # rank position of each coarse token of an ordered column, NaN elsewhere

    @classmethod
    def fit(cls, column: ColumnSchema, values: pd.Series) -> LabelCodec:
        """Learn the vocabulary: the schema's if it has one, else what train holds, sorted."""
        counts = values.value_counts()
        labels = column.values or tuple(sorted(counts.index))
        missing = column.nullable or bool(values.isna().any()) or not labels
        group = int(np.ceil(np.sqrt(len(labels)))) if len(labels) > LONG else 0
        mass = counts.reindex(list(labels)).fillna(0).to_numpy(float)
        if group:
            labels = tuple(labels[i] for i in np.argsort(-mass, kind="stable"))
        positions = np.full(len(labels), np.nan)
        if column.role is Role.ORDINAL and not group:
            positions = (np.cumsum(mass) - mass / 2) / max(1.0, mass.sum())
        if group:
            positions = np.full(-(-len(labels) // group), np.nan)
        return cls(name=column.name, missing=missing, labels=labels, group=group,
                   ordered=column.role is Role.ORDINAL, positions=np.concatenate([[np.nan] * missing, positions]))

    @property
    def sizes(self) -> list[int]:
        """Number of values of each token."""
        if self.group:
            return [int(self.missing) + -(-len(self.labels) // self.group), self.group]
        return [int(self.missing) + len(self.labels)]

    def children(self) -> np.ndarray | None:
        """How many values the second token can take below each coarse token; ``None`` without one."""
        if not self.group:
            return None
        counts = np.full(self.sizes[0], self.group)
        counts[-1] = len(self.labels) - self.group * (self.sizes[0] - int(self.missing) - 1)
        counts[:int(self.missing)] = 1
        return counts

    def encode(self, values: pd.Series) -> np.ndarray:
        """Tokens [rows, 1 or 2]; a label outside the vocabulary is a :class:`UserError` that does not quote it."""
        codes = pd.Index(self.labels, dtype="str").get_indexer(pd.Index(values)).astype(np.int64)
        unknown = int(((codes < 0) & values.notna().to_numpy()).sum())
        if unknown or (not self.missing and (codes < 0).any()):
            raise UserError(f"column {self.name!r} has cells the model was not trained for"
                            f" ({unknown or int((codes < 0).sum())} cells)",
                            todo="use the vocabulary of the training table, or train again")
        if not self.group:
            return (codes + int(self.missing))[:, None] + 0.5
        coarse = np.where(codes < 0, 0, codes // self.group + int(self.missing))
        return np.stack([coarse, np.where(codes < 0, 0, codes % self.group)], 1) + 0.5

    def codes(self, tokens: np.ndarray) -> np.ndarray:
        """Index into the vocabulary of tokens [rows, 1 or 2]; -1 is missing."""
        tokens = tokens.astype(np.int64)
        code = tokens[:, 0] - int(self.missing)
        if self.group:
            code = np.where(code < 0, -1, np.minimum(code * self.group + tokens[:, 1], len(self.labels) - 1))
        return code

    def decode(self, tokens: np.ndarray) -> pd.Series:
        """Labels (pandas ``str``, NaN where missing) of tokens [rows, 1 or 2]."""
        import pyarrow as pa

        code = self.codes(tokens)
        picked = pa.array(self.labels, pa.large_string()).take(pa.array(code, mask=code < 0))
        dtype: Any = pd.StringDtype(na_value=np.nan)
        return pd.Series(dtype.__from_arrow__(picked))

    def allowed(self, labels: frozenset[str]) -> np.ndarray:
        """1 for each cell [coarse, fine] whose label is in the set, else 0."""
        hit = np.array([label in labels for label in self.labels], float)
        if not self.group:
            return np.concatenate([[0.0] * self.missing, hit])[:, None]
        whole = np.zeros((self.sizes[0] - int(self.missing)) * self.group)
        whole[:len(hit)] = hit
        return np.concatenate([np.zeros((int(self.missing), self.group)), whole.reshape(-1, self.group)])

    def to_json(self) -> dict[str, Any]:
        """Plain data (private: the vocabulary)."""
        return {"kind": "label", "name": self.name, "missing": self.missing, "labels": list(self.labels),
                "group": self.group, "ordered": self.ordered,
                "positions": [None if np.isnan(p) else p for p in self.positions.tolist()]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LabelCodec:
        """The inverse of :meth:`to_json`."""
        positions = np.array([np.nan if p is None else p for p in data["positions"]], float)
        return cls(name=data["name"], missing=data["missing"], labels=tuple(data["labels"]), group=data["group"],
                   ordered=data["ordered"], positions=positions)


@dataclass(frozen=True, kw_only=True)
class Token:
    """One position of the token matrix, as the networks need to know it."""

    column: int  # index of the column it belongs to
    size: int
    coarse: int | None  # index of the coarse token it refines, None for a coarse token
    bins: int  # how many of its last values are bins of a number, which have an inside
    children: tuple[int, ...]  # for a fine token: how many values it can take below each coarse value
    positions: tuple[float, ...]  # rank position of each value in [0, 1]; NaN where it has none


@dataclass(frozen=True, kw_only=True)
class TableCodec:
    """All columns of a table, in schema order."""

    schema: TableSchema
    columns: tuple[NumberCodec | LabelCodec, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: TableSchema, *, k: int = 10,
            entities: np.ndarray | None = None) -> TableCodec:
        """Learn every column's tokens from a working frame."""
        columns: list[NumberCodec | LabelCodec] = []
        for column in schema.columns:
            values = frame[column.name]
            if column.is_number:
                columns.append(NumberCodec.fit(
                    column.name, values.to_numpy(float), k=k,
                    decimals=0 if column.integer or column.unit is not None else column.decimals,
                    nullable=column.nullable, low=column.minimum, high=column.maximum, entities=entities))
            else:
                columns.append(LabelCodec.fit(column, values))
        return cls(schema=schema, columns=tuple(columns))

    @property
    def starts(self) -> list[int]:
        """Index of each column's first token."""
        return np.concatenate([[0], np.cumsum([len(c.sizes) for c in self.columns])])[:-1].astype(int).tolist()

    def tokens(self) -> list[Token]:
        """What the networks need to know about each token, in order."""
        out: list[Token] = []
        for i, column in enumerate(self.columns):
            children = column.children()
            out.append(Token(column=i, size=column.sizes[0], coarse=None, children=(),
                             bins=column.bins if isinstance(column, NumberCodec) else 0,
                             positions=tuple(column.positions.tolist())))
            if children is not None:
                size = column.sizes[1]
                out.append(Token(column=i, size=size, coarse=len(out) - 1, bins=0, children=tuple(children.tolist()),
                                 positions=(float("nan"),) * size))
        return out

    def encode(self, frame: pd.DataFrame, *, seed: int) -> np.ndarray:
        """Token matrix int64 [rows, tokens]."""
        rng = generator(seed, "encode")
        parts = []
        for column in self.columns:
            chance = rng.random(len(frame))
            values = frame[column.name]
            parts.append(column.encode(values.to_numpy(float), chance) if isinstance(column, NumberCodec)
                         else column.encode(values))
        return np.concatenate(parts, 1) if parts else np.zeros((len(frame), 0))

    def decode(self, tokens: np.ndarray, rng: np.random.Generator, within: Mapping[str, Interval] | None = None
               ) -> pd.DataFrame:
        """Working frame of a token matrix; ``within`` has the intervals that conditioned numbers must stay in."""
        out = {}
        for column, start in zip(self.columns, self.starts, strict=True):
            part = tokens[:, start:start + len(column.sizes)]
            if isinstance(column, NumberCodec):
                out[column.name] = pd.Series(column.decode(part, (within or {}).get(column.name)))
            else:
                out[column.name] = column.decode(part)
        return pd.DataFrame(out, index=pd.RangeIndex(len(tokens)))

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {"schema": self.schema.to_json(), "columns": [c.to_json() for c in self.columns]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TableCodec:
        """The inverse of :meth:`to_json`."""
        kinds = {"number": NumberCodec.from_json, "label": LabelCodec.from_json}
        return cls(schema=TableSchema.from_json(data["schema"]),
                   columns=tuple(kinds[c["kind"]](c) for c in data["columns"]))  # type: ignore[misc]
