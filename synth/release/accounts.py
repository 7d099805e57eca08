"""What the entries of a ledger amount to: one account a run, what was spent, and whether there is room for more.

Budgets are added up (basic composition, Dwork and Roth 2014, theorem 3.16), which holds whatever the mechanisms were
and however they were chosen. Every release of a source counts in full for all of its people: a guarantee is about the
person who is worst off, so that two releases share *some* people is enough.

A run's account counts from its reservation on. It is freed if the run is *cancelled* before anybody saw its report,
or *expired* (its process died and nobody went on with it). A run whose report a gate stopped was *withheld*: it
counts, because a person who reads reports and trains again until one passes chooses among all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from synth.errors import UserError, VerificationError
from synth.release.sketch import Sketch
from synth.release.statements import behind

RESERVED, PUBLISHED, WITHHELD = "reserved", "published", "withheld"
CANCELLED, EXPIRED, REVOKED, RESTARTED = "cancelled", "expired", "revoked", "restarted"
_AFTER: dict[str, set[str | None]] = {  # event -> states of the run's account that it may follow
    RESERVED: {None, CANCELLED, EXPIRED}, PUBLISHED: {None, RESERVED, WITHHELD, PUBLISHED}, WITHHELD: {RESERVED},
    CANCELLED: {RESERVED}, EXPIRED: {RESERVED}, REVOKED: {PUBLISHED}, RESTARTED: {None},
}
COUNT = (RESERVED, PUBLISHED, WITHHELD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend:
    """An (epsilon, delta) of differential privacy; infinite where nothing is promised."""

    epsilon: float
    delta: float

    @classmethod
    def none(cls) -> Spend:
        """No promise at all."""
        return cls(epsilon=math.inf, delta=1.0)

    @property
    def finite(self) -> bool:
        """True if it promises something."""
        return math.isfinite(self.epsilon)

    def to_json(self) -> dict[str, float] | None:
        """Plain data; ``None`` for no promise."""
        return {"epsilon": self.epsilon, "delta": self.delta} if self.finite else None

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Spend:
        """Read what :meth:`to_json` gave; ``ValueError`` if it cannot be."""
        if data is None:
            return cls.none()
        found = cls(epsilon=float(data["epsilon"]), delta=float(data["delta"]))
        if not (found.epsilon > 0 and math.isfinite(found.epsilon) and 0 <= found.delta < 1):
            raise ValueError
        return found

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:.6g}, delta {self.delta:.3g}" if self.finite else "no formal guarantee"


def together(spends: Iterable[Spend]) -> Spend:
    """Basic composition; (0, 0) of nothing."""
    spends = list(spends)
    return Spend(epsilon=math.fsum(s.epsilon for s in spends), delta=min(math.fsum(s.delta for s in spends), 1.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What the ledger knows of one run."""

    run: str
    state: str
    at: str  # of the last entry about it
    sequence: int
    contract: str = ""  # name and version
    spend: Spend = Spend(epsilon=math.inf, delta=1.0)
    total: Spend | None = None  # what the contract promised all releases of the source together
    people: Sketch | None = None
    release: str = ""  # NAME/VERSION
    manifest_digest: str = ""
    attacks: tuple[Mapping[str, Any], ...] = ()
    revoked: bool = False
    key: str = ""  # who signed the last entry
    reason: str = ""

    @property
    def counts(self) -> bool:
        """True if its budget is spent or held back."""
        return self.state in COUNT and (self.state == PUBLISHED or self.spend.finite)


def replay(entries: Iterable[Mapping[str, Any]], where: str) -> dict[str, Account]:
    """Accounts by run, from the entries in order (``sequence``, ``key`` and what :mod:`ledger` writes).

    Raises :class:`VerificationError` where an entry does not follow from those before it.
    """
    accounts: dict[str, Account] = {}
    latest: str | None = None
    for entry in entries:
        number = int(entry["sequence"])
        try:
            event, run, at = str(entry["event"]), str(entry["run"]), str(entry["at"])
            before = accounts.get(run)
            if (None if before is None else before.state) not in _AFTER[event]:
                raise ValueError
            held = before or Account(run=run, state=event, at=at, sequence=number)
            if event in (RESERVED, PUBLISHED) and "spend" in entry:
                held = replace(held, contract=str(entry["contract"]), spend=Spend.from_json(entry["spend"]),
                               total=None if entry.get("total") is None else Spend.from_json(entry["total"]),
                               people=None if entry.get("people") is None
                               else Sketch.from_json(entry["people"], where))
            if event == PUBLISHED:
                held = replace(held, release=str(entry["release"]), manifest_digest=str(entry["manifest_digest"]),
                               attacks=tuple(entry.get("attacks") or ()))
        except (KeyError, TypeError, ValueError):
            raise VerificationError(f"entry {number} of the ledger does not follow from those before it", where=where,
                                    todo="restore the ledger from a copy") from None
        if latest is not None and behind(at, latest):
            raise VerificationError(f"entry {number} of the ledger is older than the one before it", where=where,
                                    todo="its writer's clock went back, or entries were put in another order")
        latest = at
        accounts[run] = replace(held, state=PUBLISHED if event == REVOKED else event, at=at, sequence=number,
                                revoked=held.revoked or event == REVOKED, key=str(entry["key"]),
                                reason=str(entry.get("reason", "")))
    return accounts


def others(accounts: Mapping[str, Account], run: str) -> list[Account]:
    """The accounts of other runs that count."""
    return [a for a in accounts.values() if a.run != run and a.counts]


def room(accounts: Mapping[str, Account], run: str, asked: Spend, total: Spend | None, where: str) -> None:
    """A :class:`UserError` if ``run`` may not spend what it asks for, beside the runs that count.

    ``total`` is the contract's bound for all releases of the source; an earlier release's bound holds for a run
    that promises nothing, too: it would take away what was promised to the same people.
    """
    before = others(accounts, run)
    if any(a.state == RESTARTED for a in accounts.values()) and total is not None:
        raise UserError("this ledger was started again in an empty store, so nobody knows what was spent before",
                        where=where, todo="restore the old ledger from a copy; without it no total can be kept")
    promised = [a for a in before if a.state == PUBLISHED and a.total is not None]
    if not asked.finite and promised:
        raise UserError(f"release {promised[-1].release} promised the same people that all releases together stay "
                        f"within {promised[-1].total}; this contract has no budget, so its release would break that",
                        where=where, todo="give the contract a `synthesis.budget` that fits into what is left")
    if total is None:
        return
    unbounded = [a for a in before if not a.spend.finite]
    if unbounded:
        raise UserError(f"{len(unbounded)} earlier releases of the same people (the last is "
                        f"{unbounded[-1].release}) have no formal guarantee, so no total over all releases can be "
                        "kept", where=where, todo="take totalEpsilon and totalDelta out of the contract: each release "
                                                  "then is bounded by itself, and the report says what came before")
    spent = together(a.spend for a in before)
    after = together([spent, asked])
    if after.epsilon > total.epsilon * (1 + 1e-9) or after.delta > total.delta * (1 + 1e-9):
        held = [a for a in before if a.state == RESERVED]
        waiting = f" ({len(held)} of them not finished: {', '.join(a.run for a in held[:3])})" if held else ""
        raise UserError(
            f"the budget of this source is used up: {len(before)} runs{waiting} spent {spent}; with {asked} for this "
            f"one the contract's total, {total}, would be exceeded", where=where,
            todo="release nothing more about these people, or lower epsilon and delta of this release; a larger total "
                 "is a decision for whoever answers for them")
