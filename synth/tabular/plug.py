"""The tabular domain's plug: the verbs of the road, each reading stage folders and writing one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.contract import Contract
from synth.domain import demo_contract
from synth.errors import UserError
from synth.progress import Progress, Silent
from synth.seeds import derive
from synth.workspace import scratch

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from synth.domain import Domain, Examination
    from synth.tabular.evidence import TableEvidence
    from synth.tabular.generator import TableGenerator
    from synth.tabular.schema import TableSchema

FRAME_ROWS = 50_000  # rows of a frame the gates hold in memory
SHARD_ROWS = 1_000_000
CHECKPOINT = "checkpoint"


class TabularPlug:
    """See :class:`synth.domain.Domain` for the verbs of the road."""

    name = "tabular"
    blocks: frozenset[str] = frozenset()

    def check(self, contract: Contract) -> list[UserError]:
        """The contract against its data, read once, without training."""
        from synth.tabular.check import check

        return check(contract)

    def examine(self, contract: Contract, *, progress: Progress) -> Examination:
        """The same, with remarks: few rows, a constant column, no target."""
        from synth.tabular.check import examine

        return examine(contract, progress=progress)

    def demo(self) -> Path:
        """Write the demo's table beside its contract."""
        from synth.tabular.demo import FOLDER, materialise

        contract = demo_contract("cps.yaml")
        materialise(contract.parent / FOLDER.name)
        return contract

    def ingest(self, contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
        """Read the private data against the contract into the working frame."""
        from synth.tabular.ingest import ingest

        return ingest(contract, out, progress=progress)

    def table(self, contract: Contract, ingested: Path) -> tuple[Iterator[pd.DataFrame], TableSchema]:
        """The whole working frame, in batches, and its schema."""
        from synth.tabular.stored import StoredTable

        stored = StoredTable.open(ingested)
        return stored.reader()(), stored.schema

    def split(self, contract: Contract, ingested: Path, out: Path, *, seed: int,
              earlier: Sequence[tuple[Path, Path]] = ()) -> dict[str, Any]:
        """Train, holdout and reference, disjoint by entity and stratified by the target; known people keep theirs."""
        from synth.tabular.people import known_parts
        from synth.tabular.stored import split_by_entity

        return split_by_entity(contract, ingested, out, seed, known_parts(ingested, earlier) if earlier else None)

    def people(self, contract: Contract, ingested: Path, split: Path) -> tuple[str, dict[str, np.ndarray]]:
        """By the entity key, or rows by what is in them."""
        from synth.tabular.people import people
        from synth.tabular.stored import StoredTable

        return people(StoredTable.open(ingested, split))

    def released(self, evidence: TableEvidence, folder: Path) -> pd.DataFrame:
        """The rows of an earlier release in the present working form."""
        from synth.tabular.union import released

        return released(evidence, folder)

    def together(self, evidence: TableEvidence, released: Sequence[pd.DataFrame]) -> TableEvidence:
        """The synthetic rows of earlier releases joined to the present ones."""
        from synth.tabular.union import together

        return together(evidence, released, FRAME_ROWS)

    def fit(self, contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
            progress: Progress) -> dict[str, Any]:
        """Train on train rows only, at most ``training.max_rows`` of them (whole entities, drawn at random)."""
        from synth.gan.weights import phases_shown
        from synth.tabular.generator import TableGenerator
        from synth.tabular.reshape import violations
        from synth.tabular.stored import StoredTable, sample_entities

        if contract.budget is not None:
            from synth.tabular.private import road

            return road.fit(contract, ingested, split, out, seed=seed, device=device, progress=progress)
        stored = StoredTable.open(ingested, split)
        entities, train = stored.entities(), stored.rows_of("train")
        chosen = sample_entities(entities, train, contract.training.max_rows, derive(seed, "training rows"))
        frame, owners = stored.read(chosen), entities[chosen]
        broken = violations(frame, stored.schema, contract.constraints)
        generator = TableGenerator.fit(
            frame, stored.schema, contract.constraints, training=contract.training, seed=derive(seed, "model"),
            device=device, progress=progress, checkpoint=out / CHECKPOINT, entities=owners, target=contract.target,
            conditions=contract.conditions, k=contract.k)
        generator.save(out / "model")
        (out / "history.json").write_text(json.dumps(generator.history) + "\n", encoding="utf-8")
        return {"rows": len(frame), "rows_available": int(train.sum()), "entities": len(np.unique(owners)),
                "sampled": len(frame) < int(train.sum()), "recipe": contract.training.recipe,
                "released_phase": generator.history.get("released"), "phases": phases_shown(generator.history),
                "constraints_broken_in_data": {line: round(count / len(frame), 3) for line, count in broken.items()}}

    def generate(self, contract: Contract, ingested: Path, split: Path, fitted: Path, out: Path, *, seed: int,
                 progress: Progress) -> dict[str, Any]:
        """Draw ``contract.rows`` rows (default: as many as train): working form and dressed shards, streamed."""
        from synth.tabular.export import dress, write_shards
        from synth.tabular.generator import TableGenerator
        from synth.tabular.stored import FrameWriter

        generator = TableGenerator.load(fitted / "model")
        rows = contract.rows or _rows(contract, ingested, split, fitted)
        batches = generator.sample_batches(rows, seed=derive(seed, "rows"), progress=progress)
        with FrameWriter(out / "synthetic.parquet", generator.schema) as writer:

            def tables() -> Iterator[pa.Table]:
                for frame in batches:
                    yield dress(frame, generator.schema, contract, seed=seed, start=writer.rows)
                    writer.write(frame)

            shards = write_shards(tables(), out, SHARD_ROWS)
        return {"rows": writer.rows, "shards": len(shards)}

    def evidence(self, contract: Contract, ingested: Path, split: Path, fitted: Path, generated: Path, *,
                 seed: int) -> TableEvidence:
        """Frames of at most :data:`FRAME_ROWS` rows (whole entities), with all rows behind ``batches``."""
        from synth.tabular.evidence import PARTS, TableEvidence
        from synth.tabular.stored import StoredTable, sample_entities

        stored = StoredTable.open(ingested, split)
        synthetic = StoredTable(generated / "synthetic.parquet", stored.schema)
        entities = stored.entities()
        frames, owners, totals, batches = {}, {}, {}, {}
        for part in PARTS:
            rows = stored.rows_of(part)
            chosen = sample_entities(entities, rows, FRAME_ROWS, derive(seed, "frame", part))
            frames[part], owners[part], totals[part] = stored.read(chosen), entities[chosen], int(rows.sum())
            batches[part] = stored.reader(rows)
        totals["synthetic"] = len(synthetic)
        everything = np.ones(len(synthetic), dtype=bool)
        drawn = sample_entities(np.arange(len(synthetic)), everything, FRAME_ROWS, derive(seed, "frame", "synthetic"))
        batches["synthetic"] = synthetic.reader()
        model = Released(fitted / "model")
        return TableEvidence(
            contract=contract, schema=stored.schema, train=frames["train"], holdout=frames["holdout"],
            reference=frames["reference"], synthetic=synthetic.read(drawn), entities=owners, seed=seed,
            sample_again=model.draw, likelihood=model.likelihood, totals=totals, batches=batches,
            scratch=scratch(generated, "judge"))

    def check_output(self, contract: Contract, out: Path) -> None:
        """The file must end in .parquet or .csv and its folder exist."""
        if out.suffix not in (".parquet", ".csv"):
            raise UserError("the file to write must end in .parquet or .csv", where=str(out), todo="change --out")
        if not out.absolute().parent.is_dir():
            raise UserError("there is no folder for the file to write", where=str(out), todo="make it, or change --out")

    def sample(self, contract: Contract, ingested: Path, fitted: Path, rows: int, out: Path, *, seed: int,
               where: Sequence[str] = (), balance: str | None = None, progress: Progress | None = None) -> int:
        """More rows of a trained model, dressed; conditions (texts, see ``conditions.GRAMMAR``) hold in all of them."""
        import pyarrow as pa

        from synth.tabular.conditions import parse
        from synth.tabular.export import dressed_batches, write_whole
        from synth.tabular.generator import TableGenerator

        generator = TableGenerator.load(fitted / "model")
        frames = generator.sample_batches(rows, seed=derive(seed, "rows"), where=parse(where, generator.schema),
                                          balance=balance, progress=progress or Silent())
        table = pa.concat_tables(list(dressed_batches(frames, generator.schema, contract, seed=seed)))
        write_whole(table, out)
        return int(table.num_rows)

    def impute(self, contract: Contract, ingested: Path, fitted: Path, source: str, out: Path, *, seed: int,
               progress: Progress | None = None) -> int:
        """The table of ``source`` with the missing cells of modelled columns filled, all others as printed."""
        from synth.tabular.export import write_whole
        from synth.tabular.fill import fill
        from synth.tabular.generator import TableGenerator

        with (progress or Silent()).step("filling missing cells", 1):
            table = fill(TableGenerator.load(fitted / "model"), contract, source, seed=seed)
        write_whole(table, out)
        return int(table.num_rows)

    def recognises(self, source: str) -> bool:
        """Anything: what is no table is refused when it is read."""
        return True

    def draft(self, source: str, name: str) -> str:
        """See :func:`synth.contract.draft.draft`."""
        from synth.contract.draft import draft

        return draft(source, name)


def _rows(contract: Contract, ingested: Path, split: Path, fitted: Path) -> int:
    """As many rows as train, or as the noisy count of them where a budget hides whether somebody is in it."""
    from synth.tabular.stored import StoredTable

    if contract.budget is not None:
        from synth.tabular.private import road

        return road.stored_rows(fitted)
    return int(StoredTable.open(ingested, split).rows_of("train").sum())


class Released:
    """The released model, loaded when a gate first asks: ``sample_again`` and ``likelihood`` of the evidence."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._generator: TableGenerator | None = None

    @property
    def generator(self) -> TableGenerator:
        """The generator, private."""
        if self._generator is None:
            from synth.tabular.generator import TableGenerator

            self._generator = TableGenerator.load(self.folder)
        return self._generator

    def draw(self, rows: int, seed: int) -> pd.DataFrame:
        """Fresh rows."""
        return self.generator.sample(rows, seed=seed)

    def likelihood(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Log-likelihood of rows, if the model has one."""
        return self.generator.log_likelihood(frame)


PLUG: Domain = TabularPlug()
