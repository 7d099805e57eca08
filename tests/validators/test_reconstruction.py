"""What a kept model gives away: its likelihood, and the union of what is drawn from it again and again."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synth.contract import Training
from synth.seeds import generator
from synth.tabular.generator import TableGenerator
from tests.validators import populations
from validators import leakage
from validators.finding import Verdict
from validators.reconstruction import Margins, reconstruction

MARGINS = Margins(0.01, 0.01, 0.02, 0.005)


@pytest.fixture(scope="module")
def evidence():
    return populations.evidence(3_000, 9)


def forgetful(e):
    """Fresh rows; in each draw one row in fifty is a training row, another one every time."""
    def draw(rows: int, seed: int):
        fresh, rng = populations.people(rows, seed % 10**6)[0], generator(seed, "leak")
        count = rows // 50
        copied = e.train.iloc[rng.integers(0, len(e.train), count)]
        fresh.iloc[:count] = copied.to_numpy()
        return fresh.astype(dict(e.train.dtypes))

    return draw


def test_what_each_set_hardly_shows_the_union_does(evidence):
    found = {f.id: f for f in reconstruction(replace(evidence, sample_again=forgetful(evidence)), 10, 20_000, MARGINS,
                                             0.6, 300, 0.001)}
    assert found["leakage.union.exact"].verdict is Verdict.FAIL
    assert found["leakage.union.exact"].value > 0.10  # of all training rows; 2 % in each set
    assert found["leakage.union.auc"].value > 0.54


def test_a_few_people_who_are_near_in_every_set_are_those_that_the_sets_are_surest_of(evidence):
    """One row in fifty is a training row, the same ones in every draw, their numbers moved by .1 deviations."""
    part = replace(evidence, train=evidence.train.iloc[: len(evidence.synthetic) // 50])

    def steady(rows: int, seed: int):
        fresh, leaked = populations.people(rows, seed % 10**6)[0], populations.memorised(part, seed, 0.1)
        return pd.concat([leaked, fresh.iloc[len(leaked):]], ignore_index=True).astype(dict(evidence.train.dtypes))

    guilty = replace(evidence, synthetic=steady(len(evidence.synthetic), 5), sample_again=steady)
    found = {f.id: f for f in reconstruction(guilty, 10, 20_000, MARGINS, 0.6, 300, 0.001)}
    assert found["leakage.union.tail"].verdict is Verdict.FAIL
    assert found["leakage.union.exact"].verdict is Verdict.PASS  # nothing else in the union sees them
    assert found["leakage.union.near"].verdict is Verdict.PASS
    assert found["leakage.union.auc"].verdict is Verdict.PASS


def test_fresh_rows_give_nothing_away_however_many(evidence):
    fresh = replace(evidence, sample_again=lambda rows, seed: populations.people(rows, seed % 10**6)[0])
    found = reconstruction(fresh, 10, 20_000, MARGINS, 0.6, 300, 0.001)
    assert [f.id for f in found if f.verdict is not Verdict.PASS] == ["leakage.union.tail"] and len(found) == 6
    assert found[-1].verdict is Verdict.INFO  # it may veto, never justify


def test_draws_that_do_not_fit_in_memory_give_the_same_figures(evidence, monkeypatch):
    fresh = replace(evidence, sample_again=lambda rows, seed: populations.people(rows, seed % 10**6)[0])
    held = reconstruction(fresh, 3, 3_000, MARGINS, 0.6, 300, 0.001)
    monkeypatch.setattr("validators.reconstruction.HELD", 0)
    assert reconstruction(fresh, 3, 3_000, MARGINS, 0.6, 300, 0.001) == held


def test_without_a_model_there_is_nothing_to_ask(evidence):
    (found,) = reconstruction(evidence, 10, 20_000, MARGINS, 0.6, 300, 0.001)
    assert found.verdict is Verdict.INFO and "not tested" in found.method


@pytest.fixture(scope="module")
def model(evidence):
    return TableGenerator.fit(evidence.train[:600], evidence.schema, seed=1,
                              training=Training(recipe="tabular/likelihood", effort=0.05))


def test_the_likelihood_of_a_row_is_that_of_its_tokens(evidence, model):
    import torch

    frame = evidence.holdout[:20]
    told = model.log_likelihood(frame)
    inner = model.model
    cells = torch.from_numpy(inner.codec.encode(frame, seed=5)[:, inner.order]).float()
    with torch.inference_mode():
        expected = [-float(inner.network.losses(row[None]).sum()) for row in cells]
    assert told == pytest.approx(np.array(expected), rel=1e-4)


def test_a_label_the_model_never_saw_is_as_unlikely_as_the_unlikeliest_row(evidence, model):
    frame = evidence.holdout[:20].copy()
    frame.loc[frame.index[3], "region"] = "elsewhere"
    told = model.log_likelihood(frame)
    assert told[3] == np.delete(told, 3).min() and np.isfinite(told).all()


def test_the_models_likelihood_is_told_and_not_judged(evidence):
    """A model that knows train by heart would be found; its release is not the question."""
    def knows(frame):
        return np.array([float(row in members) for row in map(tuple, frame.astype("str").to_numpy())])

    members = set(map(tuple, evidence.train.astype("str").to_numpy()))
    result = leakage.run(replace(evidence, likelihood=knows), leakage.Limits())
    found = next(f for f in result.findings if f.id == "leakage.membership.critic")
    assert found.verdict is Verdict.INFO and found.value > 0.9 and found.limit is None
    without = leakage.run(replace(evidence, likelihood=lambda frame: None), leakage.Limits())
    told = next(f for f in without.findings if f.id == "leakage.membership.critic")
    assert "release of the model: not judged" in told.method
