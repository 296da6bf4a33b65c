"""The network as pure functions over a plain nested dict of arrays.

The modules are split once into a graph and its parameters. What is jitted afterwards takes the
dict, which JAX flattens in C, and not module state, which would be flattened in Python each call.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters
from o2v_jax.model.head import Head
from o2v_jax.model.object2vec import NETWORKS, Object2Vec

Params: TypeAlias = dict[str, Any]
Encodings: TypeAlias = Float[Array, "batch enc_dim"]
Scores: TypeAlias = Float[Array, "batch outputs"]
AnyArray: TypeAlias = Array | np.ndarray
Batch: TypeAlias = Int[AnyArray, "batch length"]
Batch0: TypeAlias = Int[AnyArray, "batch length0"]
Batch1: TypeAlias = Int[AnyArray, "batch length1"]
Vectors: TypeAlias = Float[AnyArray, "batch enc_dim"]

READING = 64


def init(config: Hyperparameters, seed: int = 0) -> Params:
    """Initial parameters: a nested dict of float32 arrays, keyed like the module's attributes."""
    params: Params = _init(config, jax.random.key(seed))
    return params


# one program instead of one for each initialiser
@partial(jax.jit, static_argnums=0)
def _init(config: Hyperparameters, key: Array) -> Params:
    network = Object2Vec(config, rngs=nnx.Rngs(params=key))
    return dict(nnx.to_pure_dict(nnx.state(network, nnx.Param)))


def parameter_shapes(config: Hyperparameters) -> dict[str, tuple[int, ...]]:
    """Every parameter's dotted name, such as "source.layer_0.weight", and its shape."""
    state = nnx.to_pure_dict(_abstract(Object2Vec, config)[1])
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {".".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def multiplications(config: EncoderConfig) -> int:
    """About how many multiplications an encoder takes for a token.

    Each weight is used once a token. Reading a token's vector, all that pooled_embedding does,
    takes a CPU as long as `READING` multiplications for each of its numbers.
    """
    _, state = _abstract(NETWORKS[config.network], config)
    weights: int = sum(leaf.size for leaf in jax.tree.leaves(nnx.to_pure_dict(state)))
    return weights + READING * config.token_embedding_dim


def score_fn(config: Hyperparameters) -> Callable[[Params, Batch0, Batch1], Scores]:
    """A pure function (params, in0 ids, in1 ids) -> scores.

    Ids are int32 `[batch, length]`, padded with 0 anywhere, each side to its own length of at
    least 1. They must lie in 0..vocab_size-1: a pure function cannot check that, and what it gives
    for others is undefined (`Scorer` checks). Scores are float32 `[batch, classes]` probabilities
    or `[batch, 1]` values. The function composes with jit, grad, vmap and shard_map.

    >>> import jax, numpy as np
    >>> from o2v_jax import Hyperparameters, init, score_fn
    >>> config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16, mlp_dim=8)
    >>> score = jax.jit(score_fn(config))
    >>> score(init(config), np.array([[4, 7, 0]], np.int32), np.array([[9, 1]], np.int32)).shape
    (1, 2)
    """

    def score(params: Params, in0: Batch0, in1: Batch1) -> Scores:
        scores: Scores = _bind(Object2Vec, config, params)(jnp.asarray(in0), jnp.asarray(in1))
        return scores

    return score


def logits_fn(config: Hyperparameters) -> Callable[..., Scores]:
    """A pure function (params, in0 ids, in1 ids, dropout key or None) -> outputs before softmax."""

    def logits(
        params: Params, in0: Batch0, in1: Batch1, dropout_key: Array | None = None
    ) -> Scores:
        rngs = None if dropout_key is None else nnx.Rngs(dropout=dropout_key)
        network = _bind(Object2Vec, config, params)
        outputs: Scores = network.logits(jnp.asarray(in0), jnp.asarray(in1), rngs)
        return outputs

    return logits


def encode_fn(config: Hyperparameters, side: int) -> Callable[[Params, Batch], Encodings]:
    """A pure function (params, ids) -> encodings of in0 (`side` 0) or in1 (`side` 1).

    Ids are int32 `[batch, length]` in 0..vocab_size-1, unchecked as for `score_fn`, padded with 0;
    encodings are float32 `[batch, enc_dim]`. `params` is the whole network's dict, of which the
    encoder's part is read.

    Raises:
        InputError: there is no such side.

    >>> import jax, numpy as np
    >>> from o2v_jax import Hyperparameters, encode_fn, init
    >>> config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16)
    >>> jax.jit(encode_fn(config, 1))(init(config), np.array([[4, 7, 0]], np.int32)).shape
    (1, 16)
    """
    config.encoder(side)

    def encode(params: Params, ids: Batch) -> Encodings:
        encodings: Encodings = _bind(Object2Vec, config, params).encode(side, jnp.asarray(ids))
        return encodings

    return encode


def compare_fn(config: Hyperparameters) -> Callable[[Params, Vectors, Vectors], Scores]:
    """A pure function (params, enc0, enc1) -> scores of pairs of encodings `[batch, enc_dim]`.

    >>> import jax, numpy as np
    >>> from o2v_jax import Hyperparameters, compare_fn, init
    >>> config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16)
    >>> enc0, enc1 = np.ones((2, 5, 16), np.float32)
    >>> jax.jit(compare_fn(config))(init(config), enc0, enc1).shape
    (5, 2)
    """
    head = head_fn(config)

    def compare(params: Params, enc0: Vectors, enc1: Vectors) -> Scores:
        return head(params["head"], enc0, enc1)

    return compare


def tower_fn(config: EncoderConfig) -> Callable[[Array, Params, Batch], Encodings]:
    """A pure function (token table, encoder parameters, ids) -> encodings.

    Towers of one shape share one function, and so one compiled program, whichever side they are.
    """

    def tower(table: Array, params: Params, ids: Batch) -> Encodings:
        encodings: Encodings = _bind(NETWORKS[config.network], config, params)(table, ids)
        return encodings

    return tower


def head_fn(config: Hyperparameters) -> Callable[[Params, Vectors, Vectors], Scores]:
    """A pure function (head parameters, enc0, enc1) -> scores."""

    def head(params: Params, enc0: Vectors, enc1: Vectors) -> Scores:
        scores: Scores = _bind(Head, config, params)(jnp.asarray(enc0), jnp.asarray(enc1))
        return scores

    return head


@lru_cache(maxsize=64)
def _abstract(module: Any, config: Hyperparameters | EncoderConfig) -> tuple[Any, Any]:
    """A module's graph and the shapes of its parameters, without making any."""
    graph, state = nnx.split(nnx.eval_shape(lambda: module(config, rngs=nnx.Rngs(0))))
    return graph, state


def _bind(module: Any, config: Hyperparameters | EncoderConfig, params: Params) -> Any:
    """The module with these parameters; NumPy arrays, as a checkpoint gives them, do as well."""
    return nnx.merge(_abstract(module, config)[0], jax.tree.map(jnp.asarray, params))
