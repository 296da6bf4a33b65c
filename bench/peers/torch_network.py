"""The same network in PyTorch, with the same weights. Imports no JAX: servers start with it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from o2v_jax.data.ragged import Ragged
from o2v_jax.hyperparameters import Hyperparameters

ENCODERS = ("source", "target")


class TorchNetwork:
    """Encoders and head as functions of tensors.

    hcnn runs conv1d over the padded batch and masks; bilstm packs its sequences; pooled_embedding
    is an EmbeddingBag, which pads nothing.

    Args:
        config: of the model.
        params: nested dict of arrays, as in `o2v_jax.Model`.
        device: of PyTorch.
    """

    def __init__(self, config: Hyperparameters, params: Mapping[str, Any], device: str) -> None:
        self.config, self.device = config, device
        self.params = _make_tensors(params, device)
        if self.has("hcnn"):
            _transpose_kernels(self.params)
        self.lstms = {side: self._make_lstm(side) for side in (0, 1)} if self.has("bilstm") else {}
        self.sparse, self.dropout = False, 0.0  # what training changes

    def has(self, network: str) -> bool:
        """Whether this is the network of the encoders."""
        return self.config.encoder(0).network == network

    def encode(self, side: int, rows: Ragged) -> Any:
        """Encodings of one batch, padded to its longest, `[rows, enc_dim]`."""
        if self.has("pooled_embedding"):
            return self.pooled(self.get_table(side), *self.flatten(rows))
        ids = self.pad_rows(rows)
        if self.has("hcnn"):
            return self.hcnn(self.get_table(side), self.params[ENCODERS[side]], ids)
        return self.bilstm(
            self.get_table(side), self.lstms[side], ids, torch.from_numpy(rows.lengths)
        )

    def get_table(self, side: int) -> Any:
        """The token vectors of a side."""
        tied = self.config.tied_token_embedding_weight
        return self.params["embed_shared" if tied else f"embed_{side}"]["weight"]

    def flatten(self, rows: Ragged) -> tuple[Any, Any]:
        """Ids one after the other, and where each row starts."""
        starts = rows.offsets[:-1].astype(np.int32)
        ids, at = torch.from_numpy(rows.ids), torch.from_numpy(starts)
        return ids.to(self.device), at.to(self.device)

    def pad_rows(self, rows: Ragged) -> Any:
        """Ids `[rows, longest]`, filled up with 0."""
        longest = max(1, int(rows.lengths.max(initial=1)))
        return torch.from_numpy(rows.pad(len(rows), longest)).to(self.device)

    def pooled(self, table: Any, ids: Any, starts: Any) -> Any:
        """Mean of the token vectors of each row."""
        bag = nn.functional.embedding_bag
        return self._drop_out(bag(ids, table, starts, mode="mean", sparse=self.sparse))

    def hcnn(self, table: Any, layers: Mapping[str, Any], ids: Any) -> Any:
        """Stacked convolutions, each pooled."""
        mask = ids != 0
        x = (nn.functional.embedding(ids, table) * mask[..., None]).transpose(1, 2)
        pools = []
        for layer in layers.values():
            x = torch.relu(_convolve(x, layer["weight"], layer["bias"])) * mask[:, None, :]
            pools.append(x.amax(2))
        return torch.cat(pools, 1)

    def bilstm(self, table: Any, lstm: Any, ids: Any, lengths: Any) -> Any:
        """Bidirectional LSTM, pooled."""
        pack, unpack = nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence
        x = nn.functional.embedding(ids, table)
        packed = pack(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = unpack(lstm(packed)[0], batch_first=True, padding_value=-torch.inf)
        return out.amax(1)

    def head(self, enc0: Any, enc1: Any) -> Any:
        """Outputs before the softmax; one row of `enc0` stands beside all of `enc1`."""
        enc0 = enc0.expand_as(enc1)
        joined = {
            "hadamard": [enc0 * enc1],
            "concat": [enc0, enc1],
            "abs_diff": [(enc0 - enc1).abs()],
        }
        x = torch.cat([v for name in self.config.comparator_list for v in joined[name]], 1)
        head = self.params["head"]
        for layer in head.get("mlp", {}).values():
            x = self._drop_out(self._activate(torch.addmm(layer["bias"], x, layer["weight"])))
        return torch.addmm(head["output_layer"]["bias"], x, head["output_layer"]["weight"])

    def _activate(self, x: Any) -> Any:
        activation = self.config.mlp_activation
        return x if activation == "linear" else getattr(torch, activation)(x)

    def _drop_out(self, x: Any) -> Any:
        return nn.functional.dropout(x, self.dropout) if self.dropout else x

    def _make_lstm(self, side: int) -> Any:
        encoder = self.config.encoder(side)
        units, inputs = encoder.enc_dim // 2, encoder.token_embedding_dim
        lstm = nn.LSTM(inputs, units, encoder.layers, batch_first=True, bidirectional=True)
        lstm.to(self.device)
        weights = self.params[ENCODERS[side]]
        for k in range(encoder.layers):
            for direction, suffix in (("forward", ""), ("backward", "_reverse")):
                _fill(lstm, weights[f"{direction}_{k}"], f"l{k}{suffix}")
        return lstm


def _convolve(x: Any, kernel: Any, bias: Any) -> Any:
    """Of the same length; an even width reaches one step further to the right, as ours does."""
    width = kernel.shape[2]
    if width % 2:
        return nn.functional.conv1d(x, kernel, bias, padding=width // 2)
    padded = nn.functional.pad(x, ((width - 1) // 2, width // 2))
    return nn.functional.conv1d(padded, kernel, bias)


def _fill(lstm: Any, weights: Any, suffix: str) -> None:
    with torch.no_grad():
        getattr(lstm, f"weight_ih_{suffix}").copy_(weights["weight_input"].T)
        getattr(lstm, f"weight_hh_{suffix}").copy_(weights["weight_hidden"].T)
        getattr(lstm, f"bias_ih_{suffix}").copy_(weights["bias"])
        getattr(lstm, f"bias_hh_{suffix}").zero_()


def _transpose_kernels(params: dict[str, Any]) -> None:
    """Convolution kernels as PyTorch keeps them, so that no call has to turn them round."""
    for encoder in ENCODERS:
        for layer in params.get(encoder, {}).values():
            layer["weight"] = layer["weight"].permute(2, 1, 0).contiguous()


def _make_tensors(params: Any, device: str) -> Any:
    if isinstance(params, Mapping):
        return {name: _make_tensors(value, device) for name, value in params.items()}
    return torch.from_numpy(np.array(params)).to(device)
