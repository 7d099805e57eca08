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

from synth.contract.model import Contract, FixedCombinations, Inequality, Privacy
from validators.finding import Finding, GateResult, Verdict, overall
from validators.report.disclosure import plain, rounded, tidy, tidy_picture
from validators.report.words import CAVEAT, finite, plural

SCHEMA_VERSION = "1.0"
PARTS = ("train", "holdout", "reference")

ACCESS = (
    ("Synthetic table, its card, contract, manifest and signature, this report",
     "Whoever may read the release store", "The release folder"),
    ("Generator weights", "Operators of the workspace; they are not part of the release",
     "The private half of the workspace (mode 0700)"),
    ("Private table, splits, critic, checkpoints, private log", "Operators of the workspace",
     "The private half of the workspace (mode 0700)"),
)
NOT_TESTED = (
    "An attacker who holds the generator's weights or may ask it for any number of rows.",
    "Linkage with outside registers that this project does not have.",
    "Several releases made from the same source, put together.",
    "Anything that would amount to a formal guarantee: the attacks are a panel, not a proof.",
)


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
        files: SHA-256 by path of the files that were judged and are to be published.
        decision: fields of the human decision that are known (channel, review_by, recall, waivers, ...).

    Returns:
        JSON-able data with finite numbers only, fit for :func:`validators.report.render`.
    """
    stages: Mapping[str, Any] = run.get("stages") or {}
    k = contract.k
    splits = _splits(stages.get("split") or {}, k)
    people = next((finite(s["entities"]) or finite(s["rows"]) for s in splits if s["part"] == "train"), None)
    verdict = overall(list(results))
    gates = [_gate(result, people, k) for result in results]
    run_id = str(run.get("id", ""))
    seal = hashlib.sha256("\n".join((contract.digest, str(plan.get("digest", "")), run_id, created)).encode())
    return plain({
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
        "source": _source(contract, stages.get("ingest") or {}, splits),
        "processing": _processing(contract, stages.get("ingest") or {}),
        "model": _model(contract, stages.get("fit") or {}, stages.get("generate") or {}),
        "attempts": _attempts(contract, attempts, run.get("attempts")),
        "plan": _plan(plan),
        "threat_model": _threat_model(contract, results, plan),
        "dp": {"none": "no formal guarantee"},
        "gates": gates,
        "findings": _findings(results),
        "access": [dict(zip(("what", "who", "where"), row, strict=True)) for row in ACCESS],
        "decision": _decision(contract, decision or {}),
        "integrity": {"files": [{"path": p, "sha256": d} for p, d in sorted((files or {}).items())],
                      "marking": "The manifest and the data card state that the data are synthetic.",
                      "signature": "Ed25519 over an in-toto statement (DSSE), checked before any path is given out.",
                      "source_fingerprint": "none published: a plain hash of private data can be guessed"},
    })


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
    severity = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2, Verdict.INFO: 3}

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
            key: value for key, value in asdict(deciding).items() if key not in ("detail", "method", "n")
        },
    }


def _gate(result: GateResult, people: float | None, k: int) -> dict[str, Any]:
    findings = []
    for finding in result.findings:
        entry = plain(asdict(finding))
        pictures = tidy(entry["detail"].pop("pictures", None) or [], k, counts=False)
        detail = tidy(entry.pop("detail"), k)
        entry["n"] = rounded(finding.n, k)
        entry["margin"] = margin(entry)
        entry["pictures"] = [tidy_picture(p, finite(entry["n"]) or people, k) for p in pictures if isinstance(p, dict)]
        entry["detail"] = detail
        findings.append(entry)
    return {"gate": result.gate, "title": result.title, "question": result.question, "verdict": result.verdict,
            "seconds": round(result.seconds, 2), "findings": findings, "not_tested": list(result.not_tested)}


def _counts(results: Sequence[GateResult]) -> dict[str, int]:
    verdicts = [f.verdict for result in results for f in result.findings]
    return {verdict.value: verdicts.count(verdict) for verdict in Verdict}


def _splits(record: Mapping[str, Any], k: int) -> list[dict[str, Any]]:
    """One row a part, from whichever shape the split stage's record has: a mapping by part, or flat counts."""
    home = next((record[key] for key in ("parts", "counts", "splits") if isinstance(record.get(key), Mapping)), record)
    rows_by, entities_by = home.get("rows"), home.get("entities")
    splits = []
    for part in PARTS:
        entry = home.get(part)
        if isinstance(entry, Mapping):
            rows, entities = entry.get("rows"), entry.get("entities")
        elif isinstance(rows_by, Mapping):
            rows, entities = rows_by.get(part), entities_by.get(part) if isinstance(entities_by, Mapping) else None
        else:
            rows, entities = entry, home.get(f"{part}_entities")
        if rows is not None or entities is not None:
            splits.append({"part": part, "rows": rounded(rows, k), "entities": rounded(entities, k)})
    return splits


def _source(contract: Contract, record: Mapping[str, Any], splits: list[dict[str, Any]]) -> dict[str, Any]:
    seen = {c.get("name"): c for c in _columns_seen(record)}
    columns = [
        {"name": c.name, "missing_share": _share(seen.get(c.name, {}).get("missing_share"), record, contract.k),
         "folded_categories": seen.get(c.name, {}).get("folded_categories"),
         "role": c.role, "privacy": c.privacy, "protected": c.protected, "modelled": c.modelled,
         "target": c.name == contract.target, "entity": c.name == contract.entity, "description": c.description,
         "output": "as modelled" if c.modelled else
         "replaced by generated values" if c.generate.value == "generate" else "dropped"}
        for c in contract.columns
    ]
    return {
        "controller": contract.raw.get("tenant") or contract.raw.get("domain"), "licence": contract.licence,
        "purpose": contract.purpose, "unit_of_privacy": contract.entity or "every row is one entity",
        "rows": rounded(record.get("rows"), contract.k), "entities": rounded(record.get("entities"), contract.k),
        "splits": splits, "split_rule": "disjoint by entity, decided before training"
        + (", stratified by the target" if contract.target else ""),
        "target": contract.target, "task": contract.task, "columns": columns,
        "privacy_classes": {
            kind.value: [c.name for c in contract.columns if c.privacy is kind] for kind in Privacy
            if kind is not Privacy.NONE
        },
        "excluded": [c["name"] for c in columns if c["output"] == "dropped"],
    }


def _columns_seen(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    columns = record.get("columns")
    return [c for c in columns if isinstance(c, Mapping)] if isinstance(columns, list) else []


def _share(share: Any, record: Mapping[str, Any], k: int) -> float | str | None:
    """A share of private rows, or words where it stands for fewer than k of them."""
    figure, rows = finite(share), finite(record.get("rows"))
    if figure is None or rows is None:
        return None
    return f"fewer than {k} rows" if 0 < figure * rows < k else round(figure, 3)


def _processing(contract: Contract, record: Mapping[str, Any]) -> dict[str, Any]:
    bounded = [c.name for c in contract.columns if c.minimum is not None or c.maximum is not None]
    rules = []
    for constraint in contract.constraints:
        if isinstance(constraint, Inequality):
            rules.append(f"{constraint.low} {'<' if constraint.strict else '≤'} {constraint.high}")
        elif isinstance(constraint, FixedCombinations):
            rules.append(f"only known combinations of {', '.join(constraint.columns)}")
        else:
            rules.append(f"{constraint.total} = {' + '.join(constraint.parts)}")
    kept = {key: value for key, value in tidy(plain(record), contract.k).items() if key not in ("rows", "entities")
            and not (key == "columns" and isinstance(value, list))}
    return {
        "bounds": {"origin": "declared in the contract and confirmed by a person", "columns": bounded},
        "rare_rule": f"Categories with fewer than {contract.k} entities are folded into one.", "k": contract.k,
        "missing": "A missing value is a state of its own; nothing is filled in silently.",
        "constraints": rules, "record": kept,
    }


def _model(contract: Contract, fit: Mapping[str, Any], generate: Mapping[str, Any]) -> dict[str, Any]:
    record = tidy(plain(fit), contract.k)
    return {
        "recipe": contract.training.recipe, "effort": contract.training.effort, "row_cap": contract.training.max_rows,
        "options": {name: value for name, value in contract.training.options},
        "conditions": list(contract.conditions),
        "selection": "Early stopping and the choice among phases use a validation part of train. Holdout and "
                     "reference were not touched before the gates.",
        "released_phase": record.get("released_phase") or record.get("phase"),
        "seconds": finite(fit.get("seconds")), "record": record,
        "released": tidy(plain(generate), contract.k, counts=False),
        "access": "The weights and the critic stay in the private half of the workspace.",
    }


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


def _threat_model(contract: Contract, results: Sequence[GateResult], plan: Mapping[str, Any]) -> dict[str, Any]:
    sensitive = [c.name for c in contract.columns if c.privacy is Privacy.SENSITIVE]
    not_tested = {r.title: list(r.not_tested) for r in results if r.not_tested}
    return {
        "adversary": "Holds the whole synthetic table, this report, the contract and the source code; knows other "
                     "people of the same population; knows some or all columns of the person looked for.",
        "access": "The release only: neither the generator, nor its critic, nor any way to ask them.",
        "targets": [
            "Copies: is a real row in the release?",
            "Membership: was this person in the training data?",
            "Attributes: " + (f"what is the person's {', '.join(sensitive)}?" if sensitive else
                              "no column is declared sensitive, so nothing is looked for here."),
        ],
        "panel": plain(plan.get("attacks") or []),
        "not_tested": [*NOT_TESTED], "not_tested_by_gate": not_tested,
    }


def _findings(results: Sequence[GateResult]) -> dict[str, Any]:
    every = [f for r in results for f in r.findings]
    return {
        "total": len(every),
        "blocking": [{"id": f.id, "title": f.title, "verdict": f.verdict, "remedy": f.remedy}
                     for f in every if f.verdict.blocks],
        "informative": [f.id for f in every if f.verdict is Verdict.INFO],
    }


def _decision(contract: Contract, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "reviewers": list(contract.reviewers),
        "four_eyes": f"{plural(len(contract.reviewers), 'reviewer')} named in the contract",
        "waivers": [], "terms": "No attempt may be made to identify a person from these data.",
        "licence": contract.licence, "review_by": contract.retention_until,
        "cumulative_releases": "not tracked by this report: ask how many releases were made from the same source",
        **given,
    }
