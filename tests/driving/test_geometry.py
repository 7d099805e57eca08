"""Boxes: the vectorised separating axes against plain polygon clipping, distances against plain segments."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from synth.driving import geometry
from synth.driving.scenes import Scenes, SceneShape


def two(first, second, sizes, road=(3, 3.5)):
    """One scene of two vehicles at one step; states as (s, d, heading)."""
    states = np.array([[[[*first, 10.0]], [[*second, 10.0]]]], np.float32)
    return Scenes(states=states, present=np.ones((1, 2), bool), sizes=np.array([sizes], np.float32),
                  kinds=np.zeros((1, 2), np.int8), road=np.array([road], np.float32), table=pd.DataFrame(index=[0]),
                  entities=np.zeros(1, np.int64), shape=SceneShape(vehicles=2, steps=1))


def polygon(state, size):
    s, d, h = state
    return [(s + x * math.cos(h) - y * math.sin(h), d + x * math.sin(h) + y * math.cos(h))
            for x, y in ((size[0] / 2, size[1] / 2), (-size[0] / 2, size[1] / 2), (-size[0] / 2, -size[1] / 2),
                         (size[0] / 2, -size[1] / 2))]


def overlap(one, other):
    """Area of the intersection of two convex polygons (Sutherland and Hodgman), corners counter-clockwise."""
    shape = one
    for i in range(len(other)):
        (ax, ay), (bx, by) = other[i], other[(i + 1) % len(other)]
        kept = []
        for j in range(len(shape)):
            p, q = shape[j], shape[(j + 1) % len(shape)]
            dp = (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax)
            dq = (bx - ax) * (q[1] - ay) - (by - ay) * (q[0] - ax)
            if dp >= 0:
                kept.append(p)
            if dp * dq < 0:
                t = dp / (dp - dq)
                kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        shape = kept
        if not shape:
            return 0.0
    return abs(sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(shape, shape[1:] + shape[:1], strict=True))) / 2


def to_segment(p, a, b):
    along = (b[0] - a[0], b[1] - a[1])
    t = ((p[0] - a[0]) * along[0] + (p[1] - a[1]) * along[1]) / (along[0] ** 2 + along[1] ** 2)
    t = min(max(t, 0), 1)
    return math.hypot(p[0] - a[0] - t * along[0], p[1] - a[1] - t * along[1])


def clear(one, other):
    """Distance of two polygons that do not overlap."""
    return min(to_segment(p, b[i], b[(i + 1) % 4]) for a, b in ((one, other), (other, one)) for p in a
               for i in range(4))


number = hs.floats(-8, 8, width=32)
state = hs.tuples(number, number, hs.floats(-3.25, 3.25, width=32))
size = hs.tuples(hs.floats(1, 12, width=32), hs.floats(0.5, 3, width=32))


@settings(max_examples=300, deadline=None)
@given(state, state, size, size)
def test_boxes_touch_where_clipping_leaves_an_area(first, second, one, other):
    scene = two(first, second, (one, other))
    a, b = polygon(first, one), polygon(second, other)
    area, apart = overlap(a, b), clear(a, b)
    said = geometry.collisions(scene)
    assert (said == said.transpose(0, 2, 1)).all() and not said[:, [0, 1], [0, 1]].any()
    found = geometry.separation(scene)[0, 0, 1, 0]
    if area > 1e-3:
        assert said[0, 0, 1] and found < 0
    elif area == 0 and apart > 1e-4:
        assert not said[0, 0, 1]
        assert found == pytest.approx(apart, abs=1e-4)


def test_known_depth_and_distance():
    scene = two((0, 1.75, 0), (4, 1.75, 0), ((4.5, 1.8), (4.5, 1.8)))
    assert geometry.separation(scene)[0, 0, 1, 0] == pytest.approx(-0.5, abs=1e-6)
    scene = two((0, 1.75, 0), (7.5, 1.75 + 1.8 + 4, 0), ((4.5, 1.8), (4.5, 1.8)))  # corner to corner: 3, 4, 5
    assert geometry.separation(scene)[0, 0, 1, 0] == pytest.approx(5, abs=1e-5)


def test_an_empty_slot_touches_nothing():
    scene = two((0, 1, 0), (0, 1, 0), ((4, 2), (4, 2)))
    assert geometry.collisions(scene)[0, 0, 1]
    alone = Scenes(**{**{f: getattr(scene, f) for f in scene.__dataclass_fields__},
                      "present": np.array([[True, False]])})
    assert not geometry.collisions(alone).any() and np.isinf(geometry.separation(alone)).all()
    assert not geometry.off_road(alone)[0, 1]


@pytest.mark.parametrize(("d", "heading", "out"), [
    (0.95, 0.0, False), (0.85, 0.0, True), (9.55, 0.0, False), (9.65, 0.0, True), (0.95, 0.1, True), (1.3, 0.1, False)])
def test_a_corner_beyond_the_lanes_is_off_the_road(d, heading, out):
    scene = two((0, d, heading), (50, 5, 0), ((4.5, 1.8), (4.5, 1.8)))
    assert geometry.off_road(scene).tolist() == [[out, False]]


def test_corners_are_those_of_the_polygon():
    scene = two((3, 2, 0.7), (50, 5, -2), ((4.5, 1.8), (12, 2.5)))
    for slot, (at, size_) in enumerate((((3, 2, 0.7), (4.5, 1.8)), ((50, 5, -2), (12, 2.5)))):
        found = {tuple(np.round(p, 3)) for p in geometry.corners(scene)[0, slot, 0]}
        assert found == {tuple(np.round(p, 3)) for p in polygon(at, size_)}
