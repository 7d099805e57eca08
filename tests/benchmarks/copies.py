"""How many copied people the copies gate finds where chance makes many copies: a table of spikes.

    python -m tests.benchmarks.copies --rows 16000 --seeds 20

Simulated earnings of three years (zero, top-coded, or with cents of their own) and six narrow columns. The synthetic
table is a fresh draw of the population in which a share of the rows is replaced by single training rows: by any, or
by *common* ones, all of whose earnings are spikes, which is where the gate is weakest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract.model import Role  # noqa: E402
from synth.seeds import generator  # noqa: E402
from synth.tabular.evidence import PARTS, TableEvidence  # noqa: E402
from synth.tabular.schema import ColumnSchema, TableSchema  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.validators import populations  # noqa: E402
from validators.copies import copies  # noqa: E402
from validators.diversity import row_hashes  # noqa: E402
from validators.finding import Verdict  # noqa: E402
from validators.leakage import Limits  # noqa: E402

EARNINGS = {"first year": 25_862.32, "second year": 25_243.55, "third year": 25_564.67}
NUMBERS, FLAGS = ("age", "school", *EARNINGS), ("black", "hispanic", "married", "no degree")
SCHEMA = TableSchema(columns=(
    *(ColumnSchema(name=n, role=Role.NUMERIC, nullable=False, decimals=2 if n in EARNINGS else 0) for n in NUMBERS),
    *(ColumnSchema(name=n, role=Role.BOOLEAN, nullable=False, values=("no", "yes")) for n in FLAGS)))
SHARES = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05)


def people(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Fresh people."""
    age = np.clip(np.round(16 + rng.gamma(2.2, 8, rows)), 16, 55)
    school = np.clip(np.round(rng.normal(12, 2.8, rows)), 0, 18)
    ability = rng.normal(0, 1, rows) + (age - 33) / 25 + (school - 12) / 9
    black = rng.random(rows) < 0.07
    hispanic, married = ~black & (rng.random(rows) < 0.07), rng.random(rows) < 1 / (1 + np.exp((24 - age) / 5))
    frame = pd.DataFrame({"age": age, "school": school})
    for name, top in EARNINGS.items():
        value = np.minimum(14_000 + 8_000 * (ability + 0.5 * rng.normal(0, 1, rows)), top)
        frame[name] = np.where((value < 0) | (rng.random(rows) < 0.05), 0.0, np.round(value, 2))
    for name, flag in zip(FLAGS, (black, hispanic, married, school < 12), strict=True):
        frame[name] = pd.Series(np.where(flag, "yes", "no"), dtype="str")
    return frame


def evidence(rows: int, seed: int) -> TableEvidence:
    """Train 60 %, holdout and reference 20 % each, and as many fresh synthetic rows as train has."""
    rng = generator(seed, "copies benchmark")
    frames = {p: people(int(s * rows), rng) for p, s in (*zip(PARTS, (0.6, 0.2, 0.2), strict=True), ("synthetic", 0.6))}
    return TableEvidence(contract=populations.contract(), schema=SCHEMA, seed=seed,
                         entities={p: np.arange(len(frames[p])) for p in PARTS}, **frames)


def planted(e: TableEvidence, share: float, common: bool, seed: int) -> TableEvidence:
    """``share`` of the synthetic rows replaced by single training rows."""
    _, inverse, counts = np.unique(row_hashes(e.train), return_inverse=True, return_counts=True)
    candidates = counts[inverse] == 1
    if common:
        candidates &= np.logical_and.reduce([e.train[n].isin([0.0, top]) for n, top in EARNINGS.items()])
    rows = generator(seed, "planted").permutation(np.flatnonzero(candidates))[: int(share * len(e.synthetic))]
    return replace(e, synthetic=pd.concat([e.train.iloc[rows], e.synthetic.iloc[len(rows):]], ignore_index=True))


def found(e: TableEvidence) -> Mapping[str, bool]:
    """Which findings stop the table."""
    limits = Limits()
    return {f.id.removeprefix("leakage.copies."): f.verdict is Verdict.FAIL
            for f in copies(e, limits.copies, limits.copies_excess, limits.near_excess)}


def main() -> None:
    """Run the grid and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "copies.md")
    a = parser.parse_args()
    machine, kinds = report.machine(), ("exact", "exact.rare", "near", "near.rare")
    lines = ["# Copies among spikes", "", *str(__doc__).strip().splitlines()[4:], "",
             f"In each cell: how many of {a.seeds} tables ({a.rows:,} real rows) the finding stopped.", "",
             f"Command: `{' '.join(['python -m tests.benchmarks.copies', *sys.argv[1:]])}`", "",
             f"Machine: {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['cpu']}, {machine['date']}.",
             "", f"| copied rows | of | any finding | {' | '.join(kinds)} |", "|---|---|---|---|---|---|---|"]
    tables = [evidence(a.rows, seed) for seed in range(a.seeds)]
    for common in (False, True):
        for share in SHARES[common:]:
            hits = [found(planted(e, share, common, seed)) for seed, e in enumerate(tables)]
            lines.append(f"| {100 * share:g} % | {'common rows' if common else 'any row'} | "
                         f"{sum(any(h.values()) for h in hits)} | "
                         f"{' | '.join(str(sum(h[k] for h in hits)) for k in kinds)} |")
            print(lines[-1], flush=True)
    a.out.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
