"""How often the copy detectors and the membership attacks on images stop a release with a share of copies in it.

    python -m tests.benchmarks.medical_leakage --data mednist_64_12k.npz --side 32 --seeds 5

The synthetic set is a fresh draw of the population in which a share of the images is replaced by training images,
shifted by up to a pixel and noisy (standard deviation .04 on the scale [-1, 1]). Phantoms are drawn with one and with
four images a patient. ``--data`` is an npz with ``images`` uint8 [n, side, side] and ``labels``: each image is taken
for a patient, though archives sliced from volumes have neighbouring slices, which is what copies look like.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract.model import Privacy  # noqa: E402
from synth.medical.evidence import ImageEvidence  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.benchmarks.medical_gates import drawn, population  # noqa: E402
from tests.validators.medical import patients  # noqa: E402
from validators.finding import Finding, Verdict  # noqa: E402
from validators.medical import leakage  # noqa: E402
from validators.medical.contrastive import Contrastive  # noqa: E402
from validators.medical.copies import copies, pieces  # noqa: E402
from validators.medical.correlation import Correlation  # noqa: E402
from validators.medical.membership import membership  # noqa: E402

SHARES = (0.0, 0.01, 0.05, 0.2)
KINDS = {"too near, encoder": "leakage.copies.encoder", "too near, correlation": "leakage.copies.correlation",
         "unmistakable, encoder": "leakage.copies.encoder.certain",
         "unmistakable, correlation": "leakage.copies.correlation.certain", "membership AUC": "leakage.membership.auc",
         "membership at 1 % false positives": "leakage.membership.tpr"}


def judged(e: ImageEvidence, encoder: Contrastive | None) -> list[Finding]:
    """What the gate finds, with an encoder trained once: it sees real images only. None: correlation alone."""
    limits = leakage.Limits()
    detectors = (Correlation(),) if encoder is None else (encoder, Correlation())
    found = copies(e, pieces(e), detectors, excess=limits.copies, sensitivity=limits.sensitivity,
                   either=limits.either, patients=int(limits.minimum_patients), images=int(limits.minimum_images))
    if encoder is None:
        return found
    return found + membership(e, encoder, auc=limits.auc, tpr=limits.tpr, critic=limits.critic,
                              patients=int(limits.minimum_patients))


def rows(name: str, sets: list[ImageEvidence], learned: bool) -> Iterator[str]:
    """A line for each share of copies."""
    start = time.monotonic()
    encoders = [Contrastive.fit(np.concatenate(pieces(e).pixels), seed=e.seed) if learned else None for e in sets]
    if learned:
        print(f"{name}: {(time.monotonic() - start) / len(sets):.0f} s an encoder", flush=True)
    for share in SHARES:
        stopped, blocked, seen, asked = Counter[str](), Counter[str](), [], set[str]()
        for e, encoder in zip(sets, encoders, strict=True):
            found = judged(replace(e, synthetic=patients.memorised(e, share)), encoder)
            asked |= {f.id for f in found}
            blocked["any"] += any(f.verdict.blocks for f in found)
            stopped["any"] += any(f.verdict is Verdict.FAIL for f in found)
            stopped.update(f.id for f in found if f.verdict is Verdict.FAIL)
            seen.append([f.value for f in found if f.id.startswith("leakage.sensitivity")])
        sensitivity = " / ".join(f"{100 * v:.0f} %" for v in np.mean(np.array(seen, float), axis=0))
        line = (f"| {name} | {100 * share:g} % | {blocked['any']} | {stopped['any']} | "
                     f"{' | '.join(str(stopped[i]) if i in asked else '-' for i in KINDS.values())} | {sensitivity} |")
        print(line, flush=True)
        yield line


def main() -> None:
    """Run the grid and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--untouched", type=int, default=400, help="images of holdout and of reference from --data")
    parser.add_argument("--pixels-only", action="store_true", help="the correlation alone: much faster")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "medical_leakage.md")
    a = parser.parse_args()
    machine = report.machine()
    said = ["python -m tests.benchmarks.medical_leakage",
            *(Path(v).name if i and sys.argv[i] == "--data" else v for i, v in enumerate(sys.argv[1:]))]
    lines = ["# Copies among synthetic images", "", *str(__doc__).strip().splitlines()[4:], "",
             f"In each cell: of {a.seeds} sets, how many the finding stopped (fail). *Not released* also counts "
             "inconclusive ones; a dash: not run. The last column: planted copies that the encoder (if run), "
             "the correlation, and either (of the worst kind) find.", "", f"Command: `{' '.join(said)}`", "",
             f"Machine: {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['cpu']}, {machine['date']}.",
             "", f"| images | copied | not released | stopped | {' | '.join(KINDS)} | sensitivity |",
             "|---" * (len(KINDS) + 5) + "|"]
    plain = patients.contract()
    plain = replace(plain, columns=tuple(replace(c, privacy=Privacy.NONE) for c in plain.columns))
    sets = {f"phantoms, {count:,} patients with {images}": [
        patients.evidence(count, 100 + s, images=images, terms=plain) for s in range(a.seeds)]
        for count, images in ((300, 4), (1_000, 1))}
    if a.data is not None:
        everything, contract, schema = population(a.data, a.side, 6_000)
        sets[f"{a.data.stem.split('_')[0]}, {a.side} px, {3 * a.untouched + 2 * a.untouched:,} images"] = [
            drawn(everything, contract, schema, 3 * a.untouched, a.untouched, s) for s in range(a.seeds)]
    for name, drawn_sets in sets.items():
        for line in rows(name, drawn_sets, not a.pixels_only):
            lines.append(line)
            a.out.write_text("\n".join([*lines, ""]), encoding="utf-8")  # what is there if the rest is stopped


if __name__ == "__main__":
    main()
