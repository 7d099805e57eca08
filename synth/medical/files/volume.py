"""Slices in patient space: sorted along the normal of their planes, checked for gaps, turned to one orientation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.medical.files.base import Refused

UNEVEN = 0.05  # of the usual step: positions are printed to a hundredth of a millimetre or so
_SHEAR = 0.02  # mm of sideways drift for every mm along the normal: more is a tilted gantry
_SAME = 1e-3  # of direction cosines


def assemble(planes: Sequence[NDArray[np.float32]], places: Sequence[tuple[Any, Any]],
             in_plane: tuple[float, float] | None) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """float32 [1, depth, height, width] in patient space (head, back, left) and its spacing in mm.

    ``planes`` [rows, columns] in any order; ``places`` their ImagePositionPatient (mm) and
    ImageOrientationPatient. Refused: no positions, differing orientations, doubled, missing or unevenly spaced
    slices, and a tilted gantry, whose slices are no right-angled grid.
    """
    if len(planes) < 2 or in_plane is None or any(p is None or o is None for p, o in places):
        raise Refused("slices")
    turns = np.array([[float(v) for v in o] for _, o in places])
    spots = np.array([[float(v) for v in p] for p, _ in places])
    if turns.shape != (len(planes), 6) or spots.shape != (len(planes), 3):
        raise Refused("slices")
    if np.abs(turns - turns[0]).max() > _SAME:
        raise Refused("slices")
    across, down = turns[0][:3], turns[0][3:]  # directions of growing column and row index, patient LPS
    normal = np.cross(across, down)
    if abs(np.linalg.norm(normal) - 1) > 0.01:
        raise Refused("damaged")
    along = spots @ normal
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    usual = float(np.median(steps))
    if usual < 1e-4 or np.abs(steps - usual).max() > UNEVEN * usual:
        raise Refused("slices")
    drift = spots[order] - spots[order][0] - np.outer(along[order] - along[order][0], normal)
    if np.abs(drift).max() > max(_SHEAR * (along.max() - along.min()), 0.5 * usual * UNEVEN):
        raise Refused("slices")
    affine = np.eye(4)  # of array indices (slice, row, column) to patient LPS
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * usual, down * in_plane[0], across * in_plane[1]
    volume = np.stack([planes[at] for at in order])
    turned = oriented(volume, affine)
    return turned, _turned_spacing(affine, (usual, *in_plane))


def oriented(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """``volume`` [i, j, k] as [1, depth, height, width]: to the head, the back, the left, by the nearest axes.

    ``affine`` maps indices to patient coordinates in DICOM's LPS.
    """
    order, signs = _axes(affine)
    turned = np.transpose(volume, order)
    for axis, sign in enumerate(signs):
        if sign < 0:
            turned = np.flip(turned, axis)
    return np.ascontiguousarray(turned[None], dtype=np.float32)


def _turned_spacing(affine: NDArray[np.float64], spacing: Sequence[float]) -> tuple[float, ...]:
    order, _ = _axes(affine)
    return tuple(float(spacing[at]) for at in order)


def _axes(affine: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """Which axis becomes depth (S), height (P) and width (L), and with which sign."""
    from nibabel.orientations import io_orientation

    found = io_orientation(affine)  # per input axis: (patient axis L, P or S; sign)
    if np.isnan(found).any():
        raise Refused("damaged")
    order, signs = [], []
    for patient in (2, 1, 0):
        at = int(np.flatnonzero(found[:, 0] == patient)[0])
        order.append(at)
        signs.append(int(found[at, 1]))
    return order, signs


def lps_spacing(affine: NDArray[np.float64]) -> tuple[float, ...]:
    """Spacing in mm along depth, height and width of a volume with this affine."""
    return _turned_spacing(affine, [float(np.linalg.norm(affine[:3, at])) for at in range(3)])
