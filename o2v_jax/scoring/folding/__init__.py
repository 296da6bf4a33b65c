"""The network rewritten for inference: the same function in fewer multiplications.

A token's vector is multiplied by the first layer once, when a model is loaded, and not each time
the token occurs; convolutions take fewer products; layers without an activation between them become
one.
"""

from o2v_jax.scoring.folding.encoders import (
    count_folded_bytes,
    encode_folded_fn,
    fold_encoder,
    is_foldable,
)
from o2v_jax.scoring.folding.hcnn import ConvolutionMethod
from o2v_jax.scoring.folding.head import fold_head

__all__ = [
    "ConvolutionMethod",
    "count_folded_bytes",
    "encode_folded_fn",
    "fold_encoder",
    "fold_head",
    "is_foldable",
]
