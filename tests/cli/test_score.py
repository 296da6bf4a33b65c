"""`o2v score` and `o2v embed`: every kind of input, and one-line errors."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

import o2v_jax
from o2v_jax.checkpoint import default_model
from o2v_jax.checkpoint import model as model_module

pytestmark = pytest.mark.slow

PAIRS = [([1, 2], [3]), ([4], [5, 6, 7]), ([], [8])]
LINES = "".join(json.dumps({"in0": a, "in1": b}) + "\n" for a, b in PAIRS).encode()


assert_close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def scorer(model):
    return o2v_jax.Scorer(o2v_jax.load(model))


@pytest.fixture
def expected(scorer):
    return scorer.score(*zip(*PAIRS, strict=True))


def scores(result):
    return np.array([row["scores"] for row in result.rows])


def embeddings(result):
    return np.array([row["embeddings"] for row in result.rows])


def test_json_lines_from_standard_input(o2v, model, expected):
    assert_close(scores(o2v("score", "--model", model, stdin=LINES)), expected)


def test_json_lines_and_json_files(o2v, model, expected, tmp_path):
    lines, document = tmp_path / "pairs.jsonl", tmp_path / "pairs.json"
    lines.write_bytes(LINES)
    document.write_text(json.dumps({"instances": [{"in0": a, "in1": b} for a, b in PAIRS]}))
    for file in (lines, document):
        assert_close(scores(o2v("score", "--model", model, file)), expected)


def test_text(o2v, model, scorer, tmp_path):
    ids = scorer.score([[2, 3, 4, 5, 6]], [[7, 4, 8, 6]])
    one = o2v("score", "--model", model, "--text", "A man is sleeping.", "Nobody is awake.")
    assert_close(scores(one), ids)
    file = tmp_path / "pairs.tsv"
    file.write_text(
        "A man is sleeping.\tNobody is awake.\n\nA man is sleeping.\tNobody is awake.\n"
    )
    assert_close(scores(o2v("score", "--model", model, file)), ids.repeat(2, 0))


def test_embeddings_of_either_side(o2v, model, scorer):
    singles = b'{"in0": [1, 2]}\n{"in1": [1, 2]}\n'
    rows = o2v("embed", "--model", model, stdin=singles).rows
    assert_close(rows[0]["embeddings"], scorer.embed(in0=[[1, 2]])[0])
    assert_close(rows[1]["embeddings"], scorer.embed(in1=[[1, 2]])[0])
    rows = o2v("embed", "--model", model, "--side", "in1", stdin=LINES).rows
    sides = [row["embeddings"] for row in rows]
    assert_close(sides, scorer.embed(in1=[b for _, b in PAIRS]))


@pytest.mark.parametrize(("side", "keyword"), [("in0", "in0"), ("in1", "in1"), (None, "in0")])
def test_text_embeddings(o2v, model, scorer, side, keyword):
    chosen = () if side is None else ("--side", side)
    row = o2v("embed", "--model", model, *chosen, "--text", "A man is sleeping.").rows[0]
    expected = scorer.embed(**{keyword: [[2, 3, 4, 5, 6]]})[0]
    assert_close(row["embeddings"], expected)


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (
            ("score",),
            b'{"in0": [1], "in1": [1]}\n{"in0": [99], "in1": [1]}\n',
            "standard input:2 $.in0[0]: 99",
        ),
        (("score",), b'{"in0": [1]}\n', "standard input:1 $: scoring needs both in0 and in1"),
        (("score",), b"not json\n", "standard input:1 $: not valid JSON"),
        (
            ("score", "--format", "text"),
            b"a\tb\tc\n",
            "standard input:1: expected one or two texts",
        ),
        (("score", "--format", "text"), b"a\tb\na\n", "standard input:2 $: pairs and"),
        (("score", "--format", "text"), b"\xff\tb\n", "standard input:1: is not UTF-8"),
        (("score", "--format", "json"), b"[]", "standard input $"),
        (
            ("score", "--format", "json"),
            b'{"in0": [1], "in1": [1]}\n{"in0": [1], "in1": [2]}\n',
            "standard input $: the input is JSON Lines: give --format jsonl",
        ),
        (("score", "missing.jsonl"), b"", "missing.jsonl: cannot be read"),
        (("embed",), LINES, "--side"),
        (("embed", "--side", "in1"), b'{"in0": [1]}\n', "standard input:1 $: has no in1"),
        (("evaluate", "--format", "text"), b"x\ta\tb\n", "standard input:1 $: the label 'x'"),
        (("score", "--nonsense"), b"", "No such option"),
        (("score", "pairs.jsonl", "--text", "a", "b"), b"", "--text is all of the input"),
        (("embed", "--format", "json", "--text", "a"), b"", "--text is all of the input"),
        (("embed", "--format", "text"), b"a\tb\n", "--side"),
    ],
)
def test_errors_are_one_line_with_status_2(o2v, model, arguments, stdin, message):
    command, *others = arguments
    result = o2v(command, "--model", model, *others, stdin=stdin)
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    assert message in result.err


def test_results_before_a_bad_line_are_kept(o2v, model, expected):
    result = o2v("score", "--model", model, stdin=LINES + b'{"in0": "x"}\n' + LINES)
    assert result.status == 2
    assert_close(scores(result), expected)


def test_the_model_is_named_or_the_default(o2v, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("O2V_MODEL", str(model))
    assert o2v("score", stdin=LINES) == o2v("score", "--model", model, stdin=LINES)
    assert default_model({}).name == "snli-hcnn"
    missing = o2v("score", "--model", tmp_path / "nothing")
    assert (missing.status, len(missing.err.splitlines())) == (2, 1)


def test_a_containers_model_may_lie_in_one_folder(o2v, model, expected, tmp_path, monkeypatch):
    """An archive with a top folder, as SageMaker unpacks it."""
    shutil.copytree(model, tmp_path / "model" / "snli")
    (tmp_path / "model" / ".cache").mkdir()
    monkeypatch.setattr(model_module, "SAGEMAKER_MODEL", tmp_path / "model")
    monkeypatch.delenv("O2V_MODEL", raising=False)
    assert_close(scores(o2v("score", stdin=LINES)), expected)
    shutil.copytree(model, tmp_path / "model" / "other")
    assert "must hold one model, but it holds several: 'other', 'snli'" in o2v("score").err


def test_text_needs_a_vocabulary(o2v, model, tmp_path):
    loaded = o2v_jax.load(model)
    o2v_jax.save(o2v_jax.Model(loaded.config, loaded.params), tmp_path / "bare")
    result = o2v("score", "--model", tmp_path / "bare", "--text", "a", "b")
    assert "this model has no vocabulary" in result.err


def test_nothing_in_nothing_out(o2v, model):
    assert o2v("score", "--model", model, stdin=b"\n\n") == (0, "", "")


def test_empty_texts_keep_their_line(o2v, model, scorer, tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("a man\tawake\n\t\nis\tnobody\n")
    expected = scorer.score([[2, 3], [], [4]], [[8], [], [7]])
    assert_close(scores(o2v("score", "--model", model, file)), expected)


@pytest.mark.parametrize("side", ["in0", "in1"])
def test_texts_of_a_file_are_for_either_side(o2v, model, scorer, tmp_path, side):
    file = tmp_path / "texts.txt"
    file.write_text("a man\n")
    row = o2v("embed", "--model", model, "--side", side, file).rows[0]
    assert_close(row["embeddings"], scorer.embed(**{side: [[2, 3]]})[0])
    pairs = o2v("embed", "--model", model, "--side", side, "--format", "text", stdin=b"a\tman")
    ids = {"in0": [[2]], "in1": [[3]]}[side]
    assert_close(pairs.rows[0]["embeddings"], scorer.embed(**{side: ids})[0])


def test_no_records_are_no_lines(o2v, model, tmp_path):
    (tmp_path / "none.json").write_text('{"instances": []}')
    assert o2v("score", "--model", model, tmp_path / "none.json") == (0, "", "")


def test_what_is_legal_but_odd_is_said_once(o2v, model):
    odd = b'{"in0": [1, 0, 2], "in1": [1, 2, 3, 4, 5, 6, 7]}\n'
    result = o2v("score", "--model", model, stdin=odd * 5000)
    assert result.status == 0
    zero, cut = result.err.splitlines()
    assert "in0: id 0 is padding" in zero
    assert "in1: 4096 sequences are cut to enc1_max_seq_len=6" in cut


def test_the_encoders_may_be_bfloat16(o2v, model, monkeypatch):
    objects = b'{"in0": [1, 2]}\n{"in0": [4]}\n'
    expected = o2v_jax.Scorer(o2v_jax.load(model), dtype="bfloat16").embed(in0=[[1, 2], [4]])
    plain = embeddings(o2v("embed", "--model", model, stdin=objects))
    assert np.abs(plain - expected).max() > 1e-4
    by_option = o2v("embed", "--model", model, "--dtype", "bfloat16", stdin=objects)
    monkeypatch.setenv("O2V_DTYPE", "bfloat16")
    by_environment = o2v("embed", "--model", model, stdin=objects)
    assert_close(embeddings(by_option), expected)
    assert_close(embeddings(by_environment), expected)


def test_metrics_of_bfloat16(o2v, model):
    lines = b"".join(b'{"label": 1, ' + line[1:] for line in LINES.splitlines(keepends=True))
    arguments = ("evaluate", "--model", model, "--json", "--dtype")
    losses = [
        json.loads(o2v(*arguments, dtype, stdin=lines).out)["cross_entropy"]
        for dtype in ("bfloat16", "float32")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.01)
