"""From listing rows to condition vectors, and what is on a canvas."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from synth.contract.model import Role
from synth.medical.canvas import Canvas, one_hot
from synth.medical.conditions import FARTHEST, Conditioning
from synth.medical.intensity import as_float
from synth.tabular.schema import ColumnSchema, TableSchema

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="site", role=Role.CATEGORICAL, nullable=True, values=("north", "south")),
    ColumnSchema(name="age", role=Role.NUMERIC, nullable=True),
    ColumnSchema(name="sex", role=Role.CATEGORICAL, nullable=False, values=("f", "m"))))
TABLE = pd.DataFrame({"site": pd.Series(["south", None, "north", "east"], dtype="str"),
                      "age": [40.0, np.nan, 60.0, 1e6], "sex": pd.Series(list("fmfm"), dtype="str")})


def test_labels_are_indicators_and_numbers_distances_with_a_flag() -> None:
    made = Conditioning.fit(TABLE.iloc[:3], SCHEMA, ("site", "age", "site"))
    assert [part.name for part in made.parts] == ["site", "age"] and made.width == 5
    np.testing.assert_allclose(made.encode(TABLE), [
        [0, 1, 0, -1, 0], [0, 0, 1, 0, 1], [1, 0, 0, 1, 0], [0, 0, 1, FARTHEST, 0]])


def test_it_survives_json_and_knows_no_columns() -> None:
    made = Conditioning.fit(TABLE, SCHEMA, ("sex", "age"))
    again = Conditioning.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    np.testing.assert_array_equal(again.encode(TABLE), made.encode(TABLE))
    nothing = Conditioning.fit(TABLE, SCHEMA, ("not modelled",))
    assert nothing.width == 0 and nothing.encode(TABLE).shape == (4, 0)


def test_a_constant_or_an_empty_number_is_no_trouble() -> None:
    table = TABLE.assign(age=5.0)
    assert np.isfinite(Conditioning.fit(table, SCHEMA, ("age",)).encode(table)).all()
    assert (Conditioning.fit(table, SCHEMA, ("age",)).encode(table)[:, 0] == 0).all()
    table = TABLE.assign(age=np.nan)
    np.testing.assert_array_equal(Conditioning.fit(table, SCHEMA, ("age",)).encode(table), [[0, 1]] * 4)


@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 0), (1, 3), (0, 4)])
def test_a_real_canvas_gives_back_what_was_laid_on_it(channels: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65_536, (5, max(1, channels), 6, 7)).astype(np.uint16)
    masks = rng.integers(0, max(1, classes), (5, 6, 7)).astype(np.uint8)
    canvas = Canvas(channels=channels, classes=classes)
    laid = canvas.lay(torch.from_numpy(pixels.astype(np.int32)), torch.from_numpy(masks))
    assert laid.shape == (5, canvas.width, 6, 7) and float(laid.abs().max()) <= 1
    if channels:
        np.testing.assert_allclose(laid[:, :channels], as_float(pixels), atol=1e-6)
        assert np.abs(canvas.pixels(laid).astype(int) - pixels).max() <= 1
    if classes:
        found = canvas.masks(laid)
        assert found is not None
        np.testing.assert_array_equal(found, masks)
    else:
        assert canvas.masks(laid) is None


def test_a_finished_canvas_is_squashed_but_never_dead_and_keeps_the_likeliest_class() -> None:
    raw = (torch.randn(4, 5, 6, 6) * 5).requires_grad_()
    canvas = Canvas(channels=2, classes=3)
    made = canvas.finish(raw)
    torch.testing.assert_close(made[:, :2], 0.9 * raw[:, :2].tanh() + 0.1 * raw[:, :2])
    (slope,) = torch.autograd.grad(made[:, :2].sum(), raw, retain_graph=True)
    assert float(slope[:, :2].min()) >= 0.099 and float(slope.max()) <= 1.001
    assert float(made[:, 2:].detach().abs().max()) <= 1
    torch.testing.assert_close(made[:, 2:].sum(1), torch.full((4, 6, 6), -1.0))
    found = canvas.masks(made)
    assert found is not None
    np.testing.assert_array_equal(found, raw[:, 2:].argmax(1).numpy())


def test_one_hot_of_a_volume() -> None:
    labels = torch.randint(0, 3, (2, 4, 5, 6), dtype=torch.uint8)
    hot = one_hot(labels, 3)
    assert hot.shape == (2, 3, 4, 5, 6) and torch.equal(hot.argmax(1), labels.long()) and hot.sum() == labels.numel()
