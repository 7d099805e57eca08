"""`synth check`: contract against data, everything at once, nothing written, nothing quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.errors import UserError
from synth.tabular.check import check, examine
from tests.tabular.tables import SECRET, column, contract


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


def test_a_good_pair_has_no_problem(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b\n" + "1,x\n2,y\n" * 600)
    found = examine(contract(path, column("a", "integer"), column("b", "string"), target="b", task="classification"))
    assert found.problems == () and found.notes == ()
    assert [p.name for p in tmp_path.iterdir()] == ["data.csv"]


def test_every_problem_has_its_place_and_none_quotes_a_cell(tmp_path: Path) -> None:
    path = table(tmp_path, f"a,b,c,extra\n{SECRET},2020-01-01,,1\n5,{SECRET},,2\n")
    agreed = contract(path, column("a", "integer", options={"maximum": 3}), column("b", "date"), column("c", "string"),
                      column("extra", "integer", boundsConfirmed=False), top={"budget": {"epsilon": 1, "delta": 1e-6}})
    problems = check(agreed)
    text = "\n".join(map(str, problems))
    assert len(problems) == 9 and SECRET not in text and text.count("does not declare") == 4
    for name in ("'a'", "'b'", "'c'", "'extra'"):
        assert f"column {name}" in text
    assert all("/contracts/t.yaml" in p.where and p.todo for p in problems)


def test_columns_on_one_side_only_and_unreadable_data_are_problems_too(tmp_path: Path) -> None:
    path = table(tmp_path, "a\n1\n")
    assert len(check(contract(path, column("b", "integer")))) == 2
    assert len(check(contract(tmp_path / "none.csv", column("b", "integer")))) == 1
    assert len(check(contract(table(tmp_path, "a,b\n1\n"), column("a", "integer"), column("b", "integer")))) == 1


def test_few_rows_constants_and_no_target_are_notes(tmp_path: Path) -> None:
    found = examine(contract(table(tmp_path, "a,b\n1,x\n"), column("a", "integer"), column("b", "string")))
    assert found.problems == ()
    text = "\n".join(map(str, found.notes))
    assert "fewer than 1000 rows" in text and "no target" in text and "'b' has the same value" in text
    assert all(isinstance(n, UserError) for n in found.notes)


@pytest.mark.parametrize("rows", [11, 40])
def test_a_category_with_as_many_values_as_rows(tmp_path: Path, rows: int) -> None:
    path = table(tmp_path, "a,b\n" + "".join(f"1,{SECRET}{i}\n" for i in range(rows)))
    (problem,) = check(contract(path, column("a", "integer"), column("b", "string")))
    assert "a different label in every row" in str(problem) and SECRET not in str(problem)


def test_a_delta_of_one_over_n_or_more_is_no_promise(tmp_path: Path) -> None:
    """100 rows of 25 people: what counts is the unit whose presence the budget hides."""
    path = table(tmp_path, "a,p\n" + "".join(f"{i},{i // 4}\n" for i in range(100)))

    def about_delta(delta: float, **more: object) -> bool:
        agreed = contract(path, column("a", "integer"), column("p", "string", role="identifier"), entity="p",
                          top={"budget": {"epsilon": 1, "delta": delta, "contributions": 4, **more}})
        return any("delta of the budget" in str(p) for p in check(agreed))

    assert about_delta(0.04) and not about_delta(0.039)
    assert about_delta(0.039, unit="row", contributions=1) and not about_delta(0.0099, unit="row", contributions=1)
