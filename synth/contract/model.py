"""What a contract says, as frozen typed objects. Parsed by :mod:`synth.contract.load`, used everywhere.

The user writes an Open Data Contract Standard v3.1 file; what synthesis needs stands in its
``customProperties`` as ``synthesis.*``. Defaults live here, beside the fields they belong to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.contract.pixels import Pixels
    from synth.contract.traffic import Traffic

DEFAULT_K = 10  # entities; a contract that goes lower says why


class Role(StrEnum):
    """How a column is treated by the generator and the gates."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    ORDINAL = "ordinal"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    IDENTIFIER = "identifier"
    TEXT = "text"

    @property
    def is_number(self) -> bool:
        """Held as float64 in the working frame (datetimes as counts of their unit since 1970)."""
        return self in (Role.NUMERIC, Role.DATETIME)


class Privacy(StrEnum):
    """Privacy class of a column."""

    DIRECT = "direct"  # names a person by itself: never reaches the model
    QUASI = "quasi"  # names a person together with others
    SENSITIVE = "sensitive"  # what an attacker wants to learn
    NONE = "none"


class Task(StrEnum):
    """The downstream task of the target."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class Attacks(StrEnum):
    """How hard the leakage gate attacks."""

    QUICK = "quick"
    RELEASE = "release"  # shadow models, of tables a hundred draws from the kept model: up to an hour more


class IdentifierPolicy(StrEnum):
    """What becomes of an identifier or free-text column in the synthetic table."""

    DROP = "drop"
    GENERATE = "generate"  # replaced by faker values unrelated to any row


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    role: Role
    privacy: Privacy = Privacy.NONE
    required: bool = False  # no missing cells allowed
    unique: bool = False
    description: str = ""
    minimum: float | str | None = None  # declared bounds; ISO text for datetimes
    maximum: float | str | None = None
    bounds_confirmed: bool = True  # False in a draft: a person must confirm, `synth run` refuses
    decimals: int | None = None  # declared printed precision; None = as found in the source
    whole: bool = False  # the standard's logical type is integer
    values: tuple[str, ...] | None = None  # closed vocabulary (ordinal: in this order); None = learned, folded at k
    missing_codes: tuple[str, ...] = ()  # texts that mean "missing" besides the empty cell
    datetime_format: str | None = None  # strptime format of text dates; None = ISO 8601
    generate: IdentifierPolicy = IdentifierPolicy.DROP
    faker: str | None = None  # faker provider for GENERATE, e.g. "name", "uuid4"
    protected: bool = False  # bias and subgroup figures are reported for it
    tag: str | None = None  # where files carry their own facts: the DICOM keyword it is read from, e.g. PatientSex
    line: int = 0  # line in the contract file, for messages

    @property
    def digits(self) -> int | None:
        """Digits after the point, as far as the contract alone says."""
        return 0 if self.decimals is None and self.whole else self.decimals

    @property
    def modelled(self) -> bool:
        """True if the generator sees the column."""
        return self.role not in (Role.IDENTIFIER, Role.TEXT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inequality:
    """``low <= high`` in every row (``strict``: ``<``) where both are present."""

    low: str
    high: str
    strict: bool = False
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedCombinations:
    """Only combinations of these columns that occur in train (with at least k entities) may be released."""

    columns: tuple[str, ...]
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sum:
    """``total = sum(parts)`` in every row where all are present, to the total's printed precision."""

    total: str
    parts: tuple[str, ...]
    line: int = 0


Constraint = Inequality | FixedCombinations | Sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """One gate limit that the contract changed from its default, with the reason the report shows."""

    gate: str
    key: str
    value: float
    reason: str
    line: int = 0


class Unit(StrEnum):
    """Whose presence in the table a privacy budget hides."""

    ENTITY = "entity"  # all rows of a person, household, driver
    ROW = "row"  # one row, however many a person has


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Differential-privacy budget of one release, for adding or removing one ``unit``.

    ``contributions`` is the most rows of one unit that are used; the rest are left out, at random.
    ``total_epsilon`` and ``total_delta`` bound all releases of the same source together (the ledger keeps
    count of them); ``None`` where the contract names no total.
    """

    epsilon: float
    delta: float
    unit: Unit = Unit.ENTITY
    contributions: int = 1
    total_epsilon: float | None = None
    total_delta: float | None = None
    audit: bool = False  # plant canaries in a measurement that is thrown away, and say what guessing them shows
    find: bool = False  # values and bounds that are not declared are found with noise, from this budget
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Approver:
    """A person whose signature can make a release visible."""

    name: str
    key: str  # name of their public key, sha256:<hex>


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """A finding that does not pass, and that a person takes upon themselves until a day."""

    finding: str  # its id
    name: str  # of the person
    reason: str
    expires: date  # the last day on which it holds
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Shares of entities in the three disjoint parts."""

    train: float = 0.6
    holdout: float = 0.2
    reference: float = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What the fit stage may be told by a contract."""

    recipe: str = "tabular/conditional-gan"  # a parsed contract has its domain's default (synth.domain.RECIPES)
    max_rows: int = 200_000  # training sample of a larger table, stated in the report
    effort: float = 1.0  # scales the number of training steps
    options: tuple[tuple[str, float | str | bool], ...] = ()  # recipe options by name, checked by the recipe
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """A parsed contract. ``digest`` is the SHA-256 of the file's bytes."""

    name: str
    version: str
    domain: str
    path: Path
    digest: str
    description: str
    source: str  # path, glob or fsspec URL of the data, resolved against the contract's folder
    source_options: tuple[tuple[str, str], ...] = ()  # e.g. delimiter, encoding
    columns: tuple[Column, ...]
    entity: str | None = None  # column that names the entity (person, household); None: every row is one
    target: str | None = None
    task: Task | None = None
    conditions: tuple[str, ...] = ()  # columns users will condition on
    constraints: tuple[Constraint, ...] = ()
    k: int = DEFAULT_K  # smallest number of entities behind a category or a published count
    k_reason: str = ""  # why k is below its default; shown in the report
    split: Split = field(default_factory=Split)
    training: Training = field(default_factory=Training)
    limits: tuple[Limit, ...] = ()
    rows: int | None = None  # synthetic rows to release; None: as many as train
    budget: Budget | None = None
    attacks: Attacks = Attacks.QUICK
    max_attempts: int = 3  # trainings counted against this contract digest before a person must act
    retention_until: date | None = None
    source_name: str | None = None  # declared name of the source whose ledger counts its releases
    approvals: int = 0  # signatures of people that a release needs before it is visible
    approvers: tuple[Approver, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    reviewers: tuple[str, ...] = ()
    licence: str = ""
    purpose: str = ""
    legal_basis: str = ""  # why the data may be used for this, in the words of whoever answers for it
    collected: tuple[date, date] | None = None  # first and last day of the collection
    pixels: Pixels | None = None  # for domains of images
    traffic: Traffic | None = None  # for domains of recorded traffic
    raw: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # ODCS document as parsed

    def column(self, name: str) -> Column:
        """The column called ``name``; ``KeyError`` if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def ledger(self) -> str:
        """The name of the ledger that counts this contract's releases."""
        return self.source_name or self.name

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns the generator sees, in contract order."""
        return tuple(c for c in self.columns if c.modelled)

    def limit(self, gate: str, key: str, default: float) -> float:
        """The limit in force: the contract's if it set one, else ``default``."""
        for limit in self.limits:
            if (limit.gate, limit.key) == (gate, key):
                return limit.value
        return default
