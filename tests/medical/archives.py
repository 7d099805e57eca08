"""Small archives of images, and contracts for them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synth.contract import Contract
from synth.contract.load import loads
from synth.medical.phantoms import SCANNERS, Patient, dataset, head

IDENTIFIER = {"role": "identifier", "generate": "drop"}
LABEL = {"role": "categorical"}
NUMBER = {"role": "numeric"}


def contract(folder: Path, columns: dict[str, dict[str, Any]], *, size: Any = 16, entity: str | None = "patient",
             target: str | None = "label", more: dict[str, Any] | None = None, location: Path | None = None,
             **pixels: Any) -> Contract:
    """A contract for the archive in ``folder``; ``columns``: name -> synthesis properties ("type": logical type)."""
    location = location or folder
    properties = [{"name": name, "logicalType": said.get("type", "number" if said["role"] == "numeric" else "string"),
                   "customProperties": [{"property": f"synthesis.{k}", "value": v} for k, v in said.items()
                                        if k != "type"]} for name, said in columns.items()]
    about = {"entity": entity, "target": target, "task": "classification" if target else None}
    document = {
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": "images", "version": "1.0.0", "status": "active",
        "servers": [{"server": "s", "type": "local", "location": str(location)}],
        "schema": [{"name": "images", "properties": properties, "customProperties": [
            {"property": f"synthesis.{k}", "value": v} for k, v in about.items() if v is not None]}],
        "customProperties": [{"property": "synthesis.domain", "value": "medical"},
                             {"property": "synthesis.pixels", "value": {"file": "file", "size": size, **pixels}},
                             *({"property": f"synthesis.{k}", "value": v} for k, v in (more or {}).items())]}
    return loads(json.dumps(document, indent=1), folder.parent / "images.yaml")


def picture(seed: int, side: int = 16, channels: int = 1) -> np.ndarray:
    """A random blob on a gradient, uint8 [side, side] or [side, side, 3]; two seeds are clearly different."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    values = np.zeros((side, side, channels))
    for _ in range(4):
        cy, cx, r = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.3)
        values += rng.uniform(30, 90, channels) * (np.hypot(y - cy, x - cx) < r)[..., None]
    values += rng.normal(0, 6, values.shape) + 20
    made = values.clip(0, 255).astype(np.uint8)
    return made[..., 0] if channels == 1 else made


def save(path: Path, values: np.ndarray) -> None:
    """Write a PNG, folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def pngs(folder: Path, *, patients: int = 12, images: int = 2, labels: tuple[str, ...] = ("a", "b"), side: int = 16
         ) -> Path:
    """``LABEL/pNN_I.png``: the label is the patient's."""
    for patient in range(patients):
        for image in range(images):
            save(folder / labels[patient % len(labels)] / f"p{patient:02d}_{image}.png",
                 picture(1000 * patient + image, side))
    return folder


def patterned(folder: Path, **changed: Any) -> Contract:
    """A contract for :func:`pngs`."""
    columns = {"file": IDENTIFIER, "patient": IDENTIFIER, "label": LABEL}
    return contract(folder, columns, **{"pattern": "{label}/{patient}_*.png", "more": {"k": {
        "limit": 2, "reason": "a small test"}}, **changed})


def dicom(path: Path, *, number: int = 0, age: int = 50, image: int = 0, finding: str = "ring", scanner: int = 0,
          **changed: Any) -> Path:
    """A phantom's slice; ``changed`` sets attributes (None removes one)."""
    patient = Patient(number, age, "F" if number % 2 else "M", finding, SCANNERS[scanner], 1)
    data = dataset(patient, head(patient, 77 + number, image), image, 1)
    for keyword, value in changed.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def crash_at_seven(number: int) -> int:
    """What a decoder in C may do to its process."""
    print("libraries print, too", flush=True)
    if number == 7:
        os._exit(3)
    return number


def reciprocal(number: int) -> float:
    """Fails for zero."""
    return 1 / number
