"""Driving: closed-loop generator beside its control, plain replays and other generators, at equal CPU seconds.

    python -m tests.benchmarks.driving --train a.npz --test b.npz --seeds 3

``--train`` and ``--test`` are scenes as the ingest stage keeps them (folders, or npz with parquet beside it): of other
runs of a simulator, or of other recordings. With ``--data`` alone a set is dealt into three quarters and a quarter by
entity. A model trains on train, gives as many scenes, and the gates' own measures look at them beside the untouched
ones; *real* is a fresh real set, the floor of every figure. CPU seconds are of the process on one thread; ``--effort``
scales trainings, ``--last`` gives the phase with a critic and its control without one equal CPU seconds. Rows go into a
JSONL file as they finish; what is there is not done again. ``--report`` writes the page from the rows alone. ``--rare
CLASS`` asks instead how well a classifier finds a manoeuvre of which there are ``--examples`` real ones, with what a
generator that saw only those adds, beside oversampling with jitter. Plain generators of sequences
(:mod:`.driving_sequences`) train for ``--seconds``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract.model import Contract, Role, Training  # noqa: E402
from synth.contract.traffic import Traffic  # noqa: E402
from synth.driving.bicycle import advance  # noqa: E402
from synth.driving.generator import SceneGenerator  # noqa: E402
from synth.driving.geometry import collisions, off_road  # noqa: E402
from synth.driving.labels import labels  # noqa: E402
from synth.driving.scenes import EGO, LANE_WIDTH, MANOEUVRE, MANOEUVRES, Scenes, SceneShape  # noqa: E402
from synth.progress import Silent  # noqa: E402
from synth.tabular.schema import ColumnSchema, TableSchema  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.benchmarks.driving_sequences import KINDS, sequences  # noqa: E402
from validators.discriminator import separate  # noqa: E402
from validators.driving import tasks  # noqa: E402
from validators.driving.kinematics import friction, impossible  # noqa: E402
from validators.driving.realism import FEATURES, counts, edges, likelihood, measured  # noqa: E402
from validators.driving.summaries import summaries  # noqa: E402

RESULTS = Path(__file__).parent / "results"
TRAINED = ("driving/closed-loop", "driving/likelihood", "driving/wgan-gp", *KINDS)
DEFAULT = "driving/likelihood"
REPLAYS = ("real", "bootstrap", "constant", "follower")
ARMS = ("real", "oversampled", "synthetic")  # of --rare
MOST = 3000  # scenes of a set that are judged
FRICTION = (("clear", 0.9), ("rain", 0.65), ("snow", 0.45))  # of the demo's contract
Generator = Callable[[Scenes, int], tuple[Scenes, dict[str, Any]]]


def contract_for(training: Training) -> Contract:
    """What the generator reads of a contract."""
    return Contract(name="bench", version="1", domain="driving", path=Path("bench.yaml"), digest="", description="",
                    source="", columns=(), training=training, conditions=("manoeuvre", "weather"),
                    traffic=Traffic(friction=FRICTION))


def trained(recipe: str, schema: TableSchema, effort: float, options: tuple[tuple[str, Any], ...] = ()) -> Generator:
    """A generator of the project: trained on scenes, it draws as many."""
    def fit(train: Scenes, seed: int) -> tuple[Scenes, dict[str, Any]]:
        made, cost = fitted(recipe, schema, effort, train, seed, options)
        began, used = time.monotonic(), time.process_time()
        drawn = made.draw(len(train), seed=seed)
        return drawn, cost | {"draw_s": time.monotonic() - began, "draw_cpu_s": time.process_time() - used}
    return fit


def last_phase(recipe: str, seconds: float) -> tuple[tuple[str, Any], ...]:
    """Options that give the phase with a critic, and the control without one, equal time."""
    phase = {"driving/closed-loop": "adversarial", "driving/likelihood": "control"}.get(recipe)
    return () if not seconds or phase is None else ((f"{phase}.seconds", seconds), (f"{phase}.steps", 100_000))


def fitted(recipe: str, schema: TableSchema, effort: float, train: Scenes, seed: int,
           options: tuple[tuple[str, Any], ...] = ()) -> tuple[SceneGenerator, dict[str, Any]]:
    """The trained generator and what it cost."""
    used = time.process_time()
    with TemporaryDirectory() as folder:
        made = SceneGenerator.fit(
            train, schema, contract_for(Training(recipe=recipe, effort=effort, options=options)), seed=seed,
            device="cpu", progress=Silent(), checkpoints=Path(folder) / "checkpoints")
    phases = made.history.get("phases", [])
    return made, {"cpu_s": time.process_time() - used, "steps": sum(p["steps"] for p in phases),
                  "parameters": made.history.get("parameters")}


# -- what needs no training -----------------------------------------------------------------------------


def bootstrap(train: Scenes, seed: int) -> tuple[Scenes, dict[str, Any]]:
    """Recorded scenes again, moved a little: must fail the leakage gate."""
    rng = np.random.default_rng(seed)
    more = train.take(rng.integers(0, len(train), len(train)))
    states = more.states.copy()
    for place, spread in zip((0, 1, 3), tasks.JITTER, strict=True):
        states[..., place] += rng.normal(0, spread, states.shape[:2])[..., None].astype(np.float32)
    states[~more.present] = 0
    return replace(more, states=states, entities=np.arange(len(more))), {}


def replayed(train: Scenes, follow: bool) -> Scenes:
    """Recorded starts driven on in their lanes: at constant speed, or as the intelligent driver model does (Treiber et
    al. 2000; time headway 1.2 s, 1.5 and 2 m/s^2)."""
    state = torch.from_numpy(train.states[:, :, 0].copy())
    there = torch.from_numpy(train.present)
    width = torch.from_numpy(train.road[:, LANE_WIDTH:])
    length = torch.from_numpy(train.sizes[..., 0])
    wish, centre = state[..., 3] * 1.03 + 0.5, ((state[..., 1] / width).floor() + 0.5) * width
    states = [state]
    for _ in range(train.shape.steps - 1):
        s, d, heading, v = state.unbind(-1)
        along = torch.zeros_like(v)
        if follow:
            ahead = s[:, None] - s[:, :, None]
            mine = (ahead > 0) & ((d[:, None] - d[:, :, None]).abs() < 2.0) & there[:, None]
            distance, who = torch.where(mine, ahead, 1e4).min(2)
            gap = (distance - (length + length.gather(1, who)) / 2).clamp(min=0.5)
            closing = torch.where(distance < 1e4, v - v.gather(1, who), 0.0)
            want = (2 + 1.2 * v + v * closing / (2 * (1.5 * 2.0) ** 0.5)).clamp(min=0)
            along = 1.5 * (1 - (v / wish.clamp(min=1)) ** 4 - (want / gap) ** 2)
        across = -2 * v.clamp(min=3) * heading - (d - centre)
        state = advance(state, torch.stack([along, across], -1), torch.full_like(v, 0.9), train.shape.dt)
        state = state * there[..., None]
        states.append(state)
    return replace(train, states=torch.stack(states, 2).numpy(), entities=np.arange(len(train)))


# -- judging --------------------------------------------------------------------------------------------


def judge(train: Scenes, test: Scenes, made: Scenes, seed: int) -> dict[str, Any]:
    """The figures of a set; shares in per cent."""
    rng = np.random.default_rng(seed)
    made, test, train = (s.take(rng.permutation(len(s))[:MOST]) for s in (made, test, train))
    asked, shown = made.table[MANOEUVRE].to_numpy(dtype=str), labels(made)
    kinds = sorted(set(test.table[MANOEUVRE]))
    contract = contract_for(Training())
    bad = np.any([v for v in impossible(made, friction(made, contract)).values()], axis=0)
    hit = collisions(made)
    rows = summaries(test)[1], summaries(made)[1]
    split = separate(rows[0], test.entities, rows[1], made.entities, np.zeros(rows[0].shape[1], bool), seed=seed,
                     draws=2)
    taught = tasks.name_manoeuvres({tasks.REAL: train, tasks.SYNTHETIC: made}, test, tuple(kinds), 2, seed)
    real, synthetic, base = measured(test), measured(made), measured(train)
    ratio = [0.0, 0.0]
    for feature in FEATURES:
        c = [counts(v[feature.name], edges(feature)).sum(0)[:, None] for v in (real, synthetic, base)]
        for i in (0, 1):
            ratio[i] += feature.weight * float(likelihood(c[0], c[1 + i])[0])
    right = asked == shown
    return {
        "infeasible": 100 * float(bad.any(1).mean()), "collisions": 100 * float(hit[:, EGO].any(1).mean()),
        "collisions_any": 100 * float(hit.any((1, 2)).mean()), "off_road": 100 * float(off_road(made).any(1).mean()),
        "obeyed": 100 * float(right.mean()),
        "obeyed_each": {k: round(100 * float(right[asked == k].mean()), 1) for k in kinds if (asked == k).any()},
        "c2st": split.auc, "tstr": taught.f1[tasks.SYNTHETIC].mean, "trtr": taught.f1[tasks.REAL].mean,
        "recalls": {k: round(float(v), 3) for k, v in zip(kinds, taught.recall[tasks.SYNTHETIC], strict=True)},
        "realism": ratio[0] / ratio[1]}


def rare(name: str, examples: int, train: Scenes, test: Scenes, fit: Callable[[Scenes, int], SceneGenerator],
         seed: int) -> dict[str, Any]:
    """Recall of a manoeuvre with few real examples: alone, oversampled, and with what a generator adds."""
    rng = np.random.default_rng(seed)
    mine = np.flatnonzero(train.table[MANOEUVRE] == name)
    few = train.take(np.sort(np.r_[np.flatnonzero(train.table[MANOEUVRE] != name),
                                   rng.permutation(mine)[:examples]]).astype(np.int64))
    more = fit(few, seed).draw(max(500, len(few) // 6), seed=seed, where=[f"{MANOEUVRE}={name}"])
    shown = more.take(labels(more) == name)
    arms = {"real": few, "oversampled": tasks.oversampled(few, len(few), seed), "synthetic": tasks.both(few, shown)}
    kinds = tuple(sorted(set(test.table[MANOEUVRE])))
    found = tasks.name_manoeuvres(arms, test, kinds, 3, seed)
    at = kinds.index(name)
    out: dict[str, Any] = {"rare": name, "examples": examples, "shown": len(shown) / len(more)}
    for arm in arms:
        draws = found.recall_draws[arm][at]
        out[f"recall_{arm}"] = float(found.recall[arm][at])
        out[f"recall_{arm}_sd"] = float(draws.std())
        out[f"f1_{arm}"] = found.f1[arm].mean
    gain = found.recall_draws["synthetic"][at] - found.recall_draws["oversampled"][at]  # of the same untouched drivers
    out["gain"] = out["recall_synthetic"] - out["recall_oversampled"]
    out["gain_low"], out["gain_high"] = (float(v) for v in np.quantile(gain, (0.025, 0.975)))
    return out


# -- sets, rows, page -----------------------------------------------------------------------------------


def read(path: Path) -> tuple[Scenes, TableSchema]:
    """Scenes and the schema of their listing, from an ingest folder or an npz with the listing as parquet beside it."""
    if path.is_dir():
        from synth.driving.stored import StoredScenes

        stored = StoredScenes.open(path)
        return stored.scenes(), stored.schema
    held = np.load(path)
    table = pd.read_parquet(path.with_suffix(".parquet"))
    columns = []
    for name in table:
        text = not pd.api.types.is_numeric_dtype(table[name])
        table[name] = table[name].astype("str" if text else "float64")
        values = tuple(sorted(MANOEUVRES if name == MANOEUVRE else set(table[name]))) if text else ()
        columns.append(ColumnSchema(name=str(name), role=Role.CATEGORICAL if text else Role.NUMERIC, nullable=False,
                                    values=values, integer=name == "lanes",
                                    decimals=None if text else 0 if name == "lanes" else 2))
    shape = SceneShape(vehicles=held["present"].shape[1], steps=held["states"].shape[2])
    arrays = {name: held[name] for name in ("states", "present", "sizes", "kinds", "road", "entities")}
    return Scenes(**arrays, table=table, shape=shape), TableSchema(columns=tuple(columns))


def dealt(scenes: Scenes, seed: int) -> tuple[Scenes, Scenes]:
    """Three quarters and a quarter, by entity."""
    rng = np.random.default_rng(seed)
    _, entity = np.unique(scenes.entities, return_inverse=True)
    held = rng.random(entity.max() + 1)[entity] < 0.25
    return scenes.take(~held), scenes.take(held)


def _label(row: dict[str, Any]) -> str:
    """The model, and its effort where that says how long it trained."""
    return f"{row['model']}, effort {row['effort']:g}" if row["model"].startswith("driving/") else str(row["model"])


def page(rows: list[dict[str, Any]], command: str) -> str:
    """The results as Markdown: mean and spread over seeds."""
    heads = {"infeasible": "infeasible %", "collisions": "collisions %, ego", "collisions_any": "any pair",
             "off_road": "off road %", "obeyed": "obeyed %", "c2st": "C2ST", "tstr": "TSTR F1", "trtr": "TRTR F1",
             "realism": "realism / real", "cpu_s": "train CPU s", "draw_cpu_s": "draw CPU s"}
    lines = ["# Driving benchmark", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), "",
             "Mean ± standard deviation over seeds. Obeyed: the manoeuvre asked for is shown, without any filter.", "",
             f"Command: `{command}`  ", f"{datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, one thread.", ""]
    plain = [r for r in rows if "rare" not in r]
    for data in dict.fromkeys(r["set"] for r in plain):
        here = [r for r in plain if r["set"] == data]
        lines += [f"## {data}: {here[0]['train']:,} train and {here[0]['test']:,} untouched scenes", "",
                  "| model | seeds | " + " | ".join(heads.values()) + " | obeyed, each |",
                  "|---" * (len(heads) + 3) + "|"]
        for model in dict.fromkeys(_label(r) for r in here):
            mine = [r for r in here if _label(r) == model]
            cells = [report.spread([r[key] for r in mine if r.get(key) is not None], ".3g") for key in heads]
            kinds = sorted({k for r in mine for k in r["obeyed_each"]})
            each = ", ".join(f"{k} {np.mean([r['obeyed_each'].get(k, np.nan) for r in mine]):.0f}" for k in kinds)
            lines.append(f"| {model} | {len(mine)} | " + " | ".join(cells) + f" | {each} |")
        lines.append("")
    few = [r for r in rows if "rare" in r]
    if few:
        lines += ["## Recall of a manoeuvre with few real examples", "",
                  "± is the standard deviation over untouched drivers, the gain over oversampling has a 95 % interval "
                  "of these drivers; F1 is the mean over all manoeuvres.", "",
                  "| set | manoeuvre | examples | seed | real alone | oversampled | with synthetic | gain | F1 alone | "
                  "oversampled | with synthetic | shown by the generator |",
                  "|---" * 12 + "|"]
        lines += [f"| {r['set']} | {r['rare']} | {r['examples']} | {r['seed']} | " + " | ".join(
            f"{r[f'recall_{a}']:.2f} ± {r[f'recall_{a}_sd']:.2f}" for a in ARMS)
            + f" | {r['gain']:+.2f} [{r['gain_low']:+.2f}, {r['gain_high']:+.2f}] | "
            + " | ".join(f"{r[f'f1_{a}']:.3f}" for a in ARMS) + f" | {100 * r['shown']:.0f} % |" for r in few]
    return "\n".join(lines)


def main() -> None:
    """Train, judge, write."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--train", type=Path)
    ask.add_argument("--test", type=Path)
    ask.add_argument("--data", type=Path)
    ask.add_argument("--name", default="", help="of the set in the table")
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--first", type=int, default=0, help="first seed")
    ask.add_argument("--effort", type=float, default=1.0)
    ask.add_argument("--last", type=float, default=0.0, help="CPU seconds of the phase with a critic and its control")
    ask.add_argument("--models", default=",".join((*REPLAYS, *TRAINED)))
    ask.add_argument("--seconds", type=float, default=190.0, help="CPU seconds of the generators of sequences")
    ask.add_argument("--rare", default="")
    ask.add_argument("--examples", type=int, default=20, help="real ones of the manoeuvre of --rare")
    ask.add_argument("--rows", type=Path, default=RESULTS / "driving.jsonl")
    ask.add_argument("--page", type=Path, default=RESULTS / "driving.md")
    ask.add_argument("--report", action="store_true", help="write the page from the rows, train nothing")
    said = ask.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in said.rows.read_text().splitlines()] if said.rows.exists() else []
    command = ("python -m tests.benchmarks.driving --train RUN_A --test RUN_B --effort 0.5 --last 40 (or --effort 2, "
               "--data SET, --rare CLASS --examples N)")
    if not said.report:
        one, schema = read(said.data or said.train)
        other = None if said.data else read(said.test)[0]
        name = said.name or (said.data or said.train).stem
        for seed in range(said.first, said.first + said.seeds):
            train, test = dealt(one, seed) if other is None else (one, other)
            jobs = [f"rare {said.rare} {said.examples}"] if said.rare else said.models.split(",")
            for job in jobs:
                same = {"set": name, "model": job, "seed": seed, "effort": said.effort, "last": said.last}
                if any(all(r.get(k) == v for k, v in same.items()) for r in rows):
                    continue
                row = {**same, "train": len(train), "test": len(test),
                       **_one(job, train, test, schema, said.effort, seed, said.last, said.seconds)}
                rows.append(row)
                said.rows.parent.mkdir(parents=True, exist_ok=True)
                with said.rows.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    if rows:
        said.page.write_text(page(rows, command) + "\n", encoding="utf-8")


def _one(job: str, train: Scenes, test: Scenes, schema: TableSchema, effort: float, seed: int, last: float,
         seconds: float) -> dict[str, Any]:
    torch.manual_seed(seed)
    if job.startswith("rare "):
        _, name, examples = job.split(" ")
        return rare(name, int(examples), train, test,
                    lambda few, s: fitted(DEFAULT, schema, effort, few, s)[0], seed)
    if job == "real":  # floor: what one real set is to another
        made, cost = train, {}
    elif job == "bootstrap":
        made, cost = bootstrap(train, seed)
    elif job in ("constant", "follower"):
        made, cost = replayed(train, job == "follower"), {}
    elif job in KINDS:
        made, cost = sequences(job, train, seconds, seed)
    else:
        made, cost = trained(job, schema, effort, last_phase(job, last))(train, seed)
    return cost | judge(train, test, made, seed)


if __name__ == "__main__":
    main()
