"""From a model on disk to a service that warms up."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax

from o2v_jax.checkpoint import Model, load
from o2v_jax.scoring import Scorer, get_device_profile, local_devices, use_compilation_cache
from o2v_jax.server.protocol import ScorerLike
from o2v_jax.server.service import Service
from o2v_jax.server.settings import ServerSettings


def create_service(
    model: Model | str | Path | None = None,
    *,
    settings: ServerSettings | None = None,
    scorers: Sequence[ScorerLike] | None = None,
) -> Service:
    """Loads a model onto its devices, and warms it up in the background.

    Requests that arrive meanwhile are answered, only slower.

    Args:
        model: a loaded model or the path of one; None: the one that the settings name.
        settings: None: those of the environment.
        scorers: serve these, one for each device, instead of new ones of `model`.

    Raises:
        InputError: a setting cannot be used, or there is no model.
        CheckpointError: the model cannot be loaded.
    """
    settings = settings or ServerSettings.from_environment(os.environ)
    service = Service(scorers or _create_scorers(model, settings), settings)
    service.warm()
    return service


def _create_scorers(
    model: Model | str | Path | None, settings: ServerSettings
) -> Sequence[ScorerLike]:
    use_compilation_cache()
    # One thread gives the device its work and waits: handing that on to yet another thread costs
    # a small request a third of its time.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if model is None or isinstance(model, str | Path):
        model = load(model or settings.model_path)
    devices = local_devices(settings.devices)
    # Two batches are computed at a time: with threads of their own their streams would be more than
    # the cores, and requests of 100 pairs took 1.25 times as long.
    create = partial(
        Scorer,
        model,
        preferred_mode=settings.preferred_mode,
        dtype=settings.dtype,
        profile=get_device_profile(devices[0].platform)._replace(stream_threads=False),
    )
    return [create(device=device) for device in devices]
