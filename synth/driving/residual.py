"""What measured channels of a vehicle's bus add to those that follow from its motion: a small law, learnt from logs.

Sensors lag, drift, tremble and know what a scene in its road's frame does not (the bend of the road, the slope, the
gear). Of each channel that logs measured, what it is beyond the derived one (:mod:`.telemetry`) is a regression on the
derived channels, on how they change, on channels before it at the same time and on its own last two values, with a
spread that depends on the derived channels, and surprises from a table of quantiles: an autoregressive process with
exogenous input (Box, Jenkins and Reinsel, "Time Series Analysis", 1994, chapter 11) of some forty numbers a channel,
which cannot hold a drive. How strongly it is held back is chosen by the likelihood of drivers left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.scenes import MEASURED, Scenes
from synth.driving.telemetry import CHANNELS, telemetry
from synth.seeds import generator

Floats = NDArray[np.float64]
SCALES = {"speed": 20.0, "acceleration": 2.0, "lateral_acceleration": 2.0, "yaw_rate": 0.1, "steering_angle": 0.02,
          "throttle": 0.5, "brake": 0.5}  # ordinary sizes, of no data set
RIDGES = (1e-6, 1e-4, 1e-2, 1.0)  # tried, by the row
TIMES, STEADY = 32, 0.98  # parts of a table of quantiles; how near to a random walk a process may come
LEAST, SHARE = 100, 0.5  # scenes that a channel needs, and share of all
HELD = 0.2  # of the entities, to choose by
SMALLEST = 1e-4  # spread


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """Location and log-spread as weights of features, and ``surprises``: quantiles at even steps, in spreads."""

    location: tuple[float, ...]
    spread: tuple[float, ...]
    surprises: tuple[float, ...]

    def draw(self, features: Floats, context: Floats, chance: Floats) -> Floats:
        """Values [n] of features [n, P] and a context [n, Q]; ``chance`` [n] uniform."""
        levels = np.linspace(0, 1, len(self.surprises))
        found: Floats = features @ np.array(self.location) + _spread(context, np.array(self.spread)) * np.interp(
            chance, levels, self.surprises)
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One measured channel: how it begins, how it goes on, and the bounds of what was measured."""

    name: str
    first: Law
    then: Law
    low: float
    high: float


@dataclass(frozen=True)
class Residual:
    """Laws of the channels that were learnt, in the order in which they are drawn."""

    channels: tuple[Channel, ...]

    @classmethod
    def fit(cls, scenes: Scenes, *, k: int, seed: int) -> tuple[Residual | None, dict[str, Any]]:
        """From train scenes, and what was gained (for the history): mean log-likelihood of a held-back value, nats,
        beside a constant normal one. ``None`` where no channel was measured in enough scenes."""
        if scenes.measured is None or not len(scenes):
            return None, {}
        finite = np.asarray(np.isfinite(scenes.measured).all(2))
        names = [name for i, name in enumerate(MEASURED)
                 if finite[:, i].sum() >= LEAST and finite[:, i].mean() >= SHARE]
        at = [MEASURED.index(name) for name in names]
        whole: NDArray[np.bool_] = np.asarray(finite[:, at].all(1))
        if not names or whole.sum() < LEAST:
            return None, {}
        scenes = scenes.take(whole)
        given = np.asarray(scenes.measured, np.float64)[:, at]
        context, base = _context(scenes), _derived(scenes)
        beyond = given - np.stack([base[name] for name in names], 1)
        entities = np.unique(scenes.entities)
        out = generator(seed, "held").permutation(entities)[:max(1, round(HELD * len(entities)))]
        held = np.isin(scenes.entities, out) if len(entities) > 1 else np.zeros(len(scenes), bool)
        made, told = [], {}
        for i, name in enumerate(names):
            first = _law(_begin(context, beyond[:, :i, 0]), context[:, 0], beyond[:, i, 0], held, scenes.entities, k)[0]
            features = _go_on(context, beyond[:, :i, 1:], beyond[:, i, :-1], before=np.concatenate(
                [beyond[:, i, :1], beyond[:, i, :-2]], 1))
            rows = features.reshape(-1, features.shape[-1]), context[:, 1:].reshape(-1, context.shape[-1])
            often = given.shape[2] - 1
            then, gained = _law(*rows, beyond[:, i, 1:].ravel(), np.repeat(held, often),
                                np.repeat(scenes.entities, often), k, steady=True)
            low, high = _reached(given[:, i].ravel(), np.repeat(scenes.entities, often + 1), k)
            made.append(Channel(name=name, first=first, then=then, low=low, high=high))
            told[name] = gained
        return cls(tuple(made)), told

    def draw(self, scenes: Scenes, *, seed: int) -> NDArray[np.float32]:
        """Measured channels float32 [n, len(MEASURED), T] of scenes' ego vehicles; NaN of those not learnt. Equal
        seeds give equal bytes."""
        n, steps = len(scenes), scenes.shape.steps
        rng = generator(seed, "telemetry")
        context, base = _context(scenes), _derived(scenes)
        beyond = np.zeros((n, len(self.channels), steps))
        for t in range(steps):
            for i, channel in enumerate(self.channels):
                chance, earlier = rng.random(n), beyond[:, :i, t]
                if t == 0:
                    beyond[:, i, 0] = channel.first.draw(_begin(context, earlier), context[:, 0], chance)
                else:
                    features = _go_on(context[:, t - 1:t + 1], earlier[..., None], beyond[:, i, t - 1:t],
                                      before=beyond[:, i, max(t - 2, 0), None])[:, 0]
                    beyond[:, i, t] = channel.then.draw(features, context[:, t], chance)
        found = np.full((n, len(MEASURED), steps), np.nan, np.float32)
        for i, channel in enumerate(self.channels):
            found[:, MEASURED.index(channel.name)] = np.clip(base[channel.name] + beyond[:, i], channel.low,
                                                             channel.high)
        return found

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data (private: learnt from the train part)."""
        return [asdict(channel) for channel in self.channels]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> Residual:
        """The inverse of :meth:`to_json`."""
        def law(said: dict[str, Any]) -> Law:
            return Law(location=tuple(said["location"]), spread=tuple(said["spread"]),
                       surprises=tuple(said["surprises"]))

        return cls(tuple(Channel(name=c["name"], first=law(c["first"]), then=law(c["then"]), low=c["low"],
                                 high=c["high"]) for c in data))


def beyond(scenes: Scenes) -> Floats:
    """What the measured channels are beyond the derived ones, float64 [n, len(MEASURED), T]; NaN: not measured."""
    assert scenes.measured is not None
    base = _derived(scenes)
    return np.asarray(scenes.measured, np.float64) - np.stack([base[name] for name in MEASURED], 1)


def _derived(scenes: Scenes) -> dict[str, Floats]:
    return {name: values.astype(np.float64) for name, values in telemetry(scenes).items()}


def _context(scenes: Scenes) -> Floats:
    """One and the derived channels in their ordinary sizes [n, T, 1 + channels]."""
    base = _derived(scenes)
    parts = [np.ones_like(base["speed"]), *(base[name] / SCALES[name] for name in CHANNELS)]
    return np.stack(parts, -1)


def _begin(context: Floats, earlier: Floats) -> Floats:
    """Features of a first value [n, P]; ``earlier`` [n, c] channels drawn before it."""
    return np.concatenate([context[:, 0], earlier], -1)


def _go_on(context: Floats, earlier: Floats, last: Floats, before: Floats) -> Floats:
    """Features of later values [n, T - 1, P]: context [n, T, Q] and its change, ``earlier`` channels [n, c, T - 1] at
    the same time, the ``last`` value and the one ``before`` [n, T - 1]."""
    change = context[:, 1:, 1:] - context[:, :-1, 1:]
    return np.concatenate([context[:, 1:], change, earlier.transpose(0, 2, 1), last[..., None], before[..., None]], -1)


def _spread(context: Floats, weights: Floats) -> Floats:
    found: Floats = np.exp(np.clip(context @ weights, np.log(SMALLEST), 5.0))
    return found


def _reached(values: Floats, who: NDArray[np.int64], k: int) -> tuple[float, float]:
    """The least and the largest value that ``k`` entities reach (half of them, where they are fewer than twice that):
    no bound is one driver's."""
    _, code = np.unique(who, return_inverse=True)
    ends = np.full((2, code.max() + 1), np.inf)
    np.minimum.at(ends[0], code, values)
    np.minimum.at(ends[1], code, -values)
    at = min(k, (ends.shape[1] + 1) // 2) - 1
    least, most = np.sort(ends, axis=1)[:, at]
    return float(least), float(max(-most, least))


def _law(features: Floats, context: Floats, values: Floats, held: NDArray[np.bool_], who: NDArray[np.int64], k: int, *,
         steady: bool = False) -> tuple[Law, dict[str, float]]:
    """The law of values [n] of entities ``who`` by likelihood, and its gain. ``steady``: the last two features are the
    process's own past, and their weights keep it from growing."""
    train = ~held if held.any() else np.ones(len(values), bool)
    chosen = held if held.any() else train
    best: tuple[float, float] = (-np.inf, RIDGES[0])
    for ridge in RIDGES:
        weights = _ridge(features[train], values[train], ridge, steady)
        spread = _spread_of(context[train], values[train] - features[train] @ weights)
        rest = values[chosen] - features[chosen] @ weights
        best = max(best, (_likely(rest, _spread(context[chosen], spread)), ridge))
    weights = _ridge(features, values, best[1], steady)
    rest = values - features @ weights
    spread = _spread_of(context, rest)
    z = rest / _spread(context, spread)
    surprises: Floats = np.quantile(np.clip(z, *_reached(z, who, k)), np.linspace(0, 1, TIMES + 1))
    plain = np.full(chosen.sum(), max(float(values[train].std()), SMALLEST))
    law = Law(location=tuple(weights.tolist()), spread=tuple(spread.tolist()), surprises=tuple(surprises.tolist()))
    return law, {"log_likelihood": best[0], "constant": _likely(values[chosen] - values[train].mean(), plain)}


def _ridge(features: Floats, values: Floats, ridge: float, steady: bool) -> Floats:
    square = features.T @ features / len(values) + ridge * np.eye(features.shape[1])
    weights: Floats = np.asarray(np.linalg.solve(square, features.T @ values / len(values)), np.float64)
    if steady:  # the triangle in which a second-order process is stationary
        own = weights[-2:]
        while max(own[0] + own[1], own[1] - own[0], -own[1]) > STEADY:
            own = own * 0.99
        weights[-2:] = own
    return weights


def _spread_of(context: Floats, rest: Floats) -> Floats:
    """Weights of the log-spread by likelihood of a normal: Newton's method on a convex loss."""
    weights = np.zeros(context.shape[1])
    weights[0] = np.log(max(float(rest.std()), SMALLEST))
    ridge = 1e-3 * np.eye(len(weights))
    ridge[0, 0] = 0.0
    for _ in range(20):
        ratio = np.minimum((rest / _spread(context, weights)) ** 2, 1e4)
        slope = context.T @ (1 - ratio) / len(rest) + ridge @ weights
        curve = context.T @ (context * (2 * ratio + 1e-3)[:, None]) / len(rest) + ridge + 1e-9 * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights = weights - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _likely(rest: Floats, spread: Floats) -> float:
    """Mean log-likelihood of normal rests, nats."""
    return float(np.mean(-0.5 * (rest / spread) ** 2 - np.log(spread) - 0.5 * np.log(2 * np.pi)))
