"""One step of training and of evaluation, as jitted pure functions."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.memory import give_back_freed_memory
from o2v_jax.model import Params, init, random_key, unchecked_logits_fn
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.data.pretrained import Pretrained, frozen_rows, with_pretrained
from o2v_jax.training.optim.batch_vocabulary import renamed, renamed_on_device
from o2v_jax.training.optim.optimizers import optimizer, stepped
from o2v_jax.training.optim.row_sparse import (
    Ids,
    Rows,
    Table,
    packed,
    sparse_tables,
    stepped_rows,
    vectors,
)

LARGE = 2**23  # numbers of a table that a CPU's cache does not hold: 32 MB

Scalar: TypeAlias = Float[Array, ""]
Frozen: TypeAlias = Mapping[str, Array]  # for each table that has any: which rows are, bool [vocab]


class State(NamedTuple):
    """What a training step reads and replaces.

    Attributes:
        dense: the parameters that every step updates in whole.
        optimizer: what their optimizer remembers.
        key: draws the dropout.
        tables: row_sparse token tables by name, each with what its optimizer remembers.
    """

    dense: Params
    optimizer: Any
    key: Array
    tables: dict[str, Table]

    @property
    def params(self) -> Params:
        """All parameters; row_sparse tables are copied out from beside their moments."""
        return {**self.dense, **{name: {"weight": t.weight} for name, t in self.tables.items()}}


class Sums(NamedTuple):
    """Sums over records, weighted: divide by `weight` for the mean."""

    loss: Scalar
    correct: Scalar
    weight: Scalar

    def mean_loss(self) -> float:
        """Mean loss of a record; waits for the device."""
        return float(self.loss / self.weight)

    @classmethod
    def zero(cls) -> "Sums":
        """Sums over nothing."""
        return cls(*jnp.zeros((3,), jnp.float32))

    def __add__(self, other: "Sums") -> "Sums":  # type: ignore[override]
        return Sums(*map(jnp.add, self, other))


def start(config: Hyperparameters, seed: int, pretrained: Sequence[Pretrained] = ()) -> State:
    """Freshly initialised parameters, with the pretrained vectors, and optimizer state."""
    params, sparse = with_pretrained(init(config, seed), pretrained), sparse_tables(config)
    jax.block_until_ready(params)
    give_back_freed_memory()  # before a table and its moments, which are larger, are laid together
    weights = {name: params.pop(name)["weight"] for name in sparse}
    state: State = _started(config, params, weights, random_key((seed + 1) % 2**63))
    return state


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _started(config: Hyperparameters, dense: Params, weights: Params, key: Array) -> State:
    rule = optimizer(config)
    tables = {name: packed(rule, weight) for name, weight in weights.items()}
    return State(dense, rule.init(dense), key, tables)


def train_step(
    config: Hyperparameters, pretrained: Sequence[Pretrained] = ()
) -> Callable[[State, Batch], tuple[State, Sums]]:
    """A function (state, batch) -> (next state, sums over the batch), jitted; the state is donated.

    Rows of frozen pretrained vectors stay exactly as they are.
    """
    frozen, by_rows = jax.device_put(frozen_rows(config, pretrained)), _renames_on_host(config)
    # a bilstm's step takes long to compile, and of a large table little is gained by more
    sizes = 4 if sparse_tables(config) else 1

    def train(state: State, batch: Batch) -> tuple[State, Sums]:
        rows: Rows = {}
        if by_rows:
            rows, in0, in1 = renamed(config, batch.in0, batch.in1, sizes)
            batch = batch._replace(in0=in0, in1=in1)
        result: tuple[State, Sums] = _step(config, state, batch, rows, frozen)
        return result

    return train


def _renames_on_host(config: Hyperparameters) -> bool:
    """Whether the host finds the distinct rows that a batch names: on a CPU, if that saves time.

    row_sparse tables are read by them, a bilstm multiplies each of them once, and the gradient of a
    large table is then added up in a small one.
    """
    encoders = [config.encoder(side) for side in (0, 1)]
    bilstm = any(encoder.network == "bilstm" for encoder in encoders)
    large = any(e.vocab_size * e.token_embedding_dim > LARGE for e in encoders)
    useful = bilstm or large or bool(sparse_tables(config))
    return useful and jax.default_backend() == "cpu"


# with a static configuration, runs of equal ones share their programs
@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(
    config: Hyperparameters, state: State, batch: Batch, rows: Rows, frozen: Frozen
) -> tuple[State, Sums]:
    """Differentiates and updates the dense parameters, and of the sparse tables the batch's rows.

    `rows` and positions among them are given, or found here.
    """
    if not rows and sparse_tables(config):
        rows, in0, in1 = renamed_on_device(config, batch.in0, batch.in1)
        batch = batch._replace(in0=in0, in1=in1)  # type: ignore[arg-type]
    rule, (key, dropout_key) = optimizer(config), jax.random.split(state.key)
    params = {**state.dense, **{name: _small(state, name, at) for name, at in rows.items()}}
    gradients, sums = jax.grad(partial(_loss, config), has_aux=True)(params, batch, dropout_key)
    of_dense = {
        name: _whole_gradient(gradients[name], rows[name], part)
        if name in rows
        else gradients[name]
        for name, part in state.dense.items()
    }
    dense, memory = stepped(rule, state.dense, of_dense, state.optimizer, frozen)
    tables = {}
    for name, table in state.tables.items():
        at, still = rows[name], still_rows(frozen, name, rows[name])
        tables[name] = stepped_rows(rule, name, table, gradients[name], at, still)
    return State(dense, memory, key, tables), sums


def _small(state: State, name: str, rows: Ids | Array) -> Params:
    """Of a token table, row_sparse or dense, these rows."""
    if name in state.tables:
        return {"weight": vectors(state.tables[name], rows)}
    at = state.dense[name]["weight"].at[rows]
    return {"weight": at.get(mode="clip", unique_indices=True, indices_are_sorted=True)}


def _whole_gradient(gradient: Params, rows: Ids | Array, part: Params) -> Params:
    """The gradient of a dense table from that of the rows it was read by."""
    at = jnp.zeros_like(part["weight"]).at[rows]
    whole = at.set(gradient["weight"], mode="drop", unique_indices=True, indices_are_sorted=True)
    return {"weight": whole}


def still_rows(frozen: Frozen, name: str, rows: Ids | Array) -> Frozen:
    """Which of these rows of a table are frozen, if it has frozen ones at all."""
    if name not in frozen:
        return {}
    return {name: frozen[name].at[rows].get(mode="fill", fill_value=True)}


def _loss(config: Hyperparameters, params: Params, batch: Batch, key: Array) -> tuple[Scalar, Sums]:
    outputs = unchecked_logits_fn(config)(params, batch.in0, batch.in1, key)
    sums = batch_sums(config, outputs, batch)
    return sums.loss / sums.weight, sums


def evaluation_step(config: Hyperparameters) -> Callable[[Params, Batch], Sums]:
    """A jitted function (params, batch) -> sums over the batch, without dropout."""
    return partial(_evaluation_step, config)


@partial(jax.jit, static_argnums=0)
def _evaluation_step(config: Hyperparameters, params: Params, batch: Batch) -> Sums:
    return batch_sums(config, unchecked_logits_fn(config)(params, batch.in0, batch.in1), batch)


def batch_sums(
    config: Hyperparameters, outputs: Float[Array, "batch outputs"], batch: Batch
) -> Sums:
    """Loss, correct records and weight of a batch, summed, from the network's outputs."""
    measure = _classified if config.output_layer == "softmax" else _regressed
    loss, correct = measure(outputs, jnp.asarray(batch.labels))
    weights = jnp.asarray(batch.weights)
    return Sums((loss * weights).sum(), (correct * weights).sum(), weights.sum())


def _classified(
    logits: Float[Array, "batch classes"], labels: Float[Array, "batch"]
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    classes = labels.astype(jnp.int32)
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, classes)
    return loss, (logits.argmax(axis=-1) == classes).astype(jnp.float32)


def _regressed(
    values: Float[Array, "batch 1"], labels: Float[Array, "batch"]
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    loss = jnp.square(values[:, 0] - labels)
    return loss, jnp.zeros_like(loss)
