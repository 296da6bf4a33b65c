"""The same network in PyTorch, with the same weights, padded to each batch's longest."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from o2v_jax import Model, Ragged
from o2v_jax.model import table_name

BATCH = 256


class TorchPeer:
    """PyTorch eager: records in the order given, `BATCH` at a time.

    hcnn runs conv1d over the padded batch and masks; bilstm packs its sequences; pooled_embedding
    is an EmbeddingBag, which pads nothing.
    """

    def __init__(self, model: Model, device: str) -> None:
        self.config, self.device = model.config, device
        self.params = _tensors(model.params, device)
        self.lstms = {side: self._lstm(side) for side in (0, 1)} if self._is("bilstm") else {}
        self.sparse, self.dropout = False, 0.0  # what training changes

    @torch.inference_mode()
    def score(self, in0: Ragged, in1: Ragged) -> npt.NDArray[np.float32]:
        """Float32 `[records, outputs]` on the host."""
        parts = [
            torch.softmax(self._head(self._encode(0, a), self._encode(1, b)), -1)
            for a, b in zip(_batches(in0), _batches(in1), strict=True)
        ]
        scores: npt.NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return scores

    def _is(self, network: str) -> bool:
        return self.config.encoder(0).network == network

    def _encode(self, side: int, rows: Ragged) -> Any:
        table = self.params[table_name(self.config, side)]["weight"]
        if self._is("pooled_embedding"):
            return self._pooled(table, rows)
        longest = int(rows.lengths.max(initial=1))
        ids = torch.from_numpy(rows.padded(len(rows), longest)).to(self.device)
        x = nn.functional.embedding(ids, table) * (ids != 0)[..., None]
        weights = self.params[("source", "target")[side]] if self._is("hcnn") else None
        return self._hcnn(weights, x, ids != 0) if weights else self._bilstm(side, x, rows.lengths)

    def _pooled(self, table: Any, rows: Ragged) -> Any:
        ids = torch.from_numpy(rows.ids).to(self.device, torch.long)
        starts = torch.from_numpy(rows.offsets[:-1]).to(self.device)
        bag = nn.functional.embedding_bag
        return self._dropped(bag(ids, table, starts, mode="mean", sparse=self.sparse))

    def _hcnn(self, weights: Any, x: Any, mask: Any) -> Any:
        x, pools = x.transpose(1, 2), []
        for layer in weights.values():
            kernel = layer["weight"].permute(2, 1, 0)
            x = torch.relu(nn.functional.conv1d(x, kernel, layer["bias"], padding="same"))
            x = x * mask[:, None, :] if torch.is_grad_enabled() else x.mul_(mask[:, None, :])
            pools.append(x.amax(2))
        return torch.cat(pools, 1)

    def _bilstm(self, side: int, x: Any, lengths: npt.NDArray[np.int64]) -> Any:
        pack, unpack = nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence
        sizes = torch.from_numpy(lengths)
        packed = pack(x, sizes, batch_first=True, enforce_sorted=False)
        out, _ = unpack(self.lstms[side](packed)[0], batch_first=True, padding_value=-torch.inf)
        return out.amax(1)

    def _head(self, enc0: Any, enc1: Any) -> Any:
        joined = {
            "hadamard": [enc0 * enc1],
            "concat": [enc0, enc1],
            "abs_diff": [(enc0 - enc1).abs()],
        }
        x = torch.cat([v for name in self.config.comparator_list for v in joined[name]], 1)
        head = self.params["head"]
        for layer in head.get("mlp", {}).values():
            x = self._dropped(self._active(torch.addmm(layer["bias"], x, layer["weight"])))
        return torch.addmm(head["output_layer"]["bias"], x, head["output_layer"]["weight"])

    def _active(self, x: Any) -> Any:
        activation = self.config.mlp_activation
        return x if activation == "linear" else getattr(torch, activation)(x)

    def _dropped(self, x: Any) -> Any:
        return nn.functional.dropout(x, self.dropout) if self.dropout else x

    def _lstm(self, side: int) -> Any:
        encoder = self.config.encoder(side)
        units, inputs = encoder.enc_dim // 2, encoder.token_embedding_dim
        lstm = nn.LSTM(inputs, units, encoder.layers, batch_first=True, bidirectional=True)
        lstm.to(self.device)
        weights = self.params[("source", "target")[side]]
        for k in range(encoder.layers):
            for direction, suffix in (("forward", ""), ("backward", "_reverse")):
                _fill(lstm, weights[f"{direction}_{k}"], f"l{k}{suffix}")
        return lstm


def _fill(lstm: Any, weights: Any, suffix: str) -> None:
    with torch.no_grad():
        getattr(lstm, f"weight_ih_{suffix}").copy_(weights["weight_input"].T)
        getattr(lstm, f"weight_hh_{suffix}").copy_(weights["weight_hidden"].T)
        getattr(lstm, f"bias_ih_{suffix}").copy_(weights["bias"])
        getattr(lstm, f"bias_hh_{suffix}").zero_()


def _batches(rows: Ragged) -> Iterator[Ragged]:
    for start in range(0, len(rows), BATCH):
        yield rows.take(np.arange(start, min(start + BATCH, len(rows))))


def _tensors(params: Any, device: str) -> Any:
    if isinstance(params, dict):
        return {name: _tensors(value, device) for name, value in params.items()}
    return torch.from_numpy(np.array(params)).to(device)
