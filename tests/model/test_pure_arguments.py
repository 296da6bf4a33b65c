"""What the pure functions take and refuse: integer types, containers of parameters, shapes."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from o2v_jax import InputError, Object2Vec, compare_fn, encode_fn, logits_fn, score_fn

pytestmark = pytest.mark.slow

SMALLEST = ("int8", "uint8")
OTHERS = ("int16", "uint16", "int64", "uint32", "uint64")
IDS = np.array([[44, 7, 0, 120], [3, 0, 0, 0]])
SMALL = np.minimum(IDS, 19)


@pytest.fixture(scope="module")
def pooled(config_of, model_of):
    """A network whose gradient counts with ids."""
    config = config_of(enc0_network="pooled_embedding", enc0_vocab_size=300, mlp_layers=0)
    return config, model_of(config).params  # neither of `SMALLEST` counts up to so many tokens


@pytest.fixture(scope="module")
def functions(pooled):
    """Every pure function of ids, of parameters alone."""
    config = pooled[0]
    return {
        "score": lambda params, ids: score_fn(config)(params, ids, ids),
        "logits": lambda params, ids: logits_fn(config)(params, ids, ids, jax.random.key(1)),
        "encode": encode_fn(config, 0),
    }


@pytest.mark.parametrize("name", ["score", "logits", "encode"])
def test_gradients_are_the_same_for_ids_of_the_smallest_types(name, pooled, functions):
    def gradient(kind):
        ids = IDS.astype(kind)
        return jax.jit(jax.grad(lambda p: functions[name](p, ids)[:, 0].sum()))(pooled[1])

    expected = gradient("int32")
    assert not np.asarray(expected["embed_0"]["weight"])[0].any()
    for kind in SMALLEST:
        jax.tree.map(np.testing.assert_array_equal, gradient(kind), expected)


@pytest.mark.parametrize("kind", OTHERS)
def test_ids_of_other_integer_types_give_the_same_encodings(kind, pooled, functions):
    found, expected = (functions["encode"](pooled[1], IDS.astype(t)) for t in (kind, "int32"))
    np.testing.assert_array_equal(found, expected)


def test_ids_that_are_traced_or_mapped_over_are_int32_within(pooled, functions):
    """As arguments of a jitted or mapped function, in the smallest type that holds them."""
    ids, encode = jnp.asarray(IDS.astype(np.uint8)), functions["encode"]
    found = jax.jit(jax.vmap(encode, (None, 0)))(pooled[1], ids[None])[0]
    np.testing.assert_allclose(found, encode(pooled[1], IDS), rtol=1e-6)


def test_the_module_itself_reads_small_integers(pooled):
    config, params = pooled
    module = Object2Vec(config, rngs=nnx.Rngs(0))
    nnx.update(module, jax.tree.map(jnp.asarray, params))

    def loss(module, ids):
        return module.encode(1, ids)[:, 0].sum()

    ids = [jnp.asarray(IDS.astype(kind)) for kind in ("int32", "uint8")]
    slopes = [nnx.jit(nnx.grad(loss))(module, given) for given in ids]
    jax.tree.map(np.testing.assert_array_equal, *slopes)


@pytest.mark.parametrize("wrap", [flax.core.freeze, "state"], ids=["FrozenDict", "nnx.State"])
def test_parameters_in_other_maps_are_taken_and_have_gradients_of_their_kind(wrap, pooled):
    config, params = pooled
    if wrap == "state":
        module = Object2Vec(config, rngs=nnx.Rngs(0))
        nnx.update(module, jax.tree.map(jnp.asarray, params))
        given = nnx.state(module, nnx.Param)
    else:
        given = wrap(params)
    encode = encode_fn(config, 0)
    np.testing.assert_array_equal(encode(given, IDS), encode(params, IDS))
    slopes = jax.jit(jax.grad(lambda p: encode(p, IDS)[:, 0].sum()))(given)
    assert type(slopes) is type(given)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (SMALL * 1.0, "must be integers, but these are float32"),
        (SMALL > 0, "must be integers, but these are bool"),
        (SMALL.astype(np.complex64), "must be integers, but these are complex64"),
        (SMALL[0], r"must be \[batch, length\]"),
        (SMALL[None], r"must be \[batch, length\]"),
        (SMALL[:, :0], r"must be \[batch, length\]"),
        (SMALL[:1], "rows"),
        ("a man", "cannot be made an array"),
        (None, "cannot be made an array"),
    ],
)
def test_wrong_ids_are_refused_where_they_are_traced(pooled, ids, said):
    config, params = pooled
    plain = encode_fn(config, 1)
    for function in (score_fn(config), logits_fn(config)):
        for pair in ((ids, SMALL), (SMALL, ids)):
            with pytest.raises(InputError, match=said):
                function(params, *pair)
    if said != "rows":
        with pytest.raises(InputError, match=said):
            plain(params, ids)
        if isinstance(ids, np.ndarray):
            with pytest.raises(InputError, match=said):
                jax.jit(plain)(params, ids)


@pytest.mark.parametrize(
    ("encodings", "said"),
    [
        (np.ones((2, 8), np.int32), "must be floats, but these are int32"),
        (np.ones((2, 7), np.float32), r"must be \[batch, 8\]"),
        (np.ones(8, np.float32), r"must be \[batch, 8\]"),
        (np.ones((1, 8), np.float32), "has 1 rows"),
    ],
)
def test_wrong_encodings_are_refused_where_they_are_traced(pooled, encodings, said):
    (config, params), right = pooled, np.ones((2, 8), np.float32)
    compare = compare_fn(config)
    for pair in ((encodings, right), (right, encodings)):
        with pytest.raises(InputError, match=said.replace("has 1 rows", "has [12] rows")):
            compare(params, *pair)
    assert compare(params, right.astype(jnp.bfloat16), right).shape == (2, 3)


WRONG_PARAMS = {
    "another vocabulary": (
        lambda p: p | {"embed_1": {"weight": p["embed_1"]["weight"][:-1]}},
        r"'embed_1.weight' must have shape \(20, 8\), but it has \(19, 8\)",
    ),
    "missing": (lambda p: {k: v for k, v in p.items() if k != "source"}, "source.*is missing"),
    "unexpected": (lambda p: p | {"tail": {"bias": np.zeros(1, np.float32)}}, "'tail.bias' is un"),
    "integers": (
        lambda p: p | {"embed_0": {"weight": np.zeros((20, 8), np.int32)}},
        "'embed_0.weight' must be a float.* array, but it is int32",
    ),
    "lists": (lambda p: p | {"embed_0": {"weight": [[0.0]]}}, "but it is list"),
    "no map": (list, "must be a nested map"),
    "keys": (lambda p: p | {3: {}}, "the keys of params must be texts"),
}


@pytest.mark.parametrize("wrong", WRONG_PARAMS)
@pytest.mark.parametrize("name", ["score", "logits", "encode", "compare"])
def test_parameters_that_do_not_fit_are_refused(config_of, model_of, wrong, name):
    config = config_of()
    change, said = WRONG_PARAMS[wrong]
    vectors = np.ones((2, 8), np.float32)
    functions = {
        "score": lambda p: score_fn(config)(p, SMALL, SMALL),
        "logits": lambda p: logits_fn(config)(p, SMALL, SMALL),
        "encode": lambda p: encode_fn(config, 1)(p, SMALL),
        "compare": lambda p: compare_fn(config)(p, vectors, vectors),
    }
    params = change(model_of(config).params)
    with pytest.raises(InputError, match=said):
        functions[name](params)
    if wrong in ("another vocabulary", "missing", "unexpected", "integers"):
        with pytest.raises(InputError, match=said):
            jax.jit(functions[name])(params)


def test_equal_configurations_share_a_function_and_its_programs(config_of, model_of, compilations):
    one, two = (config_of(enc0_network="pooled_embedding", enc_dim=11) for _ in range(2))
    made = {
        "a": (score_fn, ()),
        "b": (logits_fn, ()),
        "c": (encode_fn, (1,)),
        "d": (compare_fn, ()),
    }
    for make, more in made.values():
        assert make(one, *more) is make(two, *more)
    params = model_of(one).params
    jax.jit(score_fn(one))(params, SMALL, SMALL).block_until_ready()
    compilations.clear()
    jax.jit(score_fn(two))(params, SMALL, SMALL).block_until_ready()
    assert compilations == []
