"""Pictures as inline SVG strings: bars, marginals, lines, heat maps, intervals.

Themable (every colour is a class of ``style.css``), readable without colour (synthetic is filled, real is an
outline or a tick, series differ in dash and hatch, heat cells carry numbers where they fit) and by a screen
reader (``role="img"`` with a title and a description that holds the figures). Coordinates are CSS pixels:
narrow pictures are 352 wide, so that two stand beside each other on a desk and one fills a telephone.
Everything textual is escaped here; what a function returns is safe to put into a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from validators.report.words import columns_wide, finite, number, plural, shorten

NARROW, WIDE = 352.0, 736.0
LETTER = 5.7  # mean advance of a letter at the 11 px of the labels
DASHES = ("", "6 3", "2 3", "8 3 2 3")
MOST_BARS, MOST_ROWS, MOST_HEAT, SPOKEN = 48, 60, 60, 40
Number = float | None


def _element(tag: str, content: str = "", **attributes: Any) -> str:
    """One element; attribute names use ``_`` for ``-`` and a trailing ``_`` for reserved words."""
    parts = [tag]
    for name, value in attributes.items():
        if value is not None and value != "":
            text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
            parts.append(f'{name.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return f"<{' '.join(parts)}>{content}</{tag}>"


def _text(x: float, y: float, text: str, *, class_: str = "t", anchor: str = "", letters: int = 0) -> str:
    """A label; one cut to ``letters`` keeps its full text as a tooltip."""
    shown = shorten(text, letters) if letters else shorten(text, 200)
    tip = _element("title", escape(shorten(text, 200))) if shown.endswith("…") else ""
    return _element("text", tip + escape(shown), x=x, y=y, class_=class_, text_anchor=anchor)


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    return _element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _picture(body: str, *, width: float, height: float, title: str, spoken: str, key: str) -> str:
    head = _element("title", escape(shorten(title, 200)), id=f"{key}t") + _element("desc", escape(spoken), id=f"{key}d")
    kind = "wide" if width > NARROW else "narrow"
    return _element("svg", head + body, viewBox=f"0 0 {width:g} {height:g}", width=width, height=height, role="img",
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
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = int(low // step)
    marks = [step * i for i in range(first, first + wanted * 3 + 3)]
    return [round(m, 12) for m in marks if low - step * 1e-9 <= m <= high + step * 1e-9]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (min(max(value, low), high) - low) / span * (end - start)


def _extent(values: Sequence[Number], *, zero: bool = False) -> tuple[float, float]:
    known = [v for v in values if v is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high <= low:
        low, high = (low, low + 1.0) if zero else (low - 0.5, high + 0.5)
    return low, high


def _numbers(values: Any) -> list[Number]:
    return [finite(v) for v in (values or [])]


def _labels(values: Any) -> list[str]:
    return [str(v) for v in (values or [])]


def _spoken(pairs: Sequence[tuple[str, str]]) -> str:
    more = len(pairs) - SPOKEN
    told = "; ".join(f"{shorten(label, 40)}: {value}" for label, value in pairs[:SPOKEN])
    return told + (f"; and {more} more" if more > 0 else "") if pairs else "No figures."


def _x_axis(low: float, high: float, x: Callable[[float], float], top: float, bottom: float, unit: str) -> str:
    out = []
    for mark in ticks(low, high):
        out.append(_line(x(mark), top, x(mark), bottom, "grid"))
        out.append(_text(x(mark), bottom + 14, number(mark, unit), class_="t soft", anchor="middle"))
    return "".join(out)


def bars(picture: dict[str, Any], key: str) -> str:
    """Horizontal bars, one group a label, one bar a series, with the limit as a dashed line."""
    labels, unit = _labels(picture.get("labels"))[:MOST_BARS], str(picture.get("unit", ""))
    series = [(str(s.get("name", "")), _numbers(s.get("values"))) for s in picture.get("series", [])][:4]
    limit = finite(picture.get("limit"))
    low, high = _extent([limit, *(v for _, values in series for v in values[: len(labels)])], zero=True)
    letters = min(max([columns_wide(label) for label in labels], default=4), 20)
    left, right = letters * LETTER + 10, NARROW - 52
    x = _scale(low, high, left, right)
    thick = 13.0 if len(series) < 2 else 8.0
    step = thick * len(series) + 8
    top, bottom = 4.0, 4.0 + step * len(labels)
    body = [_x_axis(low, high, x, top, bottom, unit)]
    for i, label in enumerate(labels):
        y = top + i * step + 4
        body.append(_text(left - 8, y + (step - 8) / 2 + 3.8, label, anchor="end", letters=letters))
        for s, (_, values) in enumerate(series):
            value = values[i] if i < len(values) else None
            if value is not None:
                a, b = sorted((x(0.0), x(value)))
                body.append(_element("rect", x=a, y=y + s * thick, width=max(b - a, 0.75), height=thick - 1.0,
                                     class_=f"s{s}"))
            at = x(max(value or 0.0, 0.0)) + 5
            body.append(_text(at, y + s * thick + thick / 2 + 3.3, number(value, unit), class_="t figure"))
    body.append(_line(x(0.0), top, x(0.0), bottom, "axis"))
    if limit is not None:
        body.append(_line(x(limit), top - 4, x(limit), bottom + 2, "limit"))
    spoken = _spoken([
        (label, ", ".join(f"{name} {number(values[i] if i < len(values) else None, unit)}" for name, values in series))
        for i, label in enumerate(labels)
    ])
    if limit is not None:
        spoken += f". Limit {number(limit, unit)}."
    return _picture("".join(body), width=NARROW, height=bottom + 22, title=str(picture.get("title", "Bars")),
                    spoken=spoken, key=key)


def marginal(picture: dict[str, Any], key: str) -> str:
    """One column, real (outline or tick) against synthetic (filled): a histogram, or bars for a label column."""
    labels = _labels(picture.get("labels"))
    real, synthetic = _numbers(picture.get("real")), _numbers(picture.get("synthetic"))
    real += [None] * (len(labels) - len(real))
    synthetic += [None] * (len(labels) - len(synthetic))
    _, high = _extent([*real, *synthetic], zero=True)
    if picture.get("role") in ("numeric", "datetime"):
        body, height = _histogram(labels, real, synthetic, high)
    else:
        body, height = _category_bars(labels[:MOST_BARS], real, synthetic, high)
    spoken = _spoken([
        (label, f"real {number(r, 'share') if r is not None else 'not shown'}, synthetic {number(s, 'share')}")
        for label, r, s in zip(labels, real, synthetic, strict=False)
    ])
    return _picture(body, width=NARROW, height=height, title=f"{picture.get('column', '')}: real against synthetic",
                    spoken=spoken, key=key)


def _histogram(labels: list[str], real: list[Number], synthetic: list[Number], high: float) -> tuple[str, float]:
    left, right, top, bottom = 44.0, NARROW - 4, 8.0, 116.0
    y = _scale(0.0, high, bottom, top)
    step = (right - left) / max(len(labels), 1)
    body = []
    for mark in ticks(0.0, high, 3):
        body.append(_line(left, y(mark), right, y(mark), "grid"))
        body.append(_text(left - 6, y(mark) + 3.5, number(mark, "share"), class_="t soft", anchor="end"))
    gap = 1.0 if step > 5 else 0.0
    fill = "".join(
        f"M{left + i * step + gap / 2:.1f} {bottom:g}V{y(v):.1f}h{step - gap:.1f}V{bottom:g}z"
        for i, v in enumerate(synthetic) if v
    )
    outline, pen = "", False
    for i, value in enumerate(real):
        if value is None:
            pen = False
            continue
        outline += f"{'V' if pen else f'M{left + i * step:.1f} '}{y(value):.1f}H{left + (i + 1) * step:.1f}"
        pen = True
    body += [_element("path", d=fill, class_="synthetic"), _element("path", d=outline, class_="real"),
             _line(left, bottom, right, bottom, "axis")]
    ends = {0: ("start", left), len(labels) - 1: ("end", right)}
    if len(labels) > 8:
        ends[len(labels) // 2] = ("middle", left + (len(labels) // 2 + 0.5) * step)
    body += [_text(at, bottom + 15, labels[i], class_="t soft", anchor=anchor, letters=19)
             for i, (anchor, at) in ends.items() if 0 <= i < len(labels)]
    return "".join(body), bottom + 22


def _category_bars(labels: list[str], real: list[Number], synthetic: list[Number], high: float) -> tuple[str, float]:
    letters = min(max([columns_wide(label) for label in labels], default=4), 20)
    left, right, step = letters * LETTER + 10, NARROW - 48, 18.0
    x, body, top = _scale(0.0, high, left, right), [], 4.0
    for i, label in enumerate(labels):
        middle = top + (i + 0.5) * step
        body.append(_text(left - 8, middle + 3.8, label, anchor="end", letters=letters))
        share, truth = synthetic[i], real[i]
        if share:
            body.append(_element("rect", x=left, y=middle - 4.5, width=max(x(share) - left, 0.75), height=9.0,
                                 class_="synthetic"))
        if truth is not None:
            body.append(_line(x(truth), middle - 7, x(truth), middle + 7, "tick"))
        body.append(_text(x(max(share or 0.0, truth or 0.0)) + 6, middle + 3.6, number(share, "share"),
                          class_="t figure"))
    bottom = top + step * len(labels)
    body.append(_line(left, top, left, bottom, "axis"))
    return "".join(body), bottom + 6


def lines(picture: dict[str, Any], key: str) -> str:
    """Curves over a common x, told apart by dash and by a label at their end."""
    xs = _numbers(picture.get("x"))
    series = [(str(s.get("name", "")), _numbers(s.get("values"))) for s in picture.get("series", [])][:4]
    x_low, x_high = _extent(xs)
    y_low, y_high = _extent([v for _, values in series for v in values[: len(xs)]])
    left, right, top, bottom = 48.0, NARROW - 8, 10.0, 170.0
    x, y = _scale(x_low, x_high, left, right), _scale(y_low, y_high, bottom, top)
    body = [_x_axis(x_low, x_high, x, top, bottom, "")]
    for mark in ticks(y_low, y_high):
        body.append(_line(left, y(mark), right, y(mark), "grid"))
        body.append(_text(left - 6, y(mark) + 3.5, number(mark), class_="t soft", anchor="end"))
    for s, (_, values) in enumerate(series):
        path, pen = "", "M"
        for at, value in zip(xs, values, strict=False):
            if at is None or value is None:
                pen = "M"
                continue
            path += f"{pen}{x(at):.1f} {y(value):.1f}"
            pen = "L"
        body.append(_element("path", d=path, class_=f"curve c{s}", stroke_dasharray=DASHES[s]))
    body.append(_line(left, bottom, right, bottom, "axis"))
    body.append(_text((left + right) / 2, bottom + 30, str(picture.get("x_label", "")), class_="t soft",
                      anchor="middle", letters=48) if picture.get("x_label") else "")
    ends = [(name, next((v for v in reversed(values) if v is not None), None)) for name, values in series]
    spoken = f"{picture.get('y_label', 'value')} over {picture.get('x_label', 'x')}, last values: " + _spoken(
        [(name, number(value)) for name, value in ends])
    return _picture("".join(body), width=NARROW, height=bottom + 36, title=str(picture.get("title", "Lines")),
                    spoken=spoken, key=key)


def heat(picture: dict[str, Any], key: str) -> str:
    """A labelled matrix in nine steps of one hue; small ones print their numbers."""
    labels, unit = _labels(picture.get("labels"))[:MOST_HEAT], str(picture.get("unit", ""))
    values = [_numbers(row)[: len(labels)] for row in picture.get("values", [])][: len(labels)]
    known = [v for row in values for v in row if v is not None]
    low, high = min([0.0, *known]), max(known, default=1.0)
    high = high if high > low else low + 1.0
    width = NARROW if len(labels) <= 9 else WIDE
    letters = min(max([columns_wide(label) for label in labels], default=4), 18)
    left = letters * LETTER + 10
    cell = min((width - left - 4) / max(len(labels), 1), 40.0)
    foot = letters * LETTER * 0.72 + 14
    top, side = 4.0, cell * len(labels)
    paths, texts = [""] * 9, []
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value is None:
                continue
            level = min(int((value - low) / (high - low) * 9), 8)
            paths[level] += f"M{left + j * cell:.1f} {top + i * cell:.1f}h{cell:.1f}v{cell:.1f}h-{cell:.1f}z"
            if cell >= 26:
                texts.append(_text(left + (j + 0.5) * cell, top + (i + 0.5) * cell + 3.5, _short(value, unit),
                                   class_="t cell" + (" on" if level >= 5 else ""), anchor="middle"))
    body = [_element("path", d=path, class_=f"q{level}") for level, path in enumerate(paths) if path]
    body.append(_element("rect", x=left, y=top, width=side, height=side, class_="frame"))
    size = "t tiny" if cell < 11 else "t"
    for i, label in enumerate(labels):
        at = (i + 0.5) * cell
        body.append(_text(left - 6, top + at + 3.5, label, class_=size, anchor="end", letters=letters))
        x, y = left + at + 3, top + side + 9
        body.append(f'<g transform="rotate(-45 {x:.1f} {y:.1f})">'
                    + _text(x, y, label, class_=size, anchor="end", letters=letters) + "</g>")
    pairs = sorted(((v, labels[i], labels[j]) for i, row in enumerate(values) for j, v in enumerate(row)
                    if v is not None and i > j), key=lambda p: -p[0])
    spoken = f"{plural(len(labels), 'column')}. Largest: " + _spoken(
        [(f"{a} with {b}", number(v, unit)) for v, a, b in pairs[:8]])
    return _picture("".join(body), width=width, height=top + side + foot, title=str(picture.get("title", "Heat map")),
                    spoken=spoken, key=key)


def _short(value: float, unit: str) -> str:
    """A heat cell's number: per cent without the sign, or two digits."""
    if unit in ("share", "%"):
        return f"{value * 100 if unit == 'share' else value:.1f}"
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2g}"


def intervals(picture: dict[str, Any], key: str) -> str:
    """Dot and whisker a row, with the floor as a diamond and the limit as a dashed stroke."""
    rows, unit = list(picture.get("rows", []))[:MOST_ROWS], str(picture.get("unit", ""))
    table = [(str(r.get("label", "")), *(finite(r.get(f)) for f in ("value", "low", "high", "floor", "limit")))
             for r in rows]
    low, high = _extent([v for row in table for v in row[1:] if not isinstance(v, str)])
    pad = (high - low) * 0.04
    letters = min(max([columns_wide(row[0]) for row in table], default=4), 22)
    left, right, step, top = letters * LETTER + 16, NARROW - 50, 20.0, 4.0
    x = _scale(low - pad, high + pad, left, right)
    bottom = top + step * len(table)
    body = [_x_axis(low - pad, high + pad, x, top, bottom, unit)]
    spoken = []
    for i, (label, value, a, b, floor, limit) in enumerate(table):
        y = top + (i + 0.5) * step
        body.append(_text(left - 14, y + 3.8, label, anchor="end", letters=letters))
        body.append(_marks(x, y, value, a, b, floor, limit, 7.0))
        body.append(_text(right + 8, y + 3.8, number(value, unit), class_="t figure"))
        spoken.append((label, f"{number(value, unit)} ({number(a, unit)} to {number(b, unit)}), floor "
                              f"{number(floor, unit)}, limit {number(limit, unit)}"))
    return _picture("".join(body), width=NARROW, height=bottom + 22, title=str(picture.get("title", "Intervals")),
                    spoken=_spoken(spoken), key=key)


def _marks(x: Callable[[float], float], y: float, value: Number, low: Number, high: Number, floor: Number,
           limit: Number, half: float) -> str:
    out = []
    if limit is not None:
        out.append(_line(x(limit), y - half, x(limit), y + half, "limit"))
    if low is not None and high is not None:
        out.append(_line(x(low), y, x(high), y, "whisker"))
        out += [_line(x(v), y - 3, x(v), y + 3, "whisker") for v in (low, high)]
    if floor is not None:
        f = x(floor)
        out.append(_element("path", d=f"M{f:.1f} {y - 4:.1f}l4 4l-4 4l-4-4z", class_="floor"))
    if value is not None:
        out.append(_element("circle", cx=x(value), cy=y, r=3.2, class_="dot"))
    return "".join(out)


def strip(finding: dict[str, Any]) -> str:
    """A finding in one line of a table: interval, floor and limit, the passing side shaded. Decorative: the
    numbers stand beside it."""
    value, low, high, floor, limit = (finite(finding.get(f)) for f in ("value", "low", "high", "floor", "limit"))
    if value is None or (limit is None and floor is None and low is None):
        return ""
    width, height = 132.0, 20.0
    a, b = _extent([value, low, high, floor, limit])
    pad = (b - a) * 0.18
    x = _scale(a - pad, b + pad, 4.0, width - 4)
    body = [_line(4, height / 2, width - 4, height / 2, "grid")]
    if limit is not None:
        at, least = x(limit), finding.get("direction") == "at least"
        body.insert(0, _element("rect", x=at if least else 4.0, y=2.0, width=width - 4 - at if least else at - 4,
                                height=height - 4, class_="good"))
    body.append(_marks(x, height / 2, value, low, high, floor, limit, 9.0))
    return _element("svg", "".join(body), viewBox=f"0 0 {width:g} {height:g}", width=width, height=height,
                    class_="strip", aria_hidden="true", focusable="false")


KINDS: dict[str, Callable[[dict[str, Any], str], str]] = {
    "bars": bars, "marginal": marginal, "lines": lines, "heat": heat, "intervals": intervals,
}


def draw(picture: dict[str, Any], key: str) -> str:
    """The SVG of a picture; an empty string for a kind that is not drawn (tables are HTML)."""
    kind = KINDS.get(str(picture.get("kind")))
    return kind(picture, key) if kind else ""


