"""The files of a saved state: which of them are whole, and whose they are.

A program that copies checkpoints to storage and back may leave a state of which only some files
came over, or parts of files. Orbax reads some of these without an error, as other numbers. So a
state lists its files by size and SHA-256, and is read only if all of them are as listed.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import msgspec

from o2v_jax.atomic import replace_file
from o2v_jax.errors import InputError
from o2v_jax.staging import try_lock
from o2v_jax.util import hash_file

STATE_PREFIX = "state"
LISTING = "files.json"  # within a state
_DISCARDED = ".discarded_"
_WHOLE_NAME = re.compile(rf"{STATE_PREFIX}_([0-9]{{1,15}})")
# what a kill leaves of a state that was being written, or being removed
_REMNANT = re.compile(
    rf"{STATE_PREFIX}_[0-9]+\.orbax-checkpoint-tmp.*|{re.escape(_DISCARDED)}{STATE_PREFIX}_.*"
)


class _File(msgspec.Struct, frozen=True):
    """A file as it was written: its size in bytes and its digest."""

    size: int
    sha256: str


class DamagedStateError(Exception):
    """A state is not as it was written; the text says which file of it."""


def is_state(path: Path) -> bool:
    """Whether the name is one that states, or what is left of them, have."""
    return bool(_WHOLE_NAME.fullmatch(path.name) or _REMNANT.fullmatch(path.name))


def list_numbers(directory: Path) -> list[int]:
    """The numbers of the states in a directory, the newest first; folders without files are none.

    A synchronizing program may leave the folders of a state that it has removed.
    """
    found = (_WHOLE_NAME.fullmatch(path.name) for path in directory.iterdir() if _has_files(path))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def choose_next_number(directory: Path) -> int:
    """A number above that of anything in the directory."""
    found = (_WHOLE_NAME.fullmatch(path.name) for path in directory.iterdir())
    return 1 + max((int(match[1]) for match in found if match), default=0)


def write_listing(state: Path) -> None:
    """Lists the files of a state in it.

    Raises:
        OSError: a file cannot be read, or the list not be written.
    """
    files = sorted(path for path in state.rglob("*") if path.is_file())
    listed = {
        str(path.relative_to(state)): _File(path.stat().st_size, hash_file(path)) for path in files
    }
    with replace_file(state / LISTING) as path:
        path.write_bytes(msgspec.json.encode(listed))


def check_listing(state: Path) -> bool:
    """Checks the files of a state against its list; returns whether it has one.

    Raises:
        DamagedStateError: a file is missing or not as it was written. Files that are not listed do
            not matter.
    """
    listing = state / LISTING
    if not listing.exists():
        return False
    files = _read(listing)
    for name, file in files.items():  # the quick look first
        path = state / name
        if not path.is_file():
            raise DamagedStateError(f"{name} is missing")
        if path.stat().st_size != file.size:
            raise DamagedStateError(f"{name} has {path.stat().st_size} bytes of {file.size}")
    for name, file in files.items():
        if hash_file(state / name) != file.sha256:
            raise DamagedStateError(f"{name} is not as it was written")
    return True


def remove_states(directory: Path, keep: tuple[int, ...] = ()) -> None:
    """Removes all states but those to keep: renamed first, for a kill not to leave half of one."""
    kept = {f"{STATE_PREFIX}_{number}" for number in keep}
    for path in directory.glob("*"):
        if _WHOLE_NAME.fullmatch(path.name) and path.name not in kept:
            discard_state(path)
    remove_remnants(directory)


def discard_state(state: Path) -> None:
    """Gives a state a name by which the next `remove_remnants` removes it."""
    # one of this number may be left, where it could not be removed
    state.rename(state.with_name(f"{_DISCARDED}{state.name}.{uuid4().hex[:12]}"))


def remove_remnants(directory: Path) -> None:
    """Removes what a kill or a full disk left of states."""
    for path in directory.glob("*"):
        if not _REMNANT.fullmatch(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Within the block the directory, which is made if need be, is this process's alone.

    Raises:
        InputError: another run uses it.
        OSError: it cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if try_lock(descriptor) is False:
            raise InputError(f"{directory}: another o2v train is running there")
        yield
    finally:
        os.close(descriptor)


def _has_files(path: Path) -> bool:
    return path.is_dir() and any(inside.is_file() for inside in path.rglob("*"))


def _read(listing: Path) -> dict[str, _File]:
    try:
        return msgspec.json.decode(listing.read_bytes(), type=dict[str, _File])
    except msgspec.MsgspecError as error:
        raise DamagedStateError(f"{LISTING} is not as it was written") from error
