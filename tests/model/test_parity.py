"""Each layer at 1e-5 and the whole network at 1e-4 against the NumPy reference."""

from functools import partial
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import network as reference

from o2v_jax import Scorer
from o2v_jax.checkpoint import flatten
from o2v_jax.model import compare_fn, encoder_fn, parameter_shapes
from o2v_jax.model.bilstm import LSTM, run_both_directions
from o2v_jax.model.hcnn import Convolution, convolve
from o2v_jax.model.head import MLP, compare, find_compared_width
from o2v_jax.model.layers import FullyConnected
from o2v_jax.model.ops import winograd

pytestmark = pytest.mark.slow

NETWORKS = ("hcnn", "bilstm", "pooled_embedding")
NAMES = ("hadamard", "concat", "abs_diff")
COMPARATOR_LISTS = [names for n in (1, 2, 3) for names in permutations(NAMES, n)]
# comparators, head, tied token tables
VARIANTS = [
    (("hadamard", "concat", "abs_diff"), "softmax", False),
    (("abs_diff",), "softmax", True),
    (("concat", "hadamard"), "mean_squared_error", False),
    (("abs_diff", "concat"), "mean_squared_error", True),
]
OTHER_ENC1 = {
    "enc1_vocab_size": 31,
    "enc1_max_seq_len": 5,
    "enc1_cnn_filter_width": 4,
    "enc1_layers": 2,
    "enc1_token_embedding_dim": 6,
}
# empty, of zeros only, one token, zeros inside and at either end, exactly max_seq_len, over-long
ROWS = [
    [],
    [0, 0, 0],
    [5],
    [3, 0, 4],
    [0, 0, 2, 19],
    [6, 1, 0, 0],
    [1, 2, 3, 4, 5, 6, 7],
    [7, 6, 5, 4, 3, 2, 1, 9, 9, 9],
]
SENTENCES = [[4], [3, 1, 2], [0, 5, 0, 0, 9, 19, 4, 4], [7, 8, 9, 10, 11, 12, 13, 14, 15]]

assert_layer = np.testing.assert_allclose
LAYER = {"rtol": 1e-5, "atol": 1e-5}
NETWORK = {"rtol": 1e-4, "atol": 1e-4}


def layer_of(make, **params):
    """A layer with these parameters, without the time that its own initial ones would take."""
    graph, _ = nnx.split(nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0))))
    return nnx.merge(graph, jax.tree.map(jnp.asarray, params))


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def padded(rows):
    """The rows as int32 `[batch, longest + 2]`."""
    out = np.zeros((len(rows), max(map(len, rows)) + 2), np.int32)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return out


def encoded(model, rows):
    config = model.config.encoder(0)
    weights = model.params.get("source", {})
    return jax.jit(encoder_fn(config))(model.params["embed_0"]["weight"], weights, padded(rows))


CONVOLUTIONS = [
    *product([convolve], range(1, 10)),
    *product([winograd.winograd_convolve], winograd.WIDTHS),
]


@pytest.mark.parametrize(("convolve", "width"), CONVOLUTIONS)
def test_convolution(convolve, width):
    x, weight, bias = normal(2, 6, 3), normal(width, 3, 4), normal(4)
    mask = np.array([[True] * 6, [True, False, True, True, False, False]])
    x[~mask] = 0.0
    layer = layer_of(lambda rngs: Convolution(width, 3, 4, rngs=rngs), weight=weight, bias=bias)
    expected = [reference.convolution(row, weight, bias) for row in x] * mask[..., None]
    assert_layer(jax.jit(partial(layer, convolve=convolve))(x, mask), expected, **LAYER)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_hcnn(config_of, model_of, layers):
    model = model_of(config_of(enc_dim=12, enc0_layers=layers))
    expected = reference.encodings(model.config, model.params, 0, SENTENCES)
    assert_layer(encoded(model, SENTENCES), expected, **LAYER)


def test_lstm():
    x = normal(2, 5, 3)
    names = {"weight_input": (3, 16), "weight_hidden": (4, 16), "bias": (16,)}
    ways = [{name: normal(*shape, seed=way) / 2 for name, shape in names.items()} for way in (0, 1)]
    layers = [layer_of(lambda rngs: LSTM(3, 4, rngs=rngs), **weights) for weights in ways]
    rows, at = x.reshape(-1, 3), np.arange(10, dtype=np.int32).reshape(2, 5).T
    states = jax.jit(partial(run_both_directions, *layers))(rows, at, np.ones((5, 2), bool))
    for record in (0, 1):
        for way, order in ((0, 1), (1, -1)):
            expected = reference.lstm(x[record, ::order], ways[way])
            assert_layer(states[:, way, record], expected, **LAYER)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_bilstm(config_of, model_of, layers):
    model = model_of(config_of(enc0_network="bilstm", enc0_layers=layers))
    expected = reference.encodings(model.config, model.params, 0, SENTENCES)
    assert_layer(encoded(model, SENTENCES), expected, **LAYER)


def test_pooled(config_of, model_of):
    model = model_of(config_of(enc0_network="pooled_embedding"))
    expected = reference.encodings(model.config, model.params, 0, SENTENCES)
    assert_layer(encoded(model, SENTENCES), expected, **LAYER)


def test_there_are_fifteen_comparator_lists():
    assert len(set(COMPARATOR_LISTS)) == 15


@pytest.mark.parametrize("names", COMPARATOR_LISTS, ids="-".join)
def test_comparator(names):
    one, two = normal(3, 4), normal(3, 4, seed=1)
    expected = [reference.compare(names, a, b) for a, b in zip(one, two, strict=True)]
    parts = jax.jit(lambda a, b: compare(names, a, b))(one, two)
    assert_layer(np.concatenate(parts, axis=1), expected, **LAYER)
    assert find_compared_width(names, 4) == len(expected[0])


@pytest.mark.parametrize("rows", [1, 6, 7, 40])  # at most as many as outputs, and more
def test_fully_connected_of_parts(rows):
    weight, bias, x = normal(9, 6), normal(6), normal(rows, 9, seed=1)
    layer = layer_of(lambda rngs: FullyConnected(9, 6, rngs=rngs), weight=weight, bias=bias)
    found = jax.jit(layer)(x[:, :4], x[:, 4:5], x[:, 5:])
    assert_layer(found, x @ weight + bias, **LAYER)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("layers", [0, 1, 3, 10])
def test_mlp(config_of, layers, activation):
    config = config_of(mlp_layers=layers, mlp_activation=activation)
    weights = {
        f"fc_{k}": {"weight": normal(6 if k else 5, 6, seed=k) / 2, "bias": normal(6, seed=k)}
        for k in range(layers)
    }
    x = normal(3, 5)
    mlp = layer_of(lambda rngs: MLP(5, config, rngs=rngs), **weights)
    expected = [reference.mlp(row, weights, layers, activation) for row in x]
    (found,) = jax.jit(lambda x: mlp([x]))(x)
    assert_layer(found, expected, **LAYER)


@pytest.mark.parametrize(("comparators", "head", "tied"), VARIANTS)
@pytest.mark.parametrize(("enc0", "enc1"), list(product(NETWORKS, NETWORKS)))
def test_network(config_of, model_of, enc0, enc1, comparators, head, tied):
    config = config_of(
        enc0_network=enc0,
        enc1_network=enc1,
        comparator_list=comparators,
        output_layer=head,
        tied_token_embedding_weight=tied,
        **({} if tied else OTHER_ENC1),
    )
    model, (in0, in1) = model_of(config), zip(*product(ROWS, ROWS), strict=True)
    cut0, cut1 = config.enc0_max_seq_len, config.enc1_max_seq_len
    expected = reference.scores(
        config, model.params, [row[:cut0] for row in in0], [row[:cut1] for row in in1]
    )
    assert np.ptp(expected, axis=0).min() > 1e-2
    np.testing.assert_allclose(Scorer(model, max_programs=24).score(in0, in1), expected, **NETWORK)


@pytest.mark.parametrize("head", ["softmax", "mean_squared_error"])
@pytest.mark.parametrize("comparators", COMPARATOR_LISTS)
def test_every_comparator_list_and_head_over_every_pair_of_networks(
    config_of, model_of, pairs_of_networks, comparators, head
):
    """Any pair of networks hands the head the same kind of thing, so one head serves all nine."""
    config = config_of(comparator_list=comparators, output_layer=head)
    params, (enc0, enc1) = model_of(config).params, pairs_of_networks
    pairs = zip(enc0, enc1, strict=True)
    expected = [reference.head(config, params["head"], *pair) for pair in pairs]
    found = jax.jit(compare_fn(config))(params, np.float32(enc0), np.float32(enc1))
    np.testing.assert_allclose(found, expected, **NETWORK)


@pytest.fixture(scope="module")
def pairs_of_networks(config_of, model_of):
    """Reference encodings of all rows by every network, each beside those of every other."""
    models = [model_of(config_of(enc0_network=name)) for name in NETWORKS]
    sides = [reference.encodings(model.config, model.params, 0, ROWS[:7]) for model in models]
    return tuple(map(np.concatenate, zip(*product(sides, sides), strict=True)))


@pytest.mark.parametrize("enc0", NETWORKS)
def test_enc1_of_the_same_network_has_parameters_of_its_own(config_of, model_of, enc0):
    model = model_of(config_of(enc0_network=enc0, enc1_network="enc0"))
    scorer = Scorer(model, max_programs=24)
    sides = scorer.embed(in0=ROWS[2:]), scorer.embed(in1=ROWS[2:])
    for side, encodings in enumerate(sides):
        cut = [row[:7] for row in ROWS[2:]]
        expected = reference.encodings(model.config, model.params, side, cut)
        np.testing.assert_allclose(encodings, expected, **NETWORK)
    assert np.abs(sides[0] - sides[1]).max(axis=1).min() > 1e-2


@pytest.mark.parametrize("enc0", ["hcnn", "bilstm"])
def test_tied_sides_share_the_table_and_nothing_else(config_of, model_of, enc0):
    model = model_of(config_of(enc0_network=enc0, tied_token_embedding_weight=True))
    tables = [name for name in flatten(model.params) if name.startswith("embed")]
    assert tables == ["embed_shared.weight"]
    scorer = Scorer(model, max_programs=24)
    difference = scorer.embed(in0=ROWS[2:]) - scorer.embed(in1=ROWS[2:])
    assert np.abs(difference).max(axis=1).min() > 1e-2


def test_hcnn_has_as_many_parameters_as_the_original_prints(config_of):
    shapes = parameter_shapes(config_of(enc_dim=16, enc0_token_embedding_dim=300))
    for encoder in ("source", "target"):
        counts = [
            sum(np.prod(shapes[f"{encoder}.layer_{k}.{part}"]) for part in ("weight", "bias"))
            for k in range(4)
        ]
        assert counts == [3604, 52, 52, 52]
        assert not [name for name in shapes if name.startswith(f"{encoder}.layer_4")]
