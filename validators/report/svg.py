"""What the pictures of :mod:`validators.report.charts` are made of: elements, scales, axes, marks.

Pictures are SVG strings for a page. They are themable (every colour is a class of ``style.css``), readable
without colour (synthetic is filled, real is an outline or a tick, series differ in dash and hatch, heat cells
carry numbers where they fit) and by a screen reader (``role="img"`` with a title and a description that holds
the figures). Coordinates are CSS pixels: narrow pictures are 352 wide, so that two stand beside each other on
a desk and one fills a telephone. Everything textual is escaped here, so what a function returns is safe to put
into a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from validators.report.words import finite, shorten, threshold

NARROW, WIDE = 352.0, 736.0
LETTER = 6.0  # mean advance of a letter at the 11 px of the labels
SPOKEN = 40  # figures told to a screen reader
Number = float | None


def element(tag: str, content: str = "", **attributes: Any) -> str:
    """One element; attribute names use ``_`` for ``-`` and a trailing ``_`` for reserved words."""
    parts = [tag]
    for name, value in attributes.items():
        if value is not None and value != "":
            text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
            parts.append(f'{name.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return f"<{' '.join(parts)}>{content}</{tag}>"


def text(x: float, y: float, text: str, *, class_: str = "t", anchor: str = "", letters: int = 0) -> str:
    """A label; one cut to ``letters`` keeps its full text as a tooltip."""
    shown = shorten(text, letters) if letters else shorten(text, 200)
    tip = element("title", escape(shorten(text, 200))) if shown.endswith("…") else ""
    return element("text", tip + escape(shown), x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight stroke."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def picture(body: str, *, width: float, height: float, title: str, spoken: str, key: str) -> str:
    """The whole drawing: ``body`` with a name and a spoken description; ``key`` makes its ids unique on the page."""
    head = element("title", escape(shorten(title, 200)), id=f"{key}t") + element("desc", escape(spoken), id=f"{key}d")
    kind = "wide" if width > NARROW else "narrow"
    return element("svg", head + body, viewBox=f"0 0 {width:g} {height:g}", width=width, height=height, role="img",
                    aria_labelledby=f"{key}t {key}d", class_=f"picture {kind}")


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers inside ``[low, high]``, about ``wanted`` of them."""
    span = high - low
    if not span > 0:
        return [low]
    raw = span / max(wanted, 1)
    power = 1.0
    while power > raw:
        power /= 10
    while power * 10 <= raw:
        power *= 10
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.75)
    first = int(low // step)
    marks = [step * i for i in range(first, first + wanted * 3 + 3)]
    return [round(m, 12) for m in marks if low - step * 1e-9 <= m <= high + step * 1e-9]


def series_styles(names: Sequence[str]) -> list[int]:
    """Style of each series: synthetic is always the filled 0, real (or a floor) the outlined 2, as everywhere."""
    fixed = [0 if name.lower() == "synthetic" else
             2 if name.lower().startswith(("real", "fresh real", "floor", "holdout")) and "+" not in name else None
             for name in names]
    free = [style for style in (0, 1, 3, 2) if style not in fixed]
    styles: list[int] = []
    for style in fixed:
        taken = style is None or style in styles
        styles.append(next((s for s in (*free, 1, 3) if s not in styles), 1) if taken else style or 0)
    return styles


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Linear map from ``[low, high]`` to ``[start, end]``; values outside stay at the ends."""
    span = (high - low) or 1.0
    return lambda value: start + (min(max(value, low), high) - low) / span * (end - start)


def extent(values: Sequence[Number], *, zero: bool = False) -> tuple[float, float]:
    """Smallest and largest known value, never equal; ``zero`` includes the origin."""
    known = [v for v in values if v is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high <= low:
        low, high = (low, low + 1.0) if zero else (low - 0.5, high + 0.5)
    return low, high


def numbers(values: Any) -> list[Number]:
    """Figures with everything that is not finite as None."""
    return [finite(v) for v in (values or [])]


def labels(values: Any) -> list[str]:
    """Texts."""
    return [str(v) for v in (values or [])]


def spoken(pairs: Sequence[tuple[str, str]]) -> str:
    """What a screen reader says of the first :data:`SPOKEN` label and figure pairs."""
    more = len(pairs) - SPOKEN
    told = "; ".join(f"{shorten(label, 40)}: {value}" for label, value in pairs[:SPOKEN])
    return told + (f"; and {more} more" if more > 0 else "") if pairs else "No figures."


def x_axis(low: float, high: float, x: Callable[[float], float], top: float, bottom: float, unit: str) -> str:
    """Vertical grid lines with their figures below."""
    out = []
    for mark in ticks(low, high):
        out.append(line(x(mark), top, x(mark), bottom, "grid"))
        out.append(text(x(mark), bottom + 14, threshold(mark, unit), class_="t soft", anchor="middle"))
    return "".join(out)


def marks(x: Callable[[float], float], y: float, value: Number, low: Number, high: Number, floor: Number,
           limit: Number, half: float) -> str:
    """One estimate on a scale: limit, whisker, floor, dot; ``half`` is half the height of the limit's stroke."""
    out = []
    if limit is not None:
        out.append(line(x(limit), y - half, x(limit), y + half, "limit"))
    if low is not None and high is not None:
        out.append(line(x(low), y, x(high), y, "whisker"))
        out += [line(x(v), y - 3, x(v), y + 3, "whisker") for v in (low, high)]
    if floor is not None:
        f = x(floor)
        out.append(element("path", d=f"M{f:.1f} {y - 4:.1f}l4 4l-4 4l-4-4z", class_="floor"))
    if value is not None:
        out.append(element("circle", cx=x(value), cy=y, r=3.2, class_="dot"))
    return "".join(out)
