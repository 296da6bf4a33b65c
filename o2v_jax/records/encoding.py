"""Results -> bytes."""

from io import BytesIO
from typing import Literal

import numpy as np
import numpy.typing as npt
import orjson

from o2v_jax.records.arrays import Format

_CHUNK = 2**16  # numbers written at a time, so that the answer is the only thing of its size


def encode(
    values: npt.NDArray[np.float32], key: Literal["scores", "embeddings"], media_type: str
) -> bytes:
    """Writes results, one per record, each number in its shortest exact form.

    Args:
        values: float32 `[records, numbers]`, all finite.
        key: what the numbers are.
        media_type: a `Format`. JSON Lines come without a final newline.

    Raises:
        ValueError: a value is not finite: JSON cannot express it.

    >>> from o2v_jax.records import Format, encode
    >>> encode(np.float32([[0.5], [2]]), "scores", Format.JSON)
    b'{"predictions":[{"scores":[0.5]},{"scores":[2.0]}]}'
    """
    lines = Format(media_type) is Format.JSON_LINES
    between, out = b"\n" if lines else b",", BytesIO()
    out.write(b"" if lines else b'{"predictions":[')
    step = max(1, _CHUNK // max(1, values.shape[1]))
    for first in range(0, len(values), step):
        out.write(between if first else b"")
        out.write(_rows(values[first : first + step], key, between))
    out.write(b"" if lines else b"]}")
    return out.getvalue()


def _rows(values: npt.NDArray[np.float32], key: str, between: bytes) -> bytes:
    if not np.isfinite(values).all():
        raise ValueError(f"the {key} hold values that are not finite")
    start = b'{"%s":[' % key.encode()
    rows = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    # The matrix is nothing but numbers, so "],[" stands between its rows and nowhere else.
    return start + rows[2:-2].replace(b"],[", b"]}" + between + start) + b"]}"
