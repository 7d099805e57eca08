"""Coverage, recall, rare modes and duplicates against their definitions."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as some

from validators import diversity

grids = some.lists(some.tuples(some.integers(0, 4), some.integers(0, 4)), min_size=4, max_size=14)


def balls(points: np.ndarray, k: int) -> list[float]:
    return [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]  # index 0 is the point itself


@settings(max_examples=60, deadline=None)
@given(grids, grids)
def test_coverage_and_recall_are_those_of_the_papers(real, fake):
    a, b = np.array(real, np.float32), np.array(fake, np.float32)
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    covered = (distance <= np.array(balls(a, 3))[:, None] + 1e-3).any(axis=1)
    recalled = (distance <= np.array(balls(b, 3))[None] + 1e-3).any(axis=1)
    assert (diversity.coverage(a, b, 3) == covered).all()
    assert (diversity.recall(a, b, 3) == recalled).all()


@given(some.lists(some.tuples(some.integers(0, 5), some.integers(0, 8)), min_size=1, max_size=40))
def test_rare_modes_are_counted_by_people(rows):
    codes, people = np.array(rows).T
    expected = [c for c in np.unique(codes)
                if len(set(people[codes == c])) >= 3 and (codes == c).sum() < 8]
    assert diversity.rare_modes(codes, people, 3, 8).tolist() == expected


def test_equal_rows_have_equal_hashes():
    labels = pd.Series(["a", "a", np.nan, np.nan, "a"], dtype="str")
    table = pd.DataFrame({"x": [0.0, -0.0, np.nan, np.nan, 1.0], "c": labels})
    hashes = diversity.row_hashes(table)
    assert hashes[0] == hashes[1] and hashes[2] == hashes[3] and hashes[0] != hashes[4]
    assert diversity.repeated_share(hashes) == 1 - 3 / 5
