"""A rich, made-up report in the shape of a real one, for the tests of the page and for looking at it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from synth import seeds
from synth.contract.model import Column, Contract, Inequality, Limit, Privacy, Role, Task
from validators.audit import Audit
from validators.finding import Finding, GateResult, Verdict
from validators.report import build

COLUMNS: tuple[tuple[str, Role], ...] = (
    ("age", Role.NUMERIC), ("workclass", Role.CATEGORICAL), ("education", Role.ORDINAL), ("marital", Role.CATEGORICAL),
    ("occupation", Role.CATEGORICAL), ("sex", Role.BOOLEAN), ("hours", Role.NUMERIC), ("gain", Role.NUMERIC),
    ("hired", Role.DATETIME), ("income", Role.CATEGORICAL),
)
WORDS = {
    "workclass": ["Private", "Self-employed", "Local government", "State government", "Federal", "(few)"],
    "education": ["Primary", "Some secondary", "Secondary", "Some college", "Bachelor", "Master", "Doctorate"],
    "marital": ["Married", "Never married", "Divorced", "Separated", "Widowed"],
    "occupation": ["Professional", "Craft", "Executive", "Administration", "Sales", "Service", "Machine operator",
                   "Transport", "Handler", "Farming", "Technical support", "Protective service"],
    "sex": ["false", "true"], "income": ["up to 50K", "over 50K"],
}


def contract(**changes: Any) -> Contract:
    """The contract of the example."""
    columns = (
        Column(name="person_id", role=Role.IDENTIFIER, privacy=Privacy.DIRECT, line=20),
        *(Column(name=name, role=role, protected=name == "sex", minimum=0 if role is Role.NUMERIC else None,
                 privacy=Privacy.SENSITIVE if name in ("income", "gain") else
                 Privacy.QUASI if name in ("age", "sex", "occupation") else Privacy.NONE)
          for name, role in COLUMNS),
    )
    base = Contract(
        name="census-income", version="1.2.0", domain="tabular", path=Path("census.yaml"), digest="3f" * 32,
        description="One row a person: work, education and income, from a public census extract.",
        source="people.parquet", columns=columns, entity="person_id", target="income", task=Task.CLASSIFICATION,
        conditions=("sex", "education"), constraints=(Inequality(low="age", high="hours"),),
        limits=(Limit(gate="fidelity", key="separation", value=0.72, line=31,
                      reason="Printed precision of 'gain' differs between the two source systems; see ticket 118."),),
        reviewers=("A. Okafor, data protection", "M. Lindqvist, data science"), licence="CC-BY-4.0",
        purpose="Training and teaching without access to the census file.", retention_until=date(2028, 6, 30),
        legal_basis="Public census extract, terms of use of 2021.", collected=(date(2020, 1, 1), date(2020, 12, 31)),
    )
    return replace(base, **changes)


def _shares(count: int, random: Any, skew: float = 2.0) -> tuple[list[float], list[float]]:
    real = random.gamma(skew, size=count) + 0.05
    real = real / real.sum()
    synthetic = real * random.uniform(0.93, 1.07, size=count)
    return [float(v) for v in real], [float(v) for v in synthetic / synthetic.sum()]


def marginals(random: Any) -> list[dict[str, Any]]:
    """One marginal picture a column."""
    pictures = []
    for name, role in COLUMNS:
        if role in (Role.NUMERIC, Role.DATETIME):
            count = 10
            x = [(i + 0.5) / count for i in range(count)]
            real = [math.exp(-((v - 0.32) ** 2) / 0.05) + 0.05 for v in x]
            real = [v / sum(real) for v in real]
            synthetic = [v * random.uniform(0.9, 1.1) for v in real]
            edges = [f"{16 + 6 * i}" for i in range(count + 1)]
            labels = [f"below {edges[1]}", *(f"{a} to {b}" for a, b in pairwise(edges[1:-1])), f"{edges[-2]} and above"]
            if name == "hired":
                labels, real, synthetic = [*labels, "(missing)"], [*real, 0.04], [*synthetic, 0.05]
            real, synthetic = [float(v) for v in real], [float(v / sum(synthetic)) for v in synthetic]
        else:
            labels = WORDS[name]
            real, synthetic = _shares(len(labels), random)
        pictures.append({"kind": "marginal", "column": name, "role": role.value, "labels": labels, "real": real,
                         "synthetic": synthetic})
    return pictures


def results() -> list[GateResult]:
    """Five gates that pass, with the kinds of picture that gates make."""
    random = seeds.generator(7, "example")
    names = [name for name, _ in COLUMNS]
    heat = [[None if i == j else float(random.gamma(1.2) * 0.006) for j in range(10)] for i in range(10)]
    attacks = ("distance to closest", "distance difference", "density ratio (DOMIAS)", "local density (Gen-LRA)",
               "classifier ensemble")
    rows = [{"label": a, "value": float(v), "low": float(v) - 0.018, "high": float(v) + 0.018, "floor": 0.5,
             "limit": 0.55} for a, v in zip(attacks, random.uniform(0.494, 0.516, 5), strict=True)]
    grid = [i / 40 for i in range(41)]
    return [
        GateResult(gate="contract", title="Contract", question="Does the synthetic table keep the contract?", findings=(
            Finding(id="contract.expectations", title="Expectations that fail", verdict=Verdict.PASS, value=0.0,
                    unit="expectations", limit=0.0, n=9597, method="The suite compiled from the contract, run on every "
                    "synthetic row by Great Expectations; no value leaves the check.",
                    remedy="Fix the declared bounds or the generator's codec."),
            Finding(id="contract.constraints", title="Rows that break a constraint", verdict=Verdict.PASS, value=0.0,
                    unit="share", limit=0.0, n=9597, method="Every declared constraint, row by row.",
                    detail={"pictures": [{"kind": "table", "title": "Expectations by type",
                                          "columns": ["Expectation", "Columns", "Failed", "Share"],
                                          "rows": [["in declared bounds", 4, 0, 0.0], ["in vocabulary", 6, 0, 0.0],
                                                   ["not missing", 3, 0, None]]}]}),
        ), seconds=1.31, not_tested=("Rules that the contract does not state.",)),
        GateResult(gate="fidelity", title="Fidelity", question="Could the synthetic rows be told from real ones?",
                   seconds=28.4, findings=(
            Finding(id="fidelity.shape.mean", title="Mean column error above the floor", verdict=Verdict.PASS,
                    value=0.0021, low=0.0008, high=0.0037, unit="share", floor=0.0062, limit=0.03, n=3199,
                    power="an excess of 0.2 % at 3,200 rows with 80 % power",
                    method="Total variation distance of every column against the holdout, minus the same for a fresh "
                           "real sample; bootstrap over entities.",
                    detail={"pictures": [
                        {"kind": "bars", "title": "Column error above the floor, by column", "labels": names,
                         "series": [{"name": "synthetic", "values": [float(v) for v in random.uniform(0, 0.011, 10)]},
                                    {"name": "floor", "values": [float(v) for v in random.uniform(0.003, 0.009, 10)]}],
                         "unit": "share", "limit": 0.03},
                        *marginals(random)]}),
            Finding(id="fidelity.trend.mean", title="Mean error of pairs above the floor", verdict=Verdict.PASS,
                    value=0.0047, low=0.0031, high=0.0066, unit="share", floor=0.0141, limit=0.04, n=3199,
                    method="Total variation distance of every pair of columns on fixed edges.",
                    detail={"pictures": [{"kind": "heat", "title": "Error of pairs above the floor", "labels": names,
                                          "values": heat, "unit": "share"}]}),
            Finding(id="fidelity.c2st", title="Classifier two-sample test", verdict=Verdict.PASS, value=0.546,
                    low=0.531, high=0.561, unit="AUC", floor=0.502, limit=0.72, n=3199,
                    power="an AUC of .532 at n = 3,200 with 80 % power",
                    method="Gradient boosting, entity-grouped cross-validation, against untouched rows.",
                    detail={"pictures": [
                        {"kind": "lines", "title": "Real against synthetic, ROC of the classifier", "x": grid,
                         "series": [{"name": "synthetic", "values": [g ** 0.86 for g in grid]},
                                    {"name": "fresh real rows", "values": [g ** 0.99 for g in grid]}],
                         "x_label": "false positive rate", "y_label": "true positive rate"},
                        {"kind": "bars", "title": "Columns that gave it away", "labels": ["gain", "hours", "hired"],
                         "series": [{"name": "AUC lost without it", "values": [0.021, 0.011, 0.004]}], "unit": ""}]}),
        ), not_tested=("Order of rows, and anything that needs more than one table.",)),
        GateResult(gate="diversity", title="Diversity", question="Is everything that is in the real table there?",
                   seconds=9.2, findings=(
            Finding(id="diversity.coverage", title="Coverage against the floor", verdict=Verdict.PASS, value=0.984,
                    low=0.961, high=1.006, unit="ratio", floor=1.0, limit=0.8, direction="at least", n=3199,
                    method="Share of real neighbourhoods that hold a synthetic row (PRDC), over the same for real."),
            Finding(id="diversity.categories", title="Categories of at least 1 % that occur", verdict=Verdict.PASS,
                    value=1.0, unit="share", limit=1.0, direction="at least", n=9597),
        )),
        GateResult(gate="downstream", title="Downstream", question="Do models trained on it work on real people?",
                   seconds=22.7, findings=(
            Finding(id="downstream.tstr", title="Trained on synthetic, minus trained on real", verdict=Verdict.PASS,
                    value=-0.0031, low=-0.0094, high=0.0029, unit="AUC", floor=0.0, limit=-0.05, direction="at least",
                    n=3199, method="Logistic regression and gradient boosting, the worse of the two; paired bootstrap.",
                    detail={"pictures": [{"kind": "bars", "title": "AUC on the holdout", "unit": "AUC",
                                          "labels": ["Logistic regression", "Gradient boosting"],
                                          "series": [{"name": "real", "values": [0.907, 0.927]},
                                                     {"name": "synthetic", "values": [0.905, 0.924]},
                                                     {"name": "real + synthetic", "values": [0.908, 0.928]}]}]}),
            Finding(id="downstream.gain", title="Gain of real + synthetic over oversampling", verdict=Verdict.INFO,
                    value=0.0012, low=-0.002, high=0.0043, unit="AUC", n=3199,
                    method="Reported, not judged: a claim of augmentation needs the low end above zero."),
        )),
        GateResult(gate="leakage", title="Leakage", question="Does the release give away who was in the training data?",
                   seconds=41.0, findings=(
            Finding(id="leakage.copies", title="Exact copies above the holdout's rate", verdict=Verdict.PASS,
                    value=0.0002, low=-0.0006, high=0.0011, unit="share", floor=0.0, limit=0.005, n=9597,
                    method="Share of synthetic rows equal to a train row, minus equal to a holdout row.",
                    detail={"pictures": []}),
            Finding(id="leakage.membership", title="Membership inference, worst of five attacks", verdict=Verdict.PASS,
                    value=0.514, low=0.489, high=0.541, level=0.99, unit="AUC", floor=0.5, limit=0.55, n=6398,
                    power="an AUC of .528 with 80 % power",
                    method="Five attacks on train against holdout, the worst taken, Bonferroni over attacks.",
                    detail={"pictures": [{"kind": "intervals", "title": "The panel", "rows": rows, "unit": "AUC"}]}),
            Finding(id="leakage.outliers", title="The same for the most isolated 10 %", verdict=Verdict.PASS,
                    value=0.521, low=0.466, high=0.577, unit="AUC", floor=0.5, limit=0.6, n=640),
            Finding(id="leakage.attribute", title="Attribute inference, worst sensitive column", verdict=Verdict.PASS,
                    value=0.004, low=-0.012, high=0.021, unit="balanced accuracy", floor=0.0, limit=0.03, n=3199),
        ), not_tested=("Shadow models.", "Several releases of the same people, put together.")),
    ]


def spoil(gates: list[GateResult], finding_id: str, verdict: Verdict, **changes: Any) -> list[GateResult]:
    """The gates with one finding turned to ``verdict``."""
    return [
        replace(g, findings=tuple(
            replace(f, verdict=verdict, **changes) if f.id == finding_id else f for f in g.findings))
        for g in gates
    ]


def run_record() -> dict[str, Any]:
    """A run's record as the stages write it."""
    return {
        "id": "census-20261121T235500-1a2b", "seed": 271828182,
        "attempts": {"number": 2, "unpublished": 1, "allowed": 3, "acknowledged": ""},
        "stages": {
            "ingest": {"rows": 15993, "entities": 15993, "artefacts": {"table.parquet": "00"}, "seconds": 0.41,
                       "columns": [{"name": name, "role": role.value,
                                    "missing_share": 0.057 if name == "hired" else 0.0,
                                    "folded_categories": 2 if name == "workclass" else 0} for name, role in COLUMNS]},
            "split": {"rows": {"train": 9597, "holdout": 3199, "reference": 3197},
                      "entities": {"train": 9597, "holdout": 3199, "reference": 3197}},
            "fit": {"seconds": 203.4, "recipe": "tabular/conditional-gan", "rows": 9597, "rows_available": 9597,
                    "entities": 9597, "sampled": False, "released_phase": "adversarial", "parameters": 412345,
                    "constraints_broken_in_data": {"age <= hours": 0.002},
                    "phases": [{"name": "likelihood", "objective": "likelihood", "steps": 2400, "seconds": 61.2,
                                "validation": 11.482, "curve": [[0, 14.1], [2400, 11.4]]},
                               {"name": "adversarial", "objective": "relativistic critic", "steps": 900,
                                "seconds": 121.9, "validation": 11.431, "curve": []}]},
            "generate": {"rows": 9597, "shards": 1, "seconds": 1.2,
                         "artefacts": {"data/train-00000-of-00001.parquet": "c1" * 32, "synthetic.parquet": "ee" * 32}},
        },
    }


def plan() -> dict[str, Any]:
    """Limits and panel fixed before training."""
    return {
        "digest": "a4" * 32,
        "gates": {"fidelity": {"shape_mean": 0.03, "pair_mean": 0.04, "separation": 0.72},
                  "diversity": {"coverage": 0.8, "categories_missing": 0.0}, "downstream": {"loss": -0.05},
                  "leakage": {"auc": 0.55, "isolated_auc": 0.60, "inference": 0.03}},
        "changed": [{"gate": "fidelity", "limit": "separation", "default": 0.70, "value": 0.72, "loosened": True,
                     "reason": "Printed precision of 'gain' differs between the two source systems; see ticket 118"}],
        "attacks": ["distance to closest", "distance difference", "density ratio", "local density",
                    "classifier ensemble"],
        "level": 0.95, "bootstrap_draws": 400,
    }


def ledger(**changes: Any) -> dict[str, Any]:
    """Two earlier releases of the same people, one of them revoked."""
    before = [{"release": f"census-income/2026.1{n}.01.1", "at": f"2026-1{n}-01T02:00:00Z", "revoked": n == 0,
               "contract": "census-income 1.2.0", "spend": None, "overlap": {"share": 0.97, "low": 0.94, "high": 1.0},
               "membership": {"value": 0.511, "high": 0.538, "limit": 0.55}} for n in (0, 1)]
    facts = {
        "source": "census", "declared": True, "length": 5, "head": "7b" * 32, "releases": before, "left_out": 0,
        "published": 2, "withheld": 0, "reserved": 0, "expired": 1, "uncounted": 1, "restarted": [], "asked": None,
        "total": None, "spent": None, "after": None, "unit": "people",
        "composition": "added up (basic composition), every release in full for every person",
        "elsewhere": [{"source": "census-teaching", "share": 0.021, "low": 0.014, "high": 0.031}],
        "union": {"tested": [b["release"] for b in before], "not_tested": []},
    }
    return {**facts, **changes}


def privacy() -> dict[str, Any]:
    """What the fit stage records of a differentially private training."""
    return {
        "epsilon": 3.0, "delta": 1e-6, "unit": "entity", "contributions": 4,
        "neighbours": "adding or removing all rows of one entity",
        "mechanisms": [{"name": "Gaussian, marginals", "sigma": 2.1, "steps": 1},
                       {"name": "Gaussian, gradients (Poisson sampling)", "sigma": 1.07, "steps": 1800, "rate": 0.02,
                        "clip": 1.0}],
        "accountants": [{"name": "Opacus PRV 1.6.0", "epsilon": 2.98}, {"name": "dp-accounting PLD 0.6.0",
                                                                      "epsilon": 2.97}],
        "curve": [[1.0, 1e-3], [3.0, 1e-6], [5.0, 1e-11]],
        "outside": ["the number of rows", "the choice of the recipe"],
        "bounds": "declared in the contract", "rng": "operating system's randomness; floating point noise",
        "audit": Audit(canaries=1000, guesses=100, correct=75, claimed=3.0, lower_bound=0.7, ceiling=3.49, cells=2700,
                       noise=1.01).to_json(), "implied": "see the table",
    }


WAIVED = "downstream.tstr"


def waived() -> list[GateResult]:
    """The gates with one finding that a person answers for."""
    return spoil(results(), WAIVED, Verdict.WAIVED, remedy="train longer", waiver={
        "name": "A. Okafor, data protection", "reason": "a pilot with one partner, who was told", "verdict": "fail",
        "expires": "2027-06-30"})


def report(gates: list[GateResult] | None = None, *, dp: bool = False, **changes: Any) -> dict[str, Any]:
    """The example's report; ``changes`` replace fields of the contract."""
    record, spent = run_record(), {"epsilon": 3.0, "delta": 1e-6}
    counted = ledger()
    if dp:
        record["stages"]["fit"]["privacy"] = privacy()
        counted = ledger(asked=spent, spent={"epsilon": 6.0, "delta": 2e-6}, after={"epsilon": 9.0, "delta": 3e-6},
                         total={"epsilon": 10.0, "delta": 1e-5})
        for earlier in counted["releases"]:
            earlier["spend"] = spent
    return build(
        contract=contract(**changes), results=results() if gates is None else gates, run=record, plan=plan(),
        attempts=2, code={"version": "0.1.0", "commit": "9f3c2ab71d04"}, created="2026-11-21T23:58:41Z",
        ledger=counted,
    )
