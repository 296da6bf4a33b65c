"""`o2v_jax.train`: a table in memory in, the model that `prepare` and `train` make out."""

import signal
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import o2v_jax
from o2v_jax.checkpoint.model import flatten
from o2v_jax.cli.training_data import read_training_data
from o2v_jax.errors import HyperparameterError, InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.preparation import (
    LabelColumn,
    Preparation,
    Side,
    Split,
    infer_kind,
    join_columns,
    select_columns,
)
from o2v_jax.preparation.read.batches import read_arrow_table
from o2v_jax.training import Job

pytestmark = pytest.mark.slow

SMALL = {"enc_dim": 8, "mlp_layers": 1, "mlp_dim": 4, "mini_batch_size": 512, "epochs": 2}
REGRESSION = {**SMALL, "output_layer": "mean_squared_error"}
COLUMNS = {"in0": "user", "in1": "film", "label": "stars"}


@pytest.fixture(scope="module")
def ratings():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "when": pd.Timestamp("2026-01-01"),
            "user": rng.integers(1, 9, 60),
            "film": rng.choice(["Heat (1995)", "Alien", "Up"], 60),
            "stars": rng.integers(1, 6, 60) / 2,
        }
    )


def train(table, **options):
    given = {**COLUMNS, "kinds": "value", "hyperparameters": REGRESSION, **options}
    return o2v_jax.train(table, **given)


def assert_same(model, other):
    assert replace(model.config, epochs=1) == replace(other.config, epochs=1)
    params = flatten(other.params)
    for name, array in flatten(model.params).items():
        np.testing.assert_array_equal(array, params[name], name)


def test_parameters_are_those_of_the_commands(ratings, tmp_path):
    pq.write_table(pa.Table.from_pandas(ratings), tmp_path / "ratings.parquet")
    Preparation(
        files=(tmp_path / "ratings.parquet",),
        sides=(Side("user", "value"), Side("film", "value")),
        label=LabelColumn("stars"),
        split=Split(0.2, 0.1, 3),
        output=tmp_path / "data",
    ).run()
    data = read_training_data(tmp_path / "data", {}, REGRESSION, None)
    config = Hyperparameters.from_strings(data.pop("hyperparameters"))
    job = Job(
        **data,
        config=config,
        output=tmp_path / "model",
        seed=3,
        cache=tmp_path / "cache",
        devices=1,
    )
    expected = job.run()

    model = train(ratings, validation=0.2, test=0.1, seed=3, devices=1)

    assert_same(model, expected)
    assert model.metrics == expected.metrics
    assert model.tokenizers == expected.tokenizers
    assert model.history == expected.history
    assert [sorted(epoch) for epoch in model.history] == [["train", "validation"]] * 2


def test_nothing_is_printed_or_written_unless_asked_for(ratings, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    model = train(ratings, devices=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert capfd.readouterr() == ("", "")
    assert not [*tmp_path.iterdir()]

    written = train(ratings, devices=1, verbose=True, output="model")
    assert "validation mean_squared_error <loss>=" in capfd.readouterr().out
    assert_same(written, model)
    loaded = o2v_jax.load("model")
    assert_same(loaded, model)
    called = "o2v_jax.train(table=<DataFrame>, in0='user', in1='film', label='stars', kinds='value'"
    assert loaded.provenance["command"].startswith(called)
    scores = [o2v_jax.Scorer(each).score(["3", "8"], ["Alien", "?"]) for each in (model, loaded)]
    np.testing.assert_array_equal(*scores)


def test_callbacks_see_every_epoch_and_may_end_the_training(ratings):
    seen = []
    model = train(
        ratings,
        devices=1,
        hyperparameters={**REGRESSION, "epochs": 9},
        callbacks=[lambda *each: seen.append(each), lambda epoch, _: epoch == 1],
    )
    assert [epoch for epoch, _ in seen] == [0, 1]
    assert tuple(metrics for _, metrics in seen) == tuple(model.history)


def test_ctrl_c_returns_the_best_epoch_so_far(ratings, caplog):
    def press(epoch, _):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)

    model = train(
        ratings, devices=1, hyperparameters={**REGRESSION, "epochs": 99}, callbacks=[press]
    )
    assert len(model.history) == 2
    assert_same(model, train(ratings, devices=1))
    best = f"interrupted: the model is that of epoch {model.metrics['best_epoch']}, the best so far"
    assert best in caplog.text


def test_ctrl_c_before_an_epoch_is_done_is_the_callers(ratings, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("o2v_jax.training.loop.run.Run._train_batches", press)
    with pytest.raises(KeyboardInterrupt):
        train(ratings, devices=1)


def test_sentences_tokens_and_names_of_classes():
    texts = ["A man sleeps.", "A dog runs.", "The dog runs."] * 4
    tokens = pa.array([["he", "sleeps"], ["it", "runs"], ["it", "is"]] * 4)
    labels = np.array(["yes", "no", "no"] * 4)
    networks = {f"enc{side}_network": "pooled_embedding" for side in (0, 1)}
    given = {"in0": texts, "in1": tokens, "label": labels}
    model = o2v_jax.train(
        **given,
        validation=(texts[:2], tokens[:2], labels[:2]),
        tokenizer="wordpiece",
        hyperparameters=SMALL | networks,
        devices=1,
    )
    assert [tokenizer.algorithm for tokenizer in model.tokenizers] == ["wordpiece", None]
    assert [tokenizer.kind for tokenizer in model.tokenizers] == ["text", "tokens"]
    assert model.class_names == ("no", "yes")
    assert o2v_jax.Scorer(model).score(["A dog sleeps."], [["he", "?"]]).shape == (1, 2)


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [
        (([[1, 2], [3]], [[4], [5, 6]]), ["ids", "ids"]),
        ((o2v_jax.Ragged.of([[1, 2], [3]]), np.array([[4, 0], [5, 6]])), ["ids", "ids"]),
        ((pl.Series(["a b", "c"]), pl.Series([[1], [2]])), ["text", "ids"]),
        ((pd.Series(["a", "b"], dtype="category"), pd.Series([3, 4])), ["value", "value"]),
        ((("a", "b"), (["x"], ["y", "z"])), ["text", "tokens"]),
    ],
)
def test_kinds_follow_from_the_columns(columns, kinds):
    table = join_columns({"in0": columns[0], "in1": columns[1]}, "table")
    assert [infer_kind(column) for column in table.schema.types] == kinds


def test_tables_of_all_libraries_are_the_same(ratings):
    wanted = [*COLUMNS.values()]
    expected = select_columns(ratings, wanted, "table").to_pydict()
    others = [
        pl.from_pandas(ratings),
        pl.from_pandas(ratings).lazy(),
        pa.Table.from_pandas(ratings),
        {name: ratings[name].tolist() for name in ratings},
        {name: ratings[name].to_numpy() for name in ratings},
    ]
    for other in others:
        assert select_columns(other, wanted, "table").to_pydict() == expected


def replaced(table, column, row, value):
    column_of = table[column].astype(object)
    return table.assign(**{column: column_of.where(table.index != row, value)})


BAD_TABLES = {
    "a label that is NaN": (
        lambda table: replaced(table, "stars", 7, float("nan")),
        "table: row 7: the label is empty",
    ),
    "a missing label": (
        lambda table: replaced(table, "stars", 7, None),
        "table: row 7: the label is empty",
    ),
    "an empty cell": (
        lambda table: replaced(table, "film", 5, " "),
        "table: row 5: in1 (column 'film'): the cell is empty",
    ),
    "a missing cell": (
        lambda table: replaced(table, "film", 5, None),
        "table: row 5: in1 (column 'film'): the cell is empty",
    ),
    "a missing column": (
        lambda table: table.drop(columns="film"),
        "table: there is no column 'film'; its columns are when, user, stars",
    ),
    "mixed types": (
        lambda table: replaced(table, "film", 5, 3),
        "table: row 5: column 'film': 3 is int, others are str: make them alike",
    ),
    "two columns of one name": (
        lambda table: pd.concat([table, table.film], axis=1),
        "table: several columns are named 'film' 2 times: rename them",
    ),
    "a number that is no label": (
        lambda table: replaced(table, "stars", 9, float("inf")),
        "table: row 9: the label 'inf' is not a finite number",
    ),
    "no rows": (lambda table: table[:0], "table: holds no rows"),
    "no table": (lambda _: "ratings.csv", "table must be a DataFrame (pandas, polars), "),
    "one column": (lambda table: table.film, "table must be a DataFrame (pandas, polars), "),
}


@pytest.mark.parametrize(("make", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_tables_are_refused_with_row_and_column(ratings, make, message):
    with pytest.raises((InputError, RecordError)) as refused:
        train(make(ratings))
    assert str(refused.value).startswith(message)


def test_bad_rows_are_left_out_if_that_is_wanted(ratings, caplog):
    table = replaced(replaced(ratings, "film", 5, None), "stars", 7, None)
    model = train(table, on_error="skip", validation=0, devices=1)
    assert model.provenance["records"] == 58
    (warning,) = [each.getMessage() for each in caplog.records if "left out" in each.getMessage()]
    assert warning == (
        "2 bad rows are left out, such as table: row 5: in1 (column 'film'): the cell is empty; "
        "table: row 7: the label is empty"
    )


def test_a_class_that_validation_lacks_is_named(ratings, caplog):
    networks = {f"enc{side}_network": "pooled_embedding" for side in (0, 1)}
    sides = [[1], [2], [3], [4]]
    o2v_jax.train(
        in0=sides,
        in1=sides,
        label=["a", "b", "c", "a"],
        validation=(sides[:2], sides[:2], ["a", "c"]),
        devices=1,
        hyperparameters=SMALL | networks | {"epochs": 1},
    )
    assert "validation has no record of class 'b'" in caplog.text


ROWS = {"in0": [[1], [2]], "in1": [[2], [3]], "label": [1, 0], "validation": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in1": [[2]]}, "table: in0 has 2, in1 has 1, label has 2 rows; give as many of each"),
        ({"in0": 5}, "in0: 5 is not a column of a table"),
        ({"in0": [[1], ["a"]]}, "in0: token ids must be integers"),
        ({"kinds": "words"}, "kinds='words' must be one of text, tokens, value, ids, or None"),
        ({"tokenizer": "words"}, "tokenizer='words' must be one of word, bpe, wordpiece, treebank"),
        ({"tokenizer": "bpe"}, "tokenizer=bpe is for texts, but in0 and in1 hold none"),
        (
            {"in0": ["a", "b"], "shared_vocabulary": True},
            "a shared vocabulary needs ids in both columns or in neither",
        ),
        ({"kinds": ("ids",)}, "kinds=tuple ('ids',) must be one kind, or a pair"),
        ({"validation": 1.5}, "validation 1.5 and test 0 must be shares of at least 0"),
        ({"validation": ([[1]], [[2]])}, "validation=tuple ([[1]], [[2]]) must be a share, or a"),
        ({"hyperparameters": 3}, "hyperparameters=3 must be a mapping"),
        ({"on_error": "ignore"}, "on_error='ignore' must be 'fail' or 'skip'"),
        ({"callbacks": [3]}, "callbacks=list [3] must be functions in a sequence"),
        ({"callbacks": print}, "must be functions in a sequence"),
        ({"classes": "ab"}, "classes='ab' must be names of classes in a list"),
        ({"classes": [1, 2]}, "must be names of classes in a list"),
        ({"classes": ["a", "b"], "label": None}, "classes are names of labels, but there is no "),
        ({"vocab_size": 3}, "in0 and in1 hold ids, which leaves nothing for vocab_size"),
        ({"label": ["a", "a"]}, "the labels name one class, 'a'; two are needed"),
        ({"label": np.array(1)}, "label: ndarray of shape () is not a column of a table"),
        ({"verbose": "no"}, "verbose='no' must be True or False"),
        ({"shared_vocabulary": "no"}, "shared_vocabulary='no' must be True or False"),
        ({"devices": "2"}, "devices='2' must be an integer of at least 1"),
        ({"auxiliary": 5}, "auxiliary=5 must be a path"),
        ({"output": "a\0b"}, "must be a path"),
        ({"license_id": "mit\n# x"}, "must be one line"),
        ({"seed": -1}, "seed=-1 must be an integer in 0.."),
        ({"vocab_size": 1}, "vocab_size=1 must be an integer in 2.."),
        ({"min_count": 0}, "min_count=0 must be an integer of at least 1"),
        ({"output": "s3://bucket/model"}, "s3://bucket/model"),
        ({"devices": 99}, "devices=99: must be in 1.."),
        ({"hyperparameters": {"enc1_vocab_size": 3}}, "table: row 1: in1[0]: 3 is outside the "),
        ({"negatives": 5}, "negatives=5 must be columns in a list"),
        (
            {"negatives": [[[1]]]},
            "table: in0 has 2, in1 has 2, label has 2, negatives[0] has 1 rows",
        ),
        (
            {"negatives": [[[2], [9]]], "hyperparameters": {"enc1_vocab_size": 5}},
            "table: row 1: negatives[0][0]: 9 is outside the vocabulary 0..4",
        ),
        (
            {"hyperparameters": {"negative_sampling_rate": 1}},
            "table: row 1: label: 0 is given, but negative_sampling_rate=1 makes the negatives",
        ),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises((InputError, RecordError)) as refused:
        o2v_jax.train(**(ROWS | options))
    assert message in str(refused.value)


def test_names_that_are_alike_as_texts_are_refused():
    table = pd.DataFrame({0: ["p", "q"], "0": ["r", "s"], "y": [0, 1]})
    with pytest.raises(InputError, match="several columns are named '0': rename them"):
        o2v_jax.train(table, in0=0, in1="0", label="y")


def test_nan_in_a_list_is_an_empty_cell():
    rows = {"in0": ["a", float("nan")], "in1": ["b", "c"], "label": [0, pd.NA]}
    with pytest.raises(RecordError, match=r"table: row 1: in0 .*: the cell is empty"):
        o2v_jax.train(**rows, validation=0)
    with pytest.raises(RecordError, match="table: row 1: the label is empty"):
        o2v_jax.train(**(rows | {"in0": ["a", "b"]}), validation=0)


def test_lists_of_any_layout_are_read():
    expected = [["a", "b"], ["c"]] * 8
    for kind in (
        pa.list_view(pa.string()),
        pa.large_list(pa.string()),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
    ):
        column = pa.array(expected, kind)
        assert infer_kind(column.type) == "tokens"
        rows = next(read_arrow_table(pa.table({"in0": column}), ["in0"], "table"))
        assert rows.columns[0].to_pylist() == expected


def test_a_model_of_values_takes_the_columns_that_trained_it(ratings):
    model = train(ratings, devices=1)
    scores = o2v_jax.Scorer(model).score(ratings["user"], ratings["film"])
    texts = ratings["user"].astype(str).tolist()
    np.testing.assert_array_equal(
        scores, o2v_jax.Scorer(model).score(texts, ratings["film"].tolist())
    )
    found = o2v_jax.evaluate(model, ratings["user"], ratings["film"], ratings["stars"])
    assert found.metrics["mean_squared_error"] > 0


def test_a_seed_may_be_numpys(ratings):
    assert_same(train(ratings, devices=1, seed=np.int64(3)), train(ratings, devices=1, seed=3))


def test_a_validation_table_of_other_labels_is_remarked_on(ratings, caplog):
    table = ratings.assign(stars=[0, 1] * 30)
    train(table, validation=ratings[:2].assign(stars=[1, 5]), devices=1, hyperparameters=SMALL)
    assert "labels are for regression, as validation or test has 5" in caplog.text


def test_hyperparameters_are_checked_by_name():
    with pytest.raises(HyperparameterError, match="'epoch' is not a hyperparameter"):
        o2v_jax.train(**ROWS, hyperparameters={"epoch": 3})


def test_no_warning_is_left_to_the_caller(ratings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(ratings, devices=1)
