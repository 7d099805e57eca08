from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synth.contract.model import Role
from synth.errors import UserError
from synth.tabular.conditions import Allowed, Conditions, parse
from synth.tabular.schema import ColumnSchema, TableSchema

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="age", role=Role.NUMERIC, nullable=True, integer=True, minimum=0, maximum=120),
    ColumnSchema(name="wage", role=Role.NUMERIC, nullable=False, decimals=2),
    ColumnSchema(name="city", role=Role.CATEGORICAL, nullable=True, values=("A|B", "Bern", "Oslo")),
    ColumnSchema(name="ill", role=Role.BOOLEAN, nullable=False, values=("false", "true"), true_text="yes",
                 false_text="no"),
    ColumnSchema(name="day", role=Role.DATETIME, nullable=True, unit="D", format="%d.%m.%Y", text=True),
    ColumnSchema(name="seen", role=Role.DATETIME, nullable=True, unit="s", zone="Europe/Oslo"),
    ColumnSchema(name="x>=y", role=Role.NUMERIC, nullable=True, decimals=None),
))


def frame() -> pd.DataFrame:
    return pd.DataFrame({
        "age": [3.0, np.nan, 40.0],
        "wage": [1.25, 1.26, 0.0],
        "city": pd.Series(["Bern", None, "A|B"], dtype="str"),
        "ill": pd.Series(["true", "false", "true"], dtype="str"),
        "day": [0.0, 1.0, np.nan],
        "seen": [0.0, 3600.0, -1.0],
        "x>=y": [1.0, 2.0, 3.0],
    })


@pytest.mark.parametrize(("text", "expected"), [
    ("age=3", [True, False, False]),
    ("age >= 3", [True, False, True]),
    ("age<40", [True, False, False]),
    ("age=", [False, True, False]),
    ("age is missing", [False, True, False]),
    ("age is not missing", [True, False, True]),
    ("wage>1.25", [False, True, False]),
    ("wage=1.25", [True, False, False]),
    ("city=Bern|Oslo", [True, False, False]),
    ("city=A|B", [False, False, True]),
    ("ill=yes", [True, False, True]),
    ("day=02.01.1970", [False, True, False]),
    ("day<=01.01.1970", [True, False, False]),
    ("seen>=1970-01-01T01:30:00", [False, True, False]),
    ("x>=y>=2", [False, True, True]),
])
def test_each_form_of_the_grammar(text: str, expected: list[bool]) -> None:
    assert parse([text], SCHEMA).holds(frame()).tolist() == expected


def test_several_conditions_all_hold_and_meet_on_one_column() -> None:
    conditions = parse(["age>=3", "age<=3", "ill=yes"], SCHEMA)
    assert conditions.columns["age"].exact == 3
    assert conditions.columns["ill"].exact == "true"
    assert conditions.holds(frame()).tolist() == [True, False, False]
    assert not parse([], SCHEMA) and parse([], SCHEMA).holds(frame()).all()


@pytest.mark.parametrize(("texts", "needle"), [
    (["size=3"], "columns: age, wage"),
    (["age"], "operator"),
    (["city=Rome"], "its labels: A|B, Bern, Oslo"),
    (["city>Bern"], "labels"),
    (["ill=true"], "its labels: yes, no"),
    (["age=3.5"], "0 decimals"),
    (["age=130"], "bounds"),
    (["age>=121"], "bounds"),
    (["age=old"], "not a numeric"),
    (["age=nan"], "not a numeric"),
    (["day=1970-01-01"], "%d.%m.%Y"),
    (["wage="], "no missing"),
    (["age>=5", "age<=4"], "exclude"),
    (["age=", "age=4"], "exclude"),
    (["city=Bern", "city=Oslo"], "exclude"),
])
def test_errors_say_what_to_do(texts: list[str], needle: str) -> None:
    with pytest.raises(UserError, match="where: --where") as caught:
        parse(texts, SCHEMA)
    assert needle in str(caught.value)


def test_conditions_are_frozen() -> None:
    conditions = Conditions({"age": Allowed(low=1, high=2)})
    with pytest.raises(TypeError):
        conditions.columns["age"] = Allowed()  # type: ignore[index]
