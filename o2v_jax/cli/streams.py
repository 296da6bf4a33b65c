"""Standard streams that may be closed, full, or have lost their reader.

None of that is the fault of a command: its exit status says how its work went. Python buffers
output, so that a reader's leaving may only show when the process ends.
"""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import click

from o2v_jax.errors import InputError
from o2v_jax.util import discard_output


def open_closed_streams() -> None:
    """Opens standard streams that were closed (`>&-`), for no file to get their numbers.

    What is written to them is lost. `sys.stdin` stays None, because there is nothing to read.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
    sys.stdout, sys.stderr = (stream or _open_null_device() for stream in (sys.stdout, sys.stderr))


def _open_null_device() -> TextIO:
    return Path(os.devnull).open("w")


def say(message: str) -> None:
    """Writes a line on standard error, if that can be written."""
    with suppress(OSError):
        click.echo(message, err=True)


@contextmanager
def write_output() -> Iterator[None]:
    """Names standard output where it cannot be written: the error alone does not.

    Raises:
        InputError: it cannot be, for instance because a disk is full.
        ConnectionError: its reader left.
    """
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        raise InputError(_describe_write_error(error)) from error


def _describe_write_error(error: OSError) -> str:
    return f"standard output cannot be written: {error.strerror}"


def has_lost_reader() -> bool:
    """Whether whoever read standard output has gone."""
    poll = select.poll()
    with suppress(OSError, ValueError):  # it may be no file, in tests
        poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def flush_output() -> str:
    """Writes what Python still holds; returns what hinders that, nothing if only the reader left.

    Whatever cannot be written is dropped: the interpreter would end with a status of its own.
    """
    write_error = ""
    try:
        sys.stdout.flush()
    except OSError as error:
        if not has_lost_reader():
            write_error = _describe_write_error(error)
        discard_output(sys.stdout)
    _flush_errors(sys.stderr)
    return write_error


def _flush_errors(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        discard_output(stream)
