import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from validators import statistics as st
from validators.finding import Verdict

scores = some.lists(some.integers(0, 6), min_size=1, max_size=12)


def naive_auc(members: list, others: list) -> float:
    pairs = [(a > b) + 0.5 * (a == b) for a in members for b in others]
    return sum(pairs) / len(pairs)


@given(scores, scores)
def test_auc_is_the_share_of_ordered_pairs(members, others):
    assert st.auc(np.array(members), np.array(others)) == pytest.approx(naive_auc(members, others))


@given(scores, scores, some.randoms(use_true_random=False))
def test_weights_of_an_auc_are_repetitions(members, others, random):
    times = [random.randint(0, 3) for _ in members] or [1]
    again = [random.randint(0, 3) for _ in others]
    times[0], again[0] = 1, 1
    weighted = st.auc(np.array(members), np.array(others), np.array(times, float)[:, None],
                      np.array(again, float)[:, None])
    repeated = naive_auc(np.repeat(members, times).tolist(), np.repeat(others, again).tolist())
    assert weighted[0] == pytest.approx(repeated)


def naive_tpr(members: list, others: list, fpr: float) -> float:
    """Walk the ROC corner by corner; between corners a coin is thrown, which is a straight line."""
    x = y = 0.0
    for threshold in sorted({*members, *others}, reverse=True):
        nx = sum(s >= threshold for s in others) / len(others)
        ny = sum(s >= threshold for s in members) / len(members)
        if nx > fpr:
            return y + (ny - y) * (fpr - x) / (nx - x)
        x, y = nx, ny
    return y


@given(scores, scores, some.floats(0, 0.99))
def test_tpr_at_fpr_follows_the_roc(members, others, fpr):
    found = st.tpr_at_fpr(np.array(members), np.array(others), fpr)
    assert found == pytest.approx(naive_tpr(members, others, fpr))


@given(some.lists(some.integers(0, 9), min_size=4, max_size=4), some.lists(some.integers(0, 9), min_size=4, max_size=4))
def test_distances_of_counts(first, second):
    first[0], second[0] = first[0] + 1, second[0] + 1
    p, q = np.array(first) / sum(first), np.array(second) / sum(second)
    events = [[i for i in range(4) if mask >> i & 1] for mask in range(16)]
    assert st.total_variation(np.array(first), np.array(second)) == pytest.approx(
        max(abs(p[e].sum() - q[e].sum()) for e in events))
    assert st.kolmogorov(np.array(first), np.array(second)) == pytest.approx(
        max(abs(p[: i + 1].sum() - q[: i + 1].sum()) for i in range(4)))


def test_the_bootstrap_draws_people_not_rows():
    entities = np.array([7, 7, 3, 3, 3, 1])
    weights = st.entity_weights(entities, 50, np.random.default_rng(0))
    assert (weights[0] == weights[1]).all() and (weights[2] == weights[4]).all()
    assert (weights[[0, 2, 5]].sum(axis=0) == 3).all()  # as many people as there are


@given(some.lists(some.integers(0, 5), min_size=1, max_size=30), some.integers(1, 40))
def test_choosing_rows_keeps_people_whole(entities, rows):
    people = np.array(entities)
    chosen = st.choose(people, rows, np.random.default_rng(1))
    assert len(chosen) == min(rows, len(people))
    cut = [e for e in set(people[chosen]) if (people[chosen] == e).sum() < (people == e).sum()]
    assert len(cut) <= 1  # only the last one may be cut


def test_simultaneous_bounds_hold_at_their_level():
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(300):
        truth = np.zeros(5)
        data = rng.normal(truth, 1, (80, 5)) + rng.normal(0, 1, (80, 1))
        weights = st.entity_weights(np.arange(80), 200, rng)
        _, high = st.simultaneous(data.mean(axis=0), (data.T @ weights) / 80)
        missed += bool((high < truth).any())
    assert 3 <= missed <= 30  # 5 % of 300 is 15


def test_simultaneous_bounds_cost_more_than_single_ones_and_less_than_bonferroni():
    rng = np.random.default_rng(3)
    draws = rng.normal(0, 1, (10, 5_000)) + 2 * rng.normal(0, 1, (1, 5_000))
    _, high = st.simultaneous(np.zeros(10), draws)
    error = draws.std(axis=1, ddof=1)
    assert (high > st.quantile(0.95) * error).all() and (high < st.quantile(1 - 0.05 / 10) * error).all()


@pytest.mark.parametrize(("low", "high", "enough", "verdict"), [
    (0.46, 0.54, True, Verdict.PASS), (0.46, 0.55, True, Verdict.PASS), (0.50, 0.56, True, Verdict.INCONCLUSIVE),
    (0.54, 0.90, True, Verdict.INCONCLUSIVE),  # the estimate is far over the limit, and nothing is known
    (0.551, 0.60, True, Verdict.FAIL), (0.551, 0.60, False, Verdict.INCONCLUSIVE),
    (0.50, 0.54, False, Verdict.INCONCLUSIVE), (float("nan"), 0.5, True, Verdict.INCONCLUSIVE),
    (0.50, float("nan"), True, Verdict.INCONCLUSIVE), (0.60, float("inf"), True, Verdict.INCONCLUSIVE)])
def test_the_whole_interval_decides(low, high, enough, verdict):
    assert st.at_most(low, high, 0.55, enough=enough) is verdict
    assert st.at_least(-high, -low, -0.55, enough=enough) is verdict


def test_fail_is_said_of_a_table_at_the_limit_no_more_often_than_the_level_allows():
    """At the limit itself, the worst case: 5 % of tables fail, 5 % pass, the rest are open."""
    rng, verdicts = np.random.default_rng(4), []
    for _ in range(400):
        data = rng.normal(0.55, 1, 100)
        weights = st.entity_weights(np.arange(100), 100, rng)
        verdicts.append(st.at_most(*st.bounds(float(data.mean()), data @ weights / 100), 0.55))
    assert all(6 <= verdicts.count(v) <= 38 for v in (Verdict.FAIL, Verdict.PASS))  # 20 expected of each


@given(some.lists(some.tuples(some.floats(-1, 1), some.floats(0, 0.5)), min_size=1, max_size=6))
def test_the_deciding_interval_gives_the_family_its_verdict(found):
    lows, highs = np.array([[v - e, v + e] for v, e in found]).T
    chosen = st.deciding(lows, highs, 0.2)
    assert st.at_most(lows[chosen], highs[chosen], 0.2) is (
        Verdict.PASS if (highs <= 0.2).all() else Verdict.FAIL if (lows > 0.2).any() else Verdict.INCONCLUSIVE)


@settings(max_examples=50)
@given(some.integers(50, 5_000), some.floats(0.005, 0.2), some.floats(0.01, 0.2))
def test_rows_to_pass_let_nine_of_ten_faultless_tables_pass(rows, error, room):
    width = st.quantile(0.95) * error
    needed = st.rows_to_pass(rows, width, error, room)
    shrunk = (rows / needed) ** 0.5
    bounds = np.random.default_rng(0).normal(0, shrunk * error, 4_000) + shrunk * width
    assert 0.88 <= (bounds <= room).mean() <= (0.95 if needed >= 20 else 1)  # rounding up adds a little, or a whole row


def test_no_number_of_rows_helps_where_nothing_is_known_or_there_is_no_room():
    assert st.rows_to_pass(100, 0.1, 0.05, 0.0) is None
    assert st.rows_to_pass(100, float("inf"), 0.05, 0.1) is None
    assert st.rows_to_pass(0, 0.1, 0.05, 0.1) is None


def test_a_remedy_asks_for_rows_only_where_they_would_help():
    assert st.remedy(Verdict.FAIL, "mend it", 9_000, 800, "rows") == "mend it"
    assert "about 9,000 rows (here 800)" in st.remedy(Verdict.INCONCLUSIVE, "mend it", 9_000, 800, "rows")
    assert "rows would do" in (said := st.remedy(Verdict.INCONCLUSIVE, "mend it", 700, 800, "rows")) and "mend" in said
    assert st.remedy(Verdict.INCONCLUSIVE, "mend it", None, 800, "rows") == "mend it"


def test_too_few_draws_know_nothing():
    assert st.standard_error(np.array([1.0])) == float("inf")
    assert st.bounds(0.0, np.array([np.nan, np.nan])) == (float("-inf"), float("inf"))
