"""The facts of the report, as plain JSON data: ``report.json``, from which the page is rendered.

The fields follow what reviewers ask for (ISO/IEC 27559 context, data, identifiability, governance; WP29
05/2014; NIST SP 800-226 for the privacy statement). Everything from the private side passes
:mod:`validators.report.disclosure` on its way in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from synth.contract.model import Contract
from synth.errors import InternalError
from validators.finding import Finding, GateResult, Verdict, overall
from validators.report import context, privacy
from validators.report.disclosure import SHOWN, disclosure_check, plain, rounded, tidy, tidy_picture
from validators.report.summary import intruder, summary
from validators.report.words import CAVEAT, finite
from validators.waivers import given as waivers_given

SCHEMA_VERSION = "1.1"


def build(
    *,
    contract: Contract,
    results: Sequence[GateResult],
    run: Mapping[str, Any],
    plan: Mapping[str, Any],
    attempts: int,
    code: Mapping[str, Any],
    created: str,
    files: Mapping[str, str] | None = None,
    ledger: Mapping[str, Any] | None = None,
    decision: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report of one run.

    Args:
        contract: the contract the run was made under.
        results: what the gates found, in the order of the road; may be empty (then nothing was judged).
        run: the run's value-free record: ``id`` and ``stages`` (records of ingest, split, fit, generate).
        plan: limits in force, attack panel, seeds and their digest, fixed before training.
        attempts: trainings counted against this contract so far, this one included.
        code: ``commit`` and ``version`` of the software; other keys (``lock``, ``image``) are kept.
        created: time of the report, ISO 8601, UTC.
        files: SHA-256 by path of the files that were judged and are to be published; if not given, the shards
            that the generate stage recorded.
        ledger: earlier releases of the same people and what they spent (:func:`pipelines.counting.for_report`).
        decision: fields of the human decision that are known (channel, review_by, recall, waivers, ...).

    Returns:
        JSON-able data with finite numbers only, fit for :func:`validators.report.render`.

    Raises:
        InternalError: the finished report fails its own :func:`disclosure_check`; nothing may be written then.
    """
    stages: Mapping[str, Any] = run.get("stages") or {}
    k = contract.k
    splits = context.splits(stages.get("split") or {}, k)
    people = next((finite(s["entities"]) or finite(s["rows"]) for s in splits if s["part"] == "train"), None)
    verdict = overall(list(results))
    gates = [_gate(result, people, k) for result in results]
    run_id = str(run.get("id", ""))
    source = context.source(contract, stages.get("ingest") or {}, splits)
    if (stages.get("split") or {}).get("kept"):
        source["split_rule"] += "; whom earlier runs of this source held out was held out again"
    threats = context.threat_model(contract, results, plan, ledger or {})
    fitted = stages.get("fit") or {}
    seal = hashlib.sha256("\n".join((contract.digest, str(plan.get("digest", "")), run_id, created)).encode())
    report: dict[str, Any] = plain({
        "schema_version": SCHEMA_VERSION,
        "caveat": CAVEAT,
        "identity": {
            "report": seal.hexdigest()[:16], "run": run_id, "dataset": contract.name, "version": contract.version,
            "domain": contract.domain, "synthetic": True, "description": contract.description,
            "contract_digest": contract.digest, "plan_digest": plan.get("digest"), "created_at": created,
            "retained_until": contract.retention_until, "code": dict(code),
        },
        "verdict": {
            "overall": verdict, "gates": [_summary(result) for result in results],
            "counts": _counts(results), "blocking": [r.gate for r in results if r.verdict.blocks],
        },
        "summary": summary(gates, threats["not_tested"]),
        "source": source,
        "processing": context.processing(contract, stages.get("ingest") or {}),
        "model": context.model(contract, {k: v for k, v in fitted.items() if k != "privacy"},
                               stages.get("generate") or {}),
        "attempts": _attempts(contract, attempts, run.get("attempts")),
        "plan": _plan(plan),
        "threat_model": threats,
        "intruder": intruder(source["columns"], source["privacy_classes"]["sensitive"]),
        "dp": privacy.statement(fitted.get("privacy"), ledger or {}, code.get("commit"), k, _audit(results)),
        "ledger": dict(ledger or {}),
        "gates": gates,
        "findings": _findings(results),
        "access": [dict(zip(("what", "who", "where"), row, strict=True)) for row in context.ACCESS],
        "decision": context.decision(contract, waivers_given(results), ledger or {}, decision or {}),
        "integrity": {"files": [{"path": p, "sha256": d} for p, d in sorted((files or _shards(stages)).items())],
                      "marking": "The manifest and the data card state that the data are synthetic.",
                      "signature": "Ed25519 over an in-toto statement (DSSE), checked before any path is given out.",
                      "source_fingerprint": "none published: a plain hash of private data can be guessed"},
    })
    if problems := disclosure_check(report, k):
        raise InternalError(f"the report would say too much, {len(problems)} times: {problems[0]}",
                            todo="a gate must aggregate more before it hands a figure to the report")
    return report


def _audit(results: Sequence[GateResult]) -> Any:
    """What an audit of the promise found, if there was one."""
    return next((f.detail["audit"] for r in results for f in r.findings if "audit" in f.detail), None)


def _shards(stages: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the dressed shards: the only artefacts of a stage that are to leave."""
    artefacts = (stages.get("generate") or {}).get("artefacts") or {}
    return {path: digest for path, digest in artefacts.items() if path.startswith("data/")}


def bad_end(finding: Mapping[str, Any]) -> float | None:
    """The end of the interval that decides: high for "at most", low for "at least"; else the value."""
    end = finite(finding["high"] if finding["direction"] != "at least" else finding["low"])
    return finite(finding["value"]) if end is None else end


def margin(finding: Mapping[str, Any]) -> float | None:
    """Room between the deciding end and the limit, as a share of the limit (of one if it is zero)."""
    end, limit = bad_end(finding), finite(finding["limit"])
    if end is None or limit is None:
        return None
    return (end - limit if finding["direction"] == "at least" else limit - end) / (abs(limit) or 1.0)


def _deciding(findings: Sequence[Finding]) -> Finding | None:
    """The finding a gate's verdict rests on: the worst verdict first, then the least room to its limit."""
    severity = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.WAIVED: 2, Verdict.PASS: 3, Verdict.INFO: 4}

    def order(finding: Finding) -> tuple[int, bool, float]:
        room = margin({name: getattr(finding, name) for name in ("value", "low", "high", "limit", "direction")})
        exact = finding.low == finding.high  # counts at their limit say less than an interval near it
        return severity[finding.verdict], exact, 1e300 if room is None else room

    return min(findings, key=order, default=None)


def _summary(result: GateResult) -> dict[str, Any]:
    deciding = _deciding(result.findings)
    return {
        "gate": result.gate, "title": result.title, "question": result.question, "verdict": result.verdict,
        "judged": sum(f.verdict is not Verdict.INFO for f in result.findings),
        "deciding": None if deciding is None else {
            **{key: value for key, value in asdict(deciding).items() if key not in ("detail", "method", "n")},
            "p_value": finite(deciding.detail.get("p_value")),
        },
    }


def _gate(result: GateResult, people: float | None, k: int) -> dict[str, Any]:
    findings = []
    for finding in result.findings:
        shown = [SHOWN[p["kind"]].clean(p) for p in finding.detail.get("pictures") or [] if p.get("kind") in SHOWN]
        entry = plain(asdict(finding))
        pictures = tidy(entry["detail"].pop("pictures", None) or [], k)
        detail = tidy(entry.pop("detail"), k)
        entry["n"] = rounded(finding.n, k)
        entry["margin"] = margin(entry)
        entry["p_value"] = finite(detail.get("p_value"))  # what decides where a test has no limit of its own
        entry["pictures"] = shown + [tidy_picture(p, finite(entry["n"]) or people, k) for p in pictures
                                     if isinstance(p, dict) and p.get("kind") not in SHOWN]
        entry["detail"] = detail
        findings.append(entry)
    return {"gate": result.gate, "title": result.title, "question": result.question, "verdict": result.verdict,
            "seconds": round(result.seconds, 2), "findings": findings, "not_tested": list(result.not_tested)}


def _counts(results: Sequence[GateResult]) -> dict[str, int]:
    verdicts = [f.verdict for result in results for f in result.findings]
    return {verdict.value: verdicts.count(verdict) for verdict in Verdict}


def _attempts(contract: Contract, number: int, record: Any) -> dict[str, Any]:
    """How often this contract was trained on, and who allowed more than it allows."""
    record = record if isinstance(record, Mapping) else {}
    return {
        "made": number, "unpublished_before": record.get("unpublished"), "allowed": contract.max_attempts,
        "acknowledged": record.get("acknowledged") or "",
        "rule": "Every training against the same contract is counted, so that a limit cannot be passed by trying until "
                "luck helps.",
    }


def _plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Limits in force from :func:`validators.gates.plan` (``gates``: values by gate and name; ``changed``)."""
    changes = {(c["gate"], c["limit"]): c for c in plan.get("changed") or []}
    limits = []
    for gate, values in (plan.get("gates") or {}).items():
        for key, value in values.items():
            change = changes.get((gate, key), {})
            limits.append({"gate": gate, "key": key, "value": value, "default": change.get("default", value),
                           "changed": bool(change), "loosened": bool(change.get("loosened")),
                           "reason": change.get("reason", "")})
    known = ("gates", "changed", "digest", "contract", "domain")
    return {"digest": plan.get("digest"), "limits": limits, "changed": len(changes),
            "loosened": sum(bool(c.get("loosened")) for c in changes.values()),
            "rest": {key: value for key, value in plan.items() if key not in known}}


def _findings(results: Sequence[GateResult]) -> dict[str, Any]:
    every = [f for r in results for f in r.findings]
    return {
        "total": len(every),
        "blocking": [{"id": f.id, "title": f.title, "verdict": f.verdict, "remedy": f.remedy}
                     for f in every if f.verdict.blocks],
        "informative": [f.id for f in every if f.verdict is Verdict.INFO],
    }
