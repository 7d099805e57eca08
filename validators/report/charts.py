"""The pictures of the report, one function a kind: bars, marginals, lines, heat maps, intervals.

Each takes a picture as the gates describe it (plain data) and a key unique on the page, and returns SVG.
Figures that are missing or not finite are left out of the drawing and told as a dash.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from validators.report import svg
from validators.report.svg import LETTER, NARROW, WIDE, Number, element, extent, line, marks, scale, text, ticks, x_axis
from validators.report.words import columns_wide, finite, is_share, number, plural, shorten, threshold

MOST_BARS, MOST_ROWS, MOST_HEAT = 48, 60, 60  # labels drawn; the rest is in report.json


def _label_room(labels: list[str], most: int) -> tuple[int, float, float]:
    """Letters a row's label may have, where the drawing begins, and the height of a line for labels above it.

    Labels stand beside their row if ``most`` letters are enough, and on a line of their own if not.
    """
    widest = max([columns_wide(label) for label in labels], default=4)
    if widest <= most:
        return widest, widest * LETTER + 12, 0.0
    return int(NARROW / LETTER), 6.0, 14.0


def _row_label(label: str, left: float, beside: float, above: float, lead: float, letters: int) -> str:
    if lead:
        return text(0, above, label, letters=letters)
    return text(left - 10, beside + 3.8, label, anchor="end", letters=letters)


def bars(picture: dict[str, Any], key: str) -> str:
    """Horizontal bars, one group a label, one bar a series, with the limit as a dashed line."""
    labels, unit = svg.labels(picture.get("labels"))[:MOST_BARS], str(picture.get("unit", ""))
    series = [(str(s.get("name", "")), svg.numbers(s.get("values"))) for s in picture.get("series", [])][:4]
    limit = finite(picture.get("limit"))
    low, high = extent([limit, *(v for _, values in series for v in values[: len(labels)])], zero=True)
    letters, left, lead = _label_room(labels, 20)
    right = NARROW - 56
    x = scale(low, high, left, right)
    thick, styles = 13.0 if len(series) < 2 else 11.0, svg.series_styles([name for name, _ in series])
    step = thick * len(series) + 8 + lead
    top, bottom = 4.0, 4.0 + step * len(labels)
    body = [x_axis(low, high, x, top, bottom, unit)]
    for i, label in enumerate(labels):
        y = top + i * step + 4 + lead
        body.append(_row_label(label, left, y + (step - lead - 8) / 2, y - 5, lead, letters))
        for s, (_, values) in enumerate(series):
            value = values[i] if i < len(values) else None
            if value is not None:
                a, b = sorted((x(0.0), x(value)))
                body.append(element("rect", x=a, y=y + s * thick, width=max(b - a, 0.75), height=thick - 1.0,
                                     class_=f"s{styles[s]}"))
            at = x(max(value or 0.0, 0.0)) + 5
            body.append(text(at, y + s * thick + thick / 2 + 3.3, number(value, unit), class_="t figure"))
    body.append(line(x(0.0), top, x(0.0), bottom, "axis"))
    if limit is not None:
        body.append(line(x(limit), top - 4, x(limit), bottom + 2, "limit"))
    spoken = svg.spoken([
        (label, ", ".join(f"{name} {number(values[i] if i < len(values) else None, unit)}" for name, values in series))
        for i, label in enumerate(labels)
    ])
    if limit is not None:
        spoken += f". Limit {number(limit, unit)}."
    return svg.picture("".join(body), width=NARROW, height=bottom + 22, title=str(picture.get("title", "Bars")),
                    spoken=spoken, key=key)


def marginal(picture: dict[str, Any], key: str) -> str:
    """One column, real (outline or tick) against synthetic (filled): a histogram, or bars for a label column."""
    labels = svg.labels(picture.get("labels"))
    real, synthetic = svg.numbers(picture.get("real")), svg.numbers(picture.get("synthetic"))
    real += [None] * (len(labels) - len(real))
    synthetic += [None] * (len(labels) - len(synthetic))
    _, high = extent([*real, *synthetic], zero=True)
    if picture.get("role") in ("numeric", "datetime"):
        body, height = _histogram(labels, real, synthetic, high)
    else:
        body, height = _category_bars(labels[:MOST_BARS], real, synthetic, high)
    spoken = svg.spoken([
        (label, f"real {number(r, 'share') if r is not None else 'not shown'}, synthetic {number(s, 'share')}")
        for label, r, s in zip(labels, real, synthetic, strict=False)
    ])
    return svg.picture(body, width=NARROW, height=height, title=f"{picture.get('column', '')}: real against synthetic",
                    spoken=spoken, key=key)


def _histogram(labels: list[str], real: list[Number], synthetic: list[Number], high: float) -> tuple[str, float]:
    left, right, top, bottom = 44.0, NARROW - 4, 8.0, 116.0
    y = scale(0.0, high, bottom, top)
    apart = len(labels) > 1 and labels[-1].startswith("(")  # missing cells stand beside the scale, not on it
    step = (right - left) / (max(len(labels), 1) + 0.5 * apart)
    starts = [left + i * step + (0.5 * step if apart and i == len(labels) - 1 else 0.0) for i in range(len(labels))]
    body = []
    for mark in ticks(0.0, high, 3):
        body.append(line(left, y(mark), right, y(mark), "grid"))
        body.append(text(left - 6, y(mark) + 3.5, threshold(mark, "share"), class_="t soft", anchor="end"))
    gap = 1.0 if step > 5 else 0.0
    fill = "".join(
        f"M{start + gap / 2:.1f} {bottom:g}V{y(v):.1f}h{step - gap:.1f}V{bottom:g}z"
        for start, v in zip(starts, synthetic, strict=False) if v
    )
    outline, pen = "", -1.0
    for start, value in zip(starts, real, strict=False):
        if value is None:
            pen = -1.0
            continue
        joined = abs(start - pen) < 0.01
        outline += f"{'V' if joined else f'M{start:.1f} '}{y(value):.1f}H{start + step:.1f}"
        pen = start + step
    body += [element("path", d=fill, class_="synthetic"), element("path", d=outline, class_="real"),
             line(left, bottom, right, bottom, "axis")]
    edges = [(start, edge) for start, label in zip(starts[1:], labels[1:], strict=True) if (edge := _edge(label))]
    widest = max([columns_wide(edge) for _, edge in edges], default=1) * LETTER + 10
    stride = max(1, math.ceil(widest / step))
    for at, edge in edges[(len(edges) - 1) % stride // 2::stride]:
        body.append(line(at, bottom, at, bottom + 4, "axis"))
        body.append(text(at, bottom + 16, edge, class_="t soft", anchor="middle"))
    if apart:
        body.append(text(right, bottom + 16, labels[-1].strip("()"), class_="t soft", anchor="end", letters=10))
    return "".join(body), bottom + 22


def _edge(label: str) -> str:
    """The edge at which the bin of this label begins: ``"20 to 30"`` begins at 20, ``"70 and above"`` at 70."""
    if label.startswith("("):
        return ""
    start = label.split(" to ")[0].removesuffix(" or missing").removesuffix(" and above").removeprefix("above ")
    return shorten(start, 12)


def _category_bars(labels: list[str], real: list[Number], synthetic: list[Number], high: float) -> tuple[str, float]:
    letters = min(max([columns_wide(label) for label in labels], default=4), 20)
    left, right, step = letters * LETTER + 10, NARROW - 48, 18.0
    x, body, top = scale(0.0, high, left, right), [], 4.0
    for i, label in enumerate(labels):
        middle = top + (i + 0.5) * step
        body.append(text(left - 8, middle + 3.8, label, anchor="end", letters=letters))
        share, truth = synthetic[i], real[i]
        if share:
            body.append(element("rect", x=left, y=middle - 4.5, width=max(x(share) - left, 0.75), height=9.0,
                                 class_="synthetic"))
        if truth is not None:
            body.append(line(x(truth), middle - 7, x(truth), middle + 7, "tick"))
        told = number(None) if share is None else f"{share * 100:.1f}\u00a0%"
        body.append(text(x(max(share or 0.0, truth or 0.0)) + 6, middle + 3.6, told, class_="t figure"))
    bottom = top + step * len(labels)
    body.append(line(left, top, left, bottom, "axis"))
    return "".join(body), bottom + 6


def lines(picture: dict[str, Any], key: str) -> str:
    """Curves over a common x, told apart by dash and by a label at their end."""
    xs = svg.numbers(picture.get("x"))
    series = [(str(s.get("name", "")), svg.numbers(s.get("values"))) for s in picture.get("series", [])][:4]
    x_low, x_high = extent(xs)
    y_low, y_high = extent([v for _, values in series for v in values[: len(xs)]])
    left, right, top, bottom = 48.0, NARROW - 8, 10.0, 170.0
    x, y = scale(x_low, x_high, left, right), scale(y_low, y_high, bottom, top)
    body, styles = [x_axis(x_low, x_high, x, top, bottom, "")], svg.series_styles([name for name, _ in series])
    for mark in ticks(y_low, y_high):
        body.append(line(left, y(mark), right, y(mark), "grid"))
        body.append(text(left - 6, y(mark) + 3.5, threshold(mark), class_="t soft", anchor="end"))
    for s, (_, values) in enumerate(series):
        path, pen = "", "M"
        for at, value in zip(xs, values, strict=False):
            if at is None or value is None:
                pen = "M"
                continue
            path += f"{pen}{x(at):.1f} {y(value):.1f}"
            pen = "L"
        body.append(element("path", d=path, class_=f"curve c{styles[s]}"))
    body.append(line(left, bottom, right, bottom, "axis"))
    body.append(text((left + right) / 2, bottom + 30, str(picture.get("x_label", "")), class_="t soft",
                      anchor="middle", letters=48) if picture.get("x_label") else "")
    ends = [(name, next((v for v in reversed(values) if v is not None), None)) for name, values in series]
    spoken = f"{picture.get('y_label', 'value')} over {picture.get('x_label', 'x')}, last values: " + svg.spoken(
        [(name, number(value)) for name, value in ends])
    return svg.picture("".join(body), width=NARROW, height=bottom + 36, title=str(picture.get("title", "Lines")),
                    spoken=spoken, key=key)


def heat(picture: dict[str, Any], key: str) -> str:
    """A labelled matrix in nine steps of one hue; small ones print their numbers."""
    labels, unit = svg.labels(picture.get("labels"))[:MOST_HEAT], str(picture.get("unit", ""))
    values = [svg.numbers(row)[: len(labels)] for row in picture.get("values", [])][: len(labels)]
    known = [v for row in values for v in row if v is not None]
    high = max(known, default=1.0)
    low = 0.0 if high > 0 else min(known)  # below zero (below the floor) is as good as zero: the palest step
    span = (high - low) or 1.0
    letters = min(max([columns_wide(label) for label in labels], default=4), 18)
    left = letters * LETTER + 10
    room = max(len(labels), 1)
    cell = min((NARROW - left - 4) / room, 40.0)
    if cell < 24:
        cell = min((WIDE - left - 4) / room, 32.0)
    foot = letters * LETTER * 0.72 + 14
    top, side = 4.0, cell * len(labels)
    paths, texts = [""] * 9, []
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value is None:
                continue
            level = min(max(int((value - low) / span * 9), 0), 8)
            paths[level] += f"M{left + j * cell:.1f} {top + i * cell:.1f}h{cell:.1f}v{cell:.1f}h-{cell:.1f}z"
            if cell >= 24:
                texts.append(text(left + (j + 0.5) * cell, top + (i + 0.5) * cell + 3.5, _short(value, unit),
                                   class_=f"t cell l{level}", anchor="middle"))
    body = [element("path", d=path, class_=f"q{level}") for level, path in enumerate(paths) if path]
    body += texts
    body.append(element("rect", x=left, y=top, width=side, height=side, class_="frame"))
    size = "t tiny" if cell < 11 else "t"
    for i, label in enumerate(labels):
        at = (i + 0.5) * cell
        body.append(text(left - 6, top + at + 3.5, label, class_=size, anchor="end", letters=letters))
        x, y = left + at + 3, top + side + 9
        body.append(f'<g transform="rotate(-45 {x:.1f} {y:.1f})">'
                    + text(x, y, label, class_=size, anchor="end", letters=letters) + "</g>")
    pairs = sorted(((v, labels[i], labels[j]) for i, row in enumerate(values) for j, v in enumerate(row)
                    if v is not None and i > j), key=lambda p: -p[0])
    spoken = f"{plural(len(labels), 'column')}. Largest: " + svg.spoken(
        [(f"{a} with {b}", number(v, unit)) for v, a, b in pairs[:8]])
    return svg.picture("".join(body), width=max(left + side + 4, NARROW), height=top + side + foot,
                    title=str(picture.get("title", "Heat map")), spoken=spoken, key=key)


def _short(value: float, unit: str) -> str:
    """A heat cell's number: per cent without the sign, or two digits."""
    if is_share(unit):
        shown = f"{value if unit == '%' else value * 100:.1f}"
    else:
        shown = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2g}"
    return shown.lstrip("-") if not float(shown) else shown.replace("-", "−")


def intervals(picture: dict[str, Any], key: str) -> str:
    """Dot and whisker a row, with the floor as a diamond and the limit as a dashed stroke."""
    rows, unit = list(picture.get("rows", []))[:MOST_ROWS], str(picture.get("unit", ""))
    labels = [str(row.get("label", "")) for row in rows]
    figures = [[finite(row.get(name)) for name in ("value", "low", "high", "floor", "limit")] for row in rows]
    low, high = extent([v for row in figures for v in row])
    pad = (high - low) * 0.04
    letters, left, lead = _label_room(labels, 22)
    right, step, top = NARROW - 60, 20.0 + lead, 4.0
    x = scale(low - pad, high + pad, left, right)
    bottom = top + step * len(rows)
    body = [x_axis(low - pad, high + pad, x, top, bottom, unit)]
    spoken = []
    for i, (label, (value, a, b, floor, limit)) in enumerate(zip(labels, figures, strict=True)):
        y = top + i * step + lead + 10
        body.append(_row_label(label, left, y, y - 10, lead, letters))
        body.append(marks(x, y, value, a, b, floor, limit, 7.0))
        body.append(text(right + 8, y + 3.8, number(value, unit), class_="t figure"))
        spoken.append((label, f"{number(value, unit)} ({number(a, unit)} to {number(b, unit)}), floor "
                              f"{number(floor, unit)}, limit {number(limit, unit)}"))
    return svg.picture("".join(body), width=NARROW, height=bottom + 22, title=str(picture.get("title", "Intervals")),
                    spoken=svg.spoken(spoken), key=key)


def strip(finding: dict[str, Any]) -> str:
    """A finding in one line of a table: interval, floor and limit, the passing side shaded. Decorative: the
    numbers stand beside it."""
    value, low, high, floor, limit = (finite(finding.get(f)) for f in ("value", "low", "high", "floor", "limit"))
    if value is None or (limit is None and floor is None and low is None):
        return ""
    width, height = 132.0, 20.0
    a, b = extent([value, low, high, floor, limit])
    pad = (b - a) * 0.18
    x = scale(a - pad, b + pad, 0.0, width)
    body = [line(0, height / 2, width, height / 2, "grid")]
    if limit is not None:
        at, least = x(limit), finding.get("direction") == "at least"
        body.insert(0, element("rect", x=at if least else 0.0, y=2.0, width=width - at if least else at,
                                height=height - 4, class_="good"))
    body.append(marks(x, height / 2, value, low, high, floor, limit, 9.0))
    return element("svg", "".join(body), viewBox=f"0 0 {width:g} {height:g}", width=width, height=height,
                    class_="strip", aria_hidden="true", focusable="false")


KINDS: dict[str, Callable[[dict[str, Any], str], str]] = {
    "bars": bars, "marginal": marginal, "lines": lines, "heat": heat, "intervals": intervals,
}


def draw(picture: dict[str, Any], key: str) -> str:
    """The SVG of a picture; an empty string for a kind that is not drawn (tables are HTML)."""
    kind = KINDS.get(str(picture.get("kind")))
    return kind(picture, key) if kind else ""


