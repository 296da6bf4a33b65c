"""What is trained in benchmarks: configurations, and data that look like theirs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import bench.lengths as lengths_of
from o2v_jax import Hyperparameters, Ragged
from o2v_jax.training.data.batches import Batch, DataLoader
from o2v_jax.training.data.dataset import Dataset

DOCUMENT: dict[str, Any] = {  # the document-embedding configuration that was published
    "enc0_max_seq_len": 50,
    "enc0_network": "pooled_embedding",
    "enc_dim": 300,
    "mini_batch_size": 512,
    "mlp_activation": "relu",
    "comparator_list": ("hadamard",),
    "tied_token_embedding_weight": True,
    "dropout": 0.4,
    "learning_rate": 0.01,
    "negative_sampling_rate": 3,
}
SENTENCE: dict[str, Any] = {
    "enc0_max_seq_len": 82,
    "enc0_vocab_size": 20_000,
    "enc0_token_embedding_dim": 300,
    "mini_batch_size": 64,
    "num_classes": 3,
    "bucket_width": 5,
}


@dataclass(frozen=True)
class Workload:
    """A configuration, the lengths of its sequences, and how many token types its texts use.

    With fewer types than the vocabulary has ids, they are spread over all of it.
    """

    name: str
    config: Hyperparameters
    lengths: str
    types: int

    def make_dataset(self, records: int) -> Dataset:
        """Records with token types as frequent as words are: the k-th type 1/k of the first."""
        counts = lengths_of.read_histograms(self.lengths)
        in0, in1 = (
            self._draw_zipf(lengths_of.draw(count, records, 2, seed), seed)
            for seed, count in enumerate(counts)
        )
        longest = self.config.enc0_max_seq_len
        labels = np.random.default_rng(2).integers(0, self.config.num_classes, records)
        if self.config.negative_sampling_rate:
            labels = np.ones(records, np.int64)
        return Dataset(in0.cut(longest), in1.cut(longest), labels.astype(np.float32))

    def make_batches(self, records: int) -> list[Batch]:
        """An epoch."""
        data = self.make_dataset(records)
        return list(DataLoader.of(self.config, data).iterate_epoch(data, np.random.default_rng(3)))

    def _draw_zipf(self, rows: Ragged, seed: int) -> Ragged:
        weights = np.cumsum(1 / np.arange(1, self.types))
        drawn = np.random.default_rng(seed).random(len(rows.ids)) * weights[-1]
        spread = (self.config.enc0_vocab_size - 1) // (self.types - 1)
        ids = 1 + np.searchsorted(weights, drawn) * spread
        return Ragged(ids.astype(np.int32), rows.offsets)


def make_document_workload(
    storage: str, vocabulary: int = 267_522, types: int | None = None
) -> Workload:
    """The document-embedding configuration, with dense or row_sparse token embeddings."""
    settings = DOCUMENT | {"enc0_vocab_size": vocabulary, "token_embedding_storage_type": storage}
    config = Hyperparameters(**settings)
    return Workload(f"document, {storage}", config, "acl", types or vocabulary)


def make_sentence_workload(network: str) -> Workload:
    """Sentence pairs of SNLI's lengths."""
    dims = {"hcnn": 1024, "bilstm": 512}
    config = Hyperparameters(**SENTENCE, enc0_network=network, enc_dim=dims[network])  # type: ignore[arg-type]
    return Workload(f"sentence, {network}", config, "snli", config.enc0_vocab_size)
