"""The same network as ONNX graphs: one for an encoder, one for the head, all sizes free."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from o2v_jax import Hyperparameters

OPSET, IR_VERSION = 18, 10
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}


class Graph:
    """Collects nodes and constants; every method returns the name of what it added."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add_constant(self, values: npt.ArrayLike, dtype: type | None = None) -> str:
        """An array."""
        name = f"c{len(self._constants)}"
        array = np.ascontiguousarray(np.array(values, dtype))
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; its further outputs are left unnamed."""
        name = f"n{len(self._nodes)}"
        names = [name, *([""] * (outputs - 1))]
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return name

    def make_model(self, inputs: Mapping[str, tuple[int, list[Any]]], output: str) -> ModelProto:
        """The finished model.

        Args:
            inputs: element type and shape by name.
            output: name of the result, float32 of two axes.
        """
        given = [helper.make_tensor_value_info(name, *what) for name, what in inputs.items()]
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, None])
        graph = helper.make_graph(self._nodes, "o2v", given, [result], self._constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        checker.check_model(model)
        return model


def make_encoder(
    config: Hyperparameters, side: int, table: Any, weights: Mapping[str, Any]
) -> ModelProto:
    """(ids int32 `[batch, length]`, lengths int32 `[batch]`) -> encodings `[batch, enc_dim]`."""
    graph = Graph()
    network = {"hcnn": _add_hcnn, "bilstm": _add_bilstm, "pooled_embedding": _add_pooled}
    vectors = graph.add("Gather", graph.add_constant(table), "ids")
    found = network[config.encoder(side).network](graph, vectors, weights)
    shapes: dict[str, tuple[int, list[Any]]] = {
        "ids": (TensorProto.INT32, ["batch", "length"]),
        "lengths": (TensorProto.INT32, ["batch"]),
    }
    return graph.make_model(shapes, found)


def make_head(config: Hyperparameters, weights: Mapping[str, Any]) -> ModelProto:
    """(enc0, enc1) -> probabilities."""
    graph = Graph()
    joined = {
        "hadamard": lambda: [graph.add("Mul", "enc0", "enc1")],
        "concat": lambda: ["enc0", "enc1"],
        "abs_diff": lambda: [graph.add("Abs", graph.add("Sub", "enc0", "enc1"))],
    }
    x = graph.add("Concat", *(v for n in config.comparator_list for v in joined[n]()), axis=1)
    for layer in weights.get("mlp", {}).values():
        x = _add_dense(graph, x, layer)
        if config.mlp_activation != "linear":
            x = graph.add(ACTIVATIONS[config.mlp_activation], x)
    x = graph.add("Softmax", _add_dense(graph, x, weights["output_layer"]), axis=1)
    vectors = (TensorProto.FLOAT, ["batch", config.enc_dim])
    return graph.make_model({"enc0": vectors, "enc1": vectors}, x)


def _add_dense(graph: Graph, x: str, layer: Mapping[str, Any]) -> str:
    return graph.add(
        "Gemm", x, graph.add_constant(layer["weight"]), graph.add_constant(layer["bias"])
    )


def _add_mask(graph: Graph) -> str:
    """Float32 `[batch, length]`: 1 where a token is."""
    real = graph.add("Greater", "ids", graph.add_constant(0, np.int32))
    return graph.add("Cast", real, to=TensorProto.FLOAT)


def _add_hcnn(graph: Graph, vectors: str, weights: Mapping[str, Any]) -> str:
    mask = graph.add("Unsqueeze", _add_mask(graph), graph.add_constant([1], np.int64))
    x = graph.add("Mul", graph.add("Transpose", vectors, perm=[0, 2, 1]), mask)
    pools = []
    for layer in weights.values():
        width = layer["weight"].shape[0]
        kernel = graph.add_constant(np.transpose(layer["weight"], (2, 1, 0)))
        pads = [(width - 1) // 2, width // 2]
        y = graph.add("Conv", x, kernel, graph.add_constant(layer["bias"]), pads=pads)
        x = graph.add("Mul", graph.add("Relu", y), mask)
        pools.append(graph.add("ReduceMax", x, graph.add_constant([2], np.int64), keepdims=0))
    return graph.add("Concat", *pools, axis=1)


def _add_bilstm(graph: Graph, vectors: str, weights: Mapping[str, Any]) -> str:
    x = graph.add("Transpose", vectors, perm=[1, 0, 2])  # [length, batch, inputs]
    shape = graph.add_constant([0, 0, -1], np.int64)
    for k in range(len(weights) // 2):
        sides = [weights[f"{direction}_{k}"] for direction in ("forward", "backward")]
        x = graph.add("Reshape", _add_lstm(graph, x, sides), shape)
    real = graph.add("Transpose", _add_mask(graph), perm=[1, 0])
    real = graph.add("Unsqueeze", real, graph.add_constant([2], np.int64))
    kept = graph.add("Cast", real, to=TensorProto.BOOL)
    x = graph.add("Where", kept, x, graph.add_constant(-np.inf, np.float32))
    return graph.add("ReduceMax", x, graph.add_constant([0], np.int64), keepdims=0)


def _add_lstm(graph: Graph, x: str, directions: list[Mapping[str, Any]]) -> str:
    """Hidden states `[length, batch, directions, units]`."""
    kernels = graph.add_constant(
        [_reorder_gates(weights["weight_input"]) for weights in directions]
    )
    hidden = graph.add_constant(
        [_reorder_gates(weights["weight_hidden"]) for weights in directions]
    )
    bias = [_reorder_gates(np.asarray(weights["bias"])[None])[:, 0] for weights in directions]
    biases = graph.add_constant([np.concatenate([b, np.zeros_like(b)]) for b in bias])
    units = np.asarray(directions[0]["weight_hidden"]).shape[0]
    y = graph.add(
        "LSTM",
        *(x, kernels, hidden, biases, "lengths"),
        hidden_size=units,
        direction="bidirectional",
    )
    return graph.add("Transpose", y, perm=[0, 2, 1, 3])


def _reorder_gates(weight: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """`[inputs, 4 * units]` in the order i, f, g, o -> `[4 * units, inputs]` in i, o, f, g."""
    one, forget, cell, out = np.split(np.asarray(weight, np.float32).T, 4)
    return np.concatenate([one, out, forget, cell])


def _add_pooled(graph: Graph, vectors: str, weights: Mapping[str, Any]) -> str:
    """Mean as one small matrix product a row, which reads every token vector once."""
    del weights
    counts = graph.add("Cast", "lengths", to=TensorProto.FLOAT)
    counts = graph.add("Max", counts, graph.add_constant(1, np.float32))
    counts = graph.add("Unsqueeze", counts, graph.add_constant([1], np.int64))
    shares = graph.add("Div", _add_mask(graph), counts)
    shares = graph.add("Unsqueeze", shares, graph.add_constant([1], np.int64))
    pooled = graph.add("MatMul", shares, vectors)
    return graph.add("Squeeze", pooled, graph.add_constant([1], np.int64))
