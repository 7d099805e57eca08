"""What the gates are given of records: a private folder that the judgement may keep things in, and a model to ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from synth.driving.plug import DrivingPlug
from synth.driving.scenes import Scenes
from synth.workspace import scratch
from tests.validators.driving import traffic


class Stored:
    """Scenes in memory as an ingest folder has them, a third in each part."""

    schema = traffic.schema()

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def entities(self) -> np.ndarray:
        return self.scenes.entities

    def rows_of(self, part: str) -> np.ndarray:
        return self.scenes.entities % 3 == ("train", "holdout", "reference").index(part)


class Plug(DrivingPlug):
    """Without files."""

    def __init__(self, real: Scenes, synthetic: Scenes) -> None:
        self.real, self.synthetic = real, synthetic

    def stored(self, ingested: Path, split: Path | None = None) -> Any:
        return Stored(self.real)

    def read(self, stored: Any, rows: np.ndarray) -> Scenes:
        return stored.scenes.take(rows)

    def kept(self, folder: Path, schema: Any) -> Scenes:
        return self.synthetic


def test_attacks_have_a_private_folder_of_the_judgement(tmp_path: Path) -> None:
    run = tmp_path / "private"
    folders = [run / name for name in ("ingest", "split", "fit", "generate")]
    plug = Plug(traffic.drives(60, 4), traffic.drives(20, 5))
    seen = plug.evidence(traffic.contract(), *folders, seed=1)
    assert seen.scratch == scratch(run / "generate", "judge") and run in seen.scratch.parents
    assert len(seen.train) == len(seen.holdout) == 20 and seen.sample_again is not None
    earlier = plug.together(seen, [traffic.drives(20, 6)])
    assert len(earlier.synthetic) == 40 and earlier.sample_again is None  # so that shadows are not compared with them
