"""Shadow models of images and scenes: what they cost, whom they accuse, and what they find.

    python -m tests.benchmarks.shadows medical --people 600 --shadows 16 --rows rows.jsonl

Simulated patients or drivers, 60 % (scenes: half) of them train. Shadows are trained one after another; then released
sets are judged with them: fresh people (innocent), sets in which a share are training records moved and noisy, the
contract's recipe, and the same trained longer (``--over``). Each shadow is also attacked with those of other pairs: of
it is known who is inside. Bounds are the finding's (95 %, simultaneous); CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract.model import Training  # noqa: E402
from synth.progress import Silent  # noqa: E402
from synth.seeds import generator  # noqa: E402
from validators import shadowing  # noqa: E402
from validators.finding import Finding  # noqa: E402

INNOCENT = 20  # fresh sets


class Medical:
    """Phantoms of 32 px."""

    def __init__(self, people: int, seed: int, effort: float, count: int, each: int) -> None:
        from tests.validators.medical import patients
        from validators.medical import shadows
        from validators.medical.contrastive import Contrastive

        self.patients, self.shadows = patients, shadows
        terms = replace(patients.contract(), training=Training(recipe="medical/r3", effort=effort),
                        conditions=("lesion",))
        self.evidence = patients.evidence(people, seed, images=each, terms=terms)
        parts = [self.evidence.part(p).pixels for p in ("train", "holdout", "reference")]
        self.encoder = Contrastive.fit(np.concatenate(parts), seed=seed)
        self.pool = shadows.pooled(self.evidence, self.encoder, count)

    def fresh(self, seed: int) -> Any:
        """Innocent records."""
        return self.patients.people(len(self.evidence.synthetic), 90_000 + seed)

    def copies(self, share: float) -> Any:
        """Training records among fresh ones."""
        return self.patients.memorised(self.evidence, share)

    def trained(self, effort: float, seed: int) -> tuple[Any, Callable[[Any], np.ndarray]]:
        """What a generator of train draws, and its private score."""
        from synth.medical.generator import ImageGenerator

        e = self.evidence
        terms = replace(e.contract, training=replace(e.contract.training, effort=effort))
        model = ImageGenerator.fit(e.train, e.schema, terms, e.intensity, None, seed=seed, device="cpu",
                                   progress=Silent())
        return model.draw(len(e.synthetic), seed=seed), model.model.critic_scores


class Driving:
    """Toy motorway traffic."""

    def __init__(self, people: int, seed: int, effort: float, count: int, each: int) -> None:
        from tests.validators.driving import traffic
        from validators.driving import shadows

        self.traffic, self.shadows = traffic, shadows
        e = traffic.evidence(people, seed, each=each)
        self.evidence = replace(e, contract=replace(e.contract, training=Training(
            recipe="driving/likelihood", effort=effort)))
        self.pool = shadows.pooled(self.evidence, count)

    def fresh(self, seed: int) -> Any:
        """Innocent records."""
        return self.traffic.alone(self.traffic.drives(len(self.evidence.synthetic), 90_000 + seed))

    def copies(self, share: float) -> Any:
        """Training scenes, their places along and across the road noisy, among fresh ones."""
        from synth.driving.scenes import D, S, joined

        e, rng = self.evidence, generator(self.evidence.seed, "copies")
        count = int(share * len(e.synthetic))
        taken = e.train.take(rng.choice(len(e.train), count, replace=count > len(e.train)))
        states = taken.states.copy()
        states[..., [S, D]] += rng.normal(0, (0.5, 0.1), (*states.shape[:3], 2)) * taken.present[..., None, None]
        rest = e.synthetic.take(np.arange(count, len(e.synthetic)))
        return self.traffic.alone(joined(replace(taken, states=states.astype(np.float32)), rest))

    def trained(self, effort: float, seed: int) -> tuple[Any, Callable[[Any], np.ndarray]]:
        """What a generator of train draws, and its private score."""
        from synth.driving.generator import SceneGenerator

        e = self.evidence
        terms = replace(e.contract, training=replace(e.contract.training, effort=effort))
        model = SceneGenerator.fit(e.train, e.schema, terms, seed=seed, device="cpu", progress=Silent())
        return model.draw(len(e.synthetic), seed=seed), model.scores


KINDS: dict[str, Any] = {"medical": Medical, "driving": Driving}


def told(found: list[Finding]) -> dict[str, Any]:
    """Figures of the judged finding, of every attack, and of the private one."""
    first, rest = found[0], found[1:]
    by_attack = [(row["label"], row["value"]) for row in first.detail["pictures"][0]["rows"]]
    return {"value": first.value, "low": first.low, "high": first.high, "worst": first.detail["worst"],
            "epsilon": first.detail["epsilon_low"], "by_attack": by_attack,
            "private": [(f.value, f.low, f.high) for f in rest]}


def attacked(side: Any, scores: np.ndarray) -> Iterator[tuple[float, float]]:
    """(AUC, upper bound) of each shadow as the released model, told by those of other pairs.

    The one that completes it would tell whom it has left out.
    """
    design = side.pool.design
    who = np.unique(design.owners[design.rows])
    for number in range(len(scores)):
        others = np.flatnonzero(np.arange(len(scores)) // 2 != number // 2)
        part = shadowing.Pool(replace(design, inside=design.inside[others]), design.inside[number][who])
        found = side.shadows.verdict(part, scores[others], scores[number], 0.6)[0]
        yield float(found.value or 0), float(found.high or 0)


def main() -> None:
    """Train, judge, print and write rows."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("domain", choices=sorted(KINDS))
    ask.add_argument("--people", type=int, default=600)
    ask.add_argument("--each", type=int, default=1, help="records of a person")
    ask.add_argument("--shadows", type=int, default=16)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--effort", type=float, default=0.2)
    ask.add_argument("--over", type=float, nargs="*", default=[1.0], help="efforts of over-trained generators")
    ask.add_argument("--copies", type=float, nargs="*", default=[0.01, 0.05, 0.2, 1.0])
    ask.add_argument("--rows", type=Path)
    said = ask.parse_args()
    clock = time.process_time()
    side = KINDS[said.domain](said.people, said.seed, said.effort, said.shadows, said.each)
    about = {"domain": said.domain, "people": said.people, "each": said.each, "shadows": said.shadows,
             "seed": said.seed, "effort": said.effort}

    def note(kind: str, **figures: Any) -> None:
        nonlocal clock
        row = {**about, "kind": kind, **figures, "cpu": round(time.process_time() - clock, 1)}
        clock = time.process_time()
        print(json.dumps(row), flush=True)
        if said.rows:
            with said.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")

    design = side.pool.design
    note("prepared", targets=len(side.pool.members), trained_on=int(design.inside[0].sum()), draws=design.draws)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "design").write_bytes(shadowing.pickle.dumps(design))
        for number in range(said.shadows):
            shadowing.work(Path(folder), number)
            note("shadow", number=number)
        scores = np.stack([np.load(Path(folder) / f"{n}.npy") for n in range(said.shadows)])

    def judge(kind: str, synthetic: Any, private: Callable[[Any], np.ndarray] | None = None, **more: Any) -> None:
        evidence = replace(side.evidence, synthetic=synthetic, critic=private)
        note(kind, **more, **told(side.shadows.judged(evidence, side.pool, scores, 0.6)))

    found = list(attacked(side, scores))
    note("a shadow, by the others", values=[round(v, 3) for v, _ in found], highs=[round(h, 3) for _, h in found])
    for number in range(INNOCENT):
        judge("innocent", side.fresh(number), number=number)
    for share in said.copies:
        judge("copies", side.copies(share), share=share)
    for effort in (said.effort, *said.over):
        judge("recipe", *side.trained(effort, said.seed + 5), trained=effort)


if __name__ == "__main__":
    main()
