"""Values and bounds found with noise: what is found, what must stay hidden, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from synth.contract.model import Budget, Contract
from synth.errors import Problems, UserError
from synth.gan.private import noise
from synth.gan.private.accounting import Account, Threshold
from synth.progress import Silent
from synth.tabular.plug import PLUG
from synth.tabular.private import find, road
from synth.tabular.private.axes import public_schema
from synth.tabular.schema import TableSchema
from synth.tabular.stored import StoredTable
from tests.tabular.tables import column, contract

BUDGET = {"epsilon": 3, "delta": 1e-5, "contributions": 2, "find": True}


def agreed(folder: Path, budget: dict[str, Any], rows: int = 4_000) -> Contract:
    """People with two rows each; town has a label of one person, one of ten people, and four of many."""
    rng = np.random.default_rng(3)
    town = rng.choice(["ham", "bury", "ton", "wick"], rows, p=[0.4, 0.3, 0.2, 0.1]).astype(object)
    town[:2], town[2:22] = "lonely", "tenth"
    frame = pd.DataFrame({"who": [f"p{i // 2}" for i in range(rows)], "town": town,
                          "pay": np.round(rng.gamma(3, 400, rows) + 250, 2), "ill": rng.choice(["no", "yes"], rows)})
    frame.to_csv(folder / "t.csv", index=False)
    return contract(
        folder / "t.csv", column("who", "string", role="identifier", privacy="direct"),
        column("town", "string", required=True), column("pay", "number", decimals=2),
        column("ill", "string", required=True, values=["no", "yes"]), top={"budget": budget}, entity="who",
        target="ill", task="classification")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contract, StoredTable]:
    folder = tmp_path_factory.mktemp("find")
    said = agreed(folder, BUDGET)
    for stage in ("ingest", "split"):
        (folder / stage).mkdir()
    PLUG.ingest(said, folder / "ingest", progress=Silent())
    PLUG.split(said, folder / "ingest", folder / "split", seed=1)
    return said, StoredTable.open(folder / "ingest", folder / "split")


def found(home: tuple[Contract, StoredTable], account: Account | None = None, rows: np.ndarray | None = None
          ) -> tuple[pd.DataFrame, TableSchema, pd.DataFrame]:
    said, stored = home
    train = stored.rows_of("train") if rows is None else rows
    frame = stored.read(train)
    assert said.budget is not None
    account = account or Account(said.budget.epsilon, said.budget.delta)
    out, schema = find.complete(frame, stored.entities()[train], public_schema(said, stored.schema), stored.schema,
                                find.lacking(said), said, account)
    return out, schema, frame


def test_what_many_have_is_found_and_what_few_have_is_not(home: tuple[Contract, StoredTable],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    # one draw of the noise: one run in seven does not see the few below 512
    monkeypatch.setattr(noise, "normal", np.random.default_rng(1).standard_normal)
    out, schema, frame = found(home)
    assert schema["town"].values == ("bury", "ham", "ton", "wick") and set(out.town) == set(schema["town"].values)
    pay = schema["pay"]
    assert pay.minimum is not None and pay.maximum is not None and 0 <= pay.minimum <= 256
    inside = frame.pay.between(pay.minimum, pay.maximum).mean()
    assert inside > 0.98 and pay.maximum in (2048, 4096)
    assert schema["ill"].values == ("no", "yes") and out.ill.equals(frame.ill)


def test_the_threshold_hides_a_unit_as_often_as_is_accounted_and_what_ingest_folds() -> None:
    plan = find.Plan(scale=7.0, most=3.0, delta=1e-7, k=11)
    edge = find.threshold(plan)
    own = float(ndtr(-(edge - plan.most) / plan.scale))  # a label of one unit alone, with all its rows
    folded = float(ndtr(-(edge - plan.most * plan.k) / plan.scale))  # one that ingest folds but for one unit
    assert own < folded and folded * find.LABELS <= plan.delta * (1 + 1e-6)


def test_a_label_of_few_is_hidden_whatever_its_noise_within_reason(home: tuple[Contract, StoredTable],
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, 0.0) + 4 * scale)
    assert "tenth" not in found(home)[1]["town"].values
    monkeypatch.setattr(find, "threshold", lambda plan: 0.0)  # the fault: no threshold
    assert "tenth" in found(home)[1]["town"].values


def test_no_unit_moves_what_is_noised_by_more_than_is_accounted(home: tuple[Contract, StoredTable],
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    stored = home[1]
    train = stored.rows_of("train")
    units = stored.entities()
    seen: list[list[np.ndarray]] = []

    def exact(counts: np.ndarray, scale: float) -> np.ndarray:
        seen[-1].append(counts.copy())
        return np.round(counts)

    monkeypatch.setattr(noise, "noisy", exact)
    accounts = []
    for rows in (train, train & (units != units[np.flatnonzero(train)[40]])):
        seen.append([])
        accounts.append(Account(3.0, 1e-5))
        found(home, accounts[-1], rows)
    for with_unit, without, mechanism in zip(*seen, (m for m in accounts[0].spent if not isinstance(m, Threshold)),
                                             strict=True):
        size = max(len(with_unit), len(without))
        one, other = (np.sort(np.pad(counts, (0, size - len(counts)))) for counts in (with_unit, without))
        assert 0 < np.linalg.norm(one - other) <= mechanism.sensitivity == 2.0  # type: ignore[union-attr]
    assert accounts[0].spent == accounts[1].spent


def test_the_statement_has_what_was_found_and_the_rest_is_measured_with_what_is_left(
        home: tuple[Contract, StoredTable]) -> None:
    kept, said = road.measured(home[1], home[0], Silent())
    names = [m["name"] for m in said["mechanisms"]]
    assert {"values of 'town'", "values of 'town', threshold", "bounds of 'pay'"} <= set(names)
    assert said["bounds"].startswith("declared, or found") and 2.9 < said["epsilon_spent"] <= 3.0
    assert kept.schema["town"].values == ("bury", "ham", "ton", "wick")
    drawn = road.drawn(kept, 500, 1)
    assert set(drawn.town) <= set(kept.schema["town"].values) and drawn.pay.between(200, 9_000).all()


def test_nothing_above_the_noise_is_an_error_without_a_value(home: tuple[Contract, StoredTable]) -> None:
    few = np.flatnonzero(home[1].rows_of("train"))[:60]
    rows = np.zeros(len(home[1]), bool)
    rows[few] = True
    with pytest.raises(UserError, match="rises out of the noise") as caught:
        found(home, rows=rows)
    assert "bury" not in str(caught.value)


def test_it_is_found_only_where_the_budget_says_so_and_decimals_never(tmp_path: Path) -> None:
    said = agreed(tmp_path, {k: v for k, v in BUDGET.items() if k != "find"}, rows=60)
    with pytest.raises(Problems, match=r"'town' does not declare its values[^$]*find: true"):
        PLUG.ingest(said, tmp_path, progress=Silent())
    coarse = replace(said, columns=tuple(replace(c, decimals=None) for c in said.columns), budget=Budget(
        epsilon=3, delta=1e-5, contributions=2, find=True))
    with pytest.raises(Problems, match="'pay' does not declare its decimals"):
        PLUG.ingest(coarse, tmp_path, progress=Silent())
