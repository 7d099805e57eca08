"""A recipe is data: who plays, what they minimise, for how long. The one loop in :mod:`.trainer` runs it.

What cannot work is refused by :mod:`.checks` before anything trains.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from synth.errors import UserError

Weights = tuple[tuple[str, float], ...]
RAMPS = ("rate", "penalty", "augment", "noise", "adversarial", "terms")  # the loop's own; players may offer more


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One stretch of training with fixed terms. Lengths are in generator steps of ``batch`` records.

    Images seen by a phase are its generator steps times ``batch``. A ramp is (what, from, to, images): a factor on
    a rate, the penalties, the probability of augmentation, the instance noise, the adversarial weight, the players'
    terms, or on what the players offer ("condition"), which goes from one value to the other along half a cosine
    within the phase's first ``images`` images and stays there.
    """

    name: str
    steps: int = 0  # 0: the domain derives it from the shape of the data
    batch: int = 500
    # ends the phase by the clock, for benchmarks at equal time; not reproducible. 0: no limit. On a processor these are
    # CPU seconds of a thread, so that a busy machine does not cost steps
    seconds: float = 0.0

    objective: str | None = None  # of OBJECTIVES; None: no critic in this phase
    adversarial: float = 1.0  # weight of the objective in the generator's loss
    smoothing: float = 0.0  # real records' target is 1 - smoothing (one-sided; Salimans et al. 2016)
    likelihood: float = 0.0  # weight of the likelihood term in the generator's loss
    terms: Weights = ()  # of the players, in the generator's loss
    critic_terms: Weights = ()  # of the players, in the critic's loss
    penalties: Weights = ()  # of PENALTIES, with weights
    penalty_every: int = 1  # critic steps between penalties, whose weight is multiplied by as much (lazy)
    clip: float = 0.0  # bound of every weight of the critic after each of its steps (WGAN); 0: none
    critic_steps: int = 1  # critic steps before each generator step
    critic_lead: int = 0  # critic steps before the first generator step

    generator_rate: float = 2e-4
    critic_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.9)
    decay: float = 0.0  # weight decay of the generator (AdamW)
    anneal: bool = False  # cosine to a twentieth of the rate
    ramps: tuple[tuple[str, float, float, int], ...] = ()

    augment: tuple[str, ...] = ()  # operations of OPERATIONS on what the critic sees, real and generated alike
    augment_probability: float = 1.0  # of each operation on each record; with a target, where it starts from
    augment_target: float = 0.0  # adaptive (ADA): the sign statistic aimed at, e.g. .6; 0: fixed (DiffAugment)
    augment_speed: int = 500_000  # images within which the adaptive probability could go from 0 to 1
    noise: float = 0.0  # standard deviation of the noise on what the critic sees (instance noise)

    average: float = 0.99  # decay a step of the weight average that is validated and released
    half_life: float = 0.0  # of that average in images, at most a twentieth of those seen; 0: ``average``
    precision: str = "float32"  # or "bfloat16": autocast of both networks
    penalty_precision: str = "float32"  # or "bfloat16"
    channels_last: bool = False  # memory format of both networks and of what the critic sees

    validate_every: int = 0  # steps between validations; 0: at the end only
    watch_every: int = 0  # steps between calls of the players' ``watch``; 0: with each validation
    patience: int = 0  # validations without a gain before the phase ends (and every half of it, half the rate); 0: none


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A named sequence of phases for one kind of players."""

    name: str
    players: str  # which generator and critic the domain builds
    phases: tuple[Phase, ...]
    pack: int = 1  # records the critic sees together (PacGAN, Lin et al. 2018)
    select: str = "validation"  # "validation": the last phase that did not cost validation loss; "last": the last
    settings: tuple[tuple[str, float | str | bool], ...] = ()  # for the domain's networks, by name

    def setting(self, name: str) -> Any:
        """A network setting by name; ``KeyError`` if the recipe has none such."""
        return dict(self.settings)[name]

    @property
    def adversarial(self) -> bool:
        """True if a critic trains in some phase."""
        return any(phase.objective is not None for phase in self.phases)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """The inverse of :meth:`to_json`; fields that the data does not have take their defaults."""
        phases = tuple(Phase(**{name: _frozen(value) for name, value in phase.items()}) for phase in data["phases"])
        return cls(**{**data, "phases": phases, "settings": _frozen(data["settings"])})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value


def with_options(recipe: Recipe, options: tuple[tuple[str, float | str | bool], ...]) -> Recipe:
    """The recipe with fields replaced by name: a setting, ``pack``, ``PHASE.FIELD``, or ``PHASE.PENALTY`` and
    ``PHASE.TERM`` for a weight; a :class:`UserError` if there is no such option."""
    phases = {phase.name: phase for phase in recipe.phases}
    settings = dict(recipe.settings)
    known = [*settings, "pack", *(f"{n}.{f}" for n, p in phases.items() for f in (*_tunable(), *_weights(p)))]
    for name, value in options:
        where, _, field = name.partition(".")
        if name in settings:
            settings[name] = _coerce(name, value, settings[name])
        elif name == "pack":
            recipe = dataclasses.replace(recipe, pack=_coerce(name, value, recipe.pack))
        elif where in phases and field in _tunable():
            current = getattr(phases[where], field)
            phases[where] = dataclasses.replace(phases[where], **{field: _coerce(name, value, current)})
        elif where in phases and field in (weights := _weights(phases[where])):
            group = weights[field]
            named: dict[str, float] = dict(getattr(phases[where], group)) | {field: _coerce(name, value, 1.0)}
            replaced: dict[str, Any] = {group: tuple(named.items())}
            phases[where] = dataclasses.replace(phases[where], **replaced)
        else:
            raise UserError(f"recipe {recipe.name!r} has no option {name!r}", todo=f"options: {', '.join(known)}")
    return dataclasses.replace(recipe, phases=tuple(phases.values()), settings=tuple(settings.items()))


def _tunable() -> tuple[str, ...]:
    fixed = ("name", "objective", "penalties", "betas", "validate_every", "terms", "critic_terms", "ramps", "augment")
    return tuple(f.name for f in dataclasses.fields(Phase) if f.name not in fixed)


def _weights(phase: Phase) -> dict[str, str]:
    """The names whose weight a phase states, and the field that states it."""
    return {name: field for field in ("critic_terms", "terms", "penalties") for name, _ in getattr(phase, field)}


def _coerce(name: str, value: Any, like: Any) -> Any:
    """``value`` with the type of ``like``; a :class:`UserError` if it cannot be meant."""
    if isinstance(like, bool) != isinstance(value, bool) or isinstance(like, str) != isinstance(value, str):
        raise UserError(f"option {name!r} must be a {type(like).__name__}")
    if isinstance(like, int) and not isinstance(like, bool) and value != int(value):
        raise UserError(f"option {name!r} must be a whole number")
    return type(like)(value)
