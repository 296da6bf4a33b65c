"""The command `o2v`: errors as one line and exit status 2, results on standard output."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from o2v_jax import __version__
from o2v_jax.cli.evaluate import evaluate
from o2v_jax.cli.index import index
from o2v_jax.cli.inspect import inspect
from o2v_jax.cli.prepare import prepare
from o2v_jax.cli.score import embed, score
from o2v_jax.cli.search import search
from o2v_jax.cli.serve import serve
from o2v_jax.cli.streams import flush_output, has_lost_reader, open_closed_streams, say
from o2v_jax.cli.train import train
from o2v_jax.cli.transform import transform
from o2v_jax.cli.tune import tune
from o2v_jax.cli.warm import warm
from o2v_jax.errors import Interrupted, O2VError
from o2v_jax.extras import require_extra
from o2v_jax.memory import keep_freed_memory

# the extra that a command needs, where the core is not enough
_EXTRA_OF = {
    "evaluate": "train",
    "index": "data",
    "prepare": "data",
    "search": "data",
    "serve": "serve",
    "train": "train",
    "transform": "transform",
    "tune": "tune",
}


class _Escaped(Exception):  # noqa: N818 - the error is within
    """Brings an OSError past click, which ends the process where a pipe is broken."""

    def __init__(self, error: OSError) -> None:
        self.error = error
        super().__init__(error)


class _Commands(click.Group):
    """All commands, whose errors of files and streams reach `main`."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Reads the arguments; --help is written here."""
        with _wrap_os_errors():
            return super().make_context(*args, **kwargs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds a command; refuses it where its extra is missing, but for its --help."""
        name, command, rest = super().resolve_command(ctx, args)
        asks_for_help = not set(ctx.help_option_names).isdisjoint(rest)
        if name in _EXTRA_OF and not (ctx.resilient_parsing or asks_for_help):
            require_extra(_EXTRA_OF[name], f"o2v {name}")
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        with _wrap_os_errors():
            return super().invoke(ctx)


@contextmanager
def _wrap_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _Escaped(error) from error


# Any option can be given by the environment, as the Dockerfile does: O2V_SERVE_HOST=0.0.0.0.
@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "O2V"},
)
@click.version_option(__version__, prog_name="o2v")
def cli() -> None:
    """Object2Vec in JAX: prepare data, train, tune, score, search, transform, serve."""


for command in (
    serve,
    warm,
    prepare,
    train,
    tune,
    score,
    embed,
    transform,
    evaluate,
    index,
    search,
    inspect,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Runs the command line and exits: 0 done, 2 the caller's mistake, 130 or 143 interrupted."""
    open_closed_streams()
    _log_to_stderr()
    keep_freed_memory()
    # The tokenizers library would start threads for many texts, and complain after a fork. Other
    # threads have the cores: those that score, or that serve other requests.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    status = _run()
    write_error = flush_output()
    sys.exit(status or (_complain(write_error) if write_error else 0))


def _run() -> int:
    """Runs a command; the exit status that its work deserves."""
    try:
        return cli.main(prog_name="o2v", standalone_mode=False) or 0
    except SystemExit as stop:  # the server ends so
        return stop.code if isinstance(stop.code, int) else 1
    except (KeyboardInterrupt, click.Abort):
        return 130
    except Interrupted as stop:
        _complain(str(stop))
        return stop.status
    except (O2VError, _Escaped, MemoryError, click.ClickException) as error:
        return _report_error(error)
    except ValueError as error:
        if not _is_setting(error):
            raise
        return _complain(str(error))


def _report_error(error: Exception) -> int:
    """Says what the caller did wrong."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        with suppress(OSError):
            error.show()
        return error.exit_code
    if isinstance(error, _Escaped):
        return _report_os_error(error.error)
    if isinstance(error, MemoryError):
        return _complain("out of memory: try smaller batches, sequences or a smaller model")
    if isinstance(error, click.ClickException):
        return _complain(error.format_message())
    return _complain(str(error))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("o2v: %(message)s"))
    logger = logging.getLogger("o2v_jax")
    logger.handlers = [handler]
    logger.propagate = False  # absl, which Orbax imports, gives the root a handler that repeats it
    logger.setLevel(logging.INFO)


def _is_setting(error: ValueError) -> bool:
    """Whether JAX, as it is imported, refuses the value of a variable of its own."""
    return any(part in str(error) for part in ("for JAX flag", "for environment 'JAX"))


def _complain(message: str) -> int:
    say("o2v: " + "; ".join(message.splitlines()))
    return 2


def _report_os_error(error: OSError) -> int:
    """The status after a file or a stream failed: a reader that has enough is not a failure."""
    if isinstance(error, ConnectionError) and has_lost_reader():
        return 0
    reason = (
        f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
    )
    return _complain(flush_output() or reason)
