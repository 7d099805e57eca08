"""The ``synthesis.*`` settings that are mappings or lists: k, split, collected, training, gates, budget and others."""

from __future__ import annotations

from datetime import date
from typing import Any

from synth.contract.marks import Place
from synth.contract.model import (
    DEFAULT_K,
    Budget,
    Constraint,
    FixedCombinations,
    Inequality,
    Limit,
    Split,
    Sum,
    Training,
    Unit,
)
from synth.contract.settings import Notes, Settings


def plain(value: Any) -> str:
    """A text without the blanks around it; ``""`` for anything else."""
    return value.strip() if isinstance(value, str) else ""


def k(notes: Notes, settings: Settings) -> tuple[int, str]:
    """Smallest group, and why it is below the default."""
    value, place = settings.get("k")
    if value is None:
        return DEFAULT_K, ""
    reason = ""
    if isinstance(value, dict):
        found = notes.keys(place, value, ("limit", "reason"), "'synthesis.k'")
        value, reason = found.get("limit"), plain(found.get("reason"))
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        notes.add("'synthesis.k' must be a whole number, 2 or more", place, "remove it to use the default of 10")
        return DEFAULT_K, ""
    if value < DEFAULT_K and not reason:
        notes.add(f"'synthesis.k' is below its default of {DEFAULT_K} without a reason", place,
                  "write `value: {limit: ..., reason: ...}`; the report shows the reason")
    return value, reason


def split(notes: Notes, settings: Settings) -> Split:
    """Shares of the three parts."""
    value, place = settings.get("split")
    if value is None:
        return Split()
    shares = notes.keys(place, value, ("train", "holdout", "reference"), "'synthesis.split'")
    numbers = {k: notes.number((*place, k), v, f"share {k!r}") for k, v in shares.items()}
    if len(numbers) < 3 or any(v is None or not 0 < v < 1 for v in numbers.values()) or (
            abs(sum(v or 0.0 for v in numbers.values()) - 1) > 1e-6):
        notes.add("'synthesis.split' needs train, holdout and reference, each above 0, together 1", place,
                  "e.g. {train: 0.6, holdout: 0.2, reference: 0.2}")
        return Split()
    return Split(**{k: float(v) for k, v in numbers.items() if v is not None})


def collected(notes: Notes, settings: Settings) -> tuple[date, date] | None:
    """First and last day of the collection."""
    value, place = settings.get("collected")
    if value is None:
        return None
    said = notes.keys(place, value, ("from", "to"), "'synthesis.collected'")
    try:
        first, last = (date.fromisoformat(str(said[end])) for end in ("from", "to"))
    except (KeyError, ValueError):
        notes.add("'synthesis.collected' needs the first and the last day of the collection", place,
                  'e.g. {from: "2024-01-01", to: "2024-12-31"}')
        return None
    if first > last:
        notes.add("the collection ends before it begins", place, "exchange `from` and `to` of 'synthesis.collected'")
        return None
    return first, last


def training(notes: Notes, settings: Settings, recipe: str) -> Training:
    """What the fit stage is told; ``recipe`` is the domain's default."""
    value, place = settings.get("training")
    base = Training(recipe=recipe)
    if value is None:
        return base
    found = notes.keys(place, value, ("recipe", "maxRows", "effort", "options"), "'synthesis.training'")
    recipe = found.get("recipe", base.recipe)
    if not isinstance(recipe, str):
        notes.add("'recipe' must be text", (*place, "recipe"), f"e.g. {base.recipe}")
        recipe = base.recipe
    rows = notes.number((*place, "maxRows"), found.get("maxRows", base.max_rows), "'maxRows'") or base.max_rows
    effort = notes.number((*place, "effort"), found.get("effort", base.effort), "'effort'") or 0.0
    if rows < 1 or rows != int(rows):
        notes.add("'maxRows' must be a whole number above 0", (*place, "maxRows"), "correct it")
    if not 0 < effort <= 100:
        notes.add("'effort' must be above 0 and at most 100", (*place, "effort"), "1 is the usual effort")
    options = found.get("options", {})
    if not isinstance(options, dict) or any(not isinstance(v, (str, bool, int, float)) for v in options.values()):
        notes.add("'options' must be a mapping of plain values", (*place, "options"), "see the recipe's options")
        options = {}
    return Training(recipe=recipe, max_rows=int(rows), effort=float(effort), options=tuple(options.items()),
                    line=notes.document.line(place))


def limits(notes: Notes, settings: Settings) -> tuple[Limit, ...]:
    """Changed gate limits. Which gates and keys exist is known to the gates, which check them."""
    value, place = settings.get("gates")
    if value is None:
        return ()
    changed = []
    form = "write `GATE: {KEY: {limit: NUMBER, reason: TEXT}}`"
    for gate, keys in value.items() if isinstance(value, dict) else ():
        for key, said in keys.items() if isinstance(keys, dict) else ():
            at = (*place, gate, key)
            found = notes.keys(at, said, ("limit", "reason"), f"limit {gate}.{key}") if isinstance(said, dict) else {}
            if not plain(found.get("reason")):
                notes.add(f"the changed limit {gate}.{key} has no reason", at, form + "; the report shows the reason")
            elif "limit" not in found:
                notes.add(f"the changed limit {gate}.{key} has no limit", at, form)
            elif (number := notes.number((*at, "limit"), found["limit"], f"limit {gate}.{key}")) is not None:
                changed.append(Limit(gate=gate, key=key, value=number, reason=plain(found["reason"]),
                                     line=notes.document.line(at)))
        if not isinstance(keys, dict):
            notes.add(f"the limits of gate {gate!r} must be a mapping", (*place, gate), form)
    if not isinstance(value, dict):
        notes.add("'synthesis.gates' must be a mapping", place, form)
    return tuple(changed)


def budget(notes: Notes, settings: Settings, *, shared: bool) -> Budget | None:
    """The differential-privacy budget; ``shared``: rows share entities. Delta is judged where units are counted."""
    value, place = settings.get("budget")
    if value is None:
        return None
    keys = ("epsilon", "delta", "unit", "contributions", "totalEpsilon", "totalDelta", "audit", "find")
    found = notes.keys(place, value, keys, "'synthesis.budget'")
    before = len(notes.problems)
    epsilon, delta = (notes.number((*place, k), found.get(k), f"{k!r} of the budget") for k in ("epsilon", "delta"))
    if epsilon is not None and delta is not None and (epsilon <= 0 or not 0 < delta < 1):
        notes.add("the budget needs epsilon above 0 and delta between 0 and 1", place,
                  "e.g. {epsilon: 3, delta: 1.0e-6}")
    unit = found.get("unit", Unit.ENTITY.value)
    if unit not in list(Unit):
        notes.add("unknown 'unit' of the budget", (*place, "unit"), f"write {' or '.join(Unit)}")
        unit = Unit.ENTITY.value
    most = found.get("contributions", 1)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        notes.add("'contributions' must be a whole number, 1 or more", (*place, "contributions"),
                  "say how many rows of one unit may be used at most")
    elif most > 1 and (unit == Unit.ROW or not shared):
        notes.add("more than one contribution of a unit that is a single row", (*place, "contributions"),
                  "remove it, or name the entity (`synthesis.entity`) and use unit entity")
    elif shared and unit == Unit.ENTITY and "contributions" not in found:
        notes.add("the budget does not say how many rows of one entity may be used", place,
                  "add `contributions: N`: an entity with more rows keeps N of them, drawn at random")
    if found.get("audit", "canaries") != "canaries":
        notes.add("unknown 'audit' of the budget", (*place, "audit"), "write canaries, or remove it")
    if not isinstance(found.get("find", False), bool):
        notes.add("'find' of the budget must be true or false", (*place, "find"),
                  "true: values and bounds that are not declared are found with noise, paid from the budget")
    total_epsilon, total_delta = _totals(notes, place, found, epsilon, delta)
    if len(notes.problems) > before or epsilon is None or delta is None:
        return None
    return Budget(epsilon=float(epsilon), delta=float(delta), unit=Unit(unit), contributions=most,
                  total_epsilon=total_epsilon, total_delta=total_delta, audit="audit" in found,
                  find=bool(found.get("find", False)), line=notes.document.line(place))


def _totals(notes: Notes, place: Place, found: dict[str, Any], epsilon: float | None, delta: float | None
            ) -> tuple[float | None, float | None]:
    """What all releases of the source may spend together; both or neither."""
    given = [key for key in ("totalEpsilon", "totalDelta") if key in found]
    if not given:
        return None, None
    if len(given) == 1:
        notes.add(f"the budget has {given[0]!r} alone", (*place, given[0]), "give totalEpsilon and totalDelta")
        return None, None
    first, second = (notes.number((*place, k), found[k], f"{k!r} of the budget") for k in given)
    if first is None or second is None or epsilon is None or delta is None:
        return None, None
    if first < epsilon or not delta <= second < 1:
        notes.add("the total of all releases is smaller than the budget of one, or its delta is 1 or more", place,
                  "raise totalEpsilon and totalDelta, or lower epsilon and delta")
    return float(first), float(second)


def constraints(notes: Notes, about: Settings) -> tuple[Constraint, ...]:
    """The constraints between columns."""
    value, place = about.get("constraints")
    if value is None:
        return ()
    if not isinstance(value, list):
        notes.add("'synthesis.constraints' must be a list", place, "start each constraint with `- `")
        return ()
    parsed = [_constraint(notes, item, (*place, i)) for i, item in enumerate(value)]
    return tuple(c for c in parsed if c is not None)


def _constraint(notes: Notes, item: Any, place: Place) -> Constraint | None:
    kinds = ("inequality", "fixedCombinations", "sum")
    found = notes.keys(place, item, kinds, "a constraint")
    line = notes.document.line(place)
    if len(found) != 1:
        if isinstance(item, dict) and len(found) > 1:
            notes.add("one entry holds two constraints", place, "give each constraint an entry of its own")
        elif isinstance(item, dict) and not item:
            notes.add("an empty constraint", place, f"use one of {', '.join(kinds)}")
        return None
    (kind, value), = found.items()
    at = (*place, kind)
    if kind == "fixedCombinations":
        names = notes.texts(at, value, "'fixedCombinations'")
        return FixedCombinations(columns=names, line=line) if names else None
    if kind == "sum":
        found = notes.keys(at, value, ("total", "parts"), "'sum'")
        parts = notes.texts((*at, "parts"), found.get("parts"), "'parts' of a sum")
        if not isinstance(found.get("total"), str):
            notes.add("a sum needs the name of its total", at, "write {total: a, parts: [b, c]}")
            return None
        return Sum(total=found["total"], parts=parts, line=line) if parts else None
    found = notes.keys(at, value, ("low", "high", "strict"), "'inequality'")
    low, high, strict = found.get("low"), found.get("high"), found.get("strict", False)
    if not isinstance(low, str) or not isinstance(high, str) or not isinstance(strict, bool):
        notes.add("an inequality needs two column names", at, "write {low: a, high: b} (strict: true for <)")
        return None
    return Inequality(low=low, high=high, strict=strict, line=line)
