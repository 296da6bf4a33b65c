"""Options that `o2v transform` and the server both have mean the same to both."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import o2v_jax
from o2v_jax.errors import InputError
from o2v_jax.server.settings import ServerSettings

pytestmark = pytest.mark.slow

LINES, JSON = "application/jsonlines", "application/json"
CUT = "infer_max_seqlens=2,1"
PAIR = {"in0": [1, 2, 3, 4, 5, 6, 7], "in1": [3, 14, 15]}


@pytest.fixture
def transform(o2v, model, tmp_path, monkeypatch):
    """`o2v transform a.jsonl ARGUMENTS`, and of what it wrote each line."""
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(f"{json.dumps(PAIR)}\n" * 3)
    common = ("transform", "a.jsonl", "--no-resume", "--output", "out")

    def run(*arguments, model=model):
        result = o2v(*common, *(("--model", model) if model else ()), *arguments)
        file = Path("out/a.jsonl.out")
        lines = file.read_text().splitlines() if result.status == 0 else []
        return result, [json.loads(line) for line in lines]

    return run


@pytest.fixture(scope="module")
def scorer(model):
    return o2v_jax.Scorer(o2v_jax.load(model))


@contextmanager
def stub(said):
    """A server that says this of itself; its URL, and the Content-Type of each request."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(json.dumps(said).encode())

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.headers["Content-Type"], body.count(b"\n") + 1))
            self.answer(b'{"scores":[1]}\n' * (body.count(b"\n") + 1))

        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "spelling", [f"{LINES}; {CUT}", f"{LINES};{CUT}", f' application/x-jsonlines; {CUT[:-3]}"2,1"']
)
def test_infer_max_seqlens_cuts_each_side(transform, scorer, spelling):
    result, rows = transform("--content-type", spelling)
    assert result.status == 0, result.err
    assert "cut to" not in result.err
    expected = scorer.score([PAIR["in0"]], [PAIR["in1"]], max_seq_lens=(2, 1))[0]
    whole = scorer.score([PAIR["in0"]], [PAIR["in1"]])[0]
    assert np.abs(expected - whole).max() > 1e-4
    np.testing.assert_allclose([row["scores"] for row in rows], [expected] * 3, rtol=1e-5)


def test_infer_max_seqlens_of_single_sides(transform, scorer):
    Path("a.jsonl").write_text('{"in0": [1, 2, 3]}\n{"in1": [1, 2, 3]}\n')
    arguments = ("--content-type", f"{LINES}; {CUT}", "--strategy", "SINGLE_RECORD")
    result, rows = transform(*arguments)
    assert result.status == 0, result.err
    expected = [scorer.embed(in0=[[1, 2]])[0], scorer.embed(in1=[[1]])[0]]
    np.testing.assert_allclose([row["embeddings"] for row in rows], expected, rtol=1e-5)


def test_servers_get_the_content_type_with_its_parameters(transform):
    with stub({"BatchStrategy": "SINGLE_RECORD"}) as (url, seen):
        arguments = ("--endpoint", url, "--content-type", f"{LINES} ;{CUT}")
        result, rows = transform(*arguments, model=None)
        assert result.status == 0, result.err
    assert len(rows) == 3
    assert seen == [(f"{LINES}; {CUT}", 1)] * 3


@pytest.mark.parametrize(
    "said", [{"BatchStrategy": ["x"], "MaxPayloadInMB": "6"}, {"MaxPayloadInMB": -1}, [], {}]
)
def test_what_servers_say_of_themselves_may_be_nonsense(transform, said):
    with stub(said) as (url, seen):
        result, _ = transform("--endpoint", url, model=None)
        assert result.status == 0, result.err
    assert seen == [(LINES, 3)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--max-concurrent-transforms", "0"),
        ("--max-concurrent-transforms", "16"),
        ("--max-payload", "100"),
        ("--max-payload", "50", "--max-concurrent-transforms", "0"),
        ("--content-type", "Application/JSONLines; charset=utf-8"),
        ("--accept", "*/*"),
        ("--accept", "text/csv, application/jsonlines;q=.5, */*;q=0.1"),
        ("--accept", f"{LINES}; charset=utf-8"),
        ("--strategy", "MULTI_RECORD"),
        ("--strategy", "multirecord"),
    ],
    ids=" ".join,
)
def test_what_the_server_takes_a_transform_takes(transform, arguments):
    result, rows = transform(*arguments)
    assert result.status == 0, result.err
    assert [*map(list, rows)] == [["scores"]] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-concurrent-transforms", "101"), "101 is not in the range 0<=x<=100"),
        (("--max-concurrent-transforms", "-1"), "-1 is not in the range 0<=x<=100"),
        (("--content-type", "text/csv"), "'text/csv' is not one of 'application/jsonlines', "),
        (("--content-type", f"{JSON}; charset=latin-1"), "charset latin-1 cannot be read"),
        (("--content-type", f"{JSON}; infer_max_seqlens=1"), "the form is infer_max_seqlens=64,64"),
        (("--content-type", f"{JSON}; infer_max_seqlens=0,9"), "infer_max_seqlens=0,9 is outside"),
        (("--accept", "text/csv;q=1"), "'text/csv;q=1' is not one of"),
        (("--strategy", "Single"), "'Single' is not one of 'MultiRecord', 'SingleRecord'"),
    ],
)
def test_what_the_server_refuses_a_transform_refuses(transform, arguments, message):
    result, _ = transform(*arguments)
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("variables", "accepted"),
    [
        ({"MAX_PAYLOAD": "20", "MAX_CONCURRENT_TRANSFORMS": "6"}, False),
        ({"MAX_PAYLOAD_MB": "20", "CONCURRENT": "6"}, False),
        ({"MAX_PAYLOAD": "20", "MAX_CONCURRENT_TRANSFORMS": "0"}, True),
        ({"STRATEGY": "MULTI_RECORD", "ACCEPT": "*/*", "SPLIT_TYPE": "Line"}, True),
        ({"ASSEMBLE_WITH": "Row"}, False),
        ({"JOIN_SOURCE": "Output"}, False),
        ({"CONTENT_TYPE": f"{LINES}; {CUT}"}, True),
    ],
)
def test_variables_are_named_after_options(transform, monkeypatch, variables, accepted):
    for name, value in variables.items():
        monkeypatch.setenv(f"O2V_TRANSFORM_{name}", value)
    result, _ = transform()
    assert result.status == (0 if accepted else 2), result.err


def test_variables_may_have_blanks_around_them(transform, monkeypatch):
    variables = {"INFERENCE_PREFERRED_MODE": " classification ", "O2V_DTYPE": "float32\n"}
    assert ServerSettings.from_environment(variables).preferred_mode == "classification"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result, _ = transform()
    assert result.status == 0, result.err


@pytest.mark.parametrize(
    ("header", "expected"),
    [(f"{JSON}; charset=utf-8", JSON), ("application/x-jsonlines", LINES), ("*/*", None)],
)
def test_the_servers_default_accept_is_a_header_too(header, expected):
    name = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
    assert ServerSettings.from_environment({name: header}).default_accept == expected
    with pytest.raises(InputError, match=f"{name}=text/csv must be application/json or"):
        ServerSettings.from_environment({name: "text/csv"})
