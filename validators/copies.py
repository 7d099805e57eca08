"""Copies and near copies: does the synthetic table hit single training rows more often than chance does?

Chance is what fresh real people do: holdout rows that nobody else has are hit by a leak-free synthetic
table as often as such training rows are, and fresh real rows hit training rows now and then, too. In a table of
many spikes chance makes so many hits that copies drown in them, and a generator that fits well makes a few more.
So all single rows are judged with a margin, and the rare ones (:mod:`validators.rarity`), which chance hardly
ever hits, once more: there the margin vanishes and each copy counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from validators.rarity import CHANCE, Exact, Rarity

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

    @property
    def rate(self) -> float:
        """Share of single training rows that the synthetic table has."""
        return self.train_hits / max(self.train_singles, 1)

    @property
    def floor(self) -> float:
        """The same of single holdout rows."""
        return self.holdout_hits / max(self.holdout_singles, 1)

    def detectable(self, significance: float, margin: float) -> int:
        """About how many copies of different people would stop a release, four times in five."""
        others = max(len(self.chances), 2) - 1
        kinds = self.floor * self.train_singles * (others + 1) / others  # hit by chance, in train and holdout
        fewest = np.log(significance / 2) / np.log(others / (others + 1))
        if not self.holdout_hits and not self.fresh_hits and self.synthetic_rows and self.fresh_rows:
            against = self.synthetic_rows / (self.synthetic_rows + self.fresh_rows)
            fewest = min(fewest, np.log(significance / 2) / np.log(against))
        # train hits less ``others`` times the holdout hits: mean c with c copies, spread sqrt(others (kinds + c)) by
        # the test's own hypothesis and sqrt(others kinds) in truth; solved for c
        spread = st.quantile(1 - significance / 2) ** 2 * others
        power = st.quantile(0.8) * np.sqrt(others * kinds)
        half = power + 0.5 * spread
        by_test = half + np.sqrt(max(half**2 - power**2 + spread * kinds, 0.0)) if kinds else 0.0
        return int(np.ceil(max(fewest, by_test, margin * self.train_singles + power)))

    def p_value(self) -> float:
        """One-sided, for more train hits than chance: the smaller of two tests, times two.

        * Pieces of train and holdout are exchangeable if nothing leaks: a hit row that is single in c of P pieces
          is single in holdout with probability c / P. Few holdout hits speak against that (Poisson-binomial).
        * Where the synthetic table never hits holdout, every hit counts against those of the fresh rows (Fisher): in
          a table in which nobody shares a row, each copy is one.
        """
        pieces = len(self.chances)
        mass = np.ones(1)
        for single_in, kinds in enumerate(self.chances, start=1):
            if single_in < pieces and kinds:
                mass = np.convolve(mass, stats.binom.pmf(np.arange(kinds + 1), kinds, single_in / pieces))
        certain = self.chances[-1] if self.chances else 0
        given = float(mass[: max(self.holdout_hits - certain, 0) + 1].sum()) if len(mass) > 1 else 1.0
        against = 1.0
        if self.train_hits and not self.holdout_hits and self.fresh_rows:
            table = [[self.train_hits, max(self.synthetic_rows - self.train_hits, 0)],
                     [self.fresh_hits, self.fresh_rows - self.fresh_hits]]
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


def near_key(binning: Binning) -> Callable[[pd.DataFrame], np.ndarray]:
    """Hash of a row with its numbers rounded to reference quantile bins."""

    def key(frame: pd.DataFrame) -> np.ndarray:
        codes = pd.DataFrame({name: binning.codes(frame, name) for name in binning.names})
        return pd.util.hash_pandas_object(codes, index=False).to_numpy(np.uint64)

    return key


def copies(evidence: TableEvidence, significance: float, exact_margin: float, near_margin: float, *,
           identity: str = "leakage.copies", sampled: bool = True, least_margin: float = 0.0) -> list[Finding]:
    """Exact copies over all rows and near copies on the sampled frames, each over all single rows and over rare ones.

    Without ``sampled`` near copies are looked for in all synthetic rows, too; an excess up to ``least_margin`` is let
    pass even where chance makes no copies. The two share ``significance`` (half each), so that it is the chance of a
    false alarm of exact or near copies.
    """
    whole = all(evidence.total(p) == len(getattr(evidence, p)) for p in ("train", "holdout"))
    binning = Binning.fit(evidence.reference, evidence.schema, NEAR_BINS, 100_000)
    kinds = (
        ("exact", row_hashes, Rarity(evidence.reference, evidence.schema, Exact.fit(
            evidence.reference, evidence.schema)), evidence.all_rows, whole, exact_margin, "every row hashed"),
        ("near", near_key(binning), Rarity(evidence.reference, evidence.schema, binning),
         lambda part: iter([getattr(evidence, part)]) if sampled or part != "synthetic" else evidence.all_rows(part),
         True, near_margin,
         f"numbers rounded to {NEAR_BINS} reference quantiles, labels and missing cells exact"))
    findings = []
    for kind, key, rarity, rows, people, margin, method in kinds:
        drawn = evidence.total("synthetic") if kind == "exact" or not sampled else len(evidence.synthetic)
        keyed = {p: _keyed(rows(p), key, rarity, drawn) for p in ("train", "holdout", "reference", "synthetic")}
        entities = dict(evidence.entities) if people else {}
        everybody = compare({p: h for p, (h, _) in keyed.items()}, entities, seed=evidence.seed)
        # which rows are rare was learned from reference: its own rows look less rare than they are, and stay out
        few = compare({p: h[r & (p != "reference")] for p, (h, r) in keyed.items()},
                      {p: e[keyed[p][1]] for p, e in entities.items() if p in keyed}, seed=evidence.seed)
        enough = everybody.synthetic_rows >= SYNTHETIC_MINIMUM and everybody.fresh_rows >= REAL_MINIMUM
        name, title = f"{identity}.{kind}", f"{kind.capitalize()} copies of single training rows"
        findings += [judged(name, title, everybody, significance / 2, (least_margin, margin), method, enough),
                     judged(f"{name}.rare", f"{title} that are rare", few, significance / 2, (least_margin, margin),
                            f"{method}; rows that a leak-free table hits with a chance below {CHANCE:g} by a tree of "
                            "columns (Chow and Liu) fitted on untouched rows", enough)]
    return findings


def _keyed(batches: Iterator[pd.DataFrame], key: Callable[[pd.DataFrame], np.ndarray], rarity: Rarity,
           rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all rows, and which of the rows are rare."""
    found = [(key(batch), rarity.rare(batch, rows)) for batch in batches]
    if not found:
        return np.zeros(0, np.uint64), np.zeros(0, bool)
    return np.concatenate([h for h, _ in found]), np.concatenate([r for _, r in found])


def judged(identity: str, title: str, hits: Hits, significance: float, margins: tuple[float, float], method: str,
           enough: bool) -> Finding:
    """Single rows hit, of train against holdout: fails where significant and above the margin (the larger one only as
    far as chance makes copies at all)."""
    p, rate, floor = hits.p_value(), hits.rate, hits.floor
    error = np.sqrt(rate * (1 - rate) / max(hits.train_singles, 1) + floor * (1 - floor) / max(hits.holdout_singles, 1))
    step = st.quantile(st.LEVEL) * float(error)
    # where chance makes no copies there is no margin; where it makes many, a good fit makes a few more
    margin = max(margins[0], min(margins[1], 0.5 * floor))
    copied = p < significance and rate - floor > margin
    verdict = Verdict.INCONCLUSIVE if not enough else Verdict.FAIL if copied else Verdict.PASS
    if enough and hits.train_singles == 0:
        verdict = Verdict.INFO  # nobody has a row of their own: a copy cannot name anybody
    smallest = hits.detectable(significance, margin)
    return Finding(
        id=identity, title=title, value=st.number(rate, 4), low=st.number(max(rate - step, 0.0), 4),
        high=st.number(rate + step, 4), unit="share of these rows", floor=st.number(floor, 4), n=st.rounded(
            hits.train_singles), verdict=verdict,
        method=f"{method}; single rows of train hit against single rows of holdout hit (exchangeable pieces), where "
               f"no holdout row is hit against fresh rows, too (Fisher); p = {p:.2g}; fails below {significance:g} if "
               f"the excess over the floor is above {margin:.3g}, too",
        power=f"about {smallest:,} copies beyond chance (a share of {smallest / max(hits.train_singles, 1):.4f})",
        remedy=("the generator reproduces training rows: train shorter, use more rows or a smaller model" if enough
                else f"provide at least {SYNTHETIC_MINIMUM} synthetic and {REAL_MINIMUM} untouched rows"),
        detail={"p_value": float(f"{p:.3g}"), "fresh_rows_rate": st.number(
            hits.fresh_hits / max(hits.fresh_rows, 1), 4)})
