"""Runs the published ``anonymeter`` over a table, in an environment of its own: PYTHON anonymeter_driver.py FOLDER.

``FOLDER`` has ``train.csv``, ``control.csv``, ``synthetic.csv`` and ``ask.json`` ({"registers": [[...], [...]],
"secret": name, "attacks": n}). Prints one JSON object: attack and control rates of each criterion.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
ask = json.loads((folder / "ask.json").read_text())
train, control, synthetic = (pd.read_csv(folder / f"{name}.csv") for name in ("train", "control", "synthetic"))
known, secret = [c for c in train.columns if c != ask["secret"]], ask["secret"]
common = {"ori": train, "syn": synthetic, "control": control, "n_attacks": ask["attacks"]}
np.random.seed(0)
found = {}
for name, evaluator, how in (
        ("singling_out", SinglingOutEvaluator(**common, n_cols=4), {"mode": "multivariate"}),
        ("linkability", LinkabilityEvaluator(**common, aux_cols=tuple(ask["registers"]), n_neighbors=5), {}),
        ("inference", InferenceEvaluator(**common, aux_cols=known, secret=secret, regression=False), {})):
    evaluator.evaluate(**how)
    result = evaluator.results(confidence_level=0.95)
    found[name] = {"attack": result.attack_rate.value, "control": result.control_rate.value,
                   "error": result.attack_rate.error + result.control_rate.error}
print(json.dumps(found))
