"""Tokens and back: marginals kept, nobody's extreme exposed, conditions inside cells, JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.contract.model import Role
from synth.errors import UserError
from synth.seeds import generator
from synth.tabular.codec import LabelCodec, TableCodec
from synth.tabular.numbers import Interval, NumberCodec
from synth.tabular.schema import ColumnSchema, TableSchema


def round_trip(values: np.ndarray, **options: object) -> tuple[pd.DataFrame, TableCodec]:
    schema = TableSchema(columns=(ColumnSchema(name="x", role=Role.NUMERIC, nullable=False, **options),))  # type: ignore[arg-type]
    frame = pd.DataFrame({"x": values})
    codec = TableCodec.fit(frame, schema)
    return codec.decode(codec.encode(frame, seed=1), generator(2, "decode")), codec


@pytest.mark.parametrize("draw", ["normal", "lognormal", "uniform", "standard_cauchy"])
def test_the_distribution_survives(draw: str) -> None:
    values = np.round(getattr(generator(1, draw), draw)(size=8000), 4)
    made = round_trip(values, decimals=4)[0]["x"].to_numpy()
    both = np.sort(np.concatenate([values, made]))
    gap = np.abs(np.searchsorted(np.sort(values), both, "right") - np.searchsorted(np.sort(made), both, "right")).max()
    assert gap / 8000 < 0.01
    assert (made == np.round(made, 4)).all()


def test_spikes_come_back_exactly_and_integers_stay_integers() -> None:
    rng = generator(1, "spikes")
    values = np.where(rng.random(5000) < 0.4, 0.0, np.floor(rng.lognormal(6, 1, 5000)))
    made = round_trip(values, integer=True, decimals=0)[0]["x"]
    assert (made == 0).sum() == (values == 0).sum()
    assert (made == made.round()).all() and made.min() >= 0


def test_no_rare_value_and_no_extreme_is_in_the_saved_codec() -> None:
    rng = generator(1, "rare")
    values = np.concatenate([np.round(rng.normal(100, 10, 4000), 3), [98765.432, -4321.987]])
    _, codec = round_trip(values, decimals=3)
    text = json.dumps(codec.to_json())
    assert "98765.432" not in text and "4321.987" not in text
    column = codec.columns[0]
    assert isinstance(column, NumberCodec) and column.quantiles is not None
    assert len(column.quantiles.knots) < len(values) / 3
    assert not len(column.atoms) or min((values == atom).sum() for atom in column.atoms) >= 10


def test_atoms_count_entities_not_rows() -> None:
    values = np.array([7.0] * 50 + list(np.arange(100, 300)))
    entities = np.array([0] * 50 + list(range(1, 201)))
    one_person = NumberCodec.fit("x", values, k=10, decimals=0, nullable=False, entities=entities)
    many = NumberCodec.fit("x", values, k=10, decimals=0, nullable=False)
    assert 7.0 in many.atoms and 7.0 not in one_person.atoms


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-500, 500), min_size=1, max_size=300), st.integers(0, 2))
def test_any_column_encodes_into_its_sizes_and_back_into_its_bounds(cells: list[int], decimals: int) -> None:
    values = np.array(cells) / 10.0**decimals
    codec = NumberCodec.fit("x", values, k=10, decimals=decimals, nullable=False, low=-500, high=500)
    tokens = np.floor(codec.encode(values, np.full(len(values), 0.3))).astype(int)
    assert (tokens >= 0).all() and all((tokens[:, i] < size).all() for i, size in enumerate(codec.sizes))
    again = NumberCodec.from_json(json.loads(json.dumps(codec.to_json())))
    frame = codec.encode(values, np.full(len(values), 0.3))
    assert (again.encode(values, np.full(len(values), 0.3)) == frame).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(-3, 3), st.floats(0, 3))
def test_draws_inside_a_condition_satisfy_it(seed: int, low: float, width: float) -> None:
    rng = generator(seed, "condition")
    values = np.round(rng.normal(0, 1, 1000), 2)
    codec = NumberCodec.fit("x", values, k=10, decimals=2, nullable=False)
    within = Interval(low=np.ceil(low * 100) / 100, high=np.floor((low + width) * 100) / 100)
    share = codec.allowed(within)[:, 0]
    assert share.min() >= 0 and share.max() <= 1 + 1e-9
    tokens = np.flatnonzero(share)
    if len(tokens):
        cells = np.repeat(tokens, 20)[:, None] + rng.random((20 * len(tokens), 1)) * 0.999
        made = codec.decode(cells, within)
        assert (made >= within.low - 1e-12).all() and (made <= within.high + 1e-12).all()


def test_missing_labels_and_numbers_come_back_missing() -> None:
    schema = TableSchema(columns=(ColumnSchema(name="n", role=Role.NUMERIC, nullable=True, decimals=1),
                                  ColumnSchema(name="l", role=Role.CATEGORICAL, nullable=True, values=("p", "q"))))
    frame = pd.DataFrame({"n": [1.5, np.nan] * 50, "l": pd.Series(["p", "q", np.nan, "q"] * 25, dtype="str")})
    codec = TableCodec.fit(frame, schema)
    made = codec.decode(codec.encode(frame, seed=1), generator(1, "d"))
    schema.check(made)
    assert made.equals(frame)


def test_an_unknown_label_is_refused_without_quoting_it() -> None:
    column = ColumnSchema(name="l", role=Role.CATEGORICAL, nullable=False, values=("p", "q"))
    codec = LabelCodec.fit(column, pd.Series(["p", "q"], dtype="str"))
    with pytest.raises(UserError) as error:
        codec.encode(pd.Series(["secret-label"], dtype="str"))
    assert "secret-label" not in str(error.value) and "'l'" in str(error.value)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_cells_round_trip(data: st.DataObject) -> None:
    """Missing stays missing, atoms and labels come back as they were, bounds, precision and grid hold."""
    decimals = data.draw(st.integers(0, 3))
    cells = data.draw(st.lists(st.one_of(st.none(), st.integers(-300, 300), st.sampled_from([0, 50, 120])),
                               min_size=1, max_size=400))
    step = data.draw(st.sampled_from([1, 5]))
    values = np.array([np.nan if c is None else np.round(c * step / 10.0**decimals, decimals) for c in cells])
    low, high = -1500 / 10.0**decimals, 1500 / 10.0**decimals
    codec = NumberCodec.fit("x", values, k=10, decimals=decimals, nullable=True, low=low, high=high)
    tokens = codec.encode(values, np.full(len(values), 0.5))
    made = codec.decode(tokens)
    if np.sum(~np.isnan(values)) < 10 <= len(values):  # too few to show anything of the column
        assert np.isnan(made).all()
        return
    assert (np.isnan(made) == np.isnan(values)).all()
    filled = ~np.isnan(values)
    spike = np.isin(values, codec.atoms) & filled
    assert (made[spike] == values[spike]).all()
    assert (made[filled] >= low).all() and (made[filled] <= high).all()
    assert (made[filled] == np.round(made[filled], decimals)).all()
    if codec.grid:
        assert np.allclose(made[filled] / codec.grid, np.round(made[filled] / codec.grid), atol=1e-6)
    labels = tuple(f"v{i}" for i in range(data.draw(st.sampled_from([1, 5, 700]))))
    words = data.draw(st.lists(st.one_of(st.none(), st.sampled_from(labels)), min_size=1, max_size=60))
    column = pd.Series([np.nan if w is None else w for w in words], dtype="str")
    schema = ColumnSchema(name="l", role=Role.CATEGORICAL, nullable=True, values=labels)
    vocabulary = LabelCodec.fit(schema, column)
    assert vocabulary.decode(vocabulary.encode(column)).equals(column)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(10, 600), st.integers(10, 25), st.integers(1, 3),
       st.sampled_from(["normal", "lognormal", "integers", "spikes"]))
def test_nothing_saved_or_drawn_is_one_rows_value(seed: int, rows: int, k: int, planted: int, kind: str) -> None:
    rng = generator(seed, "support")
    bulk = {"normal": lambda: rng.normal(100, 10, rows), "lognormal": lambda: rng.lognormal(2, 1, rows),
            "integers": lambda: rng.integers(0, 500, rows).astype(float),
            "spikes": lambda: rng.choice([1.0, 2.0, 3.0, 4.5], rows)}[kind]().round(3)
    extremes = np.array([98765.437, -43219.871, 31337.133])[:planted]
    values = rng.permutation(np.concatenate([bulk, np.full(k, 20.0), extremes]))
    codec = NumberCodec.fit("x", values, k=k, decimals=3, nullable=False)
    text = json.dumps(codec.to_json())
    assert not any(f"{value:.3f}" in text for value in extremes)
    assert all((values == atom).sum() >= k for atom in codec.atoms)
    if codec.quantiles is not None:
        assert codec.quantiles.intervals * k <= max(k, len(values) - len(codec.atoms))
        places = np.linspace(0, 0.9999, 25)
        drawn = codec.decode((np.arange(codec.sizes[0])[:, None] + places).reshape(-1, 1))
        assert not np.isin(extremes, drawn).any()


def test_one_person_with_many_rows_shows_in_no_figure_of_the_model():
    own = 98765.432
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(50_000, 9_000, 4_000).round(3), np.full(50, own)])
    entities = np.concatenate([np.arange(4_000), np.full(50, 4_000)])
    codec = NumberCodec.fit("pay", values, k=10, decimals=3, nullable=False, entities=entities)
    assert "98765.432" not in json.dumps(codec.to_json())
    cells = codec.encode(values, rng.random(len(values)))
    drawn = codec.decode(np.repeat(np.floor(cells), 20, axis=0) + 0.9999 * rng.random((20 * len(cells), 1)))
    assert (drawn != own).all()
    assert abs(np.median(drawn) - np.median(values)) < 300, "the others come out as they went in"


@pytest.mark.parametrize("filled, shown", [(1, False), (9, False), (10, True)])
def test_a_column_that_fewer_than_k_people_fill_comes_out_missing(filled, shown):
    values = np.full(500, np.nan)
    values[:filled] = 41.5
    codec = NumberCodec.fit("dose", values, k=10, decimals=1, nullable=True)
    assert ("41.5" in json.dumps(codec.to_json())) == shown
    assert np.isnan(codec.decode(codec.encode(values, np.zeros(500)))).sum() == (500 - filled if shown else 500)


def test_what_lies_between_the_spikes_needs_k_people_not_k_rows():
    values = np.concatenate([np.full(300, 5.0), np.full(40, 77.25)])
    entities = np.concatenate([np.arange(300), np.full(40, 300)])
    codec = NumberCodec.fit("visits", values, k=10, decimals=2, nullable=False, entities=entities)
    assert "77.25" not in json.dumps(codec.to_json())
    assert (codec.decode(codec.encode(values, np.zeros(340))) == 5.0).all()
