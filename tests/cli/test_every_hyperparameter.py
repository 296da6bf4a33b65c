"""Every hyperparameter, through the real command: it changes something, or it is refused.

A row of `ROWS` trains twice on the same data and seed, without its value and with it, and looks at
what is different between the two.
"""

import json
import re
from typing import NamedTuple

import numpy as np
import pytest

import o2v_jax
from o2v_jax.checkpoint import flatten
from o2v_jax.hyperparameters import hyperparameter_table

pytestmark = pytest.mark.slow

SMALL = {
    "enc0_max_seq_len": 6,
    "enc1_max_seq_len": 6,
    "enc0_vocab_size": 12,
    "enc1_vocab_size": 12,
    "enc0_network": "pooled_embedding",
    "enc1_network": "pooled_embedding",
    "enc0_token_embedding_dim": 8,
    "enc1_token_embedding_dim": 8,
    "enc0_layers": 1,
    "enc1_layers": 1,
    "enc_dim": 8,
    "mlp_dim": 5,
    "mlp_layers": 1,
    "mlp_activation": "tanh",
    "mini_batch_size": 8,
    "learning_rate": 0.01,
    "epochs": 1,
}
COPIED = {"enc1_network": "enc0"}
HCNN = {"enc0_network": "hcnn", "enc1_network": "hcnn"}
TIED = {"tied_token_embedding_weight": "true"}
SPARSE = {"token_embedding_storage_type": "row_sparse"}
VOCABULARY = {"enc0_vocab_file": "vocab.json", "enc1_vocab_file": "vocab.json"}
VECTORS_0 = VOCABULARY | {"enc0_pretrained_embedding_file": "vectors.txt"}
VECTORS_1 = VOCABULARY | {"enc1_pretrained_embedding_file": "vectors.txt"}
SLOW = {"epochs": 5, "optimizer": "sgd", "learning_rate": 1e-4}  # the loss falls, but hardly
ALIKE = {"data": "alike.jsonl", "epochs": 4, "learning_rate": 0.05}

CLASSES = {"cross_entropy", "accuracy"}
TABLES = ["embed_0.weight", "embed_1.weight"]
BILSTM = [
    f"target.{direction}_0.{name}"
    for direction in ("forward", "backward")
    for name in ("weight_input", "weight_hidden", "bias")
]
WORDS = {"cat": 2, "dog": 5, "fish": 7}
SWAPPED = {"cat": 2, "dog": 7, "fish": 5}


class Outcome(NamedTuple):
    """What a run printed, and the model that it left."""

    status: int
    out: str
    err: str
    model: object

    @property
    def params(self):
        return flatten(self.model.params)

    @property
    def metrics(self):
        """The names of the metrics of the training channel."""
        return set(re.findall(r"epoch=0, train (\w+) <", self.out))

    def series(self, name):
        """A metric of the training channel, a value an epoch."""
        return [float(value) for value in re.findall(rf"train {name} <\w+>=(\S+)", self.out)]


class Row(NamedTuple):
    """A value, what is to be seen with it, and the settings it stands beside."""

    name: str
    value: object
    sees: object
    beside: dict

    def __str__(self):
        return f"{self.name}={self.value}"


def row(name, value, sees, **beside):
    return Row(name, value, sees, beside)


def rows_of(words):
    """A row of the token table for each id: NaN where no word has the id."""
    rows = np.full((12, 8), np.nan, np.float32)
    rows[list(words.values())] = np.arange(24, dtype=np.float32).reshape(3, 8) / 16 - 1
    return rows


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Training data, the same for negative sampling, and an auxiliary channel.

    Nearly every batch has the same shape, so that few programs are compiled.
    """
    folder, rng = tmp_path_factory.mktemp("tiny"), np.random.default_rng(0)
    records = [
        {
            "label": at % 2,
            "in0": rng.integers(1, 12, 6).tolist()[: 6 - at % 3],
            "in1": [1 + at % 11] * 4,
        }
        for at in range(40)
    ]
    alike = [record | {"label": 1, "in1": [1]} for record in records]
    auxiliary = folder / "auxiliary"
    auxiliary.mkdir()
    rows = rows_of(WORDS)
    vectors = [" ".join([word, *map(str, rows[at].tolist())]) for word, at in WORDS.items()]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, records)))
    (folder / "alike.jsonl").write_text("\n".join(map(json.dumps, alike)))
    (auxiliary / "vectors.txt").write_text("\n".join(vectors))
    (auxiliary / "vocab.json").write_text(json.dumps(WORDS))
    (auxiliary / "swapped.json").write_text(json.dumps(SWAPPED))
    return folder


@pytest.fixture(scope="session")
def done():
    """Outcomes by their settings: rows share what they compare with."""
    return {}


@pytest.fixture
def train(o2v, folder, done, tmp_path):
    """A function of settings beside `SMALL`: the outcome of `o2v train` with them as options."""

    def outcome(**settings):
        key = tuple(sorted((SMALL | settings).items()))
        if key not in done:
            done[key] = run(**dict(key))
        return done[key]

    def run(data="train.jsonl", **settings):
        output = tmp_path / f"model-{len(done)}"
        paths = {"train": folder / data, "auxiliary": folder / "auxiliary", "output": output}
        paths["cache"] = folder / "cache"
        options = [f"--{name}={value}" for name, value in (paths | settings).items()]
        result = o2v("train", *options)
        return Outcome(*result, None if result.status else o2v_jax.load(output))

    return outcome


# What there is to see: functions of the outcome without the value and of the one with it.


def moves(before, after):
    """The same parameters have other values."""
    assert before.params.keys() == after.params.keys()
    assert any((after.params[name] != array).any() for name, array in before.params.items())


def narrows(name, old, new):
    """A parameter reads fewer numbers."""

    def sees(before, after):
        assert before.params[name].shape[0] == old
        assert after.params[name].shape[0] == new

    return sees


def gains(*names, loses=()):
    """Parameters come, and others go."""

    def sees(before, after):
        assert after.params.keys() - before.params.keys() == set(names)
        assert before.params.keys() - after.params.keys() == set(loses)

    return sees


def cuts(side):
    """Sequences are cut, which is said."""

    def sees(before, after):
        assert "are cut to" not in before.err
        assert f"sequences are cut to enc{side}_max_seq_len=3" in after.err
        moves(before, after)

    return sees


def takes_epochs(old, new):
    """Another number of epochs is done."""

    def sees(before, after):
        for outcome, count in ((before, old), (after, new)):
            assert len(outcome.series("accuracy")) == count
            assert "Early stopping" not in outcome.out

    return sees


def stops(old, new):
    """Early stopping ends the run after another epoch, or (None) does not."""

    def sees(before, after):
        for outcome, epoch in ((before, old), (after, new)):
            stopped = re.findall(r"Early stopping after epoch (\d+)", outcome.out)
            assert stopped == ([] if epoch is None else [str(epoch)])

    return sees


def reports(old, new):
    """Other metrics are reported."""

    def sees(before, after):
        assert (before.metrics, after.metrics) == (old, new)

    return sees


def fits_worse(before, after):
    """What is dropped is missing in training."""
    assert after.series("cross_entropy")[-1] > before.series("cross_entropy")[-1] + 0.01
    moves(before, after)


def shrinks(before, after):
    """Weights are smaller, even the row of padding, which nothing else moves."""
    for name in ("embed_0.weight", "embed_1.weight", "head.output_layer.weight"):
        assert np.linalg.norm(after.params[name]) < np.linalg.norm(before.params[name])
    old, new = (outcome.params["embed_0.weight"][0] for outcome in (before, after))
    assert (np.abs(new) < np.abs(old)).all()


def samples_negatives(before, after):
    """Three negatives that look like each positive: at best one knows that 1 in 4 is positive."""
    assert before.series("accuracy")[-1] == 1.0
    assert after.series("accuracy")[-1] == 0.75
    entropy = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    assert after.series("cross_entropy")[-1] == pytest.approx(entropy, abs=0.02)


def is_lazy(before, after):
    """Adam moves a row only for the batches that hold it, so it ends a little elsewhere."""
    moves(before, after)
    for name, array in before.params.items():
        np.testing.assert_allclose(after.params[name], array, atol=0.05)


def is_the_same(before, after):
    """Adagrad and SGD leave a row without a gradient alone anyway."""
    for name, array in before.params.items():
        np.testing.assert_allclose(after.params[name], array, rtol=1e-5, atol=1e-6)


def reads_vectors(side):
    """The words' rows of the token table are the file's, and stay so."""

    def sees(before, after):
        name, given = f"embed_{side}.weight", [*WORDS.values()]
        assert (before.params[name][given] != rows_of(WORDS)[given]).any(axis=1).all()
        np.testing.assert_array_equal(after.params[name][given], rows_of(WORDS)[given])
        assert "3 of 3 vocabulary tokens (100.0 %) have vectors in vectors.txt" in after.err

    return sees


def trains_vectors(side):
    """The words' rows begin at the file's, and move."""

    def sees(before, after):
        name, given = f"embed_{side}.weight", [*WORDS.values()]
        assert (after.params[name][given] != before.params[name][given]).any(axis=1).all()
        np.testing.assert_allclose(after.params[name][given], rows_of(WORDS)[given], atol=0.1)

    return sees


def swaps_vectors(side):
    """Two words have each other's id, so each other's row has their vector."""

    def sees(before, after):
        rows = after.params[f"embed_{side}.weight"]
        assert not np.array_equal(rows_of(WORDS)[[5, 7]], rows_of(SWAPPED)[[5, 7]])
        np.testing.assert_array_equal(rows[[2, 5, 7]], rows_of(SWAPPED)[[2, 5, 7]])

    return sees


ROWS = [
    row("enc0_max_seq_len", 3, cuts(0)),
    row("enc1_max_seq_len", 3, cuts(1)),
    row("bucket_width", 2, moves),
    row("comparator_list", "hadamard", narrows("head.mlp.fc_0.weight", 32, 8)),
    row("comparator_list", "abs_diff,concat,hadamard", moves),
    row("dropout", 0.5, fits_worse, epochs=4, learning_rate=0.05),
    row("early_stopping_patience", 1, stops(4, 2), **SLOW),
    row("early_stopping_tolerance", 1e-6, stops(4, None), **SLOW),
    row("enc0_network", "hcnn", gains("source.layer_0.weight", "source.layer_0.bias")),
    row("enc1_network", "bilstm", gains(*BILSTM)),
    row("enc0_layers", 2, gains("source.layer_1.weight", "source.layer_1.bias"), **HCNN),
    row("enc1_layers", 2, gains("target.layer_1.weight", "target.layer_1.bias"), **HCNN),
    row("enc0_pretrained_embedding_file", "vectors.txt", reads_vectors(0), **VOCABULARY),
    row("enc1_pretrained_embedding_file", "vectors.txt", reads_vectors(1), **VOCABULARY),
    row("enc0_freeze_pretrained_embedding", "False", trains_vectors(0), **VECTORS_0),
    row("enc1_freeze_pretrained_embedding", "False", trains_vectors(1), **VECTORS_1),
    row("enc0_vocab_file", "swapped.json", swaps_vectors(0), **VECTORS_0),
    row("enc1_vocab_file", "swapped.json", swaps_vectors(1), **VECTORS_1),
    row("epochs", 2, takes_epochs(1, 2)),
    row("learning_rate", 0.02, moves),
    row("mini_batch_size", 5, moves),
    row("mlp_activation", "relu", moves),
    row("mlp_activation", "linear", moves),
    row("mlp_layers", 2, gains("head.mlp.fc_1.weight", "head.mlp.fc_1.bias")),
    row("mlp_layers", 0, gains(loses=["head.mlp.fc_0.weight", "head.mlp.fc_0.bias"])),
    row("negative_sampling_rate", 3, samples_negatives, **ALIKE),
    *(row("optimizer", name, moves) for name in ("adadelta", "adagrad", "rmsprop", "sgd")),
    row("output_layer", "mean_squared_error", reports(CLASSES, {"mean_squared_error"})),
    row("tied_token_embedding_weight", "true", gains("embed_shared.weight", loses=TABLES)),
    row("token_embedding_storage_type", "row_sparse", is_lazy),
    row("token_embedding_storage_type", "row_sparse", is_the_same, optimizer="adagrad"),
    row("token_embedding_storage_type", "row_sparse", is_the_same, optimizer="sgd"),
    row("weight_decay", 0.5, shrinks),
]
SIZES = {  # a value, and the parameter that has it as its size along an axis
    "enc0_vocab_size": (13, "embed_0.weight", 0),
    "enc1_vocab_size": (14, "embed_1.weight", 0),
    "enc0_token_embedding_dim": (5, "source.layer_0.weight", 1),
    "enc1_token_embedding_dim": (6, "target.layer_0.weight", 1),
    "enc0_cnn_filter_width": (1, "source.layer_0.weight", 0),
    "enc1_cnn_filter_width": (2, "target.layer_0.weight", 0),
    "enc_dim": (10, "source.layer_0.weight", 2),
    "mlp_dim": (7, "head.mlp.fc_0.bias", 0),
    "num_classes": (4, "head.output_layer.bias", 0),
}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_value_changes_something(row, train):
    before, after = train(**row.beside), train(**row.beside | {row.name: row.value})
    assert (before.status, after.status) == (0, 0), before.err + after.err
    row.sees(before, after)


@pytest.mark.parametrize("name", SIZES)
def test_a_value_is_a_size(name, train):
    """All of them in one run: they are different, so that none can be taken for another."""
    before, after = train(**HCNN), train(**HCNN, **{name: SIZES[name][0] for name in SIZES})
    assert (before.status, after.status) == (0, 0), before.err + after.err
    value, parameter, axis = SIZES[name]
    assert after.params[parameter].shape[axis] == value != before.params[parameter].shape[axis]


def test_the_rows_cover_the_table():
    names = [*(row.name for row in ROWS), *SIZES]
    assert set(names) == {line.name for line in hyperparameter_table()}


@pytest.mark.parametrize("line", hyperparameter_table(), ids=lambda line: line.name)
def test_nonsense_is_refused(line, train):
    run = train(**{line.name: "non/sense"})
    assert run.status == 2
    assert f"{line.name}='non/sense': must be {line.rule}" in run.err


REFUSED = [
    (HCNN | {"enc_dim": 9, "enc0_layers": 2}, "enc_dim=9: must be a multiple of 2 for enc0's hcnn"),
    (COPIED | {"enc1_max_seq_len": 4}, "enc1_max_seq_len=4: contradicts enc0_max_seq_len=6"),
    (TIED | {"enc1_vocab_size": 13}, "enc1_vocab_size=13: must equal enc0_vocab_size=12"),
    (SPARSE | {"optimizer": "rmsprop"}, "row_sparse allows only adam, adagrad, sgd"),
    (SPARSE | {"optimizer": "adadelta"}, "row_sparse allows only adam, adagrad, sgd"),
    ({"enc0_pretrained_embedding_file": "vectors.txt"}, "vectors.txt: needs enc0_vocab_file"),
    (
        VECTORS_0 | {"enc0_vocab_file": "none.json"},
        "enc0_vocab_file=none.json: the auxiliary directory (in",
    ),
    (VECTORS_0 | {"enc_dim": 6}, "must equal enc_dim=6, because enc0 is a pooled_embedding"),
    ({"enc0_vocab_size": 5}, "is outside the vocabulary 0..4"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_values_that_do_not_go_together_are_refused(settings, message, train):
    run = train(**settings)
    assert (run.status, run.out) == (2, "")
    assert message in run.err.splitlines()[-1]
