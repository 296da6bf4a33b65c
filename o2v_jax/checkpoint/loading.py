"""Reading a model: one error reports everything that is wrong with it."""

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from o2v_jax.arguments import require_integer, require_path, show
from o2v_jax.atomic import find_aside, is_in_use, is_unfinished
from o2v_jax.checkpoint import config_file, params_file
from o2v_jax.checkpoint.config_file import (
    MAX_JSON_BYTES,
    ConfigFile,
    ConfigProblems,
    max_vocabulary_bytes,
)
from o2v_jax.checkpoint.model import (
    CARD,
    CONFIG,
    METRICS,
    MODEL_FILES,
    PARAMS,
    PROVENANCE,
    Model,
    nest,
)
from o2v_jax.checkpoint.params_file import Contents, Digests
from o2v_jax.checkpoint.snapshot import Snapshot, open_snapshot
from o2v_jax.checkpoint.tokenizer_files import VOCABULARY_FILES, read_tokenizers
from o2v_jax.checkpoint.unpacking import MAX_ARCHIVE_BYTES, unpack_archive
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.data.vocabulary import parse_json_object
from o2v_jax.errors import CheckpointError, InputError
from o2v_jax.util import describe_os_error, hash_bytes

_CONTENTS = f"a model directory contains {CONFIG} and {PARAMS}, if known also " + ", ".join(
    MODEL_FILES[2:]
)

# at reading a model that is being replaced, and how many seconds more to wait after each
_ATTEMPTS = 8
_PAUSE = 0.02


def load(path: str | Path, *, max_archive_bytes: int = MAX_ARCHIVE_BYTES) -> Model:
    """Reads one whole model, even while another replaces it.

    Args:
        path: a model directory, or a tar archive (gzip-compressed or not) of one. The model may
            also be in a folder within, if it is the only one there.
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
    require_integer("max_archive_bytes", max_archive_bytes, 0)
    try:
        if path.is_file():
            with unpack_archive(path, max_archive_bytes) as folder, ExitStack() as stack:
                return read_directory(folder, stack, path)[0]
        with ExitStack() as stack:
            return read_directory(path, stack)[0]
    except OSError as error:
        raise CheckpointError(path, [f"cannot be read: {describe_os_error(error)}"]) from error


def read_directory(
    path: Path, stack: ExitStack, source: Path | None = None
) -> tuple[Model, Snapshot]:
    """Reads one model from a directory, even while others replace it.

    Args:
        path: a directory that is a model or has one folder that is.
        stack: keeps the files open that were read.
        source: what errors name; None: the directory.

    Raises:
        CheckpointError: see `load`.
        OSError: the directory cannot be read.
    """
    source = source or path
    for count in range(_ATTEMPTS):
        with ExitStack() as attempt:
            snapshot = None
            try:
                snapshot = attempt.enter_context(open_snapshot(find_model(path, source)))
                model = _read(snapshot, source)
            except (CheckpointError, FileNotFoundError):
                if count + 1 == _ATTEMPTS or not _may_be_replaced(path, snapshot, count):
                    raise
            else:
                stack.push(attempt.pop_all())
                return model, snapshot
        time.sleep(_PAUSE * count)
    raise AssertionError("the last attempt returns or raises")


def _may_be_replaced(path: Path, snapshot: Snapshot | None, count: int) -> bool:
    """Whether a directory that could not be read may be whole at the next attempt."""
    if snapshot is not None:
        return snapshot.is_outdated()
    return count == 0 or any(map(is_in_use, find_aside(path)))


def find_model(path: Path, source: Path | None = None) -> Path:
    """The directory that holds the model: the given one, or the only one in it that does.

    Args:
        path: where it is looked for.
        source: what errors name; None: the path.

    Raises:
        CheckpointError: there is none, or there are several.
        OSError: the directory cannot be read.
    """
    source = source or path
    if not path.is_dir():
        raise CheckpointError(source, [_explain_missing(path)])
    if _holds_model(path):
        return path
    entries = sorted(entry for entry in path.iterdir() if not is_unfinished(entry.name))
    folders = [entry for entry in entries if entry.is_dir() and _holds_model(entry)]
    if not folders:
        raise CheckpointError(
            source,
            [
                f"holds no {CONFIG} and {PARAMS}, neither at its top level nor within one folder: "
                + _CONTENTS
            ],
        )
    if len(folders) > 1:
        names = ", ".join(show(folder.name) for folder in folders[:5])
        raise CheckpointError(source, [f"must hold one model, but it holds several: {names}"])
    return folders[0]


def _holds_model(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (CONFIG, PARAMS))


def _explain_missing(path: Path) -> str:
    if os.path.lexists(path):
        return "is neither a directory nor a file" if path.exists() else "is a link to nothing"
    left = "".join(
        f"; an interrupted save left the former model in {old}" for old in find_aside(path)
    )
    return f"does not exist: {_CONTENTS}, or is a .tar.gz of one{left}"


def _read(snapshot: Snapshot, source: Path) -> Model:
    """Reads a model of files that were opened together."""
    problems = ConfigProblems()
    settings = _read_config(snapshot, problems)
    contents = _read_params(snapshot, settings, problems)
    tokenizers = _read_tokenizers(snapshot, settings, contents.digests, problems)
    metrics, provenance = (
        _read_extra(snapshot, name, contents.digests, problems) for name in (METRICS, PROVENANCE)
    )
    card = _read_card(snapshot, problems)
    if contents.digests is None and not problems and snapshot.is_replaced():
        problems.append("was replaced while it was read")  # so its files may be of two models
    if problems or settings.config is None:
        raise CheckpointError(source, problems)
    return Model(
        config=settings.config,
        params=nest(contents.arrays),
        tokenizers=tokenizers,
        metrics=metrics,
        provenance=provenance,
        length_histogram=settings.length_histogram,
        class_names=settings.class_names,
        card=card,
    )


def _read_config(snapshot: Snapshot, problems: ConfigProblems) -> ConfigFile:
    with problems.gathered():
        data = snapshot.read(CONFIG, MAX_JSON_BYTES)
        return config_file.parse(parse_json_object(data, CONFIG), problems)
    return ConfigFile()


def _read_params(snapshot: Snapshot, settings: ConfigFile, problems: ConfigProblems) -> Contents:
    with problems.gathered():
        file = snapshot.get_file(PARAMS)
        config = settings.config
        shapes = None if config is None else params_file.find_expected_shapes(config)
        return params_file.read(file, shapes, settings.params_sha256, problems)
    return Contents({})


def _read_tokenizers(
    snapshot: Snapshot, settings: ConfigFile, digests: Digests | None, problems: ConfigProblems
) -> Tokenizers | None:
    """Reads the vocabularies; each that exists or has a digest must be named by an input."""
    named = {side.vocabulary for side in settings.inputs or ()}
    if settings.has_inputs is False or settings.inputs is not None:
        there = [name for name in VOCABULARY_FILES if snapshot.is_there(name)]
        problems += [
            f"{CONFIG}: there is a {name}, but no input names it"
            for name in there
            if name not in named
        ]
        problems += [
            f"{name} is missing"
            for name in VOCABULARY_FILES
            if name in (digests or ()) and name not in named and name not in there
        ]
    if settings.inputs is None:
        return None
    if settings.config is None and any(
        snapshot.is_longer(name, max_vocabulary_bytes(None)) for name in named if name
    ):
        return None  # the limit depends on hyperparameters that are wrong already

    contents: dict[str, bytes] = {}

    def read(name: str) -> bytes:
        contents[name] = snapshot.read(name, max_vocabulary_bytes(settings.config))
        return contents[name]

    with problems.gathered():
        tokenizers = read_tokenizers(settings.inputs, read)
        if settings.config is not None:
            files = [side.vocabulary or "" for side in settings.inputs]
            config_file.check_tokenizers(tokenizers, settings.config, files)
        for name, data in contents.items():  # last: what is wrong in it says more
            _check_digest(name, data, digests)
        return tokenizers
    return None


def _read_extra(
    snapshot: Snapshot, name: str, digests: Digests | None, problems: ConfigProblems
) -> dict[str, Any]:
    if digests is None and not snapshot.is_there(name):
        return {}
    with problems.gathered():
        data = snapshot.read(name, MAX_JSON_BYTES)
        value = parse_json_object(data, name)
        _check_digest(name, data, digests)
        return value
    return {}


def _read_card(snapshot: Snapshot, problems: ConfigProblems) -> str:
    """The model card. It has no digest, because people add to it."""
    if not snapshot.is_there(CARD):
        return ""
    with problems.gathered():
        data = snapshot.read(CARD, MAX_JSON_BYTES)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{CARD} is not UTF-8 text (byte {error.start})") from error
    return ""


def _check_digest(name: str, data: bytes, digests: Digests | None) -> None:
    if digests is not None and digests.get(name) != hash_bytes(data):
        raise InputError(f"{name} is not the file that was written: its SHA-256 differs")
