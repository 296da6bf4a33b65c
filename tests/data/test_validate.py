"""What is wrong with a text is said truly, by every reader; what does not matter is ignored."""

import gzip
import io

import pytest

from o2v_jax.data import (
    DecodeOptions,
    Format,
    WrongFormatError,
    decode,
    read_each,
    read_lines,
    sniff,
    split_instances,
)
from o2v_jax.data.arrow import read_labelled
from o2v_jax.data.file_types import describe_table, is_document, peek_head, require_text
from o2v_jax.data.lines import CHUNK_BYTES, MAX_RECORD_BYTES, read_bounded_lines, split_chunks
from o2v_jax.errors import InputError, RecordError

HALVES = [r"x\ud83d", r"\udc00x", r"\ud83d\n", r"\uD83Dabc", r"\ud83d\ud83d\ude00", r"\\\ud83d"]
WHOLES = [r"\ud83d\ude00", r"\\ud83d", "é", r"\u00e9"]


def record(field, name="t"):
    return f'{{"label": 1, "in0": [1], "in1": [2], "{name}": "{field}"}}'.encode()


def each(text):
    return read_each([text], "line {} $".format, DecodeOptions())


@pytest.mark.parametrize("name", ["t", r"\ud83d"])
@pytest.mark.parametrize("field", HALVES + WHOLES)
def test_half_a_surrogate_pair_in_a_field_that_is_ignored_is_ignored(field, name):
    line = record(field, name)
    document = b'{"instances": [' + line + b"]}"
    assert len(decode(line, Format.JSON_LINES, DecodeOptions())) == 1
    assert len(decode(document, Format.JSON, DecodeOptions(labelled=True))) == 1
    assert len(next(read_lines([line], "a", DecodeOptions(labelled=True)))) == 1
    assert each(line).good.all()
    assert len(split_instances(document)) == 1
    assert read_labelled(line).labels.tolist() == [1]
    assert sniff(line) is Format.JSON_LINES


def test_half_a_surrogate_pair_where_an_id_is_wanted_is_no_id():
    (error,) = each(b'{"in0": ["\\ud83d"]}').errors.values()
    assert error.reason.startswith("expected an integer token id, got")


def reasons(line):
    """What every reader of lines says of a line, first the one of requests."""
    with pytest.raises(RecordError) as request:
        decode(line + b"\n", Format.JSON_LINES, DecodeOptions())
    with pytest.raises(RecordError) as file:
        list(read_lines([line], "a.jsonl"))
    ((_, fault),) = read_labelled(line).faults
    (single,) = each(line).errors.values()
    return [request.value.reason, file.value.reason, fault.text, single.reason]


@pytest.mark.parametrize("end", ["{", '{"in0": [', '{"in0": [1],\r', '{"in0":', '{"t": "a'])
def test_a_record_over_several_lines_or_cut_off_is_said(end):
    said = "the line ends within a record: write each record on one line, as jq -c does"
    assert set(reasons(end.encode())) == {f"not valid JSON: {said}"}


@pytest.mark.parametrize("between", ["", " ", "\r"])
def test_records_glued_together_are_said_with_the_remedy(between):
    one = '{"label": 1, "in0": [1], "in1": [2]}'
    request, *others = reasons(f"{one}{between}{one}".encode())
    said = "several records stand on one line: each needs a line of its own"
    assert set(others) == {said}
    assert request == f"{said}; curl sends line ends with --data-binary, but not with -d"


def test_documents_glued_together_are_said():
    with pytest.raises(RecordError, match=r"several JSON values, but one \{\"instances\""):
        decode(b'{"instances": []}{"instances": []}', Format.JSON, DecodeOptions())


def test_a_document_among_records_is_said():
    document = b'{"instances": [{"in0": [1]}]}'
    (error,) = each(document).errors.values()
    assert isinstance(error, WrongFormatError)
    assert error.actual is Format.JSON
    ((_, fault),) = read_labelled(document).faults
    assert fault.text == "one JSON document: expected JSON Lines, a record a line"
    ((_, fault),) = read_labelled(b'{"instances": 1, "in0": [1], "in1": [2]}').faults
    assert fault.text == 'the field "label" is missing'


KINDS = {
    b"PAR1\x15\x04": "is a Parquet file, but JSON Lines are expected: o2v transform scores it",
    b"PK\x03\x04": "is a zip archive (.zip, .xlsx, .npz), but JSON Lines are expected: unpack it",
    b"a".ljust(257, b"\0") + b"ustar": "is a tar archive",
    b"\x93NUMPY\x01\0": "is a NumPy array",
    (64).to_bytes(8, "little") + b'{"a":': "is a safetensors file",
    b"\xff\xfe{\0": "is UTF-16 text, but JSON Lines are expected: convert it to UTF-8",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd",
    b"ORC\x11\x00\x0a": "is an ORC file",
    b"BZh91AY&SY\x02": "is compressed by bzip2",
    b"\x01\0\x02": "is binary",
}


@pytest.mark.parametrize("head", KINDS, ids=KINDS.values())
def test_what_is_no_text_is_named(head):
    with pytest.raises(InputError) as refused:
        require_text(head, "file")
    assert str(refused.value).startswith(f"file {KINDS[head]}")


LETTERS = b"ORC", b"BZh", b"PAR1", b"FEA1", b"%PDF", b"ARROW1", b"SQLite format 3"


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"{}", "é".encode(), b"{}\n\0\0", b"PARIS\tROME"),
        *(letters + b"HIDS bloom.\tFlowers are there.\r\n" for letters in LETTERS),
    ],
)
def test_what_may_be_text_is_not(head):
    require_text(head, "file")


TABLES = {
    b"label,in0,in1\n1,2,3\n": "CSV",
    b"a;b\n": "CSV",
    b"\na\tb,c\nd\te,f": "tab-separated text",
    b"not json\n": "",
    b'{"in0": [1, 2]}\n': "",
    b'a,b\n{"in0": [1, 2]}\n': "",
    b"[1, 2]\n": "",
    b"a,b\nc;d\n": "",
    b"": "",
}


@pytest.mark.parametrize("head", TABLES)
def test_a_table_is_known_by_its_first_lines(head):
    assert describe_table(head) == TABLES[head]


def test_a_document_is_known_by_its_beginning():
    assert is_document(b' \n{\n "instances" : [\n')
    assert not is_document(b'{"in0": [1], "instances": []}')


def test_lines_are_bounded_and_so_are_chunks():
    long = b"x" * (MAX_RECORD_BYTES - 1) + b"\n"
    stream = io.BufferedReader(io.BytesIO(b"\xef\xbb\xbfa\n" + long * 3 + b"x" + long))
    seen = []
    chunks = split_chunks(read_bounded_lines(stream, "f"), 100)
    with pytest.raises(RecordError, match=r"^f:5: is longer than a record may be \(6 MiB\)"):
        seen.extend((first, [*map(len, chunk)]) for first, chunk in chunks)
    assert seen == [(1, [2, len(long), len(long)]), (4, [len(long)])]
    assert 2 * len(long) > CHUNK_BYTES


def test_what_stands_before_damage_comes_first():
    data = gzip.compress(b"".join(b"%d\n" % (n * 7919 % 99991) for n in range(50_000)))
    damaged = io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(data[:-4])))
    chunks = split_chunks(read_bounded_lines(damaged, "f"), 50_000)
    assert len(next(chunks)[1]) > 40_000
    with pytest.raises(InputError, match=r"^f: is damaged gzip \("):
        list(chunks)


def test_a_head_stays_to_be_read():
    stream = io.BufferedReader(io.BytesIO(b"\xef\xbb\xbf{}"))
    assert peek_head(stream) == b"{}"
    assert stream.read() == b"\xef\xbb\xbf{}"
