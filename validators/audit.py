"""An audit of a privacy claim in one run: guesses about planted records give a lower bound of epsilon.

``m`` canaries are each put into the private table or left out by a coin. Whoever sees what was measured gives every
canary a score, says "in" of the highest and "out" of the lowest (``r`` guesses, a number fixed before), and if more
guesses are right than a mechanism of the claimed epsilon allows, the claim is wrong (Steinke, Nasr, Jagielski,
"Privacy auditing with one (1) training run", 2023, theorem 5.2). The bound has a ceiling, what all guesses right
would show: an audit that cannot contradict a claim does not support it either.

The auditor is given everything but the coins: all other rows, and the noisy counts themselves. The audited
measurement is thrown away; nothing that is released ever holds a canary.

Guesses cannot tell a quarter of a large noise from all of it, so the noise itself is looked at, too: what was measured
less what all rows and canaries add is nothing but noise, whose squares have a chi-squared distribution. Canaries show
what that cannot: records that count more than once, units that are none, rows that should not have been looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom, chi2

from synth.contract.model import Attacks, Budget, Contract, Unit
from synth.gan.private import noise
from synth.gan.private.accounting import Account
from synth.tabular.evidence import TableEvidence
from synth.tabular.private.axes import public_schema, start
from synth.tabular.private.find import lacking
from synth.tabular.private.measure import Measured, kept, measure
from synth.tabular.schema import ColumnSchema, TableSchema
from validators import statistics as st
from validators.finding import Finding, Verdict

IDENTITY = "leakage.audit"
CANARIES, GUESSES = 1_000, 100
CONFIDENCE = 0.95
SUSPECTED = 0.5  # of the claimed noise, which coins are told by: hardly worse where it is all there, better where not
QUIET = 1e-4  # chance that right noise is called too little

Measure = Callable[[pd.DataFrame, np.ndarray], Measured]  # (rows, whose each is) -> what was measured


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the guesses showed."""

    canaries: int
    guesses: int
    correct: int
    claimed: float
    lower_bound: float  # of epsilon, at 95 % confidence
    ceiling: float  # the bound if all guesses had been right
    runs: int = 1  # measurements that share the canaries out
    cells: int = 0  # noisy numbers that were looked at
    noise: float = 1.0  # their noise (root of the mean square) as a share of what is claimed

    @property
    def quiet(self) -> bool:
        """Whether there is less noise than claimed."""
        return self.cells > 0 and float(chi2.cdf(self.cells * self.noise**2, self.cells)) < QUIET

    @property
    def seen(self) -> float:
        """The largest share of the claimed noise that is called too little."""
        return float((chi2.ppf(QUIET, self.cells) / self.cells) ** 0.5) if self.cells else 0.0

    @property
    def contradicts(self) -> bool:
        """Whether the claim is wrong, as far as 95 % confidence goes, or its noise is not there."""
        return self.quiet or self.lower_bound > self.claimed

    @property
    def could_contradict(self) -> bool:
        """Whether any outcome would have contradicted the claim."""
        return self.ceiling > self.claimed

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the record."""
        return {**asdict(self), "confidence": CONFIDENCE, "contradicts": self.contradicts, "quiet": self.quiet,
                "could_contradict": self.could_contradict, "method": "white box (Steinke et al. 2023)"}


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Largest probability that an (epsilon, delta) mechanism lets so many guesses be right."""
    right = 1 / (1 + np.exp(-epsilon))
    tail = float(binom.sf(correct - 1, guesses, right))
    below = np.cumsum(binom.pmf(correct - np.arange(1, correct + 1), guesses, right))
    worst = float((below / np.arange(1, correct + 1)).max()) if correct else 0.0
    return min(1.0, tail + 2 * canaries * delta * worst)


def lower_bound(canaries: int, guesses: int, correct: int, delta: float) -> float:
    """The largest epsilon that this many right guesses rule out."""
    low, high = 0.0, 50.0
    if p_value(canaries, guesses, correct, low, delta) > 1 - CONFIDENCE:
        return 0.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(canaries, guesses, correct, middle, delta) <= 1 - CONFIDENCE else (
            low, middle)
    return low


def plant(schema: TableSchema, many: int, rng: np.random.Generator) -> pd.DataFrame:
    """Canaries: rows drawn evenly over the declared domain, so that hardly anybody shares their cells."""
    axes = start(schema)
    columns = {}
    for axis in axes:
        if axis.grid is None:
            columns[axis.name] = pd.Series(rng.choice(np.array(axis.labels, dtype=object), many), dtype="str")
        else:
            values = axis.grid.low + axis.grid.step * rng.integers(0, axis.grid.points, many)
            columns[axis.name] = pd.Series(values.astype(float))
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Left:
    """A measurement less what everybody but the canaries adds."""

    counts: np.ndarray  # (cells,)
    theirs: np.ndarray  # (canaries,) cell of each
    scale: float  # claimed deviation of the noise


def remainders(found: Measured, rows: pd.DataFrame, canaries: pd.DataFrame) -> list[Left]:
    """What ``rows`` leave of each measurement."""
    cells, theirs = (np.stack([a.encode(f[a.name]) for a in found.axes], 1) for f in (rows, canaries))
    sizes, left = [a.size for a in found.axes], []
    for m in found.measurements:
        flat, mine = (np.ravel_multi_index(tuple(c[:, list(m.clique)].T), [sizes[j] for j in m.clique])
                      for c in (cells, theirs))
        left.append(Left(m.counts.reshape(-1) - np.bincount(flat, minlength=m.counts.size), mine, m.scale))
    return left


def memberships(left: list[Left], canaries: int, *, each: int = 1) -> np.ndarray:
    """For each canary how surely it is in, given all other rows: the posterior mean of its coin.

    Canaries share cells, so their coins are estimated together, as normal numbers of a coin's mean and variance. A
    canary stands for ``each`` equal rows.
    """
    precision, pull = 4 * np.eye(canaries), np.zeros(canaries)
    for m in left:
        half = each * np.bincount(m.theirs, minlength=len(m.counts)) / 2  # what is expected of the canaries
        precision += (m.theirs[:, None] == m.theirs[None, :]) * (each / (SUSPECTED * m.scale)) ** 2
        pull += each * (m.counts - half)[m.theirs] / (SUSPECTED * m.scale) ** 2
    return np.asarray(np.linalg.solve(precision, pull))


def noises(left: list[Left], inside: np.ndarray, *, each: int = 1) -> np.ndarray:
    """The noise of every measured cell as a multiple of its claimed deviation; ``inside``: canaries that are in."""
    return np.concatenate([np.zeros(0), *(
        (m.counts - each * np.bincount(m.theirs[inside], minlength=len(m.counts))) / m.scale for m in left)])


def audit(rows: pd.DataFrame, units: np.ndarray, schema: TableSchema, budget: Budget, *, canaries: int = CANARIES,
          guesses: int = GUESSES, each: int = 1, measured: Measure | None = None) -> Audit:
    """Audit the measurement of a table under a budget.

    Every canary is a unit of its own with ``each`` equal rows (more than ``contributions`` shows whether the bound on
    them holds). ``measured`` is what is audited; by default the measurement of a run.
    """
    rng = np.random.default_rng(noise.seed())
    mine = kept(units, budget)  # so that all of it is used
    rows, units = rows.iloc[mine].reset_index(drop=True), units[mine]
    planted = plant(schema, canaries, rng)
    inside = rng.random(canaries) < 0.5
    shown = np.repeat(np.flatnonzero(inside), each)
    joined = pd.concat([rows, planted.iloc[shown]], ignore_index=True)
    owners = np.concatenate([units, int(units.max(initial=0)) + 1 + shown])
    order = rng.permutation(len(joined))
    run = measured or (lambda frame, whose: measure(frame, schema, whose, budget,
                                                    Account(budget.epsilon, budget.delta)))
    found = run(joined.iloc[order].reset_index(drop=True), owners[order])
    most = each if measured is not None else counted(each, budget)
    left = remainders(found, rows, planted)
    return guessed(memberships(left, canaries, each=most), inside, guesses, budget, rng,
                   left=noises(left, inside, each=most))


def counted(each: int, budget: Budget) -> int:
    """Of a canary's ``each`` equal records, how many are measured."""
    return min(each, budget.contributions) if budget.unit is Unit.ENTITY else each


def guessed(score: np.ndarray, inside: np.ndarray, guesses: int, budget: Budget, rng: np.random.Generator, *,
            left: np.ndarray, runs: int = 1) -> Audit:
    """What guesses by ``score`` show of coins ``inside`` [canaries]: "in" of the highest, "out" of the lowest.

    ``left``: the noise of what was measured, as multiples of what is claimed.

    Canaries of several ``runs`` may be guessed together: each is in one measurement only, and measurements of different
    records are together as private as one.
    """
    canaries, half = len(inside), guesses // 2
    ranked = np.lexsort((rng.random(canaries), score))
    correct = int(inside[ranked[-half:]].sum() + (~inside[ranked[:half]]).sum())
    return Audit(canaries=canaries, guesses=2 * half, correct=correct, claimed=budget.epsilon, runs=runs,
                 lower_bound=lower_bound(canaries, 2 * half, correct, budget.delta),
                 ceiling=lower_bound(canaries, 2 * half, 2 * half, budget.delta), cells=left.size,
                 noise=float(np.square(left).mean() ** 0.5) if left.size else 1.0)


def declared(evidence: TableEvidence) -> TableSchema:
    """The public schema; what a run found with noise is taken as it is, since it is not what is audited."""
    found = set(lacking(evidence.contract))
    public = public_schema(evidence.contract, evidence.schema)
    return TableSchema(columns=tuple(_spanned(evidence, c.name) if c.name in found else c for c in public.columns))


def _spanned(evidence: TableEvidence, name: str) -> ColumnSchema:
    column = evidence.schema[name]
    if not column.is_number:
        return column
    values = evidence.train[name].dropna()
    return replace(column, minimum=float(values.min()) if len(values) else 0.0,
                   maximum=float(values.max()) if len(values) else 0.0,
                   decimals=column.decimals if column.unit is not None else column.decimals or 0)


def asked(contract: Contract) -> bool:
    """Whether the contract wants its promise audited: by name, or because it asks for the release-grade attacks."""
    return contract.budget is not None and (contract.budget.audit or contract.attacks is Attacks.RELEASE)


def audited(evidence: TableEvidence) -> list[Finding]:
    """The audit of a run's measurement, if asked for: a veto, and never a proof.

    What is audited is the measurement that this code makes of these train rows, made once more with canaries among
    them; the measurement that was released holds none.
    """
    budget = evidence.contract.budget
    if budget is None or not asked(evidence.contract):
        return []
    found = audit(evidence.train, evidence.entities["train"], declared(evidence), budget)
    return [finding(found, "all else and the noisy counts")]


def finding(found: Audit, known: str) -> Finding:
    """An audit as a finding of the leakage gate; ``known`` is what the guesser has."""
    verdict = Verdict.FAIL if found.contradicts else Verdict.PASS if found.could_contradict else Verdict.INFO
    return Finding(
        id=IDENTITY, title="Epsilon that an audit with planted records shows at least", verdict=verdict,
        value=st.number(found.lower_bound), low=st.number(found.lower_bound), high=None, unit="epsilon",
        limit=found.claimed, n=found.canaries,
        method=f"{found.canaries:,} canaries put into {_measurements(found.runs)} that of this run or left out by a "
               f"coin; {found.correct} of {found.guesses} guesses right by who knows {known} (Steinke, "
               "Nasr, Jagielski 2023); lower bound with 95 % confidence. The noise of "
               f"{found.cells:,} cells is {found.noise:.3f} of what is claimed (chi-squared test at {QUIET:g}). What "
               "was measured with canaries is thrown away",
        power=f"all guesses right would show an epsilon of {found.ceiling:.2f}"
              + ("" if found.could_contradict else ": no outcome could have contradicted the claim")
              + f"; noise of less than {found.seen:.2f} of what is claimed would have been seen",
        remedy="the promise is broken: do not release, and find the fault in the noise" if found.contradicts else "",
        detail={"audit": found.to_json()})


def _measurements(runs: int) -> str:
    return "a measurement like" if runs == 1 else f"{runs} measurements like"
