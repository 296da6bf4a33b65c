"""Where a run's arrays live: on one device, or sharded over several, of one host or of many.

Rows of a batch are sharded over the devices; parameters and optimizer state are replicated, except
for the token tables if these are sharded too: then each device holds an equal share of their rows.
A sharded table is padded to a multiple of the devices with rows that nothing reads; on the host,
and in what is saved, these rows are cut off again. XLA derives the communication from this.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby, islice
from typing import Any, TypeAlias

import jax
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh, NamedSharding, use_abstract_mesh
from jax.sharding import PartitionSpec as P

from o2v_jax.devices import default_device, local_devices
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import BATCH_AXIS, table_name
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.optim.batch_vocabulary import RowsByTable

FETCHED_BYTES = 2**26  # of a sharded table that every device holds at once while it is fetched

HostArray: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Placement:
    """A mesh of devices along one axis, and whether the token tables are sharded over it."""

    mesh: Mesh
    shard_tables: bool = False

    @classmethod
    def over(cls, devices: Sequence[jax.Device], *, shard_tables: bool = False) -> "Placement":
        """Over these devices of all hosts, in this order."""
        return cls(Mesh(np.array(devices), (BATCH_AXIS,)), shard_tables)

    @classmethod
    def default(cls) -> "Placement":
        """On the device that JAX uses if none is named."""
        return cls.over([default_device()])

    @cached_property
    def devices(self) -> list[jax.Device]:
        """Of all hosts."""
        return list(self.mesh.devices.flat)

    @property
    def platform(self) -> str:
        """The kind of the devices, "cpu" or "gpu" for instance."""
        platform: str = self.devices[0].platform
        return platform

    @cached_property
    def replicated(self) -> NamedSharding:
        """Every device has the whole array."""
        return NamedSharding(self.mesh, P())

    @cached_property
    def by_rows(self) -> NamedSharding:
        """Every device has an equal share of the rows."""
        return NamedSharding(self.mesh, P(BATCH_AXIS))

    def round_up(self, rows: int) -> int:
        """The least multiple of the number of devices that is not below `rows`."""
        return -(-rows // self.mesh.size) * self.mesh.size

    def use(self) -> AbstractContextManager[object]:
        """Within the block, traced functions of the network know the mesh."""
        context: AbstractContextManager[object] = use_abstract_mesh(self.mesh.abstract_mesh)
        return context

    def constrain(self, config: Hyperparameters, tree: Any) -> Any:
        """Traced arrays of a state or of parameters, sharded as this says."""
        return jax.lax.with_sharding_constraint(tree, self.find_shardings(config, tree))

    def put(self, config: Hyperparameters, tree: Any) -> Any:
        """Arrays of a state or of parameters, on the devices."""
        return jax.tree.map(self._put, tree, self.find_shardings(config, tree))

    def put_batch(self, batch: Batch, rows: RowsByTable) -> tuple[Batch, RowsByTable]:
        """A batch over the devices, padded with rows of weight zero, and table rows on all of them.

        Each host puts what its devices hold. For one device it is left to the jitted function,
        which takes less time.
        """
        if self.mesh.size == 1:
            return batch, rows
        shared = jax.tree.map(lambda array: self._put(array, self.by_rows), batch)
        return shared, self.put_replicated(rows)

    def put_replicated(self, tree: Any) -> Any:
        """Host arrays, each on every device."""
        return jax.tree.map(lambda leaf: _put(leaf, self.replicated), tree)

    def fetch(self, config: Hyperparameters, tree: Any) -> Any:
        """Host arrays of a state or of parameters. All hosts call it, if tables are sharded."""

        def fetch_leaf(path: Any, leaf: Any) -> HostArray:
            rows, array = _find_vocabulary_size(config, path, leaf), self._fetch(leaf)
            return array if rows is None else array[:rows]

        if not self._is_padded_or_remote:
            return jax.device_get(tree)
        return jax.tree_util.tree_map_with_path(fetch_leaf, tree)

    def fetch_to_save(self, config: Hyperparameters, tree: Any) -> Any:
        """Arrays of a state as they are saved, whatever the number of devices."""
        return self.fetch(config, tree) if self._is_padded_or_remote else tree

    def describe_saved(self, config: Hyperparameters, tree: Any) -> Any:
        """The shapes of what `fetch_to_save` returns, and where it is restored to.

        Host arrays, which take no memory, stand for arrays that are restored to the host.
        """

        def host(path: Any, leaf: Any) -> HostArray:
            rows = _find_vocabulary_size(config, path, leaf)
            shape = leaf.shape if rows is None else (rows, *leaf.shape[1:])
            return np.broadcast_to(np.zeros((), leaf.dtype), shape)

        if self._is_padded_or_remote:
            return jax.tree_util.tree_map_with_path(host, tree)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.replicated),
            tree,
        )

    def take_local(self, tree: Any) -> Any:
        """Replicated arrays, on the first device of this host."""
        if self.mesh.size == 1:
            return tree
        if self.platform == "cpu":
            # queued programs could take all of a processor's threads, and wait for one another
            jax.block_until_ready(tree)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)

    @property
    def _is_padded_or_remote(self) -> bool:
        return self.shard_tables or not self.replicated.is_fully_addressable

    def find_shardings(self, config: Hyperparameters, tree: Any) -> Any:
        """How each array of a state or of parameters lies on the devices."""

        def sharding(path: Any, leaf: Any) -> NamedSharding:
            is_table = self.shard_tables and _find_vocabulary_size(config, path, leaf) is not None
            return self.by_rows if is_table else self.replicated

        return jax.tree_util.tree_map_with_path(sharding, tree)

    def _put(self, array: Any, sharding: NamedSharding) -> jax.Array:
        if sharding == self.by_rows:
            more = self.round_up(len(array)) - len(array)
            array = np.pad(array, [(0, more), *[(0, 0)] * (array.ndim - 1)]) if more else array
        return _put(array, sharding)

    def _fetch(self, leaf: Any) -> HostArray:
        if isinstance(leaf, np.ndarray) or leaf.is_fully_addressable:
            return np.asarray(leaf)
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        return self._fetch_in_pieces(leaf)

    def _fetch_in_pieces(self, leaf: jax.Array) -> HostArray:
        """An array that is sharded over hosts; no device ever holds the whole."""
        share = leaf.shape[0] // self.mesh.size
        row_bytes = leaf.nbytes // leaf.shape[0]
        size = max(1, min(share, FETCHED_BYTES // (row_bytes * self.mesh.size)))
        shares = np.empty((self.mesh.size, share, *leaf.shape[1:]), leaf.dtype)
        for start in range(0, share, size):
            start = min(start, share - size)  # noqa: PLW2901 - one program for all pieces
            pieces = _replicate_piece(self, size, leaf, np.int32(start))
            shares[:, start : start + size] = np.asarray(pieces.addressable_data(0))
        return shares.reshape(leaf.shape)


def choose_placement(*, devices: int | None = None, shard_tables: bool = False) -> Placement:
    """The first `devices` devices of every host; all of them by default.

    Raises:
        InputError: there are not so many, or one device alone is to shard its tables.
    """
    here = len(local_devices())
    if devices is not None and not 1 <= devices <= here:
        raise InputError(f"devices={devices}: must be in 1..{here}, the devices of this host")
    chosen = _list_devices(devices or here)
    if len(chosen) > 1:
        return Placement.over(chosen, shard_tables=shard_tables)
    if shard_tables:
        raise InputError("sharded tables need two devices, but there is one")
    return Placement.default()


def _list_devices(number: int) -> list[jax.Device]:
    """The first `number` devices of every host, host by host."""
    ordered = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    hosts = groupby(ordered, key=lambda device: device.process_index)
    return [device for _, found in hosts for device in islice(found, number)]


@partial(jax.jit, static_argnums=(0, 1))
def _replicate_piece(
    placement: Placement, size: int, table: jax.Array, start: jax.Array
) -> jax.Array:
    """`size` rows from `start` of every device's share, on all devices `[devices, size, ...]`."""
    shares = table.reshape(placement.mesh.size, -1, *table.shape[1:])
    shares = jax.lax.with_sharding_constraint(shares, placement.by_rows)
    piece = jax.lax.dynamic_slice_in_dim(shares, start, size, axis=1)
    piece = jax.lax.with_sharding_constraint(piece, placement.by_rows)
    whole: jax.Array = jax.lax.with_sharding_constraint(piece, placement.replicated)
    return whole


def _put(array: Any, sharding: NamedSharding) -> jax.Array:
    """An array that every host has, as one global array; each host puts what its devices hold."""
    if sharding.is_fully_addressable:
        put: jax.Array = jax.device_put(array, sharding)
        return put
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _find_vocabulary_size(config: Hyperparameters, path: Any, leaf: Any) -> int | None:
    """The rows of the token table that a leaf is or belongs to; None for all others."""
    sizes = {table_name(config, side): config.encoder(side).vocab_size for side in (0, 1)}
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    found = next((sizes[name] for name in names if name in sizes), None)
    return found if leaf.ndim > 1 else None
