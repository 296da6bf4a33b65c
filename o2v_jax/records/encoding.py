"""Results -> bytes."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import orjson

from o2v_jax.records.arrays import Format


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
    if not np.isfinite(values).all():
        raise ValueError(f"the {key} hold values that are not finite")
    lines = Format(media_type) is Format.JSON_LINES
    start = b'{"%s":[' % key.encode()
    rows = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    # The matrix is nothing but numbers, so "],[" stands between its rows and nowhere else.
    joined = rows[2:-2].replace(b"],[", b"]}" + (b"\n" if lines else b",") + start)
    body = start + joined + b"]}" if len(values) else b""
    return body if lines else b'{"predictions":[' + body + b"]}"
