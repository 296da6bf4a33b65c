"""The devices of this host."""

import jax

from o2v_jax.errors import InputError


def platform_of(device: jax.Device | None) -> str:
    """The kind of a device, "cpu" or "gpu" for instance; of None, JAX's default one."""
    return device.platform if device else jax.default_backend()


def local_devices(number: int | None = None) -> list[jax.Device]:
    """The first `number` of them, or all.

    Raises:
        InputError: there are fewer.
    """
    devices: list[jax.Device] = jax.local_devices()
    if number is not None and number > len(devices):
        kind = devices[0].device_kind
        raise InputError(f"{number} devices were asked for, but JAX finds {len(devices)} ({kind})")
    return devices[:number]
