"""The page: escaped, self-contained, structured, small, and a pure function of the facts."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example as case
from hypothesis import given, settings
from hypothesis import strategies as st

from validators.finding import Finding, GateResult, Verdict
from validators.report import charts, render, svg, words

VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a" * 5000, "‮gnp.exe", "עברית", "🧪" * 40,
           "{{ 7 * 7 }}", "</title></svg>", "\x00\x1b[31m", "' onload='x", "--></style>"]


class Page(HTMLParser):
    """Elements in order with their attributes; raises if tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag not in ("style", "title", "desc"))


@pytest.fixture(scope="module")
def page(example: ModuleType) -> Page:
    return Page(render(example.report()))


def hostile_gate() -> GateResult:
    pictures: list[dict[str, Any]] = [
        {"kind": "bars", "title": HOSTILE[0], "labels": HOSTILE, "series": [{"name": HOSTILE[1], "values": [1.0] * 11}],
         "unit": HOSTILE[0]},
        {"kind": "heat", "title": HOSTILE[3], "labels": HOSTILE, "values": [[0.1] * 11] * 11, "unit": "share"},
        {"kind": "marginal", "column": HOSTILE[0], "role": HOSTILE[1], "labels": HOSTILE, "real": [0.05] * 11,
         "synthetic": [0.05] * 11},
        {"kind": "marginal", "column": HOSTILE[1], "role": "numeric", "labels": HOSTILE, "real": [0.05] * 11,
         "synthetic": [0.05] * 11},
        {"kind": "lines", "title": HOSTILE[7], "x": [0, 1], "x_label": HOSTILE[0], "y_label": HOSTILE[0],
         "series": [{"name": HOSTILE[0], "values": [0, 1]}, {"name": HOSTILE[9], "values": [1, 0]}]},
        {"kind": "intervals", "title": HOSTILE[0], "unit": HOSTILE[0],
         "rows": [{"label": h, "value": 1, "low": 0, "high": 2, "floor": 0.5, "limit": 1.5} for h in HOSTILE]},
        {"kind": "table", "title": HOSTILE[0], "columns": HOSTILE[:3], "rows": [HOSTILE[:3], HOSTILE[3:6]]},
        {"kind": HOSTILE[0], "title": "a kind nobody knows"},
    ]
    text = HOSTILE[0]
    finding = Finding(id=text, title=text, verdict=Verdict.FAIL, value=0.5, unit=text, method=text, power=text,
                      remedy=text, limit=0.1, detail={"pictures": pictures})
    return GateResult(gate=text, title=text, question=text, findings=(finding,), not_tested=tuple(HOSTILE))


def test_nothing_hostile_comes_through(example: ModuleType) -> None:
    columns = tuple(type(c)(name=h, role=c.role, description=h)
                    for c, h in zip(example.contract().columns, HOSTILE, strict=False))
    text = HOSTILE[0]
    report = example.report([hostile_gate()], name=text, version=HOSTILE[1], description=text, licence=text,
                            purpose=text, legal_basis=text, columns=columns, reviewers=tuple(HOSTILE),
                            conditions=tuple(HOSTILE))
    report["model"]["record"][text] = {HOSTILE[1]: HOSTILE, "list": [{text: text}]}
    html = render(report)
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert len(page.all("style")) == 1 and len(page.all("title")) > 1
    assert "49" not in page.text().split()
    assert not set("\x00\x1b‮") & set(html)
    assert "&lt;script&gt;" in html
    assert len(html) < 500_000


def test_no_address_outside_the_file(page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith("#")
    policy = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_page_opens_with_the_verdict_and_what_it_rests_on(page: Page) -> None:
    text = re.sub(r"\s+", " ", page.text())
    places = [text.index(part) for part in ("Pass", "may be released", "All five gates passed", words.CAVEAT,
                                            "What the verdict rests on", "Does the synthetic table keep")]
    assert places == sorted(places)
    assert text.count(words.CAVEAT) >= 7  # the opening, every gate, what was not tested, the end


def test_the_report_says_why_the_data_may_be_used_and_when_they_were_collected(example: ModuleType, page: Page) -> None:
    text = re.sub(r"\s+", " ", page.text())
    assert "Public census extract, terms of use of 2021.; 2020-01-01 to 2020-12-31" in text
    silent = re.sub(r"\s+", " ", Page(render(example.report(legal_basis="", collected=None))).text())
    assert "not stated in the contract; not stated in the contract" in silent


@pytest.mark.parametrize(("verdict", "said"), [
    (Verdict.FAIL, "Leakage failed; four of five gates passed. A release needs every gate"),
    (Verdict.INCONCLUSIVE, "Leakage could not be judged; four of five gates passed. What cannot be judged blocks"),
])
def test_a_blocked_run_says_why_and_what_to_do(example: ModuleType, verdict: Verdict, said: str) -> None:
    gates = example.spoil(example.results(), "leakage.copies", verdict, remedy="train on more rows")
    text = re.sub(r"\s+", " ", Page(render(example.report(gates))).text())
    assert said in text and "must not be released" in text and "Train on more rows." in text


def test_a_test_without_a_limit_shows_its_p_value(example: ModuleType) -> None:
    finding = Finding(id="l.c", title="Copies", verdict=Verdict.FAIL, value=0.03, detail={"p_value": 0.0042})
    report = example.report([GateResult(gate="l", title="L", question="?", findings=(finding,))])
    text = Page(render(report)).text()
    assert text.count("p\u202f=\u202f") == text.count("0.0042") == 2  # in the opening table and at its gate


def test_minimal_reports_render(example: ModuleType) -> None:
    bare = Finding(id="a.b", title="Rows to judge with", verdict=Verdict.INCONCLUSIVE, value=None)
    for gates in ([], [GateResult(gate="a", title="A", question="?", findings=())],
                  [GateResult(gate="a", title="A", question="?", findings=(bare,))]):
        from validators.report import build

        report = build(contract=example.contract(columns=(), reviewers=(), limits=(), target=None), results=gates,
                       run={}, plan={}, attempts=1, code={}, created="2026-11-21T00:00:00Z")
        assert "must not be released" in Page(render(report)).text()


def test_rendering_is_pure(example: ModuleType) -> None:
    report = example.report()
    before = copy.deepcopy(report)
    first = render(report)
    assert report == before
    assert render(json.loads(json.dumps(report))) == first == render(report)


def test_headings_landmarks_tables_and_pictures_are_for_a_screen_reader(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(th.get("scope") in ("row", "col", "rowgroup") for th in page.all("th"))
    assert len(page.all("figcaption")) == len(page.all("figure")) > 10
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"] for a in page.all("a")] + [u["href"] for u in page.all("use")]
    assert all(target and target[1:] in ids for target in targets)
    for picture in page.all("svg"):
        if picture.get("role") == "img":
            named = (picture.get("aria-labelledby") or "").split()
            assert picture.get("aria-label") or (len(named) == 2 and set(named) <= set(ids))
        else:
            assert picture.get("aria-hidden") == "true"
    described = [a for _, a in page.elements if "aria-labelledby" in a]
    assert all(set((a["aria-labelledby"] or "").split()) <= set(ids) for a in described)


def test_a_wide_table_stays_small(example: ModuleType) -> None:
    names = [f"column {i:03d} with a name of some length" for i in range(300)]
    bins = [f"{i} to {i + 1}" for i in range(12)]
    pictures: list[dict[str, Any]] = [
        {"kind": "heat", "title": "pairs", "labels": names, "values": [[0.01 * (i % 7)] * 300 for i in range(300)]}]
    pictures += [{"kind": "marginal", "column": n, "role": "numeric", "labels": ["below 0", *bins, "13 and above"],
                  "real": [1 / 14] * 14, "synthetic": [1 / 14] * 14} for n in names]
    pictures += [{"kind": "bars", "title": "by column", "labels": names, "unit": "share",
                  "series": [{"name": "synthetic", "values": [0.01] * 300}]},
                 {"kind": "table", "title": "rows", "columns": ["a", "b"], "rows": [["x" * 300, 1.0]] * 2000}]
    kind = type(example.contract().columns[0])
    columns = tuple(kind(name=n, role="numeric") for n in names)
    finding = Finding(id="f.s", title="Shape", verdict=Verdict.PASS, value=0.1, limit=0.2,
                      detail={"pictures": pictures})
    html = render(example.report([GateResult(gate="f", title="F", question="?", findings=(finding,) * 3)],
                                 columns=columns))
    assert len(html) < 500_000
    assert "left out to keep the page small" in html and "more in report.json" not in html.split("<main")[0]
    assert "The first 60 of 300 columns." in html


FIGURE = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-10, 10))
LABELS = st.lists(st.text(max_size=12), max_size=6)


@settings(max_examples=150, deadline=None)
@case("heat", [""], [-9007199254740996.0], "numeric")
@case("lines", ["a"], [1.7e308, -1.7e308], "numeric")
@given(st.sampled_from(sorted(charts.KINDS)), LABELS, st.lists(FIGURE, max_size=8),
       st.sampled_from(["numeric", "boolean"]))
def test_every_picture_of_anything_is_well_formed(kind: str, labels: list[str], figures: list[Any], role: str) -> None:
    picture = {"kind": kind, "title": "t", "column": "c", "role": role, "labels": labels, "x": figures, "unit": "share",
               "series": [{"name": "synthetic", "values": figures}, {"name": "real", "values": figures[::-1]}],
               "values": [figures] * len(labels), "real": figures, "synthetic": figures[::-1], "limit": 0.5,
               "rows": [{"label": label, "value": v, "low": v, "high": None} for label, v in zip(labels, figures,
                                                                                              strict=False)]}
    drawing = charts.draw(picture, "k")
    root = ElementTree.fromstring(drawing)
    assert root.get("role") == "img"
    for element in root.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "d"):
            assert not re.search(r"nan|inf", element.get(name, ""), re.IGNORECASE)


def test_long_labels_are_cut_and_keep_their_whole_text_as_a_tooltip() -> None:
    label = "a label that is much longer than the whole width of a picture that fits a telephone"
    drawing = charts.bars({"labels": [label], "series": [{"name": "s", "values": [1.0]}]}, "k")
    assert f"<title>{label}</title>a label that is much longer than" in drawing and "…</text>" in drawing


def test_the_bars_measure_what_they_say() -> None:
    drawing = charts.bars({"labels": ["a", "b"], "unit": "", "series": [{"name": "s", "values": [1.0, 4.0]}]}, "k")
    widths = [float(r.get("width", 0)) for r in ElementTree.fromstring(drawing).iter() if r.tag == "rect"]
    assert widths[1] == pytest.approx(4 * widths[0], rel=1e-3)


@pytest.mark.parametrize(("value", "unit", "shown"), [
    (None, "", "–"), (float("nan"), "share", "–"), (0, "AUC", "0"), (0.5412, "AUC", "0.541"), (12345.6, "", "12,346"),
    (0.0123, "share", "1.23\u00a0%"), (0.0002, "share of single rows", "0.020\u00a0%"), (-0.0031, "AUC", "−0.0031"),
    (1.0, "share", "100\u00a0%"), (5, "%", "5.00\u00a0%"), (2.5e-7, "", "2.5×10⁻⁷"), (3e20, "", "3.0×10²⁰"),
    (99.96, "", "100"),
])
def test_numbers_are_written_one_way(value: Any, unit: str, shown: str) -> None:
    assert words.number(value, unit) == shown


@pytest.mark.parametrize(("value", "unit", "shown"), [
    (0.05, "share", "5\u00a0%"), (0.72, "AUC", "0.72"), (-0.05, "", "−0.05"), (300, "rows", "300"), (None, "", "–")])
def test_limits_are_written_as_they_were_set(value: Any, unit: str, shown: str) -> None:
    assert words.threshold(value, unit) == shown


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.48, 0.56), (-3, 40), (0, 0.0004), (5, 5), (0, 1.9e7)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    marks = svg.ticks(low, high)
    assert 1 <= len(marks) <= 8
    assert all(low - 1e-9 <= m <= high + abs(high) * 1e-9 for m in marks) and marks == sorted(set(marks))
