"""How often the gates stop planted faults and let a clean resample pass, on simulated populations.

    python -m tests.benchmarks.planted --rows 5000 16000 --seeds 20 [--repeated] [--kinds clean memorised ...]

A fault is judged by the gate meant for it, a clean table by all. Prints and writes one row a (population,
rows, kind): how many seeds passed, failed or stayed inconclusive, and the findings that stopped a clean table.
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
from tests.validators import populations  # noqa: E402
from validators.finding import overall  # noqa: E402
from validators.gates import gates  # noqa: E402

PANEL = ("fidelity", "diversity", "downstream", "leakage")
FAULTS = {"memorised": (populations.memorised, "leakage"), "bootstrap": (populations.resampled, "leakage"),
          "copied": (lambda e, seed: populations.partly_copied(e, seed, 0.02), "leakage"),
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


def main() -> None:
    """Run the grid and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 16_000])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--repeated", action="store_true", help="one to three rows a person")
    parser.add_argument("--kinds", nargs="+", default=["clean", *FAULTS])
    parser.add_argument("--out", type=Path, default=None, help="JSON lines, one judged table each")
    a = parser.parse_args()
    for rows in a.rows:
        for kind in a.kinds:
            found = []
            for seed in range(a.seeds):
                found.append(one(kind, rows, seed, a.repeated))
                if a.out is not None:
                    with a.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found[-1]) + "\n")
            verdicts = Counter(f["overall"] for f in found)
            meant = "" if kind == "clean" else \
                f", {FAULTS[kind][1]} fails in {sum(f['gates'][FAULTS[kind][1]] == 'fail' for f in found)}"
            blocked = Counter(b for f in found for b in f["blocking"]) if kind == "clean" else {}
            print(f"{rows:6} rows {kind:16} {dict(verdicts)} of {a.seeds}{meant} {dict(blocked) or ''} "
                  f"{sum(f['seconds'] for f in found) / len(found):.1f} s each", flush=True)


if __name__ == "__main__":
    main()
