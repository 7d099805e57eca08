"""The benchmark's metrics against naive oracles, and against tables whose figures are known."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks import datasets, detection, downstream, metrics, neighbours, report, tabular, worker
from tests.benchmarks.baselines import BASELINES
from tests.benchmarks.evaluate import evaluate, untouched_score

xgboost = pytest.importorskip("xgboost", reason="the benchmark needs the `bench` extra")


def table(rows: int, seed: int, missing: float = 0.05) -> pd.DataFrame:
    """Two dependent numbers, a dependent label with missing cells, a target."""
    draw = np.random.default_rng(seed)
    a = draw.normal(size=rows)
    b = np.round(a + draw.normal(size=rows), 1)
    label = np.array(["x", "y", "z"])[np.digitize(a + draw.normal(size=rows), [-1, 1])]
    target = np.where(a + b + draw.normal(size=rows) > 1, "yes", "no")
    frame = pd.DataFrame({"a": a, "b": b, "label": pd.Series(label, dtype="str"),
                          "target": pd.Series(target, dtype="str")})
    frame.loc[draw.random(rows) < missing, "label"] = np.nan
    return frame


# -- density -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.lists(st.integers(-5, 5), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_kolmogorov_smirnov_is_the_largest_gap_of_distribution_functions(first, second):
    x, y = np.array(first, float), np.array(second, float)
    naive = max(abs((x <= t).mean() - (y <= t).mean()) for t in [*first, *second])
    assert metrics.kolmogorov_smirnov(x, y) == pytest.approx(naive)
    assert metrics.kolmogorov_smirnov(np.append(x, np.nan), y) == pytest.approx(naive)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.lists(st.integers(0, 6), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_total_variation_is_half_the_l1_distance(first, second):
    naive = sum(abs(first.count(v) / len(first) - second.count(v) / len(second)) for v in range(7)) / 2
    assert metrics.total_variation(np.array(first), np.array(second)) == pytest.approx(naive)
    far = 10**9  # takes the way for huge contingency tables
    assert metrics.total_variation(np.array(first) * far, np.array(second) * far) == pytest.approx(naive)


def naive_trend(real: pd.DataFrame, synthetic: pd.DataFrame, own: bool) -> float:
    errors = []
    for first, second in combinations(real.columns, 2):
        if real[first].dtype == real[second].dtype == "float64":
            a, b = real[[first, second]], synthetic[[first, second]]
            if not own:
                b = b.clip(a.min(), a.max(), axis=1)
            errors.append(abs(a.corr().iloc[0, 1] - b.corr().iloc[0, 1]) / 2)
            continue
        shares = []
        for frame in (real, synthetic):
            keys = []
            for name in (first, second):
                column = frame[name]
                if column.dtype == "float64":
                    edges = np.histogram_bin_edges(frame[name] if own else real[name], bins=10)
                    if not own:
                        edges = [-np.inf, *edges[1:-1], np.inf]
                    keys.append(np.digitize(column, edges).astype(str))
                else:
                    keys.append(column.fillna("nan").to_numpy(dtype=str))
            shares.append(pd.Series([f"{x}|{y}" for x, y in zip(*keys, strict=True)]).value_counts(normalize=True))
        errors.append(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)
    return float(np.mean(errors))


@pytest.mark.parametrize("own", [True, False])
def test_trend_matches_a_naive_computation(own):
    real, synthetic = table(300, 0), table(250, 1)
    mine = np.mean(list(metrics.trend_errors(real, synthetic, fixed_edges=not own).values()))
    assert mine == pytest.approx(naive_trend(real, synthetic, own))


def test_one_value_outside_the_range_moves_only_the_published_trend():
    real, synthetic = table(2000, 0), table(2000, 1)
    before = metrics.density(real, synthetic)
    synthetic.loc[0, "a"] = 1000.0
    after = metrics.density(real, synthetic)
    assert after["trend_own_range"] > before["trend_own_range"] + 10
    assert after["trend"] == pytest.approx(before["trend"], abs=0.2)


def test_mutual_information_matches_sums_over_the_joint_distribution():
    draw = np.random.default_rng(3)
    x = draw.integers(0, 4, 500)
    y = (x + draw.integers(0, 2, 500)) % 4
    joint = np.histogram2d(x, y, bins=[range(5), range(5)])[0] / 500
    px, py = joint.sum(1), joint.sum(0)
    shared = sum(joint[i, j] * np.log(joint[i, j] / px[i] / py[j])
                 for i in range(4) for j in range(4) if joint[i, j] > 0)
    entropy = -(px * np.log(px)).sum() - (py * np.log(py)).sum()
    found = metrics.normalised_mutual_information([x, y])
    assert found[0, 1] == pytest.approx(2 * shared / entropy)
    assert found[0, 0] == 1


def test_equal_tables_have_no_error_and_missing_cells_count():
    real = table(400, 0)
    assert set(metrics.density(real, real).values()) == {0.0}
    empty = real.assign(label=pd.Series([np.nan] * 400, dtype="str"))
    found = metrics.density(real, empty)
    assert found["missing"] > 20 and found["shape"] > 20


# -- detection ---------------------------------------------------------------------------------------------


def test_detection_scores_the_same_population_high_and_independent_columns_low():
    real, fresh = table(1500, 0), table(1500, 1)
    broken = BASELINES["independent"](real, 1500, 0)
    for kind, limit in (("xgboost", 0.75), ("logistic", 1.01)):
        same = detection.two_sample_score(real, fresh, seed=0, kind=kind)
        assert same > 0.9
        assert detection.two_sample_score(real, broken, seed=0, kind=kind) < limit
    assert same == detection.two_sample_score(real, fresh, seed=0, kind="logistic")  # seeded


def test_wide_tables_are_sparse_and_hold_the_same_cells():
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"n": draw.normal(size=900),
                          "c": pd.Series(draw.integers(0, 500, 900), dtype="int64").astype("str")})
    matrix = detection.features(frame, frame)
    assert not isinstance(matrix, np.ndarray) and matrix.shape[0] == 1800
    assert matrix[:, 0].toarray().ravel() == pytest.approx(np.tile(frame["n"], 2))
    assert np.asarray(matrix[:, 1:].sum(1)).ravel() == pytest.approx(np.ones(1800))


def test_a_bootstrap_looks_perfect_against_train_but_not_against_untouched_rows():
    train, test = table(3000, 0), table(1000, 1)
    copies = BASELINES["bootstrap"](train, 3000, 0)
    assert detection.two_sample_score(train, copies, seed=0) > 0.97
    assert untouched_score(test, copies, seed=0, threads=1) < 0.97


# -- neighbours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 2])
def test_nearest_matches_all_distances(power):
    train, test = table(150, 0), table(90, 1)
    a, b = neighbours.code_rows(train, test, scale="standard")
    naive = np.abs(b.numbers[:, None] - a.numbers[None]) ** power
    naive = naive.sum(2) + 2 * (b.labels[:, None] != a.labels[None]).sum(2)
    distance, index = neighbours.nearest(b, a, power=power)
    assert distance == pytest.approx(naive.min(1), rel=1e-5)
    assert naive[np.arange(len(b)), index] == pytest.approx(naive.min(1), rel=1e-5)
    own, _ = neighbours.nearest(a, a, power=power, self_excluded=True)
    naive = (np.abs(a.numbers[:, None] - a.numbers[None]) ** power).sum(2)
    naive += 2 * (a.labels[:, None] != a.labels[None]).sum(2)
    np.fill_diagonal(naive, np.inf)
    assert own == pytest.approx(naive.min(1), rel=1e-5)


def test_precision_and_recall_match_the_explicit_one_hot_matrix():
    real, synthetic = table(250, 0, missing=0), table(250, 1, missing=0)
    joint = pd.get_dummies(pd.concat([real, synthetic], ignore_index=True), dtype=float).to_numpy()
    x, y = joint[:250], joint[250:]
    low, high = x.min(0), x.max(0)
    x, y = (x - low) / (high - low), (y - low) / (high - low)
    levels = np.linspace(0, 1, 30)
    far = lambda p, q: np.sqrt(((p[:, None] - q[None]) ** 2).sum(2))  # noqa: E731
    radii = np.quantile(np.linalg.norm(x - x.mean(0), axis=1), levels)
    precision = np.array([(np.linalg.norm(y - x.mean(0), axis=1) <= r).mean() for r in radii])
    same = far(x, x)
    np.fill_diagonal(same, np.inf)
    cross = far(x, y)
    distance = np.linalg.norm(y[cross.argmin(1)] - y.mean(0), axis=1)
    recall = np.array([((cross.min(1) <= same.min(1)) & (distance <= q)).mean()
                       for q in np.quantile(distance, levels)])
    found = neighbours.precision_recall(real, synthetic, seed=0)
    step = levels[1]
    assert found["alpha_precision"] == pytest.approx(100 * (1 - 2 * np.abs(levels - precision).sum() * step), abs=0.01)
    assert found["beta_recall"] == pytest.approx(100 * (1 - 2 * np.abs(levels - recall).sum() * step), abs=0.3)


def test_fresh_rows_have_recall_near_a_half_and_copies_far_more():
    train, test = table(1200, 0), table(600, 1)
    fresh, copies = table(1200, 2), BASELINES["bootstrap"](train, 1200, 0)
    assert 42 < neighbours.precision_recall(train, fresh, seed=0)["beta_recall"] < 56
    assert neighbours.precision_recall(train, copies, seed=0)["beta_recall"] > 65
    honest = neighbours.closest_record(train, test, fresh, seed=0)
    assert honest["qdcr5_low"] <= honest["qdcr5"] <= honest["qdcr5_high"]
    assert 46 < honest["dcr_share"] < 54
    assert neighbours.closest_record(train, test, copies, seed=0)["qdcr2"] > 95
    assert neighbours.copies(train, test, copies) == {"copies": 100.0, "copies_real": 0.0}


# -- downstream --------------------------------------------------------------------------------------------


def test_efficacy_of_real_rows_is_high_and_of_permuted_labels_chance():
    train, test = table(1500, 0), table(1000, 1)
    good = downstream.efficacy(train, test, "target", task="classification", seed=0, quick=True)
    permuted = train.assign(target=train["target"].sample(frac=1, random_state=0).to_numpy())
    assert good > 0.85
    chance = downstream.efficacy(permuted, test, "target", task="classification", seed=0, quick=True)
    assert 0.35 < chance < 0.65
    assert downstream.efficacy(train.assign(target="no"), test, "target", task="classification",
                               seed=0) != pytest.approx(0.5)  # one class: not defined


def test_a_prefix_of_the_trees_is_the_smaller_model():
    train, test = table(800, 0), table(400, 1)
    x, _ = downstream._features(train, test, "target")
    y = (train["target"] == "yes").to_numpy().astype(int)
    data = xgboost.QuantileDMatrix(x.toarray(), y, nthread=1)
    chosen = {"objective": "binary:logistic", "max_depth": 5, "tree_method": "hist", "nthread": 1}
    short = xgboost.train(chosen, data, num_boost_round=10).predict(xgboost.DMatrix(x.toarray()))
    long = xgboost.train(chosen, data, num_boost_round=50)
    assert long.predict(xgboost.DMatrix(x.toarray()), iteration_range=(0, 10)) == pytest.approx(short)


def test_regression_and_several_classes():
    train, test = table(900, 0), table(500, 1)
    error = downstream.efficacy(train, test, "b", task="regression", seed=0, quick=True)
    assert 0.5 < error < test["b"].std()
    three = downstream.efficacy(train, test, "label", task="classification", seed=0, quick=True)
    assert 0.6 < three < 0.95


# -- tables, baselines, the driver -------------------------------------------------------------------------


def test_the_published_split_and_column_kinds(tmp_path):
    frame = table(500, 0)
    frame["code"] = np.random.default_rng(0).integers(1, 4, 500)
    frame.to_csv(tmp_path / "any.csv", index=False)
    (tmp_path / "info.json").write_text(json.dumps({"target": "target", "cat": ["label", "code", "target"]}))
    data = datasets.load(tmp_path)
    order = np.arange(500)
    np.random.seed(1234)
    np.random.shuffle(order)
    assert data.train["a"].to_numpy() == pytest.approx(frame["a"].to_numpy()[order[:450]])
    assert data.schema["code"].values == ("1", "2", "3") and data.schema.numbers == ["a", "b"]
    data.schema.check(data.train)
    data.schema.check(data.test)
    assert data.train["label"].isna().any() and data.task == "classification"


def test_groups_do_not_cross_the_split(tmp_path):
    frame = table(600, 0)
    frame["person"] = np.arange(600) // 3
    frame.to_csv(tmp_path / "any.csv", index=False)
    (tmp_path / "info.json").write_text(json.dumps({"target": "target", "group": "person", "rows": 500}))
    data = datasets.load(tmp_path)
    assert "person" not in data.train and len(data.train) + len(data.test) == 500
    assert not set(data.train_groups) & set(data.test_groups)
    real, fresh, untouched = worker.fresh_real_rows(data, 0)
    assert len(real) + len(fresh) + len(untouched) == 500


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_baselines_keep_marginals_and_types_and_are_seeded(name):
    train = table(2000, 0)
    made = BASELINES[name](train, 1500, 7)
    assert list(made.dtypes) == list(train.dtypes) and len(made) == 1500
    assert metrics.density(train, made)["shape"] < 3.5
    pd.testing.assert_frame_equal(made, BASELINES[name](train, 1500, 7))
    assert not made.equals(BASELINES[name](train, 1500, 8))


def test_the_copula_keeps_the_correlation_that_independent_columns_lose():
    train = table(3000, 0)
    truth = train["a"].corr(train["b"])
    assert BASELINES["copula"](train, 3000, 0)["a"].corr(train["b"]) == pytest.approx(0, abs=0.1)
    made = BASELINES["copula"](train, 3000, 0)
    assert made["a"].corr(made["b"]) == pytest.approx(truth, abs=0.05)
    loose = BASELINES["independent"](train, 3000, 0)
    assert loose["a"].corr(loose["b"]) == pytest.approx(0, abs=0.06)


def test_evaluate_gives_every_figure_of_the_results_table():
    train, test = table(900, 0), table(400, 1)
    found = evaluate(train, test, table(900, 2), "target", task="classification", quick=True)
    timings = {"train_seconds", "train_cpu", "sample_seconds", "peak_mib", "adherence"}
    assert {key for key, _, _ in report.COLUMNS} - timings <= set(found)


def test_the_driver_keeps_finished_rows_and_writes_the_table(tmp_path):
    (tmp_path / "data" / "toy").mkdir(parents=True)
    table(500, 0).to_csv(tmp_path / "data" / "toy" / "toy.csv", index=False)
    call = ["--data", str(tmp_path / "data"), "--sets", "toy", "--seeds", "1", "--models", "bootstrap", "--jobs", "1",
            "--quick", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "toy.jsonl")]
    assert tabular.main(call) == 0
    first = (tmp_path / "toy.jsonl").read_text()
    assert tabular.main(call) == 0
    assert (tmp_path / "toy.jsonl").read_text() == first and len(first.splitlines()) == 1
    row = json.loads(first)
    assert row["copies"] == 100 and row["peak_mib"] > 20 and row["rows_train"] == 450
    page = (tmp_path / "toy.md").read_text()
    assert "bootstrap of train" in page and str(tmp_path / "data") not in page


def test_intervals_are_students():
    middle, half = report.interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (middle, half) == (3.0, pytest.approx(1.963, abs=1e-3))
    assert report.interval([2.0]) == (2.0, 0.0)
