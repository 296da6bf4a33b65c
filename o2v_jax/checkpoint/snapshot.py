"""The files of a model directory, opened together: replacing them later changes nothing."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from o2v_jax.atomic import is_leftover
from o2v_jax.checkpoint.model import MODEL_FILES
from o2v_jax.errors import InputError
from o2v_jax.util import describe_os_error

# a FIFO would wait for a writer. Windows has no such files, and opens by path alone
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_RELATIVE = os.open in os.supports_dir_fd
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Snapshot:
    """An open directory.

    Attributes:
        path: its path when it was opened.
        descriptor: the directory itself, or None where the system opens by path alone.
        files: those of a model's files that are there, at their beginnings.
        refused: why a file that is there cannot be read, by name.
    """

    path: Path
    descriptor: int | None
    files: Mapping[str, BinaryIO]
    refused: Mapping[str, str]

    def read(self, name: str, limit: int) -> bytes:
        """The contents of a file of at most `limit` bytes.

        Raises:
            InputError: it is missing, cannot be read or is longer.
        """
        file = self.get_file(name)
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise InputError(f"{name} takes {size:,} bytes, but at most {limit:,} are read")
        try:
            return file.read(limit)
        except OSError as error:
            raise InputError(f"{name} cannot be read: {describe_os_error(error)}") from error

    def get_file(self, name: str) -> BinaryIO:
        """A file at its beginning.

        Raises:
            InputError: it is missing or cannot be read.
        """
        if name in self.refused:
            raise InputError(f"{name} {self.refused[name]}")
        if name not in self.files:
            raise InputError(f"{name} is missing")
        self.files[name].seek(0)
        return self.files[name]

    def is_longer(self, name: str, limit: int) -> bool:
        """Whether a file is there and takes more than `limit` bytes."""
        file = self.files.get(name)
        return file is not None and os.fstat(file.fileno()).st_size > limit

    def is_there(self, name: str) -> bool:
        """Whether there is something of this name, readable or not."""
        return name in self.files or name in self.refused

    def is_outdated(self) -> bool:
        """Whether the directory or a file in it has been replaced, or may be at any moment."""
        return self.is_replaced() or self._has_replacement()

    def is_replaced(self) -> bool:
        """Whether the directory or a file in it is no longer what was opened."""
        if self.descriptor is None:
            return False
        try:
            replaced = not os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except OSError:
            return True
        return replaced or any(map(self._is_replaced, MODEL_FILES))

    def _has_replacement(self) -> bool:
        """Whether replacements of these files are there, perhaps left by a killed process."""
        if self.descriptor is None:
            return False
        target = self.path.resolve()
        with os.scandir(self.descriptor) as entries:
            return any(is_leftover(entry.name, target) for entry in entries)

    def _is_replaced(self, name: str) -> bool:
        try:
            now = os.stat(name, dir_fd=self.descriptor)
        except OSError:
            return name in self.files
        if name not in self.files:
            return name not in self.refused
        return not os.path.samestat(now, os.fstat(self.files[name].fileno()))


@contextmanager
def open_snapshot(path: Path) -> Iterator[Snapshot]:
    """Opens a directory and a model's files in it; they are closed after the block.

    Raises:
        OSError: the directory cannot be opened.
    """
    with ExitStack() as stack:
        descriptor = None
        if _RELATIVE:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
        files: dict[str, BinaryIO] = {}
        refused: dict[str, str] = {}
        for name in MODEL_FILES:
            try:
                files[name] = stack.enter_context(_open(path, name, descriptor))
            except FileNotFoundError:
                continue
            except OSError as error:
                refused[name] = f"cannot be read: {describe_os_error(error)}"
            except InputError as error:
                refused[name] = str(error)
        yield Snapshot(path, descriptor, files, refused)


def _open(path: Path, name: str, directory: int | None) -> BinaryIO:
    where = path / name if directory is None else name
    descriptor = os.open(where, _FLAGS, dir_fd=directory)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise InputError(f"is {_KINDS.get(kind, 'something else')}, but it must be a file")
    return os.fdopen(descriptor, "rb")
