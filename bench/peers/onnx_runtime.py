"""ONNX Runtime over graphs with the same weights, on as many threads as there are cores."""

from typing import Any, ClassVar

import numpy as np
import onnxruntime

from bench.cores import count_cores
from bench.peers import onnx_graph
from bench.peers.base import Floats, NotAvailableError, Peer, iterate_sorted_batches
from o2v_jax import Model, Ragged
from o2v_jax.model import table_name

PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider"}


class OnnxRuntime(Peer):
    """The same length-sorted batches as the other peers, padded to each batch's longest."""

    name: ClassVar[str] = "onnxruntime"

    def __init__(self, model: Model, device: str, tf32: bool = False) -> None:
        provider: Any = PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise NotAvailableError(f"this onnxruntime has no {provider}")
        if device == "gpu":
            provider = (provider, {"use_tf32": int(tf32)})
        self.config, params = model.config, model.params
        graphs = (
            onnx_graph.make_encoder(
                model.config,
                side,
                params[table_name(model.config, side)]["weight"],
                params.get(("source", "target")[side], {}),
            )
            for side in (0, 1)
        )
        self.encoders = [_make_session(graph, provider) for graph in graphs]
        self.head = _make_session(onnx_graph.make_head(model.config, params["head"]), provider)

    def encode(self, side: int, rows: Ragged) -> Floats:
        """Encodings `[rows, enc_dim]` on the host."""
        out = np.empty((len(rows), self.config.enc_dim), np.float32)
        for places, batch in iterate_sorted_batches(rows, self.batch):
            ids = batch.pad(len(batch), max(1, int(batch.lengths.max())))
            feed = {"ids": ids, "lengths": batch.lengths.astype(np.int32)}
            known = {given.name for given in self.encoders[side].get_inputs()}
            feed = {name: array for name, array in feed.items() if name in known}
            (out[places],) = self.encoders[side].run(None, feed)
        return out

    def compare(self, enc0: Floats, enc1: Floats) -> Floats:
        """Probabilities."""
        enc0_rows = np.ascontiguousarray(np.broadcast_to(enc0, enc1.shape))
        scores: Floats = self.head.run(None, {"enc0": enc0_rows, "enc1": enc1})[0]
        return scores


def _make_session(graph: Any, provider: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_cores()
    # threads that spin after a run would take the cores from whoever is timed next
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, [provider])
