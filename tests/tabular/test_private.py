"""Tables under a budget: the marginals, what is fitted to them, and that nothing else reads a private row."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.contract.model import Budget, Contract, FixedCombinations, Role, Unit
from synth.errors import Problems, UserError
from synth.gan.private import noise
from synth.gan.private.accounting import Account, Gaussian
from synth.progress import Silent
from synth.tabular.plug import PLUG
from synth.tabular.private import histogram, measure, road
from synth.tabular.private.axes import Axis, Grid, undeclared
from synth.tabular.private.inference import Measurement, fit
from synth.tabular.private.junction import Tree
from synth.tabular.schema import ColumnSchema, TableSchema
from synth.tabular.stored import StoredTable
from tests.tabular.tables import column, contract

BUDGET = Budget(epsilon=3.0, delta=1e-5, contributions=2)


def number(name: str, low: float, high: float, decimals: int = 0, nullable: bool = False) -> ColumnSchema:
    return ColumnSchema(name=name, role=Role.NUMERIC, nullable=nullable, integer=decimals == 0, decimals=decimals,
                        minimum=low, maximum=high)


def label(name: str, *values: str, nullable: bool = False) -> ColumnSchema:
    return ColumnSchema(name=name, role=Role.CATEGORICAL, nullable=nullable, values=values)


SCHEMA = TableSchema(columns=(number("age", 0, 120), label("job", "a", "b", "c", "d", nullable=True),
                              number("pay", 0, 10_000, 2), label("ill", "no", "yes")))


def people(rows: int = 3_000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A frame of :data:`SCHEMA` in which illness follows age and pay has a spike at 0; two rows a person."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows).astype(float)
    job = pd.Series(rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]), dtype="str")
    job[rng.random(rows) < 0.1] = np.nan
    pay = np.where(rng.random(rows) < 0.3, 0.0, np.round(np.clip(rng.gamma(2, 500, rows), 0, 9_999), 2))
    ill = pd.Series(np.where(rng.random(rows) < 0.1 + 0.6 * (age > 60), "yes", "no"), dtype="str")
    return pd.DataFrame({"age": age, "job": job, "pay": pay, "ill": ill}), np.arange(rows) // 2


# -- the distribution ------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_junction_tree_is_the_product_of_its_factors(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    every = [c for n in (1, 2, 3) for c in combinations(range(len(sizes)), n)]
    factors = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=5, unique=True))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    tree = Tree.of(sizes, factors)
    tables = {c: rng.normal(size=[sizes[j] for j in c]) for c in factors}
    joint = np.zeros(sizes)
    for cell in product(*map(range, sizes)):
        joint[cell] = sum(t[tuple(cell[j] for j in c)] for c, t in tables.items())
    joint = np.exp(joint)
    joint /= joint.sum()

    import torch

    potentials = [torch.zeros([sizes[j] for j in c], dtype=torch.float64) for c in tree.cliques]
    for c, table in tables.items():
        potentials[tree.home(c)] += tree.expand(c, torch.from_numpy(table), tree.home(c))
    beliefs = tree.beliefs(potentials)
    for a, b in combinations(range(len(sizes)), 2):
        true = joint.sum(tuple(j for j in range(len(sizes)) if j not in (a, b)))
        assert np.allclose(tree.pair(beliefs, a, b), true, atol=1e-9)
        assert np.allclose(tree.pair(beliefs, b, a), true.T, atol=1e-9)
    drawn = tree.draw(beliefs, 20_000, rng)
    found = np.zeros(sizes)
    np.add.at(found, tuple(drawn.T), 1 / len(drawn))
    assert np.abs(found - joint).max() < 0.015


def test_exact_marginals_are_met_and_the_rest_is_of_largest_entropy() -> None:
    rng = np.random.default_rng(1)
    joint = rng.gamma(0.7, size=(3, 4, 2))
    joint *= 10_000 / joint.sum()
    pairs = [Measurement(clique=(0, 1), counts=joint.sum(2), scale=1.0),
             Measurement(clique=(1, 2), counts=joint.sum(0), scale=1.0)]
    model = fit((3, 4, 2), pairs, steps=2_000)
    assert np.abs(model.marginal((0, 1)) - joint.sum(2)).max() < 1
    independent = np.einsum("ab,bc->abc", joint.sum(2), joint.sum(0)) / joint.sum((0, 2))[None, :, None]
    assert np.abs(model.pair(0, 2) - independent.sum(1)).max() < 2  # given the middle, the ends know nothing


def test_contradicting_measurements_are_weighed_by_their_noise() -> None:
    one, two = (Measurement(clique=(0,), counts=np.array(c), scale=s) for c, s in (([80.0, 20.0], 1.0),
                                                                                    ([20.0, 80.0], 10.0)))
    assert fit((2,), [one, two]).marginal((0,))[0] == pytest.approx(79.4, abs=1)


# -- axes and histograms ---------------------------------------------------------------------------------


def grown(values: np.ndarray, grid: Grid, scale: float = 5.0, cells: int = 16) -> Axis:
    axis = Axis(name="x", missing=False, grid=grid, decimals=2, edges=(0, grid.points), leaves=((0, 1.0),))
    rng = np.random.default_rng(0)
    leaves = histogram.grow(
        grid.place(values), grid.points, scale=scale, measure=lambda cell, size:
        np.bincount(cell[cell >= 0], minlength=size) + np.round(rng.normal(0, scale, size)))
    return histogram.cut(axis, leaves, cells, scale)


def test_a_histogram_finds_spikes_and_keeps_shapes() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random(20_000) < 0.25, 37.5, np.clip(rng.normal(60, 8, 20_000), 0, 999.99))
    axis = grown(values, Grid(low=0.0, step=0.01, points=100_000))
    assert list(axis.spikes) == [3_750] and 8 < axis.size <= 16
    cells = axis.encode(pd.Series(values))
    back = axis.decode(cells, rng).to_numpy()
    assert np.mean(back == 37.5) == pytest.approx(np.mean(values == 37.5), abs=0.002)
    assert np.quantile(back, [0.3, 0.5, 0.9]) == pytest.approx(np.quantile(values, [0.3, 0.5, 0.9]), abs=1.0)
    assert np.array_equal(axis.encode(pd.Series(back)), cells)


@pytest.mark.parametrize("width", [3, 954, 5_000, 4_000_000])
def test_the_point_of_a_spike_is_found_in_its_interval(width: int) -> None:
    """Three intervals: a spike among others, a spike at the last point, and rows spread evenly."""
    rng = np.random.default_rng(width)
    starts = np.array([0, 2 * width, 7 * width])
    spikes = starts + np.array([width // 3, width - 1, 0])
    places = np.concatenate([np.full(900, spikes[0]), np.full(500, spikes[1]), rng.integers(0, 8 * width, 300),
                             starts[2] + np.arange(600) * max(width // 600, 1) % width, np.full(50, -1)])
    asked: list[int] = []

    def measure(cells: np.ndarray, size: int) -> np.ndarray:
        asked.append(size)
        return np.bincount(cells[cells >= 0], minlength=size) + np.round(rng.normal(0, 5.0, size))

    found, counts = histogram.points(places, starts, width, measure, 5.0)
    truth = [int((places == p).sum()) for p in found]
    assert list(found[:2]) == list(spikes[:2])
    assert found[2] == -1 or width == 3  # of three points each holds a third
    assert counts[:2] == pytest.approx(truth[:2], abs=25)
    assert len(asked) == histogram.levels(width, min(1024, width))


def test_a_spike_keeps_its_cents_where_the_grid_is_long() -> None:
    """A quarter of the people earn one top-coded amount: rounded to a millionth of the range, it is nobody's."""
    rng = np.random.default_rng(1)
    pay = np.where(rng.random(6_000) < 0.25, 25_564.67, np.round(rng.gamma(2, 4_000, 6_000).clip(0, 2e6), 2))
    frame = pd.DataFrame({"pay": pay, "ill": pd.Series(rng.choice(["no", "yes"], 6_000), dtype="str")})
    schema = TableSchema(columns=(number("pay", 0, 2_000_000, decimals=2), SCHEMA["ill"]))
    kept = measure.measure(frame, schema, np.arange(6_000), replace(BUDGET, unit=Unit.ROW), Account(3.0, 1e-5))
    drawn = road.drawn(kept, 6_000, 1)
    assert kept.axes[0].grid is not None and kept.axes[0].grid.interval > 1 and 2_556_467 in kept.axes[0].spikes
    assert (drawn.pay == 25_564.67).mean() == pytest.approx(0.25, abs=0.03)
    assert np.array_equal(drawn.pay, np.round(drawn.pay, 2))
    assert np.quantile(drawn.pay, [0.2, 0.8]) == pytest.approx(np.quantile(pay, [0.2, 0.8]), rel=0.15)


def test_a_column_of_nothing_and_a_grid_of_one_point() -> None:
    axis = grown(np.full(10, np.nan), Grid(low=0.0, step=1.0, points=1000), scale=1e-6)
    drawn = axis.decode(np.zeros(500, np.int64), np.random.default_rng(0))
    assert axis.size == 1 and drawn.min() >= 0 and drawn.max() <= 999 and drawn.nunique() > 100
    assert Grid.of(number("x", 5, 5)).points == 1


def test_axes_survive_being_stored() -> None:
    frame, units = people(600)
    found = measure.measure(frame, SCHEMA, units, BUDGET, Account(3.0, 1e-5))
    again = measure.Measured.from_json(found.to_json())
    assert again.axes == found.axes and again.schema == found.schema
    assert all(np.array_equal(a.counts, b.counts) for a, b in zip(again.measurements, found.measurements, strict=True))
    assert road.drawn(found, 50, 1).equals(road.drawn(again, 50, 1))


# -- measuring -------------------------------------------------------------------------------------------


def test_what_is_drawn_looks_like_the_table_and_the_budget_is_spent_to_its_end() -> None:
    frame, units = people()
    account = Account(8.0, 1e-5)
    kept = measure.measure(frame, SCHEMA, units, replace(BUDGET, epsilon=8.0), account,
                           shares=measure.Shares(cells=10))
    assert account.statement()["epsilon_spent"] == pytest.approx(8.0, rel=1e-6)
    drawn = road.drawn(kept, 20_000, 0)
    SCHEMA.check(drawn)
    for old in (False, True):
        true = (frame.ill[(frame.age > 60) == old] == "yes").mean()
        assert (drawn.ill[(drawn.age > 60) == old] == "yes").mean() == pytest.approx(true, abs=0.06)
    assert (drawn.pay == 0).mean() == pytest.approx((frame.pay == 0).mean(), abs=0.03)
    assert drawn.job.isna().mean() == pytest.approx(0.1, abs=0.03)
    assert road.released_rows(kept) == pytest.approx(len(frame), rel=0.03)


class Replay:
    """Noise that writes down what it was given; on the second run it answers as on the first."""

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []
        self.answers: list[np.ndarray] = []
        self.second = False

    def __call__(self, counts: np.ndarray, scale: float) -> np.ndarray:
        self.given.append(np.array(counts, float))
        if not self.second:
            self.answers.append(np.round(counts + scale * np.random.default_rng(len(self.answers)).normal(
                size=counts.shape)))
        return self.answers[len(self.given) - 1]

    def again(self) -> list[np.ndarray]:
        first, self.given, self.second = self.given, [], True
        return first


def largest_ratio(monkeypatch: pytest.MonkeyPatch, rows_of_one: int) -> float:
    """How far the unit with most rows moves any measurement, in units of the sensitivity that was accounted."""
    frame, units = people(1_200)
    units[:rows_of_one] = units[0]
    frame = frame.iloc[np.r_[[0] * rows_of_one, rows_of_one:len(frame)]].reset_index(drop=True)
    replay = Replay()
    monkeypatch.setattr(noise, "noisy", replay)
    spent, with_unit = [], list[np.ndarray]()
    for mask in (np.ones(len(frame), bool), units != units[0]):
        account = Account(BUDGET.epsilon, BUDGET.delta)
        measure.measure(frame[mask].reset_index(drop=True), SCHEMA, units[mask], BUDGET, account)
        spent.append(account.spent)
        with_unit = with_unit or replay.again()
    assert spent[0] == spent[1] and len(with_unit) == len(replay.given) == len(spent[0])
    return max(float(np.linalg.norm(a - b)) / m.sensitivity
               for a, b, m in zip(with_unit, replay.given, spent[0], strict=True) if isinstance(m, Gaussian))


def test_no_unit_moves_a_measurement_by_more_than_is_accounted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.3 < largest_ratio(monkeypatch, 60) <= 1 + 1e-9


def test_rows_of_a_unit_that_are_not_bounded_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "bounded", lambda frame, units, budget: frame)
    assert largest_ratio(monkeypatch, 60) > 10


def test_contributions_are_bounded_by_chance_and_by_unit() -> None:
    frame = pd.DataFrame({"x": np.arange(100.0)})
    units = np.repeat([0, 1], [95, 5])
    drawn = [set(measure.bounded(frame, units, BUDGET).x) for _ in range(20)]
    assert all(len(d) == 4 and len([x for x in d if x < 95]) == 2 for d in drawn) and len(set.union(*drawn)) > 20
    assert len(measure.bounded(frame, units, replace(BUDGET, unit=Unit.ROW, contributions=1))) == 100


def test_a_budget_that_was_spent_elsewhere_stops_the_measuring() -> None:
    frame, _ = people(600)
    account = Account(3.0, 1e-5)
    account.spend(Gaussian(name="before", noise=1 / (0.999 * account.left) ** 0.5, sensitivity=1.0))
    plan = measure._Work(frame, SCHEMA, 2.0, account, measure.Shares())
    plan.budget *= 1_000  # as if nothing had been spent
    with pytest.raises(UserError, match="exhausted"):
        plan.columns()


# -- the road --------------------------------------------------------------------------------------------


def agreed(folder: Path, **changes: Any) -> Contract:
    frame, units = people(1_500)
    frame.assign(who=[f"p{u}" for u in units]).to_csv(folder / "t.csv", index=False)
    return contract(
        folder / "t.csv", column("who", "string", role="identifier", privacy="direct"),
        column("age", "integer", required=True, options={"minimum": 0, "maximum": 120}),
        column("job", "string", values=["a", "b", "c", "d"]),
        column("pay", "number", options={"minimum": 0, "maximum": 10_000}, decimals=2),
        column("ill", "string", required=True, values=["no", "yes"]),
        top={"budget": {"epsilon": 3, "delta": 1e-5, "contributions": 2},
             "training": {"recipe": "tabular/likelihood", "effort": 0.6}, **changes}, entity="who", target="ill",
        task="classification", conditions=["job"])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ingest, split and fit; the fit as if it had been killed after measuring, with every private row gone since."""
    folder = tmp_path_factory.mktemp("private")
    said = agreed(folder)
    stages = {name: folder / name for name in ("ingest", "split", "fit.partial", "generate")}
    for stage in stages.values():
        stage.mkdir()
    PLUG.ingest(said, stages["ingest"], progress=Silent())
    PLUG.split(said, stages["ingest"], stages["split"], seed=1)
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        real = road.measured
        patch.setattr(road, "measured", lambda *args: calls.append(1) or real(*args))
        patch.setattr(road, "drawn", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            PLUG.fit(said, stages["ingest"], stages["split"], stages["fit.partial"], seed=1, device="cpu",
                     progress=Silent())
    kept = (stages["fit.partial"] / road.KEPT).read_bytes()
    hidden = folder / "hidden"
    for gone in ("ingest", "split"):
        (hidden / gone).mkdir(parents=True)
        stages[gone].rename(hidden / gone / "x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(road, "measured", lambda *args: calls.append(1))
        record = PLUG.fit(said, stages["ingest"], stages["split"], stages["fit.partial"], seed=1, device="cpu",
                          progress=Silent())
    return {"contract": said, **stages, "record": record, "kept": kept, "calls": calls}


def test_nothing_after_the_measurement_reads_a_private_row(walked: dict[str, Any]) -> None:
    assert not walked["ingest"].exists() and not walked["split"].exists()
    made = PLUG.generate(walked["contract"], walked["ingest"], walked["split"], walked["fit.partial"],
                         walked["generate"], seed=1, progress=Silent())
    assert made["rows"] == walked["record"]["rows"]
    frame = StoredTable(walked["generate"] / "synthetic.parquet", SCHEMA).read()
    assert abs((frame.pay == 0).mean() - 0.3) < 0.12 and set(frame.ill) == {"no", "yes"}
    assert frame.age.between(0, 120).all() and frame.notna().all()[["age", "ill"]].all()


def test_a_stored_measurement_is_never_taken_again(walked: dict[str, Any]) -> None:
    assert walked["calls"] == [1]
    assert (walked["fit.partial"] / road.KEPT).read_bytes() == walked["kept"]


def test_the_record_has_the_whole_statement(walked: dict[str, Any]) -> None:
    said = walked["record"]["privacy"]
    assert (said["epsilon"], said["delta"], said["unit"], said["contributions"]) == (3.0, 1e-5, "entity", 2)
    assert said["neighbours"] == "add or remove one unit" and said["bounds"] == "declared" and said["audit"] is None
    assert any("report" in line for line in said["outside"]) and "os.urandom" in said["rng"]
    assert all(m["sensitivity"] >= 2 and m["kind"] == "gaussian" for m in said["mechanisms"])
    assert len(said["accountants"]) == 2 and len(said["curve"]) >= 5


def test_another_budget_does_not_take_over_a_measurement(walked: dict[str, Any]) -> None:
    more = replace(walked["contract"], budget=replace(walked["contract"].budget, epsilon=4.0))
    with pytest.raises(UserError, match="another budget"):
        PLUG.fit(more, walked["ingest"], walked["split"], walked["fit.partial"], seed=1, device="cpu",
                 progress=Silent())


def test_what_a_contract_must_declare_under_a_budget(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n1,x,2.5\n2,y,3.5\n")
    said = contract(tmp_path / "t.csv", column("a", "integer"), column("b", "string"),
                    column("c", "number", options={"minimum": 0, "maximum": 9}),
                    top={"budget": {"epsilon": 1, "delta": 1e-6}})
    with pytest.raises(Problems) as caught:
        PLUG.ingest(said, tmp_path, progress=Silent())
    text = str(caught.value)
    for what in ("'a' does not declare its bounds,", "'b' does not declare its values",
                 "'c' does not declare its decimals"):
        assert what in text


def test_columns_that_a_constraint_ties_are_measured_together() -> None:
    frame, units = people(600)
    kept = measure.measure(frame, SCHEMA, units, BUDGET, Account(3.0, 1e-5), wanted=[("ill", "pay"), ("job", "job")])
    assert (2, 3) in {m.clique for m in kept.measurements}


def test_fixed_combinations_and_missing_libraries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    said = agreed(tmp_path)
    assert undeclared(said) == []
    fixed = replace(said, constraints=(FixedCombinations(columns=("job", "ill"), line=7),))
    (problem,) = undeclared(fixed)
    assert "which combinations" in problem.what and problem.where.endswith(":7")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (problem,) = undeclared(said)
    assert "synth-pipeline[dp]" in problem.todo


def test_the_part_of_one_entity_says_nothing_of_another() -> None:
    from synth.contract.model import Split
    from synth.split import alone

    entities = np.repeat(np.arange(5_000), 2)
    parts = alone(entities, Split())
    assert np.array_equal(parts[::2], parts[1::2])
    assert np.bincount(parts) / len(parts) == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    assert not np.array_equal(parts, alone(entities, Split()))
