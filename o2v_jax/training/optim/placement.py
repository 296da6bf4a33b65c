"""Where a run's arrays live and its steps run: on one device, or spread over several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from o2v_jax.devices import local_devices
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import Params
from o2v_jax.training.data.batches import Batch
from o2v_jax.training.data.pretrained import Pretrained
from o2v_jax.training.optim import sharded_step, step
from o2v_jax.training.optim.sharding import Spread
from o2v_jax.training.optim.step import State, Sums


class Place(Protocol):
    """What a run needs to know of its devices.

    `fetched` makes host arrays of device arrays, `put` the reverse. `to_save` gives a tree as it is
    saved, `like` the structure and shapes in which it is read back, `restored` what was read as the
    arrays of a run.
    """

    @property
    def devices(self) -> list[jax.Device]: ...  # noqa: D102
    def start(self, seed: int) -> State: ...  # noqa: D102
    def train_step(self) -> Callable[[State, Batch], tuple[State, Sums]]: ...  # noqa: D102
    def evaluation_step(self) -> Callable[[Params, Batch], Sums]: ...  # noqa: D102
    def fetched(self, tree: Any) -> Any: ...  # noqa: D102
    def put(self, tree: Any) -> Any: ...  # noqa: D102
    def to_save(self, tree: Any) -> Any: ...  # noqa: D102
    def like(self, tree: Any) -> Any: ...  # noqa: D102
    def restored(self, tree: Any) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class OneDevice:
    """The default device."""

    config: Hyperparameters
    pretrained: Sequence[Pretrained] = ()

    @property
    def devices(self) -> list[jax.Device]:
        """The one."""
        return local_devices(1)

    def start(self, seed: int) -> State:
        """See `step.start`."""
        return step.start(self.config, seed, self.pretrained)

    def train_step(self) -> Callable[[State, Batch], tuple[State, Sums]]:
        """See `step.train_step`."""
        return step.train_step(self.config, self.pretrained)

    def evaluation_step(self) -> Callable[[Params, Batch], Sums]:
        """See `step.evaluation_step`."""
        return step.evaluation_step(self.config)

    def fetched(self, tree: Any) -> Any:
        """On the host."""
        return jax.device_get(tree)

    def put(self, tree: Any) -> Any:
        """On the device."""
        return jax.device_put(tree)

    def to_save(self, tree: Any) -> Any:
        """As it is."""
        return tree

    def like(self, tree: Any) -> Any:
        """Shapes and places."""
        return jax.tree.map(_shape, tree)

    def restored(self, tree: Any) -> Any:
        """As it is."""
        return tree


@dataclass(frozen=True)
class Several:
    """The devices of a mesh; what is saved does not depend on how many they are."""

    config: Hyperparameters
    spread: Spread
    pretrained: Sequence[Pretrained] = ()

    @property
    def devices(self) -> list[jax.Device]:
        """Of all hosts."""
        return list(self.spread.mesh.devices.flat)

    def start(self, seed: int) -> State:
        """See `sharded_step.start`."""
        return sharded_step.start(self.config, self.spread, seed, self.pretrained)

    def train_step(self) -> Callable[[State, Batch], tuple[State, Sums]]:
        """See `sharded_step.train_step`."""
        return sharded_step.train_step(self.config, self.spread, self.pretrained)

    def evaluation_step(self) -> Callable[[Params, Batch], Sums]:
        """See `sharded_step.evaluation_step`."""
        return sharded_step.evaluation_step(self.config, self.spread)

    def fetched(self, tree: Any) -> Any:
        """On this host, and so on every one; all of them must call it."""
        return self.spread.fetch(self.config, tree)

    def put(self, tree: Any) -> Any:
        """On the devices."""
        return self.spread.put(self.config, tree)

    def to_save(self, tree: Any) -> Any:
        """Host arrays, all rows of a sharded table together."""
        return self.fetched(tree)

    def like(self, tree: Any) -> Any:
        """Host arrays of the shapes that `to_save` gives."""
        return self.spread.like(self.config, tree)

    def restored(self, tree: Any) -> Any:
        """On the devices."""
        return self.put(tree)


def place_of(
    config: Hyperparameters,
    pretrained: Sequence[Pretrained] = (),
    *,
    devices: int | None = None,
    shard_tables: bool = False,
) -> Place:
    """The first `devices` devices of every host; all of them if none are said.

    Raises:
        InputError: there are not so many, or one alone is to share its tables.
    """
    here = len(local_devices())
    if devices is not None and not 1 <= devices <= here:
        raise InputError(f"--devices {devices}: must be in 1..{here}, the devices of this host")
    chosen = _first(devices or here)
    if len(chosen) > 1:
        return Several(config, Spread.over(chosen, shard_tables=shard_tables), pretrained)
    if shard_tables:
        raise InputError("--shard-tables needs two devices, but there is one")
    return OneDevice(config, pretrained)


def _first(most: int) -> list[jax.Device]:
    """The first `most` devices of every host, host by host."""
    ordered = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    hosts = groupby(ordered, key=lambda device: device.process_index)
    return [device for _, found in hosts for device in islice(found, most)]


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    """The shape and the place of an array, without the array."""
    leaf = jnp.asarray(leaf)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
