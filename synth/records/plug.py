"""The verbs of the road for records with a listing, in the terms of a few that a domain provides."""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.contract import Contract
from synth.errors import UserError
from synth.progress import Progress, Silent
from synth.seeds import derive
from synth.workspace import scratch

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from synth.domain import Examination
    from synth.records.stored import StoredRecords
    from synth.records.union import Listing
    from synth.tabular.schema import TableSchema


class RecordsPlug(ABC):
    """See :class:`synth.domain.Domain` for the verbs of the road. Heavy imports wait until a verb needs them."""

    records: str  # what they are called, e.g. "images"
    cap: int  # records of a part that the gates hold in memory

    # -- what a domain provides ---------------------------------------------------------------------------

    @abstractmethod
    def examine(self, contract: Contract, *, progress: Progress) -> Examination:
        """Problems of contract and data, and what a person should know before a run."""

    @abstractmethod
    def stored(self, ingested: Path, split: Path | None = None) -> StoredRecords:
        """The records of an ingest folder, with the parts of a split folder."""

    @abstractmethod
    def read(self, stored: Any, rows: NDArray[np.bool_]) -> Any:
        """The records under a mask, in memory."""

    @abstractmethod
    def train(self, records: Any, stored: Any, contract: Contract, out: Path, *, seed: int, device: str,
              progress: Progress) -> Any:
        """A generator of such records; checkpoints go into ``out``."""

    @abstractmethod
    def load(self, model: Path) -> Any:
        """The generator that was saved in a folder."""

    @abstractmethod
    def scores(self, generator: Any, records: Any) -> NDArray[np.float64]:
        """A private score of each record by what stays with the generator."""

    @abstractmethod
    def keep(self, folder: Path, records: Any, generator: Any, schema: TableSchema) -> None:
        """Write drawn records in the working form; ``schema`` is the ingested listing's."""

    @abstractmethod
    def kept(self, folder: Path, schema: TableSchema) -> Any:
        """What :meth:`keep` wrote."""

    @abstractmethod
    def write(self, records: Any, generator: Any, schema: TableSchema, contract: Contract, folder: Path, *, seed: int,
              progress: Progress) -> int:
        """Files and listing into ``folder`` in the contract's release formats; returns the number of files."""

    @abstractmethod
    def reread(self, evidence: Any, folder: Path, listing: Listing) -> Any:
        """Records of an earlier release, whose files are in ``folder``.

        :class:`UserError` if they are not of the present contract's form.
        """

    @abstractmethod
    def joined(self, several: Sequence[Any]) -> Any:
        """The records of several sets in one."""

    @abstractmethod
    def traces(self, stored: Any) -> NDArray[Any]:
        """The array, records first, by whose bytes the same record is known again in another run."""

    # -- the verbs ----------------------------------------------------------------------------------------

    def check(self, contract: Contract) -> list[UserError]:
        """The contract against its data, without training."""
        return list(self.examine(contract, progress=Silent()).problems)

    def table(self, contract: Contract, ingested: Path) -> tuple[Iterator[pd.DataFrame], TableSchema]:
        """The listing, in batches, and its schema."""
        from synth.tabular.stored import StoredTable

        stored = StoredTable.open(ingested)
        return stored.reader()(), stored.schema

    def people(self, contract: Contract, ingested: Path, split: Path) -> tuple[str, dict[str, NDArray[np.uint64]]]:
        """Records by what is in them, since what links them to a person differs from one ingest to the next."""
        from synth.records.union import names
        from synth.tabular.evidence import PARTS

        stored = self.stored(ingested, split)
        found = names(self.traces(stored))
        return self.records, {part: found[stored.rows_of(part)] for part in PARTS}

    def released(self, evidence: Any, folder: Path) -> Any:
        """At most ``cap`` records of an earlier release, read back from its files."""
        from synth.records.union import DATA, listed

        return self.reread(evidence, folder / DATA, listed(evidence, folder, self.cap))

    def together(self, evidence: Any, released: Sequence[Any]) -> Any:
        """The records of earlier releases joined to the present ones; at most ``cap`` of all."""
        from synth.records.union import attacked

        total = evidence.total("synthetic") + sum(len(records) for records in released)
        return attacked(evidence, self.joined([evidence.synthetic, *released]), total, self.cap)

    def split(self, contract: Contract, ingested: Path, out: Path, *, seed: int,
              earlier: Sequence[tuple[Path, Path]] = ()) -> dict[str, Any]:
        """Train, holdout and reference, disjoint by entity; records known from earlier runs keep their part."""
        from synth.records.union import names
        from synth.tabular.people import known_parts
        from synth.tabular.stored import split_by_entity

        before = known_parts(ingested, earlier, lambda folder: (
            self.records, names(self.traces(self.stored(folder))))) if earlier else None
        return split_by_entity(contract, ingested, out, seed, before)

    def fit(self, contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
            progress: Progress) -> dict[str, Any]:
        """Train on train alone, at most ``training.max_rows`` records of it (whole entities, drawn at random)."""
        from synth.gan.weights import phases_shown
        from synth.tabular.stored import sample_entities

        stored = self.stored(ingested, split)
        train = stored.rows_of("train")
        chosen = sample_entities(stored.entities(), train, contract.training.max_rows, derive(seed, "training rows"))
        records = self.read(stored, chosen)
        generator = self.train(records, stored, contract, out, seed=derive(seed, "model"), device=device,
                               progress=progress)
        generator.save(out / "model")
        history = generator.history
        (out / "history.json").write_text(json.dumps(history) + "\n", encoding="utf-8")
        return {"rows": len(records), "rows_available": int(train.sum()),
                "entities": len(np.unique(records.entities)), "sampled": len(records) < int(train.sum()),
                "recipe": contract.training.recipe, "released_phase": history.get("released"),
                "parameters": history.get("parameters"), "phases": phases_shown(history)}

    def generate(self, contract: Contract, ingested: Path, split: Path, fitted: Path, out: Path, *, seed: int,
                 progress: Progress) -> dict[str, Any]:
        """Draw ``contract.rows`` records (default: as many as train): working form, and the files to publish."""
        generator, stored = self.load(fitted / "model"), self.stored(ingested, split)
        rows = contract.rows or self.rows_to_release(stored, fitted)
        records = generator.draw(rows, seed=derive(seed, "rows"), progress=progress)
        self.keep(out / "synthetic", records, generator, stored.schema)
        files = self.write(records, generator, stored.schema, contract, out / "data", seed=seed, progress=progress)
        return {"rows": rows, "shards": 1, "files": files}

    def rows_to_release(self, stored: Any, fitted: Path) -> int:
        """How many records a contract that does not say gets: as many as train, or as the noisy count of them where a
        budget hides whether somebody is in it."""
        from synth.records.budget import kept_count

        noisy = kept_count(fitted, self.records)
        return int(stored.rows_of("train").sum()) if noisy is None else noisy

    def seen(self, contract: Contract, ingested: Path, split: Path, fitted: Path, generated: Path, *,
             seed: int) -> dict[str, Any]:
        """The fields of :class:`~synth.records.evidence.RecordsEvidence`: at most ``cap`` records a part."""
        from synth.records.evidence import SYNTHETIC
        from synth.tabular.evidence import PARTS
        from synth.tabular.stored import sample_entities

        stored = self.stored(ingested, split)
        entities, parts, totals = stored.entities(), {}, {}
        for part in PARTS:
            rows = stored.rows_of(part)
            parts[part] = self.read(stored, sample_entities(entities, rows, self.cap, derive(seed, "sample", part)))
            totals[part] = int(rows.sum())
        synthetic = self.kept(generated / "synthetic", stored.schema)
        totals[SYNTHETIC] = len(synthetic)
        drawn = sample_entities(synthetic.entities, np.ones(len(synthetic), dtype=bool), self.cap,
                                derive(seed, "sample", SYNTHETIC))
        model = Released(self, fitted / "model")
        return {"contract": contract, "schema": stored.schema, "synthetic": synthetic.take(drawn), "seed": seed,
                "shards": generated / "data", "critic": model.scores, "sample_again": model.draw,
                "scratch": scratch(generated, "judge"), "totals": totals, **parts}

    def check_output(self, contract: Contract, out: Path) -> None:
        """A folder that is not there yet, or is empty, in a folder that is."""
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"the folder for the {self.records} is not empty", where=str(out),
                            todo="name a new one with --out")
        if not out.absolute().parent.is_dir():
            raise UserError(f"there is no folder to make the {self.records}' folder in", where=str(out),
                            todo="make it, or change --out")

    def sample(self, contract: Contract, ingested: Path, fitted: Path, rows: int, out: Path, *, seed: int,
               where: Sequence[str] = (), balance: str | None = None, progress: Progress | None = None) -> int:
        """More records into the folder ``out``; conditions hold in every row of its listing."""
        generator = self.load(fitted / "model")
        records = generator.draw(rows, seed=derive(seed, "rows"), where=where, balance=balance, progress=progress)
        temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        try:
            self.write(records, generator, self.stored(ingested).schema, contract, temporary, seed=seed,
                       progress=progress or Silent())
            if out.is_dir():
                out.rmdir()
            os.replace(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return rows

    def impute(self, contract: Contract, ingested: Path, fitted: Path, source: str, out: Path, *, seed: int,
               progress: Progress | None = None) -> int:
        """Missing cells are a matter of tables."""
        raise UserError(f"a set of {self.records} has no missing cells to fill",
                        todo=f"`synth sample RUN --where ...` draws {self.records} under conditions")


class Released:
    """The released model, loaded when a gate first asks."""

    def __init__(self, plug: RecordsPlug, folder: Path) -> None:
        self.plug, self.folder = plug, folder
        self._generator: Any = None

    @property
    def generator(self) -> Any:
        """The generator, private."""
        if self._generator is None:
            self._generator = self.plug.load(self.folder)
        return self._generator

    def scores(self, records: Any) -> NDArray[np.float64]:
        """See :meth:`RecordsPlug.scores`."""
        return self.plug.scores(self.generator, records)

    def draw(self, rows: int, seed: int) -> Any:
        """Fresh records."""
        return self.generator.draw(rows, seed=seed)
