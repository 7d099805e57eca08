"""Synthetic scenes of traffic in the report: who drives where, and the ego vehicle's gap and time to collision.

Only synthetic scenes may be shown. A picture is numbers alone, looked at before it is let onto the page: whatever is
not one of the known keys with finite numbers in it is left out or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from validators.report import svg
from validators.report.svg import WIDE, Number, element, extent, line, scale, text, ticks
from validators.report.words import finite, number, shorten

MOST_ITEMS, MOST_VEHICLES, MOST_STEPS = 8, 16, 256
FAR = 10.0  # s and up: a time to collision that nobody need look at
Scale = Callable[[float], float]
_SIZE = ("length", "width")
_LANE, _LEFT, _PANEL = 26.0, 34.0, 66.0  # px: height of a lane, room for figures on the left, height of a panel


def clean(picture: Mapping[str, Any]) -> dict[str, Any]:
    """The picture with those of its scenes that may be shown, and nothing besides."""
    items = [made for item in list(picture.get("items", []))[:MOST_ITEMS]
             if isinstance(item, Mapping) and (made := _scene(item)) is not None]
    return {"kind": "scenes", "title": str(picture.get("title", ""))[:200], "items": items}


def problems(picture: Mapping[str, Any]) -> list[str]:
    """What is wrong with a scenes picture of a finished report."""
    items = picture.get("items", [])
    bad = sum(not isinstance(i, Mapping) or _scene(i) != i for i in items)
    whole = set(picture) == {"kind", "title", "items"} and len(items) <= MOST_ITEMS
    return [] if whole and not bad else [f"{bad} items are not a scene and nothing else"]


def _scene(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """One scene with its known keys and rounded numbers; ``None`` if it is not one."""
    lanes, width, dt = (finite(item.get(key)) for key in ("lanes", "lane_width", "dt"))
    vehicles = item.get("vehicles")
    if lanes is None or width is None or dt is None or not isinstance(vehicles, Sequence):
        return None
    if not 1 <= lanes <= 12 or not 1 <= width <= 10 or not 0 < dt <= 10 or not 0 < len(vehicles) <= MOST_VEHICLES:
        return None
    made, steps = [], 0
    for vehicle in vehicles:
        path = vehicle.get("path") if isinstance(vehicle, Mapping) else None
        sizes = [finite(vehicle.get(key)) for key in _SIZE] if isinstance(vehicle, Mapping) else []
        points = [_numbers(point, 2) for point in path] if isinstance(path, Sequence) else []
        if None in points or None in sizes or not 2 <= len(points) <= MOST_STEPS:
            return None
        if steps not in (0, len(points)):
            return None
        steps = len(points)
        made.append({"length": sizes[0], "width": sizes[1], "path": points})
    curves = {key: [finite(v) for v in list(item.get(key) or [])[:steps]] for key in ("gap", "ttc")}
    return {"label": str(item.get("label", ""))[:120], "lanes": int(lanes), "lane_width": width, "dt": dt,
            "vehicles": made, **curves}


def _numbers(values: Any, count: int) -> list[float] | None:
    found = [finite(v) for v in values] if isinstance(values, Sequence) and not isinstance(values, str) else []
    return [round(v, 3) for v in found if v is not None] if len(found) == count and None not in found else None


def draw(picture: Mapping[str, Any], key: str) -> str:
    """A drawing for each scene, so that they can be printed on several pages; empty if there is none."""
    return "".join(_drawn(item, f"{key}-{i}") for i, item in enumerate(clean(picture)["items"]))


def _drawn(item: Mapping[str, Any], key: str) -> str:
    """One scene: the road from above with the trails, below it the two curves."""
    vehicles, above = item["vehicles"], 18.0
    road = item["lanes"] * _LANE
    first = min(p[0] for v in vehicles for p in v["path"]) - 8
    last = max(p[0] for v in vehicles for p in v["path"]) + 8
    left, right, middle = _LEFT, WIDE - 8, (WIDE - 8 + _LEFT) / 2
    x, y = scale(first, last, left, right), scale(0.0, item["lanes"] * item["lane_width"], above + road, above)
    body = [text(0, 10, str(item["label"]), letters=90),
            element("rect", x=left, y=above, width=right - left, height=road, class_="asphalt")]
    body += [line(left, above + lane * _LANE, right, above + lane * _LANE,
                  "edge" if lane in (0, item["lanes"]) else "dash") for lane in range(item["lanes"] + 1)]
    high = y(0.0) - y(1.0)  # px a metre across; along the road it is drawn smaller
    body += [_trail(v["path"], slot, x, y) for slot, v in enumerate(vehicles)]
    body += [_box(v, 0, "ghost", x, y, high) for v in vehicles]
    body += [_box(v, -1, "other" if slot else "ego", x, y, high, str(slot or "")) for slot, v in enumerate(vehicles)]
    body += [text(x(mark), above + road + 13, f"{mark:,.0f} m", class_="t soft", anchor="middle")
             for mark in ticks(first, last, 6)]
    below = above + road + 36
    seconds = (len(vehicles[0]["path"]) - 1) * item["dt"]
    if all(v is None for v in item["gap"]):
        body.append(text(left, below, "nobody in front of the ego vehicle in its lane", class_="t soft"))
        return _whole(item, body, below + 26, key)
    body += [_curve(item["gap"], seconds, "gap to its leader, m", None, left, middle - 22, below),
             _curve(item["ttc"], seconds, f"time to collision, s, below {FAR:g}", FAR, middle + 22, right, below)]
    return _whole(item, body, below + _PANEL + 34, key)


def _whole(item: Mapping[str, Any], body: Sequence[str], height: float, key: str) -> str:
    return svg.picture("".join(body), width=WIDE, height=height, title=str(item["label"]), spoken=_said(item), key=key)


def _trail(path: Sequence[Sequence[float]], slot: int, x: Scale, y: Scale) -> str:
    points = "".join(f"{'L' if i else 'M'}{x(s):.1f} {y(d):.1f}" for i, (s, d) in enumerate(path))
    return element("path", d=points, class_=f"curve {'c0' if slot == 0 else 'c3'}")


def _box(vehicle: Mapping[str, Any], at: int, style: str, x: Scale, y: Scale, high: float, name: str = "") -> str:
    """A vehicle at one of its points, long and wide as it is, but large enough to be seen."""
    s, d = vehicle["path"][at]
    left, tall = x(s - vehicle["length"] / 2), max(vehicle["width"] * high, 5.0)
    body = element("rect", x=left, y=y(d) - tall / 2, width=max(x(s + vehicle["length"] / 2) - left, 5.0), height=tall,
                   rx=2, class_=style)
    return body + (text(x(s), y(d) + 3.6, name, anchor="middle") if name else "")


def _curve(values: list[Number], seconds: float, title: str, cap: float | None, left: float, right: float,
           top: float) -> str:
    """One figure over the time of the scene; where it is missing there is no line."""
    shown = [None if v is None or (cap is not None and v > cap) else v for v in values]
    low, high = (0.0, cap) if cap is not None else extent(shown, zero=True)  # from 0, where bumpers touch
    bottom = top + _PANEL
    x, y = scale(0.0, seconds, left, right), scale(low, high, bottom, top + 8)
    body = [text(left, top, title, class_="t soft")]
    for mark in ticks(low, high, 2) if any(v is not None for v in shown) else []:
        body += [line(left, y(mark), right, y(mark), "grid"),
                 text(left - 6, y(mark) + 3.5, f"{mark:g}", class_="t soft", anchor="end")]
    path, pen = "", "M"
    for i, value in enumerate(shown):
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{x(seconds * i / max(len(shown) - 1, 1)):.1f} {y(value):.1f}"
        pen = "L"
    body.append(element("path", d=path, class_="curve c0") if path.count("L") else text(
        (left + right) / 2, (top + bottom) / 2 + 8, "none", class_="t soft", anchor="middle"))
    body += [line(left, bottom, right, bottom, "axis")]
    body += [text(x(mark), bottom + 13, f"{mark:g} s", class_="t soft", anchor="middle")
             for mark in ticks(0.0, seconds, 4)]
    return "".join(body)


def _said(item: Mapping[str, Any]) -> str:
    """A scene in words."""
    lanes, width = item["lanes"], item["lane_width"]

    def lane(d: float) -> int:
        return min(max(int(d // width), 0), lanes - 1) + 1

    seconds = (len(item["vehicles"][0]["path"]) - 1) * item["dt"]
    told = []
    for slot, vehicle in enumerate(item["vehicles"]):
        (s0, d0), (s1, d1) = vehicle["path"][0], vehicle["path"][-1]
        name = "the ego vehicle" if slot == 0 else f"vehicle {slot}"
        move = f"stays in lane {lane(d0)}" if lane(d0) == lane(d1) else f"goes from lane {lane(d0)} to lane {lane(d1)}"
        told.append(f"{name} drives {s1 - s0:.0f} m and {move}")
    least = min((v for v in item["ttc"] if v is not None), default=None)
    near = min((v for v in item["gap"] if v is not None), default=None)
    told_of = f"{shorten(item['label'], 80)}, {seconds:.0f} s on {lanes} lanes, counted from the right: "
    if near is None:
        return told_of + "; ".join(told) + ". Nobody is in front of the ego vehicle in its lane."
    return (told_of + "; ".join(told) + f". Least gap to its leader {number(near)} m, least time to collision "
            + (f"{number(least)} s." if least is not None and least <= FAR else f"above {FAR:g} s."))
