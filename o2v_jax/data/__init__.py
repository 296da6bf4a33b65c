"""Records: JSON or JSON Lines bytes -> ragged arrays of token ids, and results -> bytes.

The formats are those of the Object2Vec documentation ("Data formats for Object2Vec inference").
Decoding keeps no Python object per record. The first thing that is wrong is raised as a
`RecordError` that names its JSON path, with the line (and file) for JSON Lines.

`arrow` reads labelled pairs for training. It is not imported here, because it needs pyarrow.
"""

from o2v_jax.data.decoding import DecodeOptions, WrongFormatError, decode, read_lines, sniff
from o2v_jax.data.each import Each, read_each, split_instances
from o2v_jax.data.encoding import encode, encode_pieces, encode_rows
from o2v_jax.data.records import Format, Places, Records, at_line
from o2v_jax.data.validate import Fault, describe_outside

__all__ = [
    "DecodeOptions",
    "Each",
    "Fault",
    "Format",
    "Places",
    "Records",
    "WrongFormatError",
    "at_line",
    "decode",
    "describe_outside",
    "encode",
    "encode_pieces",
    "encode_rows",
    "read_each",
    "read_lines",
    "sniff",
    "split_instances",
]
