"""The audit: its arithmetic, what it says of an honest measurement, and the planted faults it must catch.

Chance is fixed here, so that none of these tests ends otherwise now and then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth.contract.model import Attacks, Budget, Column, Contract, Role
from synth.errors import UserError
from synth.gan.private import noise
from synth.gan.private.accounting import Account
from synth.tabular.evidence import TableEvidence
from synth.tabular.private import measure
from synth.tabular.schema import ColumnSchema, TableSchema
from validators import audit, leakage
from validators.finding import Verdict
from validators.report import privacy

WORDS = tuple(f"{i:02d}" for i in range(30))
SCHEMA = TableSchema(columns=tuple(
    ColumnSchema(name=n, role=Role.CATEGORICAL, nullable=False, values=WORDS) for n in "abcd"))
BUDGET = Budget(epsilon=1.0, delta=1e-6)


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    monkeypatch.setattr(noise, "uniform", lambda size: 1 - rng.random(size))
    monkeypatch.setattr(noise, "seed", lambda: 5)


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({c.name: pd.Series(np.array(WORDS, object)[rng.integers(0, 30, 9_000)], dtype="str")
                          for c in SCHEMA.columns})
    return frame, np.arange(len(frame))


def spent(frame: pd.DataFrame, units: np.ndarray) -> measure.Measured:
    return measure.measure(frame, SCHEMA, units, BUDGET, Account(1.0, 1e-6))


@pytest.mark.parametrize(("canaries", "guesses", "correct", "epsilon"), [  # worked out with jax-privacy 2.0.0
    (1000, 100, 100, 3.47), (1000, 100, 90, 1.63), (1000, 100, 75, 0.70), (1000, 100, 60, 0.05), (1000, 200, 200, 4.17),
    (100, 20, 20, 1.82), (500, 50, 50, 2.77), (5000, 500, 375, 0.92), (1000, 100, 50, 0.0)])
def test_the_bound_is_the_published_one(canaries: int, guesses: int, correct: int, epsilon: float) -> None:
    assert audit.lower_bound(canaries, guesses, correct, 1e-5) == pytest.approx(epsilon, abs=0.006)


def test_more_right_guesses_prove_more_and_a_larger_delta_less() -> None:
    bounds = [audit.lower_bound(1000, 100, v, 1e-5) for v in range(50, 101, 5)]
    assert bounds == sorted(bounds)
    assert audit.lower_bound(1000, 100, 95, 1e-3) < audit.lower_bound(1000, 100, 95, 1e-6)


def test_an_honest_measurement_is_not_contradicted(table: tuple[pd.DataFrame, np.ndarray]) -> None:
    found = audit.audit(*table, SCHEMA, BUDGET)
    assert found.correct > 55 and 0 < found.lower_bound <= 1.0 and not found.contradicts and found.could_contradict
    assert found.to_json()["ceiling"] == pytest.approx(3.49, abs=0.01)


def test_noise_a_quarter_of_what_is_claimed_is_caught(table: tuple[pd.DataFrame, np.ndarray],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, scale / 4))
    assert audit.audit(*table, SCHEMA, BUDGET).contradicts


def test_a_little_less_noise_is_seen_in_the_noise_itself(table: tuple[pd.DataFrame, np.ndarray],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    found = audit.audit(*table, SCHEMA, BUDGET)
    assert found.cells > 2_000 and found.noise == pytest.approx(1, abs=0.04)
    assert 0.9 < found.seen < 1 and not found.quiet
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, 0.9 * scale))
    found = audit.audit(*table, SCHEMA, BUDGET)
    assert found.quiet and found.contradicts and found.lower_bound <= 1.0  # which guesses could not have told
    assert found.noise == pytest.approx(0.9, abs=0.04)


def test_rows_that_are_not_measured_are_no_noise(table: tuple[pd.DataFrame, np.ndarray]) -> None:
    frame, units = table
    found = audit.audit(frame, units // 3, SCHEMA, replace(BUDGET, epsilon=30.0, contributions=2), each=5)
    assert found.noise == pytest.approx(1, abs=0.06)


def test_right_noise_is_hardly_ever_called_too_little() -> None:
    rng = np.random.default_rng(3)
    claim = Budget(epsilon=1.0, delta=1e-6)
    found = [audit.guessed(np.zeros(10), np.ones(10, bool), 2, claim, rng, left=rng.normal(size=50))
             for _ in range(2_000)]
    assert sum(f.quiet for f in found) <= 3  # of .2 expected
    short = [audit.guessed(np.zeros(10), np.ones(10, bool), 2, claim, rng, left=rng.normal(size=50) / 4)
             for _ in range(50)]
    assert all(f.quiet for f in short)


def test_rows_of_a_unit_without_bound_are_caught(table: tuple[pd.DataFrame, np.ndarray],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    assert not audit.audit(*table, SCHEMA, BUDGET, each=6).contradicts
    monkeypatch.setattr(measure, "bounded", lambda frame, units, budget: frame)
    assert audit.audit(*table, SCHEMA, BUDGET, each=6, measured=spent).contradicts


def test_measuring_with_the_whole_budget_each_time_is_refused_by_the_account(
        table: tuple[pd.DataFrame, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    full = Account(1.0, 1e-6).left
    monkeypatch.setattr(measure._Work, "_scale", lambda self, share: self.most / full**0.5)
    with pytest.raises(UserError, match="budget is exhausted"):
        audit.audit(*table, SCHEMA, BUDGET)


def test_a_small_audit_says_that_it_cannot_contradict(table: tuple[pd.DataFrame, np.ndarray]) -> None:
    found = audit.audit(*table, SCHEMA, Budget(epsilon=3.0, delta=1e-6), canaries=100, guesses=20)
    assert not found.could_contradict and found.ceiling < 3.0


def test_canaries_lie_in_the_declared_domain() -> None:
    schema = TableSchema(columns=(*SCHEMA.columns, ColumnSchema(
        name="x", role=Role.NUMERIC, nullable=False, decimals=2, minimum=-5.0, maximum=5.0)))
    planted = audit.plant(schema, 500, np.random.default_rng(0))
    schema.check(planted)
    assert planted.x.between(-5, 5).all() and planted.x.nunique() > 300 and set(planted.a) <= set(WORDS)


def evidence(table: tuple[pd.DataFrame, np.ndarray], budget: Budget | None, attacks: Attacks = Attacks.QUICK
             ) -> TableEvidence:
    columns = tuple(Column(name=n, role=Role.CATEGORICAL, values=WORDS, required=True) for n in "abcd")
    terms = Contract(name="words", version="1.0.0", domain="tabular", path=Path("words.yaml"), digest="0" * 64,
                     description="", source="words.csv", columns=columns, budget=budget, attacks=attacks)
    frame, units = table
    few = frame.iloc[:10].reset_index(drop=True)
    return TableEvidence(contract=terms, schema=SCHEMA, train=frame, holdout=few, reference=few, synthetic=few, seed=1,
                         entities={"train": units, "holdout": units[:10], "reference": units[:10]})


def test_a_run_that_asks_for_an_audit_has_it_in_the_leakage_gate_and_the_report(
        table: tuple[pd.DataFrame, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    found, = audit.audited(evidence(table, replace(BUDGET, audit=True)))
    monkeypatch.setattr(leakage, "audited", lambda e: [found] if audit.asked(e.contract) else [])
    few = table[0].iloc[:300], table[1][:300]
    assert found in leakage.run(evidence(few, replace(BUDGET, audit=True)), leakage.Limits()).findings
    assert found.verdict is Verdict.PASS and found.limit == 1.0 and 0 < (found.value or 0) <= 1.0
    assert "1,000 canaries" in found.method and "3.49" in found.power and "noise of less than 0.9" in found.power
    said = privacy.statement({"epsilon": 1.0, "delta": 1e-6}, {}, None, 11, found.detail["audit"])
    assert said["audit"]["lower_bound"] == found.detail["audit"]["lower_bound"] and said["epsilon"] == 1.0


def test_a_broken_promise_fails_the_run(table: tuple[pd.DataFrame, np.ndarray], monkeypatch: pytest.MonkeyPatch
                                        ) -> None:
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, scale / 4))
    found = audit.audited(evidence(table, BUDGET, Attacks.RELEASE))
    assert [f.verdict for f in found] == [Verdict.FAIL] and "do not release" in found[0].remedy


def test_who_asks_for_no_audit_gets_none_and_a_weak_one_decides_nothing(table: tuple[pd.DataFrame, np.ndarray],
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit.audited(evidence(table, BUDGET)) == audit.audited(evidence(table, None, Attacks.RELEASE)) == []
    weak = audit.Audit(canaries=1000, guesses=100, correct=90, claimed=10.0, lower_bound=1.6, ceiling=3.5)
    monkeypatch.setattr(audit, "audit", lambda *_: weak)
    found = audit.audited(evidence(table, replace(BUDGET, epsilon=10.0, audit=True)))
    assert found[0].verdict is Verdict.INFO and "no outcome could have contradicted" in found[0].power
