"""Blocks of labelled pairs: the fast reader takes nothing that reading each line would not."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from o2v_jax.data.arrow import read_each_line, read_labelled, read_plain

GOOD = '{"label": 1, "in0": [3, 4], "in1": []}'
IDS = st.lists(st.integers(0, 2**31 - 1), max_size=5)
LABELS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
NEGATIVES = st.none() | st.lists(IDS, max_size=3)
RECORDS = st.fixed_dictionaries(
    {"label": LABELS, "in0": IDS, "in1": IDS}, optional={"negatives": NEGATIVES}
)
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", "\n\r\n"])
# pieces of JSON and of what is nearly JSON
PIECES = st.sampled_from(
    [
        *'{}[],:"\\-10 \n\r\t\0é',
        *("-1", "1.5", "1e3", "1e400", "2147483648", "NaN", "Infinity", "null", "true", "[" * 9),
        *(
            '"label"',
            '"in0"',
            '"in1"',
            '"x"',
            '"in0": [1]',
            '"label": NaN',
            '"in\\u0030": [5]',
            '"negatives"',
            ', "negatives": [[3], []]',
            GOOD,
        ),
    ]
)


def said(pairs):
    """All that was read, as plain Python."""
    sides = [[side.row(r).tolist() for r in range(len(side))] for side in (pairs.in0, pairs.in1)]
    negatives = pairs.negatives.to_lists(len(pairs))
    return sides, pairs.labels.tolist(), pairs.lines.tolist(), negatives, pairs.bad, pairs.faults


def both_agree(text):
    assert said(read_labelled(text, 5)) == said(read_each_line(text, 5))


@given(st.lists(st.tuples(RECORDS, ENDS)), st.booleans(), st.booleans())
def test_valid_lines_are_read_alike_and_fast(records, final, compact):
    separators = (",", ":") if compact else None
    text = "".join(json.dumps(record, separators=separators) + end for record, end in records)
    text = (text if final else text.rstrip()).encode()
    both_agree(text)
    assert (read_plain(text) is not None) == bool(records)


@given(st.lists(st.sampled_from([GOOD, "\n", "\r\n"]) | PIECES, max_size=12))
@example([GOOD, GOOD, "\n", GOOD[:12], "\n", GOOD[12:]])
@example([GOOD, GOOD, "\n", '{"label": 1, "in0": [', "\n", '], "in1": []}'])
@example([GOOD, GOOD, "\n", '{"label": 1, "in0": [], "in1": [], "x": ', "\n", "{}}"])
@example([GOOD, "\n", "\0"])
@example([GOOD, "\0"])
@example(["[", GOOD, "\n", GOOD, "]"])
def test_nearly_valid_lines_are_read_alike(pieces):
    both_agree("".join(pieces).encode())


@given(st.integers(0, len(GOOD)), PIECES, st.integers(0, 2))
def test_a_piece_anywhere_in_a_record_is_read_alike(at, piece, cut):
    line = GOOD[:at] + piece + GOOD[at + cut :]
    both_agree(f"{GOOD}\n{line}\n{GOOD}\n".encode())


@given(st.binary(max_size=40))
def test_any_bytes_are_read_alike(data):
    both_agree(data)


@pytest.mark.parametrize(
    "line",
    [
        '{"label": NaN, "in0": [1], "in1": [2]}',
        '{"label": -Infinity, "in0": [1], "in1": [2]}',
        '{"label": 1, "in0": [null], "in1": [2]}',
        '{"label": 1, "in0": [-1], "in1": [2]}',
        '{"label": 1, "in0": null, "in1": [2]}',
        '{"label": 1, "in1": [2]}',
        '{"label": 1, "in0": [1], "in1": [2], "x": NaN}',
        '{"label": 1, "in0": [1], "in1": [2], "x": "\xff"}',
        '{"label": 1, "in0": [1], "in1": [2], "negatives": [null]}',
        '{"label": 1, "in0": [1], "in1": [2], "negatives": [[-1]]}',
        '{"label": 1, "in0": [1], "in1": [2], "negatives": [1]}',
        GOOD + GOOD,
        GOOD + "\0",
        GOOD + "\0" + GOOD,
        GOOD[:9] + "\n" + GOOD[9:],
    ],
)
def test_what_pyarrow_would_take_is_refused(line):
    pairs = read_labelled(f"{GOOD}\n{line}\n{GOOD}".encode("latin-1"))
    bad = [2, 3][: 1 + line.count("\n")]
    assert pairs.lines.tolist() == [1, bad[-1] + 1]
    assert [number for number, _ in pairs.faults] == bad


def test_fields_that_are_not_known_are_ignored():
    text = f'{GOOD}\n{{"id": "é", "label": 0, "in0": [7], "in1": [8]}}'.encode()
    assert said(read_labelled(text))[:3] == ([[[3, 4], [7]], [[], [8]]], [1.0, 0.0], [1, 2])


def test_a_large_block_is_read_by_several_threads_in_order():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 10**6, rng.integers(0, 40)).tolist() for _ in range(20_000)]
    lines = [json.dumps({"label": n, "in0": row, "in1": [n]}) for n, row in enumerate(rows)]
    text = "\n".join(lines).encode()
    assert len(text) > 2**21
    plain = read_plain(text, 0)
    assert [plain.in0.row(n).tolist() for n in range(len(rows))] == rows
    assert plain.labels.tolist() == plain.in1.ids.tolist() == plain.lines.tolist()


def test_only_some_bad_lines_are_explained_but_all_counted():
    pairs = read_labelled(b"[]\n" * 30, 11, explained=4)
    assert pairs.bad == 30
    assert [number for number, _ in pairs.faults] == [11, 12, 13, 14]
    assert pairs.faults[0][1].text.startswith("expected an object that holds in0")
