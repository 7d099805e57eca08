"""The report in a real browser: no request, no error, readable in both themes, on paper and on a telephone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from validators.finding import Finding, GateResult, Verdict
from validators.report import render

pytestmark = pytest.mark.browser
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]
LONG = "an_unreasonably_long_column_name_without_any_place_to_break_" * 4

CONTRAST = """() => {
  const channel = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
  const bad = []; let seen = 0, cells = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || e.closest('desc, svg title, .sr, .skip, symbol')) continue;
    if (!e.getClientRects().length) continue;
    const style = getComputedStyle(e), ink = e.namespaceURI.endsWith('svg') ? style.fill : style.color;
    const level = (e.getAttribute('class') || '').match(/\\bl(\\d)\\b/);  // a number in a cell of a heat map
    let under = ground(e);
    if (level) {
      cells += 1;
      const cell = getComputedStyle(e.closest('svg').querySelector('.q' + level[1])), share = +cell.fillOpacity;
      under = parse(cell.fill).map((v, i) => share * v + (1 - share) * under[i]);
    }
    const a = light(parse(ink)), b = light(under), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    seen += 1;
    if (ratio < 4.5) bad.push([ratio.toFixed(2), ink, walker.currentNode.textContent.trim().slice(0, 30)]);
  }
  return {seen, cells, bad};
}"""


def gradient() -> GateResult:
    """A heat map that uses every step of the scale, and says so in numbers."""
    steps = [i / 8 for i in range(9)]
    picture = {"kind": "heat", "title": "All steps", "labels": [f"c{i}" for i in range(9)], "values": [steps] * 9}
    finding = Finding(id="g.f", title="Steps", verdict=Verdict.PASS, value=0.1, limit=0.2,
                      detail={"pictures": [picture]})
    return GateResult(gate="g", title="Gate", question="Is it so?", findings=(finding,))


def traffic() -> GateResult:
    """Two scenes from above: one vehicle changes lanes, one is alone."""
    ego = {"length": 4.6, "width": 1.9, "path": [[20 * t / 5, 1.75] for t in range(40)]}
    other = {"length": 12.0, "width": 2.5, "path": [[30 + 17 * t / 5, 5.25 - t * 3.5 / 39] for t in range(40)]}
    gap = [None] * 10 + [30 - 0.6 * t for t in range(30)]
    items = [{"label": "cut in, rain", "lanes": 3, "lane_width": 3.5, "dt": 0.2, "vehicles": [ego, other], "gap": gap,
              "ttc": [None if g is None else g / 3 for g in gap]},
             {"label": LONG, "lanes": 1, "lane_width": 3.5, "dt": 0.2, "vehicles": [ego], "gap": [], "ttc": []}]
    picture = {"kind": "scenes", "title": "Synthetic scenes", "items": items}
    finding = Finding(id="g.f", title="Scenes", verdict=Verdict.PASS, value=0.1, limit=0.2,
                      detail={"pictures": [picture]})
    return GateResult(gate="g", title="Gate", question="Is it so?", findings=(finding,))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def files(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    gates = example.results()
    columns = example.contract().columns
    long_names = tuple(type(c)(name=LONG + str(i), role=c.role) for i, c in enumerate(columns))
    reports = {
        "pass": example.report(),
        "fail": example.report(example.spoil(gates, "leakage.copies", Verdict.FAIL, remedy="train on more rows")),
        "inconclusive": example.report(example.spoil(gates, "leakage.outliers", Verdict.INCONCLUSIVE)),
        "empty": example.report([]),
        "waived": example.report(example.waived(), dp=True),
        "heat": example.report([gradient()]),
        "scenes": example.report([traffic()]),
        "long": example.report(gates, name=LONG, columns=long_names, reviewers=(LONG,)),
    }
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(render(json.loads(json.dumps(report))), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in reports}


def open_page(browser: Any, path: Path, *, width: int = 1280, height: int = 800, scheme: str = "light") -> Any:
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    page.requests, page.complaints = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", ["pass", "fail", "inconclusive", "empty", "long", "scenes", "waived"])
@pytest.mark.parametrize("width", [360, 1280])
def test_one_request_no_complaint_no_overflow_and_the_verdict_first(browser: Any, files: dict[str, Path], name: str,
                                                                    width: int) -> None:
    page = open_page(browser, files[name], width=width, height=640)
    assert page.requests == [files[name].as_uri()]
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if name != "long":
        box = page.locator(".ruling").bounding_box()
        assert box["y"] + box["height"] <= 640 and box["width"] > 100
    word = {"pass": "Pass", "fail": "Fail", "inconclusive": "Inconclusive", "empty": "Inconclusive", "long": "Pass",
            "scenes": "Pass", "waived": "Waived"}
    assert page.locator(".ruling strong").inner_text() == word[name]
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["pass", "fail", "inconclusive", "heat", "scenes", "waived"])
def test_text_has_contrast_in_both_themes(browser: Any, files: dict[str, Path], name: str, scheme: str) -> None:
    page = open_page(browser, files[name], scheme=scheme)
    found = page.evaluate(CONTRAST)
    assert found["seen"] > (150 if name == "scenes" else 200) and found["cells"] >= (81 if name == "heat" else 0)
    assert found["bad"] == []
    page.context.close()


def test_the_dark_theme_is_dark(browser: Any, files: dict[str, Path]) -> None:
    shade = {}
    for scheme in ("light", "dark"):
        page = open_page(browser, files["pass"], scheme=scheme)
        shade[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        page.context.close()
    assert min(shade["light"]) > 240 and max(shade["dark"]) < 40


@pytest.mark.parametrize(("name", "scheme", "width"), [
    ("pass", "light", 1280), ("fail", "dark", 360), ("waived", "light", 1280), ("waived", "dark", 360),
    ("scenes", "light", 1280), ("empty", "light", 1280), ("heat", "dark", 1280)])
def test_axe_finds_nothing(browser: Any, files: dict[str, Path], name: str, scheme: str, width: int) -> None:
    """WCAG and the best practices that axe-core knows; the page allows no script, so axe comes in from outside."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme,
                               bypass_csp=True).new_page()
    page.goto(files[name].as_uri())
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 15
    assert [(v["id"], [node["html"][:160] for node in v["nodes"][:3]]) for v in found["violations"]] == []
    page.evaluate("document.documentElement.removeAttribute('lang'); document.querySelector('.caveat').style.color = "
                  "'#aaa7a4'; document.querySelector('.caveat').style.background = '#bbb8b5'")
    assert {v["id"] for v in axe.Axe().run(page).response["violations"]} == {"html-has-lang", "color-contrast"}
    page.context.close()


def test_a_person_finds_what_an_attacker_would_gain_before_anything_else(browser: Any, files: dict[str, Path]) -> None:
    page = open_page(browser, files["waived"])
    first, second = (page.locator("main > section h2").nth(n).inner_text() for n in (0, 1))
    assert (first, second) == ("In plain words", "What the verdict rests on")
    said = page.locator("#summary").inner_text()
    for part in ("holds somebody's whole record", "51 times in 100, at most 54",
                 "a coin does so 50 times", "leakage.membership", "n 6,400", "an AUC of .528",
                 "Waived by A. Okafor, data protection until 2027-06-30"):
        assert part in said, part
    red = page.evaluate("""() => [...document.querySelectorAll('.waived')].map(e => getComputedStyle(e).color)""")
    assert len(red) > 5 and set(red) == {"rgb(179, 0, 27)"}
    order = page.evaluate("[...document.querySelectorAll('main > section')].map(e => e.id)")
    assert [n for n in order if not n.startswith("gate")] == [
        "summary", "rests-on", "threats", "intruder", "access", "data", "model", "dp", "ledger", "not-tested", "plan",
        "decision", "integrity", "reading"]
    assert page.locator("#ledger").inner_text().count("census-income/2026") >= 2
    assert "ε 9, δ 3.0×10⁻⁶" in page.locator("#ledger").inner_text()
    page.context.close()


def test_it_prints_with_the_caveat_on_every_page(browser: Any, files: dict[str, Path], tmp_path: Path) -> None:
    page = open_page(browser, files["pass"], scheme="dark")
    page.pdf(path=str(tmp_path / "report.pdf"), prefer_css_page_size=True, print_background=True)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.context.close()
    data = (tmp_path / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF") and len(data) > 50_000
    if shutil.which("pdftotext") is None:
        pytest.skip("printed, but there is no pdftotext to read it with (apt-get install poppler-utils)")
    import subprocess

    text = subprocess.run(["pdftotext", str(tmp_path / "report.pdf"), "-"], capture_output=True, check=True, text=True)
    pages = text.stdout.split("\f")[:-1]
    assert len(pages) > 4
    assert "In plain words" in pages[0] and "What nobody tried" in pages[0]  # the summary is one page
    assert all("Attacks that found nothing do not prove absence." in one for one in pages)
    assert "Record of the training stage" in text.stdout and "412,345" in text.stdout  # folded records print open


def test_a_screen_reader_hears_headings_landmarks_tables_and_pictures(browser: Any, files: dict[str, Path]) -> None:
    page = open_page(browser, files["fail"], width=360)
    heard = page.locator("body").aria_snapshot()
    for line in ("banner", "main", "contentinfo", 'navigation "Contents"', 'heading "census-income 1.2.0" [level=1]',
                 'heading "What the verdict rests on" [level=2]', 'heading "Leakage Fail" [level=2]', "table",
                 'img "age: real against synthetic', "strong: Fail"):
        assert line in heard, line
    assert 'row "Leakage Fail Exact copies' in heard  # rows stay rows when a small screen stacks them
    page.context.close()


def test_the_keyboard_reaches_the_skip_link_and_the_contents(browser: Any, files: dict[str, Path]) -> None:
    page = open_page(browser, files["pass"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#rests-on"
    page.context.close()


def test_the_contents_stay_in_view_on_a_wide_screen(browser: Any, files: dict[str, Path]) -> None:
    page = open_page(browser, files["pass"])
    page.evaluate("window.scrollTo(0, 4000)")
    box = page.locator("nav").bounding_box()
    assert 0 <= box["y"] < 200
    page.context.close()
