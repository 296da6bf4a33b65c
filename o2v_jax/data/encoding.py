"""Results -> bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any, Literal, TypeAlias

import numpy as np
import orjson

from o2v_jax.array_types import Floats
from o2v_jax.data.records import Format

ResultKey: TypeAlias = Literal["scores", "embeddings"]

_CHUNK = 2**15  # numbers written at a time: some 350 KB
_PIECE = 2**18  # bytes of objects written at a time


def encode(
    values: Floats, key: ResultKey, media_type: str, class_names: Sequence[str] = ()
) -> bytes:
    """Writes results, one per record, each number in its shortest exact form.

    Args:
        values: float32 `[records, numbers]`, all finite.
        key: what the numbers are.
        media_type: a `Format`. JSON Lines come without a final newline.
        class_names: of scores: each record also gets the name of its best class, as "label", and
            the names of all scores, as "labels".

    Raises:
        ValueError: a value is not finite: JSON cannot express it.

    >>> from o2v_jax.data import Format, encode
    >>> encode(np.float32([[0.5], [2]]), "scores", Format.JSON)
    b'{"predictions":[{"scores":[0.5]},{"scores":[2.0]}]}'
    """
    out = BytesIO()
    out.writelines(encode_pieces(values, key, media_type, class_names))
    return out.getvalue()


def encode_pieces(
    values: Floats, key: ResultKey, media_type: str, class_names: Sequence[str] = ()
) -> Iterator[bytes]:
    """What `encode` gives, in pieces of a few hundred KB, each made when it is asked for.

    Raises:
        ValueError: as `encode`, before the first piece.
    """
    if not all(np.isfinite(part).all() for part in _split_parts(values)):
        raise ValueError(f"the {key} hold values that are not finite")
    endings = _make_endings(class_names)
    return wrap_rows(lambda between: encode_rows(values, key, between, endings), Format(media_type))


def encode_rows(
    values: Floats, key: ResultKey, between: bytes, endings: Sequence[bytes] = ()
) -> Iterator[bytes]:
    """The results alone, one object each, separated by `between`; in pieces, and not checked."""
    before = b""
    for part in _split_parts(values):
        yield before + _encode_part(part, key, between, endings)
        before = between


def encode_objects(objects: Iterable[Any], media_type: str) -> Iterator[bytes]:
    """Writes results that are objects of Python, NumPy's numbers among them, one per record.

    Args:
        objects: made one by one, as the pieces are asked for.
        media_type: as for `encode`.
    """
    made = (orjson.dumps(each, option=orjson.OPT_SERIALIZE_NUMPY) for each in objects)
    return wrap_rows(lambda between: _join_pieces(made, between), Format(media_type))


def wrap_rows(make_rows: Callable[[bytes], Iterator[bytes]], form: Format) -> Iterator[bytes]:
    """A body: what stands around results, and between them.

    Args:
        make_rows: gives results in pieces, with its argument between any two.
        form: of the body.
    """
    if form is Format.JSON_LINES:
        yield from make_rows(b"\n")
        return
    start, end = b'{"predictions":[', b"]}"
    for rows in make_rows(b","):
        yield start + rows
        start = b""
    yield start + end


def _join_pieces(rows: Iterable[bytes], between: bytes) -> Iterator[bytes]:
    """Rows with `between` any two, in pieces of some size."""
    piece, before = bytearray(), b""
    for row in rows:
        piece += before + row
        before = between
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _split_parts(values: Floats) -> Iterator[Floats]:
    step = max(1, _CHUNK // max(1, values.shape[1]))
    return (values[first : first + step] for first in range(0, len(values), step))


def _make_endings(class_names: Sequence[str]) -> list[bytes]:
    """What follows the scores of a record whose best class is the first, the second ..."""
    names = orjson.dumps([*class_names])
    return [b'],"label":%s,"labels":%s}' % (orjson.dumps(name), names) for name in class_names]


def _encode_part(values: Floats, key: ResultKey, between: bytes, endings: Sequence[bytes]) -> bytes:
    start = b'{"%s":[' % key.encode()
    rows = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    # The matrix is nothing but numbers, so "],[" stands between its rows and nowhere else.
    if endings:
        best = values.argmax(axis=1).tolist()
        parts = zip(rows[2:-2].split(b"],["), best, strict=True)
        return between.join(start + part + endings[at] for part, at in parts)
    return start + rows[2:-2].replace(b"],[", b"]}" + between + start) + b"]}"
