"""Our metric code against SDMetrics and the published definitions, in an environment of its own.

    python -m venv ORACLE && ORACLE/bin/pip install "sdmetrics==0.24.0" xgboost-cpu
    ORACLE/bin/python -m tests.benchmarks.oracle --data DIR/shoppers

Makes three synthetic tables (independent columns, Gaussian copula, bootstrap), computes each figure with our
code and with SDMetrics, and prints the largest difference per figure as a Markdown table. The detection
scores differ by the unseeded folds of SDMetrics, so these are averaged over ``--repeats`` runs each. The weighted
NMI error is compared with scikit-learn's ``mutual_info_score`` on pandas.cut bins, alpha-precision and
beta-recall with scikit-learn's nearest neighbours on the explicit one-hot matrix.
"""

from __future__ import annotations

import argparse
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks import datasets, detection, metrics, neighbours
from tests.benchmarks.baselines import BASELINES


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Labels as plain objects with missing as a word, as the published tables have them."""
    return pd.DataFrame({c: frame[c] if frame[c].dtype == "float64"
                         else frame[c].astype(object).where(frame[c].notna(), "nan") for c in frame})


def quality(real: pd.DataFrame, synthetic: pd.DataFrame, metadata: dict) -> tuple[float, float]:
    """SDMetrics' Column Shapes and Column Pair Trends errors in percent."""
    from sdmetrics.reports.single_table import QualityReport

    report = QualityReport()
    # from 0.27 on weakly dependent pairs are left out unless told otherwise; 0 keeps all of them
    report.real_correlation_threshold = report.real_association_threshold = 0
    if hasattr(report, "num_rows_subsample"):
        report.num_rows_subsample = None
    report.generate(real, synthetic, metadata, verbose=False)
    scores = report.get_properties().set_index("Property")["Score"]
    return 100 * (1 - scores["Column Shapes"]), 100 * (1 - scores["Column Pair Trends"])


def detections(real: pd.DataFrame, synthetic: pd.DataFrame, metadata: dict, repeats: int) -> tuple[float, float]:
    """SDMetrics' LogisticDetection and TabPC's XGBoost detection on the same wrapper."""
    from sdmetrics.single_table import LogisticDetection
    from sdmetrics.single_table.detection.sklearn import ScikitLearnClassifierDetectionMetric
    from xgboost import XGBClassifier

    class XGBoostDetection(ScikitLearnClassifierDetectionMetric):
        @staticmethod
        def _get_classifier() -> XGBClassifier:
            return XGBClassifier(eval_metric="logloss", enable_categorical=True, random_state=0)

    run = lambda kind: float(np.mean([  # noqa: E731
        kind.compute(real.copy(), synthetic.copy(), metadata) for _ in range(repeats)]))
    return run(LogisticDetection), run(XGBoostDetection)


def nmi_error(real: pd.DataFrame, synthetic: pd.DataFrame) -> float:
    """TabPC's MI_l1 with pandas.cut and scikit-learn."""
    from sklearn.metrics import mutual_info_score

    def binned(frame: pd.DataFrame) -> pd.DataFrame:
        out = {}
        for name in frame:
            column = frame[name]
            if real[name].dtype == "float64":
                edges = np.histogram_bin_edges(real[name], bins=10)
                if column.nunique() > len(edges):
                    column = pd.cut(column, bins=edges, include_lowest=True)
            out[name] = pd.Categorical(column).codes
        return pd.DataFrame(out)

    def matrix(frame: pd.DataFrame) -> np.ndarray:
        names = list(frame)
        mi = np.array([[mutual_info_score(frame[a], frame[b]) for b in names] for a in names])
        entropy = np.where(np.diag(mi) > 0, np.diag(mi), 1)
        return 2 * mi / (entropy[:, None] + entropy[None, :])

    a, b = matrix(binned(real)), matrix(binned(synthetic))
    lower = np.tril_indices(len(a), k=-1)
    return float(((a + b)[lower] * np.abs(a - b)[lower]).sum() / (a + b)[lower].sum())


def precision_recall(real: pd.DataFrame, synthetic: pd.DataFrame) -> tuple[float, float]:
    """Alpha-precision and beta-recall from the explicit one-hot matrix, by their definition."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import MinMaxScaler

    joint = pd.get_dummies(pd.concat([real, synthetic], ignore_index=True), dtype=float)
    scaler = MinMaxScaler().fit(joint.iloc[: len(real)])
    x, y = scaler.transform(joint.iloc[: len(real)]), scaler.transform(joint.iloc[len(real):])
    levels = np.linspace(0, 1, 30)
    radii = np.quantile(np.linalg.norm(x - x.mean(0), axis=1), levels)
    precision = np.array([(np.linalg.norm(y - x.mean(0), axis=1) <= r).mean() for r in radii])
    to_real = NearestNeighbors(n_neighbors=2).fit(x).kneighbors(x)[0][:, 1]
    to_synthetic, closest = (v[:, 0] for v in NearestNeighbors(n_neighbors=1).fit(y).kneighbors(x))
    distance = np.linalg.norm(y[closest] - y.mean(0), axis=1)
    recall = np.array([((to_synthetic <= to_real) & (distance <= q)).mean() for q in np.quantile(distance, levels)])
    step = levels[1] - levels[0]
    score = lambda curve: 100 * (1 - 2 * np.abs(levels - curve).sum() * step)  # noqa: E731
    return float(score(precision)), float(score(recall))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of one set")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-detection", action="store_true")
    a = parser.parse_args()
    warnings.simplefilter("ignore")
    data = datasets.load(a.data)
    real = texts(data.train)
    metadata = {"columns": {c: {"sdtype": "numerical" if c in data.schema.numbers else "categorical"} for c in real}}
    rows = []
    for name, make in BASELINES.items():
        frame = make(data.train, len(data.train), 0)
        synthetic = texts(frame)
        ours = metrics.density(data.train, frame)
        pairs = dict(zip(("shape", "trend_own_range"), quality(real, synthetic, metadata), strict=True))
        pairs["nmi"] = nmi_error(real, synthetic)
        ours |= neighbours.precision_recall(data.train, frame, seed=0)
        pairs |= dict(zip(("alpha_precision", "beta_recall"), precision_recall(real, synthetic), strict=True))
        if not a.no_detection:
            pairs |= dict(zip(("logistic", "c2st_train"), detections(real, synthetic, metadata, a.repeats),
                              strict=True))
            for key, kind in (("logistic", "logistic"), ("c2st_train", "xgboost")):
                ours[key] = float(np.mean([detection.two_sample_score(data.train, frame, seed=s, kind=kind)
                                           for s in range(a.repeats)]))
        rows += [{"table": name, "figure": k, "ours": ours[k], "theirs": v, "difference": abs(ours[k] - v)}
                 for k, v in pairs.items()]
        print(json.dumps(rows[-len(pairs):]), flush=True)
    found = pd.DataFrame(rows)
    print(f"\nsdmetrics {version('sdmetrics')}, {data.name}, {len(data.train):,} rows\n")
    print("| figure | largest difference | example: ours | theirs |\n|---|---|---|---|")
    for figure, part in found.groupby("figure", sort=False):
        worst = part.loc[part["difference"].idxmax()]
        print(f"| {figure} | {worst['difference']:.2g} | {worst['ours']:.5g} ({worst['table']}) | "
              f"{worst['theirs']:.5g} |")


if __name__ == "__main__":
    main()
