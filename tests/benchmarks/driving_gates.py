"""How often the gates of driving stop planted faults and let other real scenes of the same population pass.

    python -m tests.benchmarks.driving_gates --data sumo_a.npz sumo_b.npz --sizes 1000 4000 --seeds 10 --fault-seeds 3

``--data`` are archives of scenes (the arrays of ``synth.driving.scenes.Scenes``, their listings as parquet beside them)
whose entities are different people; without it toy traffic is simulated. Faults are judged by the gate meant for them,
clean sets by all. Each seed deals the entities anew: 30 % train,
15 % holdout, 15 % reference, and the rest, of which ``size`` scenes are drawn, are the clean synthetic set; a fault
changes that set. Real parts have about ``size``, half and half of it. Clean sets that come from few entities scatter
more than scenes drawn one by one, so the clean rate is told low rather than high.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract import Column, Contract, Role  # noqa: E402
from synth.driving.evidence import SceneEvidence  # noqa: E402
from synth.driving.scenes import Scenes, SceneShape  # noqa: E402
from synth.seeds import generator  # noqa: E402
from synth.tabular.schema import ColumnSchema, TableSchema  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.validators.driving import faults, traffic  # noqa: E402
from validators.driving.arms import joined, thinned  # noqa: E402
from validators.finding import Finding, GateResult, Verdict, overall  # noqa: E402
from validators.gates import gates  # noqa: E402

RATE = 5.0
DEAL = (0.3, 0.45, 0.6)  # edges of train, holdout, reference; the rest is synthetic
SPLIT = (0.6, 0.8, 1.0)  # the same where synthetic scenes come from elsewhere


def read(path: Path) -> Scenes:
    """One archive and its listing."""
    found = np.load(path, allow_pickle=False)
    table = pd.read_parquet(path.with_suffix(".parquet"))
    for name in table.columns:
        table[name] = table[name].astype(float) if table[name].dtype.kind in "if" else table[name].astype("str")
    arrays = {k: found[k] for k in ("states", "present", "sizes", "kinds", "road", "entities")}
    return Scenes(**arrays, table=table, shape=SceneShape(
        vehicles=arrays["present"].shape[1], steps=arrays["states"].shape[2], rate=RATE))


def described(scenes: Scenes) -> tuple[Contract, TableSchema]:
    """A contract and a schema for the listing as it is."""
    columns, kinds = [Column(name="trip", role=Role.IDENTIFIER)], []
    for name in scenes.table.columns:
        number = scenes.table[name].dtype.kind == "f"
        role = Role.NUMERIC if number else Role.CATEGORICAL
        columns.append(Column(name=name, role=role))
        kinds.append(ColumnSchema(name=name, role=role, nullable=False, integer=name == "lanes") if number else
                     ColumnSchema(name=name, role=role, nullable=False,
                                  values=tuple(sorted(scenes.table[name].unique()))))
    return traffic.contract(columns=tuple(columns)), TableSchema(columns=tuple(kinds))


def dealt(everything: Scenes, size: int, seed: int, fresh: Scenes | None = None) -> SceneEvidence:
    """Disjoint entities for every part."""
    people, inverse = np.unique(everything.entities, return_inverse=True)
    rng = generator(seed, "deal")
    edges = np.array(DEAL if fresh is None else SPLIT)
    part = np.searchsorted(edges * len(people), rng.permutation(len(people)), side="right")[inverse]
    contract, schema = described(everything)
    sets = [thinned(everything.take(part == number), most, rng)
            for number, most in enumerate((size, size // 2, size // 2, size)[: 3 + (fresh is None)])]
    sets += [thinned(fresh, size, rng)] if fresh is not None else []
    return SceneEvidence(contract=contract, schema=schema, seed=seed, train=sets[0], holdout=sets[1],
                         reference=sets[2], synthetic=traffic.alone(sets[3]))


def judged(evidence: SceneEvidence, names: list[str]) -> list[GateResult]:
    """The verdicts of the gates under their default limits."""
    return [g.run(evidence, evidence.contract) for g in gates("driving") if g.name in names]


def row(kind: str, found: list[list[GateResult]], seconds: float) -> str:
    """One line of the table."""
    verdicts = Counter(str(overall(results)) for results in found)
    failed = Counter(f.id for results in found for r in results for f in r.findings if f.verdict is Verdict.FAIL)
    unsure = Counter(f.id for results in found for r in results for f in r.findings
                     if f.verdict is Verdict.INCONCLUSIVE)
    words = [", ".join(f"{name} ({count})" for name, count in c.most_common(9)) or "-" for c in (failed, unsure)]
    counts = " | ".join(str(verdicts[v]) for v in ("pass", "fail", "inconclusive"))
    return f"| {kind} | {len(found)} | {counts} | {words[0]} | {words[1]} | {seconds / max(len(found), 1):.1f} |"


def figures(kind: str, found: list[list[GateResult]]) -> list[str]:
    """Of every finding over the seeds: mean, least and most, the worst end of its bounds, how often it passed."""
    by_id: dict[str, list[Finding]] = {}
    for results in found:
        for finding in (f for r in results for f in r.findings if f.value is not None):
            by_id.setdefault(finding.id, []).append(finding)
    lines = []
    for name, all_ in by_id.items():
        values = [float(f.value or 0) for f in all_]
        ends = [f.low if f.direction == "at least" else f.high for f in all_]
        known = [e for e in ends if e is not None]
        worst = (min(known) if all_[0].direction == "at least" else max(known)) if known else None
        passed = sum(not f.verdict.blocks for f in all_)
        lines.append(f"| {kind} | {name} | {np.mean(values):.3f} | {min(values):.3f} | {max(values):.3f} | "
                     f"{'-' if worst is None else f'{worst:.3f}'} | {all_[0].limit} | {passed}/{len(all_)} |")
    return lines


def main() -> None:
    """Run, print and write the page."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, nargs="*", default=[])
    ask.add_argument("--fresh", type=Path, help="archive that synthetic scenes are drawn from; real parts then: all")
    ask.add_argument("--sizes", type=int, nargs="*", default=[1_000, 4_000])
    ask.add_argument("--seeds", type=int, default=10)
    ask.add_argument("--fault-seeds", type=int, default=3)
    ask.add_argument("--kinds", nargs="*", default=None)
    ask.add_argument("--gates", nargs="*", default=[g.name for g in gates("driving")])
    ask.add_argument("--raw", type=Path, help="every finding, a line each, is added to this file")
    ask.add_argument("--out", type=Path, default=None)
    said = ask.parse_args()
    known = joined(*(read(p) for p in said.data)) if said.data else None
    fresh = read(said.fresh) if said.fresh else None
    kinds: dict[str, tuple[Callable[[SceneEvidence], Scenes], list[str]]] = {
        "clean": (lambda e: e.synthetic, said.gates)} | {k: (f, [g]) for k, (f, g) in faults.FAULTS.items()}
    lines, details = [], []
    for size in said.sizes:
        everything = known if known is not None else traffic.drives(round(size / 0.25), 1)
        for kind, (change, names) in kinds.items():
            if said.kinds is not None and kind not in said.kinds:
                continue
            found, start = [], time.process_time()
            for seed in range(said.seeds if kind == "clean" else said.fault_seeds):
                evidence = dealt(everything, size, seed, fresh)
                found.append(judged(replace(evidence, synthetic=change(evidence)), names))
            name = f"{kind}, {size:,}"
            if said.raw:
                with said.raw.open("a") as kept:
                    kept.writelines(json.dumps({"set": name, "seed": seed, "id": f.id, "value": f.value, "low": f.low,
                                                "high": f.high, "limit": f.limit, "verdict": f.verdict}) + "\n"
                                    for seed, results in enumerate(found) for r in results for f in r.findings)
            lines.append(row(name, found, time.process_time() - start))
            print(lines[-1], flush=True)
            if kind == "clean":
                details += figures(name, found)
                print(*figures(name, found), sep="\n", flush=True)
    if said.out:
        source = ", ".join(p.name for p in said.data) if said.data else "toy traffic"
        said.out.write_text("\n".join([
            f"## {source}", "", f"Command: `python -m tests.benchmarks.driving_gates {' '.join(sys.argv[1:])}`.", "",
            f"{report.machine()}, {date.today()}; seeds from 0.", "",
            "| set, scenes | seeds | pass | fail | inconclusive | failed by | left open by | CPU s |",
            "|---|---|---|---|---|---|---|---|", *lines, "",
            "| set | finding | mean | least | most | worst bound | limit | passed |",
            "|---|---|---|---|---|---|---|---|", *details, ""]))


if __name__ == "__main__":
    main()
