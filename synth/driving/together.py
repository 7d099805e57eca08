"""Batches of scenes drawn side by side, in as many threads as torch may use.

A drive is many small steps, none of which is worth sharing among processors; batches are independent. Each runs on one
thread whatever their number, so what is drawn does not depend on the number of processors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.driving.plan import Plan
from synth.progress import Progress, Silent

T = TypeVar("T")


def driven(drive: Callable[[Plan, int], Tensor], plan: Plan, steps: int, *, at_once: int,
           device: torch.device | None = None, progress: Progress | None = None) -> NDArray[np.float32]:
    """States float32 [n, K, T, 4] of a drive for each plan: ``drive`` is given ``at_once`` of them and the number of
    that batch, and returns [b, T, K, 4]."""
    n, count = plan.present.shape
    out = np.zeros((n, count, steps, 4), np.float32)

    def batch(number: int) -> Tensor:
        return drive(plan.take(slice(number * at_once, (number + 1) * at_once)), number).cpu()

    with (progress or Silent()).step("driving", max(1, n)) as step:
        for number, states in enumerate(together(batch, -(-n // at_once), device)):
            out[number * at_once:(number + 1) * at_once] = states.transpose(1, 2).numpy()
            step.update(min(n, (number + 1) * at_once))
    return out


def together(work: Callable[[int], T], count: int, device: torch.device | None = None) -> Iterator[T]:
    """``work(0)``, ``work(1)``, ... in this order, without gradients; one after the other on a GPU."""
    threads = torch.get_num_threads() if device is None or device.type == "cpu" else 1

    def one(number: int) -> T:
        torch.set_num_threads(1)  # of the thread that this runs in
        with torch.inference_mode():
            return work(number)

    before = torch.get_num_threads()
    try:
        if threads == 1 or count < 2:
            yield from map(one, range(count))
        else:
            with ThreadPoolExecutor(min(threads, count), "scenes") as pool:
                yield from pool.map(one, range(count))
    finally:
        torch.set_num_threads(before)
