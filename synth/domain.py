"""The plug of a domain, and the registry of plugs.

Adding a domain is a folder that provides these verbs and one line in :data:`_MODULES`. Nothing outside
this file asks for a domain by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from synth.contract import Contract
from synth.errors import UserError
from synth.progress import Progress

_MODULES = {"driving": "synth.driving.plug", "medical": "synth.medical.plug", "tabular": "synth.tabular.plug"}
_FALLBACK = "tabular"  # what data is taken for that no other domain recognises
BLOCKS = ("pixels", "traffic")  # of a contract, each for the domains that read it
RECIPES = {  # what trains where a contract names none
    "driving": "driving/likelihood", "medical": "medical/r3", "tabular": "tabular/conditional-gan"}


@dataclass(frozen=True)
class Examination:
    """What is wrong (``problems``: a run would be refused) and what a person should know (``notes``)."""

    problems: tuple[UserError, ...]
    notes: tuple[UserError, ...] = ()


class Domain(Protocol):
    """The verbs of the road. Folders are stage folders of a run; returns are value-free records.

    Every verb is a pure function of the contract, the folders it reads and the seed; it writes into
    ``out`` only. ``Evidence`` is whatever the domain's gates take.
    """

    name: str
    blocks: frozenset[str]  # the contract's optional blocks that this domain reads, e.g. "pixels"

    def ingest(self, contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
        """Read the private data against the contract into the domain's working form."""

    def split(self, contract: Contract, ingested: Path, out: Path, *, seed: int,
              earlier: Sequence[tuple[Path, Path]] = ()) -> dict[str, Any]:
        """Decide train, holdout and reference, disjoint by entity.

        ``earlier``: (ingest, split) folders of runs of the same source that were published. Where a domain can, who
        was held out by them is held out again.
        """

    def people(self, contract: Contract, ingested: Path, split: Path) -> tuple[str, dict[str, Any]]:
        """What is counted ("people", "rows", "images", ...), and names of those in each part, uint64 arrays.

        Names are the same whenever the same people come again. They are private: the ledger keys them.
        """

    def released(self, evidence: Any, folder: Path) -> Any:
        """What an earlier release (its folder, verified) holds, in the form of this evidence's synthetic set.

        A :class:`UserError` where the release cannot be read as this one.
        """

    def together(self, evidence: Any, released: Sequence[Any]) -> Any:
        """The evidence with earlier releases (what :meth:`released` gave) joined to the synthetic set."""

    def fit(self, contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
            progress: Progress) -> dict[str, Any]:
        """Train the generator on train only."""

    def generate(self, contract: Contract, ingested: Path, split: Path, fitted: Path, out: Path, *, seed: int,
                 progress: Progress) -> dict[str, Any]:
        """Draw the synthetic set (working form and the shards to publish)."""

    def evidence(self, contract: Contract, ingested: Path, split: Path, fitted: Path, generated: Path, *,
                 seed: int) -> Any:
        """What the gates look at."""

    def check(self, contract: Contract) -> list[UserError]:
        """All problems of the contract against its data, found without training."""

    def examine(self, contract: Contract, *, progress: Progress) -> Examination:
        """The same problems, and what would not stop a run but a person should know before it."""

    def table(self, contract: Contract, ingested: Path) -> tuple[Any, Any]:
        """(frame, schema) of the ingested data that the contract's expectations are run on.

        For a domain of files, this is the table that lists them.
        """

    def check_output(self, contract: Contract, out: Path) -> None:
        """A :class:`UserError` if ``sample`` or ``impute`` cannot write to ``out``, before anything is drawn."""

    def sample(self, contract: Contract, ingested: Path, fitted: Path, rows: int, out: Path, *, seed: int,
               where: Sequence[str], balance: str | None, progress: Progress) -> int:
        """Write more records from a kept model to ``out``, whole or not at all; returns their number."""

    def impute(self, contract: Contract, ingested: Path, fitted: Path, source: str, out: Path, *, seed: int,
               progress: Progress) -> int:
        """Write the records of ``source`` with what is missing drawn from the model; returns their number."""

    def recognises(self, source: str) -> bool:
        """True if a contract for this data should be of this domain (a look at names and suffixes, no content)."""

    def draft(self, source: str, name: str) -> str:
        """YAML of a first contract for the data, which shows no value of it."""

    def demo(self) -> Path:
        """Put the demo's data in place; returns the path of its contract."""


def domain(name: str) -> Domain:
    """The plug called ``name``; a :class:`UserError` lists the known ones otherwise."""
    if name not in _MODULES:
        raise UserError(f"unknown domain {name!r}", todo=f"known domains: {', '.join(sorted(_MODULES))}")
    plug: Domain = importlib.import_module(_MODULES[name]).PLUG
    return plug


def fitting(contract: Contract) -> Domain:
    """The plug for a contract; a :class:`UserError` if the contract lacks the plug's blocks or has another's."""
    plug = domain(contract.domain)
    for block in BLOCKS:
        given = getattr(contract, block) is not None
        if given != (block in plug.blocks):
            raise UserError(
                f"a contract of domain {contract.domain!r} " + ("does not have" if given else "needs") +
                f" 'synthesis.{block}'", where=str(contract.path),
                todo=f"remove it, or correct 'synthesis.domain' (domains: {', '.join(domains())})" if given
                else "add it; data_contracts/README.md describes it")
    return plug


def recognised(source: str) -> Domain:
    """The plug that drafts a contract for this data: the first that says it is its own, else the one for tables."""
    others = [domain(name) for name in domains() if name != _FALLBACK]
    return next((plug for plug in others if plug.recognises(source)), domain(_FALLBACK))


def domains() -> list[str]:
    """Names of the registered domains."""
    return sorted(_MODULES)


def demo_contract(name: str) -> Path:
    """The path of a contract that comes with a checkout of the source; :class:`UserError` outside of one."""
    contract = Path(__file__).resolve().parents[1] / "data_contracts" / name
    if not contract.is_file():
        raise UserError("the demo's contract is not there", where=str(contract),
                        todo="run the demo from a checkout of the source")
    return contract
