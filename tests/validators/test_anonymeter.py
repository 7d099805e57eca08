"""Our three criteria beside the published ``anonymeter``, in an environment of its own: ``SYNTH_ANONYMETER`` is its
Python. Nothing of it is copied: it is asked, and its answers are compared.

    python -m venv oracle && oracle/bin/pip install anonymeter==1.1.0

Its licence (a clear BSD with a patent notice) is for using it here as a judge; see LOG.md.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.validators import populations
from validators.criteria import CRITERIA
from validators.criteria.base import Outcome, People

PYTHON = os.environ.get("SYNTH_ANONYMETER", "")
DRIVER = Path(__file__).with_name("anonymeter_driver.py")
ATTACKS = 400
pytestmark = pytest.mark.skipif(not Path(PYTHON).is_file(), reason="SYNTH_ANONYMETER does not name a Python")


def risk(attack: float, control: float) -> float:
    return (attack - control) / (1 - control)


def both(kind: str, folder: Path) -> dict[str, tuple[Outcome, dict[str, float]]]:
    """(ours, theirs) by criterion, of the same people and the same synthetic rows."""
    made = populations.evidence(2_500, 3)
    half = pd.concat([made.train.iloc[:700], made.synthetic.iloc[:700]], ignore_index=True)
    made = replace(made, synthetic={"fresh": made.synthetic, "memorised": populations.memorised(made, 1),
                                    "half": half}[kind])
    people = People.of(made)
    names = sorted(people.schema.names, key=lambda n: (-people.reference[n].nunique(), n))
    for name in ("train", "control", "synthetic"):
        getattr(people, name).to_csv(folder / f"{name}.csv", index=False)
    (folder / "ask.json").write_text(json.dumps({"registers": [names[::2], names[1::2]], "secret": "ill",
                                                 "attacks": ATTACKS}))
    said = subprocess.run([PYTHON, str(DRIVER), str(folder)], capture_output=True, text=True, check=True)
    theirs = json.loads(said.stdout.strip().splitlines()[-1])
    ours = {name: attempt(people) for name, attempt in CRITERIA.items()}
    chosen = {"singling_out": "several cells", "linkability": "two registers", "inference": "ill"}
    return {name: (next(o for o in ours[name] if o.name == chosen[name]), theirs[name]) for name in CRITERIA}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fresh", "half", "memorised"])
def test_risks_agree_with_the_published_ones(kind: str, tmp_path: Path) -> None:
    found = both(kind, tmp_path)
    for name, (ours, theirs) in found.items():
        mine, published = risk(ours.attack, ours.control), risk(theirs["attack"], theirs["control"])
        error = theirs["error"] / (1 - theirs["control"])  # 95 %, of the risk
        assert abs(mine - published) < 0.05 + error, name  # guesses are drawn differently
        low, high = ours.residual(2.6)[1:]
        if kind == "fresh":
            assert low <= 0 <= high and abs(published) < error, name
        else:
            assert low > 0 and published > 0, name
