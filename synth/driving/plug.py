"""The driving domain's plug: the verbs of the road for recorded traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract import Contract
from synth.errors import UserError
from synth.progress import Progress, Silent
from synth.seeds import derive

if TYPE_CHECKING:
    import pandas as pd

    from synth.domain import Domain, Examination
    from synth.driving.evidence import SceneEvidence
    from synth.driving.generator import SceneGenerator
    from synth.driving.scenes import Scenes
    from synth.tabular.schema import TableSchema

CAP = 12_000  # scenes of a part that the gates hold in memory
CHECKPOINTS = "checkpoints"


class DrivingPlug:
    """See :class:`synth.domain.Domain` for the verbs of the road."""

    name = "driving"
    blocks: frozenset[str] = frozenset({"traffic"})

    def recognises(self, source: str) -> bool:
        """Recordings in one of the formats that are read, by names of files and columns."""
        from synth.driving.draft import recognises

        return recognises(source)

    def draft(self, source: str, name: str) -> str:
        """See :func:`synth.driving.draft.draft`."""
        from synth.driving.draft import draft

        return draft(source, name)

    def check(self, contract: Contract) -> list[UserError]:
        """The contract against its recordings, without training."""
        return list(self.examine(contract, progress=Silent()).problems)

    def examine(self, contract: Contract, *, progress: Progress) -> Examination:
        """The same problems, and what a person should know before a run."""
        from synth.driving.check import examine

        return examine(contract, progress=progress)

    def demo(self) -> Path:
        """Drive the motorways beside their contract, which comes with a checkout of the source."""
        from synth.driving.demo import FOLDER, materialise

        contract = Path(__file__).resolve().parents[2] / FOLDER.parent / "motorway.yaml"
        if not contract.is_file():
            raise UserError("the demo's contract is not there", where=str(contract),
                            todo="run the demo from a checkout of the source")
        materialise(contract.parent / FOLDER.name)
        return contract

    def ingest(self, contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
        """Read the recordings and cut, label and store scenes and their listing."""
        from synth.driving.ingest import ingest

        return ingest(contract, out, progress=progress)

    def table(self, contract: Contract, ingested: Path) -> tuple[Iterator[pd.DataFrame], TableSchema]:
        """The listing, in batches, and its schema."""
        from synth.tabular.stored import StoredTable

        stored = StoredTable.open(ingested)
        return stored.reader()(), stored.schema

    def split(self, contract: Contract, ingested: Path, out: Path, *, seed: int) -> dict[str, Any]:
        """Train, holdout and reference; scenes that share a driver stay together."""
        from synth.tabular.stored import split_by_entity

        return split_by_entity(contract, ingested, out, seed)

    def fit(self, contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
            progress: Progress) -> dict[str, Any]:
        """Train on train scenes only, at most ``training.max_rows`` of them (whole groups, drawn at random)."""
        from synth.driving.generator import SceneGenerator
        from synth.driving.stored import StoredScenes
        from synth.gan.weights import phases_shown
        from synth.tabular.stored import sample_entities

        stored = StoredScenes.open(ingested, split)
        train = stored.rows_of("train")
        chosen = sample_entities(stored.entities(), train, contract.training.max_rows, derive(seed, "training rows"))
        scenes = stored.scenes(chosen)
        generator = SceneGenerator.fit(scenes, stored.schema, contract, seed=derive(seed, "model"), device=device,
                                       progress=progress, checkpoints=out / CHECKPOINTS)
        generator.save(out / "model")
        history = generator.history
        (out / "history.json").write_text(json.dumps(history) + "\n", encoding="utf-8")
        return {"rows": len(scenes), "rows_available": int(train.sum()),
                "entities": len(np.unique(scenes.entities)), "sampled": len(scenes) < int(train.sum()),
                "recipe": contract.training.recipe, "released_phase": history.get("released"),
                "parameters": history.get("parameters"), "phases": phases_shown(history)}

    def generate(self, contract: Contract, ingested: Path, split: Path, fitted: Path, out: Path, *, seed: int,
                 progress: Progress) -> dict[str, Any]:
        """Draw ``contract.rows`` scenes (default: as many as train): working form, and the files to publish."""
        from synth.driving.generator import SceneGenerator
        from synth.driving.stored import StoredScenes, write_scenes

        generator = SceneGenerator.load(fitted / "model")
        stored = StoredScenes.open(ingested, split)
        rows = contract.rows or int(stored.rows_of("train").sum())
        scenes = generator.draw(rows, seed=derive(seed, "rows"), progress=progress)
        write_scenes(out / "synthetic", scenes, stored.schema)
        files = _write(scenes, stored.schema, contract, out / "data", seed=seed, progress=progress)
        return {"rows": rows, "shards": 1, "files": files}

    def evidence(self, contract: Contract, ingested: Path, split: Path, fitted: Path, generated: Path, *,
                 seed: int) -> SceneEvidence:
        """At most :data:`CAP` scenes a part (whole groups)."""
        from synth.driving.evidence import SYNTHETIC, SceneEvidence
        from synth.driving.stored import StoredScenes, read_scenes
        from synth.tabular.evidence import PARTS
        from synth.tabular.stored import sample_entities

        stored = StoredScenes.open(ingested, split)
        entities, parts, totals = stored.entities(), {}, {}
        for part in PARTS:
            rows = stored.rows_of(part)
            parts[part] = stored.scenes(sample_entities(entities, rows, CAP, derive(seed, "sample", part)))
            totals[part] = int(rows.sum())
        synthetic = read_scenes(generated / "synthetic", stored.schema)
        totals[SYNTHETIC] = len(synthetic)
        drawn = sample_entities(synthetic.entities, np.ones(len(synthetic), dtype=bool), CAP,
                                derive(seed, "sample", SYNTHETIC))
        model = _Model(fitted / "model")
        return SceneEvidence(contract=contract, schema=stored.schema, synthetic=synthetic.take(drawn), seed=seed,
                             shards=generated / "data", critic=model.scores, sample_again=model.draw, totals=totals,
                             **parts)

    def check_output(self, contract: Contract, out: Path) -> None:
        """A folder that is not there yet, or is empty, in a folder that is."""
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError("the folder for the scenes is not empty", where=str(out), todo="name a new one with --out")
        if not out.absolute().parent.is_dir():
            raise UserError("there is no folder to make the scenes' folder in", where=str(out),
                            todo="make it, or change --out")

    def sample(self, contract: Contract, ingested: Path, fitted: Path, rows: int, out: Path, *, seed: int,
               where: Sequence[str] = (), balance: str | None = None, progress: Progress | None = None) -> int:
        """More scenes into the folder ``out``; conditions hold in every row of its listing."""
        import os
        import shutil

        from synth.driving.generator import SceneGenerator
        from synth.tabular.schema import TableSchema

        generator = SceneGenerator.load(fitted / "model")
        scenes = generator.draw(rows, seed=derive(seed, "rows"), where=where, balance=balance, progress=progress)
        temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        try:
            _write(scenes, TableSchema.load(ingested / "schema.json"), contract, temporary, seed=seed,
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
        raise UserError("a set of scenes has no missing cells to fill", todo="`synth sample RUN --where ...` draws "
                        "scenes under conditions")


def _write(scenes: Scenes, schema: TableSchema, contract: Contract, folder: Path, *, seed: int, progress: Progress
           ) -> int:
    """Files and listing into ``folder`` in the contract's release formats."""
    from synth.driving.files.write import write_scenes
    from synth.tabular.export import dress

    table = dress(scenes.table, schema, contract, seed=seed)
    return write_scenes(folder / "train", scenes, table, contract, seed=derive(seed, "files"), progress=progress)


class _Model:
    """The released model, loaded when a gate first asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._generator: SceneGenerator | None = None

    @property
    def generator(self) -> SceneGenerator:
        if self._generator is None:
            from synth.driving.generator import SceneGenerator

            self._generator = SceneGenerator.load(self.folder)
        return self._generator

    def scores(self, scenes: Scenes) -> NDArray[np.float64]:
        return self.generator.scores(scenes)

    def draw(self, rows: int, seed: int) -> Scenes:
        return self.generator.draw(rows, seed=seed)


PLUG: Domain = DrivingPlug()
