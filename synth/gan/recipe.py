"""A recipe is data: who plays, what they minimise, for how long. The one loop in :mod:`.trainer` runs it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import nn

from synth.errors import UserError
from synth.gan.objectives import OBJECTIVES
from synth.gan.penalties import PENALTIES


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """One stretch of training with fixed terms. Lengths are in generator steps of ``batch`` records."""

    name: str
    steps: int = 0  # 0: the domain derives it from the shape of the data
    batch: int = 500
    objective: str | None = None  # of OBJECTIVES; None: no critic in this phase
    adversarial: float = 1.0  # weight of the objective in the generator's loss
    likelihood: float = 0.0  # weight of the likelihood term in the generator's loss
    penalties: tuple[tuple[str, float], ...] = ()  # of PENALTIES, with weights
    critic_steps: int = 1  # critic steps before each generator step
    critic_lead: int = 0  # critic steps before the first generator step
    generator_rate: float = 2e-4
    critic_rate: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.9)
    decay: float = 0.0  # weight decay of the generator (AdamW)
    anneal: bool = False  # cosine to a twentieth of the rate
    average: float = 0.99  # decay of the weight average that is validated and released
    validate_every: int = 0  # steps between validations; 0: at the end only
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
        """The inverse of :meth:`to_json`."""
        phases = tuple(Phase(**{**p, "penalties": tuple((n, w) for n, w in p["penalties"]), "betas": tuple(p["betas"])})
                       for p in data["phases"])
        return cls(**{**data, "phases": phases, "settings": tuple((n, v) for n, v in data["settings"])})


def with_options(recipe: Recipe, options: tuple[tuple[str, float | str | bool], ...]) -> Recipe:
    """The recipe with fields replaced by name: a setting, ``pack``, or ``PHASE.FIELD``; checked."""
    phases = {phase.name: phase for phase in recipe.phases}
    settings = dict(recipe.settings)
    known = [*settings, "pack", *(f"{p}.{f}" for p in phases for f in _tunable())]
    for name, value in options:
        where, _, field = name.partition(".")
        if name in settings:
            settings[name] = _coerce(name, value, settings[name])
        elif name == "pack":
            recipe = dataclasses.replace(recipe, pack=_coerce(name, value, recipe.pack))
        elif where in phases and field in _tunable():
            current = getattr(phases[where], field)
            phases[where] = dataclasses.replace(phases[where], **{field: _coerce(name, value, current)})
        else:
            raise UserError(f"recipe {recipe.name!r} has no option {name!r}", todo=f"options: {', '.join(known)}")
    return dataclasses.replace(recipe, phases=tuple(phases.values()), settings=tuple(settings.items()))


def _tunable() -> tuple[str, ...]:
    fixed = ("name", "objective", "penalties", "betas", "validate_every")
    return tuple(f.name for f in dataclasses.fields(Phase) if f.name not in fixed)


def _coerce(name: str, value: Any, like: Any) -> Any:
    """``value`` with the type of ``like``; a :class:`UserError` if it cannot be meant."""
    if isinstance(like, bool) != isinstance(value, bool) or isinstance(like, str) != isinstance(value, str):
        raise UserError(f"option {name!r} must be a {type(like).__name__}")
    if isinstance(like, int) and not isinstance(like, bool) and value != int(value):
        raise UserError(f"option {name!r} must be a whole number")
    return type(like)(value)


def check(recipe: Recipe, critic: nn.Module | None) -> None:
    """Refuse, with the reason, a recipe that cannot work; all problems at once."""
    problems = []
    for phase in recipe.phases:
        where = f"recipe {recipe.name!r}, phase {phase.name!r}"
        if phase.objective is not None and phase.objective not in OBJECTIVES:
            problems.append(f"{where}: unknown objective {phase.objective!r} (known: {', '.join(OBJECTIVES)})")
        problems += [f"{where}: unknown penalty {name!r} (known: {', '.join(PENALTIES)})"
                     for name, _ in phase.penalties if name not in PENALTIES]
        if phase.objective is None and phase.likelihood <= 0:
            problems.append(f"{where}: neither an objective nor a likelihood, so there is nothing to learn from")
        if phase.objective is None and phase.penalties:
            problems.append(f"{where}: penalties on a critic that does not train")
        if phase.objective == "wasserstein" and not any(n == "gradient" for n, w in phase.penalties if w > 0):
            problems.append(f"{where}: a Wasserstein critic needs the gradient penalty,"
                            " or its scores grow without bound")
        if phase.objective is not None and critic is None:
            problems.append(f"{where}: an objective needs a critic")
        if phase.batch < 1 or phase.batch % recipe.pack:
            problems.append(f"{where}: the batch of {phase.batch} does not divide into packs of {recipe.pack}")
        if phase.steps < 1 or not 0 <= phase.average < 1:
            problems.append(f"{where}: steps must be positive and the average's decay in [0, 1)")
        if critic is not None and any(w > 0 for _, w in phase.penalties):
            mixing = sorted({type(m).__name__ for m in critic.modules()
                             if isinstance(m, nn.modules.batchnorm._BatchNorm)})
            if mixing:
                problems.append(f"{where}: a gradient penalty is defined per record, but {mixing[0]} in the critic"
                                " mixes the records of a batch; use LayerNorm or none")
    if problems:
        raise UserError("\n".join(problems))
