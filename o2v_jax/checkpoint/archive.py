"""Packing a model directory into a model.tar.gz, the same bytes each time."""

import gzip
import os
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from o2v_jax.arguments import require_path
from o2v_jax.atomic import replace_file
from o2v_jax.checkpoint.loading import read_directory
from o2v_jax.checkpoint.snapshot import Snapshot
from o2v_jax.errors import CheckpointError
from o2v_jax.util import describe_os_error

_LEVEL = 6  # parameters hardly compress: the highest levels take longer for nothing


def pack(directory: str | Path, archive: str | Path) -> Path:
    """Packs the files of a model at the top level of a .tar.gz, as SageMaker keeps models.

    Names are sorted, and times, owners and permissions are not those of the files, so that equal
    models give equal archives. One whole model is packed, even while another replaces it.

    Returns:
        The archive.

    Raises:
        InputError: an argument is of another type, or a URL.
        CheckpointError: the directory holds no model that can be loaded, or the archive cannot be
            written.
    """
    directory = require_path("directory", directory)
    archive = require_path("archive", archive)
    if directory.is_file():
        raise CheckpointError(directory, ["is a file, but a model directory is packed"])
    with ExitStack() as stack:
        try:
            _, model = read_directory(directory, stack)
        except OSError as error:
            reason = f"cannot be read: {describe_os_error(error)}"
            raise CheckpointError(directory, [reason]) from error
        try:
            with replace_file(archive) as unfinished:
                _write_archive(model, unfinished)
        except OSError as error:
            reason = f"cannot be written: {describe_os_error(error)}"
            raise CheckpointError(archive, [reason]) from error
    return archive


def _write_archive(model: Snapshot, archive: Path) -> None:
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name in sorted(model.files):
            _add_file(tar, name, model.get_file(name))


def _add_file(tar: tarfile.TarFile, name: str, file: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size = os.fstat(file.fileno()).st_size
    member.mode = 0o644
    tar.addfile(member, file)
