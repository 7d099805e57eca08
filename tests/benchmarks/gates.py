"""How often each gate stops each generator, on real tables: ``python -m tests.benchmarks.gates --data DIR``.

The rows of a set are dealt out anew for each seed: 45 % train, 15 % holdout, 15 % reference, 25 % kept as a
fresh sample of the population, which is what the best possible generator would release. Every generator gives
as many rows as the fresh sample has. Independent columns must be stopped by fidelity or downstream, a bootstrap
of train by leakage; the fresh sample should pass. Finished (set, generator, seed) rows are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth import seeds  # noqa: E402
from synth.contract.model import Column, Contract, Privacy, Role, Task  # noqa: E402
from synth.tabular.evidence import PARTS, TableEvidence  # noqa: E402
from tests.benchmarks import datasets, report  # noqa: E402
from tests.benchmarks.baselines import BASELINES  # noqa: E402

SHARES = (0.45, 0.15, 0.15, 0.25)
GENERATORS = ("fresh", "train", *BASELINES)
TITLES = {"fresh": "fresh sample of the population", "train": "the training rows themselves",
          "independent": "independent columns", "copula": "Gaussian copula", "bootstrap": "bootstrap of train"}


def contract_of(data: datasets.Dataset) -> Contract:
    """A contract in memory: labels are quasi-identifiers, the target is sensitive."""
    columns = tuple(
        Column(name=c.name, role=c.role, required=not c.nullable, values=c.values or None,
               privacy=Privacy.SENSITIVE if c.name == data.target
               else Privacy.QUASI if c.role is Role.CATEGORICAL else Privacy.NONE)
        for c in data.schema.columns)
    return Contract(name=data.name, version="1.0.0", domain="tabular", path=Path(f"{data.name}.yaml"), digest="0" * 64,
                    description="", source="", columns=columns, target=data.target, task=Task(data.task))


def deal(data: datasets.Dataset, seed: int, cap: int) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Rows and entities of train, holdout, reference and fresh, disjoint by entity; at most ``cap`` rows in all."""
    rows = pd.concat([data.train, data.test], ignore_index=True)
    entities = (np.arange(len(rows)) if data.train_groups is None or data.test_groups is None
                else np.concatenate([data.train_groups, data.test_groups])).astype(np.int64)
    names = seeds.generator(seed, "deal").permutation(np.unique(entities))
    names = names[: int(len(names) * min(1.0, cap / len(rows)))]
    cuts = (np.cumsum(SHARES)[:-1] * len(names)).astype(int)
    parts = {}
    for part, chosen in zip((*PARTS, "fresh"), np.split(names, cuts), strict=True):
        mask = np.isin(entities, chosen)
        parts[part] = (rows[mask].reset_index(drop=True), entities[mask])
    return parts


def judge_one(data: datasets.Dataset, generator: str, seed: int, cap: int) -> dict:
    """Verdicts of all gates on one generator's rows, with the findings that stopped it."""
    from validators.finding import overall
    from validators.gates import judge

    parts = deal(data, seed, cap)
    train, fresh = parts["train"][0], parts["fresh"][0]

    def draw(rows: int, stream: int) -> pd.DataFrame:
        if generator in BASELINES:
            return BASELINES[generator](train, rows, stream)
        source = fresh if generator == "fresh" else train
        order = seeds.generator(stream, "draw").permutation(len(source))
        return source.iloc[np.resize(order, rows)].reset_index(drop=True)

    contract = contract_of(data)
    # a model to ask again exists for the baselines only: fresh rows cannot be drawn twice
    again = draw if generator in BASELINES else None
    evidence = TableEvidence(contract=contract, schema=datasets.make_schema(pd.concat([train, fresh])),
                             train=train, holdout=parts["holdout"][0], reference=parts["reference"][0],
                             synthetic=draw(len(fresh), seed), entities={p: parts[p][1] for p in PARTS}, seed=seed,
                             sample_again=again)
    start = time.perf_counter()
    results = judge(evidence, contract, "tabular")
    return {"set": data.name, "model": generator, "seed": seed, "rows": len(fresh), "verdict": overall(results),
            "gates": {r.gate: r.verdict for r in results},
            "stopped_by": sorted(f.id for r in results for f in r.findings if f.verdict.blocks),
            "seconds": {r.gate: round(r.seconds, 1) for r in results}, "all_seconds": time.perf_counter() - start,
            "machine": report.machine()}


def markdown(rows: list[dict], command: str) -> str:
    """How often each gate stopped each generator, and by what."""
    out = ["# The gates on known generators", "",
           "In each cell: in how many of the seeds the gate stopped the generator (\"fail\" or \"inconclusive\"; the "
           "latter in brackets). The last column names the findings that did, most frequent first.", "",
           f"Command: `{command}`", ""]
    m = rows[-1]["machine"]
    out += [f"Machine: {m['cores']} cores, {m['memory_gib']} GiB, {m['cpu']}, {m['date']}.", ""]
    for name in dict.fromkeys(r["set"] for r in rows):
        here = [r for r in rows if r["set"] == name]
        panel = list(here[0]["gates"])
        out += [f"## {name} ({here[0]['rows']:,} released rows)", "",
                "| generator | seeds | released | " + " | ".join(panel) + " | stopped by | seconds |",
                "|---|---|---|" + "---|" * len(panel) + "---|---|"]
        for generator in sorted({r["model"] for r in here}, key=GENERATORS.index):
            mine = [r for r in here if r["model"] == generator]
            cells = []
            for gate in panel:
                kinds = Counter(r["gates"][gate] for r in mine)
                stopped = kinds["fail"] + kinds["inconclusive"]
                cells.append(f"{stopped}" + (f" ({kinds['inconclusive']})" if kinds["inconclusive"] else ""))
            found = Counter(f for r in mine for f in r["stopped_by"]).most_common(6)
            out.append(f"| {TITLES[generator]} | {len(mine)} | {sum(r['verdict'] == 'pass' for r in mine)} | "
                       + " | ".join(cells) + " | " + ", ".join(f"{f} ({n})" for f, n in found)
                       + f" | {np.mean([r['all_seconds'] for r in mine]):.0f} |")
        out.append("")
    return "\n".join(out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per set")
    parser.add_argument("--sets", default="adult,magic,shoppers")
    parser.add_argument("--generators", default=",".join(GENERATORS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000, help="largest number of rows dealt out")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gates.jsonl")
    a = parser.parse_args(arguments)
    a.out.parent.mkdir(parents=True, exist_ok=True)
    given = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["python -m tests.benchmarks.gates", *given]).replace(str(a.data), "DIR")
    done = {(r["set"], r["model"], r["seed"]) for r in report.read(a.out)}
    for seed in range(a.seeds):
        for name in a.sets.split(","):
            wanted = [g for g in a.generators.split(",") if (name, g, seed) not in done]
            data = datasets.load(a.data / name) if wanted else None
            for generator in wanted:
                assert data is not None
                row = judge_one(data, generator, seed, a.rows)
                with a.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name:10} {generator:12} seed {seed}: {row['verdict']:13} {row['all_seconds']:.0f} s  "
                      f"{', '.join(row['stopped_by'])}", flush=True)
                a.out.with_suffix(".md").write_text(markdown(report.read(a.out), command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
