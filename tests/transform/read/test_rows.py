"""The fast way to read lines gives what the strict one gives, or nothing."""

from pathlib import Path

import numpy as np
import pytest

from o2v_jax.data import DecodeOptions, read_each
from o2v_jax.data.arrow import read_sides
from o2v_jax.transform import Part, Position, TransformSettings
from o2v_jax.transform.read.rows import read_rows

PAIR = b'{"in0": [1, 2], "in1": [3]}'
PLAIN = [
    PAIR + b"\n" + b'{"in1": [], "in0": [0]}',
    b'\r\n{"label": 1, "in0": [1], "in1": [3]}\r\n\n' + PAIR + b"\n",
    b'{"in0": [1]}\n{"in0": []}\n',
    b'{"in1": [5]}\n',
]
ODD = [
    b'{"in0": [1], "in1": null}\n{"in0": [1], "in1": null}',
    b'{"in0": null}',
    b'{"in0": [1, null]}',
    b'{"in0": [1], "in0": [2]}',
    b'{"in0": [1], "id": 7}',
    b'{"in0": [1], "x": {"in0": [1]}}',
    b'{"in0": [1]} {"in0": [2]}',
    b'{"in0": [1]}{"in0": [2]}',
    b'{"in0":\n[1]}',
    b'{"in0": [1]}\n{"in1": [1]}',
    PAIR + b"\n" + b'{"in0": [1]}',
    PAIR + b"\n{}\n",
    b"{}",
    b'{"in0": [1.0]}',
    b'{"in0": [1e0]}',
    b'{"in0": [true]}',
    b'{"in0": [-1]}',
    b'{"in0": [2147483648]}',
    b'{"in0": ["1"]}',
    b'{"in0": 1}',
    b'{"in0": [[1]]}',
    b'{"in0": [1]',
    b'{"in0": [1]},',
    b' {"in0": [1]}',
    b'[{"in0": [1]}]',
    b'{"in0": [1], "label": "in1"}',
    b'{"in0": [1], "label": NaN}',
    b'{"in0": [1], "\\u0069n1": [1]}',
    b'{"In0": [1]}',
    b"",
    b"\n\n",
    b"nonsense",
]


def strictly(text):
    lines = [line for line in text.split(b"\n") if line.strip()]
    return read_each(lines, "{} $".format, DecodeOptions())


def same(ragged, strict):
    one, other = ragged.ids.tolist(), strict.ids.tolist()
    return one == other and ragged.offsets.tolist() == strict.offsets.tolist()


@pytest.mark.parametrize("text", PLAIN)
def test_plain_lines_are_read_fast(text):
    sides, strict = read_sides(text), strictly(text).records
    for side, other, has in (
        (sides.in0, strict.in0, strict.has0),
        (sides.in1, strict.in1, strict.has1),
    ):
        assert has.all() == has.any() == (side is not None)
        assert side is None or same(side, other)


@pytest.mark.parametrize("text", ODD)
def test_odd_lines_are_left_to_the_strict_way_or_read_alike(text):
    sides = read_sides(text)
    if sides is None:
        return
    each = strictly(text)
    assert not each.errors
    assert each.records.has0.all() == (sides.in0 is not None)
    assert each.records.has1.all() == (sides.in1 is not None)
    assert sides.in0 is None or same(sides.in0, each.records.in0)
    assert sides.in1 is None or same(sides.in1, each.records.in1)


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
@pytest.mark.parametrize("texts", [[PAIR + b"\n"] * 3, [PAIR + b"\n", b"\n", PAIR], [PLAIN[2]]])
def test_rows_are_alike_both_ways(texts, strategy):
    settings = TransformSettings(strategy=strategy).of(Path("a.jsonl"))
    part = Part(texts, 1, Position())
    fast = read_rows(part, "a", settings, DecodeOptions((10, 10)))
    extra = [text.replace(b"{", b'{"id": 5, ') for text in texts]
    slow = read_rows(part._replace(texts=extra), "a", settings, DecodeOptions((10, 10)))
    assert same(fast.records.in0, slow.records.in0)
    assert same(fast.records.in1, slow.records.in1)
    np.testing.assert_array_equal(fast.bounds, slow.bounds)
    np.testing.assert_array_equal(fast.paired, slow.paired)
    assert fast.good.all()
    assert not fast.errors


def test_a_bad_id_is_found_both_ways():
    settings = TransformSettings().of(Path("a.jsonl"))
    for text in (PAIR, PAIR.replace(b"{", b'{"id": 5, ')):
        part = Part([PAIR + b"\n\n" + text], 1, Position())
        rows = read_rows(part, "a", settings, DecodeOptions((10, 3)))
        assert [str(error) for _, error in sorted(rows.errors.items())] == [
            f"a:{line} $.in1[0]: 3 is outside the vocabulary 0..2" for line in (1, 3)
        ]
        assert len(rows.records) == 0
