"""The model of headers: fields as tokens and back, nothing drawn that cannot be, and what it learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from synth.driving import blocks, possible, recipes
from synth.driving.blocks import Event, columns_of, fitted, rows
from synth.driving.cells import Cells, Field
from synth.driving.generator import _classes
from synth.driving.header import ABSENT, Header
from synth.driving.headers import HeaderModel
from synth.driving.networks.fields import FieldNetwork
from synth.driving.roles import cast
from synth.driving.scenes import LENGTH, SPEED, D, S, Scenes
from synth.driving.situation import Situation
from synth.driving.staging import realise
from synth.progress import Silent
from synth.records.conditions import Conditioning
from tests.driving.tiny import contract
from tests.driving.toys import SCHEMA, traffic


def dry(n: int) -> np.ndarray:
    return np.full(n, 0.9, np.float32)


LISTED = ("manoeuvre", "weather", "lanes", "density", "speed", "min_ttc")


NUMBER = some.one_of(some.none(), some.sampled_from([0.0, 1.5]), some.floats(-50, 50).map(lambda x: round(x, 3)))


@given(some.lists(NUMBER, min_size=1, max_size=200), some.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_a_number_comes_back_within_its_bin(drawn: list[float | None], k: int) -> None:
    values = np.array([np.nan if v is None else v for v in drawn])
    field = Field.fit("x", values, k)
    tokens = torch.from_numpy(field.encode(values))
    np.testing.assert_array_equal(tokens.numpy() == 0, np.isnan(values))
    assert int(tokens.max()) < field.size
    back = field.value(tokens, torch.full((len(values),), 0.5)).double().numpy()
    inside = np.isfinite(values) & (values >= field.low[0]) & (values <= field.high[-1])
    at = tokens.numpy()[inside] - 1
    low, high = np.array(field.low)[at], np.array(field.high)[at]
    assert (values[inside] >= low - 1e-4).all() and (values[inside] <= high + 1e-4).all()
    assert (np.abs(back[inside] - values[inside]) <= (high - low) / 2 + 1e-4).all()
    known = np.sort(values[np.isfinite(values)])
    if len(known) > 2 * k:  # no bound is one of the k - 1 outermost values, unless others share it
        assert field.low[0] >= known[k - 1] - 1e-4 and field.high[-1] <= known[-k] + 1e-4
    assert torch.isfinite(field.tell(tokens, torch.from_numpy(values).float())).all()


def test_a_frequent_value_is_drawn_exactly() -> None:
    values = np.concatenate([np.zeros(500), np.linspace(-2, 2, 501)])
    field = Field.fit("x", values, 5)
    tokens = field.encode(np.zeros(3))
    assert float(field.value(torch.from_numpy(tokens), torch.rand(3)).abs().max()) == 0
    near = field.encode(np.array([0.03, -0.03]))
    assert (near != tokens[:2]).all() and near[0] > tokens[0] > near[1]


def test_a_field_is_told_of_those_before_it_alone() -> None:
    cells = Cells((Field(name="a", labels=("x", "y", "z")), Field.fit("b", np.linspace(0, 1, 100), 1),
                   Field(name="c", labels=("p", "q"))))
    torch.manual_seed(0)
    network = FieldNetwork(cells, 4, hidden=8, inner=6, dropout=0.0).eval()
    torch.nn.init.normal_(network.free)
    context, told = torch.randn(1, 4), torch.randn(1, network.told)
    found = network(context, told)
    for start, first in ((0, 1), (3, 2), (7, 3)):  # entries of a, b, c; the first field that may differ
        moved = told.clone()
        moved[:, start] += 1
        differs = (network(context, moved) - found).abs().amax((0, 2)) > 1e-6
        assert differs.tolist() == [i >= first for i in range(3)]
    draws = network.draw(context.repeat(4000, 1), cells, torch.Generator().manual_seed(1), lambda *_: None)
    share = torch.bincount(draws[:, 0].long(), minlength=3) / 4000
    np.testing.assert_allclose(share, found[0, 0, :3].softmax(0).detach(), atol=0.03)


def parts(scenes: Scenes) -> tuple[Header, Conditioning, np.ndarray, pd.DataFrame]:
    header, asked = Header.fit(scenes, SCHEMA), Conditioning.fit(scenes.table, SCHEMA, LISTED)
    return header, asked, asked.encode(scenes.table), header.describe(scenes)


def trained(scenes: Scenes, *, passes: float = 60.0) -> tuple[HeaderModel, Conditioning]:
    header, asked, condition, _ = parts(scenes)
    options = (("header_hidden", 32), ("header_inner", 16), ("header_passes", passes))
    recipe = recipes.of_headers(recipes.named(dataclasses.replace(contract().training, options=options)),
                                scenes=len(scenes), effort=1.0)
    return HeaderModel.fit(scenes, header, condition, _classes(scenes.table), recipe, seed=1, device="cpu",
                           progress=Silent()), asked


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return cast(traffic(600, seed=3))


@pytest.fixture(scope="module")
def made(scenes: Scenes) -> tuple[HeaderModel, Conditioning]:
    return trained(scenes)


def test_what_a_block_is_told_of_recordings_is_what_it_is_told_while_drawing(scenes: Scenes) -> None:
    header, _, condition, frame = parts(scenes)
    columns = columns_of(frame, header)
    learnt = rows(scenes, frame, condition, header, fitted(columns, header, 5))
    assert set(learnt) == set(blocks.FIELDS) and all(torch.isfinite(part.context).all() for part in learnt.values())
    assert len(learnt["where"].scene) == 3 * len(scenes) and len(learnt["meeting"].scene) < len(scenes)
    absent = (learnt["where"].tokens[:, 1:] < 0).all(1)
    assert int((~absent).sum()) == int(scenes.present[:, 1:].sum()) == len(learnt["gap"].scene)
    # nothing of a vehicle is told before it has been drawn
    other = dataclasses.replace(scenes, states=scenes.states.copy())
    other.states[:, 2:, :, SPEED] += 5.0
    moved = rows(other, frame, condition, header, fitted(columns, header, 5))["where"]
    first = learnt["where"].scene.shape[0] // 3
    assert torch.equal(moved.context[:2 * first], learnt["where"].context[:2 * first])
    assert not torch.equal(moved.context[2 * first:], learnt["where"].context[2 * first:])
    assert Event.of(columns, header).facts.shape == (len(scenes), 8 + 2 * 5)


def test_nothing_is_drawn_that_contradicts_the_road_or_what_was_asked_for(
        made: tuple[HeaderModel, Conditioning], scenes: Scenes) -> None:
    model, asked = made
    table = scenes.table.copy()
    rng = np.random.default_rng(0)
    table["manoeuvre"] = rng.permutation(np.repeat(
        ["cut_in", "cut_out", "follow", "free", "lane_change", "hard_brake"], 100)).astype(object)
    table["manoeuvre"] = table["manoeuvre"].astype("str")
    frame = model.draw(table, asked.encode(table), dry(len(table)), seed=4)
    model.header.schema().check(frame)
    plan = realise(model.header, pd.concat([table, frame], axis=1), np.full(len(table), 0.9, np.float32),
                                asked.encode(table))
    shows, lane = table["manoeuvre"].to_numpy(dtype=str), np.floor(plan.start[..., D] / 3.5)
    goes = lane + np.nan_to_num(plan.turn)
    assert (goes[plan.present] >= 0).all() and (goes[plan.present] <= 2).all()
    acts = np.isin(shows, ("cut_in", "cut_out", "follow"))
    assert plan.present[acts, 1].all() and (frame["v1 where"][acts] != ABSENT).all()
    at = shows == "cut_in"
    assert (goes[at, 1] == lane[at, 0]).mean() > 0.97 and (lane[at, 1] != lane[at, 0]).mean() > 0.97
    at = shows == "lane_change"
    assert (frame["ego turn"][at] != "+0").all()
    assert (frame["ego turn"][np.isin(shows, ("free", "follow"))] == "+0").all()
    assert (plan.depth[shows == "hard_brake"] >= 3.5).all()
    ahead = (plan.start[:, 1, S] - plan.start[:, 0, S]) - (plan.sizes[:, 1, LENGTH] + plan.sizes[:, 0, LENGTH]) / 2
    at = shows == "follow"
    assert (ahead[at] > 0).all() and (ahead[at] < 3.0 * np.maximum(plan.start[at, 0, SPEED], 1) + 8).mean() > 0.95


def test_headers_are_learnt_repeat_themselves_and_are_kept(made: tuple[HeaderModel, Conditioning], scenes: Scenes,
                                                           tmp_path: Path) -> None:
    model, asked = made
    seen = model.history["phases"][0]["validations"]
    assert min(v["loss"] for v in seen) < seen[0]["loss"] - 1.0
    condition = asked.encode(scenes.table)
    drawn = model.draw(scenes.table, condition, dry(600), seed=1)
    assert drawn.equals(model.draw(scenes.table, condition, dry(600), seed=1))
    assert not drawn.equals(model.draw(scenes.table, condition, dry(600), seed=2))
    model.save(tmp_path)
    assert drawn.equals(HeaderModel.load(tmp_path).draw(scenes.table, condition, dry(600), seed=1))
    real = model.header.describe(scenes)
    for name in ("v1 gap", "v2 closing", "ego a1"):
        spread = np.subtract(*np.nanquantile(drawn[name], [0.75, 0.25])) / np.subtract(
            *np.nanquantile(real[name], [0.75, 0.25]))
        assert 0.6 < spread < 1.7, name
    both = (drawn["v2 where"] != ABSENT).mean() - (real["v2 where"] != ABSENT).mean()
    assert abs(both) < 0.2


def test_nobody_changes_into_a_vehicle_that_is_beside_them() -> None:
    now = Situation.empty(np.zeros((3, 1)), np.full(3, 3), 3)
    now.there[:] = True
    now.length[:] = 5.0
    now.lane[:] = (1, 2, 0)
    now.speed[:] = 20.0
    now.s[:, 1] = (2.0, 12.0, 40.0)
    now.s[:, 2] = (80.0, -80.0, -45.0)
    now.speed[2, 2] = 30.0  # alongside in four and a half seconds
    when = np.array([[0.0, 4.5]] * 3)
    left, right = (possible.free(now, 0, np.full((3, 2), lane), when) for lane in (2, 0))
    np.testing.assert_array_equal(left, [[False, False], [True, True], [True, True]])
    np.testing.assert_array_equal(right, [[True, True], [True, True], [True, False]])
    now.told[0, 1], now.turn[0, 1], now.cross[0, 1] = True, -1, 3.0  # it comes over
    left, right = (possible.free(now, 0, np.full((3, 2), lane), when) for lane in (2, 1))
    assert left[0].tolist() == [False, True] and right[0].tolist() == [True, False]
