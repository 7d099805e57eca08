"""What is laid on a canvas, and what is read off it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synth.medical.canvas import Canvas, one_hot
from synth.medical.intensity import as_float


@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 0), (1, 3), (0, 4)])
def test_a_real_canvas_gives_back_what_was_laid_on_it(channels: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65_536, (5, max(1, channels), 6, 7)).astype(np.uint16)
    masks = rng.integers(0, max(1, classes), (5, 6, 7)).astype(np.uint8)
    canvas = Canvas(channels=channels, classes=classes)
    laid = canvas.lay(torch.from_numpy(pixels.astype(np.int32)), torch.from_numpy(masks))
    assert laid.shape == (5, canvas.width, 6, 7) and float(laid.abs().max()) <= 1
    if channels:
        np.testing.assert_allclose(laid[:, :channels], as_float(pixels), atol=1e-6)
        assert np.abs(canvas.pixels(laid).astype(int) - pixels).max() <= 1
    if classes:
        found = canvas.masks(laid)
        assert found is not None
        np.testing.assert_array_equal(found, masks)
    else:
        assert canvas.masks(laid) is None


def test_a_finished_canvas_is_squashed_but_never_dead_and_keeps_the_likeliest_class() -> None:
    raw = (torch.randn(4, 5, 6, 6) * 5).requires_grad_()
    canvas = Canvas(channels=2, classes=3)
    made = canvas.finish(raw)
    torch.testing.assert_close(made[:, :2], 0.9 * raw[:, :2].tanh() + 0.1 * raw[:, :2])
    (slope,) = torch.autograd.grad(made[:, :2].sum(), raw, retain_graph=True)
    assert float(slope[:, :2].min()) >= 0.099 and float(slope.max()) <= 1.001
    assert float(made[:, 2:].detach().abs().max()) <= 1
    torch.testing.assert_close(made[:, 2:].sum(1), torch.full((4, 6, 6), -1.0))
    found = canvas.masks(made)
    assert found is not None
    np.testing.assert_array_equal(found, raw[:, 2:].argmax(1).numpy())


def test_one_hot_of_a_volume() -> None:
    labels = torch.randint(0, 3, (2, 4, 5, 6), dtype=torch.uint8)
    hot = one_hot(labels, 3)
    assert hot.shape == (2, 3, 4, 5, 6) and torch.equal(hot.argmax(1), labels.long()) and hot.sum() == labels.numel()
