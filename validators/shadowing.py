"""Training shadow models: who trains which, one process each, kept as they finish, within a bound of time.

Domains bring a :class:`Design`: records, how one shadow is trained on some people's, and what a trained model says of
the records that are attacked (``validators/shadows.py``, ``medical/shadows.py``, ``driving/shadows.py``). What the
scores tell is in :mod:`validators.shadow_ratios`.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np

from synth.contract.model import Training
from synth.errors import InternalError
from synth.progress import Watch, unwatched

SHADOWS = 32  # trained, where there is time
SECONDS = 1_800.0
EFFORT = 0.5  # of the contract's training, at most
POLL = 0.2  # seconds between two looks at the processes
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_START = """import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from validators.shadowing import work
work(*pickle.load(sys.stdin.buffer))"""


@dataclass(frozen=True, kw_only=True)
class Design(ABC):
    """What all shadows share. Private: it holds records."""

    SIGNALS: ClassVar[tuple[str, ...]]  # what is read off a model, higher for members; the last one needs the model

    owners: np.ndarray  # (records of the pool,) person of each, from 0
    inside: np.ndarray  # bool (shadows, people): who trains which shadow
    rows: np.ndarray  # records of the pool that are scored
    seed: int

    @property
    @abstractmethod
    def name(self) -> str:
        """A digest of everything that decides the scores: shadows of another design are not taken for its own."""

    @abstractmethod
    def score(self, number: int) -> np.ndarray:
        """Train shadow ``number`` and score the targets: (signals, rows), NaN for what it cannot say."""

    def trained_on(self, number: int) -> np.ndarray:
        """Records of the pool that shadow ``number`` is trained on, bool (records,)."""
        return np.asarray(self.inside[number][self.owners])

    def digest(self, said: object, parts: Iterable[np.ndarray]) -> str:
        """A :attr:`name` from what is written down as text, the arrays of a domain, and what every design has."""
        found = hashlib.sha256(repr(said).encode())
        for part in (*parts, self.owners, self.inside, self.rows):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()[:16]


D = TypeVar("D", bound=Design)


@dataclass(frozen=True)
class Pool(Generic[D]):
    """A design, and who of those attacked was trained on."""

    design: D
    members: np.ndarray  # bool (people attacked,)


@dataclass(frozen=True)
class Chosen:
    """People of train and as many untouched ones: whose records are in, and the person of each record."""

    most: int  # people of each side; those of train come first
    train: np.ndarray  # bool (records of train,)
    untouched: np.ndarray  # bool (records of untouched parts,)
    owners: np.ndarray  # (records that are in,), train's first


def choose(train: np.ndarray, untouched: np.ndarray, people: int, rng: np.random.Generator) -> Chosen:
    """At most ``people`` of each side, at random; the arguments are entities of records, alike only by chance."""
    codes = [np.unique(entities, return_inverse=True)[1] for entities in (train, untouched)]
    most = min(people, *(int(c.max(initial=-1)) + 1 for c in codes))
    masks, owners = [], []
    for number, code in enumerate(codes):
        place = np.full(int(code.max(initial=-1)) + 1, -1)
        place[rng.permutation(len(place))[:most]] = number * most + np.arange(most)
        masks.append(place[code] >= 0)
        owners.append(place[code][masks[-1]])
    return Chosen(most, masks[0], masks[1], np.concatenate(owners))


def isolated(distance: np.ndarray, owners: np.ndarray, people: int) -> np.ndarray:
    """Those ``people`` of a pool whose farthest record lies farthest off, sorted."""
    far = np.zeros(int(owners.max()) + 1)
    np.maximum.at(far, owners, distance)
    return np.sort(np.argsort(-far, kind="stable")[:people])


def halves(count: int, people: int, rng: np.random.Generator) -> np.ndarray:
    """Who trains which of ``count`` shadows: bool (count, people), half of them each.

    Shadows come in pairs that complete each other, so that everybody is inside half of them, however many are done.
    """
    inside = np.zeros((count, people), bool)
    for pair in range(0, count, 2):
        inside[pair, rng.permutation(people)[: people // 2]] = True
        if pair + 1 < count:
            inside[pair + 1] = ~inside[pair]
    return inside


def shorter(training: Training, share: float = 1.0) -> Training:
    """The training of a shadow on ``share`` of as many records: half as many looks at each, or half of the seconds."""
    less = EFFORT * min(share, 1.0)
    options = tuple((name, float(value) * less if name == "seconds" else value) for name, value in training.options)
    return replace(training, effort=min(training.effort, 1.0) * less, options=options)


def alike(signals: np.ndarray) -> np.ndarray:
    """Signals (signals, records) of a model as they differ from record to record: mean 0, and of the last one,
    whose scale is a model's own, deviation 1."""
    centred = signals - signals.mean(axis=1, keepdims=True)
    centred[-1] /= max(float(centred[-1].std()), 1e-9)
    return centred


def one(design: Design, number: int) -> np.ndarray:
    """Scores of one shadow, (signals, rows), trained on one thread: the same whatever runs beside it."""
    import torch

    torch.set_num_threads(1)
    return design.score(number)


def work(folder: Path, number: int) -> None:
    """What a process does: read the design, train one shadow, leave its scores whole or not at all."""
    with (folder / "design").open("rb") as file:
        design: Design = pickle.load(file)
    scores = one(design, number)
    temporary = folder / f".{number}.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        np.save(file, scores)
    os.replace(temporary, folder / f"{number}.npy")


def in_processes(design: Design, scratch: Path, seconds: float, watch: Watch = unwatched) -> np.ndarray:
    """Scores (shadows done, signals, rows) of as many shadows as the time allows, in whole pairs.

    Shadows that an interrupted judgement left in ``scratch`` are found again; another design has another folder. When
    the time is over the processes are ended. One that fails is an :class:`InternalError`, without its words.
    ``watch`` is told how many are done.
    """
    folder = scratch / design.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = folder / f".design.{os.getpid()}.tmp"
    temporary.write_bytes(pickle.dumps(design))
    os.replace(temporary, folder / "design")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    began, running = time.monotonic(), dict[int, subprocess.Popen[bytes]]()
    until = began + seconds
    wanted = [n for n in range(len(design.inside)) if not (folder / f"{n}.npy").exists()]
    start, count = len(design.inside) - len(wanted), len(design.inside)
    try:
        while (wanted or running) and time.monotonic() < until:
            while wanted and len(running) < cores:
                number = wanted.pop(0)
                running[number] = _started(folder, number)
            for number in [n for n, process in running.items() if process.poll() is not None]:
                if running.pop(number).returncode:
                    raise InternalError("a shadow model could not be trained",
                                        todo="set synthesis.attacks to quick, or report this with the recipe's name")
            now, ended = time.monotonic(), count - len(wanted) - len(running)
            left = (count - ended) * (now - began) / (ended - start) if ended > start else seconds
            watch(ended / count, f"{ended} of {count} shadow models", max(0.0, min(left, until - now)))
            time.sleep(POLL)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    done = 0
    while done < len(design.inside) and (folder / f"{done}.npy").exists():
        done += 1
    done -= done % 2
    shape = (0, len(design.SIGNALS), len(design.rows))
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
