"""Machine-learning efficacy (MLE): train XGBoost on synthetic rows, test on real ones.

TabSyn's protocol: a random ninth of the training table chooses among 36 settings, the winner predicts the real
test rows; AUC (one against the rest for several classes) or RMSE. Departures: everything is seeded; the number
of trees is read off one boosted model (a prefix of the trees is the smaller model, so 36 settings cost 12
fits); numbers are not rescaled (trees do not see monotone maps); the validation rows of a regression are on
the same scale as the rest (published: not).
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from synth import seeds
from tests.benchmarks.metrics import is_number

TREES = (10, 50, 100)
FULL_GRID = tuple(product((5, 10, 20), (1, 10), (0.0, 1.0)))  # max_depth, min_child_weight, gamma
QUICK_GRID = tuple(product((5, 10), (10,), (0.0,)))


def _features(train: pd.DataFrame, test: pd.DataFrame, target: str):
    """CSR features of both tables; labels one-hot over the training table's categories, unseen ones all zero."""
    from scipy import sparse

    blocks: list[list] = [[], []]
    for name in train:
        if name == target:
            continue
        if is_number(train, name):
            for side, frame in zip(blocks, (train, test), strict=True):
                values = frame[name].to_numpy()
                rows = len(values)
                side.append(sparse.csr_matrix((values, np.zeros(rows, np.int64), np.arange(rows + 1)),
                                              shape=(rows, 1)))
        else:
            known = pd.Index(pd.unique(train[name].fillna("\0missing")))
            for side, frame in zip(blocks, (train, test), strict=True):
                codes = known.get_indexer(frame[name].fillna("\0missing"))
                kept = np.flatnonzero(codes >= 0)
                side.append(sparse.csr_matrix((np.ones(len(kept)), (kept, codes[kept])),
                                              shape=(len(frame), len(known))))
    return [sparse.hstack(side, format="csr", dtype=np.float32) for side in blocks]


def _dense_where_small(matrix, limit: int = 400):
    return matrix.toarray() if matrix.shape[1] <= limit else matrix


def efficacy(train: pd.DataFrame, test: pd.DataFrame, target: str, *, task: str, seed: int, quick: bool = False,
             log_target: bool = False, threads: int = 1) -> float:
    """AUC (classification) or RMSE (regression) on ``test`` of the model chosen on ``train``.

    NaN where it cannot be defined: the training table has one class only.
    """
    import xgboost
    from sklearn.metrics import roc_auc_score

    train, test = train[train[target].notna()], test[test[target].notna()]
    fit_x, test_x = map(_dense_where_small, _features(train, test, target))
    classes: np.ndarray | None = None
    if task == "classification":
        classes = np.unique(train[target].to_numpy(dtype=str))
        keep = np.isin(test[target].to_numpy(dtype=str), classes)
        test_x = test_x[keep]
        fit_y = np.searchsorted(classes, train[target].to_numpy(dtype=str))
        test_y = np.searchsorted(classes, test[target].to_numpy(dtype=str)[keep])
        if len(classes) < 2 or len(np.unique(test_y)) < 2:
            return float("nan")
    else:
        scale = (lambda y: np.log(np.clip(y, 1, 20000))) if log_target else (lambda y: y)
        fit_y, test_y = scale(train[target].to_numpy()), scale(test[target].to_numpy())
    order = seeds.generator(seed, "validation").permutation(len(fit_y))
    ninth = len(fit_y) // 9
    judge, fit = order[:ninth], order[ninth:]
    data = xgboost.QuantileDMatrix(fit_x[fit], fit_y[fit], nthread=threads)
    judge_data = xgboost.DMatrix(fit_x[judge], nthread=threads)
    test_data = xgboost.DMatrix(test_x, nthread=threads)
    settings = {"tree_method": "hist", "nthread": threads, "verbosity": 0, "seed": 0}
    if classes is None:
        settings["objective"] = "reg:squarederror"
    elif len(classes) == 2:
        settings["objective"] = "binary:logistic"
    else:
        settings |= {"objective": "multi:softprob", "num_class": len(classes)}

    def score(truth: np.ndarray, predicted: np.ndarray) -> float:
        """Larger is better."""
        if classes is None:
            return -float(np.sqrt(np.mean((truth - predicted) ** 2)))
        if len(np.unique(truth)) < 2:
            return 0.5
        if len(classes) == 2:
            return float(roc_auc_score(truth, predicted))
        present = [c for c in range(len(classes)) if (truth == c).any() and not (truth == c).all()]
        return float(np.mean([roc_auc_score(truth == c, predicted[:, c]) for c in present]))

    best, best_test = -np.inf, float("nan")
    for depth, weight, gamma in QUICK_GRID if quick else FULL_GRID:
        model = xgboost.train(settings | {"max_depth": depth, "min_child_weight": weight, "gamma": gamma}, data,
                              num_boost_round=max(TREES))
        for trees in TREES:
            validation = score(fit_y[judge], model.predict(judge_data, iteration_range=(0, trees)))
            if validation > best:
                best = validation
                best_test = score(test_y, model.predict(test_data, iteration_range=(0, trees)))
    return best_test if classes is not None else -best_test
