"""What is costly and asked for by several gates is computed once for as long as its owner lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
_KEPT: dict[int, dict[Hashable, Any]] = {}


def memo(owner: object, key: Hashable, make: Callable[[], T]) -> T:
    """``make()``, remembered under ``key`` until ``owner`` (any object that can be weakly referenced) is gone.

    Nothing is written anywhere: features of private images stay in this process.
    """
    at = id(owner)
    if at not in _KEPT:
        _KEPT[at] = {}
        weakref.finalize(owner, _KEPT.pop, at, None)
    kept = _KEPT[at]
    if key not in kept:
        kept[key] = make()
    found: T = kept[key]
    return found
