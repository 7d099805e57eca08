"""The table generator: a reshape that keeps the constraints, around a model that knows none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from synth.contract.model import Constraint, Training
from synth.errors import UserError
from synth.progress import Progress, Silent
from synth.seeds import derive, generator
from synth.tabular.conditions import Allowed, Conditions
from synth.tabular.reshape import Reshape
from synth.tabular.schema import TableSchema

if TYPE_CHECKING:
    from synth.tabular.model import TabularModel

RESHAPE = "reshape.json"
BATCH = 16_384  # rows drawn at once
CANDIDATES = 4  # drawn for each row where a condition is on a column that the model does not see as such


class Model(Protocol):
    """What is asked of the model inside."""

    history: dict[str, Any]

    def sample(self, rows: int, *, seed: int, where: Conditions | None = None, balance: str | None = None,
               progress: Progress | None = None) -> pd.DataFrame:
        """Rows that satisfy ``where``."""

    def sample_batches(self, rows: int, *, seed: int, where: Conditions | None = None, balance: str | None = None,
                       progress: Progress | None = None) -> Iterator[pd.DataFrame]:
        """The same in batches."""

    def impute(self, frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
        """Missing cells filled."""

    def log_likelihood(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Log-probability of each row, or ``None`` if the model has none."""

    def save(self, folder: Path) -> None:
        """Write into a folder."""


class TableGenerator:
    """Fit, sample, impute, save and load; every constraint holds in every sampled row.

    Conditions hold in every row, too. On most columns the model draws them natively. A column that
    :class:`~synth.tabular.reshape.Reshape` replaced is conditioned on approximately: :data:`CANDIDATES` rows
    are drawn for each row asked for; those that satisfy the conditions are taken as they are, and what is
    lacking is made from others by moving the conditioned cells to values of those taken (else to the edge of
    the range) and the rest of the row as little as the constraints demand.
    """

    def __init__(self, reshape: Reshape, model: Model) -> None:
        self.reshape, self.model = reshape, model

    @property
    def schema(self) -> TableSchema:
        """Of the frames that come out."""
        return self.reshape.source

    @property
    def history(self) -> dict[str, Any]:
        """How the model was trained."""
        return self.model.history

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: TableSchema, constraints: Iterable[Constraint] = (), *,
            training: Training | None = None, seed: int, device: str = "cpu", progress: Progress | None = None,
            checkpoint: Path | None = None, entities: np.ndarray | None = None, target: str | None = None,
            conditions: Sequence[str] = (), k: int = 10) -> TableGenerator:
        """Train on a working frame; for the arguments see :meth:`synth.tabular.model.TabularModel.fit`."""
        from synth.tabular.model import TabularModel

        reshape = Reshape.fit(frame, schema, constraints, k, entities)
        names = {name: combination.name for name, combination in reshape.composite.items()}
        seen = set(reshape.schema.names)
        wanted = dict.fromkeys(names.get(name, name) for name in conditions)
        goal = names.get(target, target) if target is not None else None
        model: TabularModel = TabularModel.fit(
            reshape.forward(frame), reshape.schema, training=training or Training(), seed=seed, device=device,
            progress=progress or Silent(), checkpoint=checkpoint, entities=entities,
            target=goal if goal in seen else None, conditions=tuple(n for n in wanted if n in seen), k=k)
        return cls(reshape, model)

    def sample(self, rows: int, *, seed: int, where: Conditions | None = None, balance: str | None = None,
               progress: Progress | None = None) -> pd.DataFrame:
        """``rows`` synthetic rows as a working frame; see :meth:`sample_batches`."""
        batches = list(self.sample_batches(rows, seed=seed, where=where, balance=balance, progress=progress))
        return pd.concat(batches, ignore_index=True) if len(batches) > 1 else batches[0]

    def sample_batches(self, rows: int, *, seed: int, where: Conditions | None = None, balance: str | None = None,
                       progress: Progress | None = None) -> Iterator[pd.DataFrame]:
        """Working frames of ``rows`` rows in all (at least one frame).

        ``where``: conditions that hold in every row. ``balance``: a label column whose labels come equally
        often. :class:`UserError` for conditions that contradict the constraints.
        """
        where = where or Conditions()
        inner, moved = self._translate(where)
        labels = self._strata(balance, where)
        if not moved and labels is None:
            for held in self.model.sample_batches(rows, seed=seed, where=inner, balance=balance, progress=progress):
                yield self._checked(self.reshape.inverse(held, within=where.columns), where)
            return
        with (progress or Silent()).step("drawing rows", max(1, rows)) as step:
            for number, start in enumerate(range(0, max(1, rows), BATCH)):
                wanted, rng = min(BATCH, rows - start), generator(seed, "strata", number)
                if labels is None:
                    yield self._draw(wanted, where, inner, balance, derive(seed, "rows", number))
                else:
                    # which labels get the rows that do not divide evenly is left to chance
                    counts = np.bincount(rng.permutation(len(labels))[np.arange(wanted) % len(labels)],
                                         minlength=len(labels))
                    parts = []
                    for i, (label, count) in enumerate(zip(labels, counts, strict=True)):
                        if not count and wanted:
                            continue
                        full = Conditions({**where.columns, str(balance): Allowed(labels=frozenset([label]))})
                        parts.append(self._draw(int(count), full, self._translate(full)[0], None,
                                                derive(seed, "rows", number, i)))
                    yield pd.concat(parts, ignore_index=True).iloc[rng.permutation(wanted)].reset_index(drop=True)
                step.update(start + wanted)

    def impute(self, frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
        """The frame with missing cells drawn given the row's other cells, which stay as they are.

        Constraints hold wherever the given cells permit.
        """
        frame = frame[self.schema.names].reset_index(drop=True)
        held = self.model.impute(self.reshape.forward(frame, partial=True), seed=seed)
        for combination in self.reshape.combinations:
            held[combination.name] = combination.agree(held[combination.name], frame,
                                                       generator(seed, "agree", combination.name))
        made = self.reshape.inverse(held, given=frame)
        return pd.DataFrame({n: frame[n].where(frame[n].notna(), made[n]) for n in self.schema.names})

    def log_likelihood(self, frame: pd.DataFrame) -> np.ndarray | None:
        """See :meth:`synth.tabular.model.TabularModel.log_likelihood`; of the rows in the form the model sees."""
        return self.model.log_likelihood(self.reshape.forward(frame[self.schema.names].reset_index(drop=True)))

    def _translate(self, where: Conditions) -> tuple[Conditions, bool]:
        """Conditions on the model's columns, and whether some can only be met by moving cells afterwards."""
        inner: dict[str, Allowed] = {}
        moved = False
        for name, allowed in where.columns.items():
            item = self.reshape.replaced.get(name)
            if name in self.reshape.composite:
                combination = self.reshape.composite[name]
                labels = combination.compatible(where.columns)
                if not labels:
                    raise UserError(f"no combination of {', '.join(combination.columns)} in this data satisfies the "
                                    "conditions", todo="ask for values that occur together")
                inner[combination.name] = Allowed(labels=labels)
            elif item is None:
                inner[name] = allowed
            elif name not in self.reshape.schema.names:  # a total that is computed, never missing
                if allowed.missing:
                    raise UserError(f"column {name!r} has no missing cells", todo="drop the condition")
                moved = True
            else:
                inner[name] = Allowed(missing=allowed.missing)
                moved |= np.isfinite(allowed.low) or np.isfinite(allowed.high)
        return Conditions(inner), moved

    def _strata(self, balance: str | None, where: Conditions) -> list[str] | None:
        """Labels to share the rows out to one by one; ``None`` if the model can balance by itself."""
        if balance is None:
            return None
        if balance not in self.schema.names:
            raise UserError(f"there is no column {balance!r} to balance",
                            todo=f"label columns: {', '.join(self.schema.labels[:40])}")
        if self.schema[balance].is_number:
            raise UserError(f"column {balance!r} holds numbers, which cannot be balanced",
                            todo=f"label columns: {', '.join(self.schema.labels[:40])}")
        combination = self.reshape.composite.get(balance)
        if combination is None:
            return None
        allowed = {**where.columns, balance: where.columns.get(balance, Allowed())}
        labels = pd.Series(sorted(combination.compatible(allowed)), dtype="str")
        found = sorted(set(pd.Series(combination.decode(labels)[balance]).dropna())) if len(labels) else []
        if not found:
            raise UserError(f"column {balance!r} has no label left to balance under the conditions",
                            todo="drop a condition")
        return found

    def _draw(self, rows: int, where: Conditions, inner: Conditions, balance: str | None, seed: int) -> pd.DataFrame:
        """``rows`` rows under conditions on replaced columns: candidates first, the lacking rows moved."""
        replaced = [n for n in where.columns if n in self.reshape.replaced and not where.columns[n].missing]
        times = CANDIDATES if replaced else 1
        held = self.model.sample(rows * times, seed=seed, where=inner, balance=balance)
        table = self.reshape.inverse(held, within={n: a for n, a in where.columns.items() if n not in replaced})
        good = where.holds(table)
        # a quota for each balanced label, so that taking the good rows first does not undo the balance
        groups = held[balance].to_numpy() if balance is not None else np.zeros(len(held), dtype=int)
        rank = pd.Series(~good).groupby(groups).rank(method="first").to_numpy()
        size = pd.Series(groups).map(pd.Series(groups).value_counts()).to_numpy(dtype=float)
        chosen = np.sort(np.lexsort((np.arange(len(held)), rank / size))[:rows])
        lacking = chosen[~good[chosen]]
        if len(lacking):
            donors = np.flatnonzero(good)
            given = None
            if len(donors):
                picked = generator(seed, "donors").choice(donors, len(lacking))
                given = table.loc[picked, replaced].reset_index(drop=True)
            moved = self.reshape.inverse(held.iloc[lacking].reset_index(drop=True), given=given, within=where.columns)
            table.loc[lacking] = moved.set_axis(lacking, axis=0)
        return self._checked(table.loc[chosen].reset_index(drop=True), where)

    def _checked(self, table: pd.DataFrame, where: Conditions) -> pd.DataFrame:
        if not where.holds(table).all():
            names = ", ".join(repr(n) for n in where.columns)
            raise UserError(f"the conditions on {names} contradict the contract's constraints",
                            todo="ask for values that can occur together")
        return table

    def save(self, folder: Path) -> None:
        """Write the model and the reshape (private: both hold vocabulary)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder)
        (folder / RESHAPE).write_text(json.dumps(self.reshape.to_json(), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> TableGenerator:
        """Read what :meth:`save` wrote, onto any device."""
        from synth.tabular.model import TabularModel

        reshape = Reshape.from_json(json.loads((folder / RESHAPE).read_text(encoding="utf-8")))
        return cls(reshape, TabularModel.load(folder, device))
