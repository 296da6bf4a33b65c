"""Packing a model directory into a model.tar.gz, the same bytes each time."""

import gzip
import os
import tarfile
from pathlib import Path
from uuid import uuid4

from o2v_jax.arguments import require_path
from o2v_jax.checkpoint.model import FILES
from o2v_jax.checkpoint.read import load
from o2v_jax.errors import CheckpointError
from o2v_jax.util import require_local

_LEVEL = 6  # parameters hardly compress: the highest levels take longer for nothing


def pack(directory: str | Path, archive: str | Path) -> Path:
    """Packs the files of a model at the top level of a .tar.gz, as SageMaker keeps models.

    Names are sorted, and times, owners and permissions are not those of the files, so that equal
    models give equal archives.

    Returns:
        The archive.

    Raises:
        InputError: an argument is of another type, or a URL.
        CheckpointError: the directory holds no model that can be loaded, or the archive cannot be
            written.
    """
    directory, archive = require_path("directory", directory), require_path("archive", archive)
    require_local(archive)
    load(directory)
    unfinished = archive.with_name(f".{archive.name}.{uuid4().hex[:12]}.tmp")
    try:
        try:
            _write(directory, unfinished)
            unfinished.replace(archive)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(archive, [f"cannot be written: {error.strerror or error}"]) from error
    return archive


def _write(directory: Path, archive: Path) -> None:
    with archive.open("wb") as file:
        with (
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for path in sorted(directory / name for name in FILES):
                if path.exists():
                    _add(tar, path)
        file.flush()
        os.fsync(file.fileno())


def _add(tar: tarfile.TarFile, path: Path) -> None:
    member = tarfile.TarInfo(path.name)
    member.size, member.mode = path.stat().st_size, 0o644
    with path.open("rb") as file:
        tar.addfile(member, file)
