"""What the distance test can see: smoothers of graded bandwidth, copies, and innocent tables.

    python -m tests.benchmarks.nearness --rows 16000 --seeds 3 [--populations mixed spikes survey]

A smoother of bandwidth h takes each training row once, adds noise of h standard deviations to its numbers (values that
1 % of the column share stay) and redraws each cell from its column with chance h. The share of synthetic rows nearer to
train than to holdout is set beside what the attacks on membership reach on the same tables, so that the margin of the
test can be put where they reach their own limit. Populations: ``mixed`` (nine columns), ``spikes`` (see
:mod:`tests.benchmarks.copies`), ``survey`` (the demo's table; fresh rows are a part of it held back).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.seeds import generator  # noqa: E402
from synth.tabular.evidence import PARTS, TableEvidence  # noqa: E402
from synth.tabular.schema import TableSchema  # noqa: E402
from tests.benchmarks import copies, datasets, report  # noqa: E402
from tests.validators import populations  # noqa: E402
from validators import leakage  # noqa: E402
from validators.finding import Verdict  # noqa: E402

BANDWIDTHS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
COPIED = (0.01, 0.02, 0.05, 0.2)
FIGURES = {"leakage.distance": "share nearer to train", "leakage.membership.auc": "membership AUC",
           "leakage.membership.tpr": "found at 1 %", "leakage.isolated.auc": "isolated AUC"}


def survey(rows: int, seed: int) -> TableEvidence:
    """The demo's table without its constant columns: 3/8 train, 1/8 holdout, 1/8 reference, 3/8 fresh rows."""
    from synth.tabular.demo import materialise

    with tempfile.TemporaryDirectory() as folder:
        frame = pd.read_csv(materialise(Path(folder))).drop(columns=["data_id", "treat"])
    frame = frame.iloc[generator(seed, "survey").permutation(len(frame))[:rows]].reset_index(drop=True)
    labels = {n for n in frame if frame[n].nunique() <= 2}
    frame = datasets.working_frame(frame, labels)
    edges = np.cumsum([0, *(int(share * len(frame)) for share in (0.375, 0.125, 0.125, 0.375))])
    parts = [frame.iloc[a:b].reset_index(drop=True) for a, b in itertools.pairwise(edges)]
    frames = dict(zip((*PARTS, "synthetic"), parts, strict=True))
    return TableEvidence(contract=populations.contract(columns=(), target=None, task=None), seed=seed,
                         schema=datasets.make_schema(frame),
                         entities={p: np.arange(len(frames[p])) for p in PARTS}, **frames)


POPULATIONS: dict[str, Callable[[int, int], TableEvidence]] = {
    "mixed": populations.evidence, "spikes": copies.evidence, "survey": survey}


def smoothed(train: pd.DataFrame, schema: TableSchema, bandwidth: float, seed: int) -> pd.DataFrame:
    """Every training row once, blurred by ``bandwidth``."""
    rng, out = generator(seed, "smoother"), train.copy()
    for column in schema.columns:
        cells = train[column.name]
        if column.is_number:
            values = cells.to_numpy(float)
            shares = cells.map(cells.value_counts(normalize=True)).to_numpy(float)
            noisy = values + bandwidth * np.nanstd(values) * rng.standard_normal(len(values))
            digits = 0 if column.integer or column.unit else column.decimals
            noisy = noisy if digits is None else np.round(noisy, digits)
            cells = pd.Series(np.where(shares >= 0.01, values, noisy))
        other = train[column.name].to_numpy()[rng.permutation(len(train))]
        out[column.name] = pd.Series(np.where(rng.random(len(train)) < bandwidth, other, cells.to_numpy()))
    return out.astype(dict(train.dtypes))


def tables(e: TableEvidence, seed: int) -> dict[str, pd.DataFrame]:
    """Every table that is judged, by name."""
    found = {"fresh rows": e.synthetic}
    found |= {f"{100 * share:g} % copied": populations.partly_copied(e, seed, share) for share in COPIED}
    found |= {f"smoother {h:g}": smoothed(e.train, e.schema, h, seed) for h in BANDWIDTHS}
    return found


def one(e: TableEvidence) -> dict[str, object]:
    """Figures of the distance test and the attacks, and which other findings of the gate stop the table."""
    result = leakage.run(e, leakage.Limits())
    by = {f.id: f for f in result.findings}
    return {**{FIGURES[i]: by[i].value for i in FIGURES},
            "high": {FIGURES[i]: by[i].high for i in FIGURES}, "low": by["leakage.distance"].low,
            "stopped": sorted(f.id.removeprefix("leakage.") for f in result.findings if f.verdict is Verdict.FAIL)}


def markdown(found: list[dict], command: str) -> str:
    """One row a population and table: means over seeds."""
    machine = report.machine()
    lines = ["# What the distance test sees", "", *str(__doc__).strip().splitlines()[4:], "",
             "Means over seeds. \"stopped\": in how many seeds the distance test stopped the table, and in how many "
             "another finding of the gate did. The share cannot exceed one half plus half the share of train that the "
             "comparison takes (a third here).", "",
             f"Command: `{command}`", "",
             f"Machine: {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['cpu']}, {machine['date']}.",
             "", f"| population | table | seeds | {' | '.join(FIGURES.values())} | stopped by distance | by others |",
             "|---|---|---|" + "---|" * (len(FIGURES) + 2)]
    for key in dict.fromkeys((f["population"], f["table"]) for f in found):
        mine = [f for f in found if (f["population"], f["table"]) == key]
        means = [sum(f[name] for f in mine) / len(mine) for name in FIGURES.values()]
        stopped = sum("distance" in f["stopped"] for f in mine)
        others = sum(bool(set(f["stopped"]) - {"distance"}) for f in mine)
        lines.append(f"| {key[0]} | {key[1]} | {len(mine)} | {' | '.join(f'{m:.3f}' for m in means)} | {stopped} | "
                     f"{others} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the grid and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--populations", nargs="+", default=list(POPULATIONS), choices=list(POPULATIONS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "nearness.md")
    a = parser.parse_args()
    command, found = " ".join(["python -m tests.benchmarks.nearness", *sys.argv[1:]]), []
    for population in a.populations:
        for seed in range(a.seeds):
            e = POPULATIONS[population](a.rows, seed)
            for name, table in tables(e, seed).items():
                start = time.process_time()
                figures = one(replace(e, synthetic=table))
                found.append({"population": population, "table": name, "seed": seed, **figures})
                print(json.dumps({**found[-1], "cpu_seconds": round(time.process_time() - start, 1)}), flush=True)
        a.out.write_text(markdown(found, command), encoding="utf-8")


if __name__ == "__main__":
    main()
