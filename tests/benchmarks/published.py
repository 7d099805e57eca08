"""Published rows to stand beside ours: april-tools/tabpc, ``article_material/our_results/*.csv``.

An independent re-run (arXiv 2603.23016, 2026) on the same splits, five trainings of each method, one sample of
each, SDMetrics 0.24.0; training seconds on the authors' GPU. Errors in percent are 100 (1 - score). Its Trend
is the own-range variant.
"""

SOURCE = "april-tools/tabpc, article_material/our_results (five trainings each, the authors' GPU)"

# shape, trend_own_range, c2st_train, nmi, mle, alpha_precision, beta_recall, logistic, train_seconds
FIGURES = ("shape", "trend_own_range", "c2st_train", "nmi", "mle", "alpha_precision", "beta_recall", "logistic",
           "train_seconds")
ROWS: dict[str, dict[str, tuple[float, ...]]] = {
    "adult": {
        "CTGAN": (19.13, 24.19, 0.0000, 0.1577, 0.862, 75.39, 13.13, 0.5881, 3798),
        "TabSyn": (0.79, 2.05, 0.7942, 0.0140, 0.910, 99.02, 47.96, 0.9866, 3082),
        "TabDiff": (0.68, 1.54, 0.8409, 0.0111, 0.913, 98.61, 52.55, 0.9899, 11605),
        "TabPC": (0.58, 1.44, 0.8554, 0.0067, 0.916, 99.61, 49.95, 0.9959, 272),
        "independent columns": (0.39, 7.49, 0.0160, 0.2811, 0.516, 95.68, 7.69, 1.0000, 1),
    },
    "magic": {
        "CTGAN": (5.57, 5.55, 0.1034, 0.0802, 0.882, 90.40, 15.88, 0.7966, 1797),
        "TabSyn": (0.98, 0.82, 0.7602, 0.0029, 0.937, 99.38, 47.75, 0.9940, 2271),
        "TabDiff": (0.80, 0.84, 0.7732, 0.0047, 0.936, 99.39, 47.99, 0.9964, 11643),
        "TabPC": (0.98, 1.70, 0.8602, 0.0075, 0.932, 99.48, 50.47, 0.9953, 39),
        "independent columns": (0.62, 13.04, 0.0052, 0.2316, 0.512, 86.12, 1.96, 0.9892, 0),
    },
    "shoppers": {
        "CTGAN": (25.94, 24.46, 0.0000, 0.1079, 0.850, 77.90, 23.78, 0.5255, 1453),
        "TabSyn": (1.48, 2.29, 0.6554, 0.0168, 0.914, 98.98, 47.85, 0.9787, 2441),
        "TabDiff": (1.49, 1.91, 0.7361, 0.0156, 0.917, 98.51, 51.07, 0.9756, 10321),
        "TabPC": (0.90, 1.78, 0.8936, 0.0073, 0.897, 99.17, 50.03, 0.9969, 51),
        "independent columns": (0.66, 6.33, 0.0211, 0.1339, 0.449, 97.13, 23.07, 1.0000, 0),
    },
}
