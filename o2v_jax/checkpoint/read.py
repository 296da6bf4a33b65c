"""Reading a model: everything that is wrong with it is said in one error."""

from pathlib import Path
from typing import Any

from o2v_jax.arguments import require_integer, require_path
from o2v_jax.checkpoint import config_file, params_file
from o2v_jax.checkpoint.config_file import ConfigFile
from o2v_jax.checkpoint.model import (
    CONFIG,
    FILES,
    METRICS,
    PARAMS,
    PROVENANCE,
    VOCABULARY,
    Model,
    nest,
)
from o2v_jax.checkpoint.params_file import Arrays
from o2v_jax.checkpoint.problems import Problems
from o2v_jax.checkpoint.replace import left_aside
from o2v_jax.checkpoint.unpacking import MAX_ARCHIVE_BYTES, unpacked
from o2v_jax.errors import CheckpointError
from o2v_jax.util import require_local
from o2v_jax.vocabulary import Vocabulary, read_json_object

_CONTENTS = f"a model directory contains {CONFIG} and {PARAMS}, if known also " + ", ".join(
    FILES[2:]
)


def load(path: str | Path, *, max_archive_bytes: int = MAX_ARCHIVE_BYTES) -> Model:
    """Reads a model.

    Args:
        path: a model directory, or a tar archive (gzip-compressed or not) that has the files of
            one at its top level or within one folder.
        max_archive_bytes: how many bytes an archive may unpack to.

    Raises:
        InputError: an argument is of another type, or the path is a URL.
        CheckpointError: with every problem found: missing files, invalid JSON, an unknown format
            version, wrong hyperparameters, a wrong checksum, a truncated file, parameters that
            are missing, unexpected, misshapen, not float32 or not finite, token ids outside the
            vocabulary; or with the archive member that cannot be accepted.

    >>> import o2v_jax, tempfile
    >>> config = o2v_jax.Hyperparameters(enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     directory = o2v_jax.save(o2v_jax.Model(config, o2v_jax.init(config)), folder + "/model")
    ...     model = o2v_jax.load(directory)
    >>> model.config == config, model.params["embed_0"]["weight"].shape
    (True, (50, 300))
    """
    path = require_path("path", path)
    require_local(path)
    require_integer("max_archive_bytes", max_archive_bytes, 0)
    try:
        if path.is_dir():
            return _read_directory(path, path)
        if path.is_file():
            with unpacked(path, max_archive_bytes) as folder:
                return _read_directory(folder, path)
    except OSError as error:
        raise CheckpointError(path, [f"cannot be read: {error.strerror or error}"]) from error
    left = "".join(
        f"; an interrupted save left the former model in {old}" for old in left_aside(path)
    )
    raise CheckpointError(path, [f"does not exist: {_CONTENTS}, or is a .tar.gz of one{left}"])


def _read_directory(directory: Path, source: Path) -> Model:
    if not any((directory / name).exists() for name in FILES):
        raise CheckpointError(source, [f"holds no model: {_CONTENTS}"])
    problems = Problems()
    settings = _read_config(directory, problems)
    arrays = _read_params(directory, settings, problems)
    vocabulary = _read_vocabulary(directory, settings, problems)
    metrics, provenance = (
        _read_extra(directory / name, problems) for name in (METRICS, PROVENANCE)
    )
    if problems or settings.config is None:
        raise CheckpointError(source, problems)
    return Model(
        config=settings.config,
        params=nest(arrays),
        vocabulary=vocabulary,
        metrics=metrics,
        provenance=provenance,
        length_histogram=settings.length_histogram,
    )


def _read_config(directory: Path, problems: Problems) -> ConfigFile:
    if not _is_there(directory / CONFIG, problems):
        return ConfigFile()
    with problems.gathered():
        return config_file.parse(read_json_object(directory / CONFIG), problems)
    return ConfigFile()


def _read_params(directory: Path, settings: ConfigFile, problems: Problems) -> Arrays:
    path = directory / PARAMS
    if not _is_there(path, problems):
        return {}
    if settings.params_sha256 not in (None, params_file.sha256(path)):
        problems.append(f"{PARAMS} is not the file that was written: its SHA-256 is another")
    shapes = None if settings.config is None else params_file.expected_shapes(settings.config)
    return params_file.read(path, shapes, problems)


def _read_vocabulary(
    directory: Path, settings: ConfigFile, problems: Problems
) -> Vocabulary | None:
    path = directory / VOCABULARY
    if not path.exists():
        problems.extend([f"{VOCABULARY} is missing"] if settings.has_tokenizer else [])
        return None
    if settings.has_tokenizer is False:
        problems.append(f"{CONFIG}: there is a {VOCABULARY}, but no tokenizer is named")
    with problems.gathered():
        vocabulary = Vocabulary.read(path, lowercase=bool(settings.lowercase))
        if settings.config is not None:
            config_file.check_vocabulary(vocabulary, settings.config)
        return vocabulary
    return None


def _read_extra(path: Path, problems: Problems) -> dict[str, Any]:
    with problems.gathered():
        return read_json_object(path) if path.exists() else {}
    return {}


def _is_there(path: Path, problems: Problems) -> bool:
    there = path.is_file()
    if not there:
        problems.append(f"{path.name} is missing")
    return there
