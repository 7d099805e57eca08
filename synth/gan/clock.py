"""The clock of trainings that are limited by time."""

from __future__ import annotations

import time

import torch


def work(device: torch.device) -> float:
    """Seconds of work: on a processor CPU seconds a thread, so what other programs use does not count; else wall."""
    return time.monotonic() if device.type == "cuda" else time.process_time() / torch.get_num_threads()
