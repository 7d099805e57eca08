"""Copies and near copies: does the synthetic table hit single training rows more often than chance does?

Chance is what fresh real people do: holdout rows that nobody else has are hit by a leak-free synthetic
table as often as such training rows are, and fresh real rows hit training rows now and then, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from synth.seeds import generator
from synth.tabular.evidence import TableEvidence
from validators import statistics as st
from validators.diversity import row_hashes
from validators.encode import Binning
from validators.finding import Finding, Verdict

NEAR_BINS = 100  # quantile bins of a number within which two values count as near
SYNTHETIC_MINIMUM, REAL_MINIMUM = 300, 200  # rows below which nothing can be said


@dataclass(frozen=True)
class Hits:
    """Single rows of train and holdout, how many of each the synthetic table has, and what fresh rows do."""

    train_singles: int  # over all pieces of train
    holdout_singles: int
    train_hits: int
    holdout_hits: int
    chances: tuple[int, ...]  # hit kinds of row that are single in 1, 2, ... pieces, holdout being one piece
    synthetic_rows: int
    fresh_rows: int  # holdout and reference
    fresh_hits: int  # of them, rows that are single in train

    def p_value(self) -> float:
        """One-sided, for more train hits than chance: the smaller of two tests, times two.

        * Pieces of train and holdout are exchangeable if nothing leaks: a hit row that is single in c of P pieces
          is single in holdout with probability c / P. Few holdout hits speak against that (Poisson-binomial).
        * Where fresh rows never hit train and the synthetic table never hits holdout, every hit counts against the
          fresh rows (Fisher): in a table in which nobody shares a row, each copy is one.
        """
        pieces = len(self.chances)
        mass = np.ones(1)
        for single_in, kinds in enumerate(self.chances, start=1):
            if single_in < pieces and kinds:
                mass = np.convolve(mass, stats.binom.pmf(np.arange(kinds + 1), kinds, single_in / pieces))
        certain = self.chances[-1] if self.chances else 0
        given = float(mass[: max(self.holdout_hits - certain, 0) + 1].sum()) if len(mass) > 1 else 1.0
        against = 1.0
        if self.train_hits and not self.holdout_hits and not self.fresh_hits and self.fresh_rows:
            table = [[self.train_hits, max(self.synthetic_rows - self.train_hits, 0)], [0, self.fresh_rows]]
            against = float(stats.fisher_exact(np.array(table), "greater").pvalue)
        return min(1.0, 2.0 * min(given, against))


def singles(hashes: np.ndarray, entities: np.ndarray) -> np.ndarray:
    """Sorted hashes held by one entity only."""
    pairs = pd.DataFrame({"hash": hashes, "entity": entities}).drop_duplicates()
    unique, counts = np.unique(pairs["hash"].to_numpy(), return_counts=True)
    return unique[counts == 1]


def compare(hashes: dict[str, np.ndarray], entities: dict[str, np.ndarray], *, seed: int = 0) -> Hits:
    """Count hits from the row hashes (uint64) of train, holdout, reference and synthetic.

    ``entities`` has those of train and holdout, or is empty where they are not known for every row. Train is cut
    into pieces of as many entities as holdout has: what is single in a small sample is often common in a large one.
    """
    rng = generator(seed, "copies", "pieces")
    shuffled, codes = {}, {}
    for part in ("train", "holdout"):
        unique, inverse = np.unique(entities.get(part, np.arange(len(hashes[part]))), return_inverse=True)
        shuffled[part], codes[part] = rng.permutation(len(unique))[inverse], len(unique)
    size = max(min(codes.values()), 1)
    pieces = []
    for number in range(codes["train"] // size):
        inside = shuffled["train"] // size == number
        pieces.append(singles(hashes["train"][inside], shuffled["train"][inside]))
    inside = shuffled["holdout"] < size
    control = singles(hashes["holdout"][inside], shuffled["holdout"][inside])
    present, fresh = np.unique(hashes["synthetic"]), np.concatenate([hashes["holdout"], hashes["reference"]])
    hit = [piece[np.isin(piece, present)] for piece in [*pieces, control]]
    counts = np.unique(np.concatenate(hit), return_counts=True)[1]
    chances = tuple(int(n) for n in np.bincount(counts, minlength=len(hit) + 1)[1:])
    once = singles(hashes["train"], shuffled["train"])
    return Hits(sum(map(len, pieces)), len(control), sum(map(len, hit[:-1])), len(hit[-1]), chances,
                len(hashes["synthetic"]), len(fresh), int(np.isin(fresh, once).sum()))


def _hashes(evidence: TableEvidence, part: str, key: Callable[[pd.DataFrame], np.ndarray]) -> np.ndarray:
    batches = [key(batch) for batch in evidence.all_rows(part)]
    return np.concatenate(batches) if batches else np.zeros(0, np.uint64)


def near_key(binning: Binning) -> Callable[[pd.DataFrame], np.ndarray]:
    """Hash of a row with its numbers rounded to reference quantile bins."""

    def key(frame: pd.DataFrame) -> np.ndarray:
        codes = pd.DataFrame({name: binning.codes(frame, name) for name in binning.names})
        return pd.util.hash_pandas_object(codes, index=False).to_numpy(np.uint64)

    return key


def copies(evidence: TableEvidence, significance: float, exact_margin: float, near_margin: float) -> list[Finding]:
    """Exact copies over all rows, and near copies on the sampled frames."""
    whole = all(evidence.total(p) == len(getattr(evidence, p)) for p in ("train", "holdout"))
    parts = ("train", "holdout", "reference", "synthetic")
    exact = compare({p: _hashes(evidence, p, row_hashes) for p in parts},
                    dict(evidence.entities) if whole else {}, seed=evidence.seed)
    binning = Binning.fit(evidence.reference, evidence.schema, NEAR_BINS, 100_000)
    key = near_key(binning)
    near = compare({p: key(getattr(evidence, p)) for p in parts}, dict(evidence.entities), seed=evidence.seed)
    return [_finding("leakage.copies.exact", "Exact copies of single training rows", exact, significance, exact_margin,
                     "every row hashed"),
            _finding("leakage.copies.near", "Near copies of single training rows", near, significance, near_margin,
                     f"numbers rounded to {NEAR_BINS} reference quantiles, labels and missing cells exact")]


def _finding(identity: str, title: str, hits: Hits, significance: float, margin: float, method: str) -> Finding:
    p = hits.p_value()
    enough = hits.synthetic_rows >= SYNTHETIC_MINIMUM and hits.fresh_rows >= REAL_MINIMUM
    rate = hits.train_hits / max(hits.train_singles, 1)
    floor = hits.holdout_hits / max(hits.holdout_singles, 1)
    error = np.sqrt(rate * (1 - rate) / max(hits.train_singles, 1) + floor * (1 - floor) / max(hits.holdout_singles, 1))
    step = st.quantile(st.LEVEL) * float(error)
    # where chance makes no copies there is no margin; where it makes many, a good fit makes a few more
    margin = min(margin, 0.5 * floor)
    copied = p < significance and rate - floor > margin
    verdict = Verdict.INCONCLUSIVE if not enough else Verdict.FAIL if copied else Verdict.PASS
    if enough and hits.train_singles == 0:
        verdict = Verdict.INFO  # nobody has a row of their own: a copy cannot name anybody
    smallest = 3.0 / max(hits.train_singles, 1)
    return Finding(
        id=identity, title=title, value=st.number(rate, 4), low=st.number(rate - step, 4),
        high=st.number(rate + step, 4), unit="share of single rows", floor=st.number(floor, 4), n=st.rounded(
            hits.train_singles), verdict=verdict,
        method=f"{method}; single rows of train hit against single rows of holdout hit (exchangeable pieces), in "
               f"tables where rows are never shared by chance against fresh rows (Fisher); p = {p:.2g}; fails "
               f"below {significance:g} if the excess over the floor is above {margin:.3g}, too",
        power=f"about {max(10, round(4 * np.sqrt(max(hits.train_hits, 1)))):,} copies beyond chance (a share of "
              f"{max(smallest, 10 / max(hits.train_singles, 1)):.4f})",
        remedy="the generator reproduces training rows: train shorter, use more rows or a smaller model",
        detail={"p_value": float(f"{p:.3g}"), "fresh_rows_rate": st.number(
            hits.fresh_hits / max(hits.fresh_rows, 1), 4)})
