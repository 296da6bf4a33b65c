"""PyTorch as it runs without further ado, on as many threads as there are cores."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch

from bench.cores import count_cores
from bench.peers.base import Floats, NotAvailableError, Peer, iterate_sorted_batches
from bench.peers.torch_network import TorchNetwork
from o2v_jax import Model, Ragged


class TorchEager(Peer):
    """Length-sorted batches for hcnn and bilstm; an EmbeddingBag takes all rows as they are."""

    name: ClassVar[str] = "torch_eager"

    def __init__(self, model: Model, device: str, tf32: bool = False) -> None:
        if device == "gpu" and not torch.cuda.is_available():
            raise NotAvailableError("this PyTorch finds no GPU")
        torch.set_num_threads(count_cores())
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        where = "cuda" if device == "gpu" else "cpu"
        self.network = TorchNetwork(model.config, model.params, where)

    @torch.inference_mode()
    def encode(self, side: int, rows: Ragged) -> Any:
        """Encodings `[rows, enc_dim]` on the device."""
        if self.network.has("pooled_embedding"):
            return self._encode(side, rows)
        places, parts = zip(*self._encode_parts(side, rows), strict=True)
        back = torch.from_numpy(np.argsort(np.concatenate(places))).to(self.network.device)
        return torch.cat(parts)[back]

    @torch.inference_mode()
    def compare(self, enc0: Any, enc1: Any) -> Floats:
        """Softmax of the head's outputs, on the host."""
        scores: Floats = torch.softmax(self._compute_head(enc0, enc1), -1).cpu().numpy()
        return scores

    def _encode_parts(self, side: int, rows: Ragged) -> Iterator[tuple[Any, Any]]:
        for places, batch in iterate_sorted_batches(rows, self.batch):
            yield places, self._encode(side, batch)

    def _encode(self, side: int, rows: Ragged) -> Any:
        return self.network.encode(side, rows)

    def _compute_head(self, enc0: Any, enc1: Any) -> Any:
        return self.network.head(enc0, enc1)
