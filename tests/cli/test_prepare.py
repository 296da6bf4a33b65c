"""`o2v prepare`: what it writes, that it trains, and what it refuses."""

import csv
import gzip
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import o2v_jax
from o2v_jax.checkpoint import flatten
from o2v_jax.cli.prepare import KIND, SIZE, TOKENIZER, prepare
from o2v_jax.data.vocabulary import tokenize
from o2v_jax.preparation import ALGORITHMS, FORMS, KINDS, Preparation, Side

SENTENCES = ["A man isn't sleeping.", "Nobody is awake.", "Two dogs play", "a dog sleeps"]
TREEBANK = ("--in0-tokenizer", "treebank")
NAMES = ["neutral", "entailment", "contradiction"]
PAIRS = ("--in0", "one", "--in1", "two")
# what each kind of column makes of a cell
TOKENS = {
    "text": tokenize,
    "value": lambda text: [text],
    "tokens": lambda text: [{"``": '"', "''": '"'}.get(t, t).lower() for t in text.split()],
}
UNUSUAL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), min_size=1)


def table(path, rows, names=("one", "two", "y")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names[: len(rows[0])], *rows])
    return path


@pytest.fixture
def pairs(tmp_path):
    """200 labelled pairs of sentences; each sentence of the second column is only there once."""
    rows = [[SENTENCES[n % 4], f"w{n} so {SENTENCES[n % 4]}", NAMES[n % 3]] for n in range(200)]
    return table(tmp_path / "pairs.csv", rows)


@pytest.fixture
def ran(o2v, tmp_path):
    """Runs `o2v prepare ARGUMENTS --output tmp_path/"out"` and gives that directory."""

    def run(*arguments):
        result = o2v("prepare", *arguments, "--output", tmp_path / "out")
        assert result.status == 0, result.err
        return tmp_path / "out", result.err

    return run


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def words(vocabulary, ids):
    names = {index: token for token, index in json.loads(vocabulary.read_text()).items()}
    return [names[index] for index in ids]


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_texts_names_and_settings(ran, pairs):
    out, err = ran(pairs, *PAIRS, *TREEBANK, "--label", "y")
    made = {"train.jsonl", "vocab0.json", "vocab1.json", "labels.json", "inputs.json"}
    made.add("hyperparameters.json")
    assert {path.name for path in out.iterdir()} == made
    assert json.loads((out / "labels.json").read_text()) == {
        "contradiction": 0,
        "entailment": 1,
        "neutral": 2,
    }
    for row, record in zip(rows_of(pairs), records(out / "train.jsonl"), strict=True):
        assert words(out / "vocab0.json", record["in0"]) == tokenize(row["one"])
        assert words(out / "vocab1.json", record["in1"]) == tokenize(row["two"])
        assert sorted(NAMES)[record["label"]] == row["y"]
    sizes = [len(json.loads((out / f"vocab{side}.json").read_text())) for side in (0, 1)]
    assert json.loads((out / "hyperparameters.json").read_text()) == {
        "enc0_network": "hcnn",
        "enc0_vocab_size": str(sizes[0]),
        "enc0_max_seq_len": "6",
        "enc1_network": "hcnn",
        "enc1_vocab_size": str(sizes[1]),
        "enc1_max_seq_len": "8",
        "output_layer": "softmax",
        "num_classes": "3",
    }
    covered = "which cover 100.0 % of train tokens"
    assert err.splitlines() == [
        "train 200 records",
        f"in0: text of column 'one', longest 6, vocabulary {sizes[0]} ids, {covered}",
        f"in1: text of column 'two', longest 8, vocabulary {sizes[1]} ids, {covered}",
        "labels: contradiction=0, entailment=1, neutral=2",
    ]


def test_vocabularies_see_the_training_part_alone(ran, pairs):
    out, err = ran(
        pairs, *PAIRS, *TREEBANK, "--shared-vocabulary", "--validation", "0.2", "--test", "0.1"
    )
    parts = {name: records(out / f"{name}.jsonl") for name in ("train", "validation", "test")}
    seen = {word for row in parts["train"] for word in words(out / "vocab.json", row["in1"])}
    seen |= {word for row in parts["train"] for word in words(out / "vocab.json", row["in0"])}
    known = json.loads((out / "vocab.json").read_text())
    assert [*known][:2] == ["<pad>", "<unk>"]
    assert seen == known.keys() - {"<pad>", "<unk>"}
    for name in ("validation", "test"):
        assert all(row["in1"][0] == 1 for row in parts[name]), "its first word is nowhere else"
    assert sum(map(len, parts.values())) == 200
    assert " of validation, " in err


def test_the_split_is_repeated_by_its_seed(o2v, pairs, tmp_path):
    share = ("--validation", "0.3", *PAIRS)
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        assert (
            o2v("prepare", pairs, *share, "--seed", seed, "--output", tmp_path / name).status == 0
        )
    one, again, other = (
        (tmp_path / n / "validation.jsonl").read_bytes() for n in ("one", "again", "other")
    )
    assert one == again
    assert one != other


def test_files_of_their_own_for_validation_and_test(ran, pairs, tmp_path):
    extra = table(tmp_path / "extra.csv", [["A dog", "unseen", "neutral"]])
    out, _ = ran(
        pairs,
        *PAIRS,
        *TREEBANK,
        "--validation-file",
        extra,
        "--test-file",
        extra,
        "--test-file",
        extra,
    )
    assert len(records(out / "train.jsonl")) == 200
    (record,) = records(out / "validation.jsonl")
    assert words(out / "vocab0.json", record["in0"]) == ["a", "dog"]
    assert record["in1"] == [1]
    assert records(out / "test.jsonl") == [record, record]


def test_a_further_file_with_the_same_ids(o2v, ran, pairs, tmp_path):
    first, _ = ran(pairs, *PAIRS, *TREEBANK, "--label", "y")
    given_files = ("--vocabulary", first / "vocab0.json", "--in1-vocabulary", first / "vocab1.json")
    options = (*PAIRS, *TREEBANK, "--label", "y", "--classes", "contradiction,entailment,neutral")
    again = o2v("prepare", "--test-file", pairs, *options, *given_files, "--output", tmp_path / "b")
    assert again.status == 0, again.err
    assert (tmp_path / "b" / "test.jsonl").read_bytes() == (first / "train.jsonl").read_bytes()
    assert (tmp_path / "b" / "vocab1.json").read_bytes() == (first / "vocab1.json").read_bytes()
    refused = o2v(
        "prepare",
        pairs,
        *PAIRS,
        *TREEBANK,
        "--label",
        "y",
        *given_files,
        "--output",
        tmp_path / "c",
    )
    assert refused.status == 2
    assert "list them by --classes in the order of their numbers" in refused.err


def test_a_vocabulary_without_unk_drops_tokens(o2v, tmp_path):
    vocabulary = tmp_path / "v.json"
    vocabulary.write_text('{"dog": 3}')
    path = table(tmp_path / "t.csv", [["a dog", "cat"], ["cat", "cat"]])
    options = (*PAIRS, *TREEBANK, "--shared-vocabulary", "--vocabulary", vocabulary)
    refused = o2v("prepare", path, *options, "--output", tmp_path / "out")
    assert refused.status == 2
    assert f"{path}:3: no token of in0 or in1 is in the vocabulary" in refused.err
    skipped = o2v("prepare", path, *options, "--on-error", "skip", "--output", tmp_path / "out")
    assert records(tmp_path / "out" / "train.jsonl") == [{"label": 1, "in0": [3], "in1": []}]
    assert "left out 1 records" in skipped.err
    assert "33.3 % of train" in skipped.err


def test_values_and_ratings(ran, tmp_path):
    rows = [["u1", "m1", "4.0"], ["u2", "m1", "0.5"], ["U1", "m2", "3"], ["u1", "m 3", "1"]]
    kinds = ("--in0-type", "value", "--in1-type", "value")
    out, _ = ran(table(tmp_path / "r.csv", rows), *PAIRS, *kinds, "--label", "y")
    assert json.loads((out / "vocab0.json").read_text()) == {
        "<pad>": 0,
        "<unk>": 1,
        "u1": 2,
        "U1": 3,
        "u2": 4,
    }
    labels = [4, 0.5, 3, 1]
    expected = zip(labels, [[2], [4], [3], [2]], [[2], [2], [4], [3]], strict=True)
    assert records(out / "train.jsonl") == [
        {"label": label, "in0": in0, "in1": in1} for label, in0, in1 in expected
    ]
    settings = json.loads((out / "hyperparameters.json").read_text())
    assert settings["output_layer"] == "mean_squared_error"
    assert settings["enc0_network"] == settings["enc1_network"] == "pooled_embedding"


def test_sizes_and_counts_of_each_side(ran, pairs):
    limits = ("--vocab-size", 5, "--in1-vocab-size", 1000, "--in1-min-count", 2)
    out, err = ran(pairs, *PAIRS, *TREEBANK, *limits)
    assert len(json.loads((out / "vocab0.json").read_text())) == 5
    assert not any(word.startswith("w") for word in json.loads((out / "vocab1.json").read_text()))
    assert "vocabulary 5 ids, which cover " in err


def test_ids_pass_through(ran, tmp_path):
    path = table(tmp_path / "i.csv", [["3 1", "0 7", "1"], ["5", "2", "0"]])
    ids = ("--in0-type", "ids", "--in1-type", "ids", "--shared-vocabulary")
    out, err = ran(path, *PAIRS, *ids, "--label", "y")
    assert records(out / "train.jsonl")[0] == {"label": 1, "in0": [3, 1], "in1": [0, 7]}
    settings = json.loads((out / "hyperparameters.json").read_text())
    assert settings["enc0_vocab_size"] == settings["enc1_vocab_size"] == "8"
    assert settings["tied_token_embedding_weight"] == "True"
    assert "in1: id 0 is before other ids" in err
    assert "in0: id 0" not in err


def test_parquet_gives_what_csv_gives(o2v, pairs, tmp_path):
    columns = {name: [row[name] for row in rows_of(pairs)] for name in ("one", "two", "y")}
    parquet = tmp_path / "pairs.parquet"
    pq.write_table(pa.table(columns), parquet, row_group_size=30)
    for name, path in (("a", pairs), ("b", parquet)):
        options = (*PAIRS, "--label", "y", "--test", "0.2", "--output", tmp_path / name)
        assert o2v("prepare", path, *options).status == 0
    first = sorted((tmp_path / "a").iterdir())
    assert len(first) == 7
    assert [p.read_bytes() for p in first] == [
        (tmp_path / "b" / p.name).read_bytes() for p in first
    ]


def test_folders_patterns_and_json_lines_give_what_csv_gives(o2v, pairs, tmp_path):
    rows, folder = rows_of(pairs), tmp_path / "parts"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for part, start in enumerate((0, 90)):
        some = pa.Table.from_pylist(rows[start : start + 90 + 20 * part])
        pq.write_table(some, folder / f"part-{part}.snappy.parquet")
    sources = {
        "csv": pairs,
        "json": tmp_path / "pairs.jsonl",
        "folder": folder,
        "glob": f"{folder}/part-*",
    }
    options = (*PAIRS, "--label", "y", "--test", "0.2", "--seed", "0")
    for name, source in sources.items():
        done = o2v("prepare", source, *options, "--output", tmp_path / "made" / name)
        assert done.status == 0, done.err
    made = [
        {path.name: path.read_bytes() for path in (tmp_path / "made" / name).iterdir()}
        for name in sources
    ]
    assert len(made[0]) == 7
    assert all(files == made[0] for files in made)


def test_ids_that_became_floats_mean_the_same_in_every_form(o2v, tmp_path):
    """A missing value makes floats of pandas' integers."""
    users, films = [1.0, None, 12345678901.0, 1e15], [3.0, 4.0, None, 7.0]
    text = "user,film\n1.0,3.0\n,4.0\n12345678901.0,\n1000000000000000.0,7.0\n"
    (tmp_path / "a.csv").write_text(text)
    table = pa.table({"user": users, "film": films})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, table.to_pylist())))
    columns = ("--in0", "user", "--in0-type", "value", "--in1", "film", "--in1-type", "ids")
    for form in ("csv", "parquet", "jsonl"):
        out = tmp_path / form
        done = o2v(
            "prepare", tmp_path / f"a.{form}", *columns, "--on-error", "skip", "--output", out
        )
        assert done.status == 0, done.err
        assert [*json.loads((out / "vocab0.json").read_text())][2:] == ["1", "1000000000000000"]
        assert [row["in1"] for row in records(out / "train.jsonl")] == [[3], [7]]
        assert "left out 2 records" in done.err
        assert "are taken as integers that became floats" in done.err


@pytest.mark.parametrize(
    ("values", "given", "ids"),
    [
        ([1.0, 1.1, 2.0, 1.0], None, {"1.0": 2, "1.1": 3, "2.0": 4}),
        ([1.0, 3.0, 2.0, 1.0], None, {"1": 2, "2": 3, "3": 4}),
        ([1.0, 1.1, 2.0, 1.0], {"1.0": 3, "1": 1, "2": 2}, [3, None, 2, 3]),
    ],
)
def test_values_with_fractions_stay_as_they_are(o2v, tmp_path, values, given, ids):
    """Versions, say; in every form."""
    table = pa.table({"a": values, "b": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("a,b\n" + "".join(f"{v},1\n" for v in values))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, table.to_pylist())))
    options = ("--in0", "a", "--in0-type", "value", "--in1", "b", "--in1-type", "ids")
    if given:
        (tmp_path / "given.json").write_text(json.dumps(given))
        options = (*options, "--vocabulary", tmp_path / "given.json")
    for form in ("csv", "parquet", "jsonl"):
        out = tmp_path / form
        done = o2v("prepare", tmp_path / f"a.{form}", *options, "--output", out)
        assert done.status == 0, done.err
        if given:
            found = [row["in0"] for row in records(out / "train.jsonl")]
            assert found == [[] if known is None else [known] for known in ids]
        else:
            vocabulary = json.loads((out / "vocab0.json").read_text())
            assert {token: at for token, at in vocabulary.items() if at > 1} == ids


def test_lists_written_as_text_are_noticed(ran, tmp_path):
    path = tmp_path / "lists.csv"
    path.write_text("one\ttwo\n['red', 'blue']\t[MASK] a (b)\n[]\ta\n")
    _, err = ran(path, *PAIRS, "--in0-type", "tokens", "--in1-type", "tokens", "--delimiter", r"\t")
    noticed = [line for line in err.splitlines() if "written as text" in line]
    assert len(noticed) == 1
    assert noticed[0].startswith("in0 (column 'one'): \"['red', 'blue']\" looks like a list")


@pytest.mark.slow
@given(
    st.lists(st.tuples(UNUSUAL, UNUSUAL), min_size=1, max_size=8),
    st.sampled_from([*TOKENS]),
    st.booleans(),
)
def test_ids_decode_to_the_tokens(tmp_path_factory, rows, kind, shared):
    folder = tmp_path_factory.mktemp("decoded")
    path = table(folder / "t.csv", rows)
    tokenizer = "treebank" if kind == "text" else None
    sides = (Side("one", kind, tokenizer=tokenizer), Side("two", kind, tokenizer=tokenizer))
    common = {"files": (path,), "sides": sides, "shared": shared, "skip": True}
    usable = [row for row in rows if all(text.strip() for text in row)]
    assume(usable)
    Preparation(output=folder / "out", **common).run()
    vocabularies = ["vocab.json"] * 2 if shared else ["vocab0.json", "vocab1.json"]
    written = records(folder / "out" / "train.jsonl")
    for row, record in zip(usable, written, strict=True):
        for side, text in enumerate(row):
            decoded = words(folder / "out" / vocabularies[side], record[f"in{side}"])
            assert decoded == TOKENS[kind](text)


def write_settings(out, **settings):
    file = out / "hyperparameters.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.slow
def test_it_trains_at_once(o2v, ran, pairs, tmp_path):
    out, _ = ran(pairs, *PAIRS, "--label", "y", "--validation", "0.1", "--test", "0.1")
    write_settings(out, epochs="1", enc_dim="8", mlp_dim="4", mini_batch_size="512")
    channels = [f"--{name}={out / name}.jsonl" for name in ("train", "validation", "test")]
    common = ("--hyperparameters", out / "hyperparameters.json", "--output", tmp_path / "model")
    trained = o2v("train", *channels, *common)
    assert trained.status == 0, trained.err
    assert o2v_jax.load(tmp_path / "model").config.num_classes == 3
    again = o2v("train", "--data", out, "--output", tmp_path / "again")
    assert again.status == 0, again.err
    one, two = (o2v_jax.load(tmp_path / name) for name in ("model", "again"))
    assert flatten(one.params).keys() == flatten(two.params).keys()
    for name, array in flatten(one.params).items():
        np.testing.assert_array_equal(array, flatten(two.params)[name])
    assert (one.tokenizers, one.class_names) == (None, ())
    assert two.class_names == ("contradiction", "entailment", "neutral")
    where, serve = again.complaints
    assert where.startswith(f"The model is in {tmp_path / 'again'}: validation accuracy 0.")
    assert serve == f"Serve it: o2v serve --model {tmp_path / 'again'}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["value", "tokens", "text"])
def test_a_table_becomes_a_model_that_takes_its_own_words(o2v, tmp_path, kind):
    table = tmp_path / "ratings.csv"
    films = ["Heat (1995)", "Alien", "The Piano"]
    rows = [f"{user},{film},{(user + len(film)) % 5 + 1}" for user in (7, 318) for film in films]
    table.write_text("user,film,stars\n" + "\n".join(rows * 4) + "\n")
    made = o2v(
        *("prepare", table, "--in0", "user", "--in0-type", "value", "--in1", "film"),
        *("--in1-type", kind, "--label", "stars", "--output", tmp_path / "data"),
    )
    assert made.status == 0, made.err
    sizes = ("--epochs", 1, "--enc_dim", 8, "--mlp_dim", 4, "--mini_batch_size", 512)
    trained = o2v("train", "--data", tmp_path / "data", "--output", tmp_path / "model", *sizes)
    assert trained.status == 0, trained.err
    shown = o2v("inspect", "--model", tmp_path / "model").out
    assert "in0: value, 4 in its vocabulary" in shown
    model = o2v_jax.load(tmp_path / "model")
    record = {
        side: t.encode(v)
        for side, t, v in zip(("in0", "in1"), model.tokenizers, ("318", films[0]), strict=True)
    }
    assert record["in0"] != [1]
    assert 1 not in record["in1"]
    (tmp_path / "ids.jsonl").write_text(json.dumps(record))
    (tmp_path / "words.jsonl").write_text(json.dumps({"in0": "318", "in1": films[0]}))
    by_ids = o2v("score", "--model", tmp_path / "model", tmp_path / "ids.jsonl")
    by_words = o2v("score", "--model", tmp_path / "model", tmp_path / "words.jsonl")
    by_text = o2v("score", "--model", tmp_path / "model", "--text", "318", films[0])
    assert by_ids.rows == by_words.rows == by_text.rows
    one_side = o2v("embed", "--model", tmp_path / "model", "--side", "in1", "--text", films[0])
    assert len(one_side.rows[0]["embeddings"]) == 8


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "train.jsonl").unlink(), "holds no train.jsonl, so it is not what o2v"),
        (lambda d: (d / "hyperparameters.json").unlink(), "holds no hyperparameters.json"),
        (lambda d: (d / "vocab0.json").unlink(), "vocab0.json: cannot be read"),
        (lambda d: (d / "vocab1.json").write_text("[]"), "vocab1.json must hold a JSON object"),
        (lambda d: (d / "inputs.json").write_text("{}"), "inputs must be"),
        (lambda d: (d / "labels.json").write_text('{"a": 1}'), "must map names to 0..0, each once"),
        (lambda d: write_settings(d, num_classes="4"), "3 names, but num_classes is 4"),
        (lambda d: write_settings(d, enc0_vocab_size="5"), "ids must be below the vocab_size 5"),
    ],
)
def test_a_damaged_preparation_is_not_trained_on(o2v, ran, pairs, tmp_path, damage, message):
    out, _ = ran(pairs, *PAIRS, *TREEBANK, "--label", "y")
    damage(out)
    refused = o2v("train", "--data", out, "--output", tmp_path / "model", "--epochs", 1)
    assert refused.status == 2
    assert message in refused.err
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_given_hyperparameters_overrule_those_of_the_data(o2v, ran, pairs, tmp_path):
    out, _ = ran(pairs, *PAIRS, "--label", "y", "--shared-vocabulary")
    file = tmp_path / "hyperparameters.json"
    file.write_text(json.dumps({"enc1_network": "enc0", "enc0_max_seq_len": "9", "epochs": "2"}))
    options = ("--hyperparameters", file, "--epochs", 1, "--mini_batch_size", 512)
    trained = o2v("train", "--data", out, *options, "--output", tmp_path / "model")
    assert trained.status == 0, trained.err
    config = o2v_jax.load(tmp_path / "model").config
    assert (config.epochs, config.enc0_max_seq_len, config.encoder(1).max_seq_len) == (1, 9, 9)
    assert config.num_classes == 3


def test_data_is_all_there_is(o2v, ran, pairs, tmp_path):
    out, _ = ran(pairs, *PAIRS, "--label", "y")
    both = ("--data", out, "--train", out / "train.jsonl", "--output", tmp_path / "model")
    refused = o2v("train", *both)
    assert refused.status == 2
    assert "--data names a prepared directory: leave --train out" in refused.err


@pytest.mark.slow
def test_channels_are_files_folders_and_patterns(o2v, ran, pairs, tmp_path):
    out, _ = ran(pairs, *PAIRS, "--label", "y")
    lines = (out / "train.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "parts").mkdir()
    for number in range(2):
        (tmp_path / "parts" / f"{number}.jsonl.gz").write_bytes(
            gzip.compress(b"".join(lines[100 * number : 100 * (number + 1)]))
        )
    settings = ("--epochs", 1, "--enc_dim", 8, "--mini_batch_size", 512)
    common = ("--hyperparameters", out / "hyperparameters.json", *settings)
    found = []
    for number, named in enumerate(
        (out / "train.jsonl", tmp_path / "parts", f"{tmp_path}/parts/*")
    ):
        output = tmp_path / f"model{number}"
        trained = o2v("train", "--train", named, *common, "--output", output)
        assert trained.status == 0, trained.err
        found.append(flatten(o2v_jax.load(output).params))
    for other in found[1:]:
        assert all(np.array_equal(array, other[name]) for name, array in found[0].items())
    missing = o2v("train", "--train", tmp_path / "none*", *common, "--output", tmp_path / "x")
    assert missing.status == 2
    assert f"Path '{tmp_path}/none*' does not exist" in missing.err


@pytest.mark.slow
def test_a_shared_vocabulary_trains_tied_and_reads_text(o2v, ran, pairs, tmp_path):
    out, _ = ran(pairs, *PAIRS, *TREEBANK, "--shared-vocabulary")
    settings = json.loads((out / "hyperparameters.json").read_text())
    settings |= {"epochs": "1", "enc_dim": "8", "mlp_dim": "4", "mini_batch_size": "512"}
    settings |= {f"enc{side}_network": "pooled_embedding" for side in (0, 1)}
    (out / "hyperparameters.json").write_text(json.dumps(settings))
    common = ("--hyperparameters", out / "hyperparameters.json", "--vocabulary", out / "vocab.json")
    model = tmp_path / "model"
    assert o2v("train", "--train", out / "train.jsonl", *common, "--output", model).status == 0
    assert o2v_jax.load(model).config.tied_token_embedding_weight
    scored = o2v("score", "--model", model, "--text", *SENTENCES[:2])
    assert len(scored.rows[0]["scores"]) == 2


def test_bad_records_are_left_out_and_counted(ran, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("one,two,y\na,b,1\n,b,1\na,b\na,b,many\na,c,0\na,,x\n")
    out, err = ran(path, *PAIRS, "--label", "y", "--on-error", "skip")
    assert len(records(out / "train.jsonl")) == 2
    assert err.splitlines()[-5:] == [
        "left out 4 records, such as:",
        f"{path}:4: the row has 2 columns, but the first row has 3",
        f"{path}:3: in0 (column 'one'): the cell is empty",
        f"{path}:5: the label 'many' is not a finite number",
        f"{path}:7: in1 (column 'two'): the cell is empty",
    ]


def test_the_command_knows_what_the_library_does():
    options = {option.name: option.type for option in prepare.params}
    assert tuple(KIND.choices) == KINDS
    assert tuple(options["form"].choices) == FORMS
    assert tuple(TOKENIZER.choices) == ALGORITHMS
    assert SIZE.max == Side("any").largest_size


@pytest.mark.process
def test_memory_stays_flat(tmp_path):
    """Twenty times the rows take no more than a little more memory."""
    peaks = []
    for rows in (10_000, 200_000):
        path = tmp_path / f"{rows}.tsv"
        path.write_text("".join(f"u{n % 900}\ti{n % 1700}\t{n % 5}\n" for n in range(rows)))
        peaks.append(_peak(path, tmp_path / str(rows)))
    assert peaks[1] < peaks[0] + 20_000


def _peak(path, output):
    """KiB that a preparation takes at most."""
    code = (
        "import resource, sys; from pathlib import Path;"
        "from o2v_jax.preparation import *;"
        "sides = Side('0', 'value'), Side('1', 'value');"
        "Preparation(files=(Path(sys.argv[1]),), sides=sides, label=LabelColumn('2'),"
        " output=Path(sys.argv[2]), layout=Layout(header=False), split=Split(0.1)).run();"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, path, output]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=120).stdout)
