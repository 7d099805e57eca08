"""Small ONNX networks, made on the spot."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from synth.contract.networks import Network, NetworkKind


def write(path: Path, nodes, inputs, outputs, constants=()) -> Path:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(i, TensorProto.FLOAT, ["n", 3, None, None]) for i in inputs],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def features(path: Path, logits: np.ndarray | None = None) -> Path:
    """Means over 8-pixel cells of the first channels; with ``logits`` [cells, classes] a second output."""
    nodes = [helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[8, 8], strides=[8, 8]),
             helper.make_node("Flatten", ["p"], ["f"])]
    if logits is None:
        return write(path, nodes, ["x"], ["f"])
    nodes.append(helper.make_node("MatMul", ["f", "w"], ["l"]))
    return write(path, nodes, ["x"], ["f", "l"], [("w", logits.astype(np.float32))])


def distance(path: Path) -> Path:
    """Mean absolute difference of two images."""
    nodes = [helper.make_node("Sub", ["a", "b"], ["d"]), helper.make_node("Abs", ["d"], ["e"]),
             helper.make_node("ReduceMean", ["e"], ["out"], axes=[1, 2, 3], keepdims=1)]
    return write(path, nodes, ["a", "b"], ["out"])


def network(path: Path, kind: NetworkKind = NetworkKind.FEATURES, side: int = 24, **more) -> Network:
    """The contract's words on a file."""
    return Network(file=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), kind=kind, side=side, **more)


def outside(path: Path) -> Path:
    """A network whose weights lie in another file."""
    made = onnx.load_from_string(features(path, np.ones((27, 4))).read_bytes())
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", "432")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(made.SerializeToString())
    return path
