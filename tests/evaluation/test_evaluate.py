"""`evaluate`: what it takes, what it refuses, and what an Evaluation says."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

import o2v_jax
from o2v_jax import InputError, Model, RecordError, Tokenizer, Vocabulary
from o2v_jax.data.labels import parse_labels

USERS = Vocabulary({"<unk>": 1, "Ann": 2, "Bob": 3})
FILMS = Vocabulary({"<unk>": 1, "Heat (1995)": 4, "Alien": 5})
IN0 = [[2], [3], [1], [2]]
IN1 = [[4], [5], [5], [1]]
LABELS = [0, 2, 1, 2]
NAMES = ("bad", "fair", "good")


@pytest.fixture(scope="module")
def model(config_of, model_of):
    bare = model_of(config_of(enc0_network="pooled_embedding", enc0_max_seq_len=3))
    tokenizers = Tokenizer("value", USERS), Tokenizer("value", FILMS)
    return replace(bare, tokenizers=tokenizers, class_names=NAMES)


@pytest.fixture(scope="module")
def found(model):
    return o2v_jax.evaluate(model, IN0, IN1, LABELS)


def test_the_scores_are_the_scorers(model, found):
    expected = o2v_jax.Scorer(model).score(IN0, IN1)
    np.testing.assert_array_equal(found.scores, expected)
    assert found.metrics["cross_entropy"] == pytest.approx(
        metrics.log_loss(LABELS, found.scores, labels=[0, 1, 2]), abs=1e-6
    )
    assert found.metrics["accuracy"] == metrics.accuracy_score(LABELS, found.scores.argmax(1))


@pytest.mark.parametrize("column", [list, np.array, pa.array])
def test_words_and_names_of_classes_are_their_numbers(model, found, column):
    users = column(["Ann", "Bob", "Cleo", "Ann"])
    films = column(["Heat (1995)", "Alien", "Alien", "Jaws"])
    labels = column([NAMES[label] for label in LABELS])
    worded = o2v_jax.evaluate(model, users, films, labels)
    np.testing.assert_array_equal(worded.scores, found.scores)
    assert worded.metrics == found.metrics


@pytest.mark.parametrize("labels", [np.float32(LABELS), ["0", "good", 1, np.int64(2)]])
def test_labels_of_many_kinds(model, found, labels):
    np.testing.assert_array_equal(
        o2v_jax.evaluate(model, IN0, IN1, labels).labels, found.labels, strict=True
    )


def test_the_worst_pairs_are_texts_in_order(found):
    worst = found.list_worst()
    probabilities = found.scores[np.arange(4), LABELS]
    assert [pair.record for pair in worst] == np.argsort(probabilities).tolist()
    for pair in worst:
        assert pair.figure == pytest.approx(probabilities[pair.record])
        assert pair.label == NAMES[LABELS[pair.record]]
        assert pair.predicted == NAMES[found.scores[pair.record].argmax()]
    texts = {pair.record: (pair.in0, pair.in1) for pair in worst}
    assert texts[0] == ("Ann", "Heat (1995)")
    assert texts[3] == ("Ann", "<unk>")
    assert [pair.record for pair in found.list_worst(2)] == [pair.record for pair in worst[:2]]


def test_worst_pairs_of_a_model_of_ids_are_ids_as_the_model_reads_them(model):
    bare = replace(model, tokenizers=None, class_names=())
    (pair,) = o2v_jax.evaluate(bare, [[7, 8, 9, 10, 11]], [[5]], [1]).list_worst()
    assert (pair.in0, pair.in1, pair.label) == ("7 8 9", "5", "1")


def test_it_prints_in_a_few_lines(found):
    lines = repr(found).splitlines()
    assert lines[0] == "Evaluation of 4 records"
    assert len(lines) == 1 + len(found.metrics)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IN0, IN1, LABELS[:3]), InputError, "in0 has 4, in1 has 4, labels has 3"),
        ((IN0, IN1[:1], LABELS), InputError, "in0 has 4, in1 has 1, labels has 4"),
        (([], [], []), InputError, "there are no records to evaluate"),
        ((IN0, IN1, [0, 1, 3, 0]), RecordError, r"record 2: the label 3 is not an integer class"),
        ((IN0, IN1, [0, 1, 0.5, 0]), RecordError, r"record 2: the label 0.5 is not an integer"),
        ((IN0, IN1, [0, float("nan"), 1, 0]), RecordError, r"record 1: the label nan is not"),
        ((IN0, IN1, [0, None, 1, 0]), RecordError, "record 1: the label None is not a number nor"),
        ((IN0, IN1, ["bad", "?", 1, 0]), RecordError, "'?' is not a number nor one of bad, fair"),
        ((IN0, IN1, "good"), InputError, "labels='good' must be labels in a sequence"),
        ((IN0, IN1, 5), InputError, "labels=5 must be labels in a sequence"),
        (([[2], [3], [1], [99]], IN1, LABELS), RecordError, r"record 3: in0\[0\]: 99 is outside"),
    ],
)
def test_what_is_wrong_is_named(model, arguments, error, message):
    with pytest.raises(error, match=message):
        o2v_jax.evaluate(model, *arguments)


def test_a_model_that_gives_no_numbers_is_refused(model):
    params = {**model.params, "embed_0": {"weight": model.params["embed_0"]["weight"].copy()}}
    params["embed_0"]["weight"][3] = np.nan
    with pytest.raises(InputError, match="record 1: the model gives no finite score"):
        o2v_jax.evaluate(replace(model, params=params), IN0, IN1, LABELS)


def test_what_is_no_model_is_refused():
    with pytest.raises(InputError, match="model='model' must be a Model"):
        o2v_jax.evaluate("model", IN0, IN1, LABELS)


def test_parameters_of_another_configuration_are_refused(config_of, model_of):
    model = Model(config_of(enc0_vocab_size=60), model_of(config_of(enc0_vocab_size=50)).params)
    with pytest.raises(InputError, match=r"must have shape \(60, 8\), but it has \(50, 8\)"):
        o2v_jax.evaluate(model, [[1, 55]], [[2]], [1])


def test_an_unknown_dtype_is_refused(model):
    with pytest.raises(InputError, match="dtype='foo' must be one of float32"):
        o2v_jax.evaluate(model, IN0, IN1, LABELS, dtype="foo")


def test_regression_takes_any_number(config_of, model_of):
    config = config_of(
        enc0_network="pooled_embedding", enc0_max_seq_len=3, output_layer="mean_squared_error"
    )
    labels = [0.5, -2.0, 3.25, 1e3]
    found = o2v_jax.evaluate(model_of(config), IN0, IN1, labels)
    predicted = found.scores[:, 0].astype(float)
    assert found.metrics["mean_squared_error"] == pytest.approx(
        metrics.mean_squared_error(labels, predicted), rel=1e-6
    )
    worst = found.list_worst(1)[0]
    assert (worst.record, worst.label) == (3, 1e3)
    assert worst.figure == pytest.approx(predicted[3] - 1e3)
    with pytest.raises(RecordError, match="record 1: the label nan is not a finite number"):
        o2v_jax.evaluate(model_of(config), IN0, IN1, [0, float("nan"), 0, 0])


@pytest.mark.parametrize(
    ("names", "labels", "classes"),
    [
        (("1", "0"), [0, 1, 0], [1, 0, 1]),
        (("1", "0"), np.array([0, 1, 0]), [1, 0, 1]),
        (("true", "false"), [True, False, True], [0, 1, 0]),
        (("2", "1"), [1.0, 2.0, 1.0], [1, 0, 1]),
        (("b", "a"), [0, 1, 0], [0, 1, 0]),
        (("b", "a"), [" a", "b", "a"], [1, 0, 1]),
    ],
)
def test_labels_that_spell_names_are_these(names, labels, classes):
    found = parse_labels(labels, names, "record {}".format)
    np.testing.assert_array_equal(found, classes)


@pytest.mark.parametrize("label", ["1_0", b"1", None, [1]])
def test_what_tables_do_not_read_is_no_label(label):
    with pytest.raises(RecordError, match=r"record 0: the label .* is not a number"):
        parse_labels([label], (), "record {}".format)


def test_names_must_be_those_of_the_classes(model):
    with pytest.raises(InputError, match="class_names holds 1 names, but num_classes is"):
        o2v_jax.evaluate(replace(model, class_names=("a",)), [[1]], [[2]], [0])


def test_a_class_may_be_called_by_a_formula_or_another_script(config_of, model_of, tmp_path):
    names = ("$5", "5$_$", "猫")
    model = replace(model_of(config_of()), class_names=names)
    page = o2v_jax.evaluate(model, [[1]] * 3, [[2]] * 3, names).write(tmp_path / "report")
    assert "5$_$" in page.read_text()


def test_a_report_in_no_possible_place_is_refused(found, tmp_path):
    for name, message in (("n" * 300, "cannot be made"), ("a\0b", "must be a path")):
        with pytest.raises(InputError, match=message):
            found.write(f"{tmp_path}/{name}")
    with pytest.raises(InputError, match="count=-1 must be an integer of at least 0"):
        found.list_worst(-1)
