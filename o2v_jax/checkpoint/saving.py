"""Writing a model: under its name there is a whole model at any time, the old or the new one."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError
from safetensors.numpy import save_file

from o2v_jax.arguments import require_instance, require_path
from o2v_jax.atomic import is_fixed, is_leftover, replace_directory, require_creatable
from o2v_jax.checkpoint import config_file, params_file
from o2v_jax.checkpoint.config_file import MAX_JSON_BYTES, ConfigProblems, max_vocabulary_bytes
from o2v_jax.checkpoint.model import (
    CARD,
    CONFIG,
    METRICS,
    MODEL_FILES,
    PARAMS,
    PROVENANCE,
    Model,
    flatten,
)
from o2v_jax.checkpoint.params_file import Arrays
from o2v_jax.checkpoint.snapshot import open_snapshot
from o2v_jax.checkpoint.tokenizer_files import compose_inputs
from o2v_jax.data.tokenizers import require_tokenizers
from o2v_jax.data.vocabulary import parse_json_object
from o2v_jax.errors import CheckpointError, InputError
from o2v_jax.util import describe_os_error, hash_bytes, hash_file

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def save(model: Model, directory: str | Path) -> Path:
    """Writes a model directory, or replaces one.

    All files are written to a directory beside it and flushed to the disk before it gets its name.
    On Linux the former and the new model swap their names in one step. Elsewhere the former one is
    moved aside first, to a name that ends in `.old`, where an interruption may leave it. The next
    save to the same name removes what a killed process left.

    Args:
        model: what to write.
        directory: a new name, an empty directory or a model directory to replace. If nothing can
            be written beside it, or it is a mount point, files are moved into it one by one. The
            former config.json is removed first and the new one comes last: an interruption in
            between leaves no model, which `load` reports and the next save completes.

    Returns:
        The directory, absolute.

    Raises:
        InputError: an argument is of another type, or the directory is a URL.
        CheckpointError: the model is one that `load` would refuse, or the directory is in use for
            something else or cannot be written. Nothing was changed then.
    """
    target = require_path("directory", directory).resolve()
    arrays = _flatten_params(model, target)
    _check_model(model, arrays, target)
    try:
        check_model_target(target)
        with replace_directory(target, MODEL_FILES, last=CONFIG) as staging:
            _write(model, arrays, staging)
    except InputError as error:
        raise CheckpointError(target, [str(error)]) from error
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(target, [f"cannot be written: {reason}"]) from error
    return target


def _flatten_params(model: Model, target: Path) -> Arrays:
    from o2v_jax.model import to_plain  # noqa: PLC0415  its import takes a second

    require_instance("model", model, Model, "a Model")
    require_tokenizers(model.tokenizers)
    require_instance("class_names", model.class_names, tuple, "a tuple of names")
    require_instance("card", model.card, str, "a text")
    try:
        return flatten(to_plain(model.params))
    except InputError as error:
        raise CheckpointError(target, [str(error)]) from error


def _write(model: Model, arrays: Arrays, directory: Path) -> None:
    others = {
        METRICS: _encode_json(METRICS, model.metrics),
        PROVENANCE: _encode_json(PROVENANCE, model.provenance),
    }
    if model.tokenizers is not None:
        _, files = compose_inputs(model.tokenizers)
        for name, data in files.items():
            _check_size(name, data, max_vocabulary_bytes(model.config))
        others |= files
    for name, data in others.items():
        (directory / name).write_bytes(data)
    digests = {name: hash_bytes(data) for name, data in others.items()}
    if model.card:
        (directory / CARD).write_bytes(_encode_card(model.card))
    save_file(arrays, directory / PARAMS, params_file.make_metadata(digests))
    # safetensors lets nobody but the owner read what it writes
    shutil.copymode(directory / METRICS, directory / PARAMS)
    checksum = hash_file(directory / PARAMS)
    (directory / CONFIG).write_bytes(_encode_json(CONFIG, config_file.compose(model, checksum)))


def _check_model(model: Model, arrays: Arrays, target: Path) -> None:
    expected = params_file.find_expected_shapes(model.config)
    problems = ConfigProblems(params_file.find_problems(arrays, expected))
    config_file.parse(config_file.compose(model, ""), problems)
    with problems.gathered():
        if model.tokenizers is not None:
            config_file.check_tokenizers(model.tokenizers, model.config)
    for name, value in ((METRICS, model.metrics), (PROVENANCE, model.provenance)):
        with problems.gathered():
            _encode_json(name, value)
    with problems.gathered():
        _encode_card(model.card)
    if problems:
        raise CheckpointError(target, problems)


def check_model_target(directory: str | Path) -> None:
    """Checks that `save` may write there, so that nobody trains for hours to find it may not.

    Raises:
        CheckpointError: it is neither new, nor empty, nor a model with nothing else beside it.
    """
    target = require_path("directory", directory).resolve()
    if not target.exists():
        try:
            require_creatable(target)
        except OSError as error:
            reason = f"cannot be made: {describe_os_error(error)}"
            raise CheckpointError(target, [reason]) from error
        return
    if not target.is_dir():
        raise CheckpointError(target, ["is a file, but a model is a directory"])
    found = {path.name for path in target.iterdir()}
    if is_fixed(target):
        found.discard("lost+found")  # a disk's own
    names = {name for name in found if not is_leftover(name, target)}
    if others := sorted(names.difference(MODEL_FILES)):
        raise CheckpointError(
            target,
            [f"holds other things than a model ({', '.join(others[:5])}): choose another name"],
        )
    # files without their config.json may be ours: of a save that was ended in the middle
    if names and found == names and not _is_model(target):
        raise CheckpointError(
            target, ["is not empty and not an o2v_jax model: choose another name"]
        )


def _is_model(directory: Path) -> bool:
    for _ in range(2):  # another process may take the directory away before its files are opened
        with suppress(InputError, OSError), open_snapshot(directory) as snapshot:
            data = snapshot.read(CONFIG, MAX_JSON_BYTES)
            return config_file.is_model_config(parse_json_object(data, CONFIG))
    return False


def _encode_json(name: str, value: Mapping[str, Any]) -> bytes:
    try:
        data = orjson.dumps(dict(value), option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise InputError(f"{name} cannot be written as JSON: {error}") from error
    _check_size(name, data, MAX_JSON_BYTES)
    return data


def _encode_card(card: str) -> bytes:
    data = card.encode(errors="replace")  # half a surrogate pair, in a command or a name
    _check_size(CARD, data, MAX_JSON_BYTES)
    return data


def _check_size(name: str, data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise InputError(f"{name} would take {len(data):,} bytes, but at most {limit:,} are read")
