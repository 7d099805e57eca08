"""The medical domain's plug: the verbs of the road for a set of images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.contract import Contract
from synth.errors import UserError
from synth.progress import Progress, Silent
from synth.seeds import derive

if TYPE_CHECKING:
    import pandas as pd

    from synth.domain import Domain, Examination
    from synth.medical.evidence import ImageEvidence, Images
    from synth.medical.generator import ImageGenerator
    from synth.tabular.schema import TableSchema

CAP = 6_000  # images of a part that the gates hold in memory
CHECKPOINTS = "checkpoints"


class MedicalPlug:
    """See :class:`synth.domain.Domain` for the verbs of the road."""

    name = "medical"
    blocks: frozenset[str] = frozenset({"pixels"})

    def recognises(self, source: str) -> bool:
        """A folder of images, by the names of its files."""
        from synth.medical.draft import recognises

        return recognises(source)

    def draft(self, source: str, name: str) -> str:
        """See :func:`synth.medical.draft.draft`."""
        from synth.medical.draft import draft

        return draft(source, name)

    def check(self, contract: Contract) -> list[UserError]:
        """The contract against its data, without training."""
        return list(self.examine(contract, progress=Silent()).problems)

    def examine(self, contract: Contract, *, progress: Progress) -> Examination:
        """The same problems, and what a person should know before a run."""
        from synth.medical.check import examine

        return examine(contract, progress=progress)

    def demo(self) -> Path:
        """Build the hospital of phantoms beside its contract, which comes with a checkout of the source."""
        from synth.medical.demo import FOLDER, materialise

        contract = Path(__file__).resolve().parents[2] / FOLDER.parent / "phantoms.yaml"
        if not contract.is_file():
            raise UserError("the demo's contract is not there", where=str(contract),
                            todo="run the demo from a checkout of the source")
        materialise(contract.parent / FOLDER.name)
        return contract

    def ingest(self, contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
        """Read, de-identify, resize and store the images and their listing."""
        from synth.medical.ingest import ingest

        return ingest(contract, out, progress=progress)

    def table(self, contract: Contract, ingested: Path) -> tuple[Iterator[pd.DataFrame], TableSchema]:
        """The listing, in batches, and its schema."""
        from synth.tabular.stored import StoredTable

        stored = StoredTable.open(ingested)
        return stored.reader()(), stored.schema

    def split(self, contract: Contract, ingested: Path, out: Path, *, seed: int) -> dict[str, Any]:
        """Train, holdout and reference, disjoint by patient; patients who share an image stay together."""
        from synth.tabular.stored import split_by_entity

        return split_by_entity(contract, ingested, out, seed)

    def fit(self, contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
            progress: Progress) -> dict[str, Any]:
        """Train on train images only, at most ``training.max_rows`` of them (whole patients, drawn at random)."""
        from synth.gan.weights import phases_shown
        from synth.medical.generator import ImageGenerator
        from synth.medical.stored import StoredImages
        from synth.tabular.stored import sample_entities

        stored = StoredImages.open(ingested, split)
        train = stored.rows_of("train")
        chosen = sample_entities(stored.entities(), train, contract.training.max_rows, derive(seed, "training rows"))
        images = stored.images(chosen)
        generator = ImageGenerator.fit(
            images, stored.schema, contract, stored.intensity, stored.spacing, seed=derive(seed, "model"),
            device=device, progress=progress, checkpoints=out / CHECKPOINTS, grids=out / "grids")
        generator.save(out / "model")
        history = generator.history
        (out / "history.json").write_text(json.dumps(history) + "\n", encoding="utf-8")
        return {"rows": len(images), "rows_available": int(train.sum()),
                "entities": len(np.unique(images.entities)), "sampled": len(images) < int(train.sum()),
                "recipe": contract.training.recipe, "released_phase": history.get("released"),
                "parameters": history.get("parameters"), "phases": phases_shown(history)}

    def generate(self, contract: Contract, ingested: Path, split: Path, fitted: Path, out: Path, *, seed: int,
                 progress: Progress) -> dict[str, Any]:
        """Draw ``contract.rows`` images (default: as many as train): working form, and the files to publish."""
        from synth.medical.generator import ImageGenerator
        from synth.medical.stored import StoredImages, write_images

        generator = ImageGenerator.load(fitted / "model")
        rows = contract.rows or int(StoredImages.open(ingested, split).rows_of("train").sum())
        images = generator.draw(rows, seed=derive(seed, "rows"), progress=progress)
        write_images(out / "synthetic", images, generator.listing.schema, generator.intensity)
        files = _write(images, generator, contract, out / "data", seed=seed, progress=progress)
        return {"rows": rows, "shards": 1, "files": files}

    def evidence(self, contract: Contract, ingested: Path, split: Path, fitted: Path, generated: Path, *,
                 seed: int) -> ImageEvidence:
        """At most :data:`CAP` images a part (whole patients)."""
        from synth.medical.evidence import SYNTHETIC, ImageEvidence
        from synth.medical.stored import StoredImages, read_images
        from synth.tabular.evidence import PARTS
        from synth.tabular.stored import sample_entities

        stored = StoredImages.open(ingested, split)
        entities, parts, totals = stored.entities(), {}, {}
        for part in PARTS:
            rows = stored.rows_of(part)
            parts[part] = stored.images(sample_entities(entities, rows, CAP, derive(seed, "sample", part)))
            totals[part] = int(rows.sum())
        synthetic = read_images(generated / "synthetic", stored.schema)
        totals[SYNTHETIC] = len(synthetic)
        everything = np.ones(len(synthetic), dtype=bool)
        drawn = sample_entities(synthetic.entities, everything, CAP, derive(seed, "sample", SYNTHETIC))
        model = _Model(fitted / "model")
        return ImageEvidence(contract=contract, schema=stored.schema, intensity=stored.intensity,
                             synthetic=synthetic.take(drawn), seed=seed, shards=generated / "data",
                             critic=model.critic_scores, sample_again=model.draw, totals=totals, **parts)

    def check_output(self, contract: Contract, out: Path) -> None:
        """A folder that is not there yet, or is empty, in a folder that is."""
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError("the folder for the images is not empty", where=str(out), todo="name a new one with --out")
        if not out.absolute().parent.is_dir():
            raise UserError("there is no folder to make the images' folder in", where=str(out),
                            todo="make it, or change --out")

    def sample(self, contract: Contract, ingested: Path, fitted: Path, rows: int, out: Path, *, seed: int,
               where: Sequence[str] = (), balance: str | None = None, progress: Progress | None = None) -> int:
        """More images into the folder ``out``; conditions hold in every row of its listing."""
        import os
        import shutil

        from synth.medical.generator import ImageGenerator

        generator = ImageGenerator.load(fitted / "model")
        images = generator.draw(rows, seed=derive(seed, "rows"), where=where, balance=balance, progress=progress)
        temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        try:
            _write(images, generator, contract, temporary, seed=seed, progress=progress or Silent())
            if out.is_dir():
                out.rmdir()
            os.replace(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return rows

    def impute(self, contract: Contract, ingested: Path, fitted: Path, source: str, out: Path, *, seed: int,
               progress: Progress | None = None) -> int:
        """Missing cells are a matter of tables."""
        raise UserError("a set of images has no missing cells to fill", todo="`synth sample RUN --where ...` draws "
                        "images under conditions")


def _write(images: Images, generator: ImageGenerator, contract: Contract, folder: Path, *, seed: int,
           progress: Progress) -> int:
    """Files and listing into ``folder`` in the contract's release format."""
    from synth.medical.files.write import write_set
    from synth.tabular.export import dress

    assert contract.pixels is not None
    table = dress(images.table, generator.listing.schema, contract, seed=seed)
    tags = {column.name: column.tag for column in contract.modelled if column.tag is not None}
    return write_set(folder / "train", images.pixels, images.masks, table, generator.intensity, contract.pixels,
                     seed=derive(seed, "files"), progress=progress, spacing=generator.spacing, tags=tags)


class _Model:
    """The released model, loaded when a gate first asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._generator: ImageGenerator | None = None

    @property
    def generator(self) -> ImageGenerator:
        if self._generator is None:
            from synth.medical.generator import ImageGenerator

            self._generator = ImageGenerator.load(self.folder)
        return self._generator

    def critic_scores(self, images: Images) -> np.ndarray:
        return self.generator.model.critic_scores(images)

    def draw(self, rows: int, seed: int) -> Images:
        return self.generator.draw(rows, seed=seed)


PLUG: Domain = MedicalPlug()
