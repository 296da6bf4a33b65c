"""`o2v transform`: the real command on real files, every option, and what it says of mistakes."""

import gzip
import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest

import o2v_jax
from o2v_jax.transform.write.origin import NAME

pytestmark = pytest.mark.slow

PAIRS = [([1, 2], [3]), ([4], [5, 6, 7]), ([], [8])]
LINES = [json.dumps({"id": n, "in0": a, "in1": b}).encode() for n, (a, b) in enumerate(PAIRS)]
BAD = b'{"in0": [1, 99], "in1": [1]}'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_bytes(b"\n".join(LINES) + b"\n")
    return tmp_path


@pytest.fixture
def transform(o2v, model, folder):
    """`o2v transform ARGUMENTS --output out` with the trained model."""
    return lambda *arguments: o2v("transform", "--model", model, "--output", "out", *arguments)


@pytest.fixture
def scored(o2v, model):
    """What `o2v score` says of lines, as bytes."""
    return lambda lines: o2v("score", "--model", model, stdin=b"\n".join(lines)).out.encode()


def written(name="a.jsonl"):
    return Path("out", name + ".out").read_bytes()


def rows(name="a.jsonl"):
    return [json.loads(line) for line in written(name).splitlines()]


def marks_files():
    """Whether the file system can note on results what they are of."""
    with suppress(OSError, AttributeError), NamedTemporaryFile() as file:
        os.setxattr(file.name, NAME, b"")
        return True
    return False


marking = pytest.mark.skipif(not marks_files(), reason="no extended attributes here")


def hidden():
    return sorted(path.name for path in Path("out").glob(".*"))


def test_one_result_a_record_in_order(transform, scored):
    result = transform("a.jsonl")
    assert result.status == 0, result.err
    assert written() == scored(LINES)
    assert result.out == ""
    assert "1 of 1 files, 3 records, " in result.err
    assert hidden() == []


def test_encoders_in_bfloat16(transform, o2v, model):
    Path("e.jsonl").write_bytes(b'{"in0": [1, 2]}')
    assert transform("e.jsonl", "--dtype", "bfloat16").status == 0
    expected = o2v("embed", "--model", model, "--dtype", "bfloat16", "e.jsonl").out.encode()
    assert written("e.jsonl") == expected != o2v("embed", "--model", model, "e.jsonl").out.encode()


def test_a_folder_and_its_tree(transform, scored, folder):
    for name in ("in/x.jsonl", "in/deep/y.jsonl", "in/deep/z.jsonl.gz"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        content = b"\n".join(LINES)
        Path(name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert transform("in").status == 0
    for name in ("x.jsonl", "deep/y.jsonl", "deep/z.jsonl.gz"):
        assert written(name) == scored(LINES)


@pytest.mark.parametrize(
    "content",
    [
        b"\n".join(LINES),
        b"\n\n".join([b"", *LINES, b" \t", b""]),
        b"\xef\xbb\xbf" + b"\r\n".join(LINES) + b"\r\n",
        b"\xef\xbb\xbf\n" + b"\n".join(LINES),
    ],
    ids=["no final newline", "blank lines", "BOM and CRLF", "BOM alone"],
)
def test_blank_lines_and_missing_newlines(transform, scored, content):
    Path("a.jsonl").write_bytes(content)
    assert transform("a.jsonl").status == 0
    assert written() == scored(LINES)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_nothing_in_nothing_out(transform, content):
    Path("a.jsonl").write_bytes(content)
    assert transform("a.jsonl").status == 0
    assert written() == b""


def test_embeddings_of_either_side(transform, model):
    Path("e.jsonl").write_text('{"in0": [1, 2]}\n{"in1": [1, 2]}\n{"in0": [4]}\n')
    assert transform("e.jsonl", "--mode", "embedding").status == 0
    scorer = o2v_jax.Scorer(o2v_jax.load(model))
    expected = [*scorer.embed(in0=[[1, 2]]), *scorer.embed(in1=[[1, 2]]), *scorer.embed(in0=[[4]])]
    found = [row["embeddings"] for row in rows("e.jsonl")]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("content_type", [(), ("--content-type", "application/json")])
def test_a_document_is_one_request(transform, scored, content_type):
    name = "c.txt" if content_type else "c.json"
    Path(name).write_bytes(b'{"instances": [' + b", ".join(LINES) + b"]}")
    assert transform(name, *content_type).status == 0
    expected = [json.loads(line) for line in scored(LINES).splitlines()]
    assert json.loads(written(name)) == {"predictions": expected}
    assert not written(name).endswith(b"\n")


def test_a_document_without_records(transform):
    Path("c.json").write_text('{"instances": []}')
    assert transform("c.json").status == 0
    assert written("c.json") == b'{"predictions":[]}'


def test_a_document_a_line(transform, scored):
    documents = [b'{"instances": [' + line + b"]}" for line in LINES]
    Path("c.json").write_bytes(b"\n".join(documents))
    assert transform("c.json", "--split-type", "Line", "--strategy", "SingleRecord").status == 0
    expected = [b'{"predictions":[' + row + b"]}" for row in scored(LINES).splitlines()]
    assert written("c.json").splitlines() == expected


def test_accept_decides_the_format(transform, scored):
    assert transform("a.jsonl", "--accept", "application/json").status == 0
    expected = scored(LINES).splitlines()
    assert written() == b'{"predictions":[' + b",".join(expected) + b"]}\n"
    Path("c.json").write_bytes(b'{"instances": [' + b", ".join(LINES) + b"]}")
    assert transform("c.json", "--accept", "application/jsonlines").status == 0
    assert written("c.json") == b"\n".join(expected)


def test_a_strategy_of_single_records(transform, scored):
    single = ("--strategy", "SingleRecord")
    assert transform("a.jsonl", *single, "--accept", "application/json").status == 0
    expected = [b'{"predictions":[' + row + b"]}\n" for row in scored(LINES).splitlines()]
    assert written() == b"".join(expected)
    Path("m.jsonl").write_bytes(LINES[0] + b'\n{"in0": [1]}\n{"in1": [1]}\n' + LINES[1])
    assert transform("m.jsonl", *single).status == 0
    assert [*map(list, rows("m.jsonl"))] == [["scores"], ["embeddings"], ["embeddings"], ["scores"]]
    refused = transform("m.jsonl", "--no-resume")
    assert refused.status == 2
    assert "o2v: m.jsonl:2 $: gives only one side, but m.jsonl:1 gives both" in refused.err


def test_assembling(transform, scored):
    expected = scored(LINES).splitlines()
    assert transform("a.jsonl", "--assemble-with", "None").status == 0
    assert written() == b"\n".join(expected)
    single = ("--strategy", "SingleRecord", "--no-resume")
    assert transform("a.jsonl", "--assemble-with", "None", *single).status == 0
    assert written() == b"".join(expected)
    Path("c.json").write_bytes(b'{"instances": [' + b", ".join(LINES) + b"]}")
    assert transform("c.json", "--assemble-with", "Line").status == 0
    assert written("c.json") == b'{"predictions":[' + b",".join(expected) + b"]}\n"


def test_a_file_that_is_not_split_is_one_payload(transform, scored):
    assert transform("a.jsonl", "--split-type", "None").status == 0
    assert written() == scored(LINES).removesuffix(b"\n")
    Path("a.jsonl").write_bytes(LINES[0] + b"\n" * 2**20)
    refused = transform("a.jsonl", "--split-type", "None", "--max-payload", 1, "--no-resume")
    assert refused.status == 2
    assert (
        "a.jsonl: is longer than a request may be (1048576 bytes, --max-payload 1)" in refused.err
    )


def test_payloads_are_bounded(transform):
    """Documents of answers show which records were in one payload."""
    line = json.dumps({"in0": [1], "in1": [2], "x": "y" * 1000}).encode() + b"\n"
    Path("a.jsonl").write_bytes(line * 2500)
    accept = ("--accept", "application/json", "--no-resume")
    assert transform("a.jsonl", "--max-payload", 1, *accept).status == 0
    counts = [len(document["predictions"]) for document in rows()]
    most = 2**20 // len(line)
    assert counts == [most, most, 2500 - 2 * most]
    assert transform("a.jsonl", "--max-payload", 0, *accept).status == 0
    assert [len(document["predictions"]) for document in rows()] == [2500]


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_a_record_longer_than_a_payload(transform, strategy):
    long = b'{"in0": [1], "in1": [2], "x": "' + b"y" * 2**20 + b'"}'
    Path("a.jsonl").write_bytes(b"\n".join([LINES[0], long, LINES[1]]))
    arguments = ("a.jsonl", "--strategy", strategy, "--max-payload")
    failed = transform(*arguments, 1)
    assert failed.status == 2
    assert "a.jsonl:2: is longer than a record may be (1048576 bytes, --max-p" in failed.err
    assert transform(*arguments, 1, "--on-error", "skip").status == 0
    assert [*map(list, rows())] == [["scores"], ["error"], ["scores"]]
    assert transform(*arguments, 2, "--no-resume").status == 0
    assert [*map(list, rows())] == [["scores"]] * 3


def test_joins_and_filters_of_lines(transform, scored):
    Path("a.jsonl").write_text(
        "".join('{"id": 12345678901234567890123, "of": ' + x.decode() + "}\n" for x in LINES)
    )
    results = [json.loads(line) for line in scored(LINES).splitlines()]
    select = ("--input-filter", "$.of['in0','in1']")
    assert transform("a.jsonl", *select, "--join-source", "Input").status == 0
    assert [row["SageMakerOutput"] for row in rows()] == results
    assert [row["of"]["id"] for row in rows()] == [0, 1, 2]
    keep = ("--output-filter", "$['id','SageMakerOutput']", "--no-resume")
    assert transform("a.jsonl", *select, "--join-source", "Input", *keep).status == 0
    id_ = 12345678901234567890123
    assert rows() == [{"id": id_, "SageMakerOutput": row} for row in results]
    only = ("--output-filter", "$.scores[0]", "--no-resume")
    assert transform("a.jsonl", *select, *only).status == 0
    assert rows() == [row["scores"][0] for row in results]


def test_joins_of_records_that_are_lists(transform, scored):
    Path("a.jsonl").write_bytes(b"\n".join(b"[7, " + line + b"]" for line in LINES))
    assert transform("a.jsonl", "--input-filter", "$[1]", "--join-source", "Input").status == 0
    assert [row["SageMakerInput"][0] for row in rows()] == [7, 7, 7]
    assert [row["SageMakerOutput"] for row in rows()] == [
        json.loads(line) for line in scored(LINES).splitlines()
    ]


def test_joins_of_documents(transform):
    Path("c.json").write_bytes(b'{"batch": "x", "instances": [' + b", ".join(LINES) + b"]}")
    keep = ("--output-filter", "$['batch','SageMakerOutput']")
    assert transform("c.json", "--join-source", "Input", *keep).status == 0
    joined = json.loads(written("c.json"))
    assert list(joined) == ["batch", "SageMakerOutput"]
    assert len(joined["SageMakerOutput"]["predictions"]) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.jsonl", LINES[0] + b"\n\n" + BAD, "b.jsonl:3 $.in0[1]: 99 is outside the vocabulary 0"),
        ("b.jsonl", b'{"in0": 5}', "b.jsonl:1 $.in0: expected a list of token ids"),
        ("b.jsonl", b"not json", "b.jsonl:1 $: not valid JSON"),
        ("b.jsonl", b'{"label": 1}', "b.jsonl:1 $: holds neither in0 nor in1"),
        (
            "b.jsonl",
            b'{"instances": []}',
            "b.jsonl:1 $: is one JSON document: give --content-type application/json",
        ),
        (
            "b.json",
            b'{"instances": [' + LINES[0] + b"," + BAD + b"]}",
            "b.json $.instances[1].in0[1]",
        ),
        ("b.json", b"[]", 'b.json $: expected {"instances": [...]}, got a list'),
        ("b.json", b'{"instances": [', "b.json $: not valid JSON"),
        ("b.json", b"", "b.json $: "),
        ("b.jsonl.gz", gzip.compress(LINES[0])[:-9], "b.jsonl.gz: is damaged gzip"),
    ],
)
def test_a_bad_record_fails_its_file_and_no_other(transform, scored, name, content, message):
    Path(name).write_bytes(content)
    Path("z.jsonl").write_bytes(LINES[1])
    result = transform("a.jsonl", name, "z.jsonl")
    assert result.status == 2
    assert f"o2v: {message}" in result.err
    assert len([line for line in result.err.splitlines() if line.startswith("o2v:")]) == 2
    assert "2 of 3 files, 4 records" in result.err
    assert not Path("out", f"{name}.out").exists()
    assert written("a.jsonl") == scored(LINES)
    assert written("z.jsonl") == scored(LINES[1:2])


def test_a_file_that_cannot_be_used_fails_alone(transform, scored):
    """Names of any bytes, links to nothing, a pipe, and a name too long for its results."""
    Path("in").mkdir()
    bad = b"\n".join([LINES[0], BAD])
    odd = [os.fsdecode(b"in/\xff.jsonl"), "in/a\nb.jsonl"]
    for name in odd:
        Path(name).write_bytes(bad)
    Path("in", "n" * 253).write_bytes(LINES[0])
    Path("in/z.jsonl").write_bytes(LINES[1])
    Path("in/gone.jsonl").symlink_to("nothing")
    Path("in/loop.jsonl").symlink_to("loop.jsonl")
    os.mkfifo("in/pipe.jsonl")
    result = transform("in")
    assert result.status == 2
    problems = [
        f"out/{'n' * 253}.out: cannot be written (File name too long)",
        "in/\\xff.jsonl:2 $.in0[1]: 99 is outside the vocabulary 0..19",
        "in/a\\nb.jsonl:2 $.in0[1]: 99 is outside the vocabulary 0..19",
        "in/gone.jsonl: cannot be read (No such file or directory)",
        "in/loop.jsonl: cannot be read (Too many levels of symbolic links)",
        "in/pipe.jsonl: is not a regular file",
    ]
    assert sorted(result.err.splitlines()[:-2]) == sorted(f"o2v: {line}" for line in problems)
    assert "1 of 7 files, " in result.err
    assert written("z.jsonl") == scored(LINES[1:2])
    skipped = transform("in", "--on-error", "skip")
    assert "3 of 7 files, " in skipped.err
    assert f"out/{'n' * 253}.out: cannot be written" in skipped.err
    assert "3 of 7 files, " in transform("in", "--on-error", "skip", "--no-resume").err
    found = [rows(name.removeprefix("in/"))[1]["error"] for name in odd]
    assert [f"o2v: {error}" for error in found] == [f"o2v: {line}" for line in problems[1:3]]


def test_a_bad_record_is_skipped_and_counted(transform, scored):
    content = [BAD, *LINES, b"{", BAD]
    Path("b.jsonl").write_bytes(b"\n".join(content))
    Path("b.json").write_bytes(b'{"instances": [' + LINES[0] + b"," + BAD + b"]}")
    Path("n.json").write_bytes(b"[]")
    result = transform("b.jsonl", "b.json", "n.json", "--on-error", "skip")
    assert result.status == 0
    assert "3 of 3 files, 9 records, 5 of them bad" in result.err
    lines = written("b.jsonl").splitlines()
    assert b"\n".join(lines[1:4]) + b"\n" == scored(LINES)
    assert json.loads(lines[0]) == {
        "error": "b.jsonl:1 $.in0[1]: 99 is outside the vocabulary 0..19"
    }
    assert [list(json.loads(line)) for line in lines[4:]] == [["error"], ["error"]]
    (document,) = rows("b.json")
    assert [*map(list, document["predictions"])] == [["scores"], ["error"]]
    assert "b.json $.instances[1].in0[1]: 99" in document["predictions"][1]["error"]


def test_bad_records_beside_joins(transform):
    Path("b.jsonl").write_bytes(b"\n".join([LINES[0], BAD, b'{"in0": [1], "in1": [1]}']))
    arguments = (
        "b.jsonl",
        "--join-source",
        "Input",
        "--output-filter",
        "$['id','SageMakerOutput']",
    )
    failed = transform(*arguments)
    assert "b.jsonl:2 $.in0[1]: 99" in failed.err
    assert transform(*arguments, "--on-error", "skip").status == 0
    assert [*map(list, rows("b.jsonl"))] == [["id", "SageMakerOutput"], ["error"], ["error"]]
    assert rows("b.jsonl")[2]["error"] == (
        "b.jsonl:3 $: --output-filter: $['id','SageMakerOutput'] finds no 'id'"
    )


def test_a_mended_file_is_all_that_is_done_again(transform, scored):
    Path("b.jsonl").write_bytes(BAD)
    assert transform("a.jsonl", "b.jsonl").status == 2
    before = Path("out/a.jsonl.out").stat()
    assert hidden() == [".o2v-transform"]
    Path("b.jsonl").write_bytes(LINES[2] + b"\n")
    result = transform("a.jsonl", "b.jsonl")
    assert result.status == 0, result.err
    assert "b.jsonl: has changed and starts over" in result.err
    assert written("b.jsonl") == scored(LINES[2:])
    assert Path("out/a.jsonl.out").stat() == before
    assert hidden() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.jsonl", "b.jsonl", "--max-payload", "5"), "max_payload_mb was 6, now 5"),
        (("a.jsonl", "b.jsonl", "--model", "other"), "other settings (model was"),
        (("a.jsonl", "b.jsonl", "--dtype", "bfloat16"), "other settings (model was"),
    ],
)
def test_another_run_is_not_mixed_with(transform, config_of, model_of, arguments, message):
    o2v_jax.save(model_of(config_of()), Path("other"))
    Path("b.jsonl").write_bytes(BAD)
    assert transform("a.jsonl", "b.jsonl").status == 2
    before = written()
    refused = transform(*arguments)
    assert refused.status == 2
    assert message in refused.err
    assert "--no-resume to start over" in refused.err
    assert written() == before
    fresh = transform(*arguments, "--no-resume", "--on-error", "skip")
    assert fresh.status == 0
    assert hidden() == []


def test_results_whose_input_has_changed_are_not_kept(transform):
    Path("b.jsonl").write_bytes(BAD)
    assert transform("a.jsonl", "b.jsonl").status == 2
    Path("a.jsonl").write_bytes(LINES[0])
    refused = transform("a.jsonl", "b.jsonl")
    assert refused.status == 2
    assert "holds results of what a.jsonl was before it changed" in refused.err


def test_skipped_records_are_not_taken_for_good_ones(transform):
    Path("b.jsonl").write_bytes(BAD)
    Path("c.jsonl.gz").write_bytes(gzip.compress(b"x")[:-5])
    skips = transform("b.jsonl", "c.jsonl.gz", "--on-error", "skip")
    assert skips.status == 2
    assert "files failed, as said above: fix them; the same command does the rest" in skips.err
    refused = transform("b.jsonl", "c.jsonl.gz")
    assert "b.jsonl: its results hold 1 bad records, left by --on-error skip" in refused.err


@marking
def test_existing_results_are_not_replaced_unasked(transform):
    assert transform("a.jsonl").status == 0
    before = written()
    refused = transform("a.jsonl", "--accept", "application/json")
    assert refused.status == 2
    other = "out/a.jsonl.out: holds results made with other settings (accept was not given, now "
    assert other in refused.err
    assert "--no-resume to start over and replace results" in refused.err
    assert (written(), hidden()) == (before, [])
    assert transform("a.jsonl", "--no-resume", "--accept", "application/json").status == 0
    assert written() != before
    Path("out/a.jsonl.out").write_bytes(before)
    unknown = transform("a.jsonl", "--accept", "application/json")
    assert unknown.status == 2
    assert "out/a.jsonl.out: exists already: --no-resume replaces results" in unknown.err
    assert (written(), hidden()) == (before, [])


@marking
def test_the_same_command_on_finished_results_has_nothing_to_do(transform, scored):
    Path("b.jsonl").write_bytes(BAD)
    arguments = ("a.jsonl", "b.jsonl", "--on-error", "skip")
    assert transform(*arguments).status == 0
    before = {name: Path("out", name).stat() for name in ("a.jsonl.out", "b.jsonl.out")}
    again = transform(*arguments)
    assert again.status == 0
    message = "nothing to do: this command was done before (2 of 2 files, 4 records, 1 of them bad)"
    assert again.err == f"{message}; --no-resume does it again\n"
    Path("c.jsonl").write_bytes(LINES[0])
    more = transform(*arguments, "c.jsonl")
    assert more.status == 0, more.err
    assert "3 of 3 files, 5 records" in more.err
    assert written("c.jsonl") == scored(LINES[:1])
    assert {name: Path("out", name).stat() for name in before} == before
    assert hidden() == []
    fails = transform(*arguments[:2])
    assert "b.jsonl: its results hold 1 bad records, left by --on-error skip" in fails.err


@marking
def test_results_are_kept_for_the_input_they_are_of(transform, scored):
    assert transform("a.jsonl").status == 0
    before = written()
    Path("a.jsonl").write_bytes(LINES[0])
    changed = transform("a.jsonl")
    assert changed.status == 2
    assert "out/a.jsonl.out: holds results of another file than a.jsonl, or of what " in changed.err
    assert (written(), hidden()) == (before, [])
    Path("out/a.jsonl.out").unlink()
    assert transform("a.jsonl").status == 0
    assert written() == scored(LINES[:1])


@marking
def test_an_input_of_the_same_name_size_and_time_is_another_file(transform):
    for folder, line in (("monday", LINES[0]), ("tuesday", LINES[0].replace(b"1, 2", b"2, 1"))):
        Path(folder).mkdir()
        Path(folder, "a.jsonl").write_bytes(line)
        os.utime(f"{folder}/a.jsonl", ns=(1, 1))
    assert transform("monday/a.jsonl").status == 0
    refused = transform("tuesday/a.jsonl")
    assert refused.status == 2
    assert "out/a.jsonl.out: holds results of another file than tuesday/a.jsonl" in refused.err
    assert "remove out/a.jsonl.out to have it done again, or give --no-resume" in refused.err
    assert transform(str(Path("monday/a.jsonl").absolute())).err.startswith("nothing to do")


CORRECTIONS = [
    ("--content-type", "application/jsonlines"),
    ("--input-filter", "$.of"),
    ("--model", "other"),
    ("--accept", "application/jsonlines", "--join-source", "Input"),
    ("--split-type", "None"),
    ("--max-payload", "1"),
    ("--dtype", "bfloat16"),
]


@pytest.mark.parametrize("correction", CORRECTIONS, ids=" ".join)
def test_a_failure_without_a_result_blocks_no_correction(
    transform, config_of, model_of, correction
):
    """An empty file was done, which is nothing to guard."""
    o2v_jax.save(model_of(config_of()), Path("other"))
    Path("a.jsonl").write_bytes(b"\n".join(b'{"in0": 1, "of": %b}' % line for line in LINES))
    Path("empty.jsonl").write_bytes(b"")
    files = ("a.jsonl", "empty.jsonl")
    assert transform(*files).status == 2
    assert hidden() == [".o2v-transform"]
    if correction[0] != "--input-filter":
        Path("a.jsonl").write_bytes(b"\n".join(LINES))
    result = transform(*files, *correction)
    assert result.status == 0, result.err
    assert len(rows()) == 3
    assert hidden() == []


def test_inputs_may_come_and_go(transform, scored):
    """Complete results stay, whether or not their input does."""
    for name, content in (("in/a", LINES), ("in/bad", [BAD]), ("in/gone", LINES[1:])):
        Path(name).parent.mkdir(exist_ok=True)
        Path(f"{name}.jsonl").write_bytes(b"\n".join(content))
    assert transform("in").status == 2
    before = Path("out/gone.jsonl.out").stat()
    for name in ("bad", "gone"):
        Path(f"in/{name}.jsonl").unlink()
    Path("in/new.jsonl").write_bytes(LINES[2])
    result = transform("in")
    assert result.status == 0, result.err
    assert "2 of 2 files, 4 records" in result.err
    assert written("new.jsonl") == scored(LINES[2:])
    assert Path("out/gone.jsonl.out").stat() == before
    assert hidden() == []


def test_fewer_inputs_may_be_given(transform, scored):
    Path("b.jsonl").write_bytes(BAD)
    Path("c.jsonl").write_bytes(BAD)
    assert transform("a.jsonl", "b.jsonl", "c.jsonl").status == 2
    # as a kill leaves it before complete results have their name
    Path("out/a.jsonl.out").rename("out/.o2v-transform/000000.out")
    assert transform("b.jsonl").status == 2
    Path("b.jsonl").write_bytes(LINES[0])
    assert transform("b.jsonl").status == 0
    assert (written(), written("b.jsonl")) == (scored(LINES), scored(LINES[:1]))
    assert hidden() == []


@marking
def test_two_inputs_of_one_name_do_not_replace_each_other(transform, scored):
    """Though a kill came before the first one's results had their name."""
    for name, content in (("x/a.jsonl", LINES[:1]), ("y/a.jsonl", LINES[1:]), ("b.jsonl", [BAD])):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"\n".join(content))
    assert transform("x/a.jsonl", "b.jsonl").status == 2
    Path("out/a.jsonl.out").rename("out/.o2v-transform/000000.out")
    refused = transform("y/a.jsonl")
    assert refused.status == 2
    assert "out/a.jsonl.out: holds results of another file than y/a.jsonl" in refused.err
    assert written() == scored(LINES[:1])


def test_results_that_are_gone_are_made_again(transform, scored):
    Path("b.jsonl").write_bytes(BAD)
    assert transform("a.jsonl", "b.jsonl").status == 2
    Path("out/a.jsonl.out").unlink()
    result = transform("a.jsonl", "b.jsonl", "--on-error", "skip")
    assert result.status == 0, result.err
    assert "a.jsonl: its results are gone and are made again" in result.err
    assert written() == scored(LINES)


def test_a_note_that_a_kill_cut_short_counts_for_nothing(transform, scored):
    Path("b.jsonl").write_bytes(BAD)
    assert transform("a.jsonl", "b.jsonl").status == 2
    with Path("out/.o2v-transform/journal.jsonl").open("ab") as journal:
        journal.write(b'{"file": 1, "position": [28, 1')
    assert transform("a.jsonl", "b.jsonl", "--on-error", "skip").status == 0
    assert written() == scored(LINES)
    assert [list(row) for row in rows("b.jsonl")] == [["error"]]


def test_a_damaged_state_is_named(transform):
    Path("b.jsonl").write_bytes(BAD)
    assert transform("a.jsonl", "b.jsonl").status == 2
    for name in ("journal.jsonl", "manifest.json"):
        Path("out/.o2v-transform", name).write_text("{}\n")
        refused = transform("a.jsonl", "b.jsonl")
        assert refused.status == 2
        assert "out/.o2v-transform: is damaged" in refused.err
    assert transform("a.jsonl", "--no-resume").status == 0


NOTE = '{"file": 0, "position": [0, 0, 0, true], "written": 0, "records": 3, "errors": 0}\n'


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("manifest.json", "", "is damaged ("),
        ("manifest.json", "[]", "is damaged ("),
        ("manifest.json", "[" * 100_000, "is damaged ("),
        ("manifest.json", '{"format": 2, "identity": [], "files": []}', "is damaged ("),
        ("manifest.json", '{"format": 2, "identity": {}, "files": [{}]}', "is damaged ("),
        ("manifest.json", '{"format": 1, "identity": {}, "files": []}', "version (format 1)"),
        ("journal.jsonl", "x\n", "is damaged ("),
        ("journal.jsonl", NOTE.replace('"file": 0', '"file": 9'), "is damaged ("),
        ("journal.jsonl", NOTE.replace('"file": 0', '"file": -1'), "is damaged ("),
        ("journal.jsonl", NOTE.replace("[0,", '["x",'), "is damaged ("),
        ("journal.jsonl", NOTE.replace("3,", "[],"), "is damaged ("),
    ],
)
def test_a_state_that_cannot_be_read_guards_results_alone(transform, name, content, reason):
    Path("b.jsonl").write_bytes(BAD)
    state = Path("out/.o2v-transform")
    assert transform("b.jsonl").status == 2
    (state / name).write_text(content)
    begun = transform("b.jsonl")
    assert "o2v: out/.o2v-transform: " in begun.err
    assert reason in begun.err.splitlines()[0]
    assert "but nothing was done: the run starts over" in begun.err.splitlines()[0]
    assert "b.jsonl:1 $.in0[1]: 99 is outside" in begun.err.splitlines()[1]
    (state / name).write_text(content)
    (state / "000000.out").write_text("results")
    refused = transform("b.jsonl")
    assert refused.status == 2
    (line,) = refused.err.splitlines()
    assert reason in line
    assert line.endswith("give --no-resume to start over and replace results")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'INPUT...'"),
        (("nothing.jsonl",), "nothing.jsonl: cannot be read (No such file or directory)"),
        (("no*",), "no*: matches no file"),
        (("a.jsonl", "--input-filter", "features"), "'features' is not a JSONPath"),
        (("a.jsonl", "--output-filter", "$["), "'$[' is not a JSONPath (unexpected end of query)"),
        (("a.jsonl", "--max-payload", "101"), "101 is not in the range 0<=x<=100"),
        (("a.jsonl", "--split-type", "RecordIO"), "'RecordIO' is not one of 'Line', 'None'"),
        (("a.jsonl", "--accept", "text/csv"), "'text/csv' is not one of"),
        (
            ("a.jsonl", "--join-source", "Input", "--accept", "application/json"),
            "a.jsonl: --join-source Input needs results in the input's format: give --accept app",
        ),
        (
            ("a.jsonl", "--join-source", "Input", "--assemble-with", "None"),
            "a.jsonl: joined or filtered records are lines: give --assemble-with Line",
        ),
        (
            ("a.jsonl", "--content-type", "application/json", "--split-type", "Line"),
            "give --strategy SingleRecord",
        ),
        (("a.jsonl", "--model", "nothing"), "nothing"),
        (
            ("a.jsonl", "--max-concurrent-transforms", "50"),
            "--max-concurrent-transforms 50 times --max-payload 6 must be at most 100 MB",
        ),
        (
            ("a.jsonl", "--max-payload", "20", "--max-concurrent-transforms", "6"),
            "--max-concurrent-transforms 6 times --max-payload 20 must be at most 100 MB",
        ),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(transform, arguments, message):
    result = transform(*arguments)
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    assert message in result.err
    assert not list(Path().glob("out/*"))


def test_100000_records_keep_order_and_count(transform, scored):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 20, (100_000, 3)).tolist()
    lines = [b'{"in0": [%d, %d], "in1": [%d]}' % tuple(row) for row in ids]
    Path("a.jsonl").write_bytes(b"\n".join(lines))
    assert transform("a.jsonl", "--max-payload", 1, "--max-concurrent-transforms", 2).status == 0
    assert len(rows()) == 100_000
    found = np.array([row["scores"] for row in rows()])
    expected = np.array([json.loads(line)["scores"] for line in scored(lines).splitlines()])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
