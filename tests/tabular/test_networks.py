"""Drawing: places inside bins against integrated densities, even draws that are exact, projected marginals."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.seeds import generator
from synth.tabular.codec import Token
from synth.tabular.networks import ConditionalGenerator
from synth.tabular.players import AutoregressivePlayers
from synth.tabular.prefix import Prefixes
from synth.tabular.rows import pick


def token(atoms: int, bins: int, column: int = 0) -> Token:
    size = atoms + bins
    return Token(column=column, size=size, coarse=None, bins=bins, children=(),
                 positions=tuple(((np.arange(size) + 0.5) / size).tolist()))


def places(atoms: int, bins: int, share: np.ndarray, at: int, chances: np.ndarray) -> np.ndarray:
    """Where :meth:`ConditionalGenerator._place` puts rows of one bin, for given uniform numbers."""
    network = ConditionalGenerator([token(atoms, bins)], embedding=2, hidden=4, inner=4)
    logits = torch.from_numpy(np.log(share)).float().expand(len(chances), -1)
    with mock.patch("torch.rand", lambda *size, **options: torch.from_numpy(chances).float()):
        return network._place(0, logits, torch.full((len(chances),), atoms + at), None).numpy()


def density(share: np.ndarray, at: int) -> tuple[float, float, float]:
    """Left, middle and right of the piecewise linear density inside bin ``at``, from the words of its docstring."""
    def edge(inner: int, outer: int) -> float:
        if 0 <= outer < len(share):
            return (share[inner] + share[outer]) / 2  # halfway to the neighbour
        other = share[inner + (inner - outer)]
        return max(0.0, share[inner] + (share[inner] - other) / 2)  # no neighbour: the slope goes on

    left, right = edge(at, at - 1), edge(at, at + 1)
    return left, max(0.0, 2 * share[at] - (left + right) / 2), right


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), st.integers(0, 7), st.integers(0, 3))
def test_places_follow_the_integrated_density(weights: list[float], at: int, atoms: int) -> None:
    at = at % len(weights)
    share = np.array([*[0.3] * atoms, *weights])
    share = share / share.sum()
    chances = np.linspace(0, 1, 41)[:-1]
    made = places(atoms, len(weights), share, at, chances)
    left, middle, right = density(share[atoms:], at)
    x = np.linspace(0, 1, 20_001)
    height = np.interp(x, [0, 0.5, 1], [left, middle, right])
    mass = np.concatenate([[0], np.cumsum((height[1:] + height[:-1]) / 2 * np.diff(x))])
    if middle > 0:
        assert mass[-1] == pytest.approx(share[atoms + at], rel=1e-6)  # what the bin was predicted to hold
    np.testing.assert_allclose(np.interp(made, x, mass) / mass[-1], chances, atol=2e-4)
    assert (np.diff(made) >= -1e-6).all() and made.min() >= 0 and made.max() < 1


def test_equal_neighbours_give_uniform_places_and_atoms_have_no_inside() -> None:
    chances = np.linspace(0, 0.999, 50)
    np.testing.assert_allclose(places(2, 5, np.full(7, 1 / 7), 3, chances), chances, atol=1e-4)
    np.testing.assert_allclose(places(0, 5, np.full(5, 1 / 5), 0, chances), chances, atol=1e-4)
    assert (places(3, 5, np.full(8, 1 / 8), -1, chances) == 0.5).all()  # the last atom
    rising = places(0, 3, np.array([0.1, 0.3, 0.6]), 1, chances)
    assert rising.mean() > 0.55  # more of the bin's mass lies on the side of the heavier neighbour


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_pick_follows_each_rows_own_distribution(seed: int, size: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(20, size, generator=rng)
    logits[3, 0] = -torch.inf
    counts, repeats = torch.zeros(20, size), 400
    for _ in range(repeats):
        counts[torch.arange(20), pick(logits, rng)] += 1
    share = torch.softmax(logits, 1)
    error = (share * (1 - share) / repeats).sqrt() + 0.002
    assert ((counts / repeats - share).abs() < 5 * error).all()
    assert counts[3, 0] == 0


def test_counts_of_pick_scatter_less_than_independent_draws() -> None:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(2000, 5, generator=rng) * 0.3
    share = torch.softmax(logits, 1)
    even, free = [], []
    for _ in range(60):
        even.append(torch.bincount(pick(logits, rng), minlength=5))
        free.append(torch.bincount(torch.multinomial(share, 1, generator=rng).squeeze(1), minlength=5))
    ours, theirs = torch.stack(even).float(), torch.stack(free).float()
    assert ((ours.mean(0) - share.sum(0)).abs() < 5 * (ours.var(0) / 60).sqrt()).all()
    assert ours.var(0).sum() < 0.3 * theirs.var(0).sum()


def test_calibration_projects_the_marginals() -> None:
    torch.manual_seed(2)
    network = ConditionalGenerator([token(3, 0), token(0, 8, 1), token(5, 0, 2)], embedding=3, hidden=16, inner=8,
                                   dropout=0.0).eval()
    rng = generator(2, "wanted")
    wanted = [np.array([0.6, 0.3, 0.1]), np.full(8, 1 / 8), np.array([0.4, 0.3, 0.2, 0.08, 0.02])]
    tokens = torch.from_numpy(np.stack([rng.choice(len(w), 6000, p=w) for w in wanted], 1)).float() + 0.5

    def distance() -> float:
        made = network.draw(20_000, torch.Generator().manual_seed(3)).long()
        return max(float((torch.bincount(made[:, j], minlength=len(w)) / 20_000
                          - torch.bincount(tokens[:, j].long(), minlength=len(w)) / 6000).abs().sum() / 2)
                   for j, w in enumerate(wanted))

    before = distance()
    AutoregressivePlayers(network, None, tokens, tokens, given=0.1, temperature=0.7).calibrate(tokens, 4)
    assert distance() < min(0.01, before / 10)


def test_given_cells_are_kept_and_restricted_ones_obey() -> None:
    torch.manual_seed(5)
    network = ConditionalGenerator([token(4, 0), token(2, 6, 1), token(3, 0, 2)], embedding=3, hidden=16, inner=8)
    rng = torch.Generator().manual_seed(6)
    known = torch.rand(500, 3, generator=rng) + torch.tensor([2.0, 5.0, 1.0])
    seen = torch.rand(500, 3, generator=rng) < 0.5
    seen[:, 2] = False
    allowed = {2: torch.tensor([0.0, -torch.inf, 0.0])}
    made = network.eval().draw_given(known, seen, rng, allowed)
    assert (made[seen] == known[seen]).all()
    assert (made[:, 2].long() != 1).all() and set(made[:, 2].long().tolist()) == {0, 2}
    assert made.min() >= 0 and (made.long() < torch.tensor([4, 8, 3])).all()


@pytest.mark.parametrize("rows", [10, 11])
def test_members_share_rows_while_training_and_average_their_distributions_after(rows: int) -> None:
    torch.manual_seed(7)
    tokens = [token(3, 0), token(2, 6, 1), token(4, 0, 2)]
    network = ConditionalGenerator(tokens, embedding=3, hidden=16, inner=8, dropout=0.0, members=5)
    cells = torch.rand(rows, 3) + torch.stack([torch.randint(0, t.size, (rows,)) for t in tokens], 1)

    def alone(member: int) -> torch.Tensor:
        """Losses [B, T] of one member by itself: the others' scales and shifts are not even there."""
        single = ConditionalGenerator(tokens, embedding=3, hidden=16, inner=8, dropout=0.0).eval()
        single.load_state_dict({name: value[member:member + 1] if name.startswith(("scale_", "shift_")) else value
                                for name, value in network.state_dict().items()})
        return single.losses(cells)

    each = torch.stack([alone(member) for member in range(5)])
    assert each.std(0).min() > 1e-4  # they differ
    torch.testing.assert_close(network.eval().losses(cells), -torch.log(torch.exp(-each).mean(0)))
    owner = torch.arange(rows) % 5
    torch.testing.assert_close(network.train().losses(cells), each[owner, torch.arange(rows)])


def test_rows_with_given_tokens_are_told_what_the_words_say() -> None:
    torch.manual_seed(9)
    coarse = Token(column=1, size=3, coarse=None, bins=0, children=(), positions=(float("nan"),) * 3)
    fine = Token(column=1, size=4, coarse=1, bins=0, children=(4, 2, 3), positions=(float("nan"),) * 4)
    network = ConditionalGenerator([token(4, 0), coarse, fine, token(2, 6, 2)], embedding=3, hidden=16, inner=8).eval()
    for parameter in (*network.after, *network.flags):
        torch.nn.init.normal_(parameter)
    cells = torch.stack([torch.randint(0, size, (40,)) for size in (4, 3, 2, 8)], 1) + torch.rand(40, 4)
    given, chain = torch.rand(30, 3) < 0.4, torch.rand(30) < 0.5
    given = given[:, [0, 1, 1, 2]]  # a column's tokens are given together
    made = network.losses(cells, given, chain)
    torch.testing.assert_close(made[30:], network.losses(cells[30:]))
    for row in range(30):
        for j in range(4):
            if given[row, j]:
                assert made[row, j] == 0
                continue
            visible = [k != j and bool(given[row, k] or (chain[row] and k < j) or (j, k) == (2, 1)) for k in range(4)]
            if j == 1:
                visible[2] = False
            seen = torch.tensor([visible])
            known = network.cells(cells[row:row + 1], network.shift) * seen[:, :, None]
            logits = network._logits(j, network._first_given(j, known, seen), cells[row:row + 1])
            wanted = torch.nn.functional.cross_entropy(logits, cells[row:row + 1, j].long())
            torch.testing.assert_close(made[row, j], wanted)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(8)
    network = ConditionalGenerator([token(3, 0)], embedding=3, hidden=400, inner=200, dropout=0.3)
    masks = network.train()._masks(500)
    assert masks is not None and [tuple(mask.shape) for mask in masks] == [(500, 400), (500, 200)]
    for mask in masks:
        assert abs(float((mask == 0).float().mean()) - 0.3) < 0.01 and abs(float(mask.mean()) - 1) < 0.01
    assert network.eval()._masks(500) is None


def test_all_first_layers_at_once_are_the_layers_one_by_one_and_so_are_their_gradients() -> None:
    torch.manual_seed(10)
    flat, bias = torch.randn(7, 12, dtype=torch.float64, requires_grad=True), torch.randn(4, 5, dtype=torch.float64)
    before = [torch.randn(5, 3 * j, dtype=torch.float64, requires_grad=True) for j in range(4)]
    bias.requires_grad_()
    weights = torch.randn(4, 7, 5, dtype=torch.float64)
    made = torch.stack(Prefixes.apply(flat, bias, 3, *before))
    slow = torch.stack([torch.nn.functional.linear(flat[:, :3 * j], w, bias[j]) for j, w in enumerate(before)])
    torch.testing.assert_close(made, slow)
    fast = torch.autograd.grad((made * weights).sum(), [flat, bias, *before])
    for ours, theirs in zip(fast, torch.autograd.grad((slow * weights).sum(), [flat, bias, *before]), strict=True):
        torch.testing.assert_close(ours, theirs)
