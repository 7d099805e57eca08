"""The first page of the report, for somebody who is no statistician: what an attacker would gain, in sentences.

Each sentence is one finding of the gates that attack, put into odds of a hundred; the finding's own figures stand
beside it. Nothing is said here that a finding does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from validators.report.words import finite

ATTACKED = ("leakage", "releases")
ALIKE = ("copies", "criteria")  # kinds of findings of which the page shows the worst one
SEVERITY = ("fail", "inconclusive", "waived", "pass")

Said = Callable[[float, float | None], str]


def hundred(share: float) -> str:
    """A share as so many of a hundred."""
    value = 100 * min(max(share, 0.0), 1.0)
    return f"{value:.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def _auc(value: float, end: float | None) -> str:
    most = "" if end is None else f", at most {hundred(end)}"
    return (f"Shown one person who was in the training data and one who was not, they point at the right one "
            f"{hundred(value)} times in 100{most}; a coin does so 50 times.")


def _tpr(value: float, end: float | None) -> str:
    most = "" if end is None else f", at most {hundred(end)}"
    return (f"If they may be wrong about 1 person in 100, they find {hundred(value)} of 100 who were in the training "
            f"data{most}; without the release they find 1.")


def _copies(value: float, end: float | None) -> str:
    most = "" if end is None else f", at most {hundred(end)}"
    return f"Of 100 training records that only one person has, they find {hundred(value)} in the release{most}."


def _advantage(value: float, end: float | None) -> str:
    most = "" if end is None else f", at most {hundred(end)}"
    return (f"They learn the sensitive value of {hundred(value)} more people in 100{most} because these people were in "
            "the training data.")


def _residual(value: float, end: float | None) -> str:
    most = "" if end is None else f", at most {hundred(end)}"
    return (f"Of 100 guesses that would have been wrong about anybody else, {hundred(value)} are right about people in "
            f"the training data{most}.")


def _other(value: float, end: float | None) -> str:
    return "What they reach is measured; the figure and its limit stand beside this."


# beginning of a finding's id after its gate -> who attacks, and what the figure means; the longest that fits is taken.
WHO: tuple[tuple[str, str, Said], ...] = (
    ("controls", "keeps every release: are there people to compare with?",
     lambda v, e: f"Of 100 people held out now, {hundred(v)} were trained on before."),
    ("copies.exact", "looks for real records in it", _copies),
    ("copies.exact.rare", "looks for rare real records in it", _copies),
    ("copies", "looks for real records in it", _other),
    ("union.auc", "may draw from the model again and again", _auc),
    ("membership", "holds somebody's whole record and asks whether they were in the training data", _auc),
    ("membership.auc", "holds somebody's whole record and asks whether they were in the training data", _auc),
    ("membership.tpr", "accuses only those of whom they are nearly sure", _tpr),
    ("isolated.auc", "goes for people who are unlike all others", _auc),
    ("shadows", "trains many models of the same kind and goes for the people most at risk", _auc),
    ("inference", "knows somebody's whole record but one sensitive value", _advantage),
    ("criteria.singling_out", "wants a description that fits exactly one person", _residual),
    ("criteria.linkability", "holds two files with different columns of the same people and joins them", _residual),
    ("criteria.inference", "guesses a value from the nearest synthetic record", _residual),
    ("frechet", "compares paths with recorded ones", _other),
    ("distance", "asks whose record is nearest to a synthetic one", _other),
)


def summary(gates: Sequence[Mapping[str, Any]], not_tested: Sequence[str]) -> dict[str, Any]:
    """``gains``: what attackers would gain, a sentence and its figures each; ``silent``: what nobody tried."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    for gate in gates:
        if gate["gate"] not in ATTACKED:
            continue
        together = gate["gate"] == "releases"
        for finding in gate["findings"]:
            rest = str(finding["id"]).partition(".")[2]
            fits = max((entry for entry in WHO if f"{rest}.".startswith(f"{entry[0]}.")), key=lambda e: len(e[0]),
                       default=None)
            if fits is None or finding["verdict"] == "info" or (rest == "controls" and finding["verdict"] == "pass"):
                continue
            begins, who, said = fits
            value = finite(finding["value"])
            gain = {
                "who": f"keeps every release and {who}" if together and rest != "controls" else who,
                "gain": "Nothing can be said: " + (finding["power"] or "there was too little to measure") + "."
                if value is None else said(value, finite(finding["high"])),
                "verdict": finding["verdict"], "finding": finding["id"], "title": finding["title"],
                **{key: finding[key] for key in ("n", "value", "low", "high", "limit", "floor", "unit", "power",
                                                 "direction", "p_value")},
                "source": finding["method"],
            }
            first = begins.partition(".")[0]
            kind = ("releases", rest if rest == "controls" else "") if together else (
                "leakage", first if first in ALIKE else begins)
            room = (SEVERITY.index(finding["verdict"]), _room(finding))
            if kind not in worst or room < worst[kind]["room"]:
                worst[kind] = {**gain, "room": room}
    gains = [{key: value for key, value in gain.items() if key != "room"} for gain in worst.values()]
    return {"gains": gains, "silent": list(not_tested)}


def _room(finding: Mapping[str, Any]) -> float:
    """How far the bad end is from the limit; a test without a limit of its own says nothing of that."""
    end, limit = finite(finding["high"]), finite(finding["limit"])
    return 1e9 if end is None or limit is None else (limit - end) / (abs(limit) or 1.0)


def intruder(contract_columns: Sequence[Mapping[str, Any]], sensitive: Sequence[str]) -> dict[str, Any]:
    """The motivated intruder (ICO, anonymisation guidance): who they are, what they hold, what they try."""
    quasi = [c["name"] for c in contract_columns if c["privacy"] == "quasi"]
    return {
        "who": "Somebody competent who wants to know about one person, or any, with no special knowledge, no stolen "
               "files and no crime: a journalist, an employer, an insurer, an acquaintance, a researcher with a point "
               "to make.",
        "holds": ["the whole release with this report, and every earlier one that was published",
                  "public registers, social networks, news"
                  + (f", from which they may know {', '.join(quasi[:12])}" if quasi else ""),
                  "one person's record, if they are an acquaintance: the attacks here are given all of it"],
        "tries": ["to find a real record in the release: the copies findings",
                  "to tell whether a person was in the data: the membership findings, also of the most isolated people",
                  "to learn " + (", ".join(sensitive[:12]) or "a value (no column is declared sensitive)")
                  + " of a person they know: the inference findings",
                  "to single out, link and infer, the three of WP29 opinion 05/2014: the criteria findings"],
        "cannot": ["ask the model, which is not released", "see the private data, its split or its keys"],
        "review": "To be made again when new registers or attacks become known, and by the review date below.",
    }
