"""The table model: fit on a working frame, sample, sample under conditions, impute, save, load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synth.contract.model import Training
from synth.errors import UserError
from synth.gan.recipe import Recipe
from synth.gan.trainer import Trainer
from synth.gan.weights import device_named, read_description, save_weights, write_description
from synth.progress import Progress, Silent
from synth.seeds import derive, generator
from synth.tabular import recipes
from synth.tabular.codec import LabelCodec, TableCodec
from synth.tabular.conditions import Allowed, Conditions
from synth.tabular.networks import ConditionalGenerator
from synth.tabular.numbers import Interval, NumberCodec
from synth.tabular.players import Network, build_network, build_players
from synth.tabular.schema import TableSchema

FORMAT = 3  # of the saved folder
BATCH = 16_384  # rows drawn at once
WEIGHTS, DESCRIPTION = "generator.safetensors", "model.json"


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Conditions in the terms of the token matrix."""

    tokens: np.ndarray  # [T], the given values
    given: np.ndarray  # [T] bool
    allowed: dict[int, Tensor]  # log-weights of restricted tokens
    within: dict[str, Interval]  # for draws inside bins
    exact: dict[str, float]  # numbers to put in as they are


class TabularModel:
    """A trained generator of working frames. ``history`` says how it was trained (not part of the saved bytes)."""

    def __init__(self, codec: TableCodec, order: Sequence[int], recipe: Recipe, network: Network,
                 history: dict[str, Any] | None = None) -> None:
        self.codec, self.recipe, self.network = codec, recipe, network
        self.order = list(order)  # token positions in the network's order
        self.place = {token: place for place, token in enumerate(self.order)}
        self.history = history or {}

    @property
    def schema(self) -> TableSchema:
        """Of the frames it was trained on and gives out."""
        return self.codec.schema

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return next(self.network.parameters()).device

    # -- training ---------------------------------------------------------------------------------------

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: TableSchema, *, training: Training | None = None, seed: int,
            device: str = "auto", progress: Progress | None = None, checkpoint: Path | None = None,
            entities: np.ndarray | None = None, validation_share: float = 0.05, target: str | None = None,
            conditions: Sequence[str] = (), k: int = 10) -> TabularModel:
        """Train on a working frame.

        ``entities`` (int64 per row) keeps the validation part disjoint by entity and makes ``k`` count
        entities instead of rows. ``conditions`` are columns that will be conditioned on: they come first in
        the network's order; ``target`` comes last. An existing ``checkpoint`` file is gone on from and gives
        the same weights as an uninterrupted run. Raises :class:`UserError` for an empty table, an unknown
        recipe or a bad option.
        """
        schema.check(frame)
        if not len(frame) or not schema.columns:
            raise UserError("there is nothing to train on: the training table has no rows or no modelled columns")
        training = training or Training()
        base = recipes.named(training, rows=len(frame))
        codec = TableCodec.fit(frame, schema, k=k, entities=entities)
        order = _order(codec, target, conditions)
        tokens = torch.from_numpy(codec.encode(frame, seed=derive(seed, "codec"))[:, order]).float()
        held = _validation(len(frame), entities, validation_share, seed)
        where = device_named(device)
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, "weights"))
            network = build_network(base, codec, order).to(where)
            recipe = recipes.resolve(base, rows=int((~held).sum()), cost=network.cost, effort=training.effort)
            mask = torch.from_numpy(held)
            train = tokens[~mask].to(where)
            players = build_players(recipe, network, train, (tokens[mask] if held.any() else train).to(where))
        history = Trainer(players, recipe, seed=seed, progress=progress or Silent(), checkpoint=checkpoint).run()
        players.calibrate(tokens.to(where), derive(seed, "calibrate"))
        history |= {"rows": int((~held).sum()), "validation_rows": int(held.sum()), "tokens": len(order),
                    "parameters": sum(p.numel() for p in network.parameters()), "device": where.type}
        return cls(codec, order, recipe, network.eval(), history)

    # -- drawing ----------------------------------------------------------------------------------------

    def sample(self, rows: int, *, seed: int, where: Conditions | None = None, balance: str | None = None,
               progress: Progress | None = None) -> pd.DataFrame:
        """A working frame of ``rows`` synthetic rows; conditions hold in every row, without rejection.

        ``balance`` draws the labels of one column in equal shares. Equal seeds give equal rows, and the first
        rows of a longer draw.
        """
        parts = list(self.sample_batches(rows, seed=seed, where=where, balance=balance, progress=progress))
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]

    def sample_batches(self, rows: int, *, seed: int, where: Conditions | None = None, balance: str | None = None,
                       progress: Progress | None = None, batch: int = BATCH) -> Iterator[pd.DataFrame]:
        """The rows of :meth:`sample`, a batch at a time (at least one, possibly empty)."""
        plan = self._plan(where)
        labels = self._balanced(balance, where) if balance is not None else None
        with (progress or Silent()).step("drawing rows", max(1, rows)) as step:
            for number, start in enumerate(range(0, max(1, rows), batch)):
                # a full batch is drawn even where fewer rows are wanted, so that the length changes no value
                count, wanted = batch if rows > batch else max(1, rows), min(batch, rows - start)
                rng = generator(seed, "draw", number)
                tokens = np.broadcast_to(plan.tokens, (count, len(self.order))).copy()
                given = plan.given.copy()
                if labels is not None:
                    columns, values = labels
                    tokens[:, columns] = rng.permutation(values[np.arange(count) % len(values)])
                    given[columns] = True
                flags = np.broadcast_to(given, tokens.shape)
                drawn = self._draw(tokens, flags, plan.allowed, derive(seed, "draw", number))
                frame = self.codec.decode(drawn[:wanted], rng, plan.within)
                for name, value in plan.exact.items():
                    frame[name] = value
                yield frame
                step.update(start + wanted)

    def impute(self, frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
        """The frame with every missing cell drawn from the model given the row's other cells; the rest unchanged."""
        self.schema.check(frame)
        if not len(frame):
            return frame.copy()
        missing = frame.isna().to_numpy()
        filled = frame.copy()
        for column in self.codec.columns:
            if isinstance(column, LabelCodec) and column.labels:
                filled[column.name] = frame[column.name].fillna(column.labels[0])
        tokens = self.codec.encode(filled, seed=derive(seed, "encode"))
        columns = np.repeat(np.arange(len(self.codec.columns)), [len(c.sizes) for c in self.codec.columns])
        given = ~missing[:, columns]
        present = {c.name: Allowed() for c in self.codec.columns if c.missing and c.sizes[0] > 1}
        allowed = {j: weight for name, what in present.items() for j, weight in self._weights(name, what).items()}
        parts = []
        for number, start in enumerate(range(0, len(frame), BATCH)):
            rows = slice(start, start + BATCH)
            drawn = self._draw(tokens[rows], given[rows], allowed, derive(seed, "impute", number))
            parts.append(self.codec.decode(drawn, generator(seed, "impute", number)))
        drawn_frame = pd.concat(parts, ignore_index=True)
        out = {name: frame[name].reset_index(drop=True).where(~missing[:, i], drawn_frame[name])
               for i, name in enumerate(self.schema.names)}
        return pd.DataFrame(out)

    def log_likelihood(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Log-probability of each row's tokens, nats, float64 (rows,); ``None`` for a generator without a likelihood.

        A row with a label the model has never seen gets the lowest of the others. Private: it knows train by heart.
        """
        if not isinstance(self.network, ConditionalGenerator):
            return None
        self.schema.check(frame)
        known, unseen = frame.copy(), np.zeros(len(frame), bool)
        for column in self.codec.columns:
            if isinstance(column, LabelCodec):
                lost = ~(frame[column.name].isin(column.labels) | (frame[column.name].isna() & column.missing))
                unseen |= lost.to_numpy()
                if lost.any() and column.labels:
                    known[column.name] = frame[column.name].where(~lost, column.labels[0])
        tokens = self.codec.encode(known, seed=0)[:, self.order]
        total = np.empty(len(frame))
        with torch.inference_mode():
            for start in range(0, len(frame), BATCH):
                cells = torch.from_numpy(np.ascontiguousarray(tokens[start:start + BATCH])).float().to(self.device)
                total[start:start + BATCH] = -self.network.losses(cells).sum(1).double().cpu().numpy()
        total[unseen] = total[~unseen].min() if (~unseen).any() else 0.0
        return total

    def _draw(self, tokens: np.ndarray, given: np.ndarray, allowed: dict[int, Tensor], seed: int) -> np.ndarray:
        """Token matrix in codec order; ``tokens`` and ``given`` are, too."""
        rng = torch.Generator(device=self.device).manual_seed(seed)
        with torch.inference_mode():
            if not given.any() and not allowed:
                drawn = self.network.draw(len(tokens), rng)
            else:
                known = torch.from_numpy(np.ascontiguousarray(tokens[:, self.order])).float().to(self.device)
                flags = torch.from_numpy(np.ascontiguousarray(given[:, self.order])).to(self.device)
                drawn = self.network.draw_given(known, flags, rng, allowed)
        out = np.empty_like(tokens)
        out[:, self.order] = drawn.cpu().numpy()
        return out

    # -- conditions -------------------------------------------------------------------------------------

    def _plan(self, where: Conditions | None) -> _Plan:
        plan = _Plan(tokens=np.full(len(self.order), 0.5), given=np.zeros(len(self.order), bool), allowed={},
                     within={}, exact={})
        for name, allowed in (where.columns if where is not None else {}).items():
            index, column = self._column(name)
            at = slice(self.codec.starts[index], self.codec.starts[index] + len(column.sizes))
            exact = allowed.exact
            if allowed.missing:
                if not column.missing:
                    raise UserError(f"column {name!r} has no missing cells", todo="drop the condition")
                plan.given[at] = True  # missing is token 0
            elif exact is not None:
                plan.given[at] = True
                if isinstance(column, NumberCodec):
                    plan.exact[name] = float(exact)
                    plan.tokens[at] = column.encode(np.array([plan.exact[name]]), np.array([0.5]))[0]
                else:
                    plan.tokens[at] = column.encode(pd.Series([exact], dtype="str"))[0]
            else:
                plan.allowed.update(self._weights(name, allowed))
                if isinstance(column, NumberCodec):
                    plan.within[name] = Interval(low=allowed.low, high=allowed.high)
        return plan

    def _weights(self, name: str, allowed: Allowed) -> dict[int, Tensor]:
        """Log-weights of a restricted column's tokens, by place in the network's order."""
        index, column = self._column(name)
        if isinstance(column, NumberCodec):
            cells = column.allowed(Interval(low=allowed.low, high=allowed.high))
        else:
            cells = column.allowed(frozenset(column.labels) if allowed.labels is None else allowed.labels)
        if not cells.any():
            raise UserError(f"the condition on column {name!r} admits nothing that the model has seen",
                            todo="widen the condition")
        children = column.children()
        start = self.place[self.codec.starts[index]]
        share = cells[:, 0] if children is None else cells.sum(1) / children
        with np.errstate(divide="ignore"):
            out = {start: torch.from_numpy(np.log(share)).float().to(self.device)}
            if children is not None:
                out[start + 1] = torch.from_numpy(np.log(cells)).float().to(self.device)
        return out

    def _balanced(self, name: str, where: Conditions | None) -> tuple[np.ndarray, np.ndarray]:
        """Token positions of a label column and the token rows of the labels to share out equally."""
        index, column = self._column(name)
        if not isinstance(column, LabelCodec):
            raise UserError(f"column {name!r} holds numbers, which cannot be balanced", todo="name a label column")
        allowed = where.columns.get(name) if where is not None else None
        admitted = allowed.labels if allowed is not None else None
        labels = [label for label in column.labels if admitted is None or label in admitted]
        if not labels or (allowed is not None and allowed.missing):
            raise UserError(f"column {name!r} has no label left to balance under the conditions")
        columns = self.codec.starts[index] + np.arange(len(column.sizes))
        return columns, column.encode(pd.Series(labels, dtype="str"))

    def _column(self, name: str) -> tuple[int, NumberCodec | LabelCodec]:
        for index, column in enumerate(self.codec.columns):
            if column.name == name:
                return index, column
        raise UserError(f"the model has no column {name!r}", todo=f"columns: {', '.join(self.schema.names[:40])}")

    # -- on disk ----------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder; private."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.network, folder / WEIGHTS)
        description = {"codec": self.codec.to_json(), "order": self.order, "recipe": self.recipe.to_json()}
        write_description(folder / DESCRIPTION, FORMAT, description)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> TabularModel:
        """Read what :meth:`save` wrote, onto any device."""
        from safetensors.torch import load_file

        description = read_description(folder / DESCRIPTION, FORMAT)
        codec, order = TableCodec.from_json(description["codec"]), description["order"]
        recipe = Recipe.from_json(description["recipe"])
        network = build_network(recipe, codec, order)
        network.load_state_dict(load_file(folder / WEIGHTS))
        return cls(codec, order, recipe, network.to(device_named(device)).eval())


def _order(codec: TableCodec, target: str | None, conditions: Sequence[str]) -> list[int]:
    """Token positions in the network's order: conditions first, target last, the rest as they come."""
    names = codec.schema.names
    asked = {name: i for i, name in enumerate(conditions)}
    columns = sorted(range(len(names)), key=lambda i: (0, asked[names[i]]) if names[i] in asked
                     else (2 if names[i] == target else 1, i))
    return [codec.starts[i] + part for i in columns for part in range(len(codec.columns[i].sizes))]


def _validation(rows: int, entities: np.ndarray | None, share: float, seed: int) -> np.ndarray:
    """Rows held back from train to choose weights by, whole entities at a time; none in a tiny table."""
    if rows < 50 or share <= 0:
        return np.zeros(rows, bool)
    _, entity = np.unique(np.arange(rows) if entities is None else entities, return_inverse=True)
    wanted = int(np.clip(share * rows, min(500, rows // 5), 10_000))
    order = generator(seed, "validation").permutation(int(entity.max()) + 1)
    sizes = np.bincount(entity)[order]
    taken = order[np.cumsum(sizes) <= wanted]
    return np.isin(entity, taken)
