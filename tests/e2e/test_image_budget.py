"""A whole run of images under a budget: killed while it measures and while it learns, then published and counted."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from synth.tabular.private.road import BEGUN
from tests.e2e.conftest import DIRECT, only_run
from tests.e2e.test_images import hospital

BUDGET = ("  - {property: synthesis.budget, value: {epsilon: 8, delta: 1.0e-4, contributions: 2, totalEpsilon: 12, "
          "totalDelta: 1.0e-3}}\n"
          "  - {property: synthesis.training, value: {effort: 0.0012, options: {noise: 8, width: 0.25, batch: 16}}}\n")


@pytest.mark.slow
def test_images_under_a_budget_go_the_whole_road_and_spend_once(forks: Any, tmp_path: Path) -> None:
    contract, secrets = hospital(tmp_path / "source", release="png")
    lines = [line for line in contract.read_text(encoding="utf-8").splitlines() if "synthesis.training" not in line]
    tag = "          - {property: synthesis.tag, value: PatientAge}"
    text = "\n".join(lines).replace(tag, f"          - {{property: synthesis.decimals, value: 0}}\n{tag}")
    contract.write_text(text + "\n" + BUDGET, encoding="utf-8")
    assert forks.run(tmp_path, "run", contract, *DIRECT, "--seed", "3",
                     hook="kill_measuring:medical").code == -signal.SIGKILL
    run = only_run(tmp_path)
    left = sorted(p.name for p in (run.private / "fit.partial").iterdir())
    assert left == [BEGUN]  # nothing of what was measured by then

    ended = forks.run(tmp_path, "run", "--resume", run.id, *DIRECT, hook="kill_training:medical")
    assert ended.code == -signal.SIGKILL
    place = run.private / "fit.partial"
    assert any("measured" in p.name for p in place.iterdir())
    assert json.loads((place / BEGUN).read_text())["begun"] == 2

    ended = forks.run(tmp_path, "run", "--resume", run.id, *DIRECT, hook="contract_alone:medical")
    assert ended.code == 0, ended.err
    told = run.read()["stages"]["fit"]["privacy"]
    assert (told["epsilon"], told["unit"], told["contributions"], told["interrupted"]) == (8.0, "entity", 2, 1)  # not 2

    assert forks.run(tmp_path, "pull", "phantoms", "--to", "pulled").code == 0
    (release,) = (tmp_path / "pulled" / "phantoms").iterdir()
    said = json.loads((release / "report.json").read_text())
    assert said["dp"]["epsilon"] == 8.0 and any("interrupted" in line for line in said["dp"]["outside"])
    assert said["ledger"]["asked"] == {"epsilon": 8.0, "delta": 1e-4} and said["ledger"]["spent"]["epsilon"] == 0
    assert list((release / "data" / "train").rglob("*.png"))
    assert not any(secret in path.read_bytes() for path in release.rglob("*") if path.is_file() for secret in secrets)

    second = forks.run(tmp_path, "run", contract, *DIRECT, "--seed", "4", "--acknowledge-attempts",
                       "M. Lindqvist: again", hook="contract_alone:medical")
    assert second.code == 2 and "budget of this source is used up" in second.err  # 8 + 8 > 12
