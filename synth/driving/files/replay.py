"""Scenes played by SUMO, which has its own idea of collisions and of time to collision.

Every vehicle is put where the scene says at each step (``moveToXY``); SUMO's collision check and its surrogate
safety device (SSM) then judge what they see. An outside opinion on :mod:`synth.driving.geometry` and ``safety``.
"""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.driving.files.roads import roads
from synth.driving.files.sumo_net import network
from synth.driving.scenes import Scenes
from synth.errors import InternalError, UserError

_WORKER = Path(__file__).with_name("sumo_worker.py")
_LIMIT = 900  # s; a replay takes milliseconds a scene


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What SUMO says of each scene, all [n]."""

    collisions: NDArray[np.bool_]  # any two vehicles touch at any step
    min_ttc: NDArray[np.float64]  # s, of the ego vehicle with any other by SUMO's SSM device; inf: never closing in
    drac: NDArray[np.float64]  # m/s^2, the largest of the ego vehicle in a conflict (TTC < 10 s or DRAC > 0.1), else 0
    error: NDArray[np.float64]  # m, the largest distance between where a vehicle was put and where SUMO has it


def available() -> bool:
    """Whether SUMO is installed (``libsumo``, with the extra ``demo``)."""
    return importlib.util.find_spec("libsumo") is not None


def replay(scenes: Scenes) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(collisions bool [n], smallest time to collision of the ego vehicle [n] in s, inf without any closing in).

    Raises :class:`UserError` where ``libsumo`` is not installed.
    """
    found = replayed(scenes)
    return found.collisions, found.min_ttc


def replayed(scenes: Scenes) -> Replayed:
    """All that SUMO says; see :class:`Replayed`. Runs in a process of its own, milliseconds a scene."""
    if not available():
        raise UserError("SUMO is not installed, so scenes cannot be replayed",
                        todo="install it: pip install 'synth-pipeline[demo]' (package libsumo)")
    stretches, which = roads(scenes)
    given = io.BytesIO()
    np.savez(given, states=scenes.states, present=scenes.present, sizes=scenes.sizes, which=which,
             dt=np.float64(scenes.shape.dt))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.net.xml" for number in range(len(stretches))]
        for path, road in zip(paths, stretches, strict=True):
            path.write_text(network(road), encoding="utf-8")
        done = subprocess.run([sys.executable, "-P", str(_WORKER), *map(str, paths)], input=given.getvalue(),
                              capture_output=True, timeout=_LIMIT, check=False)
    if done.returncode:
        raise InternalError(f"the replay in SUMO ended with exit code {done.returncode}")
    said = np.load(io.BytesIO(done.stdout))
    return Replayed(collisions=said["collisions"], min_ttc=said["min_ttc"], drac=said["drac"], error=said["error"])
