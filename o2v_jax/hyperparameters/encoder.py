"""What one of the two encoders needs to know of the hyperparameters."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Network: TypeAlias = Literal["hcnn", "bilstm", "pooled_embedding"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """One encoder, with everything resolved.

    Attributes:
        network: which network; never "enc0".
        enc_dim: length of the encoding.
        max_seq_len: token ids of a sequence that are read; the rest is cut off.
        vocab_size: ids are in `0..vocab_size - 1`; 0 is padding.
        token_embedding_dim: length of a token's vector; `enc_dim` for pooled_embedding.
        layers: of the hcnn or bilstm; 0 for pooled_embedding, which has none.
        cnn_filter_width: tokens that a filter of the hcnn sees.
        dropout: share of units that are dropped in training, 0.0..1.0.
    """

    network: Network
    enc_dim: int
    max_seq_len: int
    vocab_size: int
    token_embedding_dim: int
    layers: int
    cnn_filter_width: int
    dropout: float
