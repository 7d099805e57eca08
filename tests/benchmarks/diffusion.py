"""The rival of the image benchmark: a small class-conditional diffusion model out of MONAI's parts.

Denoising diffusion (Ho et al. 2020) with MONAI's ``DiffusionModelUNet``, an average of the weights, and 25
deterministic steps (DDIM, Song et al. 2021) to draw. It trains for a given number of seconds, like everybody else.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler

from synth.gan.clock import work

BATCH, STEPS, DRAWING_STEPS = 64, 1000, 25


class Diffusion:
    """Images float32 [n, C, H, W] in [-1, 1], labels int64 [n]."""

    def __init__(self, channels: int, classes: int, *, seed: int, device: str = "cpu",
                 widths: tuple[int, ...] = (32, 64, 64)) -> None:
        torch.manual_seed(seed)
        self.device, self.channels, self.steps, self.seconds = torch.device(device), channels, 0, 0.0
        self.net = DiffusionModelUNet(
            spatial_dims=2, in_channels=channels, out_channels=channels, channels=widths, num_res_blocks=1,
            attention_levels=(*[False] * (len(widths) - 1), True), num_head_channels=32, norm_num_groups=16,
            num_class_embeds=classes).to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.net.parameters())

    def fit(self, images: np.ndarray, labels: np.ndarray, seconds: float, rate: float = 5e-4) -> None:
        """Train for about ``seconds``."""
        scheduler = DDPMScheduler(num_train_timesteps=STEPS, schedule="scaled_linear_beta")
        optimiser = torch.optim.AdamW(self.net.parameters(), rate)
        data, kinds = torch.from_numpy(images), torch.from_numpy(labels)
        start = work(self.device)
        while work(self.device) - start < seconds:
            rows = torch.randint(len(data), (BATCH,))
            real = data[rows].to(self.device, memory_format=torch.channels_last)
            noise, when = torch.randn_like(real), torch.randint(STEPS, (BATCH,), device=self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                guess = self.net(scheduler.add_noise(real, noise, when), when, class_labels=kinds[rows].to(self.device))
            loss = F.mse_loss(guess.float(), noise)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            self.steps += 1
            keep = min(0.999, self.steps / (self.steps + 10))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - keep)
        self.seconds = work(self.device) - start

    @torch.no_grad()
    def draw(self, labels: np.ndarray, size: tuple[int, int], *, seed: int) -> np.ndarray:
        """One image a label."""
        torch.manual_seed(seed)
        scheduler = DDIMScheduler(num_train_timesteps=STEPS, schedule="scaled_linear_beta")
        scheduler.set_timesteps(DRAWING_STEPS)
        out = []
        for kinds in torch.from_numpy(labels).split(256):
            x = torch.randn(len(kinds), self.channels, *size, device=self.device)
            x = x.to(memory_format=torch.channels_last)
            for when in scheduler.timesteps:
                at = torch.full((len(kinds),), int(when), device=self.device)
                with torch.autocast(self.device.type, torch.bfloat16):
                    guess = self.average(x, at, class_labels=kinds.to(self.device))
                x, _ = scheduler.step(guess.float(), when, x)
            out.append(x.clamp(-1, 1).cpu())
        return torch.cat(out).numpy()
