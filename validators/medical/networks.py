"""A user's own networks as feature spaces: ONNX files named in the contract, run on the processor.

A Frechet distance may be called FID, and a score of class probabilities Inception Score (Salimans et al. 2016), only
in an Inception network; LPIPS (Zhang et al. 2018) needs its own. None is shipped: their weights come with terms or
downloads, so a user brings them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.networks import Network, NetworkKind
from synth.errors import UserError
from synth.medical.evidence import ImageEvidence, Images
from synth.medical.intensity import as_float
from validators.medical.arms import SPACES
from validators.medical.features import batches, register

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
_TITLES = {NetworkKind.INCEPTION: "Inception features (FID)", NetworkKind.FEATURES: "features of the user's network",
           NetworkKind.LPIPS: "LPIPS"}


class UserNetwork:
    """An extractor (:class:`validators.medical.features.Extractor`) round an ONNX session.

    Raises :class:`UserError` where the file is not the one that the contract names, is no ONNX network, reads other
    files, or does not map images as its kind says.
    """

    columns = False

    def __init__(self, network: Network) -> None:
        self.network = network
        self.name, self.version = network.name, network.sha256[:8]
        self.title = _TITLES[network.kind]
        self.inception = network.kind is NetworkKind.INCEPTION
        low, high = network.range
        self.method = (f"The user's {network.kind} network {self.version}, {network.side} pixels a side, stored range "
                       f"mapped to [{low:g}, {high:g}], grey repeated to three channels")
        self._session: Any = None

    def features(self, pixels: NDArray[np.uint16]) -> Floats:
        """float32 [n, d]."""
        return self._run(pixels)[0]

    def probabilities(self, images: Images) -> Floats | None:
        """Class probabilities [n, c] of the second output; ``None`` if there is none."""
        found = [self._run(chunk)[1:] for chunk in batches(images.pixels)]
        if not found or not found[0]:
            return None
        logits = np.concatenate([outputs[0] for outputs in found])
        if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
            return logits
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)

    def distances(self, first: NDArray[np.uint16], second: NDArray[np.uint16]) -> Floats:
        """Distance of each pair of stored images [n, channels, *size], float32 [n]."""
        found = [self._call([self._shown(a), self._shown(b)], len(a))[0].reshape(len(a))
                 for a, b in zip(batches(first), batches(second), strict=True)]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def _run(self, pixels: NDArray[np.uint16]) -> list[Floats]:
        found = self._call([self._shown(pixels)], len(pixels))
        return [x.reshape(len(pixels), -1) for x in found]

    def _shown(self, pixels: NDArray[np.uint16]) -> Floats:
        import torch
        import torch.nn.functional as F

        side, (low, high) = self.network.side, self.network.range
        x: torch.Tensor = torch.from_numpy(as_float(pixels))  # [-1, 1]
        if tuple(x.shape[2:]) != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
        x = low + (x.clamp(-1, 1) + 1) * (high - low) / 2
        return x.expand(-1, 3, -1, -1).contiguous().numpy()

    def _call(self, inputs: list[Floats], count: int) -> list[Floats]:
        session = self._open(len(inputs))
        names = [i.name for i in session.get_inputs()]
        try:
            found = [np.asarray(x, np.float32) for x in session.run(None, dict(zip(names, inputs, strict=True)))]
        except Exception:  # its own words may hold shapes and paths, and nothing a user could act on
            raise self._wrong("does not take such images") from None
        if any(x.size % max(count, 1) or not np.isfinite(x).all() for x in found):
            raise self._wrong("does not give finite numbers for each image")
        return found

    def _open(self, inputs: int) -> Any:
        if self._session is None:
            if (problem := self.network.problem()) is not None:
                raise problem
            try:
                import onnxruntime
            except ImportError as error:
                raise UserError("onnxruntime is not installed, which runs the contract's networks",
                                todo="pip install 'synth-pipeline[networks]'") from error
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.intra_op_num_threads = _threads()
            try:  # from bytes: a network that keeps weights in further files, anywhere, cannot reach them
                self._session = onnxruntime.InferenceSession(self.network.file.read_bytes(), options,
                                                             providers=["CPUExecutionProvider"])
            except Exception:
                raise self._wrong("is no ONNX network that can be run") from None
        if len(self._session.get_inputs()) != inputs:
            raise self._wrong(f"has not {inputs} input{'s' if inputs > 1 else ''}")
        return self._session

    def _wrong(self, what: str) -> UserError:
        return UserError(f"the user's network {what}", where=str(self.network.file),
                         todo=f"a network of kind {self.network.kind} takes float32 [n, 3, {self.network.side}, "
                              f"{self.network.side}]" + (" twice" if self.network.kind is NetworkKind.LPIPS else "") +
                              "; export it in one file, with n left open")


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def spaces(evidence: ImageEvidence) -> tuple[str, ...]:
    """Names of the feature spaces that judge: those that ship, and the contract's own."""
    own = [register(_opened(n)) for n in evidence.pixels.networks if n.kind is not NetworkKind.LPIPS]
    return (*SPACES, *(kind.name for kind in own))


def of_kind(evidence: ImageEvidence, kind: NetworkKind) -> list[UserNetwork]:
    """The contract's networks of a kind."""
    return [_opened(n) for n in evidence.pixels.networks if n.kind is kind]


@lru_cache(maxsize=8)
def _opened(network: Network) -> UserNetwork:
    return UserNetwork(network)


def inception_score(probabilities: Floats, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """exp of the mean KL divergence of p(y|x) from p(y), per column of ``weights`` [n, draws]."""
    p = np.asarray(probabilities, np.float64)
    shares = weights / np.maximum(weights.sum(axis=0), 1e-12)
    inner = (p * np.log(np.maximum(p, 1e-12))).sum(axis=1)
    mean = shares.T @ p  # [draws, c]
    outer = (mean * np.log(np.maximum(mean, 1e-12))).sum(axis=1)
    return np.asarray(np.exp(shares.T @ inner - outer))
