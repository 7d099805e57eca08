"""Batches of scenes drawn side by side, in as many threads as torch may use.

A drive is many small steps, none of which is worth sharing among processors; batches are independent. Each runs on one
thread whatever their number, so what is drawn does not depend on the number of processors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


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
