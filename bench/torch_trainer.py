"""The same network in PyTorch, trained with the same optimizer on the same batches."""

from typing import Any

import numpy as np
import torch
from torch import nn

from bench.peers.torch_network import TorchNetwork
from o2v_jax import Model, Ragged
from o2v_jax.data.ragged import offsets_of
from o2v_jax.model import table_name
from o2v_jax.training.data.batches import Batch


class TorchTrainer(TorchNetwork):
    """PyTorch eager with Adam, fused; a row_sparse table has SparseAdam and sparse gradients."""

    def __init__(self, model: Model, device: str) -> None:
        super().__init__(model.config, model.params, device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.sparse = model.config.token_embedding_storage_type == "row_sparse"
        tables, others = self._list_parameters()
        for tensor in tables + others:
            tensor.requires_grad_(True)
        rate = model.config.learning_rate
        dense = others if self.sparse else others + tables
        self.rules: list[Any] = [torch.optim.Adam(dense, lr=rate, fused=True)]
        if self.sparse:
            self.rules.append(torch.optim.SparseAdam(tables, lr=rate))

    def use_tf32(self) -> None:
        """Lets products of float32 be made in TF32, on a GPU that can."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    def prepare(self, batch: Batch) -> Any:
        """The batch in the form that `step` takes."""
        labels = torch.from_numpy(batch.labels.astype(np.int64)).to(self.device)
        return _strip_padding(batch.in0), _strip_padding(batch.in1), labels

    def compute_loss(self, batch: Any) -> float:
        """Mean cross-entropy, without dropout."""
        self.dropout = 0.0
        with torch.no_grad():
            return float(self._compute_loss(*batch))

    def step(self, batch: Any) -> Any:
        """One update; returns the loss, on the device."""
        self.dropout = self.config.dropout
        for rule in self.rules:
            rule.zero_grad()
        loss = self._compute_loss(*batch)
        loss.backward()
        for rule in self.rules:
            rule.step()
        return loss.detach()

    def _compute_loss(self, in0: Ragged, in1: Ragged, labels: Any) -> Any:
        outputs = self.head(self.encode(0, in0), self.encode(1, in1))
        return nn.functional.cross_entropy(outputs, labels)

    def _list_parameters(self) -> tuple[list[Any], list[Any]]:
        """The token tables, each once, and everything else."""
        names = sorted({table_name(self.config, side) for side in (0, 1)})
        tables = [self.params[name]["weight"] for name in names]
        lstms = [weight for lstm in self.lstms.values() for weight in lstm.parameters()]
        encoders = [] if lstms else [self.params.get(name, {}) for name in ("source", "target")]
        return tables, [*_list_leaves([*encoders, self.params["head"]]), *lstms]


def _list_leaves(tree: Any) -> list[Any]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree
    return [leaf for branch in branches for leaf in _list_leaves(branch)]


def _strip_padding(ids: Any) -> Ragged:
    """The rows of a padded batch without the padding."""
    real = ids != 0
    return Ragged(ids[real], offsets_of(real.sum(axis=1)))
