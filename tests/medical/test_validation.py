"""The figure that weights are chosen by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.medical.validation import LEAST, Validation, held_back, kernel
from tests.medical.shapes import discs


def pixels(seed: int, count: int = 200) -> torch.Tensor:
    return torch.from_numpy(discs(count, (16, 16), seed=seed).pixels.astype(np.float32) / 32_767.5 - 1)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 99))
def test_the_kernel_is_the_mean_over_pairs(rows: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    one, other = torch.randn(rows, width, dtype=torch.float64), torch.randn(3, width, dtype=torch.float64)
    naive = [(float(a @ b) / width + 1) ** 3 for a in one for b in other]
    assert kernel(one, other) == pytest.approx(np.mean(naive))
    alone = [(float(one[i] @ one[j]) / width + 1) ** 3 for i in range(rows) for j in range(rows) if i != j]
    assert kernel(one, one, diagonal=False) == pytest.approx(np.mean(alone))


def test_fresh_images_are_near_and_faults_are_ranked() -> None:
    real = pixels(1)
    compare = Validation(real)
    distance, coverage = compare(pixels(2))
    assert abs(distance) < 0.2 and coverage > 0.85
    collapsed = pixels(2)[:4].repeat(50, 1, 1, 1)
    assert compare(collapsed)[1] < 0.5 * coverage
    noisy = pixels(2) + 0.5 * torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert compare(noisy)[0] > 1 and compare(noisy)[1] < 0.2
    faint = pixels(2) + 0.1 * torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert distance < compare(faint)[0] < compare(noisy)[0]


def test_figures_do_not_depend_on_the_random_state() -> None:
    real, fake = pixels(1, 60), pixels(2, 60)
    torch.manual_seed(1)
    first = Validation(real)(fake)
    torch.manual_seed(2)
    assert Validation(real)(fake) == first


def test_it_works_on_few_images_and_on_volumes() -> None:
    assert all(np.isfinite(Validation(pixels(1, 3))(pixels(2, 5))))
    volumes = torch.randn(12, 2, 16, 17, 18)
    assert all(np.isfinite(Validation(volumes)(volumes.flip(0))))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 9))
def test_held_back_are_whole_patients(images: int, each: int, seed: int) -> None:
    entities = np.arange(images) // each
    held = held_back(entities, seed)
    assert not np.isin(entities[held], entities[~held]).any()
    assert held.sum() <= max(0, 0.1 * images) and (held.sum() == 0 or 0.1 * images >= LEAST)
