"""What a privacy budget costs scenes of traffic: epsilon x what drives noisy headers.

    python -m tests.benchmarks.driving_privacy --train a.npz --test b.npz --epsilons 1,3,10 --units row

``--train`` and ``--test`` as in :mod:`.driving`; the contract is the driving demo's. The whole budget measures headers.
``rules``: a driver of rules drives each noisy header; ``rehearsed``: of those that show what their header says, do not
collide and stay on the road (what the policy learns from); ``ours``: what a run with a budget releases, the
generator taught by rehearsed drives. ``audit``: the promise audited with planted scenes, as a run that asks for it has
it; ``faulty``: the same with a quarter of the noise, which an audit should find. ``unit`` row: neighbours differ by
one scene; entity: by one group of drivers who share scenes, ``contributions`` scenes of each. Delta is 1e-5. Rows
without a budget: ``driving.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract.load import load  # noqa: E402
from synth.contract.model import Budget, Contract, Training, Unit  # noqa: E402
from synth.domain import demo_contract  # noqa: E402
from synth.driving.generator import SceneGenerator  # noqa: E402
from synth.driving.private import road  # noqa: E402
from synth.driving.private.measure import of_scenes  # noqa: E402
from synth.driving.scenes import Scenes  # noqa: E402
from synth.progress import Silent  # noqa: E402
from synth.records.budget import units  # noqa: E402
from synth.seeds import derive  # noqa: E402
from synth.tabular.private.axes import public_schema  # noqa: E402
from synth.tabular.private.measure import kept  # noqa: E402
from synth.tabular.private.road import released_rows  # noqa: E402
from synth.tabular.schema import TableSchema  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.benchmarks.audits import AUDITS, measured_as  # noqa: E402
from tests.benchmarks.driving import RESULTS, judge, read  # noqa: E402

DELTA = 1e-5
SHOWN = {"infeasible": ("infeasible %", 2), "collisions": ("collisions %, ego", 2), "collisions_any": ("any pair", 2),
         "off_road": ("off road %", 2), "obeyed": ("obeyed %", 1), "c2st": ("C2ST", 3), "tstr": ("TSTR F1", 3),
         "trtr": ("TRTR F1", 3), "realism": ("realism / real", 3), "cpu": ("CPU s", 0)}
NAMES = {"rules": "noisy headers driven by rules", "rehearsed": "of those what shows what it should",
         "ours": "**ours**: taught by those"}


def rows(train: Scenes, test: Scenes, schema: TableSchema, budget: Budget, effort: float, seed: int, names: list[str],
         drawn: int) -> list[dict[str, Any]]:
    """Arms under one budget, of ``drawn`` scenes each (0: as many as there are)."""
    began = time.process_time()
    contract, schema = agreed(schema, budget, training=Training(recipe="driving/likelihood", effort=effort))
    owners = units(train.entities, budget)
    chosen = kept(owners, budget)
    known = of_scenes(train.take(chosen), owners[chosen], schema, contract, Silent())
    measuring = time.process_time() - began
    rehearsed = road.rehearsed(known, contract, drawn or released_rows(known.rows), derive(seed, "rehearsed"), Silent())
    count, out = drawn or len(train), []

    def ours() -> Scenes:
        with TemporaryDirectory() as folder:
            made = SceneGenerator.fit(rehearsed, known.listing, contract, seed=derive(seed, "model"), device="cpu",
                                      progress=Silent(), checkpoints=Path(folder))
        return made.draw(count, seed=seed)

    arms = {"rules": lambda: road.driven(known, contract, count, derive(seed, "rules")),
            "rehearsed": lambda: rehearsed, "ours": ours}
    for name in names:
        learning = time.process_time()
        made = arms[name]()
        cost = measuring + (time.process_time() - learning if name == "ours" else 0.0)
        out.append({"arm": name, "epsilon": budget.epsilon, "unit": str(budget.unit), "seed": seed, "scenes": len(made),
                    "contributions": budget.contributions, "effort": effort, "used": len(chosen), "train": len(train),
                    "cpu": round(cost, 1), **judge(train, test, made, seed)})
        print(json.dumps(out[-1]), flush=True)
    return out


def audits(train: Scenes, schema: TableSchema, budget: Budget, seed: int, names: list[str]) -> list[dict[str, Any]]:
    """The audit under one budget, of the measurement as it is and of one with too little noise."""
    from validators.driving.audit import audit

    contract, schema = agreed(schema, budget)
    out = []
    for name in (n for n in names if n in AUDITS):
        began = time.process_time()
        with measured_as(name):
            found = audit(train, public_schema(contract, schema), contract)
        out.append({"arm": name, "epsilon": budget.epsilon, "unit": str(budget.unit), "seed": seed,
                    "contributions": budget.contributions, "train": len(train), **found.to_json(),
                    "cpu": round(time.process_time() - began, 1)})
        print(json.dumps(out[-1]), flush=True)
    return out


def agreed(schema: TableSchema, budget: Budget, **changes: Any) -> tuple[Contract, TableSchema]:
    """The demo's contract under a budget, and the schema as the ingest of that contract has it."""
    contract = replace(load(demo_contract("motorway.yaml")), budget=budget, **changes)
    declared = {c.name: c for c in contract.columns}
    return contract, TableSchema(columns=tuple(
        replace(c, minimum=declared[c.name].minimum, maximum=declared[c.name].maximum) for c in schema.columns))


def page(found: list[dict[str, Any]], command: str) -> str:
    """The results as Markdown."""
    machine = report.machine()
    audited, found = [r for r in found if r["arm"] in AUDITS], [r for r in found if r["arm"] not in AUDITS]
    heads = "".join(f" {head} |" for head, _ in SHOWN.values())
    lines = ["# Scenes under a privacy budget", "", *(__doc__ or "").strip().splitlines()[4:], "",
             f"    {command}", "", f"Machine: {machine['cores']} cores, {machine['cpu']}, {machine['date']}; one "
             f"thread, beside other work. {(found or audited)[0]['train']:,} scenes to train on. Means over seeds ± "
             "half of their range.", "",
             f"| epsilon | unit | scenes used | generator | seeds | scenes drawn |{heads} obeyed, each |",
             "|---" * (len(SHOWN) + 7) + "|"]
    for unit, epsilon, arm in sorted({(r["unit"], r["epsilon"], r["arm"]) for r in found},
                                     key=lambda k: (k[0], k[1], list(NAMES).index(k[2]))):
        mine = [r for r in found if (r["unit"], r["epsilon"], r["arm"]) == (unit, epsilon, arm)]
        each = ", ".join(f"{k} {np.mean([r['obeyed_each'][k] for r in mine]):.0f}" for k in mine[0]["obeyed_each"])
        figures = "".join(f" {report.ranged([r[key] for r in mine], digits, half=key != 'cpu')} |"
                          for key, (_, digits) in SHOWN.items())
        lines.append(f"| {epsilon:g} | {_unit(mine[0])} | {mine[0]['used']:,} | {NAMES[arm]} | {len(mine)} | "
                     f"{np.mean([r['scenes'] for r in mine]):,.0f} |{figures} {each} |")
    if audited:
        lines += ["", "## Audit", "", "Measurements with canary scenes, thrown away afterwards (arm `audit`), white "
                  "box; the bound has 95 % confidence. Where the ceiling is below the claim, no outcome could have "
                  "contradicted it. The arm `faulty` has a quarter of the noise that its claim needs.", "",
                  "| claimed epsilon | unit | measurement | right guesses | lower bound | noise found, of "
                  "the claimed | contradicted | ceiling | CPU s |", "|---" * 9 + "|"]
        lines += [f"| {r['claimed']:g} | {_unit(r)} | {AUDITS[r['arm']]} | {r['correct']} of {r['guesses']} | "
                  f"{r['lower_bound']:.2f} | {r['noise']:.3f} | {'yes' if r['contradicts'] else 'no'} | "
                  f"{r['ceiling']:.2f} | {r['cpu']:.0f} |" for r in sorted(
                      audited, key=lambda r: (r["unit"], r["claimed"], list(AUDITS).index(r["arm"])))]
    return "\n".join([*lines, ""])


def _unit(row: dict[str, Any]) -> str:
    return "scene" if row["unit"] == "row" else f"group, {row['contributions']} scenes"


def main() -> None:
    """Measure, drive, train, judge, write."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--train", type=Path)
    ask.add_argument("--test", type=Path)
    ask.add_argument("--epsilons", default="1,3,10")
    ask.add_argument("--units", default="row")
    ask.add_argument("--contributions", type=int, default=20)
    ask.add_argument("--effort", type=float, default=0.5)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--most", type=int, default=0, help="scenes to train on; 0: all")
    ask.add_argument("--arms", default=",".join(NAMES))
    ask.add_argument("--drawn", type=int, default=0, help="scenes that each arm draws; 0: as many as train")
    ask.add_argument("--rows", type=Path, default=RESULTS / "driving_privacy.jsonl")
    ask.add_argument("--page-only", action="store_true")
    said = ask.parse_args()
    torch.set_num_threads(1)
    found = [json.loads(line) for line in said.rows.read_text().splitlines()] if said.rows.exists() else []
    command = (f"python -m tests.benchmarks.driving_privacy --train RUN_A --test RUN_B --epsilons {said.epsilons} "
               f"--units {said.units} --contributions {said.contributions} --effort {said.effort:g}"
               + (f" --arms {said.arms}" if said.arms != ask.get_default("arms") else "")
               + (f" --drawn {said.drawn}" if said.drawn else "") + (f" --seed {said.seed}" if said.seed else ""))
    if not said.page_only:
        train, schema = read(said.train)
        test = read(said.test)[0]
        if said.most:
            train = train.take(np.random.default_rng(said.seed).permutation(len(train))[:said.most])
        for unit in said.units.split(","):
            for epsilon in said.epsilons.split(","):
                kind = Unit(unit)
                budget = Budget(epsilon=float(epsilon), delta=DELTA, unit=kind,
                                contributions=said.contributions if kind is Unit.ENTITY else 1)
                arms = said.arms.split(",")
                new = audits(train, schema, budget, said.seed, arms)
                if drives := [arm for arm in arms if arm in NAMES]:
                    new += rows(train, test, schema, budget, said.effort, said.seed, drives, said.drawn)
                new = [{**r, "command": command} for r in new]
                found += new
                with said.rows.open("a") as file:
                    file.writelines(json.dumps(r) + "\n" for r in new)
    if found:
        command = "\n    ".join(dict.fromkeys(r["command"] for r in found if "command" in r))
        said.rows.with_suffix(".md").write_text(page(found, command), encoding="utf-8")


if __name__ == "__main__":
    main()
