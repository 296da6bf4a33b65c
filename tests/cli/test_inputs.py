"""What `score`, `embed` and `evaluate` read: marks, gzip, files of other kinds, and limits."""

import gzip
import json

import pytest

PAIR = '{"label": 1, "in0": [1, 2], "in1": [3]}\n'
TEXT = "A man is sleeping.\tNobody is awake.\n"
MARK = "\ufeff"


def run(o2v, model, command, content, *options):
    return o2v(command, "--model", model, *options, stdin=content)


@pytest.mark.parametrize("command", ["score", "evaluate"])
@pytest.mark.parametrize("form", ["jsonl", "json", "text"])
def test_a_byte_order_mark_and_gzip_change_nothing(o2v, model, command, form):
    label = "1\t" if command == "evaluate" else ""
    document = json.dumps({"instances": [json.loads(PAIR)]})
    content = {"jsonl": PAIR, "json": document, "text": label + TEXT}[form]
    plain = run(o2v, model, command, content.encode(), "--format", form)
    assert plain.status == 0, plain.err
    marked = (MARK + content).encode()
    for data in (marked, gzip.compress(marked), gzip.compress(content.encode())):
        assert run(o2v, model, command, data, "--format", form) == plain


def test_a_mark_alone_is_no_record(o2v, model):
    for form in ("jsonl", "text"):
        assert run(o2v, model, "score", MARK.encode(), "--format", form) == (0, "", "")


@pytest.mark.parametrize("name", ["a.tsv.gz", "a.txt.gz", "a.jsonl.gz", "a.json.gz", "a"])
def test_gzipped_files_are_read_by_their_inner_ending(o2v, model, tmp_path, name):
    content = TEXT if name.startswith(("a.t", "a.tx")) else PAIR
    content = '{"instances": [' + PAIR + "]}" if "json." in name else content
    (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    result = o2v("embed", "--model", model, "--side", "in0", tmp_path / name)
    assert result.status == 0, result.err
    assert len(result.rows) == 1


@pytest.mark.parametrize("form", ["jsonl", "json", "text"])
@pytest.mark.parametrize("end", [-4, 12])
def test_damaged_gzip_is_one_line(o2v, model, form, end):
    data = gzip.compress(b"".join(b"%d\n" % n for n in range(99)))[:end]
    result = run(o2v, model, "score", data, "--format", form)
    assert (result.status, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert "standard input: is damaged gzip (" in result.err


REFUSED = {
    b"PAR1\x15\x04": (
        "standard input is a Parquet file, but JSON Lines are expected: o2v transform scores"
    ),
    gzip.compress(b"a".ljust(257, b"\0") + b"ustar"): "standard input is a tar archive",
    b"label,in0\n1,2\n": "standard input:1 $: looks like CSV: o2v prepare makes JSON Lines of a",
    TEXT.encode(): "looks like tab-separated text: give --format text where it holds texts",
    b'{"instances": [{"in0": [1]}]}\n': "standard input: is one JSON document: give --format json",
    b'{\n "instances": [\n': "standard input: is one JSON document: give --format json",
    b'{\n "in0": [\n': "standard input:1 $: not valid JSON: the line ends within a record",
    PAIR.strip().encode() * 2: "standard input:1 $: several records stand on one line",
    PAIR.encode() + b" " * (6 * 2**20 + 1): "standard input:2: is longer than a record may be",
}


@pytest.mark.parametrize("content", REFUSED, ids=REFUSED.values())
@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_what_is_something_else_is_named_with_the_remedy(o2v, model, command, content):
    result = run(o2v, model, command, content)
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert REFUSED[content] in result.err


def test_a_large_document_is_refused(o2v, model):
    document = b'{"instances": [' + b" " * (100 * 2**20)
    result = run(o2v, model, "score", document, "--format", "json")
    assert result.status == 2
    assert "more than 100 MiB is not read: give JSON Lines, a record a line" in result.err
