"""A second opinion: some synthetic scenes are played in SUMO, which must see the same crashes and closeness."""

from __future__ import annotations

import numpy as np

from synth.driving import geometry, safety
from synth.driving.evidence import SceneEvidence
from synth.driving.files.replay import available, replay
from synth.seeds import generator
from validators import pictures
from validators import statistics as st
from validators.driving.rates import wilson
from validators.finding import Finding, Verdict

SCENES = 80  # played: half of them those that come closest to a crash, the others at random
FAR = 10.0  # s: a time to collision beyond is none
NEAR = 0.5  # s, or a quarter of SUMO's figure, that the two may differ by


def judge(evidence: SceneEvidence, limit: float) -> list[Finding]:
    """One finding; information only where SUMO is not installed."""
    title = "Replayed scenes where SUMO and this gate disagree"
    if not available():
        return [Finding(id="contract.replay", title=title, verdict=Verdict.INFO, value=None,
                        method="skipped: libsumo is not installed, so nobody else was asked",
                        remedy="install the extra 'demo' for a second opinion")]
    chosen = _chosen(evidence)
    scenes = evidence.synthetic.take(chosen)
    crash, least = replay(scenes)
    ours, close = geometry.collisions(scenes).any(axis=(1, 2)), np.minimum(safety.min_ttc(scenes), FAR)
    theirs = np.minimum(np.where(np.isfinite(least), least, FAR), FAR)
    other_crash = crash != ours
    # once boxes overlap, each tool has its own idea of what time is left
    other_time = (np.abs(theirs - close) > np.maximum(NEAR, 0.25 * theirs)) & ~(crash & ours)
    wrong = other_crash | other_time
    value = float(wrong.mean())
    low, high = wilson(value, len(wrong))
    verdict = st.at_most(low, high, limit)
    table = pictures.table("Replay in SUMO", ["of the replayed scenes", "share"], [
        ["collision seen by both", st.number(float((crash & ours).mean()))],
        ["collision seen by this gate only", st.number(float((ours & ~crash).mean()))],
        ["collision seen by SUMO only", st.number(float((crash & ~ours).mean()))],
        ["times to collision differ", st.number(float(other_time.mean()))]])
    return [Finding(
        id="contract.replay", title=title, value=st.number(value), low=st.number(low), high=st.number(high),
        unit="share of scenes", floor=0.0, limit=limit, n=len(wrong), verdict=verdict,
        method=f"{len(wrong)} synthetic scenes driven in SUMO, half of them the closest ones; collisions, and the ego "
               f"vehicle's least time to collision within {NEAR:g} s or a quarter; Wilson bounds",
        power=f"a disagreement in {100 * wilson(0.0, len(wrong))[1]:.0f} % of scenes cannot hide",
        remedy="the scenes do not play as they are told: look at sizes, lanes and the frame of the release",
        detail={"pictures": [table]})]


def _chosen(evidence: SceneEvidence) -> np.ndarray:
    """Rows of the scenes to play, sorted."""
    size = min(SCENES, len(evidence.synthetic))
    closest = np.argsort(safety.min_ttc(evidence.synthetic), kind="stable")[: size // 2]
    rest = np.setdiff1d(np.arange(len(evidence.synthetic)), closest)
    drawn = generator(evidence.seed, "driving", "replay").permutation(rest)[: size - len(closest)]
    return np.sort(np.concatenate([closest, drawn]))
