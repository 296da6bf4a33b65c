"""Hard negatives from a table to a model: `o2v prepare --negatives`, `o2v train`, and Python."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import o2v_jax
from o2v_jax.checkpoint import flatten
from o2v_jax.preparation import read_prepared

SIDES = ("--in0", "q", "--in1", "good")
BOTH = (*SIDES, "--negatives", "bad", "--negatives", "worse")
ROWS = {
    "q": ["how old", "where is it", "who has it"],
    "good": ["ten years", "in the garden", "the dog"],
    "bad": ["in years", "", "a cat"],
    "worse": ["nobody", "ten years", ""],
}
LISTS = [["in years", "nobody"], ["ten years"], ["a cat", "", None]]


def write_csv(path, columns):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    return path


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def prepare(o2v, tmp_path):
    """Runs `o2v prepare`; gives its result and the directory."""

    def run(*arguments, output="out"):
        return o2v("prepare", *arguments, "--output", tmp_path / output), tmp_path / output

    return run


def test_each_record_gets_those_of_its_row(prepare, tmp_path):
    done, out = prepare(write_csv(tmp_path / "q.csv", ROWS), *BOTH)
    assert "negatives: columns 'bad', 'worse'; train 4\nlabels" in done.err
    words = read_prepared(out).tokenizers[1].vocabulary.tokens
    names = {index: word for word, index in words.items()}
    found = [
        [" ".join(names[index] for index in row) for row in record.get("negatives", [])]
        for record in records(out / "train.jsonl")
    ]
    assert found == [["in years", "nobody"], ["ten years"], ["a cat"]]
    assert words["years"] == 2  # three times: once in in1, twice in negatives
    settings = json.loads((out / "hyperparameters.json").read_text())
    assert settings["enc1_max_seq_len"] == "3"


def test_those_that_are_the_in1_of_their_record_are_counted(prepare, tmp_path):
    done, _ = prepare(write_csv(tmp_path / "q.csv", ROWS | {"worse": ROWS["good"]}), *BOTH)
    assert "negatives: 3 equal the in1 of their record, and do not compete with it" in done.err


def test_lists_of_texts_are_several_in_every_form(prepare, tmp_path):
    _, expected = prepare(write_csv(tmp_path / "q.csv", ROWS), *BOTH)
    table = {"q": ROWS["q"], "good": ROWS["good"], "bad": LISTS}
    pq.write_table(pa.table(table), tmp_path / "q.parquet")
    lines = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for file in ("q.parquet", "q.jsonl"):
        _, out = prepare(tmp_path / file, *SIDES, "--negatives", "bad", output=f"{file}.out")
        for name in ("train.jsonl", "tokenizer1.json", "hyperparameters.json"):
            assert (out / name).read_text() == (expected / name).read_text()


def test_ids_are_checked_and_lists_of_lists_are_several(prepare, tmp_path):
    ids = (*SIDES, "--in0-type", "ids", "--in1-type", "ids", "--negatives", "bad")
    table = pa.table({"q": [[1], [2]], "good": [[3], [4]], "bad": [[[5], [60, 1]], None]})
    pq.write_table(table, tmp_path / "q.parquet")
    _, out = prepare(tmp_path / "q.parquet", *ids)
    assert records(out / "train.jsonl") == [
        {"label": 1, "in0": [1], "in1": [3], "negatives": [[5], [60, 1]]},
        {"label": 1, "in0": [2], "in1": [4]},
    ]
    settings = json.loads((out / "hyperparameters.json").read_text())
    assert (settings["enc1_vocab_size"], settings["enc1_max_seq_len"]) == ("61", "2")
    bad = write_csv(tmp_path / "q.csv", {"q": ["1"], "good": ["2"], "bad": ["3 x"]})
    done, _ = prepare(bad, *ids, output="other")
    assert done.status == 2
    assert "q.csv:2: negatives (column 'bad'): 'x' is not a token id" in done.err
    missing, _ = prepare(bad, *SIDES, "--negatives", "worse", output="other")
    assert "there is no column 'worse'" in missing.err


def make_triples(rows):
    """Users, the film of each, and films that are wrong: one, two or none."""
    rng = np.random.default_rng(0)
    user, film = rng.integers(0, 6, (2, rows)).astype("U1")
    wrong = [[f"w{n % 5}", film[n - 1]][: n % 3] for n in range(rows)]
    return {"user": user.tolist(), "film": film.tolist(), "wrong": wrong}


SETTINGS = {"enc_dim": 8, "mini_batch_size": 16, "epochs": 1}


def test_the_commands_and_python_train_the_same_model(prepare, o2v, tmp_path):
    table = make_triples(40)
    pq.write_table(pa.table(table), tmp_path / "q.parquet")
    options = ("--in0-type", "value", "--in1-type", "value", "--validation", "0.2", "--seed", 1)
    columns = ("--in0", "user", "--in1", "film", "--negatives", "wrong")
    _, data = prepare(tmp_path / "q.parquet", *columns, *options)
    given = [f"--{name}={value}" for name, value in SETTINGS.items()]
    in_batch = ("--objective", "in_batch", "--correct-popularity", "--negatives-per-pair", "1")
    output = ("--output", tmp_path / "model", "--seed", 1)
    assert o2v("train", "--data", data, *given, *in_batch, *output).status == 0
    expected = o2v_jax.load(tmp_path / "model")

    columns = {"in0": table["user"], "in1": table["film"]}
    common = {
        "kinds": "value",
        "validation": 0.2,
        "seed": 1,
        "devices": 1,
        "hyperparameters": SETTINGS,
        "objective": o2v_jax.InBatchObjective(correct_popularity=True, negatives_per_pair=1),
    }
    model = o2v_jax.train(table, in0="user", in1="film", negatives="wrong", **common)
    other = o2v_jax.train(**columns, negatives=[table["wrong"]], **common)
    for each in (model, other):
        for name, array in flatten(expected.params).items():
            np.testing.assert_array_equal(array, flatten(each.params)[name], name)
        assert each.metrics == expected.metrics
    used = sum(len(record.get("negatives", [])) for record in records(data / "train.jsonl"))
    assert model.provenance["negatives"] == used
    assert f" records were trained on, with {used} hard negatives." in expected.card

    scored = o2v("score", "--model", tmp_path / "model", data / "validation.jsonl")
    assert len(scored.rows) == len(records(data / "validation.jsonl"))


def test_a_validation_table_needs_none_and_unused_ones_are_said(caplog):
    table = make_triples(20)
    validation = {name: table[name] for name in ("user", "film")}
    o2v_jax.train(
        table,
        in0="user",
        in1="film",
        negatives=["wrong"],
        kinds="value",
        validation=validation,
        hyperparameters=SETTINGS | {"negative_sampling_rate": 1, "mlp_dim": 4},
        devices=1,
    )
    assert "negatives of the training records are not used" in caplog.text


@pytest.mark.parametrize(("negatives", "message"), [
    ("missing", "table: there is no column 'missing'"),
    (["wrong", "missing"], "table: there is no column 'missing'"),
])  # fmt: skip
def test_a_column_that_is_missing_is_named(negatives, message):
    with pytest.raises(o2v_jax.InputError, match=message):
        o2v_jax.train(make_triples(4), in0="user", in1="film", negatives=negatives)
