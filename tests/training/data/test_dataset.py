"""Files of any size as data sets: what is read, what is refused, and in which words."""

import gzip
import json
import logging
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax.data.arrow import read_each_line
from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.data.dataset import Dataset, read_dataset

GOOD = '{"label": 1, "in0": [3, 4], "in1": [5]}'
BLOCKS = [1, 50, 2**24]  # a line a block, a few lines, everything


def config_of(**settings):
    small = {"enc0_max_seq_len": 4, "enc0_vocab_size": 20, "enc_dim": 8, "num_classes": 3}
    return Hyperparameters(**{**small, **settings})


@pytest.fixture
def read(tmp_path):
    """Writes texts to files a.jsonl, b.jsonl, ... and reads them; paths become plain names."""

    def read(*texts, config=None, **options):
        files = []
        for name, text in zip("abcdef", texts, strict=False):
            files.append(tmp_path / f"{name}.jsonl")
            files[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_dataset(files, config or config_of(), cache=tmp_path / "cache", **options)

    return read


@pytest.fixture
def refused(read, tmp_path):
    """The message with which reading fails, without the folder."""

    def refused(*texts, error=RecordError, **options):
        with pytest.raises(error) as caught:
            read(*texts, **options)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return refused


def lists(data, side, index=None):
    rows = data.rows(side, np.arange(len(data)) if index is None else index)
    return [rows.row(n).tolist() for n in range(len(rows))]


def text_of(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def some_records(count, seed=0):
    rng = np.random.default_rng(seed)

    def side(least):
        return rng.integers(1, 20, rng.integers(least, 9)).tolist()

    return [{"label": n % 3, "in0": side(1), "in1": side(0)} for n in range(count)]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_records_come_back_in_order_and_cut(read, block_bytes):
    records = some_records(40)
    data = read(text_of(records[:25]), "", text_of(records[25:]), block_bytes=block_bytes)
    assert data.labels.tolist() == [r["label"] for r in records]
    assert data.labels.dtype == np.float32
    for side in (0, 1):
        expected = [r[f"in{side}"][:4] for r in records]
        assert lists(data, side) == expected
        assert data.lengths(side).tolist() == [len(row) for row in expected]
        assert data.lengths(side).dtype == np.int32
        assert data.histograms()[side].tolist() == np.bincount([*map(len, expected)]).tolist()
    assert (len(data), data.skipped.count) == (40, 0)


def test_shuffled_rows_equal_a_plain_reading(read):
    records = some_records(300)
    data = read(text_of(records), block_bytes=999)
    order = np.random.default_rng(1).permutation(300)
    for start in range(0, 300, 32):
        index = order[start : start + 32]
        for side in (0, 1):
            assert lists(data, side, index) == [records[n][f"in{side}"][:4] for n in index]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_odd_but_legal_files(read, block_bytes):
    odd = f"\ufeff{GOOD}\r\n\n \t\n{GOOD}\r\n\r\n{GOOD}".encode()
    data = read(odd, f"\ufeff\n\n{GOOD}", block_bytes=block_bytes)
    assert data.labels.tolist() == [1, 1, 1, 1]
    assert lists(data, 0) == [[3, 4]] * 4


NO_CLASS = (
    "is not an integer class in 0..2 of num_classes=3 (output_layer=mean_squared_error takes any "
    "number)"
)
BAD = {
    '{"label": 1, "in0": [1, 2, 3, 20], "in1": [1]}': (
        "$.in0[3]: 20 is outside the vocabulary 0..19"
    ),
    '{"label": 1, "in0": [1], "in1": [1, 2, 3, 4, 5, 99]}': (
        "$.in1[5]: 99 is outside the vocabulary 0..19"
    ),
    '{"label": 1, "in0": [1, -2], "in1": [1]}': "$.in0[1]: -2 is outside the vocabulary 0..19",
    f'{{"label": 1, "in0": [1], "in1": [{2**31}]}}': (
        "$.in1[0]: 2147483648 is outside the vocabulary 0..19"
    ),
    '{"label": 1, "in0": [1.5], "in1": [1]}': (
        "$.in0[0]: expected an integer token id, got 1.5 (a float)"
    ),
    '{"label": 1, "in0": "a", "in1": [1]}': (
        '$.in0: expected a list of token ids, got "a" (a string)'
    ),
    '{"label": 1, "in0": [1]}': '$: the field "in1" is missing',
    '{"in0": [1], "in1": [1]}': '$: the field "label" is missing',
    '{"label": true, "in0": [1], "in1": [1]}': "$.label: expected a number, got true (a bool)",
    '{"label": "1", "in0": [1], "in1": [1]}': '$.label: expected a number, got "1" (a string)',
    '{"label": 3, "in0": [1], "in1": [1]}': f"$.label: 3 {NO_CLASS}",
    '{"label": -1, "in0": [1], "in1": [1]}': f"$.label: -1 {NO_CLASS}",
    '{"label": 0.5, "in0": [1], "in1": [1]}': f"$.label: 0.5 {NO_CLASS}",
    '{"label": 1, "in0": [], "in1": []}': (
        "$: both in0 and in1 are empty, so there is nothing to learn from"
    ),
    '{"label": 1, "in0": [0, 0], "in1": [0]}': (
        "$: both in0 and in1 are empty, so there is nothing to learn from"
    ),
    '{"label": 1, "in0": [1], "in1": [1], "negatives": [[1], [2, 20]]}': (
        "$.negatives[1][1]: 20 is outside the vocabulary 0..19"
    ),
    '{"label": 1, "in0": [1], "in1": [1], "negatives": [[1], [0]]}': (
        "$.negatives[1]: the negative is empty, so there is nothing to learn from"
    ),
    '{"label": 1, "in0": [1], "in1": [1], "negatives": [3]}': (
        "$.negatives[0]: expected a list of token ids, got 3 (an integer)"
    ),
    '{"label": 1, "in0": [1], "in1": [1]': (
        "$: not valid JSON: the line ends within a record: write each record on one line, as jq -c "
        "does"
    ),
    "[1]": "$: expected an object that holds in0, in1 or both, got a list",
}


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize("line", BAD)
def test_a_bad_record_is_named_by_file_line_and_path(refused, line, block_bytes):
    texts = f"{GOOD}\n" * 3, f"{GOOD}\n\n{GOOD}\n{line}\n{GOOD}\n"
    assert refused(*texts, block_bytes=block_bytes) == f"b.jsonl:4 {BAD[line]}"


@pytest.mark.parametrize("block_bytes", BLOCKS)
@pytest.mark.parametrize(("first", "second"), [*zip(BAD, [*BAD][5:] + [*BAD][:5], strict=True)])
def test_the_first_bad_record_is_raised_whatever_its_kind(refused, first, second, block_bytes):
    text = f"{GOOD}\n{first}\n{GOOD}\n{second}\n"
    assert refused(text, block_bytes=block_bytes) == f"a.jsonl:2 {BAD[first]}"
    assert refused(GOOD, first, second, block_bytes=block_bytes) == f"b.jsonl:1 {BAD[first]}"


def test_of_one_record_the_vocabulary_is_said_first(refused):
    line = '{"label": 7, "in0": [1], "in1": [30, 40]}'
    assert refused(line) == "a.jsonl:1 $.in1[0]: 30 is outside the vocabulary 0..19"
    line = '{"label": 7, "in0": [50], "in1": [30, 40]}'
    assert refused(line) == "a.jsonl:1 $.in0[0]: 50 is outside the vocabulary 0..19"


def test_the_vocabulary_is_that_of_the_side(read, refused):
    config = config_of(
        enc1_network="hcnn", enc1_max_seq_len=2, enc1_vocab_size=30, enc1_cnn_filter_width=3
    )
    text = '{"label": 1, "in0": [19], "in1": [29]}'
    assert lists(read(text, config=config), 1) == [[29]]
    bad = '{"label": 1, "in0": [19], "in1": [30]}'
    message = "a.jsonl:1 $.in1[0]: 30 is outside the vocabulary 0..29"
    assert refused(bad, config=config) == message


@pytest.mark.parametrize("label", ["-2.5", "7", "1e30"])
def test_regression_takes_any_number(read, label):
    config = config_of(output_layer="mean_squared_error")
    data = read(f'{{"label": {label}, "in0": [1], "in1": []}}', config=config)
    assert data.labels.tolist() == [np.float32(label)]


def test_regression_refuses_what_float32_cannot_hold(refused):
    config = config_of(output_layer="mean_squared_error")
    message = refused('{"label": -1e39, "in0": [1], "in1": []}', config=config)
    assert message == "a.jsonl:1 $.label: -1e+39 is not a finite number that float32 can hold"


@pytest.mark.parametrize("skip", [False, True])
def test_negative_sampling_takes_positives_only(read, refused, skip):
    config = config_of(negative_sampling_rate=3)
    text = f'{GOOD}\n{{"label": 0, "in0": [1], "in1": [2]}}\n{GOOD}'
    message = (
        "a.jsonl:2 $.label: 0 is given, but negative_sampling_rate=3 makes the negatives: "
        "every record must have label 1"
    )
    if skip:
        data = read(text, config=config, positives=True, skip=True)
        assert (len(data), data.skipped.count) == (2, 1)
        assert data.skipped.listed[0].endswith(message)
    else:
        assert refused(text, config=config, positives=True) == message
        assert read(text, config=config).labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_skipping_leaves_out_counts_and_lists(read, block_bytes, tmp_path):
    records = some_records(len(BAD))
    lines = [part for pair in zip(map(json.dumps, records), BAD, strict=True) for part in pair]
    data = read(GOOD, "\n".join(lines), skip=True, block_bytes=block_bytes)
    assert lists(data, 0) == [[3, 4], *(r["in0"][:4] for r in records)]
    assert lists(data, 1) == [[5], *(r["in1"][:4] for r in records)]
    assert data.labels.tolist() == [1, *(r["label"] for r in records)]
    assert data.lengths(1).tolist() == [1, *(len(r["in1"][:4]) for r in records)]
    assert data.skipped.count == len(BAD)
    expected = [f"b.jsonl:{2 * n} {message}" for n, message in enumerate(BAD.values(), 1)]
    assert [line.removeprefix(f"{tmp_path}/") for line in data.skipped.listed] == expected


def test_a_thousand_are_listed_and_all_counted(read):
    unreadable, outside = "[]\n", '{"label": 9, "in0": [1], "in1": []}\n'
    data = read(GOOD + "\n" + (unreadable + outside) * 700, skip=True, block_bytes=5000)
    assert (len(data), data.skipped.count, len(data.skipped.listed)) == (1, 1400, 1000)
    lines = [int(message.split("a.jsonl:")[1].split()[0]) for message in data.skipped.listed]
    assert lines == list(range(2, 1002))


@pytest.mark.parametrize("text", ["[]\n[]", '{"label": 3, "in0": [1], "in1": []}\n[]'])
def test_if_nothing_is_left_it_says_so(refused, text):
    message = refused(text, skip=True, error=InputError)
    assert message.startswith("a.jsonl: none of its 2 records can be used; the first: a.jsonl:1 $")


@pytest.mark.parametrize("texts", [[""], ["\n \n", "", "\ufeff"]])
def test_no_records(refused, texts):
    names = ", ".join(f"{name}.jsonl" for name, _ in zip("abc", texts, strict=False))
    for skip in (False, True):
        message = refused(*texts, skip=skip, error=InputError)
        assert message == f"{names}: holds no records"


def test_no_files():
    with pytest.raises(InputError, match="no file is given to read records from"):
        read_dataset([], config_of())


def test_many_files_are_not_all_named(refused):
    message = refused(*[""] * 6, error=InputError)
    assert message == "a.jsonl, b.jsonl, c.jsonl, 3 more files: holds no records"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.jsonl: cannot be read \(No such file"):
        read_dataset([tmp_path / "none.jsonl"], config_of(), cache=tmp_path / "cache")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_dataset([tmp_path], config_of(), cache=tmp_path / "cache")


def test_a_line_without_end_is_refused(tmp_path):
    endless = tmp_path / "endless.jsonl"
    endless.write_text(f"{GOOD}\n")
    with endless.open("r+b") as stream:
        stream.truncate(2**27 + 2**24)
    with pytest.raises(InputError, match=r"endless.jsonl:2 is longer than 134217728 bytes"):
        read_dataset([endless], config_of(), cache=tmp_path / "cache")


@pytest.mark.parametrize("last", [GOOD, "[]"])
def test_a_pipe_is_read_once(tmp_path, last):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(f"{GOOD}\n" * 9 + last,))
    writer.start()
    data = read_dataset([pipe], config_of(), cache=tmp_path / "cache", skip=True)
    writer.join()
    assert len(data) + data.skipped.count == 10
    assert [message.split(":")[1] for message in data.skipped.listed] == ["10 $"][: last == "[]"]


def test_what_is_cut_and_zeros_inside_are_said_once_a_side(read, caplog, tmp_path):
    long, zero = [1, 2, 3, 4, 5], [0, 2]
    records = [{"label": 0, "in0": long, "in1": [1]}, {"label": 0, "in0": [1], "in1": zero}]
    with caplog.at_level(logging.WARNING):
        read(text_of(records * 3), block_bytes=1)
    said = [record.getMessage().replace(f"{tmp_path}/", "") for record in caplog.records]
    assert said == [
        "a.jsonl: in0: 3 sequences are cut to enc0_max_seq_len=4",
        "a.jsonl: in1: id 0 is padding and is ignored, but stands before other ids",
    ]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_hard_negatives_come_back_with_their_records(read, caplog, block_bytes):
    negatives = [[[1], [2, 3]], None, [], [[4]], [[5, 6, 7, 8, 9], [1], [2]], []]
    records = some_records(6)
    for record, rows in zip(records, negatives, strict=True):
        if rows != []:
            record["negatives"] = rows
    lines = text_of(records[:2]) + "[]\n" + text_of(records[2:4])
    bad = '{"label": 1, "in0": [99], "in1": [1], "negatives": [[1], [2]]}\n'
    for _ in range(2):  # parsed, and found in the cache
        data = read(lines, bad + text_of(records[4:]), skip=True, block_bytes=block_bytes)
        assert (len(data), data.skipped.count) == (6, 2)
        assert data.negative_counts.tolist() == [2, 0, 0, 1, 3, 0]
        assert data.longest_negatives.tolist() == [2, 0, 0, 1, 4, 0]
        chosen = data.choose_negatives(np.array([4, 0, 1]), 9)
        taken = data.take_negatives(chosen).to_lists()
        assert sorted(taken[:3]) == [[1], [2], [5, 6, 7, 8]]
        assert sorted(taken[3:]) == [[1], [2, 3]]
    said = "negatives: in1: 1 sequences are cut to enc1_max_seq_len=4"
    assert [said in record.getMessage() for record in caplog.records].count(True) == 2


def test_hard_negatives_are_part_of_what_data_are(read):
    texts = ("", ', "negatives": [[1], [2]]', ', "negatives": [[1, 2]]')
    hashes = [read(f"{GOOD[:-1]}{text}}}").hash() for text in texts]
    assert len({*hashes}) == 3


def test_a_dataset_of_plain_arrays_is_neither_cut_nor_filtered():
    sides = Ragged.of([[1] * 9, [2]]), Ragged.of([[], [3, 4]])
    data = Dataset(*sides, np.array([0, 1], np.float32))
    assert lists(data, 0, np.array([1, 0])) == [[2], [1] * 9]
    assert data.lengths(1).tolist() == [0, 2]


LINES = st.lists(st.sampled_from([GOOD, "", *BAD]), max_size=8)


@given(LINES, LINES, st.integers(1, 200))
def test_skipping_is_what_a_plain_reading_finds(tmp_path_factory, one, other, block_bytes):
    folder = tmp_path_factory.mktemp("files")
    files = folder / "one", folder / "other"
    for file, lines in zip(files, (one, other), strict=True):
        file.write_text("\n".join(lines))
    good = [*one, *other].count(GOOD)
    try:
        data = read_dataset(
            files, config_of(), skip=True, cache=folder / "cache", block_bytes=block_bytes
        )
    except InputError:
        assert good == 0
    else:
        bad = sum(len(line) > 0 for line in [*one, *other]) - good
        assert (len(data), data.skipped.count, len(data.skipped.listed)) == (good, bad, bad)
        assert lists(data, 0) == [[3, 4]] * good


def test_good_lines_are_those_of_the_line_reader(read):
    text = text_of(some_records(50))
    pairs = read_each_line(text.encode())
    data = read(text, config=config_of(enc0_max_seq_len=100))
    for side, rows in enumerate((pairs.in0, pairs.in1)):
        assert lists(data, side) == [rows.row(n).tolist() for n in range(50)]


@pytest.mark.parametrize("block_bytes", BLOCKS)
def test_gzip_is_read_and_its_columns_are_found_again(read, tmp_path, block_bytes):
    texts = text_of(some_records(9)), f"\ufeff{GOOD}\n"
    plain = read(*texts, block_bytes=block_bytes)
    packed = [gzip.compress(text.encode(), mtime=0) for text in texts]
    for _ in range(2):
        data = read(*packed, block_bytes=block_bytes)
        assert lists(data, 0) == lists(plain, 0)
        assert len(list((tmp_path / "cache").iterdir())) == 2
    two_members = packed[0] + gzip.compress(texts[0].encode())
    assert len(read(two_members, block_bytes=block_bytes)) == 18


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_gzip_is_named(refused, damage):
    data = bytearray(gzip.compress(text_of(some_records(99)).encode()))
    data[-6] ^= 1  # of the checksum
    message = refused(bytes(data[:-9] if damage == "cut" else data), error=InputError)
    assert message.startswith("a.jsonl: is damaged gzip (")


REFUSED = {
    b"PAR1\x15": "b.jsonl is a Parquet file, but JSON Lines are expected: o2v transform scores it, "
    "and o2v prepare makes JSON Lines of it",
    b"label,in0\n1,2\n": "b.jsonl: looks like CSV, but JSON Lines are expected: o2v prepare makes "
    "them from tables",
    b'{"instances": [{"label": 1, "in0": [1], "in1": [1]}]}': (
        "b.jsonl: is one JSON document: expected JSON Lines, a record a line"
    ),
    b'{\n  "instances": [\n': "b.jsonl: is one JSON document: expected JSON Lines, a record a line",
}


@pytest.mark.parametrize("content", REFUSED, ids=REFUSED.values())
@pytest.mark.parametrize("skip", [False, True])
def test_what_is_no_json_lines_is_named(refused, content, skip):
    assert refused(GOOD, content, error=InputError, skip=skip) == REFUSED[content]


def test_lines_that_look_like_a_table_are_skipped_where_records_follow(read):
    assert len(read("hello, world\nx, y\n" + GOOD, skip=True)) == 1


def test_half_a_surrogate_pair_in_another_field_is_ignored(read):
    assert len(read(GOOD.replace("}", r', "t": "x\ud83d"}'))) == 1
