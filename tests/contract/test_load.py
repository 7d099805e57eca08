"""Contracts as a person writes them: what they become, and what each mistake is called."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synth.contract import Budget, FixedCombinations, IdentifierPolicy, Inequality, Privacy, Role, Sum, Task
from synth.contract.load import load, loads
from synth.contract.marks import parse
from synth.errors import Problems, UserError

BASE = """\
apiVersion: v3.1.0
kind: DataContract
id: people
version: "1.0.0"
servers:
  - {server: here, type: local, path: people.csv}
schema:
  - name: people
    properties:
      - {name: age, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 120}}
      - {name: income, logicalType: number}
      - {name: spent, logicalType: number}
      - {name: job, logicalType: string}
      - {name: sick, logicalType: boolean}
      - name: person
        logicalType: string
        customProperties:
          - {property: synthesis.role, value: identifier}
          - {property: synthesis.privacy, value: direct}
"""
HERE = Path("/contracts/people.yaml")


def refused(text: str) -> str:
    """The message of a contract that must be refused."""
    with pytest.raises(UserError) as caught:
        loads(text, HERE)
    assert caught.value.exit_code == 2
    return str(caught.value)


def with_column(**column: Any) -> str:
    return BASE + "      - " + json.dumps({"name": "extra", **column}) + "\n"


def with_settings(level: str = "schema", **settings: Any) -> str:
    properties = [{"property": f"synthesis.{k}", "value": v} for k, v in settings.items()]
    indent = "    " if level == "schema" else ""
    return f"{BASE}{indent}customProperties: {json.dumps(properties)}\n"


def test_a_plain_contract_takes_its_roles_from_logical_types() -> None:
    contract = loads(BASE, HERE)
    assert [c.role for c in contract.columns] == [
        Role.NUMERIC, Role.NUMERIC, Role.NUMERIC, Role.CATEGORICAL, Role.BOOLEAN, Role.IDENTIFIER]
    assert (contract.name, contract.version, contract.domain) == ("people", "1.0.0", "tabular")
    assert (contract.column("age").minimum, contract.column("age").maximum) == (0, 120)
    assert contract.source == "/contracts/people.csv"
    assert contract.column("person").privacy is Privacy.DIRECT
    assert contract.column("age").line == 10
    assert [c.name for c in contract.modelled] == ["age", "income", "spent", "job", "sick"]


def test_everything_that_can_be_said_arrives() -> None:
    text = with_settings(
        entity="person", target="sick", task="classification", conditions=["job", "sick"],
        constraints=[{"inequality": {"low": "spent", "high": "income", "strict": True}},
                     {"fixedCombinations": ["job", "sick"]}, {"sum": {"total": "income", "parts": ["spent", "age"]}}])
    text += "customProperties: " + json.dumps([
        {"property": "synthesis.k", "value": {"limit": 5, "reason": "a small clinic"}},
        {"property": "synthesis.split", "value": {"train": 0.5, "holdout": 0.25, "reference": 0.25}},
        {"property": "synthesis.training", "value": {"recipe": "r", "maxRows": 10, "effort": 0.5, "options": {"a": 1}}},
        {"property": "synthesis.gates", "value": {"fidelity": {"c2st": {"limit": 0.7, "reason": "a pilot"}}}},
        {"property": "synthesis.budget", "value": {"epsilon": 3, "delta": "1e-6", "contributions": 4,
                                                    "totalEpsilon": 30, "totalDelta": 1e-5}},
        {"property": "synthesis.rows", "value": 77}, {"property": "synthesis.maxAttempts", "value": 9},
        {"property": "synthesis.legalBasis", "value": "consent"},
        {"property": "synthesis.collected", "value": {"from": "2023-02-01", "to": "2024-01-31"}},
        {"property": "synthesis.licence", "value": "CC0"}, {"property": "acme.owner", "value": "somebody else's"},
    ]) + """
slaProperties: [{property: retention, value: 2, unit: y}]
contractCreatedTs: 2024-03-31T00:00:00Z
team: {members: [{username: ada, role: privacy reviewer}, {username: bob, role: owner}]}
"""
    contract = loads(text, HERE)
    assert contract.constraints == (
        Inequality(low="spent", high="income", strict=True, line=contract.constraints[0].line),
        FixedCombinations(columns=("job", "sick"), line=contract.constraints[1].line),
        Sum(total="income", parts=("spent", "age"), line=contract.constraints[2].line))
    assert (contract.entity, contract.target, contract.task) == ("person", "sick", Task.CLASSIFICATION)
    assert (contract.k, contract.k_reason, contract.rows, contract.max_attempts) == (5, "a small clinic", 77, 9)
    assert contract.limit("fidelity", "c2st", 0.6) == 0.7
    assert contract.limits[0].reason == "a pilot"
    assert contract.training.options == (("a", 1),) and contract.training.max_rows == 10
    assert contract.budget == Budget(epsilon=3.0, delta=1e-6, contributions=4, total_epsilon=30.0, total_delta=1e-5)
    assert contract.retention_until == date(2026, 3, 28)
    assert contract.reviewers == ("ada",)
    assert contract.split.holdout == 0.25 and contract.licence == "CC0"
    assert (contract.legal_basis, contract.collected) == ("consent", (date(2023, 2, 1), date(2024, 1, 31)))


def test_values_and_missing_codes_are_taken_as_written() -> None:
    text = with_column(logicalType="string").replace('"logicalType": "string"}', """"logicalType": "string",
        "customProperties": [{"property": synthesis.values, value: [no, 0.10, 007, 2020-01-01]},
        {"property": synthesis.missingCodes, value: [-999, ~]}]}""")
    column = loads(text, HERE).column("extra")
    assert column.values == ("no", "0.10", "007", "2020-01-01")
    assert column.missing_codes == ("-999", "~")


def test_the_standards_enum_is_the_vocabulary() -> None:
    assert loads(with_column(logicalType="string", enum=[{"value": "a"}, {"value": "b"}]),
                 HERE).column("extra").values == ("a", "b")


def test_dates_have_bounds_and_a_translated_format() -> None:
    column = loads(with_column(logicalType="date", logicalTypeOptions={
        "minimum": "1900-01-01", "maximum": "2030-12-31", "format": "dd/MM/yyyy HH:mm"}), HERE).column("extra")
    assert (column.minimum, column.maximum, column.datetime_format) == ("1900-01-01", "2030-12-31", "%d/%m/%Y %H:%M")


def test_classification_says_the_privacy_class() -> None:
    column = loads(with_column(logicalType="string", classification="Sensitive"), HERE).column("extra")
    assert column.privacy is Privacy.SENSITIVE


def test_a_generated_identifier() -> None:
    column = loads(with_column(customProperties=[
        {"property": "synthesis.role", "value": "identifier"}, {"property": "synthesis.generate", "value": "generate"},
        {"property": "synthesis.faker", "value": "name"}]), HERE).column("extra")
    assert (column.generate, column.faker) == (IdentifierPolicy.GENERATE, "name")


@pytest.mark.parametrize(("text", "what", "line"), [
    (BASE.replace("kind:", "kinds:"), "did you mean 'kind'", 2),
    (BASE.replace("path: people", "pth: people"), "did you mean 'path'", 6),
    (BASE.replace("{name: income, logicalType: number}", "{name: income, logicalType: number, requird: true}"),
     "did you mean 'required'", 11),
    (BASE.replace("value: direct", "value: dirct"), "did you mean 'direct'", 19),
    (BASE.replace("synthesis.privacy", "synthesis.privcy"), "did you mean 'synthesis.privacy'", 19),
    (BASE.replace("synthesis.privacy", "synthetis.privacy"), "did you mean 'synthesis.privacy'", 19),
    (BASE.replace("synthesis.privacy", "synthesis.entity"), "belongs to the table", 19),
    (BASE.replace("name: spent", "name: income"), "described 2 times", 12),
    (BASE.replace("version: \"1.0.0\"", "version: 1.0"), "must be text", 4),
    (BASE.replace("\"1.0.0\"", "\"../1\""), "becomes part of a path", 4),
    (BASE.replace("id: people", "id: people\nid: again"), "stands twice", 4),
    (BASE.replace("minimum: 0", "minimum: 200"), "above its maximum", 10),
    (BASE.replace("minimum: 0", "minimum: low"), "must be a number", 10),
    (BASE.replace("minimum: 0", "exclusiveMinimum: 0"), "use `minimum`", 10),
    (BASE.replace("minimum: 0", "minimum: .inf"), "must be a number", 10),
    (BASE.replace("path: people.csv", "path: ../people.csv"), "leaves the contract's folder", 6),
    (BASE.replace("path: people.csv", "path: s3://me:secret@host/x"), "password", 6),
    (BASE.replace("v3.1.0", "v9.9.9"), "not known", 1),
    (BASE.replace("[", "").replace("schema:", "schema: ["), "not valid YAML", 8),
    (BASE.replace("id: people", "id: !!python/object/apply:os.system [ls]"), "'id' must be text", 3),
    (BASE.replace("id: people", "id: !!python/name:os.system x"), "tag", 3),
    (with_settings(entity="persn"), "did you mean 'person'", 20),
    (with_settings(entity="age"), "must not reach the model", 20),
    (with_settings(target="income"), "a target needs a task", 20),
    (with_settings(target="income", task="classification"), "a target with labels", 20),
    (with_settings(target="job", task="regression"), "a numeric target", 20),
    (with_settings(task="regression"), "a task needs a target", 20),
    (with_settings(conditions=["person"]), "the model sees", 20),
    (with_settings(constraints=[{"inequality": {"low": "age", "high": "job"}}]), "labels have no size", 20),
    (with_settings(constraints=[{"inequality": {"low": "age", "high": "age"}}]), "different columns", 20),
    (with_settings(constraints=[{"sum": {"total": "age"}}]), "'parts' of a sum", 20),
    (with_settings(constraints=[{"sums": {}}]), "did you mean 'sum'", 20),
    (with_settings("contract", gates={"fidelity": {"c2st": {"limit": 0.9}}}), "has no reason", 20),
    (with_settings("contract", gates={"fidelity": {"c2st": 0.9}}), "has no reason", 20),
    (with_settings("contract", k=5), "without a reason", 20),
    (with_settings("contract", k=1), "2 or more", 20),
    (with_settings("contract", split={"train": 0.9, "holdout": 0.2, "reference": 0.2}), "together 1", 20),
    (with_settings("contract", budget={"epsilon": -1, "delta": 0.1}), "epsilon above 0", 20),
    (with_settings("contract", budget={"epsilon": 0, "delta": 0.1}), "epsilon above 0", 20),
    (with_settings("contract", budget={"epsilon": 1, "delta": 0}), "delta between 0 and 1", 20),
    (with_settings("contract", budget={"epsilon": ".inf", "delta": 1e-6}), "'epsilon' of the budget must be", 20),
    (with_settings("contract", budget={"epsilon": 1}), "'delta' of the budget must be a number", 20),
    (with_settings("contract", budget={"epsilon": 1, "delta": 1e-6, "unit": "cell"}), "unknown 'unit'", 20),
    (with_settings("contract", budget={"epsilon": 1, "delta": 1e-6, "contributions": 0}), "1 or more", 20),
    (with_settings("contract", budget={"epsilon": 1, "delta": 1e-6, "contributions": 1.5}), "whole number", 20),
    (with_settings("contract", budget={"epsilon": 1, "delta": 1e-6, "contributions": 2}), "a single row", 20),
    (with_settings("contract", budget={"epsilon": 1, "delta": 1e-6, "totalEpsilon": 2}), "alone", 20),
    (with_settings("contract", budget={"epsilon": 3, "delta": 1e-6, "totalEpsilon": 2, "totalDelta": 1e-5}),
     "smaller than the budget of one", 20),
    (with_settings("contract", budget={"epsilon": 3, "delta": 1e-6, "total": 2}), "unknown key 'total'", 20),
    (with_settings("contract", rows=0), "1 or more", 20),
    (with_settings("contract", legalBasis=5), "'synthesis.legalBasis' must be", 20),
    (with_settings("contract", legalbasis="consent"), "did you mean 'synthesis.legalBasis'", 20),
    (with_settings("contract", collected={"from": "2024-01-01"}), "first and the last day", 20),
    (with_settings("contract", collected={"from": "2024-01-01", "to": "2024-13-01"}), "first and the last day", 20),
    (with_settings("contract", collected={"from": "2024-01-02", "to": "2024-01-01"}), "ends before it begins", 20),
    (with_settings("contract", collected={"from": "2024-01-01", "until": "2024-01-02"}), "unknown key 'until'", 20),
    (with_settings("contract", domain="tabluar"), "did you mean 'tabular'", 20),
    (with_settings("contract", training={"maxRow": 5}), "did you mean 'maxRows'", 20),
    (with_column(logicalType="object"), "the role of column 'extra' is not known", 20),
    (with_column(logicalType="date", logicalTypeOptions={"format": "QQ"}), "not supported (QQ)", 20),
    (with_column(logicalType="integer", unique=True), "cannot be modelled", 20),
    (with_column(logicalType="string", customProperties=[{"property": "synthesis.role", "value": "text"}]),
     "free text, which is refused", 20),
    (with_column(logicalType="string", customProperties=[{"property": "synthesis.role", "value": "ordinal"}]),
     "the order of ordinal column", 20),
    (with_column(logicalType="integer", customProperties=[{"property": "synthesis.privacy", "value": "direct"}]),
     "must not reach the model", 20),
    (with_column(logicalType="integer", customProperties=[{"property": "synthesis.protected", "value": True}]),
     "has no groups", 20),
    (with_column(customProperties=[{"property": "synthesis.role", "value": "identifier"},
                                   {"property": "synthesis.generate", "value": "generate"},
                                   {"property": "synthesis.faker", "value": "nonsense_xyz"}]), "no provider", 20),
])
def test_each_mistake_has_a_place_and_a_remedy(text: str, what: str, line: int) -> None:
    message = refused(text)
    assert what in message
    assert f"{HERE}:{line}\n" in message
    assert "what to do:" in message
    assert message.count("\n") < 24  # fits a screen


def test_all_mistakes_are_told_at_once() -> None:
    text = BASE.replace("kind:", "kinds:").replace("minimum: 0", "minimum: 200")
    text = text.replace("value: direct", "value: dirct")
    with pytest.raises(Problems) as caught:
        loads(text, HERE)
    assert len(caught.value.problems) >= 3


@pytest.mark.parametrize("text", ["", "a list: [", "- 1\n- 2\n", "just text", "a: &x [*x]\n", "\t\n:\n", "a: \x00\n",
                                  "<<: {a: 1}\n", "? [1, 2]\n: 3\n", "a: " + "[" * 1500 + "]" * 1500,
                                  "a: " + "9" * 5000])
def test_what_is_no_contract_is_refused_with_its_name(text: str) -> None:
    assert str(HERE) in refused(text)


def test_nested_aliases_do_not_fill_the_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    assert "expands without bound" in refused(bomb)


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such contract"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: m\xfcller".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        load(tmp_path / "latin.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)


def test_a_link_out_of_the_folder_is_refused_and_an_absolute_path_is_not(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir(), outside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "people.yaml").write_text(BASE.replace("people.csv", "link/people.csv"))
    with pytest.raises(UserError, match="leaves the contract's folder"):
        load(inside / "people.yaml")
    (inside / "people.yaml").write_text(BASE.replace("people.csv", f"{outside}/people.csv"))
    assert load(inside / "people.yaml").source == f"{outside}/people.csv"


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "people.yaml"
    path.write_text(BASE)
    first = load(path).digest
    path.write_text(BASE + "# a remark\n")
    assert load(path).digest != first


def test_the_shipped_contract_loads_and_is_valid_by_the_standards_own_schema() -> None:
    import importlib.resources

    import jsonschema

    path = Path(__file__).parents[2] / "data_contracts" / "cps.yaml"
    contract = load(path)
    assert contract.target == "marr" and {c.name for c in contract.columns if c.protected} == {"black", "hisp"}
    schema = importlib.resources.files("open_data_contract_standard").joinpath("schema.json").read_text()
    jsonschema.validate(contract.raw, json.loads(schema))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=8), inner, max_size=3)))
def test_any_yaml_is_parsed_like_the_library_or_refused(data: Any) -> None:
    text = yaml.safe_dump({"root": data}, allow_unicode=True)
    assert parse(text.encode(), HERE).data == yaml.safe_load(text)


@given(st.dictionaries(st.sampled_from(["schema", "servers", "customProperties", "version", "team", "slaProperties"]),
                       st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3),
                                    lambda inner: st.lists(inner, max_size=2)
                                    | st.dictionaries(st.sampled_from(["name", "properties", "property", "value",
                                                                       "customProperties", "logicalTypeOptions"]),
                                                      inner, max_size=3), max_leaves=8)))
def test_no_shape_of_contract_escapes_the_error_class(data: dict[str, Any]) -> None:
    refused(yaml.safe_dump(data))


def test_an_audit_of_the_budget_is_asked_for_by_its_name() -> None:
    said = {"epsilon": 3, "delta": 1e-6, "audit": "canaries"}
    assert loads(with_settings("top", budget=said), HERE).budget == Budget(epsilon=3.0, delta=1e-6, audit=True)
    assert "unknown 'audit' of the budget" in refused(with_settings("top", budget={**said, "audit": True}))
