"""Limits and choices that several packages share, most from the Object2Vec documentation."""

from typing import Literal, TypeAlias

MIB = 2**20  # bytes

# infer_max_seqlens lies in 1..LONGEST_REQUEST, and so does max_seq_len
LONGEST_REQUEST = 5000


# seconds without a byte sent or received after which a server drops a connection
STALL_S = 60


# INFERENCE_PREFERRED_MODE
Mode: TypeAlias = Literal["classification", "embedding"]


# the type of the encoders' parameters and products; Object2Vec itself has float32 alone.
# tensorfloat32 is float32 whose factors are rounded to 11 significant bits where a GPU has units
# for that
DType: TypeAlias = Literal["float32", "tensorfloat32", "bfloat16"]
