"""The network as pure functions over a plain nested dict of arrays.

The modules are split once into a graph and its parameters. What is jitted afterwards takes the
dict, which JAX flattens in C, and not module state, which would be flattened in Python each call.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from o2v_jax.arguments import require_choice
from o2v_jax.data.nested import Params
from o2v_jax.devices import require_devices
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters
from o2v_jax.model.head import make_head
from o2v_jax.model.initialize import make_abstract, require_config, require_fitting_params
from o2v_jax.model.object2vec import NETWORKS, Object2Vec
from o2v_jax.util import get_first_line

AnyParams: TypeAlias = Mapping[str, Any]  # dicts, FrozenDict, nnx.State
Unchecked: TypeAlias = Any  # what the functions below check themselves
Encodings: TypeAlias = Float[Array, "batch enc_dim"]
PairEncodings: TypeAlias = tuple[Float[Array, "batch0 enc_dim"], Float[Array, "batch1 enc_dim"]]
Scores: TypeAlias = Float[Array, "batch outputs"]
AnyArray: TypeAlias = Array | np.ndarray
TokenIds: TypeAlias = Int[AnyArray, "batch length"]
EncodingsLike: TypeAlias = Float[AnyArray, "batch enc_dim"]


def score_fn(config: Hyperparameters) -> Callable[[AnyParams, ArrayLike, ArrayLike], Scores]:
    """A pure function (params, in0 ids, in1 ids) -> scores.

    Ids are integers of any width `[batch, length]`, int32 within, padded with 0 anywhere, each side
    to its own length of at least 1. They must lie in 0..vocab_size-1: a pure function cannot check
    that, and what it gives for others is undefined (`Scorer` checks). Scores are float32
    `[batch, classes]` probabilities, or `[batch, 1]` values or similarities. The function composes
    with jit, grad, vmap and shard_map. Equal configurations give the same function, so what is
    jitted twice is compiled once. `params` is a nested map: a dict, a FrozenDict or an `nnx.State`.

    Raises:
        InputError: `config` is of another type; and from the function, where it is traced: the
            parameters do not have the configuration's names and shapes or are not floating-point
            numbers, or ids are not integers `[batch, length]` or of another batch than the other
            side's.

    >>> import jax, numpy as np
    >>> from o2v_jax import Hyperparameters, init, score_fn
    >>> config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16, mlp_dim=8)
    >>> score = jax.jit(score_fn(config))
    >>> score(init(config), np.array([[4, 7, 0]], np.int32), np.array([[9, 1]], np.int32)).shape
    (1, 2)
    """
    return _score_fn(require_config(config))


@lru_cache(maxsize=64)
def _score_fn(config: Hyperparameters) -> Callable[[AnyParams, ArrayLike, ArrayLike], Scores]:
    def score(params: Unchecked, in0: Unchecked, in1: Unchecked) -> Scores:
        network = _bind(Object2Vec, config, require_fitting_params(config, params))
        scores: Scores = network(*_check_pairs(in0, in1))
        return scores

    return score


def logits_fn(config: Hyperparameters) -> Callable[..., Scores]:
    """A pure function (params, in0 ids, in1 ids, dropout key or None) -> outputs before softmax.

    Arguments and errors are those of `score_fn`; the key is one of `jax.random.key`.
    """
    return _logits_fn(require_config(config))


@lru_cache(maxsize=64)
def _logits_fn(config: Hyperparameters) -> Callable[..., Scores]:
    unchecked = unchecked_logits_fn(config)

    def logits(
        params: Unchecked, in0: Unchecked, in1: Unchecked, dropout_key: Array | None = None
    ) -> Scores:
        return unchecked(
            require_fitting_params(config, params), *_check_pairs(in0, in1), dropout_key
        )

    return logits


def unchecked_logits_fn(
    config: Hyperparameters, *, winograd_min_fan: int | None = None
) -> Callable[..., Scores]:
    """`logits_fn` without checks; token tables may hold only the rows that the ids name.

    Args:
        config: of the network.
        winograd_min_fan: an hcnn's kernels whose width times channels is at least this are
            convolved by `ops.winograd`, which trains faster on a CPU and has no forward-mode
            derivative; None: none are. `winograd.choose_min_fan` has the measured figure.
    """

    def logits(
        params: Params, in0: AnyArray, in1: AnyArray, dropout_key: Array | None = None
    ) -> Scores:
        rngs = None if dropout_key is None else nnx.Rngs(dropout=dropout_key)
        network = _bind(Object2Vec, config, params, winograd_min_fan=winograd_min_fan)
        outputs: Scores = network.logits(jnp.asarray(in0), jnp.asarray(in1), rngs)
        return outputs

    return logits


def unchecked_encode_pairs_fn(
    config: Hyperparameters, *, winograd_min_fan: int | None = None
) -> Callable[..., PairEncodings]:
    """A pure function (params, in0 ids, in1 ids, dropout key or None) -> encodings of both sides.

    Nothing is checked, as by `unchecked_logits_fn`; in1 may have another number of rows.
    """

    def encode_pairs(
        params: Params, in0: AnyArray, in1: AnyArray, dropout_key: Array | None = None
    ) -> PairEncodings:
        rngs = None if dropout_key is None else nnx.Rngs(dropout=dropout_key)
        network = _bind(Object2Vec, config, params, winograd_min_fan=winograd_min_fan)
        encodings: PairEncodings
        encodings = network.encode_pairs(jnp.asarray(in0), jnp.asarray(in1), rngs)
        return encodings

    return encode_pairs


def encode_fn(config: Hyperparameters, side: int) -> Callable[[AnyParams, ArrayLike], Encodings]:
    """A pure function (params, ids) -> encodings of in0 (`side` 0) or in1 (`side` 1).

    Ids are as for `score_fn`; encodings are float32 `[batch, enc_dim]`. `params` is the whole
    network's; only the encoder's part is read.

    Raises:
        InputError: there is no such side; and as `score_fn`.

    >>> import jax, numpy as np
    >>> from o2v_jax import Hyperparameters, encode_fn, init
    >>> config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16)
    >>> jax.jit(encode_fn(config, 1))(init(config), np.array([[4, 7, 0]], np.int32)).shape
    (1, 16)
    """
    require_choice("side", side, (0, 1), "0 (in0) or 1 (in1)")
    return _encode_fn(require_config(config), int(side))


@lru_cache(maxsize=128)
def _encode_fn(config: Hyperparameters, side: int) -> Callable[[AnyParams, ArrayLike], Encodings]:
    def encode(params: Unchecked, ids: Unchecked) -> Encodings:
        network = _bind(Object2Vec, config, require_fitting_params(config, params))
        encodings: Encodings = network.encode(side, _check_ids(f"in{side}", ids))
        return encodings

    return encode


def compare_fn(config: Hyperparameters) -> Callable[[AnyParams, ArrayLike, ArrayLike], Scores]:
    """A pure function (params, enc0, enc1) -> scores of pairs of encodings `[batch, enc_dim]`.

    Raises:
        InputError: `config` is of another type; and from the function, where it is traced:
            parameters that do not fit, encodings that are not floating-point numbers
            `[batch, enc_dim]`, or of another batch than the other side's.

    >>> import jax, numpy as np
    >>> from o2v_jax import Hyperparameters, compare_fn, init
    >>> config = Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16)
    >>> enc0, enc1 = np.ones((2, 5, 16), np.float32)
    >>> jax.jit(compare_fn(config))(init(config), enc0, enc1).shape
    (5, 2)
    """
    return _compare_fn(require_config(config))


@lru_cache(maxsize=64)
def _compare_fn(config: Hyperparameters) -> Callable[[AnyParams, ArrayLike, ArrayLike], Scores]:
    head = head_fn(config)

    def compare(params: Unchecked, enc0: Unchecked, enc1: Unchecked) -> Scores:
        vectors = [
            _check_vectors(f"enc{k}", enc, config.enc_dim) for k, enc in enumerate((enc0, enc1))
        ]
        _require_pairs("enc0", vectors[0], "enc1", vectors[1])
        return head(require_fitting_params(config, params).get("head", {}), *vectors)

    return compare


def _check_pairs(in0: Unchecked, in1: Unchecked) -> tuple[Array, Array]:
    one, two = _check_ids("in0", in0), _check_ids("in1", in1)
    _require_pairs("in0", one, "in1", two)
    return one, two


def _require_pairs(name0: str, one: Array, name1: str, two: Array) -> None:
    if one.shape[0] != two.shape[0]:
        raise InputError(f"{name0} has {one.shape[0]} rows and {name1} has {two.shape[0]}")


def _check_ids(name: str, ids: Unchecked) -> Array:
    array = _to_array(name, ids)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise InputError(f"{name}: token ids must be integers, but these are {array.dtype} values")
    if array.ndim != 2 or not array.shape[1]:  # noqa: PLR2004 - batch and length
        raise InputError(
            f"{name}: token ids must be [batch, length], at least one long, not {array.shape}"
        )
    return array.astype(jnp.int32)


def _check_vectors(name: str, vectors: Unchecked, enc_dim: int) -> Array:
    array = _to_array(name, vectors)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise InputError(f"{name}: encodings must be floats, but these are {array.dtype} values")
    if array.ndim != 2 or array.shape[1] != enc_dim:  # noqa: PLR2004 - batch and enc_dim
        raise InputError(f"{name}: encodings must be [batch, {enc_dim}], but are {array.shape}")
    return array.astype(jnp.float32) if array.dtype.itemsize < 4 else array  # noqa: PLR2004


def _to_array(name: str, given: Unchecked) -> Array:
    require_devices()
    try:
        return jnp.asarray(given)
    except (TypeError, ValueError, OverflowError) as error:
        reason = get_first_line(error)
        raise InputError(f"{name} cannot be made an array: {reason}") from error


def encoder_fn(config: EncoderConfig) -> Callable[[Array, Params, TokenIds], Encodings]:
    """A pure function (token table, encoder parameters, ids) -> encodings.

    Encoders of one shape share one function, and so one compiled program, whichever side they are.
    """

    def encode(table: Array, params: Params, ids: TokenIds) -> Encodings:
        encodings: Encodings = _bind(NETWORKS[config.network], config, params)(table, ids)
        return encodings

    return encode


def head_fn(config: Hyperparameters) -> Callable[[Params, EncodingsLike, EncodingsLike], Scores]:
    """A pure function (head parameters, enc0, enc1) -> scores."""

    def head(params: Params, enc0: EncodingsLike, enc1: EncodingsLike) -> Scores:
        scores: Scores = _bind(make_head, config, params)(jnp.asarray(enc0), jnp.asarray(enc1))
        return scores

    return head


def _bind(
    module: Any, config: Hyperparameters | EncoderConfig, params: Params, **options: Any
) -> Any:
    """The module with these parameters; NumPy arrays, as a checkpoint gives them, do as well."""
    graph, _ = make_abstract(module, config, **options)
    return nnx.merge(graph, jax.tree.map(jnp.asarray, params))
