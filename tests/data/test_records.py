import io
import json
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax import Tokenizer, Vocabulary
from o2v_jax.data import DecodeOptions, Format, decode, encode, read_lines, sniff
from o2v_jax.errors import RecordError

JSON, LINES = Format.JSON, Format.JSON_LINES
EXAMPLES = Path(__file__).parent / "requests"
SIZES = (10, 20)
IDS = st.lists(st.integers(0, 9), max_size=5)
PAIRS = st.lists(st.fixed_dictionaries({"in0": IDS, "in1": IDS}), min_size=1, max_size=6)


def body(records, media_type):
    if media_type == JSON:
        return json.dumps({"instances": records}).encode()
    return "\n".join(map(json.dumps, records)).encode()


def rows(ragged):
    return [ragged.row(i).tolist() for i in range(len(ragged))]


def problem(data, media_type=JSON, **options):
    with pytest.raises(RecordError) as caught:
        decode(data, media_type, DecodeOptions(**{"vocab_sizes": SIZES} | options))
    return str(caught.value)


@given(PAIRS, st.sampled_from(Format))
def test_pairs_come_back_as_ragged_arrays(records, media_type):
    read = decode(body(records, media_type), media_type, DecodeOptions(SIZES))
    assert rows(read.in0) == [r["in0"] for r in records]
    assert rows(read.in1) == [r["in1"] for r in records]
    assert read.paired
    assert len(read) == len(records)
    assert (read.in0.ids.dtype, read.in0.offsets.dtype) == (np.int32, np.int64)


def test_single_sides_may_be_mixed_with_each_other():
    read = decode(
        body([{"in1": [1]}, {"in0": [2, 3]}, {"in1": []}], LINES), LINES, DecodeOptions(SIZES)
    )
    assert (rows(read.in0), rows(read.in1)) == ([[2, 3]], [[1], []])
    assert read.has0.tolist() == [False, True, False]
    assert read.has1.tolist() == [True, False, True]
    assert not read.paired


def test_no_records_is_legal():
    read = decode(b'{"instances": []}', JSON, DecodeOptions(SIZES))
    assert len(read) == 0
    assert read.paired


def test_unknown_keys_are_ignored_and_labels_only_read_when_asked_for():
    data = b'{"label": "x", "in0": [1], "in1": [2], "more": {"in0": [1.5]}}'
    assert decode(data, LINES, DecodeOptions(SIZES)).labels is None
    assert (
        problem(data, LINES, labelled=True)
        == 'line 1 $.label: expected a number, got "x" (a string)'
    )


def test_labels_are_float64():
    data = b'{"label": 1, "in0": [1], "in1": [2]}\n{"label": -2.5, "in0": [], "in1": []}'
    labels = decode(data, LINES, DecodeOptions(labelled=True)).labels
    assert labels.dtype == np.float64
    assert labels.tolist() == [1.0, -2.5]


@pytest.mark.parametrize("texts", [False, True])
def test_a_label_that_may_be_there_is_nan_where_it_is_not(texts):
    in0 = '"a b"' if texts else "[1]"
    records = f'{{"label": 1, "in0": {in0}, "in1": [2]}}, {{"in0": {in0}, "in1": [2]}}'
    tokenizers = (Tokenizer("tokens", Vocabulary({"<unk>": 1, "a": 2})),) * 2 if texts else None
    options = DecodeOptions(labelled=None, tokenizers=tokenizers)
    document = f'{{"instances": [{records}]}}'.encode()
    np.testing.assert_array_equal(decode(document, Format.JSON, options).labels, [1, np.nan])
    lines = records.replace("}, {", "}\n{").encode()
    np.testing.assert_array_equal(decode(lines, LINES, options).labels, [1, np.nan])
    assert problem(b'{"in0": [1]}', LINES, labelled=None) == (
        'line 1 $: the field "in1" is missing'
    )


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ("[1, 99999]", "$.instances[1].in0[1]: 99999 is outside the vocabulary 0..9"),
        ("[10]", "$.instances[1].in0[0]: 10 is outside the vocabulary 0..9"),
        ("[1, -3]", "$.instances[1].in0[1]: -3 is outside the vocabulary 0..9"),
        (f"[{2**64}]", f"$.instances[1].in0[0]: {2**64} is outside the vocabulary 0..9"),
        (f"[{'9' * 4000}]", f"$.instances[1].in0[0]: {'9' * 40}... is outside the vocabulary 0..9"),
        (f"[{'9' * 9000}]", "$.instances[1].in0[0]: the integer is outside the vocabulary 0..9"),
        ("[0, 1, 1.5]", "$.instances[1].in0[2]: expected an integer token id, got 1.5 (a float)"),
        ("[1.0]", "$.instances[1].in0[0]: expected an integer token id, got 1.0 (a float)"),
        ("[true]", "$.instances[1].in0[0]: expected an integer token id, got true (a bool)"),
        ('["7"]', '$.instances[1].in0[0]: expected an integer token id, got "7" (a string)'),
        ("[null]", "$.instances[1].in0[0]: expected an integer token id, got null"),
        ("[[1]]", "$.instances[1].in0[0]: expected an integer token id, got a list"),
        ("[{}]", "$.instances[1].in0[0]: expected an integer token id, got an object"),
        ("null", "$.instances[1].in0: expected a list of token ids, got null"),
        ('"a b"', '$.instances[1].in0: expected a list of token ids, got "a b" (a string)'),
        ("3", "$.instances[1].in0: expected a list of token ids, got 3 (an integer)"),
    ],
)  # fmt: skip
def test_a_bad_id_is_named_by_its_path(ids, reason):
    record = f'{{"in0": {ids}, "in1": [1]}}'
    document = f'{{"instances": [{{"in0": [1], "in1": [1]}}, {record}]}}'.encode()
    assert problem(document) == reason
    lines = f'\n{{"in0": [1], "in1": [1]}}\r\n\n{record}\n'.encode()
    assert problem(lines, LINES) == reason.replace("$.instances[1]", "line 4 $")


def test_each_side_has_its_own_vocabulary():
    data = b'{"instances": [{"in0": [9], "in1": [19]}, {"in0": [9], "in1": [19, 20]}]}'
    assert problem(data) == "$.instances[1].in1[1]: 20 is outside the vocabulary 0..19"
    assert len(decode(data, JSON, DecodeOptions())) == 2


def test_a_single_side_after_others_is_named_by_its_record():
    data = body([{"in1": [1]}, {"in0": []}, {"in0": [1, 10]}], JSON)
    assert problem(data) == "$.instances[2].in0[1]: 10 is outside the vocabulary 0..9"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "$: the body is empty"),
        (b" \r\n", "$: the body is empty"),
        (b"[1]", '$: expected {"instances": [...]}, got a list: wrap it as'),
        (b"3", '$: expected {"instances": [...]}, got 3 (an integer)'),
        (b"{}", '$: the field "instances" is missing'),
        (b'{"instances": {}}', "$.instances: expected a list of records, got an object"),
        (b'{"instances": [3]}', "$.instances[0]: expected an object that holds in0, in1"),
        (b'{"instances": [{}]}', "$.instances[0]: holds neither in0 nor in1"),
        (b'{"instances": [', "$: not valid JSON: Input data was truncated"),
        (b'{"instances": []} x', "$: not valid JSON: trailing characters (byte 19)"),
        (b'{"instances": [{"in0": [NaN]}]}', "$: not valid JSON: invalid character (byte 24)"),
        (b'{"instances": [], "x": "\xff"}', "$: not UTF-8: byte 24 is 0xff"),
        (b'{"instances": [], "x": ' + b"[" * 100_000, "$: the JSON is nested too deeply"),
    ],
)  # fmt: skip
def test_a_bad_document_says_what_would_be_right(data, expected):
    assert problem(data).startswith(expected)


def test_pairs_and_singles_do_not_mix():
    pair, single = {"in0": [1], "in1": [1]}, {"in0": [1]}
    assert problem(body([pair, pair, single], JSON)).startswith(
        "$.instances[2]: gives only one side, but $.instances[0] gives both: ask for scores"
    )
    assert problem(body([single, pair], LINES), LINES).startswith(
        "line 2 $: gives both sides, but line 1 $ gives only one"
    )


def test_the_wrong_media_type_is_named():
    pair = [{"in0": [1], "in1": [1]}]
    assert problem(body(pair * 2, LINES)).endswith(
        "send it with Content-Type application/jsonlines"
    )
    document = json.dumps({"instances": pair}, indent=1).encode()
    for data in (document, body(pair, JSON)):
        assert problem(data, LINES).endswith("send it with Content-Type application/json")


def test_lines_end_at_newlines_only():
    data = '{"in0": [1], "in1": [2], "x": "\u2028\u2029\x85"}\r\n \n{"in0": [3], "in1": [4]}\n\n'
    read = decode(b"\xef\xbb\xbf" + data.encode(), LINES, DecodeOptions(SIZES))
    assert rows(read.in0) == [[1], [3]]
    assert read.places.lines.tolist() == [1, 3]


def test_a_byte_order_mark_is_only_tolerated_in_front():
    document = b'{"instances": []}'
    assert len(decode(b"\xef\xbb\xbf" + document, JSON, DecodeOptions(SIZES))) == 0
    assert "not valid JSON" in problem(document + b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b'{"instances": [{"in0": [1]}]}', JSON),
        (b'{"in0": [1], "in1": [2]}', LINES),
        (b'\xef\xbb\xbf\r\n{"in1": [1]}\n{"in1": [2]}', LINES),
        (b'{"in0": [1], "instances": []}', JSON),
        (b'{\n"instances": []}', JSON),
        (b"", JSON),
        (b"\xff", JSON),
        (b"[" * 100_000, JSON),
    ],
)
def test_sniff(data, media_type):
    assert sniff(data) == media_type


@given(st.binary(max_size=60), st.sampled_from(Format))
def test_no_bytes_raise_anything_but_a_record_error(data, media_type):
    sniff(data)
    with suppress(RecordError):
        decode(data, media_type, DecodeOptions(SIZES))


FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
MATRICES = st.integers(1, 4).flatmap(
    lambda k: st.lists(st.lists(FLOATS, min_size=k, max_size=k), max_size=5)
)


@given(MATRICES, st.sampled_from(Format), st.sampled_from(["scores", "embeddings"]))
def test_results_round_trip_exactly(matrix, media_type, key):
    values = np.asarray(matrix, np.float32).reshape(len(matrix), -1 if matrix else 3)
    data = encode(values, key, media_type)
    if media_type == JSON:
        answers = orjson.loads(data)["predictions"]
    else:
        assert not data.endswith(b"\n")
        answers = [orjson.loads(line) for line in data.split(b"\n") if line]
    assert [list(answer) for answer in answers] == [[key]] * len(matrix)
    np.testing.assert_array_equal([np.float32(a[key]) for a in answers], matrix)


def test_results_may_be_a_cut_of_a_padded_array():
    padded = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert encode(padded[:, :2], "scores", LINES) == b'{"scores":[0.0,1.0]}\n{"scores":[4.0,5.0]}'


@pytest.mark.slow
@pytest.mark.parametrize("media_type", Format)
@pytest.mark.parametrize("shape", [(70_000, 1), (131_073, 1), (30, 5000), (2, 70_000)])
def test_a_large_result_is_written_whole(shape, media_type):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    data = encode(values, "scores", media_type)
    text = data if media_type == JSON else b'{"predictions":[%s]}' % data.replace(b"\n", b",")
    assert text == orjson.dumps({"predictions": [{"scores": row} for row in values.tolist()]})


@pytest.mark.parametrize("media_type", Format)
def test_a_large_result_takes_little_more_memory_than_its_bytes(media_type):
    values = np.full((100_000, 4), 0.123456, np.float32)
    tracemalloc.start()
    data = encode(values, "scores", media_type)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(data)


def test_results_that_json_cannot_express_are_refused():
    with pytest.raises(ValueError, match="the scores hold values that are not finite"):
        encode(np.float32([[np.nan]]), "scores", JSON)
    with pytest.raises(ValueError, match="the embeddings hold values that are not finite"):
        encode(np.float32([[1]] * 70_000 + [[np.inf]]), "embeddings", LINES)


def test_the_documented_answer_layout():
    assert (
        encode(np.float32([[0.5, 0.25]]), "scores", JSON)
        == b'{"predictions":[{"scores":[0.5,0.25]}]}'
    )
    assert (
        encode(np.float32([[0.5]]), "embeddings", JSON) == b'{"predictions":[{"embeddings":[0.5]}]}'
    )


def read_all(data):
    """The chunks of a file that could be read, and the error that ended it."""
    chunks = read_lines(io.BytesIO(data), "pairs.jsonl", DecodeOptions(SIZES), chunk_lines=2)
    out = []
    try:
        while chunk := next(chunks, None):
            out.append(chunk)
    except RecordError as error:
        return out, str(error)
    return out, None


def test_a_file_streams_in_chunks_with_its_own_line_numbers():
    data = b"\xef\xbb\xbf" + b'{"in0": [1], "in1": []}\n\n' * 3 + b'{"in0": [2], "in1": [3]}'
    chunks, error = read_all(data)
    assert error is None
    assert [len(c) for c in chunks] == [1, 1, 1, 1]
    assert [c.places.lines.tolist() for c in chunks] == [[1], [3], [5], [7]]


@pytest.mark.parametrize("bad", ['"in0": [0, 1, 2, 1.5]', '"in0": [0, 1, 2, 10]'])
def test_records_before_a_bad_line_come_out_first(bad):
    good = '{"in0": [1], "in1": []}\n'
    data = f'{good}{good}{good}{{{bad}, "in1": []}}\n{good}'.encode()
    chunks, error = read_all(data)
    assert [len(c) for c in chunks] == [2, 1]
    assert error.startswith("pairs.jsonl:4 $.in0[3]: ")
    assert chunks[1].places.of(0) == "pairs.jsonl:3 $"


def test_a_file_must_not_mix_pairs_and_singles_across_chunks():
    chunks, error = read_all(b'{"in0": [1], "in1": []}\n' * 2 + b'{"in0": [1]}')
    assert [len(c) for c in chunks] == [2]
    assert error.startswith(
        "pairs.jsonl:3 $: gives only one side, but the lines before pairs.jsonl:3"
    )


@pytest.mark.parametrize("name", ["scores", "embeddings"])
def test_the_documented_requests_are_the_same_in_both_formats(name):
    document = decode((EXAMPLES / f"{name}.json").read_bytes(), JSON, DecodeOptions())
    lines = decode((EXAMPLES / f"{name}.jsonl").read_bytes(), LINES, DecodeOptions())
    assert rows(document.in0) == rows(lines.in0)
    assert max(map(max, rows(document.in0))) == 10178
    assert document.paired == (name == "scores")
