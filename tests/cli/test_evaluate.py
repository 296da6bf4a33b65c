"""`o2v evaluate --report` and `o2v evaluate --ranking`."""

import json
from dataclasses import replace

import pytest

import o2v_jax
from o2v_jax import InBatchObjective, Tokenizer, Vocabulary

pytestmark = pytest.mark.slow

RECORDS = b"".join(
    json.dumps({"label": n % 3, "in0": [1 + n % 7, 2], "in1": [3 + n % 5]}).encode() + b"\n"
    for n in range(12)
)


@pytest.fixture(scope="module")
def model(config_of, model_of, tmp_path_factory):
    config = config_of(enc0_network="pooled_embedding", enc0_max_seq_len=3)
    return o2v_jax.save(model_of(config), tmp_path_factory.mktemp("models") / "model")


def test_a_report_is_written_and_named(model, o2v, tmp_path):
    plain = o2v("evaluate", "--model", model, "--json", stdin=RECORDS)
    done = o2v("evaluate", "--model", model, "--json", "--report", tmp_path / "r", stdin=RECORDS)
    assert done.status == 0, done.err
    assert done.rows == [pytest.approx(*plain.rows, rel=1e-6)], "training's own metrics"
    assert done.err.strip() == f"The report is in {tmp_path / 'r' / 'report.html'}"
    figures = json.loads((tmp_path / "r" / "report.json").read_bytes())
    (printed,) = done.rows
    assert printed == {
        "cross_entropy": figures["metrics"]["cross_entropy"]["value"],
        "accuracy": figures["metrics"]["accuracy"]["value"],
        "records": 12,
    }
    assert figures["about"]["model"] == str(model)
    assert figures["about"]["data"] == "standard input"


def test_a_folder_that_is_in_use_is_refused_before_anything_is_read(model, o2v, tmp_path):
    (tmp_path / "notes").touch()
    done = o2v("evaluate", "--model", model, "--report", tmp_path, tmp_path / "no such file")
    assert (done.status, done.out) == (2, "")
    assert "holds other things than a report (notes)" in done.err


IN0 = [[2], [3, 4], [5], [2], [6]]
IN1 = [[7], [8, 9], [7], [10], [11]]


@pytest.fixture(scope="module")
def retriever(config_of, model_of, tmp_path_factory):
    """A model that ranks, in memory and in a directory."""
    objective = InBatchObjective()
    config = config_of(enc0_network="pooled_embedding", enc0_max_seq_len=3, objective=objective)
    words = Vocabulary({"<unk>": 1} | {f"w{number}": number for number in range(2, 20)})
    model = replace(model_of(config), tokenizers=(Tokenizer("tokens", words),) * 2)
    return model, o2v_jax.save(model, tmp_path_factory.mktemp("models") / "retriever")


def write_lines(path, *rows):
    """JSON Lines of rows of labels, in0 and in1, or of less."""
    names = ("in0", "in1", "label")
    given = [dict(zip(names, row, strict=False)) for row in rows]
    lines = [{name: value for name, value in row.items() if value is not None} for row in given]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def as_text(ids):
    return " ".join(f"w{number}" for number in ids)


def test_a_ranking_prints_the_metrics_of_python(retriever, o2v, tmp_path):
    model, path = retriever
    labels = [1, 1, 0, 1, 0]
    candidates = [[12], [13], [7], [8, 9], [10], [11], [12]]
    known = [[2], [5]], [[12], [13]]
    found = o2v_jax.evaluate_ranking(model, IN0, IN1, labels, candidates=candidates, known=known)
    done = o2v(
        *("evaluate", "--ranking", "--model", path, "--json", "--report", tmp_path / "report"),
        *(
            "--candidates",
            write_lines(tmp_path / "items.jsonl", *((None, row) for row in candidates)),
        ),
        *("--known", write_lines(tmp_path / "known.jsonl", *zip(*known, strict=True))),
        write_lines(tmp_path / "pairs.jsonl", *zip(IN0, IN1, labels, strict=True)),
    )
    assert done.status == 0, done.err
    assert done.rows == [{**found.metrics, "records": 5}]
    assert done.err.strip() == f"The report is in {tmp_path / 'report' / 'report.html'}"
    about = json.loads((tmp_path / "report" / "report.json").read_bytes())["about"]
    assert about["candidates"] == str(tmp_path / "items.jsonl")


def test_known_pairs_may_have_labels_in_a_table_too(retriever, o2v, tmp_path):
    model, path = retriever
    pairs, known = tmp_path / "pairs.tsv", tmp_path / "known.tsv"
    rows = [f"{as_text(a)}\t{as_text(b)}" for a, b in zip(IN0, IN1, strict=True)]
    pairs.write_text("\n".join(rows))
    known.write_text(f"0\t{as_text(IN0[0])}\t{as_text(IN1[1])}")
    done = o2v("evaluate", "--ranking", "--model", path, "--json", "--known", known, pairs)
    assert done.status == 0, done.err
    left_out = [IN0[0]], [IN1[1]]
    found = o2v_jax.evaluate_ranking(model, IN0, IN1, known=left_out)
    assert done.rows == [{**found.metrics, "records": 5}]


def test_texts_without_labels_are_all_relevant(retriever, o2v, tmp_path):
    model, path = retriever
    pairs, items = tmp_path / "pairs.tsv", tmp_path / "items.txt"
    pairs.write_text(
        "".join(f"{as_text(a)}\t{as_text(b)}\n" for a, b in zip(IN0, IN1, strict=True))
    )
    items.write_text("".join(f"{as_text(row)}\n" for row in IN0))
    arguments = ("evaluate", "--ranking", "--model", path, "--query-side", "in1")
    done = o2v(*arguments, "--candidates", items, pairs)
    assert done.status == 0, done.err
    found = o2v_jax.evaluate_ranking(model, IN0, IN1, query_side=1)
    lines = dict(line.split() for line in done.out.splitlines())
    assert lines["mrr"] == f"{found.metrics['mrr']:g}"
    assert (lines["queries"], lines["candidates"], lines["records"]) == ("4", "4", "5")
    assert "every pair is relevant" in done.err
    pairs.write_text("1\tw2\tw7\n0\tw3\tw7\n")
    assert "queries_without_positive 1" in o2v("evaluate", "--ranking", "--model", path, pairs).out


@pytest.mark.parametrize(
    ("options", "records", "status", "message"),
    [
        ((), [([2], [7], 1)], 2, "use o2v evaluate --ranking"),
        (
            ("--candidates", "items.jsonl"),
            [],
            2,
            "--candidates says what is ranked: give --ranking",
        ),
        (("--ranking",), [([2], [7], 0)], 2, "none of the 1 pairs has a label above 0"),
        (
            ("--ranking",),
            [([2], [7], 1), ([3], [8])],
            2,
            "pairs.jsonl:2 $.label: has no label, but",
        ),
        (("--ranking",), [([2],)], 2, 'pairs.jsonl:1 $: the field "in1" is missing'),
        (("--ranking",), [], 2, "pairs.jsonl: holds no records"),
        (
            ("--ranking", "--candidates", "items.jsonl"),
            [([2], [12]), ([2], [7])],
            2,
            "pairs.jsonl:2 $.in1: 'w7' is relevant, but it is not among the candidates",
        ),
        (
            ("--ranking", "--candidates", "pairs.jsonl", "--query-side", "in1"),
            [([2], [99])],
            2,
            "99",
        ),
        (("--ranking", "--candidates", "queries.jsonl"), [([2], [7])], 2, "a candidate needs in1"),
        (("--ranking", "--class-index", "1"), [([2], [7])], 2, "class_index=1 must be"),
    ],
)
def test_what_cannot_be_ranked_is_named(
    options, records, status, message, retriever, o2v, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "items.jsonl", (None, [12]))
    write_lines(tmp_path / "queries.jsonl", ([12],))
    pairs = write_lines(tmp_path / "pairs.jsonl", *records)
    done = o2v("evaluate", "--model", retriever[1], *options, pairs.name)
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert "Traceback" not in done.err
