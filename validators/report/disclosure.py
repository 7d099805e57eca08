"""Statistical disclosure control of the report: what a published aggregate may say about private people.

The rules are those of trusted research environments (ACRO, OpenSAFELY): nothing about fewer than k
entities, counts rounded, no smallest or largest value, closed outer bins refused. Gates keep them already;
:func:`tidy` applies them once more on the way into the report and :func:`disclosure_check` looks at the
finished report, so that a mistake in a gate does not become a disclosure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from validators.report import drives, tiles
from validators.report.words import clean, finite

ROUND_TO = 10  # published counts of private rows and entities are multiples of this
SHARE_DECIMALS = 3  # published shares of private entities: differences of two reports must not isolate a person
LONGEST = 2000  # letters of any text taken from elsewhere

# Statistics that are one person's value, and library keys that quote cells.
FORBIDDEN = frozenset({
    "min", "max", "minimum", "maximum", "min_value", "max_value", "observed_min", "observed_max", "lowest", "highest",
    "observed_value", "unexpected_list", "partial_unexpected_list", "partial_unexpected_counts",
    "unexpected_index_list", "partial_unexpected_index_list", "example", "examples", "sample_rows", "raw", "artefacts",
})
# Keys whose integers count private rows or entities.
_COUNT = re.compile(
    r"(^|_)(n|rows?|entities|people|persons|households|counts?|cells|missing|folded|train|holdout|reference|"
    r"validation|left_out|leftout|members|non_members)$"
)
# Subtrees whose counts are of synthetic rows, of attempts or of files, not of people.
_PUBLIC = frozenset({"generate", "integrity", "attempts", "plan", "verdict", "released", "options"})
SHOWN = {"images": tiles, "scenes": drives}  # kinds of pictures of synthetic records: who looks at them
_CLOSED = re.compile(r"^\s*[\[(]?\s*[-−+]?[\d.,]+\s*(?:–|-|to|…|,|;)\s*[-−+]?[\d.,]+\s*[\])]?\s*$")


def rounded(count: Any, k: int) -> int | str | None:
    """A count of private entities fit to print: a multiple of ten, or ``"fewer than k"``; zero and None stay."""
    figure = finite(count)
    if figure is None:
        return None
    if figure <= 0:
        return 0
    if figure < k:
        return f"fewer than {k}"
    return max(ROUND_TO * round(figure / ROUND_TO), ROUND_TO * math.ceil(k / ROUND_TO))


def share_of(share: Any, rows: float | None, k: int) -> float | str | None:
    """A share of private rows fit to print, or words where it stands for fewer than k of them."""
    figure = finite(share)
    if figure is None or rows is None:
        return None
    return f"fewer than {k} rows" if 0 < figure * rows < k else round(figure, SHARE_DECIMALS)


def plain(value: Any) -> Any:
    """``value`` as JSON data: numpy scalars and enums unwrapped, not-a-number as None, long text cut."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = clean(str(value))
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        if (shown := SHOWN.get(str(value.get("kind")))) is not None:
            return shown.clean(value)
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return plain(str(value))


def is_count(key: str) -> bool:
    """True if an integer under ``key`` counts private rows or entities."""
    return bool(_COUNT.search(key))


def tidy(value: Any, k: int, *, counts: bool = True, key: str = "") -> Any:
    """JSON data without forbidden keys and, if ``counts``, with every private count rounded or suppressed."""
    if isinstance(value, Mapping):
        return {
            name: tidy(item, k, counts=counts and name not in _PUBLIC, key=name)
            for name, item in value.items() if name.lower() not in FORBIDDEN
        }
    if isinstance(value, list):
        return [tidy(item, k, counts=counts, key="" if isinstance(item, list) else key) for item in value]
    if counts and isinstance(value, int) and not isinstance(value, bool) and is_count(key):
        return rounded(value, k)
    return value


def tidy_picture(picture: dict[str, Any], n: float | None, k: int) -> dict[str, Any]:
    """A picture fit to publish: shares of a private column rounded, bins with fewer than k of ``n`` blanked."""
    if picture.get("kind") == "table":
        counted = [is_count(str(name).lower().replace(" ", "_")) for name in picture.get("columns", [])]
        rows = [[rounded(cell, k) if counts and isinstance(cell, int) and not isinstance(cell, bool) else cell
                 for cell, counts in zip(row, counted, strict=False)] for row in picture.get("rows", [])]
        return {**picture, "rows": rows}
    if picture.get("kind") != "marginal":
        return picture
    n = finite(picture.get("n")) or n
    shares = [finite(share) for share in picture.get("real", [])]
    kept = [
        None if share is None or (n is not None and 0 < share * n < k - 1e-6) else round(share, SHARE_DECIMALS)
        for share in shares
    ]
    drawn = [share if share is None else round(share, SHARE_DECIMALS)
             for share in map(finite, picture.get("synthetic", []))]
    known = {} if n is None else {"n": rounded(n, k)}  # what the check recomputes the bins from
    return {**picture, **known, "real": kept, "synthetic": drawn}


def _walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, str(index)))


def _check_table(picture: Mapping[str, Any], place: str, k: int) -> Iterator[str]:
    for index, name in enumerate(picture.get("columns", [])):
        if is_count(str(name).lower().replace(" ", "_")):
            cells = [row[index] for row in picture.get("rows", []) if index < len(row)]
            if any(isinstance(cell, int) and not isinstance(cell, bool) and 0 < cell < k for cell in cells):
                yield f"{place}: column {name!r} has a count below {k}"


def _check_marginal(picture: Mapping[str, Any], place: str, k: int, n: float | None) -> Iterator[str]:
    real = list(picture.get("real", []))
    labels = [str(label) for label in picture.get("labels", []) if not str(label).startswith("(")]
    n = finite(picture.get("n")) or n
    for index, share in enumerate(real):
        share = finite(share)
        # Shares are rounded to three places, so a bin of exactly k may print half a step below k / n.
        if share and n and share * n < k - 1e-6 - n * 0.5 * 10**-SHARE_DECIMALS:
            yield f"{place}: bin {index + 1} has fewer than {k} entities behind it"
    if picture.get("role") in ("numeric", "datetime"):
        for end, index in (("first", 0), ("last", len(labels) - 1)):
            if labels and (_CLOSED.match(labels[index]) or " to " in labels[index]):
                yield f"{place}: the {end} bin is closed and so shows an extreme value"


def disclosure_check(report: Mapping[str, Any], k: int) -> list[str]:
    """Everything in a finished report that could say something about fewer than ``k`` entities; empty if fit.

    Looks for counts of private rows or entities below ``k`` or not rounded, for keys that hold a person's
    value (:data:`FORBIDDEN`), for marginal pictures with thin bins or closed outer bins, for text long
    enough to hold records, and for numbers that JSON cannot hold.
    """
    problems: list[str] = []
    for path, value in _walk(report):
        place, key = ".".join(path) or "report", path[-1] if path else ""
        if key.lower() in FORBIDDEN:
            problems.append(f"{place}: the key {key!r} may not be published")
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{place}: not a finite number")
        if isinstance(value, Mapping) and (shown := SHOWN.get(str(value.get("kind")))) is not None:
            problems.extend(f"{place}: {what}" for what in shown.problems(value))
        if isinstance(value, str) and len(value) > 2 * LONGEST and tiles.size(value) is None:
            problems.append(f"{place}: text of {len(value):,} letters")
        private = not _PUBLIC.intersection(path)
        if private and isinstance(value, int) and not isinstance(value, bool) and is_count(key) and value != 0:
            if value < k:
                problems.append(f"{place}: a count below {k}")
            elif value % ROUND_TO:
                problems.append(f"{place}: a count that is not rounded to {ROUND_TO}")
        if isinstance(value, Mapping) and value.get("kind") == "marginal":
            problems.extend(_check_marginal(value, place, k, _entities(report)))
        if isinstance(value, Mapping) and value.get("kind") == "table":
            problems.extend(_check_table(value, place, k))
    return problems


def _entities(report: Mapping[str, Any]) -> float | None:
    """Entities in train as printed, the smallest population a marginal can be about when it does not say."""
    for part in report.get("source", {}).get("splits", []):
        if part.get("part") == "train":
            return finite(part.get("entities")) or finite(part.get("rows"))
    return None
