"""What every reader gives back, and how files are found."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from synth.contract.traffic import Traffic
from synth.errors import UserError
from synth.progress import Progress

FOOT = 0.3048  # m
MOST_BYTES = 4 << 30  # of one file that is read as a whole


@dataclass(frozen=True)
class Recorded:
    """``states`` in SI units (see :mod:`synth.driving.tracks`), ``about`` texts of the other columns, row by row."""

    states: pd.DataFrame
    about: pd.DataFrame
    refused: Counter[str] = field(default_factory=Counter)  # files, by reason
    on_earth: bool = False  # the recordings tell latitudes and longitudes, so their places are on earth


Reader = Callable[[str, Iterable[tuple[str, str]], Traffic, list[str], Progress], Recorded]


def files(source: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The local files of a path, folder or glob with one of the suffixes, sorted; no links out of the folder."""
    path = Path(source)
    if path.is_file():
        return [path]
    if any(c in source for c in "*?["):
        found = [Path(p) for p in glob.glob(source, recursive=True)]
        root = Path(source[: min(source.index(c) for c in "*?[" if c in source)]).parent
    else:
        found, root = (list(path.rglob("*")) if path.is_dir() else []), path
    found = sorted(p for p in found if p.is_file() and p.name.lower().endswith(suffixes)
                   and not any(part.startswith(".") for part in p.relative_to(root).parts))
    if not found:
        raise UserError(f"there are no {' or '.join(suffixes)} files", where=source,
                        todo="check the location of the recordings in the contract")
    base = os.path.realpath(root)
    for p in found:
        if os.path.commonpath([base, os.path.realpath(p)]) != base:
            raise UserError("a file of the folder is a link to somewhere outside it", where=str(p),
                            todo="put the file itself into the folder, or give its own path")
    return found


def gathered(parts: list[tuple[pd.DataFrame, pd.DataFrame]], refused: Counter[str]) -> Recorded:
    """The parts of several files one after the other."""
    if not parts:
        return Recorded(states=pd.DataFrame(columns=["recording", "track", "time", "x", "y"]), about=pd.DataFrame(),
                        refused=refused)
    return Recorded(states=pd.concat([s for s, _ in parts], ignore_index=True),
                    about=pd.concat([a for _, a in parts], ignore_index=True), refused=refused)


def text(values: pd.Series) -> pd.Series:
    """Cells as they would be written, missing ones as ``None``."""
    if pd.api.types.is_float_dtype(values.dtype) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("object").where(values.notna(), None).map(lambda v: None if v is None else str(v))


def categories(values: pd.Series) -> pd.Categorical:
    """Texts in little memory."""
    return pd.Categorical(text(pd.Series(values)))
