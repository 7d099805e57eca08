"""Planted faults of a generator of scenes: each is stopped by the gate meant for it; fresh real scenes are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synth.contract.traffic import Traffic
from synth.progress import Silent
from tests.validators.driving import faults, traffic
from validators.driving import contract, diversity, downstream, fidelity, files, leakage, membership, replay
from validators.finding import Verdict
from validators.gates import gates, panel, plan

GATES = {"contract": contract, "fidelity": fidelity, "diversity": diversity, "downstream": downstream,
         "leakage": leakage}
BY = {  # the finding that must fail
    "memoriser": "leakage.copies.aligned", "5 % memorised": "leakage.copies.aligned",
    "collapsed": "diversity.duplicates", "shuffled": "fidelity.separation", "permuted": "contract.obeyed",
    "colliding": "contract.collisions", "off road": "contract.off_road", "leaping": "contract.motion.displacement",
    "unbraked": "fidelity.separation"}


@pytest.fixture(scope="module")
def fresh():
    return traffic.evidence(800, 11, synthetic=700)


@pytest.fixture
def alone(monkeypatch):
    """The gate on scenes without Great Expectations and SUMO, which have tests of their own."""
    monkeypatch.setattr(contract, "_listing", lambda evidence, limits: [])
    monkeypatch.setattr(replay, "judge", lambda evidence, limit: [])


def verdicts(name, evidence):
    result = GATES[name].run(evidence, GATES[name].Limits())
    return {f.id: f.verdict for f in result.findings}, result


@pytest.mark.parametrize("kind", list(faults.FAULTS))
@pytest.mark.usefixtures("alone")
def test_a_fault_is_stopped(fresh, kind):
    change, gate = faults.FAULTS[kind]
    found, result = verdicts(gate, replace(fresh, synthetic=change(fresh)))
    assert found[BY[kind]] is Verdict.FAIL
    assert result.verdict is Verdict.FAIL


def test_permuted_manoeuvres_teach_nothing(fresh):
    found, _ = verdicts("downstream", replace(fresh, synthetic=faults.permuted(fresh)))
    assert found["downstream.ratio"] is Verdict.FAIL


@pytest.mark.parametrize("gate", ["contract", "fidelity", "diversity", "leakage"])
@pytest.mark.usefixtures("alone")
def test_fresh_scenes_of_the_same_population_are_not_accused(fresh, gate):
    """With 400 scenes a set the bounds of two findings are too wide to pass; everything else passes."""
    found, _ = verdicts(gate, fresh)
    blocked = {k: v for k, v in found.items() if v.blocks}
    assert Verdict.FAIL not in blocked.values() and set(blocked) <= {"diversity.duplicates", "leakage.uniqueness"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_whole_panel_accuses_no_fresh_scenes(seed):
    e = traffic.evidence(2_000, seed)
    blocked = {f.id: f.verdict for g in gates("driving") for f in g.run(e, e.contract).findings if f.verdict.blocks}
    assert Verdict.FAIL not in blocked.values() and len(blocked) <= 3, blocked


def test_too_few_people_leave_everything_open(fresh):
    few = replace(fresh, holdout=replace(fresh.holdout, entities=np.arange(len(fresh.holdout)) % 3),
                  reference=replace(fresh.reference, entities=np.arange(len(fresh.reference)) % 3))
    for gate in ("fidelity", "diversity", "downstream", "leakage"):
        assert verdicts(gate, few)[1].verdict is Verdict.INCONCLUSIVE, gate
    for part in ("synthetic", "holdout"):
        small = replace(fresh, **{part: getattr(fresh, part).take(np.arange(20))})
        assert verdicts("leakage", small)[1].verdict is Verdict.INCONCLUSIVE
    none = replace(fresh, synthetic=fresh.synthetic.take(np.arange(0)))
    for gate in ("fidelity", "diversity", "downstream", "leakage"):
        assert verdicts(gate, none)[1].verdict is Verdict.INCONCLUSIVE, gate


def test_a_detector_that_sees_nothing_acquits_nobody(fresh):
    def blind(self, queries, pieces):
        random = np.random.default_rng(len(queries))
        return random.uniform(0.9, 1.1, (len(queries), len(pieces))), np.zeros((len(queries), len(pieces)), int)

    class Blind:
        name, title, nearest = "blind", "nothing", blind

    dealt = leakage.dealt_evenly(fresh)
    found = leakage.copying.copies(
        fresh.synthetic, dealt, (Blind(),), leakage.SCENES, target=None, excess=0.015, sensitivity=0.5, either=0.6,
        people=8, records=300, k=5, seed=1)
    told = {f.id: f.verdict for f in found}
    assert told["leakage.sensitivity.blind"] is told["leakage.sensitivity"] is Verdict.INCONCLUSIVE


def test_a_single_exact_copy_is_unmistakable(fresh):
    copied = fresh.synthetic.take(np.r_[np.arange(1, len(fresh.synthetic)), 0])
    for name in ("states", "present", "sizes"):
        getattr(copied, name)[5] = getattr(fresh.train, name)[17]

    def told(synthetic):
        found = leakage.copying.copies(
            synthetic, leakage.dealt_evenly(fresh), (leakage.Aligned(), leakage.Warped()), leakage.SCENES, target=None,
            excess=0.015, sensitivity=0.5, either=0.6, people=8, records=300, k=5, seed=1)
        return [f.verdict for f in leakage.confirmed(found) if f.id.endswith(".certain")]

    assert told(copied) == [Verdict.FAIL] * 2
    assert told(fresh.synthetic) == [Verdict.INFO] * 2


def test_a_stolen_model_that_knows_its_scenes_is_stopped(fresh):
    known = {s.tobytes() for s in fresh.train.states}
    told = replace(fresh, critic=lambda scenes: np.array([float(s.tobytes() in known) for s in scenes.states]))
    assert membership._critic(told, membership.sides(told), 0.75).verdict is Verdict.FAIL
    assert membership._critic(fresh, membership.sides(fresh), 0.75).verdict is Verdict.INFO


def test_entities_that_share_scenes_are_few_and_still_judged():
    """Recordings whose windows share vehicles: ten entities a part, hundreds of scenes each."""
    e = traffic.evidence(40, 3, each=15, synthetic=320)
    found, _ = verdicts("leakage", e)
    assert Verdict.FAIL not in found.values()
    copied, _ = verdicts("leakage", replace(e, synthetic=faults.memorised(e)))
    assert copied["leakage.copies.aligned"] is copied["leakage.membership.auc"] is Verdict.FAIL


def test_more_rare_events_than_real_are_no_fault(fresh):
    """A set asked for much hard braking brakes harder than the recordings do."""
    s = fresh.synthetic
    hard = np.flatnonzero(s.table["manoeuvre"] == "hard_brake")
    rows = np.concatenate([np.resize(hard, 400), np.flatnonzero(s.table["manoeuvre"] != "hard_brake")[:400]])
    slippery = Traffic(friction=(("dry", 0.9), ("rain", 0.5), ("snow", 0.3)))  # hard braking there is beyond belief
    more = replace(fresh, synthetic=traffic.alone(s.take(rows)), contract=traffic.contract(traffic=slippery))
    real = contract.joined(fresh.train, fresh.holdout, fresh.reference)
    mix = contract.standardised(contract._kinds(more.synthetic), contract._kinds(real))
    verdict = {f.id: f.verdict for f in contract._motion(more, real, mix, contract.Limits())}
    assert Verdict.FAIL not in verdict.values()
    plain = {f.id: f for f in contract._motion(more, real, np.ones(len(real)), contract.Limits())}
    assert plain["contract.motion.acceleration"].value > 0.01


def test_the_plan_names_the_panel():
    from synth.contract.model import Limit  # a limit of the contract may move one of these

    terms = traffic.contract()
    assert set(plan(terms)["gates"]) == set(GATES) and "copies by time warping" in panel("driving")
    moved = replace(terms, limits=(Limit(gate="fidelity", key="separation", value=0.8, reason="a test", line=1),))
    assert plan(moved)["changed"][0]["loosened"] is True


def test_released_files_are_read_back(tmp_path):
    """All formats of a small set, and then each kind of fault."""
    import pyarrow as pa

    from synth.driving.files.write import write_scenes

    e = traffic.evidence(40, 2, synthetic=6)
    folder = tmp_path / "train"
    write_scenes(folder, e.synthetic, pa.Table.from_pandas(e.synthetic.table), e.contract, seed=1, progress=Silent())

    def counted(evidence=e):
        return {f.id.rsplit(".", 1)[1]: int(f.value) for f in files.judge(replace(evidence, shards=tmp_path), 0.0)}

    assert counted() == dict.fromkeys(files.KINDS, 0)
    moved = replace(e.synthetic, states=e.synthetic.states + np.float32(0.5))
    assert counted(replace(e, synthetic=moved))["differs"] == 6
    (folder / "notes.txt").write_text("x")
    assert counted()["unlisted"] == 1
    (folder / "notes.txt").unlink()
    xosc = next(folder.rglob("*.xosc"))
    xosc.write_text("<!DOCTYPE x><OpenSCENARIO/>")
    assert counted()["unreadable"] == 1
    xosc.write_text("<Other/>")
    assert counted()["shape"] == 1
    xosc.unlink()
    assert counted()["missing"] == 1
    next(folder.rglob("scenario_*.parquet")).write_bytes(b"PAR1")
    assert counted()["unreadable"] == 1
    assert files.judge(replace(e, shards=tmp_path / "nothing"), 0.0)[0].verdict is Verdict.INCONCLUSIVE
