"""Initial parameters, and what is known of parameters without making any."""

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from o2v_jax.arguments import describe, require_instance, require_integer
from o2v_jax.data.nested import Params
from o2v_jax.devices import own_settings, require_devices
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters
from o2v_jax.model.object2vec import NETWORKS, Object2Vec
from o2v_jax.model.parameters import require_fitting, to_plain

READ_COST = 64  # multiplications
RANDOM_NUMBERS = "threefry2x32"  # whatever JAX's default is: a seed stands for the same numbers


def init(config: Hyperparameters, seed: int | Array = 0) -> Params:
    """Initial parameters: a nested dict of float32 arrays, keyed like the module's attributes.

    Args:
        config: of the network.
        seed: an integer, or a key of `jax.random.key` or `jax.random.PRNGKey`.

    Raises:
        InputError: `config` is of another type, or `seed` is neither an integer in 0..2**63 - 1 nor
            one key.
    """
    config = require_config(config)
    with own_settings():
        key = _require_key(seed) if isinstance(seed, jax.Array) else random_key(seed)
        params: Params = init_from_key(config, key)
    return params


def _require_key(key: Array) -> Array:
    """One key of JAX, typed or not."""
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
        return key
    if key.dtype == jnp.uint32 and key.shape == (2,):
        wrapped: Array = jax.random.wrap_key_data(key, impl=RANDOM_NUMBERS)
        return wrapped
    raise InputError(f"seed={describe(key)} must be an integer, or one key of jax.random.key")


def random_key(seed: int) -> Array:
    """JAX's key of a seed, whatever generator is its default.

    Raises:
        InputError: the seed is not an integer in 0..2**63 - 1, or JAX finds no device.
    """
    seed = require_integer("seed", seed, 0, 2**63 - 1)
    require_devices()
    key: Array = jax.random.key(seed, impl=RANDOM_NUMBERS)
    return key


# one program instead of one for each initialiser
@partial(jax.jit, static_argnums=0)
def init_from_key(config: Hyperparameters, key: Array) -> Params:
    """`init` as a traceable function of a key."""
    network = Object2Vec(config, rngs=nnx.Rngs(params=key))
    return dict(nnx.to_pure_dict(nnx.state(network, nnx.Param)))


def parameter_shapes(config: Hyperparameters) -> dict[str, tuple[int, ...]]:
    """Every parameter's dotted name, such as "source.layer_0.weight", and its shape."""
    state = nnx.to_pure_dict(make_abstract(Object2Vec, config)[1])
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {".".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def count_multiplications(config: EncoderConfig) -> int:
    """About how many multiplications an encoder takes for a token.

    Each weight is used once a token. Reading a token's vector, all that pooled_embedding does,
    takes a CPU as long as `READ_COST` multiplications for each of its numbers.
    """
    _, state = make_abstract(NETWORKS[config.network], config)
    weights: int = sum(leaf.size for leaf in jax.tree.leaves(nnx.to_pure_dict(state)))
    return weights + READ_COST * config.token_embedding_dim


def require_fitting_params(
    config: Hyperparameters, params: Any, *, float32: bool = False
) -> Params:
    """Parameters of the whole network as plain dicts, if they are those of the configuration.

    Raises:
        InputError: they have other names or shapes, or are not floating-point numbers (float32,
            if asked for).
    """
    found = to_plain(params)
    require_fitting(found, parameter_shapes(config), "the hyperparameters", float32=float32)
    return found


def require_config(config: Any) -> Hyperparameters:
    """The configuration, if it is one.

    Raises:
        InputError: it is of another type.
    """
    require_instance("config", config, Hyperparameters, "Hyperparameters")
    checked: Hyperparameters = config
    return checked


@lru_cache(maxsize=64)
def make_abstract(
    module: Any, config: Hyperparameters | EncoderConfig, **options: Any
) -> tuple[Any, Any]:
    """A module's graph and the shapes of its parameters, without making any."""
    graph, state = nnx.split(nnx.eval_shape(lambda: module(config, rngs=nnx.Rngs(0), **options)))
    return graph, state
