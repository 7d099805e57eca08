"""How often the gates stop planted faults and let a clean resample pass, on simulated populations.

    python -m tests.benchmarks.planted --rows 4000 16000 --seeds 20 --fault-seeds 5 [--kinds clean memorised ...]

A fault is judged by the gate meant for it, a clean table by all. Prints and writes one row a (population,
rows, kind): how many seeds passed, failed or stayed inconclusive, and the findings that stopped a table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.tabular.evidence import TableEvidence  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.validators import populations  # noqa: E402
from validators.finding import overall  # noqa: E402
from validators.gates import gates  # noqa: E402

PANEL = ("fidelity", "diversity", "downstream", "leakage")
FAULTS = {"memorised": (populations.memorised, "leakage"), "bootstrap": (populations.resampled, "leakage"),
          "2 % copied": (lambda e, seed: populations.partly_copied(e, seed, 0.02), "leakage"),
          "0.5 % copied": (lambda e, seed: populations.partly_copied(e, seed, 0.005), "leakage"),
          "collapsed": (populations.collapsed, "diversity"), "independent": (populations.independent, "fidelity"),
          "permuted labels": (populations.permuted_labels, "downstream")}


def judged(evidence: TableEvidence, panel: tuple[str, ...] = PANEL) -> dict:
    """Verdicts of the gates that need nothing but frames, and the findings that block."""
    start = time.process_time()
    results = [g.run(evidence, evidence.contract) for g in gates("tabular") if g.name in panel]
    return {"overall": str(overall(results)), "gates": {r.gate: str(r.verdict) for r in results},
            "blocking": [f.id for r in results for f in r.findings if f.verdict.blocks],
            "seconds": round(time.process_time() - start, 1)}


def one(kind: str, rows: int, seed: int, repeated: bool) -> dict:
    """Judge one planted table."""
    evidence = populations.evidence(rows, seed, repeated=repeated)
    panel = PANEL
    if kind != "clean":
        make, meant = FAULTS[kind]
        evidence, panel = replace(evidence, synthetic=make(evidence, seed)), (meant,)
    return {"kind": kind, "rows": rows, "seed": seed, "repeated": repeated, **judged(evidence, panel)}


def markdown(found: list[dict], command: str) -> str:
    """The results as a page: one row a kind of table."""
    machine = report.machine()
    lines = ["# Planted faults, and clean tables", "",
             "Simulated people (nine columns of all kinds, spikes, missing cells; train 60 %, holdout and reference "
             "20 % each; as many synthetic rows as train has). A clean table is a fresh draw of the population and "
             "faces every gate; a fault faces the gate meant for it. \"Inconclusive\" blocks like a failure: at a few "
             "thousand rows some interval of most tables, clean ones too, straddles its limit. \"Fail\" is said where "
             "the whole interval is beyond the limit.", "",
             f"Command: `{command}`", "",
             f"Machine: {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['cpu']}, {machine['date']}; "
             "one thread.", "",
             "| rows a person | real rows | table | gates | seeds | pass | fail | inconclusive | stopped by | CPU s |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for key in dict.fromkeys((f["repeated"], f["rows"], f["kind"]) for f in found):
        mine = [f for f in found if (f["repeated"], f["rows"], f["kind"]) == key]
        verdicts = Counter(f["overall"] for f in mine)
        blocked = Counter(b for f in mine for b in f["blocking"]).most_common(6)
        lines.append(f"| {'1 to 3' if key[0] else '1'} | {key[1]:,} | {key[2]} | "
                     f"{'all' if key[2] == 'clean' else FAULTS[key[2]][1]} | {len(mine)} | {verdicts['pass']} | "
                     f"{verdicts['fail']} | {verdicts['inconclusive']} | "
                     f"{', '.join(f'{name} ({count})' for name, count in blocked) or '-'} | "
                     f"{sum(f['seconds'] for f in mine) / len(mine):.1f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the grid and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[4_000, 16_000])
    parser.add_argument("--seeds", type=int, default=20, help="of clean tables")
    parser.add_argument("--fault-seeds", type=int, default=5)
    parser.add_argument("--repeated", type=int, default=5, help="seeds of clean tables with one to three rows a person")
    parser.add_argument("--kinds", nargs="+", default=["clean", *FAULTS])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "planted.md")
    a = parser.parse_args()
    command = " ".join(["python -m tests.benchmarks.planted", *sys.argv[1:]])
    grid = [(kind, rows, seed, False) for rows in sorted(a.rows, reverse=True) for kind in a.kinds
            for seed in range(a.seeds if kind == "clean" else a.fault_seeds)]
    grid += [("clean", max(a.rows), seed, True) for seed in range(a.repeated)]
    found: list[dict] = []
    for number, (kind, rows, seed, repeated) in enumerate(grid):
        found.append(one(kind, rows, seed, repeated))
        print(json.dumps(found[-1]), flush=True)
        if number + 1 == len(grid) or grid[number + 1][:2] != (kind, rows):
            a.out.write_text(markdown(found, command), encoding="utf-8")


if __name__ == "__main__":
    main()
