"""From a model on disk to a service that warms up."""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from o2v_jax.checkpoint import Model, hash_model, load
from o2v_jax.errors import InputError
from o2v_jax.scoring import Scorer, get_device_profile, local_devices, use_compilation_cache
from o2v_jax.server.protocol import ScorerLike
from o2v_jax.server.service import Service
from o2v_jax.server.settings import ServerSettings

if TYPE_CHECKING:
    from o2v_jax.retrieval import Index


def create_service(
    model: Model | str | Path | None = None,
    *,
    settings: ServerSettings | None = None,
    scorers: Sequence[ScorerLike] | None = None,
    index: "Index | str | Path | None" = None,
) -> Service:
    """Loads a model onto its devices, opens an index of it, and warms up in the background.

    Requests that arrive meanwhile are answered, only slower.

    Args:
        model: a loaded model or the path of one; None: the one that the settings name.
        settings: None: those of the environment.
        scorers: serve these, one for each device, instead of new ones of `model`.
        index: an index of the model, or the path of one; None: the one that the settings name, if
            they do.

    Raises:
        InputError: a setting cannot be used, or there is no model.
        CheckpointError: the model or the index cannot be loaded, or the index is of another model.
        MissingExtraError: the index needs an extra that is not installed.
    """
    settings = settings or ServerSettings.from_environment(os.environ)
    index = settings.index if index is None else index
    get_model = cache(partial(_load_model, model, settings))
    known = None if scorers else get_model
    scorers = scorers or _create_scorers(get_model, settings)
    opened = None if index is None else _open_index(index, get_model, scorers[0])
    if opened is not None:
        _require_index_of(opened, scorers[0], known)
        opened.find([])  # makes the table of keys now, not while a request waits
    service = Service(scorers, settings, index=opened)
    service.warm()
    return service


def _load_model(model: Model | str | Path | None, settings: ServerSettings) -> Model:
    return model if isinstance(model, Model) else load(model or settings.model_path)


def _open_index(
    index: "Index | str | Path", get_model: Callable[[], Model], scorer: ScorerLike
) -> "Index":
    """Opens an index whose queries the scorer encodes; one that is open is taken as it is."""
    from o2v_jax.retrieval import Index  # noqa: PLC0415 - needs the extra `data`

    if isinstance(index, Index):
        return index
    # of a scorer that serving alone knows, the index needs one of its own
    own = scorer if isinstance(scorer, Scorer) else None
    return Index.load(index, get_model(), scorer=own)


def _require_index_of(
    index: "Index", scorer: ScorerLike, get_model: Callable[[], Model] | None
) -> None:
    """Checks that an index is of the model; of scorers whose model is not known, its dimensions."""
    of_another = index.info.dimensions != scorer.config.enc_dim
    if get_model is not None:
        of_another = index.info.model_sha256 != hash_model(get_model())
    if of_another:
        raise InputError("index is of another model")


def _create_scorers(get_model: Callable[[], Model], settings: ServerSettings) -> Sequence[Scorer]:
    use_compilation_cache()
    # One thread gives the device its work and waits: handing that on to yet another thread costs
    # a small request a third of its time.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    devices = local_devices(settings.devices)
    # Two batches are computed at a time: with threads of their own their streams would be more than
    # the cores, and requests of 100 pairs took 1.25 times as long.
    create = partial(
        Scorer,
        get_model(),
        preferred_mode=settings.preferred_mode,
        dtype=settings.dtype,
        profile=get_device_profile(devices[0].platform)._replace(stream_threads=False),
    )
    return [create(device=device) for device in devices]
