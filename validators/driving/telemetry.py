"""Channels of a vehicle's bus: are those that were learnt like those of untouched drives, and is none a replay?

What a measured channel is beyond the one that follows from the motion (:mod:`synth.driving.residual`) is looked at:
how it is distributed and how it remembers, against drives that the generator has not seen, and whether a synthetic
scene repeats what the sensors of a training drive did.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.driving.evidence import SceneEvidence
from synth.driving.residual import beyond
from synth.driving.scenes import MEASURED, Scenes
from synth.driving.telemetry import CHANNELS
from synth.seeds import generator
from validators import pictures
from validators import statistics as st
from validators.driving.arms import Arms, thinned, untouched, weights
from validators.finding import Finding, Verdict

GRID = 60  # cells between the outer quantiles of real values
OUTER = 0.002  # share of real values beyond the first and the last cell
LAGS = (1, 2, 5, 10)  # steps whose correlations are compared
NEARER = 0.5  # a scene whose nearest training drive is this much nearer than its nearest untouched one
PLANTED, NOISE = 60, 0.1  # copies planted to see what is found, and their noise in spreads
MOST = 1_500  # scenes of each set that are compared for replays


def learnt(evidence: SceneEvidence) -> list[int]:
    """Places in MEASURED of channels that every synthetic scene has of its own, and the real parts have too."""
    sets = evidence.synthetic, evidence.train, evidence.holdout, evidence.reference
    if any(s.measured is None for s in sets):
        return []
    drawn = evidence.synthetic.measured
    assert drawn is not None
    return [i for i in range(len(MEASURED)) if np.isfinite(drawn[:, i]).all()]


def fidelity(evidence: SceneEvidence, sample: Arms, limit: float) -> list[Finding]:
    """Which channels are learnt, and the worst of their distributions and memories; none where no telemetry is
    released."""
    block = evidence.contract.traffic
    if block is None or "telemetry" not in block.release:
        return []
    at = learnt(evidence)
    return [_origins([MEASURED[i] for i in at]), *([_alike(evidence, sample, at, limit)] if at else [])]


def _origins(names: list[str]) -> Finding:
    derived = [name for name in CHANNELS if name not in names]
    return Finding(
        id="fidelity.telemetry.origin", title="Channels of telemetry that were learnt from measured logs",
        value=float(len(names)), unit="channels", n=len(CHANNELS), verdict=Verdict.INFO,
        method=(f"learnt: {', '.join(names).replace('_', ' ')}; " if names else "")
        + f"derived from the motion, without what sensors add: {', '.join(derived).replace('_', ' ')}",
        remedy="information only")


def _whole(scenes: Scenes, at: list[int]) -> NDArray[np.bool_]:
    assert scenes.measured is not None
    return np.asarray(np.isfinite(scenes.measured[:, at]).all((1, 2)))


def _alike(evidence: SceneEvidence, sample: Arms, at: list[int], limit: float) -> Finding:
    title = "Worst channel of telemetry, in what it is beyond the motion, beyond the floor"
    sets, drawn = (sample.real, sample.synthetic), weights(evidence, sample, "telemetry")
    rows = [_whole(s, at) for s in sets]
    if min(r.sum() for r in rows) < PLANTED:
        return Finding(id="fidelity.telemetry", title=title, verdict=Verdict.INCONCLUSIVE, value=None, limit=limit,
                       power="not computed: n too small", method=f"needs {PLANTED} scenes with every learnt channel",
                       remedy="provide more logs with these channels, or leave them out of the contract")
    values = [beyond(s.take(r))[:, at] for s, r in zip(sets, rows, strict=True)]
    w = [d[r] for d, r in zip(drawn, rows, strict=True)]
    names, cells = [], []
    for i, place in enumerate(at):
        names += [f"{MEASURED[place].replace('_', ' ')}, {what}" for what in ("values", "memory")]
        cells += [_moved([v[:, i] for v in values], w), _remembered([v[:, i] for v in values], w)]
    draws = np.stack(cells)
    worst, lows, highs, verdict, error = st.worst_of(draws, limit)
    shown = [pictures.interval_row(n, v, lo, hi, 0.0, limit)
             for n, v, lo, hi in zip(names, draws[:, 0], lows, highs, strict=True)]
    needed = st.rows_to_pass(sample.size, float(highs[worst] - draws[worst, 0]), error, limit)
    return Finding(
        id="fidelity.telemetry", title=title, value=st.number(draws[worst, 0]), low=st.number(lows[worst]),
        high=st.number(highs[worst]), unit="spreads, or correlation", floor=0.0, limit=limit,
        n=st.rounded(sample.size), verdict=verdict,
        method="what channels are beyond those derived from the motion: first Wasserstein distance to untouched drives "
               f"in spreads of the channel, and the largest difference of correlations {', '.join(map(str, LAGS))} "
               "steps apart, each less the noise of two real sets; bounds hold for all at once (max-statistic); "
               "bootstrap by entity",
        power=f"an excess of {st.detectable(error):.3f} with 80 % power",
        remedy=st.remedy(verdict, f"sensors are not learnt well: {names[worst]}; give more logs, or leave the channel "
                         "out of the contract", needed, sample.size, "scenes a set"),
        detail={"worst": names[worst], "pictures": [pictures.intervals(title, shown, "spreads, or correlation")]})


def _beyond_noise(totals: list[NDArray[np.float64]], unit: float) -> NDArray[np.float64]:
    """Largest or summed differences of two weighted sets [P, 1 + draws] less the noise of their draws."""
    found = np.abs(totals[1] - totals[0]).sum(axis=0) * unit
    noise = np.sqrt(sum(((np.abs(t[:, 1:] - t[:, :1]).sum(axis=0) * unit) ** 2).mean() for t in totals))
    return np.asarray(found - noise)


def _moved(values: list[NDArray[np.float64]], drawn: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """First Wasserstein distance of all values, in spreads, beyond noise [1 + draws]."""
    low, high = np.quantile(values[0], [OUTER, 1 - OUTER])
    spread, width = max(float(values[0].std()), 1e-9), max(float(high - low), 1e-9) / GRID
    totals = []
    for data, w in zip(values, drawn, strict=True):
        cell = np.clip(((data - low) / width).astype(int) + 1, 0, GRID + 1)
        counts = np.stack([(cell == c).sum(1) for c in range(GRID + 2)], 0).astype(np.float64) @ w
        totals.append(np.cumsum(counts / np.maximum(counts.sum(axis=0), 1e-9), axis=0))
    return _beyond_noise(totals, width / spread)


def _remembered(values: list[NDArray[np.float64]], drawn: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Largest difference of autocorrelations, beyond noise [1 + draws]."""
    found = []
    for lag in (lag for lag in LAGS if lag < values[0].shape[1]):
        totals = []
        for data, w in zip(values, drawn, strict=True):
            centred = data - data.mean()
            own = np.stack([(centred[:, lag:] * centred[:, :-lag]).mean(1), (centred**2).mean(1)])
            above, below = (part @ w for part in own)
            totals.append((above / np.maximum(below, 1e-12))[None])
        found.append(_beyond_noise(totals, 1.0))
    return np.max(found, axis=0)


def replays(evidence: SceneEvidence, excess: float, sensitivity: float) -> list[Finding]:
    """Synthetic scenes whose sensors repeat a training drive's; none where no channel is learnt.

    Of each scene the nearest drive of train and the nearest of as many untouched ones are found by what all learnt
    channels are beyond the motion, in spreads. Fresh draws come as often far nearer to the one as to the other; what is
    more often nearer to train is replayed. Training drives with a tenth of their spread as noise, planted among the
    synthetic ones, say what would have been seen. Windows of a drive overlap, so a replay between two of them is near
    to both only if sensors change slowly: at zero shift alone is looked.
    """
    at = learnt(evidence)
    if not at:
        return []
    title = "Scenes whose telemetry repeats a training drive's beyond its motion"
    rng = generator(evidence.seed, "leakage", "telemetry")
    sets = [s.take(_whole(s, at)) for s in (evidence.synthetic, evidence.train, untouched(evidence))]
    size = min(MOST, *(len(s) for s in sets[1:]))
    if size < PLANTED:
        return [Finding(id="leakage.telemetry", title=title, verdict=Verdict.INCONCLUSIVE, value=None, limit=excess,
                        power="not computed: n too small", method=f"needs {PLANTED} scenes with every learnt channel "
                        "in train and in holdout and reference", remedy="provide more logs with these channels")]
    made, train, other = thinned(sets[0], MOST, rng), thinned(sets[1], size, rng), thinned(sets[2], size, rng)
    spread = np.maximum(beyond(train)[:, at].std((0, 2)), 1e-9)[:, None]
    queries, known, unknown = ((beyond(s)[:, at] / spread).reshape(len(s), -1) for s in (made, train, other))
    ratio = np.log(_nearest(queries, known) / _nearest(queries, unknown))
    near, far = ratio < np.log(NEARER), ratio > -np.log(NEARER)
    share = float(near.mean() - far.mean())
    error = float(np.sqrt(max(near.mean() + far.mean() - share**2, 1.0 / len(near)) / len(near)))
    low, high = (share + sign * st.quantile(st.LEVEL) * error for sign in (-1, 1))
    copies = known[rng.integers(0, len(known), PLANTED)]
    copies = copies + NOISE * rng.normal(size=copies.shape)
    seen = float((np.log(_nearest(copies, known) / _nearest(copies, unknown)) < np.log(NEARER)).mean())
    verdict = st.at_most(low, high, excess)
    if verdict is Verdict.PASS and seen < sensitivity:
        verdict = Verdict.INCONCLUSIVE
    return [Finding(
        id="leakage.telemetry", title=title, value=st.number(share, 4), low=st.number(low, 4), high=st.number(high, 4),
        unit="share of scenes", floor=0.0, limit=excess, n=st.rounded(len(made)), verdict=verdict,
        method=f"share whose nearest training drive is at most {NEARER:g} times as far as the nearest untouched one, "
               f"less the share the other way round; {', '.join(MEASURED[i] for i in at).replace('_', ' ')} beyond the "
               f"motion; of {PLANTED} planted replays {100 * seen:.0f} % are seen (at least {100 * sensitivity:.0f} %)",
        power=f"an excess of {st.detectable(error):.4f} with 80 % power, of replays as planted "
              f"{st.detectable(error) / max(seen, 1e-9):.4f}",
        remedy="the sensors of training drives are replayed: report it with the contract"
        if verdict is Verdict.FAIL else "give more logs, or leave the channels out of the contract",
        detail={"sensitivity": st.number(seen)})]


def _nearest(queries: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each query to the nearest target."""
    square = (queries**2).sum(1)[:, None] + (targets**2).sum(1) - 2 * queries @ targets.T
    found: NDArray[np.float64] = np.sqrt(np.maximum(square.min(1), 1e-12))
    return found
