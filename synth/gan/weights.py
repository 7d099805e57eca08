"""Where networks live and how they are kept, for every domain: devices, safetensors, a versioned description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synth.errors import UserError


def device_named(name: str) -> torch.device:
    """``auto`` is CUDA where there is one; :class:`UserError` for a CUDA device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device was found", where="--device", todo="use --device auto or cpu")
    return torch.device(name)


def save_weights(module: nn.Module, path: Path) -> None:
    """The module's state as safetensors, loadable on any device."""
    from safetensors.torch import save_file

    save_file({name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}, path)


def write_description(path: Path, version: int, description: dict[str, Any]) -> None:
    """Everything but weights, as JSON with the version of its format."""
    path.write_text(json.dumps({"format": version, **description}, ensure_ascii=False, allow_nan=False) + "\n",
                    encoding="utf-8")


def read_description(path: Path, version: int) -> dict[str, Any]:
    """What :func:`write_description` wrote; :class:`UserError` if its format has another version."""
    description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if description.get("format") != version:
        raise UserError("the saved model has another format version", where=str(path.parent),
                        todo="load it with the version that wrote it, or train again")
    return description


def phases_shown(history: dict[str, Any]) -> list[dict[str, Any]]:
    """What a record may show of each phase of a trainer's history; the curves stay private."""
    return [{"name": phase["name"], "objective": phase["objective"] or "likelihood", "steps": phase["steps"],
             "seconds": phase["seconds"],
             "validation": None if phase["validation"] is None else round(phase["validation"], 4)}
            for phase in history.get("phases", [])]
