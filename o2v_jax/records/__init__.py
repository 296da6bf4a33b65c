"""Records: JSON or JSON Lines bytes -> ragged arrays of token ids, and results -> bytes.

The formats are those of the Object2Vec documentation ("Data formats for Object2Vec inference").
Decoding keeps no Python object per record, and the first thing that is wrong is raised as a
`RecordError` that names its JSON path, with the line (and file) for JSON Lines.
"""

from o2v_jax.records.arrays import Format, Places, Records
from o2v_jax.records.decoding import decode, read_lines, sniff
from o2v_jax.records.encoding import encode

__all__ = ["Format", "Places", "Records", "decode", "encode", "read_lines", "sniff"]
