"""The critic's input pipe: each operation against a naive one, what moves with what, and the adaptive controller."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from synth.gan import augment
from synth.gan.augment import CAP, OPERATIONS, adapted, augmented
from synth.gan.players import View

SHAPES = [(6, 1, 9, 14), (6, 3, 16, 16), (4, 2, 6, 9, 7)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_the_chosen_records_alone_and_keeps_shape_and_type(name: str, shape: tuple[int, ...]
                                                                                ) -> None:
    torch.manual_seed(1)
    images, on = torch.rand(shape), torch.arange(shape[0]) % 2 == 0
    for _ in range(5):  # a translation by nothing or a flip that is not drawn may happen once
        (out,) = OPERATIONS[name]([images], on, shape[1])
        assert out.shape == images.shape and out.dtype == images.dtype
        assert torch.equal(out[~on], images[~on])
        if not torch.equal(out[on], images[on]):
            return
    raise AssertionError("nothing changed in five draws")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_translation_is_a_roll_with_the_border_repeated(shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    images = torch.rand(shape)
    (out,) = OPERATIONS["translation"]([images], torch.ones(shape[0], dtype=torch.bool), 1)
    axes = len(shape) - 2
    reach = [round(augment.SHIFT * side) for side in shape[2:]]
    for image, moved in zip(images.numpy(), out.numpy(), strict=True):
        found = False
        for shift in np.ndindex(*[2 * r + 1 for r in reach]):
            by = [s - r for s, r in zip(shift, reach, strict=True)]
            at = [np.clip(np.arange(side) - b, 0, side - 1) for side, b in zip(shape[2:], by, strict=True)]
            naive = image[(slice(None), *np.ix_(*at))]
            found = found or np.array_equal(naive, moved)
        assert found, f"no shift of at most {reach} along {axes} axes gives it"


def test_a_cut_out_box_has_at_most_half_of_each_side_and_the_middle_value() -> None:
    torch.manual_seed(3)
    images = torch.rand(200, 1, 12, 20) + 1
    (out,) = OPERATIONS["cutout"]([images], torch.ones(200, dtype=torch.bool), 1)
    gone = (out != images)[:, 0]
    assert bool((out[:, 0][gone] == 0).all())
    rows, columns = gone.any(2).sum(1), gone.any(1).sum(1)
    assert torch.equal(gone.sum((1, 2)), rows * columns)  # a box
    assert int(rows.max()) == 6 and int(columns.max()) == 10 and int(rows.min()) >= 3 and int(columns.min()) >= 5


def test_intensities_change_as_stated_and_other_channels_do_not() -> None:
    torch.manual_seed(4)
    images, on = torch.rand(500, 3, 4, 4), torch.ones(500, dtype=torch.bool)
    (bright,) = OPERATIONS["brightness"]([images], on, 2)
    change = (bright - images)[:, :2].flatten(1)
    torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-6, rtol=0)
    assert -0.5 <= float(change.min()) < -0.45 and 0.45 < float(change.max()) <= 0.5
    (spread,) = OPERATIONS["contrast"]([images], on, 2)
    mean = images[:, :2].mean((1, 2, 3))
    torch.testing.assert_close(spread[:, :2].mean((1, 2, 3)), mean)
    factor = (spread[:, :2].flatten(1).std(1) / images[:, :2].flatten(1).std(1))
    assert 0.5 - 1e-4 <= float(factor.min()) < 0.55 and 1.45 < float(factor.max()) <= 1.5 + 1e-4
    for out in (bright, spread):
        assert torch.equal(out[:, 2], images[:, 2])


@pytest.mark.parametrize("size", [(12, 20), (8, 12, 10)])
def test_an_affine_operation_is_a_turn_in_pixels_even_where_sides_differ(size: tuple[int, ...],
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Against scipy, with the turns that were drawn read back from the same random numbers."""
    torch.manual_seed(5)
    images = torch.rand(3, 1, *size)
    state = torch.get_rng_state()
    (out,) = OPERATIONS["affine"]([images], torch.ones(3, dtype=torch.bool), 1)
    torch.set_rng_state(state)
    dims = len(size)
    matrices = [np.eye(dims) for _ in range(3)]
    for i in range(dims):  # axes x, y(, z)
        for j in range(i + 1, dims):
            for record, angle in enumerate((torch.rand(3) * 2 - 1).double().numpy() * augment.ANGLE):
                turn = np.eye(dims)
                turn[i, i] = turn[j, j] = math.cos(angle)
                turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
                matrices[record] = matrices[record] @ turn
    scales = np.exp((torch.rand(3, 1, 1) * 2 - 1).double().numpy().ravel() * math.log(augment.SCALE))
    for record in range(3):
        matrix = (matrices[record] * scales[record])[::-1, ::-1]  # to the array's order of axes
        middle = (np.array(size) - 1) / 2
        naive = ndimage.affine_transform(images[record, 0].numpy(), matrix, middle - matrix @ middle, order=1,
                                         mode="nearest")
        np.testing.assert_allclose(out[record, 0].numpy(), naive, atol=1e-4)


def test_what_has_the_shape_of_the_inputs_moves_with_them_and_conditions_do_not() -> None:
    torch.manual_seed(6)
    images = torch.rand(40, 1, 12, 12) * 2 - 1
    mask, condition = torch.cat([images, -images], 1), torch.rand(40, 12)
    seen = augmented(View(images, (condition, mask, None)), ("translation", "flip", "affine"), 0.7, 1)
    assert isinstance(seen, View)
    assert seen.context[0] is condition and seen.context[2] is None
    assert not torch.equal(seen.inputs, images)
    torch.testing.assert_close(seen.context[1], torch.cat([seen.inputs, -seen.inputs], 1))
    coloured = augmented(View(images, (condition, mask)), ("brightness", "contrast", "cutout"), 1.0, 1)
    assert isinstance(coloured, View) and torch.equal(coloured.context[1], mask)  # type: ignore[arg-type]


def test_the_pipe_leaves_gradients_and_does_nothing_at_probability_zero() -> None:
    images = torch.rand(8, 1, 10, 10, requires_grad=True)
    assert augmented(images, tuple(OPERATIONS), 0.0, 1) is images
    torch.manual_seed(7)
    out = augmented(images, tuple(OPERATIONS), 1.0, 1)
    assert isinstance(out, Tensor)
    (slope,) = torch.autograd.grad(out.sum(), images)
    assert bool(torch.isfinite(slope).all()) and bool((slope.flatten(1).abs().sum(1) > 0).all())


def test_the_share_of_augmented_records_is_the_probability() -> None:
    torch.manual_seed(8)
    images = torch.zeros(4000, 1, 2, 2)
    out = augmented(images, ("brightness",), 0.3, 1)
    share = float((out != 0).any(1).any(1).any(1).float().mean())  # type: ignore[union-attr]
    assert share == pytest.approx(0.3, abs=0.03)


@settings(max_examples=50, deadline=None)
@given(start=st.floats(0, 0.8), signs=st.lists(st.floats(-1, 1), min_size=1, max_size=30), target=st.floats(0.1, 0.9))
def test_the_controller_follows_the_sign_and_never_passes_its_cap(start: float, signs: list[float],
                                                                  target: float) -> None:
    probability = start
    for sign in signs:
        before = probability
        probability = adapted(probability, sign, target=target, records=640, speed=10_000)
        assert 0 <= probability <= CAP == 0.8
        assert abs(probability - before) <= 0.064 + 1e-12
        assert (probability >= before) if sign >= target else (probability <= before)
    for _ in range(20):
        probability = adapted(probability, 1.0, target=target, records=640, speed=10_000)
    assert probability == CAP
