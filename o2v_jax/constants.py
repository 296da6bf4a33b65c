"""Limits and choices that several packages share, most from the Object2Vec documentation."""

from typing import Literal, TypeAlias

MIB = 2**20  # bytes

# infer_max_seqlens lies in 1..LONGEST_REQUEST, and so does max_seq_len
LONGEST_REQUEST = 5000


# seconds after which a server lets a client go that neither sends nor takes a byte
STALL_S = 60


# INFERENCE_PREFERRED_MODE
Mode: TypeAlias = Literal["classification", "embedding"]


# what the encoders hold and multiply; not Object2Vec's: it knows float32 alone. tensorfloat32 holds
# float32 and rounds factors to 11 significant bits, where a GPU has units for that
DType: TypeAlias = Literal["float32", "tensorfloat32", "bfloat16"]
