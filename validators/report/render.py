"""The report as a page: one self-contained HTML file, a pure function of the facts in ``report.json``.

No script, no request beyond the file itself (its content security policy forbids both), no clock and no
randomness. Names of columns and every other text are taken as hostile: the template escapes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from validators.report import charts, drives, privacy, svg, tiles, words
from validators.report.summary import ATTACKED

HERE = Path(__file__).parent
PICTURE_BUDGET = 260_000  # letters of pictures on the page; what is left out stays in report.json
SHOWN_AT_ONCE = 16  # marginals of one finding before the rest is folded away
TABLE_ROWS = 60
TABLE_SHOWN = 8  # rows of a table that is not folded away
LIST_ITEMS = 300
_COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def render(report: Mapping[str, Any]) -> str:
    """The HTML page of a report made by :func:`validators.report.build.build` (or read from its JSON).

    Always under half a megabyte: pictures beyond :data:`PICTURE_BUDGET` are left out with a note.
    """
    return _environment().get_template("report.html.j2").render(
        report=report, css=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        headline=headline(report), attacked=ATTACKED, pictures=_pictures(report.get("gates", [])),
    )


def headline(report: Mapping[str, Any]) -> str:
    """The verdict and its ground in one or two sentences."""
    verdict = report["verdict"]
    gates: Sequence[Mapping[str, Any]] = verdict["gates"]
    judged = sum(gate["judged"] for gate in gates)
    if not gates:
        return "No gate was run, so nothing is known about this data set. What was not judged is not released."
    if verdict["overall"] == "pass":
        return (f"{'The gate' if len(gates) == 1 else f'All {_in_words(len(gates))} gates'} passed. Each of the "
                f"{judged} judged figures is on the right side of its limit, also at the bad end of its interval.")
    if verdict["overall"] == "waived":
        waived = [gate["title"] for gate in gates if gate["verdict"] == "waived"]
        names = sorted({w["name"] for w in report["decision"]["waivers"]})
        return (f"{_listed(waived)} did not pass, and {_listed(names)} answer{'s' if len(names) == 1 else ''} for it. "
                "Everything else passed, also at the bad end of its interval.")
    failed = [gate["title"] for gate in gates if gate["verdict"] == "fail"]
    unclear = [gate["title"] for gate in gates if gate["verdict"] == "inconclusive"]
    parts = []
    if failed:
        parts.append(f"{_listed(failed)} failed")
    if unclear:
        parts.append(f"{_listed(unclear)} could not be judged")
    passed = len(gates) - len(failed) - len(unclear)
    rest = f"; {_in_words(passed)} of {_in_words(len(gates))} gates passed" if passed else ""
    rule = ("A release needs every gate, so nothing is published." if failed else
            "What cannot be judged blocks like a failure, so nothing is published.")
    return f"{' and '.join(parts)}{rest}. {rule}"


def _in_words(count: int) -> str:
    return _COUNT_WORDS[count] if 0 <= count < len(_COUNT_WORDS) else f"{count:,}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _pictures(gates: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """What to show under each finding of each gate: pictures of their own, marginals (the first ones at once, the
    rest folded away), and how many were left out."""
    spent, pages = 0, []
    for g, gate in enumerate(gates):
        page = []
        for f, finding in enumerate(gate["findings"]):
            drawn: list[dict[str, Any]] = []
            marginals: list[dict[str, Any]] = []
            left_out = 0
            for p, picture in enumerate(finding.get("pictures", [])):
                figure = _figure(picture, f"p{g}-{f}-{p}")
                if figure is None:
                    continue
                if spent + figure["size"] > PICTURE_BUDGET:
                    left_out += 1
                    continue
                spent += figure["size"]
                (marginals if figure["kind"] == "marginal" else drawn).append(figure)
            page.append({"drawn": drawn, "marginals": marginals[:SHOWN_AT_ONCE], "folded": marginals[SHOWN_AT_ONCE:],
                         "left_out": left_out})
        pages.append(page)
    return pages


def _figure(picture: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """One picture with its caption and legend, or None for a kind this version does not know."""
    kind = str(picture.get("kind"))
    title = words.shorten(str(picture.get("title") or picture.get("column") or ""), 160)
    if kind == "table":
        rows = [[words.number(cell) if not isinstance(cell, str) else words.shorten(cell, 120) for cell in row]
                for row in list(picture.get("rows", []))[:TABLE_ROWS]]
        numeric = [all(not isinstance(row[i], str) for row in picture.get("rows", []) if i < len(row))
                   for i in range(len(picture.get("columns", [])))]
        figures = [words.finite(cell) for row in picture.get("rows", []) for cell in row]
        quiet = 0.0 in figures and not any(figures)  # a table of zeros: folded, and not printed
        size = sum(len(cell) + 40 for row in rows for cell in row)
        return {"kind": kind, "title": title, "columns": [_label(c) for c in picture.get("columns", [])], "rows": rows,
                "numeric": numeric, "more": max(len(picture.get("rows", [])) - TABLE_ROWS, 0),
                "quiet": quiet, "fold": quiet or len(rows) > TABLE_SHOWN, "size": size, "wide": True}
    if kind == "images":
        return tiles.figure(picture)
    drawing = drives.draw(picture, key) if kind == "scenes" else charts.draw(dict(picture), key)
    if not drawing:
        return None
    return {"kind": kind, "title": title, "svg": Markup(drawing), "size": len(drawing), "legend": _legend(picture),
            "wide": 'class="picture wide"' in drawing, "role": str(picture.get("role", "")),
            "note": _note(picture)}


def _legend(picture: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs (class of the swatch, text) for pictures that hold more than one thing."""
    kind = picture.get("kind")
    if kind in ("bars", "lines"):
        names = [words.shorten(str(s.get("name", "")), 40) for s in picture.get("series", [])][:4]
        styles, family = svg.series_styles(names), "s" if kind == "bars" else "c"
        entries = [(f"{family}{style}", name) for style, name in zip(styles, names, strict=True)]
        entries = entries if len(entries) > 1 or kind == "lines" else []
        if kind == "bars" and words.finite(picture.get("limit")) is not None:
            entries.append(("limit", f"limit {words.threshold(picture['limit'], str(picture.get('unit', '')))}"))
        return entries
    if kind == "scenes":
        return [("c0", "the ego vehicle: filled"), ("c3", "other vehicles: numbered")]
    if kind == "intervals":
        rows = picture.get("rows", [])
        return [("dot", "value, interval")] + [
            (name, name) for name in ("floor", "limit") if any(words.finite(r.get(name)) is not None for r in rows)]
    return []


def _note(picture: Mapping[str, Any]) -> str:
    """A sentence about what the picture does not show."""
    kind, labels = picture.get("kind"), len(picture.get("labels", []))
    if kind == "marginal":
        hidden = sum(words.finite(v) is None for v in picture.get("real", []))
        return f"{words.plural(hidden, 'real share')} not shown (too few entities)." if hidden else ""
    if kind == "scenes":
        return ("Seen from above, driving to the right, across the road larger than along it. Pale boxes are where "
                "vehicles start.")
    if kind == "heat":
        unit = str(picture.get("unit", ""))
        unit = "per cent" if words.is_share(unit) else unit
        return " ".join(filter(None, (
            f"Figures in {unit}." if unit else "", "The stronger the colour, the larger.",
            f"The first {charts.MOST_HEAT} of {labels} columns." if labels > charts.MOST_HEAT else "")))
    count, most = labels, charts.MOST_BARS
    if kind == "intervals":
        count, most = len(picture.get("rows", [])), charts.MOST_ROWS
    return f"The first {most} of {count}." if kind in ("bars", "intervals") and count > most else ""


def _label(key: Any) -> str:
    """A record's key as words: ``critic_steps`` becomes ``Critic steps``."""
    text = words.shorten(str(key).replace("_", " "), 60)
    return text[:1].upper() + text[1:]


def _groups(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Rows by the value of ``key``, in order of first appearance."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row[key]), []).append(row)
    return list(groups.items())


def _escape_controls(value: Any) -> Any:
    return words.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=_escape_controls,
    )
    environment.filters.update(
        number=words.number, threshold=words.threshold, seconds=words.seconds, shorten=words.shorten, label=_label,
        audited=privacy.audited, plural=words.plural, sentence=words.sentence, named_unit=words.named_unit,
        clause=words.clause, groupby_order=_groups,
        strip=lambda finding: Markup(charts.strip(finding)),
    )
    environment.globals.update(verdicts=words.VERDICTS, glossary=words.GLOSSARY, list_items=LIST_ITEMS)
    return environment
