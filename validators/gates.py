"""The registry of gates, what limits are in force, and the one call that judges.

Limits, seeds and the attack panel are fixed by :func:`plan` before training; its digest is recorded then and
checked by :func:`judge`, so that nobody moves a limit after having seen the result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from synth.contract import Contract
from synth.errors import InternalError, UserError
from synth.progress import Progress, Silent, Step
from validators import releases, waivers
from validators.finding import Finding, GateResult


@dataclass(frozen=True)
class Gate:
    """A gate by name; its module is imported when it is used (sklearn and Great Expectations are heavy)."""

    name: str
    module: str

    def limits(self, contract: Contract) -> Any:
        """The gate's ``Limits`` with what the contract changed."""
        kind: Any = importlib.import_module(self.module).Limits
        defaults = kind()
        return kind(**{f.name: contract.limit(self.name, f.name, getattr(defaults, f.name))
                       for f in dataclasses.fields(kind)})

    def run(self, evidence: Any, contract: Contract) -> GateResult:
        """Judge under the limits in force."""
        return importlib.import_module(self.module).run(evidence, self.limits(contract))


GATES: dict[str, tuple[Gate, ...]] = {
    "driving": (
        Gate("contract", "validators.driving.contract"),
        Gate("fidelity", "validators.driving.fidelity"),
        Gate("diversity", "validators.driving.diversity"),
        Gate("downstream", "validators.driving.downstream"),
        Gate("leakage", "validators.driving.leakage"),
    ),
    "medical": (
        Gate("contract", "validators.medical.contract"),
        Gate("fidelity", "validators.medical.fidelity"),
        Gate("diversity", "validators.medical.diversity"),
        Gate("downstream", "validators.medical.downstream"),
        Gate("leakage", "validators.medical.leakage"),
    ),
    "tabular": (
        Gate("contract", "validators.contract"),
        Gate("fidelity", "validators.fidelity"),
        Gate("diversity", "validators.diversity"),
        Gate("downstream", "validators.downstream"),
        Gate("leakage", "validators.leakage"),
    ),
}


PANELS = {"driving": "validators.driving.leakage.PANEL",
          "medical": "validators.medical.leakage.PANEL",
          "tabular": "validators.leakage.PANEL"}


def gates(domain: str) -> tuple[Gate, ...]:
    """The panel of a domain; a :class:`UserError` if it has none."""
    if domain not in GATES:
        raise UserError(f"there are no gates for domain {domain!r}",
                        todo=f"domains with gates: {', '.join(sorted(GATES))}")
    return GATES[domain]


def panel(domain: str) -> list[str]:
    """Names of the attacks that a domain's leakage gate runs."""
    module, name = PANELS[domain].rsplit(".", 1)
    return sorted(getattr(importlib.import_module(module), name))


def plan(contract: Contract) -> dict[str, Any]:
    """Everything that decides, before anything was seen: limits in force, changes with reasons, attacks.

    ``digest`` is the SHA-256 of the rest; it goes into the run's record before training.
    """
    from validators import statistics

    fixed: dict[str, Any] = {"domain": contract.domain, "contract": contract.digest, "level": statistics.LEVEL,
                             "bootstrap_draws": statistics.DRAWS, "attacks": panel(contract.domain), "gates": {},
                             "changed": []}
    reasons = {(limit.gate, limit.key): limit.reason for limit in contract.limits}
    for gate in gates(contract.domain):
        kind = importlib.import_module(gate.module).Limits
        force = gate.limits(contract)
        fixed["gates"][gate.name] = {f.name: getattr(force, f.name) for f in dataclasses.fields(kind)}
        for f in dataclasses.fields(kind):
            value = getattr(force, f.name)
            if (gate.name, f.name) in reasons and value != f.default:
                looser = value > f.default if f.metadata.get("direction", "at most") == "at most" else value < f.default
                fixed["changed"].append({"gate": gate.name, "limit": f.name, "default": f.default, "value": value,
                                         "loosened": bool(looser), "reason": reasons[gate.name, f.name]})
    text = json.dumps(fixed, sort_keys=True, separators=(",", ":"))
    return {**fixed, "digest": hashlib.sha256(text.encode()).hexdigest()}


def check_limits(contract: Contract) -> list[UserError]:
    """What the gates cannot take of a contract, each with its line.

    Limits that name no gate, no limit of it, or lie outside its range; waivers that expired or that nobody can give.
    """
    panel = {gate.name: gate for gate in gates(contract.domain)}
    problems = waivers.check(contract, panel)
    for limit in contract.limits:
        where = f"{contract.path}:{limit.line}" if limit.line else str(contract.path)
        if limit.gate not in panel:
            problems.append(UserError(f"unknown gate {limit.gate!r}", where=where,
                                      todo=f"gates: {', '.join(panel)}"))
            continue
        known = {f.name: f.metadata.get("range", (-1e12, 1e12))
                 for f in dataclasses.fields(importlib.import_module(panel[limit.gate].module).Limits)}
        if limit.key not in known:
            problems.append(UserError(f"gate {limit.gate!r} has no limit {limit.key!r}", where=where,
                                      todo=f"limits of this gate: {', '.join(known)}"))
        elif not known[limit.key][0] <= limit.value <= known[limit.key][1]:  # not-a-number is in no range
            low, high = known[limit.key]
            problems.append(UserError(f"limit {limit.gate}.{limit.key} is not a number that can be meant", where=where,
                                      todo=f"give a number from {low:g} to {high:g}"))
        elif not limit.reason.strip():
            problems.append(UserError(f"limit {limit.gate}.{limit.key} is changed without a reason", where=where,
                                      todo="say why in `reason`; the report shows it"))
    return problems


def judge_union(evidence: Any, contract: Contract, controls: Finding, count: int,
                not_tested: Sequence[str] = ()) -> GateResult:
    """The leakage gate once more, on evidence that has earlier releases joined to the synthetic set.

    ``controls`` says whether those whom this run held out were held out by all ``count`` others, too: without
    that the attacks have nobody to compare with. ``not_tested``: releases that could not be joined, and why.
    """
    gate = next(gate for gate in gates(contract.domain) if gate.name == "leakage")
    return releases.renamed(gate.run(evidence, contract), controls, count, not_tested)


def judge(evidence: Any, contract: Contract, domain: str, progress: Progress | None = None,
          context: Mapping[str, Any] | None = None) -> list[GateResult]:
    """Run every gate of the domain's panel, in order.

    ``context`` may hold ``plan_digest`` (the plan recorded before training): another plan now is an
    :class:`InternalError`, because limits may not move once there is something to judge.
    """
    recorded = (context or {}).get("plan_digest")
    if recorded is not None and recorded != plan(contract)["digest"]:
        raise InternalError("the gates or their limits changed after this run was planned",
                            todo="start a new run; attempts are counted")
    progress = progress or Silent()
    panel, results = gates(domain), []
    with progress.step("judge", len(panel)) as step:
        for done, gate in enumerate(panel):
            step.update(done, gate.name)
            told = partial(_told, step, done, gate.name)
            results.append(gate.run(dataclasses.replace(evidence, watch=told), contract))
        step.update(len(panel))
    return results


def _told(step: Step, before: int, name: str, share: float, note: str, left: float) -> None:
    step.update(before + share, f"{name}: {note}", left)
