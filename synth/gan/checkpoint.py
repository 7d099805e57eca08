"""Checkpoints as safetensors plus JSON in its header: weights, optimiser, random state, never pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def write(path: Path, tensors: dict[str, Tensor], notes: dict[str, Any]) -> None:
    """Write in one rename, so that a kill leaves the old checkpoint or the new one. Private: mode 0600."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, temporary,
              metadata={"notes": json.dumps(notes)})
    temporary.chmod(0o600)
    os.replace(temporary, path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`write` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["notes"])  # noqa: SIM118


def part(tensors: dict[str, Tensor], name: str, device: torch.device) -> dict[str, Tensor]:
    """The tensors stored under ``name/``."""
    return {key[len(name) + 1:]: value.to(device) for key, value in tensors.items() if key.startswith(f"{name}/")}


def flatten(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors."""
    return {f"{name}/{index}/{key}": value for index, state in optimiser.state_dict()["state"].items()
            for key, value in state.items()}


def unflatten(name: str, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], device: torch.device) -> None:
    """Put back what :func:`flatten` took out; rates are set by the loop at every step."""
    states: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for key, value in part(tensors, name, device).items():
        index, _, field = key.partition("/")
        like = parameters[int(index)]
        if field == "step":
            value = value.cpu()
        elif value.shape == like.shape:  # moments lie in memory as their parameter does (fused optimisers rely on it)
            value = torch.empty_like(like).copy_(value)
        states.setdefault(int(index), {})[field] = value
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
