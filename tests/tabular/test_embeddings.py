"""Vectors of cells: a bin's is a smooth function of rank and nothing else, a label's its own."""

from __future__ import annotations

import pytest
import torch

from synth.tabular.codec import Token
from synth.tabular.embeddings import CellEmbedding

NUMBER = Token(column=0, size=66, coarse=None, bins=64, children=(),
               positions=(float("nan"), 0.31, *[(b + 0.5) / 64 for b in range(64)]))  # missing, a spike, bins
LABEL = Token(column=1, size=5, coarse=None, bins=0, children=(), positions=(float("nan"),) * 5)


def embedding(smooth: int = 16) -> CellEmbedding:
    torch.manual_seed(0)
    made = CellEmbedding([NUMBER, LABEL], 8, smooth)
    with torch.no_grad():
        made.mixture.add_(torch.randn_like(made.mixture) * 0.3)
    return made


@torch.no_grad()
def test_a_number_moves_smoothly_from_bin_to_bin() -> None:
    made = embedding()
    bins = torch.arange(2, 65).float()
    end, start = made(bins + 0.9999, 0), made(bins + 1, 0)  # the right edge of a bin, the left edge of the next
    step = (made(bins + 1.5, 0) - made(bins + 0.5, 0)).norm(dim=1)
    assert float(step.min()) > 0.01
    assert float((end - start).norm(dim=1).max()) < 0.15 * float(step.max())


def test_bins_have_nothing_of_their_own_but_spikes_missing_cells_and_labels_have() -> None:
    made = embedding()
    cells = torch.stack([torch.arange(66).float() + 0.5, torch.arange(66).float() % 5 + 0.5], 1)
    made(cells, torch.tensor([0, 66])).square().sum().backward()
    assert made.table.grad is not None and made.mixture.grad is not None
    assert float(made.table.grad[2:66].abs().max()) == 0.0
    assert float(made.table.grad[[0, 1, 66, 67, 68, 69, 70]].abs().amin(1).min()) > 0.0
    assert float(made.mixture.grad[0].abs().min()) > 0.0  # all cosines are learnt
    assert float(made.mixture.grad[1].abs().max()) == 0.0  # a label has no rank


@pytest.mark.parametrize("smooth", [0, 16])
def test_a_cell_is_its_tokens_row_and_a_share_of_the_slope(smooth: int) -> None:
    made = embedding(smooth)
    vectors, slopes = made.tables()
    cells = torch.tensor([[10.25, 3.5], [1.5, 0.5]])
    found = made(cells, torch.tensor([0, 66]))
    torch.testing.assert_close(found[0, 0], vectors[10] - 0.5 * slopes[10])
    torch.testing.assert_close(found[:, 1], vectors[[69, 66]])
    torch.testing.assert_close(found[1, 0], vectors[1])
    assert bool(slopes[2:66].abs().sum() > 0) == (smooth > 0)
