"""From listing rows to condition vectors."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from synth.contract.model import Role
from synth.records.conditions import FARTHEST, Conditioning
from synth.tabular.schema import ColumnSchema, TableSchema

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="site", role=Role.CATEGORICAL, nullable=True, values=("north", "south")),
    ColumnSchema(name="age", role=Role.NUMERIC, nullable=True),
    ColumnSchema(name="sex", role=Role.CATEGORICAL, nullable=False, values=("f", "m"))))
TABLE = pd.DataFrame({"site": pd.Series(["south", None, "north", "east"], dtype="str"),
                      "age": [40.0, np.nan, 60.0, 1e6], "sex": pd.Series(list("fmfm"), dtype="str")})


def test_labels_are_indicators_and_numbers_distances_with_a_flag() -> None:
    made = Conditioning.fit(TABLE.iloc[:3], SCHEMA, ("site", "age", "site"))
    assert [part.name for part in made.parts] == ["site", "age"] and made.width == 5
    np.testing.assert_allclose(made.encode(TABLE), [
        [0, 1, 0, -1, 0], [0, 0, 1, 0, 1], [1, 0, 0, 1, 0], [0, 0, 1, FARTHEST, 0]])


def test_it_survives_json_and_knows_no_columns() -> None:
    made = Conditioning.fit(TABLE, SCHEMA, ("sex", "age"))
    again = Conditioning.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    np.testing.assert_array_equal(again.encode(TABLE), made.encode(TABLE))
    nothing = Conditioning.fit(TABLE, SCHEMA, ("not modelled",))
    assert nothing.width == 0 and nothing.encode(TABLE).shape == (4, 0)


def test_a_constant_or_an_empty_number_is_no_trouble() -> None:
    table = TABLE.assign(age=5.0)
    assert np.isfinite(Conditioning.fit(table, SCHEMA, ("age",)).encode(table)).all()
    assert (Conditioning.fit(table, SCHEMA, ("age",)).encode(table)[:, 0] == 0).all()
    table = TABLE.assign(age=np.nan)
    np.testing.assert_array_equal(Conditioning.fit(table, SCHEMA, ("age",)).encode(table), [[0, 1]] * 4)
