"""The driving domain's plug: the verbs of the road for recorded traffic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract import Contract
from synth.domain import demo_contract
from synth.progress import Progress
from synth.records.plug import RecordsPlug
from synth.seeds import derive

if TYPE_CHECKING:
    from synth.domain import Domain, Examination
    from synth.driving.evidence import SceneEvidence
    from synth.driving.generator import SceneGenerator
    from synth.driving.scenes import Scenes
    from synth.driving.stored import StoredScenes
    from synth.records.union import Listing
    from synth.tabular.schema import TableSchema

CHECKPOINTS = "checkpoints"


class DrivingPlug(RecordsPlug):
    """See :class:`synth.domain.Domain` for the verbs of the road."""

    name = "driving"
    blocks: frozenset[str] = frozenset({"traffic"})
    records = "scenes"
    cap = 12_000

    def recognises(self, source: str) -> bool:
        """Recordings in one of the formats that are read, by names of files and columns."""
        from synth.driving.draft import recognises

        return recognises(source)

    def draft(self, source: str, name: str) -> str:
        """See :func:`synth.driving.draft.draft`."""
        from synth.driving.draft import draft

        return draft(source, name)

    def examine(self, contract: Contract, *, progress: Progress) -> Examination:
        """The recordings are read and cut, as a run does it."""
        from synth.driving.check import examine

        return examine(contract, progress=progress)

    def demo(self) -> Path:
        """Drive the motorways beside their contract."""
        from synth.driving.demo import FOLDER, materialise

        contract = demo_contract("motorway.yaml")
        materialise(contract.parent / FOLDER.name)
        return contract

    def ingest(self, contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
        """Read the recordings and cut, label and store scenes and their listing."""
        from synth.driving.ingest import ingest

        return ingest(contract, out, progress=progress)

    def stored(self, ingested: Path, split: Path | None = None) -> StoredScenes:
        from synth.driving.stored import StoredScenes

        return StoredScenes.open(ingested, split)

    def traces(self, stored: StoredScenes) -> NDArray[np.floating]:
        return stored.states

    def read(self, stored: StoredScenes, rows: NDArray[np.bool_]) -> Scenes:
        return stored.scenes(rows)

    def fit(self, contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
            progress: Progress) -> dict[str, Any]:
        """Train on train alone; with a budget, on drives of headers that were measured of it with noise."""
        if contract.budget is not None:
            from synth.driving.private import road

            return road.fit(contract, ingested, split, out, seed=seed, device=device, progress=progress,
                            checkpoints=out / CHECKPOINTS)
        return super().fit(contract, ingested, split, out, seed=seed, device=device, progress=progress)

    def train(self, records: Scenes, stored: StoredScenes, contract: Contract, out: Path, *, seed: int, device: str,
              progress: Progress) -> SceneGenerator:
        from synth.driving.generator import SceneGenerator

        return SceneGenerator.fit(records, stored.schema, contract, seed=seed, device=device, progress=progress,
                                  checkpoints=out / CHECKPOINTS)

    def load(self, model: Path) -> SceneGenerator:
        from synth.driving.generator import SceneGenerator

        return SceneGenerator.load(model)

    def scores(self, generator: SceneGenerator, records: Scenes) -> NDArray[np.float64]:
        return generator.scores(records)

    def keep(self, folder: Path, records: Scenes, generator: SceneGenerator, schema: TableSchema) -> None:
        from synth.driving.stored import write_scenes

        write_scenes(folder, records, generator.listing)

    def kept(self, folder: Path, schema: TableSchema) -> Scenes:
        from synth.driving.stored import read_scenes

        return read_scenes(folder, schema)

    def write(self, records: Scenes, generator: SceneGenerator, schema: TableSchema, contract: Contract, folder: Path,
              *, seed: int, progress: Progress) -> int:
        from synth.driving.files.write import write_scenes
        from synth.tabular.export import dress

        table = dress(records.table, generator.listing, contract, seed=seed)
        return write_scenes(folder / "train", records, table, contract, seed=derive(seed, "files"), progress=progress)

    def reread(self, evidence: SceneEvidence, folder: Path, listing: Listing) -> Scenes:
        from synth.driving.reread import reread

        return reread(evidence, folder, listing)

    def joined(self, several: Sequence[Scenes]) -> Scenes:
        from synth.driving.scenes import joined

        return joined(*several)

    def evidence(self, contract: Contract, ingested: Path, split: Path, fitted: Path, generated: Path, *,
                 seed: int) -> SceneEvidence:
        """At most :attr:`cap` scenes a part (whole groups)."""
        from synth.driving.evidence import SceneEvidence

        return SceneEvidence(**self.seen(contract, ingested, split, fitted, generated, seed=seed))


PLUG: Domain = DrivingPlug()
