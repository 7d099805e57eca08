"""The generators of the privacy benchmark: each takes a table and a budget and gives rows, within that budget.

``arm(frame, schema, target, epsilon, seed, ...) -> (working frame, facts)``. All declare the same bounds, and all
but the tables' own recipe work on the same privately found cells (:mod:`synth.tabular.private.histogram`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from synth.contract.model import Budget, Training, Unit
from synth.gan.private.accounting import Account
from synth.gan.private.gradients import Plan, PrivateGradients
from synth.seeds import derive, generator
from synth.tabular.codec import Token
from synth.tabular.networks import ConditionalGenerator
from synth.tabular.private import measure, road
from synth.tabular.rows import NoiseGenerator, RowCritic, one_hot
from synth.tabular.schema import TableSchema

DELTA = 1e-6
ALONE = measure.Shares(histograms=0.2, scores=0.0, rounds=())  # axes and marginals of single columns, nothing else
Arm = Callable[..., tuple[pd.DataFrame, dict[str, Any]]]


class _Rows(nn.Module):
    """A network whose forward pass is the loss of one row [1, T]."""

    def __init__(self, network: ConditionalGenerator) -> None:
        super().__init__()
        self.network = network

    def forward(self, row: Tensor) -> Tensor:
        loss: Tensor = self.network.losses(row).sum()
        return loss


def measured(frame: pd.DataFrame, schema: TableSchema, account: Account, shares: measure.Shares | None = None
             ) -> measure.Measured:
    budget = Budget(epsilon=account.epsilon, delta=DELTA, unit=Unit.ROW)
    return measure.measure(frame, schema, np.arange(len(frame)), budget, account, shares=shares)


def partly(epsilon: float, share: float) -> Account:
    """An account that holds a share of a budget's squared mu, as a budget of its own."""
    from synth.gan.private.accounting import gaussian_epsilon, largest_mu

    return Account(gaussian_epsilon(largest_mu(epsilon, DELTA) * share**0.5, DELTA), DELTA)


def marginals(frame: pd.DataFrame, schema: TableSchema, target: str, epsilon: float, seed: int, **_: Any
              ) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows drawn from the measured distribution, without a network."""
    kept = measured(frame, schema, Account(epsilon, DELTA))
    return road.drawn(kept, len(frame), seed), {"pairs": sum(len(m.clique) > 1 for m in kept.measurements)}


def independent(frame: pd.DataFrame, schema: TableSchema, target: str, epsilon: float, seed: int, **_: Any
                ) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Single columns alone, with the whole budget."""
    kept = measured(frame, schema, Account(epsilon, DELTA), measure.Shares(histograms=0.3, columns=0.7, scores=0.0,
                                                                          rounds=()))
    return road.drawn(kept, len(frame), seed), {}


def ours(frame: pd.DataFrame, schema: TableSchema, target: str, epsilon: float, seed: int, *, effort: float = 1.0,
         **_: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What a run with a budget does: the recipe trained on rows drawn from the measured distribution."""
    from synth.tabular.model import TabularModel

    kept = measured(frame, schema, Account(epsilon, DELTA))
    rows = road.drawn(kept, road.released_rows(kept), seed)
    model = TabularModel.fit(rows, kept.schema, seed=seed, device="cpu", target=target,
                             training=Training(recipe="tabular/likelihood", effort=effort))
    return model.sample(len(frame), seed=derive(seed, "sample")), {"effort": effort}


def mbi(frame: pd.DataFrame, schema: TableSchema, target: str, epsilon: float, seed: int, *, python: str,
        method: str = "mst", **_: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """MST or AIM with the package ``mbi``; a tenth of the budget finds the cells, the rest is the mechanism's."""
    from synth.gan.private.accounting import largest_mu

    kept = measured(frame, schema, partly(epsilon, 0.1), ALONE)
    rho = 0.9 * largest_mu(epsilon, DELTA) ** 2 / 2
    with TemporaryDirectory() as temporary:
        cells, out = Path(temporary) / "cells.npz", Path(temporary) / "out.npz"
        encoded = np.stack([a.encode(frame[a.name]) for a in kept.axes], 1)
        np.savez(cells, cells=encoded, sizes=[a.size for a in kept.axes])
        command = [python, str(Path(__file__).parent / "peers" / "mbi_driver.py"), "--cells", str(cells), "--out",
                   str(out), "--rho", str(rho), "--method", method, "--rows", str(len(frame)), "--seed", str(seed)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            raise RuntimeError(said.stderr[-1500:])
        rng = generator(seed, "inside cells")
        return kept.frame(np.load(out)["cells"], rng), json.loads(said.stdout.strip().splitlines()[-1])


def likelihood(frame: pd.DataFrame, schema: TableSchema, target: str, epsilon: float, seed: int, *, steps: int = 250,
               batch: int = 400, norm: float = 1.0, start: bool = False, **_: Any
               ) -> tuple[pd.DataFrame, dict[str, Any]]:
    """DP-SGD on the likelihood of our autoregressive network over private cells.

    ``start``: half of the budget measures marginals first, and the network begins as one trained on rows drawn from
    them; otherwise a fifth finds the cells.
    """
    share = 0.5 if start else 0.2
    account = partly(epsilon, share)
    kept = measured(frame, schema, account, None if start else ALONE)
    rest = _rest(account, epsilon, len(frame), batch, steps, norm)
    encoded = torch.from_numpy(np.stack([a.encode(frame[a.name]) for a in kept.axes], 1)).float() + 0.5
    torch.manual_seed(derive(seed, "network"))
    network = ConditionalGenerator(_tokens(kept), embedding=8, hidden=48, inner=32, dropout=0.0, smooth=0, members=1)
    wrapped = _Rows(network)
    if start:
        drawn = torch.from_numpy(kept.fit().draw(len(frame), generator(seed, "start"))).float() + 0.5
        _warm(network, drawn)
    private = PrivateGradients(wrapped, lambda p, row: functional_call(wrapped, p, (row,)), encoded,
                               np.arange(len(frame)), rest, Account(epsilon, DELTA, tuple(account.spent)))
    optimiser = torch.optim.Adam(network.parameters(), 5e-4 if start else 2e-3)
    average = {n: p.detach().clone() for n, p in wrapped.named_parameters()}
    for step in range(steps):
        gradient = private.step()
        for name, parameter in wrapped.named_parameters():
            parameter.grad = gradient[name]
        optimiser.step()
        memory = min(0.98, (1 + step) / (10 + step))
        for name, parameter in wrapped.named_parameters():
            average[name].lerp_(parameter.detach(), 1 - memory)
    wrapped.load_state_dict(average)
    network.eval()
    cells = network.draw(len(frame), torch.Generator().manual_seed(derive(seed, "draw"))).long().numpy()
    facts = {"multiplier": round(rest.multiplier, 3), "steps": steps, "batch": batch}
    return kept.frame(cells, generator(seed, "inside cells")), facts


def critic(frame: pd.DataFrame, schema: TableSchema, target: str, epsilon: float, seed: int, *, steps: int = 1500,
           batch: int = 256, norm: float = 1.0, each: int = 5, rate: float = 2e-3, **_: Any
           ) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A GAN whose critic alone meets real rows, by DP-SGD (Xie et al. 2018; for tables Rosenblatt et al. 2020).

    No packs, no conditional vectors, no batch normalisation. A generator from noise in one pass; the logistic loss.
    Only the critic's half on real rows is clipped and noised: generated rows are nobody's. ``each``: steps of the
    critic for one of the generator, which matter most (Bie et al. 2023, arXiv 2302.02936).
    """
    account = partly(epsilon, 0.2)
    kept = measured(frame, schema, account, ALONE)
    plan = _rest(account, epsilon, len(frame), batch, steps, norm)
    tokens = _tokens(kept)
    torch.manual_seed(derive(seed, "network"))
    made = NoiseGenerator(tokens, noise=64, width=192)
    judge = RowCritic(made.width, width=64)
    cells = torch.from_numpy(np.stack([a.encode(frame[a.name]) for a in kept.axes], 1))
    hot_rows = one_hot(cells, made.shift, made.width)

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        return F.softplus(-functional_call(judge, parameters, (row,))).sum()

    private = PrivateGradients(judge, loss, hot_rows, np.arange(len(frame)), plan,
                               Account(epsilon, DELTA, tuple(account.spent)))
    judges = torch.optim.Adam(judge.parameters(), rate, (0.5, 0.9))
    makes = torch.optim.Adam(made.parameters(), 2e-4, (0.5, 0.9))
    known = torch.zeros(batch, len(tokens), dtype=torch.long)
    given = torch.zeros(batch, len(tokens), dtype=torch.bool)
    average = {n: p.detach().clone() for n, p in made.named_parameters()}
    for step in range(steps):
        gradient = private.step()
        judges.zero_grad()
        F.softplus(judge(made.relaxed(known, given, 0.5).detach())).mean().backward()
        for name, parameter in judge.named_parameters():
            assert parameter.grad is not None
            parameter.grad += gradient[name]
        judges.step()
        if (step + 1) % each:
            continue
        makes.zero_grad()
        F.softplus(-judge(made.relaxed(known, given, 0.5))).mean().backward()
        makes.step()
        for name, parameter in made.named_parameters():
            average[name].lerp_(parameter.detach(), max(0.01, 9 / (10 + step // each)))
    made.load_state_dict(average, strict=False)
    with torch.no_grad():
        parts = [made.relaxed(known, given, 0.5) for _ in range(-(-len(frame) // batch))]
    hot = torch.cat(parts)[:len(frame)]
    drawn = torch.stack([hot[:, a:b].argmax(1) for a, b in zip(made.starts, made.starts[1:], strict=False)], 1)
    facts = {"multiplier": round(plan.multiplier, 3), "steps": steps, "batch": batch}
    return kept.frame(drawn.numpy(), generator(seed, "inside cells")), facts


def _rest(account: Account, epsilon: float, rows: int, batch: int, steps: int, norm: float) -> Plan:
    """The plan of a training that has what the measuring left of the budget."""
    return Plan.within(epsilon, DELTA, rate=batch / rows, steps=steps, norm=norm, before=tuple(account.spent))


def _tokens(kept: measure.Measured) -> list[Token]:
    return [Token(column=j, size=a.size, coarse=None, bins=0, children=(), positions=(float("nan"),) * a.size)
            for j, a in enumerate(kept.axes)]


def _warm(network: ConditionalGenerator, rows: Tensor, steps: int = 1500, batch: int = 500) -> None:
    """Ordinary training on rows that are nobody's."""
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        network.losses(rows[torch.randint(len(rows), (batch,))]).mean().backward()
        optimiser.step()


ARMS: dict[str, Arm] = {"ours": ours, "marginals": marginals, "independent": independent, "mst": mbi,
                        "aim": lambda *args, **options: mbi(*args, **{**options, "method": "aim"}),
                        "critic": critic, "likelihood": likelihood,
                        "split": lambda *args, **options: likelihood(*args, **{**options, "start": True})}
