"""What the report says around the gates: the data, its processing, the model, the threats, the decision.

Built from the contract and from the value-free records of the stages; private counts and shares are rounded
or put into words on the way (:mod:`validators.report.disclosure`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synth.contract.model import DEFAULT_K, Contract, FixedCombinations, Inequality, Privacy
from synth.contract.pixels import Pixels, Window
from synth.contract.traffic import Traffic
from validators.finding import GateResult
from validators.report.disclosure import plain, rounded, share_of, tidy
from validators.report.words import finite, plural

ACCESS = (
    ("Synthetic data, their card, contract, manifest and signature, this report",
     "Whoever may read the release store", "The release folder"),
    ("Generator weights", "Operators of the workspace; they are not part of the release",
     "The private half of the workspace (mode 0700)"),
    ("Private data, splits, critic, checkpoints, private log", "Operators of the workspace",
     "The private half of the workspace (mode 0700)"),
)
UNSAID = "not stated in the contract"
PARTS = ("train", "holdout", "reference")

NOT_TESTED = (
    "An attacker who holds the generator's weights or may ask it for any number of rows.",
    "Linkage with outside registers that this project does not have.",
    "Anything that would amount to a formal guarantee: the attacks are a panel, not a proof.",
)


def splits(record: Mapping[str, Any], k: int) -> list[dict[str, Any]]:
    """One row a part, from the split stage's record (``rows`` and ``entities`` by part)."""
    rows, entities = record.get("rows") or {}, record.get("entities") or {}
    return [{"part": part, "rows": rounded(rows.get(part), k), "entities": rounded(entities.get(part), k)}
            for part in PARTS if part in rows or part in entities]


def source(contract: Contract, record: Mapping[str, Any], splits: list[dict[str, Any]]) -> dict[str, Any]:
    """Whose data it is, its parts and its columns; ``record`` is the ingest stage's."""
    rows, seen = finite(record.get("rows")), {c.get("name"): c for c in _columns_seen(record)}
    columns = [
        {"name": c.name, "missing_share": share_of(seen.get(c.name, {}).get("missing_share"), rows, contract.k),
         "folded_categories": seen.get(c.name, {}).get("folded_categories"),
         "role": c.role, "privacy": c.privacy, "protected": c.protected, "modelled": c.modelled,
         "target": c.name == contract.target, "entity": c.name == contract.entity, "description": c.description,
         "output": "as modelled" if c.modelled else
         "replaced by generated values" if c.generate.value == "generate" else "dropped"}
        for c in contract.columns
    ]
    return {
        "controller": contract.raw.get("tenant"), "licence": contract.licence,
        "legal_basis": contract.legal_basis or UNSAID,
        "collected": " to ".join(day.isoformat() for day in contract.collected) if contract.collected else UNSAID,
        "purpose": contract.purpose, "unit_of_privacy": contract.entity or _unit(contract),
        "rows": rounded(record.get("rows"), contract.k), "entities": rounded(record.get("entities"), contract.k),
        "splits": splits, "split_rule": "disjoint by entity, decided before training"
        + (", stratified by the target" if contract.target else ""),
        "target": contract.target, "task": contract.task, "columns": columns,
        "privacy_classes": {
            kind.value: [c.name for c in contract.columns if c.privacy is kind] for kind in Privacy
            if kind is not Privacy.NONE
        },
        "excluded": [c["name"] for c in columns if c["output"] == "dropped"],
        **({} if contract.pixels is None else {"pixels": pixels(contract.pixels)}),
        **({} if contract.traffic is None else {"traffic": traffic(contract.traffic)}),
    }


def _unit(contract: Contract) -> str:
    """The unit of privacy where no column names it."""
    if contract.traffic is not None:
        return "every track is a driver of its own, as the contract asserts"
    if contract.pixels is not None:
        return "every file is a patient of its own, as the contract asserts"
    return "every row is one entity"


def traffic(block: Traffic) -> dict[str, Any]:
    """What the contract says of the scenes."""
    return {"vehicles_of_a_scene": block.vehicles, "seconds": block.seconds, "rate_hz": block.rate,
            "friction": ", ".join(f"{name} {mu:g}" for name, mu in block.friction) or "dry road everywhere",
            "released_as": ", ".join(("own tables", *block.release)),
            "scenes_with_files_of_their_own": f"the first {block.scenario_files:,}, where the set has so many"}


def pixels(block: Pixels) -> dict[str, Any]:
    """What the contract says of the images."""
    window = block.window.value if isinstance(block.window, Window) else f"{block.window[0]:g} to {block.window[1]:g}"
    return {"modality": block.modality or "not stated", "size": " x ".join(map(str, block.size)),
            "channels": block.channels, "window": f"{window} {block.unit}".strip(), "bits": block.bits,
            "left_and_right_exchangeable": block.flips, "mask_classes": block.mask_classes,
            "released_as": block.release.value}


def _columns_seen(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    columns = record.get("columns")
    return [c for c in columns if isinstance(c, Mapping)] if isinstance(columns, list) else []


def processing(contract: Contract, record: Mapping[str, Any]) -> dict[str, Any]:
    """What was done to the data before training, and by which rules."""
    bounded = [c.name for c in contract.columns if c.minimum is not None or c.maximum is not None]
    rules = []
    for constraint in contract.constraints:
        if isinstance(constraint, Inequality):
            rules.append(f"{constraint.low} {'<' if constraint.strict else '≤'} {constraint.high}")
        elif isinstance(constraint, FixedCombinations):
            rules.append(f"only known combinations of {', '.join(constraint.columns)}")
        else:
            rules.append(f"{constraint.total} = {' + '.join(constraint.parts)}")
    shown = {"rows", "entities", "finished", "columns", "seconds"}
    kept = {key: _counts_rounded(value, contract.k) for key, value in tidy(plain(record), contract.k).items()
            if key not in shown}
    return {
        "bounds": {"origin": "declared in the contract and confirmed by a person", "columns": bounded},
        "rare_rule": f"Categories with fewer than {contract.k} entities are folded into one.", "k": contract.k,
        "k_default": DEFAULT_K, "k_reason": contract.k_reason if contract.k != DEFAULT_K else "",
        "missing": "A missing value is a state of its own; nothing is filled in silently.",
        "constraints": rules, "record": kept,
    }


def _counts_rounded(value: Any, k: int) -> Any:
    """Whatever whole number the ingest stage records is a count of private records or files."""
    if isinstance(value, Mapping):
        return {name: _counts_rounded(item, k) for name, item in value.items()}
    if isinstance(value, list):
        return [_counts_rounded(item, k) for item in value]
    return rounded(value, k) if isinstance(value, int) and not isinstance(value, bool) else value


SELECTED = "Early stopping and the choice among phases use a validation part of train."
SELECTED_WITHOUT = "Nothing was chosen by looking at train: training was given what was measured with noise."


def model(contract: Contract, fit: Mapping[str, Any], generate: Mapping[str, Any]) -> dict[str, Any]:
    """How the generator was trained and which phase made the release, from the records of fit and generate."""
    rows, history = finite(fit.get("rows")), fit.get("history")
    history = history if isinstance(history, Mapping) else fit
    phases = [
        {"name": phase.get("name"), "objective": phase.get("objective"), "steps": phase.get("steps"),
         "seconds": finite(phase.get("seconds")), "validation": finite(phase.get("validation"))}
        for phase in history.get("phases") or [] if isinstance(phase, Mapping)
    ]
    broken = fit.get("constraints_broken_in_data")
    shown = {"rows", "rows_available", "entities", "sampled", "recipe", "released_phase", "seconds", "phases",
             "history", "constraints_broken_in_data", "finished"}
    return {
        "recipe": fit.get("recipe") or contract.training.recipe, "effort": contract.training.effort,
        "row_cap": contract.training.max_rows,
        "options": {name: value for name, value in contract.training.options},
        "conditions": list(contract.conditions),
        "rows": rounded(fit.get("rows"), contract.k), "entities": rounded(fit.get("entities"), contract.k),
        "rows_available": rounded(fit.get("rows_available"), contract.k), "sampled": bool(fit.get("sampled")),
        "selection": (SELECTED if contract.budget is None else SELECTED_WITHOUT) + " Holdout and reference were not "
                     "touched before the gates.",
        "released_phase": fit.get("released_phase") or history.get("released"), "phases": phases,
        "seconds": finite(fit.get("seconds")),
        "constraints_broken_in_data": {
            str(rule): share_of(share, rows, contract.k) for rule, share in broken.items()
        } if isinstance(broken, Mapping) else {},
        "record": {key: value for key, value in tidy(plain(fit), contract.k).items() if key not in shown},
        "released": {"rows": generate.get("rows"), "shards": generate.get("shards")},
        "access": "The weights and the critic stay in the private half of the workspace.",
    }


def threat_model(contract: Contract, results: Sequence[GateResult], plan: Mapping[str, Any],
                 ledger: Mapping[str, Any]) -> dict[str, Any]:
    """Who is defended against, with what access and for which targets, and what was not tested."""
    sensitive = [c.name for c in contract.columns if c.privacy is Privacy.SENSITIVE]
    not_tested = {r.title: list(r.not_tested) for r in results if r.not_tested}
    return {
        "adversary": "Holds the whole synthetic data set, this report, the contract and the source code; knows other "
                     "people of the same population; knows some or all columns of the person looked for.",
        "access": "The release only: neither the generator, nor its critic, nor any way to ask them.",
        "targets": [
            "Copies: is a real record in the release?",
            "Membership: was this person in the training data?",
            "Attributes: " + (f"what is the person's {', '.join(sensitive)}?" if sensitive else
                              "no column is declared sensitive, so nothing is looked for here."),
        ],
        "panel": plain(plan.get("attacks") or []),
        "not_tested": [*NOT_TESTED, *_not_together(ledger)], "not_tested_by_gate": not_tested,
    }


def _not_together(ledger: Mapping[str, Any]) -> list[str]:
    """What nobody looked at of the releases before this one."""
    if not ledger:
        return ["Several releases made from the same source, put together: no ledger was asked."]
    union = ledger.get("union") or {}
    texts = [f"{text[:1].upper()}{text[1:]}." for text in union.get("not_tested") or []]
    texts.append("Releases of the same people that are not in this ledger: from before it, from other stores, or of "
                 "people whose identifiers changed since.")
    return texts


def decision(contract: Contract, waivers: Sequence[Mapping[str, str]], ledger: Mapping[str, Any],
             given: Mapping[str, Any]) -> dict[str, Any]:
    """What a person decides, with what the caller already knows of it in ``given``."""
    approvals = "none: it is given out as soon as it is published" if not contract.approvals else (
        f"{plural(contract.approvals, 'person', 'different people')} must approve it before it is given out; not the "
        "one whose key publishes it")
    published = ledger.get("published")
    return {
        "reviewers": list(contract.reviewers),
        "four_eyes": f"{plural(len(contract.reviewers), 'reviewer')} named in the contract",
        "approvals": approvals, "approvers": [{"name": a.name, "key": a.key} for a in contract.approvers],
        "waivers": [dict(waiver) for waiver in waivers],
        "terms": "No attempt may be made to identify a person from these data.",
        "licence": contract.licence, "review_by": contract.retention_until,
        "channel": "the release store; whoever may read it gets the whole release",
        "recall": "synth revoke NAME@VERSION --as WHO --reason WHY: from then on nobody can pull it. Copies that "
                  "were pulled stay where they are and must be asked back",
        "cumulative_releases": "not known: no ledger was asked" if published is None else
        f"{plural(published, 'earlier release', 'earlier releases')} of the same people in the ledger of source "
        f"{ledger.get('source')}",
        **given,
    }
