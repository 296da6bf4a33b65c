"""Where a run's arrays lie when several devices share it.

Rows of a batch are spread over the devices; parameters and what their optimizer remembers are on
every device in whole, but for the token tables if these are sharded: then each device holds as many
of their rows. A table is filled up with rows that nothing reads to a multiple of the devices; on
the host, and in what is saved, these rows are cut off again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import table_name
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.optim.row_sparse import Table, updated

AXIS = "devices"
REPLICATED, BY_ROWS = P(), P(AXIS)
PIECE_BYTES = 2**26  # of a sharded table that every device holds at once while it is fetched

HostArray = npt.NDArray[Any]


@dataclass(frozen=True)
class Spread:
    """A mesh of all devices along one axis, and whether the token tables are sharded over it."""

    mesh: Mesh
    shard_tables: bool = False

    @classmethod
    def over(cls, devices: list[jax.Device], *, shard_tables: bool = False) -> "Spread":
        """Over these devices of all hosts, in this order."""
        return cls(Mesh(np.array(devices), (AXIS,)), shard_tables)

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return self.mesh.size

    def filled(self, rows: int) -> int:
        """The least multiple of the devices that is not below `rows`."""
        return -(-rows // self.devices) * self.devices

    def shardings(self, config: Hyperparameters, tree: Any) -> Any:
        """How each array of a state or of parameters lies on the devices."""

        def of(path: Any, leaf: Any) -> NamedSharding:
            whole = not self.shard_tables or _vocabulary(config, path, leaf) is None
            return NamedSharding(self.mesh, REPLICATED if whole else BY_ROWS)

        return jax.tree_util.tree_map_with_path(of, tree)

    def put(self, config: Hyperparameters, tree: Any) -> Any:
        """Host arrays of a state or of parameters, on the devices."""
        shardings = self.shardings(config, tree)
        return jax.tree.map(self._put, tree, shardings)

    def put_rows(self, batch: Batch) -> Batch:
        """A batch over the devices, filled up with rows of weight zero; a host puts its share."""
        sharding = NamedSharding(self.mesh, BY_ROWS)
        return Batch(*(self._put(array, sharding) for array in batch))  # type: ignore[arg-type]

    def put_whole(self, tree: Any) -> Any:
        """Host arrays, each on every device."""
        return jax.tree.map(lambda leaf: _placed(leaf, NamedSharding(self.mesh, REPLICATED)), tree)

    def fetch(self, config: Hyperparameters, tree: Any) -> Any:
        """Host arrays of a state or of parameters. All hosts call it, if tables are sharded."""

        def of(path: Any, leaf: Any) -> HostArray:
            whole, vocabulary = self._whole(leaf), _vocabulary(config, path, leaf)
            return whole if vocabulary is None else whole[:vocabulary]

        return jax.tree_util.tree_map_with_path(of, tree)

    def like(self, config: Hyperparameters, tree: Any) -> Any:
        """Host arrays of the shapes that `fetch` returns, which take no memory."""

        def of(path: Any, leaf: Any) -> HostArray:
            vocabulary = _vocabulary(config, path, leaf)
            shape = leaf.shape if vocabulary is None else (vocabulary, *leaf.shape[1:])
            return np.broadcast_to(np.zeros((), leaf.dtype), shape)

        return jax.tree_util.tree_map_with_path(of, tree)

    def local(self, tree: Any) -> Any:
        """Arrays that are on every device, on the first one of this host."""
        if self.mesh.devices.flat[0].platform == "cpu":
            # queued programs could take all of a processor's threads, and wait for one another
            jax.block_until_ready(tree)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)

    def mapped(self, function: Callable[..., Any], in_specs: Any, out_specs: Any) -> Any:
        """A function that each device runs on its shards."""
        return jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs)

    def _put(self, array: Any, sharding: NamedSharding) -> jax.Array:
        if sharding.spec == BY_ROWS:
            more = self.filled(len(array)) - len(array)
            array = np.pad(array, [(0, more), *[(0, 0)] * (array.ndim - 1)]) if more else array
        return _placed(array, sharding)

    def _whole(self, leaf: Any) -> HostArray:
        if isinstance(leaf, np.ndarray) or leaf.is_fully_addressable:
            return np.asarray(leaf)
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        return self._gathered(leaf)

    def _gathered(self, leaf: jax.Array) -> HostArray:
        """An array that is sharded over hosts, a piece at a time, so that no device holds it."""
        of_device = leaf.shape[0] // self.devices
        row_bytes = leaf.nbytes // leaf.shape[0]
        step = max(1, min(of_device, PIECE_BYTES // (row_bytes * self.devices)))
        whole = np.empty((self.devices, of_device, *leaf.shape[1:]), leaf.dtype)
        for start in range(0, of_device, step):
            start = min(start, of_device - step)  # noqa: PLW2901 - one program for all pieces
            pieces = _pieces(self, step, leaf, np.int32(start))
            whole[:, start : start + step] = np.asarray(pieces.addressable_data(0))
        return whole.reshape(leaf.shape)


@partial(jax.jit, static_argnums=(0, 1))
def _pieces(spread: Spread, size: int, table: jax.Array, start: jax.Array) -> jax.Array:
    """`size` rows from `start` of every device's shard, on all devices `[devices, size, ...]`."""

    def gathered(shard: jax.Array, start: jax.Array) -> jax.Array:
        piece = jax.lax.dynamic_slice_in_dim(shard, start, size)
        pieces: jax.Array = jax.lax.all_gather(piece, AXIS)
        return pieces

    # JAX does not see that a gathered array is the same on all devices
    specs = (BY_ROWS, REPLICATED)
    everywhere = jax.shard_map(
        gathered, mesh=spread.mesh, in_specs=specs, out_specs=REPLICATED, check_vma=False
    )
    return everywhere(table, start)


def _placed(array: Any, sharding: NamedSharding) -> jax.Array:
    """An array that every host has, as one global array; each host puts what its devices hold."""
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _vocabulary(config: Hyperparameters, path: Any, leaf: Any) -> int | None:
    """The rows of the token table that a leaf is or belongs to; None for all others."""
    sizes = {table_name(config, side): config.encoder(side).vocab_size for side in (0, 1)}
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    found = next((sizes[name] for name in names if name in sizes), None)
    return found if leaf.ndim > 1 else None


def gathered(spread: Spread, table: Array, rows: Array) -> Array:
    """The vectors of these rows, on every device; zeros for those outside the table.

    `table` holds vectors, or as `row_sparse.Table.rows` vectors and moments.
    """

    def own(shard: Array, rows: Array) -> Array:
        at = _places(shard, rows)
        place = (at, 0) if shard.ndim > 2 else at  # noqa: PLR2004
        taken: Array = jax.lax.psum(shard.at[place].get(mode="fill", fill_value=0), AXIS)
        return taken

    found: Array = spread.mapped(own, (BY_ROWS, REPLICATED), REPLICATED)(table, rows)
    return found


def scattered(spread: Spread, small: Array, rows: Array, size: int) -> Array:
    """A sharded table of `size` rows that holds these, and zeros elsewhere."""

    def own(small: Array, rows: Array) -> Array:
        shard = jnp.zeros((size // spread.devices, *small.shape[1:]), small.dtype)
        return shard.at[_places(shard, rows)].set(small, mode="drop")

    table: Array = spread.mapped(own, (REPLICATED, REPLICATED), BY_ROWS)(small, rows)
    return table


def stepped_own_rows(
    spread: Spread,
    rule: optax.GradientTransformation,
    name: str,
    table: Table,
    gradient: Mapping[str, Array],
    rows: Array,
    frozen: Mapping[str, Array],
) -> Table:
    """The table after one step of the rule on these rows; `gradient` and `frozen` are theirs."""

    def own(
        table: Table, gradient: Mapping[str, Array], rows: Array, frozen: Mapping[str, Array]
    ) -> Table:
        at = _places(table.rows, rows)
        small = Table(table.rows.at[at].get(mode="fill", fill_value=0), table.rest)
        small = updated(rule, name, small, gradient, frozen)
        return Table(table.rows.at[at].set(small.rows, mode="drop"), small.rest)

    specs = Table(BY_ROWS, REPLICATED)  # type: ignore[arg-type]
    whole: Table = spread.mapped(own, (specs, REPLICATED, REPLICATED, REPLICATED), specs)(
        table, gradient, rows, frozen
    )
    return whole


def _places(shard: Array, rows: Array) -> Array:
    """Where these rows of the table stand in this device's shard; beyond it if they do not."""
    at = rows - jax.lax.axis_index(AXIS) * shard.shape[0]
    return jnp.where((at >= 0) & (at < shard.shape[0]), at, shard.shape[0])
