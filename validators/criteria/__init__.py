"""The three criteria of European data-protection authorities: singling out, linkability, inference.

Article 29 Working Party, Opinion 05/2014 on anonymisation techniques, asks whether one can single out a person, link
two records of one, or infer a secret. Each is an attack that guesses, as Giomi et al. measure it ("A unified framework
for quantifying privacy risk in synthetic data", PoPETs 2023): how often guesses are right about people who were
trained on, about people who were not (the control), and how often guesses made without the synthetic table are (the
baseline). Written from the paper.

What the population explains is no leak, so the residual risk (a - c) / (1 - c) of attack and control is judged. It is
a veto: the finding fails where the whole interval is above the limit. An attack that does no better than its baseline
says nothing, and where most guesses about anybody are right a share of what is left has no power; both are told, and
neither stops a table that the membership attacks let pass, for an advantage over the control is a membership attack.
"""

from __future__ import annotations

from collections.abc import Callable

from synth.tabular.evidence import TableEvidence
from validators import pictures
from validators import statistics as st
from validators.criteria.base import Criterion, Outcome, People
from validators.criteria.inference import inference
from validators.criteria.linkability import linkability
from validators.criteria.singling import singling_out
from validators.finding import Finding, Verdict

CRITERIA: dict[str, Callable[[People], list[Outcome]]] = {
    "singling_out": singling_out, "linkability": linkability, "inference": inference}
TITLES = {"singling_out": "Singling out: a description that fits one training person and nobody else",
          "linkability": "Linkability: two records of one training person put together",
          "inference": "Inference: a sensitive value of a training person guessed from the most similar row"}
ATTEMPTS = {
    "singling_out": "descriptions that fit one synthetic row (one value, or three to six cells, numbers as bounds), "
                    "counted as right where they fit one of as many real people",
    "linkability": "half of the columns in each of two registers; right where the nearest synthetic rows of both "
                   "share one",
    "inference": "all other columns known; the value of the nearest synthetic row, right if equal (numbers: within "
                 "5 %)"}

__all__ = ["CRITERIA", "Criterion", "Outcome", "People", "criteria"]


def criteria(evidence: TableEvidence, limit: float, least: int) -> list[Finding]:
    """One finding a criterion; ``least`` people of each side below which nothing is said."""
    people = People.of(evidence)
    if len(people.train) < least or len(people.synthetic) < least or len(evidence.schema.columns) < 2:
        return [Finding(id="leakage.criteria", title="Singling out, linkability and inference", value=None,
                        verdict=Verdict.INFO, n=st.rounded(len(people.train)), limit=limit,
                        method=f"not asked: needs {least} people trained on, as many untouched ones, {least} synthetic "
                               "rows and two columns",
                        remedy="provide more people")]
    found = {name: attempt(people) for name, attempt in CRITERIA.items()}
    tries = max(sum(map(len, found.values())), 1)
    return [_finding(name, outcomes, limit, tries, len(people.train)) for name, outcomes in found.items()]


def _finding(name: str, outcomes: list[Outcome], limit: float, tries: int, people: int) -> Finding:
    """The worst outcome; bounds hold for all attempts of the three criteria at once (Bonferroni)."""
    identity, title = f"leakage.criteria.{name}", TITLES[name]
    if not outcomes:
        return Finding(id=identity, title=title, verdict=Verdict.INFO, value=None, limit=limit,
                       method="not asked: the table gives no such guess (no sensitive column, too few columns, or no "
                              "description that fits one synthetic row)",
                       remedy="mark sensitive columns (synthesis.privacy: sensitive) to have them guessed")
    z = st.quantile(1 - (1 - st.LEVEL) / tries)
    bounds = [outcome.residual(z) for outcome in outcomes]
    informative = [i for i, outcome in enumerate(outcomes) if outcome.informative]
    among = informative or range(len(outcomes))
    surest = max(among, key=lambda i: bounds[i][1])
    worst = surest if bounds[surest][1] > limit else max(among, key=lambda i: bounds[i][2])
    value, low, high = bounds[worst]
    verdict, note = Verdict.INFO, ""
    if not informative:
        note = "; uninformative: no attempt does better than its baseline"
    elif low > limit:
        verdict = Verdict.FAIL
    elif high <= limit:
        verdict = Verdict.PASS
    else:
        note = f"; not detectable at this n: the interval straddles the limit of {limit:g}"
    rows: list[list[str | float | None]] = [
        [outcome.name, st.number(outcome.attack), st.number(outcome.control), st.number(outcome.baseline),
         st.number(low_value[0]), "" if outcome.informative else "no better than its baseline"]
        for outcome, low_value in zip(outcomes, bounds, strict=True)]
    half = 0.5 * (high - low)
    return Finding(
        id=identity, title=title, value=st.number(value), low=st.number(low), high=st.number(high),
        unit="residual risk", floor=0.0, limit=limit, n=st.rounded(people), verdict=verdict,
        method=f"{ATTEMPTS[name]}; residual risk of attack over control (Giomi et al. 2023) from Wilson intervals, "
               f"simultaneous for {tries} attempts; a veto: fails if surely above the limit{note}",
        power=f"a residual risk of {limit + half:.3f} would surely show at {outcomes[worst].trials:,} guesses",
        remedy="synthetic rows describe training people: train shorter, use more rows or a smaller model",
        detail={"worst": outcomes[worst].name, "pictures": [pictures.table(
            title, ["attempt", "attack", "control", "baseline", "residual risk", "remark"], rows)]})
