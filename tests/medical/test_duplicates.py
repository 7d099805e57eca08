import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.medical import duplicates
from tests.medical.archives import picture


def population(n, side=32):
    return (np.stack([picture(i, side) for i in range(n)]).astype(np.uint16) * 257)[:, None]


def noisy(image, scale):
    return (image.astype(float) + np.random.default_rng(0).normal(0, scale * 65535, image.shape)).clip(0, 65535)


COPIES = {
    "exact": lambda x: x,
    "noise": lambda x: noisy(x, 0.005),
    "re-windowed": lambda x: x * 0.6 + 9000,
    "8 bit": lambda x: np.rint(x / 257) * 257,
    "sharper": lambda x: x + 0.1 * (x.astype(float) - duplicates._smooth(x[None].astype(np.float32))[0]).clip(0),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_others_are_not_joined(kind):
    pixels = population(60)
    pixels[41] = np.asarray(COPIES[kind](pixels[7])).clip(0, 65535)
    found = duplicates.groups(pixels)
    assert found[41] == found[7]
    assert len(np.unique(found)) == 59


def test_copies_are_found_in_colour_and_in_volumes():
    colour = np.stack([picture(i, 24, 3).transpose(2, 0, 1) for i in range(20)]).astype(np.uint16) * 257
    volumes = np.stack([np.stack([picture(100 * i + j, 20) for j in range(12)]) for i in range(12)]).astype(np.uint16)
    for pixels in (colour, volumes[:, None] * 257):
        pixels[5] = pixels[2]
        pixels[6] = noisy(pixels[2], 0.003)
        found = duplicates.groups(pixels)
        assert found[2] == found[5] == found[6]
        assert len(np.unique(found)) == len(pixels) - 2


def test_blocks_do_not_matter(monkeypatch):
    pixels = population(40, 16)
    pixels[33], pixels[21], pixels[39] = pixels[2], noisy(pixels[2], 0.004), pixels[17]
    whole = duplicates.groups(pixels)
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    assert (duplicates.groups(pixels) == whole).all()
    assert len(np.unique(whole)) == 37


def test_images_without_anything_in_them_are_like_nothing_but_themselves():
    pixels = np.full((4, 1, 16, 16), 100, np.uint16)
    pixels[1] = 200
    pixels[3] = 200
    assert duplicates.groups(pixels).tolist() == [0, 1, 0, 1]


def test_twelve_thousand_images_take_seconds():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65535, (12_000, 1, 16, 16), dtype=np.uint16)
    pixels[11_999] = pixels[3]
    start = time.process_time()
    found = duplicates.groups(pixels)
    assert time.process_time() - start < 30
    assert found[11_999] == found[3] and len(np.unique(found)) == 11_999


def naive(entities, group):
    """Entities that are connected through groups, by repeated relabelling."""
    labels = list(entities)
    while True:
        before = list(labels)
        for i in range(len(labels)):
            for j in range(len(labels)):
                if entities[i] == entities[j] or group[i] == group[j]:
                    labels[i] = labels[j] = min(labels[i], labels[j])
        if labels == before:
            return labels


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=1, max_size=14))
@settings(max_examples=80, deadline=None)
def test_merging_is_the_closure_of_both_relations(pairs):
    entities, group = np.array(pairs).T
    merged, expected = duplicates.merge(entities, group), naive(entities.tolist(), group.tolist())
    for i in range(len(merged)):
        for j in range(len(merged)):
            assert (merged[i] == merged[j]) == (expected[i] == expected[j])
    assert sorted(set(merged.tolist())) == list(range(len(set(merged.tolist()))))
