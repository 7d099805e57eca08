"""How the report writes numbers and verdicts: one house style for the tables, the pictures and the prose."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

DASH = "–"
ENDLESS = 1e150  # beyond this a difference of two figures may overflow
CAVEAT = "Attacks that found nothing do not prove absence."

# What a reader is told first. The word carries the verdict; symbol and colour only repeat it.
VERDICTS: dict[str, dict[str, str]] = {
    "pass": {"word": "Pass", "outcome": "may be released", "symbol": "✓"},
    "fail": {"word": "Fail", "outcome": "must not be released", "symbol": "✕"},
    "inconclusive": {"word": "Inconclusive", "outcome": "must not be released", "symbol": "?"},
    "waived": {"word": "Waived", "outcome": "released, although not all of it passed", "symbol": "!"},
    "info": {"word": "For information", "outcome": "decides nothing", "symbol": "i"},
}

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("Value and interval", "What was measured, and the range in which it plausibly lies at the level stated "
     "(95 % unless said otherwise). Entities (people, households) are resampled for it, not rows."),
    ("Floor", "The same figure for a fresh sample of real records that the generator never saw. No synthetic set can "
     "be expected to do better, so figures are read as their distance from the floor."),
    ("Limit", "Fixed before training and hashed into the plan. A figure passes only if the bad end of its interval, "
     "not just the value, is on the right side of the limit: the burden is on the release."),
    ("Pass, fail, inconclusive", "Inconclusive means that the question could not be answered, for example because "
     "there were too few rows. It blocks a release exactly like a failure. A release needs every gate."),
    ("Waived", "Something did not pass, and the person named beside it answers for that until the day named. Copies, "
     "broken files and leaks that were found cannot be waived."),
    ("Membership inference", "Telling from the release whether a given person was in the training data. AUC is the "
     "share of times that an attacker, shown one who was and one who was not, points at the right one: 0.5 is a coin."),
    ("Singling out, linkability, inference", "The three questions of the European data protection authorities (WP29 "
     "opinion 05/2014): can one person be isolated, can two files be joined, can a value be guessed? Figures are the "
     "attack's success beyond what it reaches on people who were not in the training data."),
    ("Differential privacy", "A promise about the method: whatever anybody does with the release, they learn at most a "
     "little more than if one person had not been in the data. Epsilon says how little (1 is strong, above 10 says "
     "next to nothing), delta how often the promise may fail."),
    ("Ledger", "The list of all releases about the same people, in the store beside them. What is harmless once may "
     "not be harmless fifty times, so privacy budgets add up there and attacks see all releases together."),
    ("Power", "The smallest effect that the test would have found with the rows it had. A test without power that "
     "finds nothing says nothing."),
    ("Train, holdout, reference", "Three parts of the real data that share no entity. The generator learns from train "
     "alone; holdout and reference give floors and controls."),
    ("Synthetic, real", "Synthetic values are drawn filled, real values as an outline or a tick. Real figures stand "
     "for at least k entities each; outer bins are open, so that no smallest or largest value is shown."),
)

# Left-to-right and right-to-left marks, embeddings, overrides, isolates: they could make a label read as another.
_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """``text`` with control characters and direction overrides replaced by a visible mark."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or (c not in _BIDI and unicodedata.category(c) not in ("Cc", "Cs")) else "\ufffd" for c in text
    )


def finite(value: Any) -> float | None:
    """``value`` as a float, or None if it is missing, not a number, or as good as infinite."""
    if value is None or isinstance(value, (str, bool)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < ENDLESS else None


def columns_wide(text: str) -> int:
    """Width of ``text`` in units of a Latin letter (East Asian and emoji count as two)."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """``text`` cut to ``width`` letters, with an ellipsis if anything was lost."""
    text = " ".join(clean(text).split()) or "(empty)"
    if columns_wide(text) <= width:
        return text
    kept, used = [], 1
    for c in text:
        used += columns_wide(c)
        if used > width:
            break
        kept.append(c)
    return "".join(kept).rstrip() + "…"


def _digits(value: float) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    if (value.is_integer() or size >= 1000) and size < 1e15:
        return f"{value:,.0f}"
    for bound, places in () if size >= 1e15 else ((100, 0), (10, 1), (1, 2), (0.1, 3), (0.001, 4), (0.0001, 5)):
        if size >= bound * 0.9995:
            return f"{value:,.{places}f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def is_share(unit: str) -> bool:
    """True for units that are printed as per cent: ``%``, ``share``, ``share of ...``."""
    return unit == "%" or unit.split(" ")[0] == "share"


def named_unit(unit: str) -> str:
    """What of the unit is not in the figure already: ``AUC``; ``of single rows`` for a share of single rows."""
    return "" if unit == "%" else unit.removeprefix("share").strip() if is_share(unit) else unit


def sentence(text: str) -> str:
    """``text`` with a capital at its beginning and a full stop at its end."""
    text = re.sub(r"(\d) %", "\\1\u00a0%", clean(text).strip())
    return text and text[:1].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


def number(value: Any, unit: str = "") -> str:
    """A figure for a person: about three significant digits, a share as per cent, a dash if there is none."""
    if isinstance(value, str):
        return value
    figure = finite(value)
    if figure is None:
        return DASH
    if is_share(unit):
        figure = figure if unit == "%" else figure * 100
        size = abs(figure)
        places = 0 if figure == 0 or size == 100 else 1 if size >= 10 else 2 if size >= 0.995 else 3
        text = f"{figure:,.{places}f}\u00a0%"
    else:
        text = _digits(figure)
    return text.replace("-", "−")


def threshold(value: Any, unit: str = "") -> str:
    """A limit or a setting: exact as it was written, not padded to significant digits."""
    figure = finite(value)
    if figure is None or not 1e-4 <= abs(figure) < 1e6:
        return number(value, unit)
    figure = figure * 100 if is_share(unit) and unit != "%" else figure
    text = f"{figure:,.6g}" if abs(figure) < 1000 else f"{figure:,.10g}"
    return (f"{text}\u00a0%" if is_share(unit) else text).replace("-", "−")


def seconds(value: Any) -> str:
    """A duration: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    duration = finite(value)
    if duration is None:
        return DASH
    if duration < 9.95:
        return f"{duration:.1f}\u00a0s"
    whole = round(duration)
    if whole < 120:
        return f"{whole}\u00a0s"
    if whole < 7200:
        return f"{whole // 60}\u00a0min {whole % 60:02d}\u00a0s"
    return f"{whole // 3600}\u00a0h {whole % 3600 // 60:02d}\u00a0min"


def clause(text: str) -> str:
    """A sentence that follows a colon: its first word small, unless it is a name or an abbreviation."""
    return text[:1].lower() + text[1:] if text[1:2] == " " or text[1:2].islower() else text


def plural(count: int, noun: str, many: str = "") -> str:
    """``1 gate``, ``5 gates``, ``no gates``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count or 'no'} {many or noun + 's'}"
