"""Training shadow models: one process each, kept as they finish, within a bound of time."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract.model import Constraint, Training
from synth.errors import InternalError
from synth.seeds import derive, generator
from synth.tabular.schema import TableSchema
from validators.encode import Encoding

SIGNALS = ("closest record", "local count", "log-likelihood")  # the last one needs the model
NEIGHBOURS = 10
POLL = 0.2  # seconds between two looks at the processes
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_START = """import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from validators.shadowing import work
work(*pickle.load(sys.stdin.buffer))"""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What all shadows share. Private: it holds rows."""

    frame: pd.DataFrame  # the pool
    owners: np.ndarray  # (rows,) person of each row, from 0
    inside: np.ndarray  # bool (shadows, people): who trains which shadow
    rows: np.ndarray  # of the pool that are scored
    encoding: Encoding
    schema: TableSchema
    constraints: tuple[Constraint, ...]
    training: Training
    target: str | None
    conditions: tuple[str, ...]
    k: int
    seed: int

    @property
    def name(self) -> str:
        """A digest of everything that decides the scores: shadows of another design are not taken for its own."""
        digest = hashlib.sha256(repr((self.seed, self.training, self.constraints, self.target, self.conditions, self.k,
                                      self.schema)).encode())
        for part in (pd.util.hash_pandas_object(self.frame, index=False).to_numpy(), self.owners, self.inside,
                     self.rows):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]


def signals(design: Design, synthetic: pd.DataFrame, likelihood: Callable[[pd.DataFrame], np.ndarray | None] | None
            ) -> np.ndarray:
    """What synthetic rows and a model's likelihood say of the scored rows: (signals, rows), NaN without likelihood.

    As many synthetic rows for every model, because nearness depends on their number.
    """
    from validators.diversity import neighbour_distances

    records = design.frame.iloc[design.rows]
    count = int(design.inside[0].sum())
    order = generator(design.seed, "shadows", "synthetic").permutation(len(synthetic))[:count]
    drawn = design.encoding.transform(synthetic.iloc[np.sort(order)])
    logs = np.log(neighbour_distances(drawn, design.encoding.transform(records), NEIGHBOURS) + 1e-3)
    told = likelihood(records) if likelihood is not None else None
    return np.stack([-logs[:, 0], -logs.mean(axis=1), np.full(len(records), np.nan) if told is None else told])


def one(design: Design, number: int) -> np.ndarray:
    """Train shadow ``number`` and score the targets: (signals, rows)."""
    import torch

    from synth.tabular.generator import TableGenerator

    torch.set_num_threads(1)
    inside = design.inside[number][design.owners]
    frame = design.frame[inside].reset_index(drop=True)
    model = TableGenerator.fit(
        frame, design.schema, design.constraints, training=design.training, seed=derive(design.seed, "shadow", number),
        entities=design.owners[inside], target=design.target, conditions=design.conditions, k=design.k)
    synthetic = model.sample(int(design.inside[0].sum()), seed=derive(design.seed, "shadow rows", number))
    return signals(design, synthetic, model.log_likelihood)


def work(folder: Path, number: int) -> None:
    """What a process does: read the design, train one shadow, leave its scores whole or not at all."""
    with (folder / "design").open("rb") as file:
        design: Design = pickle.load(file)
    scores = one(design, number)
    temporary = folder / f".{number}.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        np.save(file, scores)
    os.replace(temporary, folder / f"{number}.npy")


def in_processes(design: Design, scratch: Path, seconds: float) -> np.ndarray:
    """Scores (shadows done, signals, rows) of as many shadows as the time allows, in whole pairs.

    Shadows that an interrupted judgement left in ``scratch`` are found again; another design has another folder. When
    the time is over the processes are ended. One that fails is an :class:`InternalError`, without its words.
    """
    folder = scratch / design.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = folder / f".design.{os.getpid()}.tmp"
    temporary.write_bytes(pickle.dumps(design))
    os.replace(temporary, folder / "design")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    until, running = time.monotonic() + seconds, dict[int, subprocess.Popen[bytes]]()
    wanted = [n for n in range(len(design.inside)) if not (folder / f"{n}.npy").exists()]
    try:
        while (wanted or running) and time.monotonic() < until:
            while wanted and len(running) < cores:
                number = wanted.pop(0)
                running[number] = _started(folder, number)
            for number in [n for n, process in running.items() if process.poll() is not None]:
                if running.pop(number).returncode:
                    raise InternalError("a shadow model could not be trained",
                                        todo="set synthesis.attacks to quick, or report this with the recipe's name")
            time.sleep(POLL)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    done = 0
    while done < len(design.inside) and (folder / f"{done}.npy").exists():
        done += 1
    done -= done % 2
    shape = (0, len(SIGNALS), len(design.rows))
    return np.stack([np.load(folder / f"{n}.npy") for n in range(done)]) if done else np.zeros(shape)


def _started(folder: Path, number: int) -> subprocess.Popen[bytes]:
    """A process for one shadow, single-threaded: there is one of them for every core."""
    environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
    process = subprocess.Popen([sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=environment)
    assert process.stdin is not None
    with process.stdin as pipe:
        pickle.dump(sys.path, pipe)
        pickle.dump((folder, number), pipe)
    return process
