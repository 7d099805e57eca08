"""Shapes, sizes and starting points of the image networks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.medical.networks import build, capacity
from synth.medical.networks.autoencoder import Autoencoder, CodeCritic
from synth.medical.networks.layers import base, border, conv, crop, levels
from synth.medical.networks.residual import GROUP, Branch, ResidualCritic, ResidualGenerator, Spread
from synth.medical.networks.resnet import NormedGenerator, ProjectionCritic, SelfAttention
from synth.medical.recipes import RECIPES
from synth.medical.shape import ImageShape

SIZES = ((16, 16), (17, 31), (28, 40), (16, 19, 18))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_networks_make_and_judge_images_of_any_size(name: str, size: tuple[int, ...]) -> None:
    recipe = RECIPES[name]
    masked = recipe.players in ("paired", "volume")
    shape = ImageShape(size=size, channels=2, conditions=3, classes=3 if masked else 0)
    torch.manual_seed(0)
    generator, critic = build(recipe, shape, capacity(100, size, width=0.25))
    noise, condition = torch.randn(2, generator.noise), torch.randn(2, 3)
    mask = torch.rand(2, 3, *size) if masked else None
    images = generator(noise, condition, mask)
    assert images.shape == (2, 2, *size)
    seen = generator.encoder(images) if isinstance(generator, Autoencoder) else images
    scores = critic(seen, condition, mask)
    assert scores.ndim <= 2 and len(scores) == 2 and scores.isfinite().all()
    scores.sum().backward()
    idle = [n for n, p in critic.named_parameters() if p.grad is None]
    assert idle == []
    if not isinstance(critic, CodeCritic):
        assert [n for n, p in generator.named_parameters() if p.grad is None] == []


def test_unconditional_networks_have_no_use_for_conditions() -> None:
    shape = ImageShape(size=(16, 16), channels=1)
    for name in ("medical/r3", "medical/dcgan", "medical/cgan"):
        generator, critic = build(RECIPES[name], shape, (16, 16, 16))
        images = generator(torch.randn(3, generator.noise), torch.zeros(3, 0), None)
        assert critic(images, torch.zeros(3, 0), None).shape == (3,)


def test_conditions_and_masks_matter_from_the_start() -> None:
    torch.manual_seed(0)
    shape = ImageShape(size=(16, 16), channels=1, conditions=2, classes=3)
    generator, critic = ResidualGenerator(shape, (16, 16, 16), noise=8), ResidualCritic(shape, (16, 16, 16))
    noise, one, other = torch.randn(2, 8), torch.eye(2)[[0, 0]], torch.eye(2)[[1, 1]]
    mask, no_mask = torch.rand(2, 3, 16, 16), torch.zeros(2, 3, 16, 16)
    images = generator(noise, one, mask)
    assert (images - generator(noise, other, mask)).abs().max() > 1e-3
    assert (images - generator(noise, one, no_mask)).abs().max() > 1e-3
    assert (critic(images, one, mask) - critic(images, other, mask)).abs().max() > 1e-4
    assert (critic(images, one, mask) - critic(images, one, no_mask)).abs().max() > 1e-4


def test_a_residual_branch_is_the_identity_at_the_start_and_learns() -> None:
    branch = Branch(2, 16, 1.0, 4)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(branch(x), x)
    branch(x).square().sum().backward()
    assert branch.last.weight.grad is not None and branch.last.weight.grad.abs().max() > 0


def test_self_attention_begins_as_the_identity_and_is_a_weighted_mean() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(2, 8, lambda module: module)
    x = torch.randn(2, 8, 8, 6)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.amount.fill_(1.0)
        small = torch.nn.functional.avg_pool2d(x, 2)
        for b in range(2):
            key, value = layer.key(small)[b].flatten(1), layer.value(small)[b].flatten(1)
            weights = torch.softmax(layer.query(x)[b, :, 3, 2] @ key, 0)
            expected = x[b, :, 3, 2] + layer.out.weight[:, :, 0, 0] @ (value @ weights)
            torch.testing.assert_close(layer(x)[b, :, 3, 2], expected)


def test_critics_of_gradient_penalties_can_be_differentiated_twice() -> None:
    shape = ImageShape(size=(16, 16), channels=1, conditions=2)
    for critic in (ResidualCritic(shape, (16, 16, 16)), ProjectionCritic(shape, (16, 16, 16), attention=True)):
        images = torch.randn(2, 1, 16, 16, requires_grad=True)
        (slope,) = torch.autograd.grad(critic(images, torch.eye(2), None).sum(), images, create_graph=True)
        slope.square().sum().backward()
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in critic.parameters())


def test_spectral_norms_are_one() -> None:
    torch.manual_seed(0)
    critic = ProjectionCritic(ImageShape(size=(16, 16), channels=1, conditions=2), (16, 16, 16), spectral=True)
    for _ in range(50):
        critic(torch.randn(4, 1, 16, 16), torch.eye(2)[[0, 1, 0, 1]], None)
    norm = torch.linalg.matrix_norm(critic.downs[0].first.weight.detach().flatten(1), 2)
    assert abs(float(norm) - 1) < 0.02


def test_generators_with_normalisation_draw_each_image_alone_when_drawing() -> None:
    torch.manual_seed(0)
    generator = NormedGenerator(ImageShape(size=(16, 16), channels=1), (16, 16, 16), noise=4).eval()
    noise = torch.randn(6, 4)
    together = generator(noise, torch.zeros(6, 0), None)
    torch.testing.assert_close(generator(noise[2:3], torch.zeros(1, 0), None), together[2:3], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [*SIZES, (512, 512), (16, 512), (35, 50, 36)], ids=str)
def test_the_grid_covers_the_image_and_no_more_than_it_must(size: tuple[int, ...]) -> None:
    doublings = levels(size)
    for side, coarse in zip(size, base(size, doublings), strict=True):
        assert (coarse - 1) << doublings < side <= coarse << doublings
    assert 4 <= min(base(size, doublings)) <= 8


def test_a_border_is_taken_off_again() -> None:
    x = torch.randn(2, 3, 5, 7, 6)
    wide = border(x, (8, 8, 9))
    assert wide.shape == (2, 3, 8, 8, 9) and torch.equal(crop(wide, (5, 7, 6)), x)
    assert float(wide.square().sum()) == pytest.approx(float(x.square().sum()), rel=1e-5)


def test_convolutions_keep_the_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 32, 16, 16)
    y = torch.nn.functional.leaky_relu(conv(2, 32, 64)(x), 0.2)
    assert 0.8 < float(y[:, :, 2:-2, 2:-2].square().mean()) < 1.2


def test_capacity_follows_size_and_number() -> None:
    assert capacity(6000, (32, 32)) == (64, 64, 32, 16)
    assert capacity(300, (32, 32)) == (32, 32, 32, 16)
    assert capacity(6000, (128, 128))[-1] == 16 and len(capacity(6000, (128, 128))) == 6
    assert capacity(6000, (32, 32), width=2) == (128, 128, 64, 32)


@given(records=st.integers(1, 23), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_spread_of_groups_of_like_condition_agrees_with_a_loop(records: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    spread = Spread(3)
    torch.nn.init.eye_(spread.add.weight)
    features = torch.randn(records, 3, generator=rng)
    condition = torch.nn.functional.one_hot(torch.randint(3, (records,), generator=rng), 3).float()
    made = spread(features, condition)
    groups = records // GROUP
    if not groups:
        assert torch.equal(made, torch.zeros_like(features))
        return
    order = sorted(range(records), key=lambda i: float(condition[i] @ torch.tensor([1.0, 0.5, 0.25])))
    for group in range(groups):
        rows = [order[i] for i in range(records) if i * groups // records == group]
        wanted = (features[rows].var(0, unbiased=False) + 1e-6).sqrt()
        for row in rows:
            assert torch.allclose(made[row], wanted, atol=1e-5)


def test_a_critic_in_eval_mode_scores_each_record_for_itself() -> None:
    shape = ImageShape(size=(16, 16), conditions=2)
    critic = ResidualCritic(shape, (16, 16, 16))
    images, condition = torch.randn(8, 1, 16, 16), torch.eye(2).repeat(4, 1)
    assert not torch.allclose(critic(images, condition)[:4], critic(images[:4], condition[:4]))
    critic.eval()
    assert torch.allclose(critic(images, condition)[:4], critic(images[:4], condition[:4]), atol=1e-5)
