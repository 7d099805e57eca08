from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from synth.contract import Role, Task
from synth.tabular.schema import ColumnSchema, TableSchema
from tests.validators import populations
from validators import downstream, subgroups
from validators.finding import Finding, Verdict
from validators.prediction import Problem, score


def findings(e) -> dict[str, Finding]:
    return {f.id: f for f in downstream.run(e, downstream.Limits()).findings}


@pytest.fixture(scope="module")
def clean():
    return populations.evidence(2_400, 21)


def test_scores_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 200).astype(float)
    prediction = rng.dirichlet([1, 1, 1, 1], 200)
    expected = np.mean([roc_auc_score(truth == c, prediction[:, c]) for c in range(3)])
    assert score(prediction, truth) == pytest.approx(expected)
    value = truth + rng.normal(size=200)
    assert score(value, truth) == pytest.approx(r2_score(truth, value))
    repeated = rng.integers(0, 3, 200)
    assert score(value, truth, repeated[:, None])[0] == pytest.approx(r2_score(truth, value, sample_weight=repeated))
    assert score(prediction, truth, repeated[:, None])[0] == pytest.approx(
        np.mean([roc_auc_score(truth == c, prediction[:, c], sample_weight=repeated) for c in range(3)]))


def test_a_number_as_target(clean):
    e = replace(clean, contract=replace(clean.contract, target="income", task=Task.REGRESSION))
    good, bad = findings(e), findings(replace(e, synthetic=populations.permuted_labels(e, 1, "income")))
    assert good["downstream.loss.boosting"].unit == "R2"
    assert good["downstream.loss.linear"].verdict is not Verdict.FAIL
    assert bad["downstream.loss.linear"].verdict is Verdict.FAIL


def test_many_classes_as_target(clean, monkeypatch):
    monkeypatch.setattr(downstream, "FAMILIES", ("linear",))
    e = replace(clean, contract=replace(clean.contract, target="job"))
    found = findings(e)
    assert found["downstream.loss.linear"].verdict is Verdict.PASS
    assert findings(replace(e, synthetic=populations.permuted_labels(e, 1, "job")))[
        "downstream.loss.linear"].verdict is Verdict.FAIL


def few_columns(e, names: list[str]):
    """The same with some of the columns: labels of many classes take long to learn."""
    frames = {p: getattr(e, p)[names] for p in ("train", "holdout", "reference", "synthetic")}
    return replace(e, **frames, schema=TableSchema(columns=tuple(c for c in e.schema.columns if c.name in names)))


def test_without_a_target_other_columns_stand_in(clean):
    e = few_columns(clean, ["age", "region", "status", "ill"])
    e = replace(e, contract=replace(e.contract, target=None, task=None))
    found = findings(e)
    assert found["downstream.task"].verdict is Verdict.INFO and "no task" in found["downstream.task"].title
    assert found["downstream.surrogate"].verdict is not Verdict.FAIL
    assert 1 <= len(found["downstream.surrogate"].detail["columns"]) <= downstream.SURROGATES
    shuffled = findings(replace(e, synthetic=populations.independent(e, 1)))["downstream.surrogate"]
    assert shuffled.verdict.blocks and shuffled.value < shuffled.limit


def test_a_widened_gap_between_groups_fails(clean):
    frame = clean.synthetic.copy()
    rng = np.random.default_rng(0)
    move = (frame["status"] == "status1").to_numpy() & (rng.random(len(frame)) < 0.3)
    frame.loc[move, "ill"] = "true"
    found = findings(replace(clean, synthetic=frame))
    assert findings(clean)["downstream.bias.status"].verdict is not Verdict.FAIL
    assert found["downstream.bias.status"].verdict is Verdict.FAIL


def test_a_group_that_shrank_fails(clean):
    keep = (clean.synthetic["status"] != "status1").to_numpy() | (np.arange(len(clean.synthetic)) % 2 == 0)
    found = findings(replace(clean, synthetic=clean.synthetic[keep].reset_index(drop=True)))
    assert found["downstream.representation.status"].verdict is Verdict.FAIL


def test_small_groups_are_suppressed(clean):
    frames = {}
    for part in ("train", "holdout", "reference", "synthetic"):
        frame = getattr(clean, part).copy()
        frame["status"] = np.where(np.arange(len(frame)) < 2, "status2", "status0")
        frames[part] = frame.astype(dict(clean.synthetic.dtypes))
    found = findings(replace(clean, **frames))
    shown = found["downstream.representation.status"].detail["pictures"][0]["rows"]
    assert [row["label"] for row in shown] == ["status0"]


def test_a_task_that_real_rows_cannot_teach_is_no_pass(clean):
    clean = few_columns(clean, ["age", "income", "weight", "status", "ill"])
    frames = {p: populations.permuted_labels(replace(clean, synthetic=getattr(clean, p)), 1)
              for p in ("train", "holdout", "reference", "synthetic")}
    found = findings(replace(clean, **frames))
    assert found["downstream.loss.boosting"].verdict is not Verdict.PASS
    assert found["downstream.independent.boosting"].verdict is Verdict.INFO
    assert "cannot teach" in found["downstream.task"].title
    assert "downstream.surrogate" in found  # other columns stand in, or any table would pass


@pytest.mark.parametrize(("shares", "verdict"), [
    ([(1.00, 0.02), (0.98, 0.04)], Verdict.PASS),
    ([(1.00, 0.02), (0.70, 0.02)], Verdict.FAIL),
    ([(1.00, 0.02), (0.82, 0.02)], Verdict.INCONCLUSIVE),  # large enough, and straddles .80
    ([(1.00, 0.02), (0.90, 0.40)], Verdict.PASS),  # a group too small to say anything about does not block
    ([(1.00, 0.02), (0.40, 0.25)], Verdict.INCONCLUSIVE),  # too small, and suspicious
    ([(1.00, 0.02), (0.10, 0.20)], Verdict.FAIL),  # too small, and surely off
    ([(1.10, 0.40), (0.90, 0.40)], Verdict.INCONCLUSIVE),  # nobody could be judged: not a pass
])
def test_three_states_of_the_shares_of_groups(shares, verdict):
    """Bonferroni over two groups: intervals of 2.24 standard errors."""
    groups = [subgroups._Group(f"g{i}", (v, v - 1.645 * e, v + 1.645 * e, e), None) for i, (v, e) in enumerate(shares)]
    found = subgroups._representation(ColumnSchema(name="g", role=Role.CATEGORICAL, nullable=False), groups, 0.8, 1_000)
    assert found.verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        assert "straddles" in found.remedy


def test_the_scatter_of_halves_is_that_of_whole_tables():
    """Fits on fresh tables of 800 rows scatter as the halves of one such table say they would."""
    scores, said = [], []
    for seed in range(8):
        e = populations.evidence(1_340, 60 + seed)
        problem = Problem.fit(e.reference, e.schema, "ill", regression=False, k=10, seed=0)
        if seed == 0:
            test, entities = downstream.untouched(populations.evidence(4_000, 90))
            truth = problem.answers(test)
            assert len(entities) == len(test)
        scores.append(float(score(problem.train(e.train, "linear", 1).predict(test), truth)))
        halves = {"real": downstream._halves(e)["real"]}
        chance = downstream._chance(problem, halves, len(e.train), e, "linear", test, truth)["real"]
        said.append(np.sqrt((chance**2).sum() / (len(chance) - 1)))
    assert 0.4 < np.mean(said) / np.std(scores, ddof=1) < 2.5


@pytest.mark.parametrize(("gaps", "verdict"), [
    ([(0.00, 0.01), (0.01, 0.02)], Verdict.PASS),
    ([(0.00, 0.01), (0.20, 0.03)], Verdict.FAIL),
    ([(0.00, 0.01), (0.04, 0.02)], Verdict.INCONCLUSIVE),
    ([(0.00, 0.01), (0.02, 0.10)], Verdict.PASS),  # too small
    ([(0.00, 0.01), (0.20, 0.09)], Verdict.INCONCLUSIVE),  # too small, and surely wider than none
    ([(0.02, 0.10), (0.02, 0.10)], Verdict.INCONCLUSIVE),
])
def test_three_states_of_the_gaps_of_groups(gaps, verdict):
    groups = [subgroups._Group(f"g{i}", (1.0, 0.9, 1.1, 0.05), gap) for i, gap in enumerate(gaps)]
    found = subgroups._bias(ColumnSchema(name="g", role=Role.CATEGORICAL, nullable=False), groups, 0.05, 1_000)
    assert found.verdict is verdict
