"""The medical domain's plug: the verbs of the road for a set of images."""

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
    from synth.medical.evidence import ImageEvidence, Images
    from synth.medical.generator import ImageGenerator
    from synth.medical.stored import StoredImages
    from synth.records.union import Listing
    from synth.tabular.schema import TableSchema

CHECKPOINTS = "checkpoints"


class MedicalPlug(RecordsPlug):
    """See :class:`synth.domain.Domain` for the verbs of the road."""

    name = "medical"
    blocks: frozenset[str] = frozenset({"pixels"})
    records = "images"
    cap = 6_000

    def recognises(self, source: str) -> bool:
        """A folder of images, by the names of its files."""
        from synth.medical.draft import recognises

        return recognises(source)

    def draft(self, source: str, name: str) -> str:
        """See :func:`synth.medical.draft.draft`."""
        from synth.medical.draft import draft

        return draft(source, name)

    def examine(self, contract: Contract, *, progress: Progress) -> Examination:
        """Paths, listing and headers are read, and a sample of the images."""
        from synth.medical.check import examine

        return examine(contract, progress=progress)

    def demo(self) -> Path:
        """Build the hospital of phantoms beside its contract."""
        from synth.medical.demo import FOLDER, materialise

        contract = demo_contract("phantoms.yaml")
        materialise(contract.parent / FOLDER.name)
        return contract

    def ingest(self, contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
        """Read, de-identify, resize and store the images and their listing."""
        from synth.medical.ingest import ingest

        return ingest(contract, out, progress=progress)

    def stored(self, ingested: Path, split: Path | None = None) -> StoredImages:
        from synth.medical.stored import StoredImages

        return StoredImages.open(ingested, split)

    def traces(self, stored: StoredImages) -> NDArray[np.uint16]:
        return stored.pixels

    def read(self, stored: StoredImages, rows: NDArray[np.bool_]) -> Images:
        return stored.images(rows)

    def fit(self, contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
            progress: Progress) -> dict[str, Any]:
        """Train on train alone; with a budget, on what was measured of it with noise."""
        if contract.budget is not None:
            from synth.medical.private import road

            return road.fit(contract, ingested, split, out, seed=seed, device=device, progress=progress)
        return super().fit(contract, ingested, split, out, seed=seed, device=device, progress=progress)

    def train(self, records: Images, stored: StoredImages, contract: Contract, out: Path, *, seed: int, device: str,
              progress: Progress) -> ImageGenerator:
        from synth.medical.generator import ImageGenerator

        return ImageGenerator.fit(
            records, stored.schema, contract, stored.intensity, stored.spacing, seed=seed, device=device,
            progress=progress, checkpoints=out / CHECKPOINTS, grids=out / "grids")

    def load(self, model: Path) -> ImageGenerator:
        from synth.medical.generator import ImageGenerator

        return ImageGenerator.load(model)

    def scores(self, generator: ImageGenerator, records: Images) -> NDArray[np.float64]:
        return generator.model.critic_scores(records)

    def keep(self, folder: Path, records: Images, generator: ImageGenerator, schema: TableSchema) -> None:
        from synth.medical.stored import write_images

        write_images(folder, records, generator.listing.schema, generator.intensity)

    def kept(self, folder: Path, schema: TableSchema) -> Images:
        from synth.medical.stored import read_images

        return read_images(folder, schema)

    def write(self, records: Images, generator: ImageGenerator, schema: TableSchema, contract: Contract, folder: Path,
              *, seed: int, progress: Progress) -> int:
        from synth.medical.files.write import write_set
        from synth.tabular.export import dress

        assert contract.pixels is not None
        table = dress(records.table, generator.listing.schema, contract, seed=seed)
        tags = {column.name: column.tag for column in contract.modelled if column.tag is not None}
        return write_set(folder / "train", records.pixels, records.masks, table, generator.intensity, contract.pixels,
                         seed=derive(seed, "files"), progress=progress, spacing=generator.spacing, tags=tags)

    def reread(self, evidence: ImageEvidence, folder: Path, listing: Listing) -> Images:
        from synth.medical.reread import reread

        return reread(evidence, folder, listing)

    def joined(self, several: Sequence[Images]) -> Images:
        from synth.medical.reread import joined

        return joined(several)

    def evidence(self, contract: Contract, ingested: Path, split: Path, fitted: Path, generated: Path, *,
                 seed: int) -> ImageEvidence:
        """At most :attr:`cap` images a part (whole patients)."""
        from synth.medical.evidence import ImageEvidence
        from synth.medical.stored import load_intensity

        return ImageEvidence(intensity=load_intensity(ingested),
                             **self.seen(contract, ingested, split, fitted, generated, seed=seed))


PLUG: Domain = MedicalPlug()
