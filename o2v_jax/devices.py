"""The devices that JAX finds, and whether this process may use them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np

from o2v_jax.errors import InputError


@dataclass
class _Process:
    """What this process did with JAX: its threads do not survive a fork."""

    has_devices: bool = False
    is_forked: bool = False

    def fork(self) -> None:
        """Is called in every forked child."""
        self.is_forked = self.has_devices


_process = _Process()
if hasattr(os, "register_at_fork"):  # not where processes cannot fork
    os.register_at_fork(after_in_child=_process.fork)


def require_devices() -> str:
    """The platform of JAX's default backend, "cpu" or "gpu" for instance.

    Raises:
        InputError: JAX finds no device, as where JAX_PLATFORMS names one that is not there; or
            this process was forked from one that had used JAX, whose threads are missing here.
    """
    require_own_threads()
    try:
        backend: str = jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # of a plugin that is missing it says nothing
        raise InputError(_describe_no_device(error)) from error
    _process.has_devices = True
    return backend


def require_own_threads() -> None:
    """Checks that this process was not forked after JAX had started: what JAX does would hang.

    Raises:
        InputError: it was.
    """
    if _process.is_forked:
        raise InputError(
            "this process was forked from one that had used JAX, whose threads are missing here: "
            "start processes with multiprocessing's method 'spawn' or 'forkserver'"
        )


def default_device() -> jax.Device:
    """The device that JAX uses here if none is named, `jax_default_device` included.

    Raises:
        InputError: as `require_devices`.
    """
    require_devices()
    try:
        (device,) = jax.device_put(np.zeros((), np.float32)).devices()
    except RuntimeError as error:
        raise InputError(_describe_no_device(error)) from error
    found: jax.Device = device
    return found


def platform_of(device: jax.Device | None) -> str:
    """The kind of a device, "cpu" or "gpu" for instance; of None, JAX's default one."""
    return device.platform if device else require_devices()


def local_devices(number: int | None = None) -> list[jax.Device]:
    """The first `number` of this host's devices, or all.

    Raises:
        InputError: there are fewer; and as `require_devices`.
    """
    require_devices()
    devices: list[jax.Device] = jax.local_devices()
    if number is not None and number > len(devices):
        kind = devices[0].device_kind
        raise InputError(f"{number} devices were asked for, but JAX finds {len(devices)} ({kind})")
    return devices[:number]


@contextmanager
def own_settings() -> Iterator[None]:
    """Within the block, JAX has the settings that this package needs, whatever the process set.

    `JAX_ENABLE_X64` would make row counts int64 and change the dropout that is drawn. Without
    `JAX_THREEFRY_PARTITIONABLE`, dropout would depend on the number of devices. `JAX_DISABLE_JIT`
    compiles nothing ahead of time. A transfer guard would refuse what scoring and training do.
    """
    with (
        jax.disable_jit(False),
        jax.enable_x64(False),
        jax.threefry_partitionable(True),
        jax.transfer_guard("allow"),
    ):
        yield


def _describe_no_device(error: Exception) -> str:
    named = getattr(jax.config, "jax_platforms", None)
    asked = f" with JAX_PLATFORMS={named}" if named else ""
    reason = str(error).partition("\n")[0][:300]
    return f"JAX finds no device{asked}" + (f": {reason}" if reason else "")
