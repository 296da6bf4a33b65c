"""PyTorch through torch.compile, with dynamic shapes: one program for all batches and lengths."""

from typing import Any, ClassVar

import numpy as np
import torch

from bench.peers.base import NotAvailableError
from bench.peers.torch_eager import TorchEager
from bench.peers.torch_network import ENCODERS
from o2v_jax import Model, Ragged
from o2v_jax.data.ragged import offsets_of


class TorchCompiled(TorchEager):
    """Compiles encoders and head.

    The tensors are made outside, as for the eager peer. A program for every shape would take
    seconds of compilation for each. `torch.compile` leaves the LSTM itself as it is.
    """

    name: ClassVar[str] = "torch_compiled"

    def __init__(self, model: Model, device: str, tf32: bool = False) -> None:
        super().__init__(model, device, tf32)
        self._pooled, self._hcnn, self._bilstm, self._compiled_head = (
            torch.compile(function, dynamic=True)
            for function in (
                self.network.pooled,
                self.network.hcnn,
                self.network.bilstm,
                self.network.head,
            )
        )
        self._try()

    def _encode(self, side: int, rows: Ragged) -> Any:
        network = self.network
        if network.has("pooled_embedding"):
            return self._pooled(network.get_table(side), *network.flatten(rows))
        ids, table = network.pad_rows(rows), network.get_table(side)
        if network.has("hcnn"):
            return self._hcnn(table, network.params[ENCODERS[side]], ids)
        return self._bilstm(table, network.lstms[side], ids, torch.from_numpy(rows.lengths))

    def _compute_head(self, enc0: Any, enc1: Any) -> Any:
        return self._compiled_head(enc0.expand_as(enc1), enc1)

    def _try(self) -> None:
        """Compiles, which needs a C++ compiler, or Triton on a GPU."""
        try:
            for lengths in ([3, 2, 4], [5, 7, 2, 6]):
                rows = Ragged(np.ones(sum(lengths), np.int32), offsets_of(np.array(lengths)))
                self.score(rows, rows)
        except Exception as error:
            first = str(error).strip().splitlines()[0]
            raise NotAvailableError(f"torch.compile: {type(error).__name__}: {first}") from error
