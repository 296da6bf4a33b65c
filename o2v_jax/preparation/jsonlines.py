"""Records as JSON Lines."""

from collections.abc import Iterator
from itertools import pairwise

import orjson

from o2v_jax.data.ragged import Ragged
from o2v_jax.preparation.label_kinds import Floats


def json_lines(labels: Floats, in0: Ragged, in1: Ragged) -> bytes:
    r"""One JSON object a line; labels that are integers without a fraction.

    >>> import numpy as np
    >>> json_lines(np.array([2.0]), Ragged.of([[3, 1]]), Ragged.of([[4]]))
    b'{"label":2,"in0":[3,1],"in1":[4]}\n'
    """
    records = zip(map(_short, labels.tolist()), _lists(in0), _lists(in1), strict=True)
    return b"".join(
        orjson.dumps({"label": label, "in0": one, "in1": two}, option=orjson.OPT_APPEND_NEWLINE)
        for label, one, two in records
    )


def _short(label: float) -> float:
    return int(label) if label.is_integer() and abs(label) < 2**53 else label


def _lists(rows: Ragged) -> Iterator[list[int]]:
    ids, offsets = rows.ids.tolist(), rows.offsets.tolist()
    return (ids[start:end] for start, end in pairwise(offsets))
