"""The audit of scenes under a budget: what it says of an honest measurement, and the planted faults it must catch.

Chance is fixed here, so that none of these tests ends otherwise now and then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from synth.contract.model import Budget, Contract, Role, Unit
from synth.driving.evidence import SceneEvidence
from synth.driving.private import measure
from synth.driving.scenes import MANOEUVRES, Scenes
from synth.gan.private import noise
from synth.progress import Silent
from synth.tabular.private import measure as marginals
from synth.tabular.private.axes import public_schema
from synth.tabular.schema import TableSchema
from tests.validators.driving import traffic
from validators.driving import audit, leakage
from validators.finding import Verdict

ROW = Budget(epsilon=1.0, delta=1e-4, unit=Unit.ROW)
GROUP = Budget(epsilon=1.0, delta=1e-4, unit=Unit.ENTITY, contributions=8)
BOUNDS = {"lanes": (1.0, 12.0), "density": (0.0, 150.0), "speed": (0.0, 60.0), "min_ttc": (0.0, 10.0)}


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance that repeats, one round of measuring, little inference; what was spent is not worked out twice."""
    rng, whole, exact = np.random.default_rng(7), marginals.fit, measure.measure
    monkeypatch.setattr(noise, "uniform", lambda size: 1 - rng.random(size))
    monkeypatch.setattr(noise, "seed", lambda: 5)
    monkeypatch.setattr(measure, "measure", partial(exact, shares=marginals.Shares(rounds=(1.0,))))
    monkeypatch.setattr(measure.tables, "statement", lambda *_: {})
    monkeypatch.setattr(marginals, "fit", lambda *args, **options: whole(*args, **{**options, "steps": 5}))


def agreed(budget: Budget = ROW) -> Contract:
    said = traffic.contract()
    words = {"manoeuvre": tuple(sorted(MANOEUVRES)), "weather": traffic.WEATHERS}
    columns = tuple(replace(c, values=words[c.name], required=True) if c.name in words else
                    replace(c, minimum=BOUNDS[c.name][0], maximum=BOUNDS[c.name][1], required=True,
                            decimals=0 if c.name == "lanes" else 2) if c.role is Role.NUMERIC else c
                    for c in said.columns)
    return replace(said, columns=columns, budget=budget, traffic=replace(
        said.traffic, vehicles=2, seconds=4.0))  # type: ignore[type-var]


def schema() -> TableSchema:
    columns = (replace(c, minimum=BOUNDS[c.name][0], maximum=BOUNDS[c.name][1]) if c.is_number else c
               for c in traffic.schema().columns)
    return public_schema(agreed(), TableSchema(columns=tuple(columns)))


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    """Groups of eight scenes."""
    return traffic.drives(1_200, 3, each=8, vehicles=2, steps=20)


def test_canaries_lie_apart_and_in_the_declared_domain(scenes: Scenes) -> None:
    said = schema()
    spies = audit.planted(scenes, said, 300, np.random.default_rng(1))
    assert len(np.unique(spies.entities)) == 300 and spies.shape == scenes.shape and spies.present[:, 0].all()
    said.check(spies.table)
    header = measure.public_header(agreed(), said)
    seen = measure.described(spies, said, header)
    recorded = measure.described(scenes, said, header)
    assert len(np.unique(seen["v1 where"])) >= 9 and len(np.unique(seen["ego turn"])) >= 4
    for name in ("ego a0", "ego offset", "speed"):  # where recorded scenes are, which is where cells are narrow
        low, high = np.quantile(recorded[name], (0.01, 0.99))
        assert seen[name].between(low, high).mean() > 0.9, name
    assert not {row.tobytes() for row in spies.states[:, 0]} & {row.tobytes() for row in scenes.states[:, 0]}


@pytest.mark.parametrize(("budget", "times"), [(ROW, 3), (GROUP, 2)])
def test_honest_measurements_are_not_contradicted(scenes: Scenes, budget: Budget, times: int) -> None:
    found = [audit.audit(scenes, schema(), agreed(budget), runs=2) for _ in range(times)]
    assert not any(f.contradicts for f in found) and all(f.could_contradict and f.claimed == 1.0 for f in found)
    assert sum(f.correct for f in found) > 0.55 * 200 * times  # it does guess
    assert all(f.cells > 500 and abs(f.noise - 1) < 0.1 for f in found)


def test_noise_a_quarter_of_what_is_claimed_is_caught(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, scale / 4))
    found = audit.audit(scenes, schema(), agreed())
    assert found.contradicts and (found.canaries, found.guesses) == (4_000, 400)
    assert found.quiet and found.noise == pytest.approx(0.25, abs=0.05)


@contextmanager
def unbounded() -> Iterator[None]:
    """Nobody's scenes are bounded."""
    with pytest.MonkeyPatch.context() as patch:
        everything = lambda owners, budget: np.arange(len(owners))  # noqa: E731
        patch.setattr("synth.records.budget.kept", everything)
        patch.setattr(marginals, "kept", everything)
        yield


@contextmanager
def wrong_units() -> Iterator[None]:
    """Every scene is taken for a group of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synth.records.budget.units", lambda owners, budget: np.arange(len(owners)))
        yield


@contextmanager
def one_each() -> Iterator[None]:
    """The noise is that of one scene a group."""
    with pytest.MonkeyPatch.context() as patch:
        exact = marginals._Work.__init__
        patch.setattr(marginals._Work, "__init__", lambda self, rows, schema, most, account, plan: exact(
            self, rows, schema, 1.0, account, plan))
        yield


@pytest.mark.parametrize(("fault", "each", "canaries"), [
    (unbounded, 64, 300), (wrong_units, 64, 300), (one_each, 8, 1_000)])
def test_faults_in_counting_whose_scenes_are_are_caught(scenes: Scenes, fault: Any, each: int, canaries: int,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    again = partial(audit.audit, scenes, schema(), agreed(GROUP), each=each, canaries=canaries, runs=1)
    assert not again().contradicts
    monkeypatch.setattr(audit, "counted", lambda each, budget: each)

    def faulty(held: Any) -> Any:
        with fault():
            return measure.measured(held, agreed(GROUP), Silent())

    assert again(run=faulty).contradicts


def test_a_run_that_asks_for_an_audit_has_it_in_its_findings(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    few = scenes.take(np.arange(60))
    evidence = SceneEvidence(contract=agreed(), schema=schema(), train=scenes, holdout=few, reference=few,
                             synthetic=few, seed=1)
    assert audit.audited(evidence) == []
    asking = replace(ROW, audit=True, find=True)
    undeclared = tuple(replace(c, values=None) if c.name == "weather" else c for c in agreed().columns)
    wanted = replace(evidence, contract=replace(agreed(asking), columns=undeclared))
    monkeypatch.setattr(audit, "audit", partial(audit.audit, runs=1))
    found, = audit.audited(wanted)
    assert found.verdict is Verdict.PASS and found.limit == 1.0 and "1,000 canaries" in found.method
    assert found.detail["audit"]["claimed"] == 1.0 and "all other scenes" in found.method
    with monkeypatch.context() as patch:  # of the gate, what attacks the release is left out
        for name in ("confirmed", "membership", "attribute_inference"):
            patch.setattr(leakage, name, lambda *_, **__: [])
        for name in ("dealt_evenly", "_frechet", "uniqueness"):
            patch.setattr(leakage, name, lambda *_, **__: replace(found, id="another"))
        patch.setattr(leakage, "_unseen", lambda *_: [])
        patch.setattr(leakage.copying, "copies", lambda *_, **__: [])
        patch.setattr(leakage.telemetry, "replays", lambda *_: [])
        patch.setattr(leakage, "audited", lambda seen: [found] if audit.asked(seen.contract) else [])
        judged = replace(wanted, holdout=scenes, reference=scenes, synthetic=scenes)
        assert found in leakage.run(judged, leakage.Limits()).findings
        assert found not in leakage.run(replace(judged, contract=agreed()), leakage.Limits()).findings
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, scale / 8))
    broken, = audit.audited(wanted)
    assert broken.verdict is Verdict.FAIL and "do not release" in broken.remedy
