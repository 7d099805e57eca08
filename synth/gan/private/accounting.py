"""What a release has spent of its privacy budget, counted twice.

Everything here is Gaussian noise, once or on Poisson-sampled batches. Plain Gaussian mechanisms compose exactly:
together they are one Gaussian mechanism whose ``mu`` is the root of the summed squares of sensitivity / noise
(Dong, Roth, Su, "Gaussian differential privacy", 2022), and its delta at an epsilon has a closed form (Balle and
Wang 2018). With sampled batches among them the PRV accountant of Opacus counts (Gopi, Lee, Wutschitz 2021). Either
figure is computed again with Google's ``dp-accounting`` (privacy loss distributions, Doroshenko et al. 2022); if they
differ by more than two in a hundred, nothing is released.

How many mechanisms run and how noisy each is may depend on what earlier ones gave out: as long as the sum of squares
stays below what was fixed before, the whole is as private (fully adaptive composition, Smith and Thakurta 2022).

Neighbours differ by one unit that is added or removed.
"""

from __future__ import annotations

import importlib.metadata
import math
import warnings
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from synth.errors import InternalError, UserError

TOLERANCE = 0.02  # relative difference of two accountants at which a run stops
CURVE = (0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0)
_SLACK = 1e-9  # of rounding, when a planned budget is spent to its end


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Normal noise of standard deviation ``noise`` on something that one unit changes by ``sensitivity`` (L2)."""

    name: str
    noise: float
    sensitivity: float

    @property
    def mu(self) -> float:
        """Parameter of Gaussian differential privacy."""
        return self.sensitivity / self.noise

    def to_json(self) -> dict[str, Any]:
        """Its line in the statement; ``rho`` is that of zero-concentrated privacy."""
        return {"name": self.name, "kind": "gaussian", "noise": self.noise, "sensitivity": self.sensitivity,
                "rho": self.mu**2 / 2}


@dataclass(frozen=True, kw_only=True)
class SampledGaussian:
    """``steps`` sums over Poisson samples at ``rate``, each with noise of ``multiplier`` clipping norms."""

    name: str
    multiplier: float
    rate: float
    steps: int

    def to_json(self) -> dict[str, Any]:
        """Its line in the statement; the noise is in units of the clipping norm."""
        return {"name": self.name, "kind": "poisson-sampled gaussian", "noise": self.multiplier, "sensitivity": 1.0,
                "rate": self.rate, "steps": self.steps}


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A noisy count shown only above a threshold: with probability ``delta`` a unit's own category gets there."""

    name: str
    delta: float

    def to_json(self) -> dict[str, Any]:
        """Its line in the statement; the noise of the count has a line of its own."""
        return {"name": self.name, "kind": "stability threshold", "delta": self.delta}


Mechanism = Gaussian | SampledGaussian | Threshold


class Account:
    """What has been spent of (``epsilon``, ``delta``); more than that is refused before it happens."""

    def __init__(self, epsilon: float, delta: float, spent: tuple[Mechanism, ...] = ()) -> None:
        self.epsilon, self.delta, self.spent = epsilon, delta, list(spent)

    def spend(self, mechanism: Mechanism) -> None:
        """Write down a mechanism that is about to run; :class:`UserError` if the budget does not hold it."""
        if not self.allows(mechanism):
            raise UserError(f"the privacy budget is exhausted before {mechanism.name!r}",
                            todo="raise epsilon, ask for less, or stop here; nothing was released")
        self.spent.append(mechanism)

    def allows(self, mechanism: Mechanism) -> bool:
        """Whether the budget would hold this one, too."""
        return first([*self.spent, mechanism], self.delta) <= self.epsilon * (1 + _SLACK)

    @property
    def left(self) -> float:
        """Square of the ``mu`` that is left for plain Gaussian mechanisms (exact where all are)."""
        mine = self.delta - sum(m.delta for m in self.spent if isinstance(m, Threshold))
        if any(isinstance(m, SampledGaussian) for m in self.spent):
            raise InternalError("what is left beside sampled batches is no single figure")
        spent = sum(m.mu**2 for m in self.spent if isinstance(m, Gaussian))
        return max(0.0, largest_mu(self.epsilon, mine) ** 2 - spent)

    def statement(self) -> dict[str, Any]:
        """Epsilon by both accountants, the whole curve, and what follows for an attacker; checked to agree."""
        ours, theirs = first(self.spent, self.delta), second(self.spent, self.delta)
        agree(ours, theirs)
        return {
            "epsilon": self.epsilon, "delta": self.delta, "epsilon_spent": ours,
            "mechanisms": [_times(m.to_json(), len(list(same))) for m, same in groupby(self.spent)],
            "accountants": [{"name": _first_name(self.spent), "version": _version("opacus") if _sampled(self.spent)
                             else "1", "epsilon": ours},
                            {"name": "dp-accounting, privacy loss distributions",
                             "version": _version("dp-accounting"), "epsilon": theirs}],
            "curve": [[e, delta_of(self.spent, e)] for e in CURVE],
            "implied": {"tpr_at_1_percent_fpr": power(self.spent, ours, self.delta, 0.01)}}


def gaussian_delta(mu: float, epsilon: float) -> float:
    """The exact delta of a ``mu`` Gaussian mechanism at ``epsilon`` (Balle and Wang 2018, theorem 8)."""
    if mu <= 0:
        return 0.0
    above = ndtr(mu / 2 - epsilon / mu)
    return float(max(0.0, above - math.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The smallest epsilon of a ``mu`` Gaussian mechanism at ``delta``."""
    if mu <= 0 or gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    high = 1.0
    while gaussian_delta(mu, high) > delta:
        high *= 2
    return float(brentq(lambda e: gaussian_delta(mu, e) - delta, 0.0, high, xtol=1e-12, rtol=1e-12))


def largest_mu(epsilon: float, delta: float) -> float:
    """The ``mu`` that all Gaussian mechanisms of a budget may have together."""
    if not (epsilon > 0 and 0 < delta < 1 and math.isfinite(epsilon)):
        raise UserError("a privacy budget needs a finite epsilon above 0 and a delta between 0 and 1",
                        todo="correct `synthesis.budget`")
    high = 1.0
    while gaussian_delta(high, epsilon) < delta:
        high *= 2
    return float(brentq(lambda mu: gaussian_delta(mu, epsilon) - delta, 1e-9, high, xtol=1e-14, rtol=1e-13))


def first(spent: list[Mechanism], delta: float) -> float:
    """Epsilon at ``delta`` by our accountant: exact for Gaussian mechanisms, PRV where batches are sampled."""
    delta -= sum(m.delta for m in spent if isinstance(m, Threshold))
    if delta <= 0:
        return math.inf
    if not _sampled(spent):
        return gaussian_epsilon(_mu(spent), delta)
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(m.multiplier, m.rate, m.steps) for m in spent if isinstance(m, SampledGaussian)]
    if (mu := _mu(spent)) > 0:
        accountant.history.append((1 / mu, 1.0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about orders of the bound that only finds it its range
        rough = float(accountant.get_epsilon(delta, eps_error=0.1))
        return float(accountant.get_epsilon(delta, eps_error=min(0.01, max(1e-3, 0.003 * rough))))


def second(spent: list[Mechanism], delta: float) -> float:
    """The same with Google's library; ``inf`` if the thresholds alone use up delta."""
    delta -= sum(m.delta for m in spent if isinstance(m, Threshold))
    return float(_distribution(spent).get_epsilon(delta)) if delta > 0 else math.inf


def delta_of(spent: list[Mechanism], epsilon: float) -> float:
    """Delta at an epsilon, thresholds included; by the exact formula, or by Google's library."""
    more = sum(m.delta for m in spent if isinstance(m, Threshold))
    own = float(_distribution(spent).get_delta(epsilon)) if _sampled(spent) else gaussian_delta(_mu(spent), epsilon)
    return min(1.0, own + more)


def agree(ours: float, theirs: float) -> None:
    """:class:`InternalError` if two accountants tell different stories."""
    if not abs(ours - theirs) <= TOLERANCE * max(ours, theirs, 1e-12) + 1e-4:
        raise InternalError(f"two privacy accountants disagree: epsilon {ours:.4g} and {theirs:.4g}",
                            todo="nothing is released; report this with the record of the fit stage")


def power(spent: list[Mechanism], epsilon: float, delta: float, false_alarms: float) -> float:
    """Most true positives of any membership attack at this rate of false alarms."""
    if not _sampled(spent) and not any(isinstance(m, Threshold) for m in spent):
        return float(ndtr(ndtri(false_alarms) + _mu(spent)))
    return min(1.0, math.exp(min(epsilon, 50.0)) * false_alarms + delta)


def _times(line: dict[str, Any], times: int) -> dict[str, Any]:
    """One line for equal mechanisms in a row, with their ``rho`` together."""
    return {**line, "times": times, **({"rho": line["rho"] * times} if "rho" in line else {})}


def _sampled(spent: list[Mechanism]) -> bool:
    return any(isinstance(m, SampledGaussian) for m in spent)


def _mu(spent: list[Mechanism]) -> float:
    return math.sqrt(sum(m.mu**2 for m in spent if isinstance(m, Gaussian)))


def _distribution(spent: list[Mechanism]) -> Any:
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    for m in spent:  # one by one, and not as one mechanism of the summed mu: that is what is checked
        if isinstance(m, Gaussian):
            accountant.compose(dp_accounting.GaussianDpEvent(m.noise / m.sensitivity))
        elif isinstance(m, SampledGaussian):
            event = dp_accounting.PoissonSampledDpEvent(m.rate, dp_accounting.GaussianDpEvent(m.multiplier))
            accountant.compose(event, m.steps)
    return accountant


def _first_name(spent: list[Mechanism]) -> str:
    return "Opacus PRV" if _sampled(spent) else "exact composition of Gaussian mechanisms"


def _version(package: str) -> str:
    return importlib.metadata.version(package)
