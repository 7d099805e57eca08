"""How often the leakage gate stops generators of known guilt, and how often innocent ones.

    python -m tests.benchmarks.leakage --rounds 5 [--parts mixed spikes repeated adult ours images mednist scenes] \\
        [--data DIR] [--mednist FILE]

Each round draws every population anew and judges every generator on it once, innocent ones several times, by the whole
gate under its default limits. A finished row is not judged again, so a stopped run goes on where it was. Generators:

* innocent: fresh draws of the population (of Adult: rows held back);
* copies: a share of the rows are single training rows, the same in every draw (of a smaller one their share); as they
  are, with numbers moved by .1 standard deviations, with one cell redrawn, of the most isolated people only, of whole
  people (all their rows);
* smoothers: every training row once, numbers moved by h standard deviations, each cell redrawn with chance h;
* values: every column of train shuffled by itself;
* mirrored: every training row with its numbers turned round the median: a copy in disguise;
* ours: the tabular generator as it ships, and over-trained (no dropout, no validation rows, several lengths).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract import Contract, Privacy, Training  # noqa: E402
from synth.medical.evidence import ImageEvidence  # noqa: E402
from synth.seeds import derive, generator  # noqa: E402
from synth.tabular.evidence import PARTS, TableEvidence  # noqa: E402
from tests.benchmarks import copies, datasets, report  # noqa: E402
from tests.benchmarks.gates import contract_of  # noqa: E402
from tests.benchmarks.nearness import smoothed  # noqa: E402
from tests.validators import populations  # noqa: E402
from validators import leakage  # noqa: E402
from validators.criteria.base import wilson  # noqa: E402
from validators.diversity import neighbour_distances  # noqa: E402
from validators.encode import Encoding  # noqa: E402
from validators.finding import GateResult  # noqa: E402

Draw = Callable[[int, int], pd.DataFrame]  # (rows, seed)
FIRST = 5_000  # seed of the first round: none that the attacks were developed with
ROWS = 8_000
RELEASED = 2_400  # phantoms: with as many as train, 600, one clean set in five is left open
INNOCENT = "innocent"


@dataclass(frozen=True)
class Kind:
    """A generator: how it draws, given the evidence and the population."""

    make: Callable[[TableEvidence, Draw], Draw]
    share: float  # of the synthetic rows that are made from a training row each


def _taken(e: TableEvidence, count: int, among: np.ndarray | None = None) -> pd.DataFrame:
    """``count`` training rows, the same whenever asked."""
    rows = np.arange(len(e.train)) if among is None else among
    return e.train.iloc[generator(e.seed, "taken").permutation(rows)[:count]].reset_index(drop=True)


def _joined(e: TableEvidence, fresh: Draw, leaked: Callable[[int], pd.DataFrame]) -> Draw:
    """Fresh rows after what is leaked: ``leaked(seed)``, of which a smaller set has its share."""
    def draw(rows: int, seed: int) -> pd.DataFrame:
        first = leaked(seed)
        if rows < len(e.synthetic):
            kept = generator(seed, "share").random(len(first)) < rows / len(e.synthetic)
            first = first[kept].reset_index(drop=True)
        frame = pd.concat([first, fresh(rows, seed).iloc[len(first):]], ignore_index=True)
        return frame.astype(dict(e.train.dtypes)).iloc[:rows]

    return draw


def copied(share: float, noise: float = 0.0) -> Kind:
    """A share of the rows are training rows, with noise on their numbers."""
    def make(e: TableEvidence, fresh: Draw) -> Draw:
        part = replace(e, train=_taken(e, round(share * len(e.synthetic))))
        return _joined(e, fresh, lambda seed: populations.memorised(part, seed, noise) if noise else part.train)

    return Kind(make, share)


def outliers(share: float) -> Kind:
    """Copies of the most isolated training rows."""
    def make(e: TableEvidence, fresh: Draw) -> Draw:
        points = Encoding.fit(e.reference, e.schema, e.seed).transform(e.train)
        far = neighbour_distances(points, points, 5, skip_self=True)[:, -1]
        leaked = _taken(e, round(share * len(e.synthetic)), np.argsort(-far)[:round(2 * share * len(e.synthetic))])
        return _joined(e, fresh, lambda seed: leaked)

    return Kind(make, share)


def disguised(share: float) -> Kind:
    """Copies with one cell redrawn."""
    def make(e: TableEvidence, fresh: Draw) -> Draw:
        leaked, rng = _taken(e, round(share * len(e.synthetic))), generator(e.seed, "disguise")
        column = rng.integers(0, leaked.shape[1], len(leaked))
        for j, name in enumerate(leaked.columns):
            other = e.train[name].to_numpy()[rng.integers(0, len(e.train), len(leaked))]
            leaked[name] = np.where(column == j, other, leaked[name].to_numpy())
        return _joined(e, fresh, lambda seed: leaked)

    return Kind(make, share)


def people(share: float) -> Kind:
    """All rows of some people."""
    def make(e: TableEvidence, fresh: Draw) -> Draw:
        owners = e.entities["train"]
        order = generator(e.seed, "people").permutation(np.unique(owners))
        size = pd.Series(owners).value_counts()[order].cumsum().to_numpy()
        chosen = order[: int(np.searchsorted(size, share * len(e.synthetic))) + 1]
        leaked = e.train[np.isin(owners, chosen)].reset_index(drop=True)
        return _joined(e, fresh, lambda seed: leaked)

    return Kind(make, share)


def smoother(bandwidth: float) -> Kind:
    """Every training row once, blurred."""
    return Kind(lambda e, fresh: lambda rows, seed: smoothed(e.train, e.schema, bandwidth, seed).iloc[:rows], 1.0)


def mirrored(e: TableEvidence, fresh: Draw) -> Draw:
    """Every training row, its numbers turned round the median."""
    frame = e.train.copy()
    for name in e.schema.numbers:
        frame[name] = np.round(2 * frame[name].median() - frame[name], e.schema[name].decimals or 0)
    return lambda rows, seed: frame.iloc[generator(seed, "mirrored").permutation(len(frame))[:rows]].reset_index(
        drop=True)


def values(e: TableEvidence, fresh: Draw) -> Draw:
    """Columns of train, each shuffled by itself."""
    return lambda rows, seed: populations.independent(replace(e, synthetic=e.train), seed).iloc[:rows]


SMOOTHERS = {f"smoother {h:g}": smoother(h) for h in (0.02, 0.1, 0.2, 0.3, 0.5, 0.8)}
COPIES = {"0.5 % copied": copied(0.005), "1 % copied": copied(0.01), "5 % copied": copied(0.05),
          "20 % copied": copied(0.2)}
OTHERS = {"1 % copied, moved .1": copied(0.01, 0.1), "2 % copied, moved .1": copied(0.02, 0.1),
          "5 % copied, moved .1": copied(0.05, 0.1), "20 % copied, moved .1": copied(0.2, 0.1),
          "1 % copied, one cell redrawn": disguised(0.01), "5 % copied, one cell redrawn": disguised(0.05),
          "1 % copied, most isolated": outliers(0.01), "values shuffled": Kind(values, 1.0),
          "mirrored": Kind(mirrored, 1.0)}
KINDS = {
    "mixed": COPIES | OTHERS | SMOOTHERS,
    "spikes": COPIES | {k: SMOOTHERS[k] for k in ("smoother 0.1", "smoother 0.2", "smoother 0.3")},
    "repeated": {"1 % copied, whole people": people(0.01), "5 % copied, whole people": people(0.05),
                 "smoother 0.1": smoother(0.1), "smoother 0.3": smoother(0.3)},
    "adult": {k: (COPIES | SMOOTHERS)[k] for k in ("1 % copied", "5 % copied", "smoother 0.1", "smoother 0.3")},
}
DOMAINS = {"all but MedNIST": ("mixed", "spikes", "repeated", "adult", "ours", "images", "scenes"),
           "tables": ("mixed", "spikes", "repeated", "adult", "ours"), "phantoms": ("images",),
           "MedNIST, whose slices are no patients": ("mednist",), "scenes": ("scenes",)}
INNOCENTS = {"mixed": 4, "spikes": 2, "repeated": 2, "adult": 2, "images": 1, "mednist": 1, "scenes": 1}  # a round
MEMORISED = {INNOCENT: 0.0, "1 % copied": 0.01, "5 % copied": 0.05, "20 % copied": 0.2, "memoriser": 1.0}
OVERTRAINED = {"ours, over-trained .3 x": 0.3, "ours, over-trained 1 x": 1.0}


def population(part: str, seed: int, data: Path | None) -> tuple[TableEvidence, Draw | None]:
    """Evidence whose synthetic rows are fresh, and how more of them are drawn (None: there are no more)."""
    if part == "adult":
        assert data is not None
        return adult(data, seed), None
    if part == "spikes":
        return copies.evidence(ROWS, seed), lambda rows, s: copies.people(rows, generator(s, "fresh"))
    repeated = part == "repeated"
    e = populations.evidence(2 * ROWS if repeated else ROWS, seed, repeated=repeated)
    if not repeated:
        return e, lambda rows, s: populations.people(rows, s % 2**40)[0]

    def draw(rows: int, s: int) -> pd.DataFrame:  # single rows of fresh people, who weigh as their rows do
        frame = populations.people(2 * rows, s % 2**40, repeated=True)[0]
        return frame.iloc[generator(s, "fresh").permutation(len(frame))[:rows]].reset_index(drop=True)

    return e, draw


def adult(data: Path, seed: int) -> TableEvidence:
    """Adult: 3/8 train, 1/8 holdout, 1/8 reference, 3/8 fresh of 16,000 rows."""
    table = datasets.load(data / "adult")
    frame = pd.concat([table.train, table.test], ignore_index=True)
    frame = frame.iloc[generator(seed, "adult").permutation(len(frame))[: 2 * ROWS]].reset_index(drop=True)
    edges = (np.array([0, 3, 4, 5, 8]) * len(frame) // 8).tolist()
    frames = {part: frame.iloc[a:b].reset_index(drop=True)
              for part, a, b in zip((*PARTS, "synthetic"), edges[:-1], edges[1:], strict=True)}
    terms: Contract = contract_of(table)
    terms = replace(terms, columns=tuple(replace(c, privacy=Privacy.SENSITIVE if c.name == table.target else
                                                 Privacy.NONE) for c in terms.columns))
    return TableEvidence(contract=terms, schema=datasets.make_schema(frame), seed=seed,
                         entities={p: np.arange(len(frames[p])) for p in PARTS}, **frames)


def tables(part: str, seed: int, data: Path | None, done: set[tuple[str, str, int]], innocent: bool) -> list[dict]:
    """One round of a population of tables; of its innocent ones alone if asked."""
    e, fresh = population(part, seed, data)
    found = []
    for number in range(INNOCENTS[part]):
        again = seed + 100_000 * number
        if (part, INNOCENT, again) not in done:
            if number:
                e, fresh = population(part, again, data)
            found.append(judged(part, INNOCENT, again, 0.0, replace(e, sample_again=fresh)))
    e, fresh = population(part, seed, data)
    held = e.synthetic

    def rows_of(rows: int, s: int) -> pd.DataFrame:
        return held.iloc[:rows] if fresh is None else fresh(rows, s)

    for name, kind in () if innocent else KINDS[part].items():
        if (part, name, seed) not in done:
            draw = kind.make(e, rows_of)
            guilty = replace(e, synthetic=draw(len(held), derive(seed, "released")),
                             sample_again=None if fresh is None else draw)
            found.append(judged(part, name, seed, kind.share, guilty))
    return found


def ours(seed: int, done: set[tuple[str, str, int]]) -> list[dict]:
    """The tabular generator on the mixed population: as it ships, and over-trained."""
    import torch

    from synth.tabular.generator import TableGenerator
    from synth.tabular.model import TabularModel
    from synth.tabular.reshape import Reshape

    torch.set_num_threads(1)
    found = []
    e = populations.evidence(ROWS, seed)
    for name, passes in (("ours, as it ships", None), *OVERTRAINED.items()):
        if ("ours", name, seed) in done:
            continue
        if passes is None:
            model = TableGenerator.fit(e.train, e.schema, training=Training(recipe="tabular/likelihood"), seed=seed,
                                       target="ill")
        else:
            training = Training(recipe="tabular/likelihood", effort=passes,
                                options=(("dropout", 0.001), ("members", 1)))
            model = TableGenerator(Reshape.fit(e.train, e.schema, (), 10), TabularModel.fit(
                e.train, e.schema, training=training, seed=seed, target="ill", validation_share=0.0))
        guilty = replace(e, synthetic=model.sample(len(e.train), seed=derive(seed, "released")),
                         sample_again=lambda rows, s, m=model: m.sample(rows, seed=s), likelihood=model.log_likelihood)
        found.append(judged("ours", name, seed, 0.0 if passes is None else 1.0, guilty))
    return found


def images(seed: int, done: set[tuple[str, str, int]]) -> list[dict]:
    """Phantoms of 1,000 patients at 32 px: fresh patients, and shares of memorised images."""
    from tests.validators.medical import patients

    plain = patients.contract()
    plain = replace(plain, columns=tuple(replace(c, privacy=Privacy.NONE) for c in plain.columns))

    def draw() -> ImageEvidence:
        e = patients.evidence(1_000, seed, size=(32, 32), terms=plain)
        return replace(e, synthetic=patients.alone(patients.people(RELEASED, seed + 7_000, size=(32, 32))))

    return pictures("images", seed, done, draw)


def mednist(seed: int, done: set[tuple[str, str, int]], data: Path) -> list[dict]:
    """Six kinds of real images at 32 px, each a patient: 1,200 to train on, 400 of holdout and of reference."""
    from tests.benchmarks.medical_gates import drawn, population

    return pictures("mednist", seed, done, lambda: drawn(*population(data, 32, 12_000), 1_200, 400, seed))


def pictures(part: str, seed: int, done: set[tuple[str, str, int]], draw: Callable[[], ImageEvidence]) -> list[dict]:
    """The gate on one draw; its encoder, which sees real images alone, is trained once for all shares."""
    from unittest import mock

    from tests.validators.medical import patients
    from validators.medical import contrastive
    from validators.medical import leakage as gate

    if all((part, name, seed) in done for name in MEMORISED):
        return []
    e, kept = draw(), list[contrastive.Contrastive]()
    fit = contrastive.Contrastive.fit

    def once(pixels: np.ndarray, *, seed: int) -> contrastive.Contrastive:
        kept.extend([] if kept else [fit(pixels, seed=seed)])
        return kept[0]

    with mock.patch.object(contrastive.Contrastive, "fit", once):
        return memorised(part, seed, done, lambda share: gate.run(
            replace(e, synthetic=patients.memorised(e, share)), gate.Limits()))


def scenes(seed: int, done: set[tuple[str, str, int]]) -> list[dict]:
    """Simulated traffic of 800 drivers: fresh drivers, and shares of memorised scenes."""
    from tests.validators.driving import faults, traffic
    from validators.driving import leakage as gate

    e = traffic.evidence(800, seed, synthetic=700)
    return memorised("scenes", seed, done, lambda share: gate.run(
        replace(e, synthetic=faults.memorised(e, share)), gate.Limits()))


def memorised(part: str, seed: int, done: set[tuple[str, str, int]], judge: Callable[[float], GateResult]
              ) -> list[dict]:
    """Shares of memorised records, none first: ``judge(share)`` is the gate's result."""
    found = []
    for name, share in MEMORISED.items():
        if (part, name, seed) not in done:
            start = time.process_time()
            result = judge(share)
            found.append(row(part, name, seed, share, result, time.process_time() - start))
    return found


def judged(part: str, kind: str, seed: int, share: float, e: TableEvidence) -> dict:
    """The gate's verdict on one table."""
    start = time.process_time()
    result = leakage.run(e, leakage.Limits())
    return row(part, kind, seed, share, result, time.process_time() - start)


def row(part: str, kind: str, seed: int, share: float, result: GateResult, seconds: float) -> dict:
    """What is kept of it."""
    return {"part": part, "kind": kind, "seed": seed, "share": share, "verdict": str(result.verdict),
            "failed": [f.id for f in result.findings if str(f.verdict) == "fail"],
            "open": [f.id for f in result.findings if str(f.verdict) == "inconclusive"],
            "figures": {f.id: [f.value, f.low, f.high] for f in result.findings if f.value is not None},
            "seconds": round(seconds, 1)}


def interval(count: int, total: int) -> str:
    """A count with the 95 % Wilson interval of its share."""
    low, high = wilson(count / total, total, 1.96)
    return f"{count} of {total} ({100 * low:.0f} to {100 * high:.0f} %)"


SHOWN = {"leakage.copies.exact": "exact", "leakage.copies.near": "near", "leakage.union.auc": "AUC, 11 sets",
         "leakage.membership.auc": "AUC", "leakage.membership.tpr": "found at 1 %", "leakage.isolated.auc":
         "isolated AUC", "leakage.criteria.singling_out": "singling out", "leakage.criteria.linkability": "linkability"}


def markdown(found: list[dict], command: str, written: list[str]) -> str:
    """The page: summary first, then one row a population and generator, then the figures of tables."""
    machine = report.machine()
    lines = ["# Calibration of the leakage gate", "", *str(__doc__).strip().splitlines()[5:], "",
             f"Command: `{command}`", "",
             f"Machine: {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['cpu']}, {machine['date']}; "
             f"one thread, beside other work. Populations: mixed and spikes (a row a person, {ROWS:,} real rows), "
             f"repeated (one to three rows a person, {2 * ROWS:,} rows), 60 % train each, Adult {2 * ROWS:,} rows, "
             f"phantoms of 1,000 patients ({RELEASED:,} synthetic) and MedNIST (1,200 images to train on) at 32 px, "
             "traffic of 800 drivers. "
             "*Stopped*: failed or inconclusive. Brackets: 95 % "
             "Wilson intervals.", "", *written,
             "| generators | stopped | failed |", "|---|---|---|"]
    quiet = [f for f in found if f["kind"] == INNOCENT]
    loud = [f for f in found if f["share"] >= 0.01 and f["kind"] not in ("mirrored", "smoother 0.5", "smoother 0.8")]
    groups = {}
    for name, mine in (("innocent", quiet), ("leaking at 1 % of the records or more", loud)):
        groups |= {f"{name}: {domain}": [f for f in mine if f["part"] in parts] for domain, parts in DOMAINS.items()}
    groups |= {name: [f for f in found if f["kind"] == name] for name in ("smoother 0.5", "smoother 0.8", "mirrored")}
    for name, mine in groups.items():
        if mine:
            lines.append(f"| {name} | {interval(sum(f['verdict'] != 'pass' for f in mine), len(mine))} | "
                         f"{interval(sum(f['verdict'] == 'fail' for f in mine), len(mine))} |")
    lines += ["", "| population | generator | judged | failed | inconclusive | by | CPU s |",
              "|---|---|---|---|---|---|---|"]
    keys = sorted({(f["part"], f["kind"]) for f in found}, key=lambda key: _place(*key))
    for key in keys:
        mine = [f for f in found if (f["part"], f["kind"]) == key]
        kinds = Counter(f["verdict"] for f in mine)
        by = Counter(i.removeprefix("leakage.") for f in mine for i in f["failed"]).most_common(7)
        still = Counter(f"{i.removeprefix('leakage.')}?" for f in mine if not f["failed"]
                        for i in f["open"]).most_common(4)
        lines.append(f"| {key[0]} | {key[1]} | {len(mine)} | {kinds['fail']} | {kinds['inconclusive']} | "
                     f"{', '.join(f'{name} ({n})' for name, n in [*by, *still]) or '-'} | "
                     f"{np.mean([f['seconds'] for f in mine]):.0f} |")
    lines += ["", "Means of figures (tables):", "", f"| population | generator | {' | '.join(SHOWN.values())} |",
              "|---|---|" + "---|" * len(SHOWN)]
    for key in keys:
        mine = [f for f in found if (f["part"], f["kind"]) == key and f["part"] in (*KINDS, "ours")]
        cells = [[f["figures"][i][0] for f in mine if i in f["figures"]] for i in SHOWN]
        if mine:
            lines.append(f"| {key[0]} | {key[1]} | " + " | ".join(
                f"{np.mean(c):.3f}" if c else "-" for c in cells) + " |")
    return "\n".join([*lines, ""])


def _place(part: str, kind: str) -> tuple[int, int]:
    order = [INNOCENT, *COPIES, *OTHERS, *KINDS["repeated"], *SMOOTHERS, "ours, as it ships", *OVERTRAINED,
             *MEMORISED]
    parts = [*KINDS, "ours", "images", "mednist", "scenes"]
    return parts.index(part), order.index(kind)


def main() -> None:
    """Judge round after round, writing down each row as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="+", default=[*KINDS, "ours", "images", "mednist", "scenes"])
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--few", type=int, default=2, help="rounds of ours, images and scenes")
    parser.add_argument("--innocent", action="store_true", help="innocent tables only")
    parser.add_argument("--data", type=Path, help="folder with the folder adult; without it Adult is left out")
    parser.add_argument("--mednist", type=Path, help="npz of images; without it mednist is left out")
    parser.add_argument("--raw", type=Path, default=Path(__file__).parent / "results" / "leakage.jsonl")
    a = parser.parse_args()
    command = " ".join(["python -m tests.benchmarks.leakage", *(
        "DIR" if i and sys.argv[i] == "--data" else Path(v).name if i and sys.argv[i] in ("--mednist", "--raw") else v
        for i, v in enumerate(sys.argv[1:]))])
    rare: dict[str, Callable[[int, set[tuple[str, str, int]]], list[dict]]] = {
        "ours": ours, "images": images, "scenes": scenes, "mednist": lambda seed, done: mednist(seed, done, a.mednist)}
    for number in range(a.first, a.rounds):
        for part in a.parts:
            if (part in rare and number >= a.few) or (part == "adult" and a.data is None) or (
                    part == "mednist" and a.mednist is None):
                continue
            known = read(a.raw)
            done = {(f["part"], f["kind"], f["seed"]) for f in known}
            seed = FIRST + number
            new = rare[part](seed, done) if part in rare else tables(
                part, seed, a.data, done, a.innocent)
            with a.raw.open("a") as file:
                file.writelines(json.dumps(f) + "\n" for f in new)
            if known or new:
                page = a.raw.with_suffix(".md")
                page.write_text(markdown(known + new, command, report.written(page, "| generators |")),
                                encoding="utf-8")
            print(f"round {number} {part}: {len(new)} judged, {sum(f['seconds'] for f in new):.0f} CPU s", flush=True)


def read(path: Path) -> list[dict]:
    """Rows judged before."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
