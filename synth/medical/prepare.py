"""From a file to the stored form: what the processes that read files do, with few imports, so that they start soon."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synth.contract.pixels import Pixels
from synth.medical.cache import Prepared
from synth.medical.files import Refusal, fit_size, mask_fits, read
from synth.medical.intensity import Intensity
from synth.medical.listing import Source


def prepare(source: Source, root: Path, pixels: Pixels, intensity: Intensity) -> Prepared | Refusal:
    """One image, read and brought to the stored form; a refusal if it cannot be judged.

    ``source``: its file, or the files of its series, its mask, relative to ``root``, and its frame.
    """
    files, mask_file, frame = source
    paths = [(root / name).resolve() for name in files]
    loaded = read(paths if len(paths) > 1 else paths[0], pixels, frame=frame)
    if isinstance(loaded, Refusal):
        return loaded
    mask = None
    if mask_file is not None:
        labels = read((root / mask_file).resolve(), pixels, mask=True, frame=frame)
        if isinstance(labels, Refusal):
            return labels
        if (misfit := mask_fits(loaded, labels)) is not None:
            return misfit
        fitted, _ = fit_size(labels.values, pixels.size, mask=True, spacing=loaded.spacing)
        mask = fitted[0].astype(np.uint8)
    values, spacing = fit_size(loaded.values, pixels.size, spacing=loaded.spacing, fill=intensity.low)
    return Prepared(pixels=intensity.store(values), mask=mask, spacing=spacing)
