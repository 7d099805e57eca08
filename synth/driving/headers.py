"""The model of headers: how scenes start and what will happen in them, given their rows of the listing.

A header is not one table of many columns but blocks (:mod:`.blocks`), each a small network that is told of the scene as
it stands so far, in terms relative to the vehicle it speaks of; all vehicles after the ego vehicle share theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.driving.blocks import SHARED, Rows, columns_of, fitted, rows
from synth.driving.cells import Cells
from synth.driving.header import Header
from synth.driving.networks.fields import HeaderNetwork
from synth.driving.outline import Outline
from synth.driving.scenes import Scenes
from synth.driving.together import together
from synth.driving.training import held_back, shares
from synth.gan.players import Offer, Seen
from synth.gan.recipe import Recipe
from synth.gan.trainer import Trainer
from synth.gan.weights import device_named, read_description, save_weights, write_description
from synth.progress import Progress
from synth.seeds import derive, generator

FORMAT = 1  # of the saved folder
WEIGHTS, DESCRIPTION = "headers.safetensors", "headers.json"
BATCH = 2048  # headers drawn at once
VEHICLES = 2  # rows of a shared block in a batch, for each scene
MOST = 60_000  # scenes that are learnt from
SCALE = 50.0  # nats of a header, so that the loss is of order one


class HeaderModel:
    """Networks of the blocks and how their fields are written. ``history`` is not part of the saved bytes."""

    def __init__(self, network: HeaderNetwork, cells: dict[str, Cells], header: Header, recipe: Recipe,
                 contexts: dict[str, int], history: dict[str, Any] | None = None) -> None:
        self.network, self.cells, self.header, self.recipe = network, cells, header, recipe
        self.contexts, self.history = contexts, history or {}

    @classmethod
    def fit(cls, scenes: Scenes, header: Header, condition: NDArray[np.float32], classes: NDArray[np.int64],
            recipe: Recipe, *, seed: int, device: str, progress: Progress, checkpoint: Path | None = None,
            k: int = 10) -> HeaderModel:
        """Train on cast scenes; ``condition`` [n, C] is made of their rows of the listing, ``classes`` [n] are balanced
        in the batches."""
        if len(scenes) > MOST:
            some = np.sort(generator(seed, "some").permutation(len(scenes))[:MOST])
            scenes, condition, classes = scenes.take(some), condition[some], classes[some]
        frame = header.describe(scenes)
        cells = fitted(columns_of(frame, header), header, k)
        learnt = rows(scenes, frame, condition, header, cells)
        contexts = {name: part.context.shape[1] for name, part in learnt.items()}
        at = device_named(device)
        with torch.random.fork_rng(devices=[at] if at.type == "cuda" else []):
            torch.manual_seed(derive(seed, "weights"))
            network = _network(cells, contexts, recipe).to(at)
        held = torch.from_numpy(held_back(scenes.entities, seed))
        players = HeaderPlayers(network, learnt, held, torch.from_numpy(shares(classes, float(
            recipe.setting("balance")))))
        history = Trainer(players, recipe, seed=seed, progress=progress, checkpoint=checkpoint).run()
        history |= {"scenes": int((~held).sum()), "validation_scenes": int(held.sum()),
                    "parameters": sum(p.numel() for p in network.parameters())}
        return cls(network.eval(), cells, header, recipe, contexts, history)

    def draw(self, table: pd.DataFrame, condition: NDArray[np.float32], friction: NDArray[np.float32], *, seed: int
             ) -> pd.DataFrame:
        """Header columns for each row of a listing, on roads of some friction; equal seeds give equal bytes."""
        network = self.network.cpu()

        def draw(number: int) -> pd.DataFrame:
            part = slice(number * BATCH, (number + 1) * BATCH)
            rng = torch.Generator().manual_seed(derive(seed, "outline", number))
            return Outline(table.iloc[part].reset_index(drop=True), condition[part], friction[part], self.header,
                           self.cells, {name: network.of(name) for name in self.cells}, rng).draw()

        return pd.concat(list(together(draw, max(1, -(-len(table) // BATCH)))), ignore_index=True)

    def save(self, folder: Path) -> None:
        """Weights as safetensors, the rest as JSON. Private: the bins are drawn from the train part."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.network, folder / WEIGHTS)
        write_description(folder / DESCRIPTION, FORMAT, {
            "header": self.header.to_json(), "recipe": self.recipe.to_json(), "contexts": self.contexts,
            "cells": {name: cells.to_json() for name, cells in self.cells.items()}})

    @classmethod
    def load(cls, folder: Path) -> HeaderModel:
        """Read what :meth:`save` wrote."""
        from safetensors.torch import load_file

        said = read_description(folder / DESCRIPTION, FORMAT)
        cells = {name: Cells.from_json(data) for name, data in said["cells"].items()}
        recipe = Recipe.from_json(said["recipe"])
        network = _network(cells, said["contexts"], recipe)
        network.load_state_dict(load_file(folder / WEIGHTS))
        return cls(network.eval(), cells, Header.from_json(said["header"]), recipe, said["contexts"])


def _network(cells: dict[str, Cells], contexts: dict[str, int], recipe: Recipe) -> HeaderNetwork:
    return HeaderNetwork(cells, contexts, hidden=int(recipe.setting("header_hidden")),
                         inner=int(recipe.setting("header_inner")), dropout=float(recipe.setting("header_dropout")))


class HeaderPlayers:
    """The networks and the rows of their blocks; nobody judges them but the likelihood."""

    critic = None

    def __init__(self, network: HeaderNetwork, learnt: dict[str, Rows], held: Tensor, weights: Tensor) -> None:
        self.generator, self.offer = network, Offer()
        device = next(network.parameters()).device
        self.held = {name: _moved(part.of(held), device) for name, part in learnt.items()} if held.any() else None
        self.train = {name: _moved(part.of(~held), device) for name, part in learnt.items()}
        self.weights = {name: weights.to(device)[part.scene] for name, part in self.train.items()}

    def draw(self, records: int) -> dict[str, Rows]:
        """Rows of each block by the weights of their scenes."""
        batch = {}
        for name, part in self.train.items():
            if len(part.scene):
                rows = torch.multinomial(self.weights[name], records * (VEHICLES if name in SHARED else 1),
                                         replacement=True)
                batch[name] = Rows(part.context[rows], part.told[rows], part.tokens[rows], part.scene[rows])
        return batch

    def likelihood(self, batch: dict[str, Rows]) -> Tensor:
        """Mean negative log-likelihoods of the blocks' rows, added up."""
        losses = [self.generator.of(name).losses(part.context, part.told, part.tokens).sum(1).mean()
                  for name, part in batch.items()]
        return torch.stack(losses).sum() / SCALE

    def real(self, batch: Any) -> Seen:
        """There is no critic."""
        raise NotImplementedError("headers have no critic")

    fake = real

    @torch.no_grad()
    def validate(self, generator: torch.nn.Module) -> float | None:
        """Mean negative log-likelihood of a held-back scene's header (of train where none are), nats."""
        assert isinstance(generator, HeaderNetwork)
        generator.eval()
        parts = self.train if self.held is None else self.held
        scenes = max(1, len(torch.unique(parts["ego"].scene)))
        return sum(float(generator.of(name).losses(p.context, p.told, p.tokens).sum()) for name, p in parts.items()
                   if len(p.scene)) / scenes


def _moved(part: Rows, device: torch.device) -> Rows:
    return Rows(*(tensor.to(device) for tensor in (part.context, part.told, part.tokens, part.scene)))
