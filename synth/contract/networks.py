"""``networks`` of the pixels: a user's own feature networks, in which images are judged beside those that ship.

Weights are ONNX files: plain data that nobody unpickles. Each is named by its digest, so that the contract (whose own
digest is in the plan that is fixed before training) says which network judged.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from synth.contract.marks import Place
from synth.contract.settings import Notes
from synth.errors import UserError

_KEYS = ("file", "sha256", "kind", "side", "range")
_DIGEST = re.compile(r"[0-9a-f]{64}")
SIDES = (16, 1024)


class NetworkKind(StrEnum):
    """What a network is, and so which figures may be named after it."""

    FEATURES = "features"  # images to features [n, d]
    INCEPTION = "inception"  # the Inception network: features [n, d], perhaps with class logits [n, c] as second output
    LPIPS = "lpips"  # two sets of images to one perceptual distance a pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A user's network. It is shown float32 [n, 3, side, side]; grey is repeated."""

    file: Path  # absolute
    sha256: str
    kind: NetworkKind = NetworkKind.FEATURES
    side: int = 299  # pixels
    range: tuple[float, float] = (-1.0, 1.0)  # what the darkest and the brightest stored value become
    line: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """In ids of findings, e.g. ``inception-1a2b3c4d``."""
        return f"{self.kind}-{self.sha256[:8]}"

    def problem(self) -> UserError | None:
        """What is wrong with the file, if anything."""
        if not self.file.is_file():
            return UserError("there is no such network", where=str(self.file),
                             todo="correct `file`; it is looked for beside the contract")
        found = hashlib.sha256(self.file.read_bytes()).hexdigest()
        if found != self.sha256:
            return UserError("the network's file is not the one that the contract names", where=str(self.file),
                             todo=f"if this file is meant, write sha256: {found}")
        return None


def networks(notes: Notes, place: Place, value: Any, folder: Path) -> tuple[Network, ...]:
    """The list of a contract, relative to its ``folder``; problems go to ``notes``."""
    if not isinstance(value, list):
        notes.add("'networks' of the pixels must be a list", place, "write `networks: [{file: ..., sha256: ...}]`")
        return ()
    found: list[Network] = []
    for i, item in enumerate(value):
        made = _network(notes, (*place, i), item, folder)
        if made is not None and made.name in {other.name for other in found}:
            notes.add("a network is given twice", (*place, i), "remove one of them")
        elif made is not None:
            found.append(made)
    return tuple(found)


def _network(notes: Notes, place: Place, item: Any, folder: Path) -> Network | None:
    before, said = len(notes.problems), notes.keys(place, item, _KEYS, "a network")
    file, digest = said.get("file"), said.get("sha256")
    if not isinstance(file, str) or not file.endswith(".onnx"):
        notes.add("a network needs `file`, an .onnx file", place,
                  "export the network to ONNX; weights as pickles (.pt, .pth) are never loaded")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        notes.add("a network needs `sha256`, the digest of its file", place, "`sha256sum FILE` prints it")
    try:
        kind = NetworkKind(said.get("kind", NetworkKind.FEATURES))
    except ValueError:
        notes.add("unknown kind of network", (*place, "kind"), f"one of {', '.join(NetworkKind)}")
        return None
    side = said.get("side", 299)
    if isinstance(side, bool) or not isinstance(side, int) or not SIDES[0] <= side <= SIDES[1]:
        notes.add(f"'side' of a network must be a whole number from {SIDES[0]} to {SIDES[1]}", (*place, "side"),
                  "the pixels a side that it was trained with, e.g. 299")
    ends = said.get("range", [-1, 1])
    if not isinstance(ends, list) or len(ends) != 2:
        ends = [None, None]
    low, high = (notes.number((*place, "range"), v, "an end of a network's range") for v in ends)
    if low is not None and high is not None and not low < high:
        notes.add("the low end of a network's range must be below its high end", (*place, "range"), "e.g. [-1, 1]")
    if len(notes.problems) > before:
        return None
    assert isinstance(file, str) and isinstance(digest, str) and low is not None and high is not None
    return Network(file=(folder / file).absolute(), sha256=digest, kind=kind, side=side, range=(low, high),
                   line=notes.document.line(place))
