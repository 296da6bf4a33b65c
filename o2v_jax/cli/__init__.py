"""The command `o2v`: errors as one line and exit status 2, results on standard output."""

import logging
import os
import sys
from typing import NoReturn

import click

from o2v_jax import __version__
from o2v_jax.cli.evaluate import evaluate
from o2v_jax.cli.inspect import inspect
from o2v_jax.cli.prepare import prepare
from o2v_jax.cli.score import embed, score
from o2v_jax.cli.serve import serve
from o2v_jax.cli.train import train
from o2v_jax.cli.transform import transform
from o2v_jax.cli.tune import tune
from o2v_jax.cli.warm import warm
from o2v_jax.errors import Interrupted, O2VError
from o2v_jax.memory import keep_freed_memory


# Any option can be given by the environment, as the Dockerfile does: O2V_SERVE_HOST=0.0.0.0.
@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "O2V"})
@click.version_option(__version__, prog_name="o2v")
def cli() -> None:
    """Object2Vec in JAX: prepare data, train, tune, score, embed, transform, serve."""


for command in (serve, warm, prepare, train, tune, score, embed, transform, evaluate, inspect):
    cli.add_command(command)


def main() -> NoReturn:
    """Runs the command line and exits: 0 done, 2 the caller's mistake, 130 or 143 interrupted."""
    _log_to_stderr()
    keep_freed_memory()
    try:
        status = cli.main(prog_name="o2v", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except click.ClickException as error:
        status = _complain(error.format_message())
    except (O2VError, ValueError) as error:
        status = _complain(_mistake(error))
    except BrokenPipeError:
        status = _hang_up()
    except OSError as error:
        status = _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except MemoryError:
        status = _complain("out of memory: try smaller batches, sequences or a smaller model")
    except Interrupted as stop:
        _complain(str(stop))
        status = stop.status
    except (KeyboardInterrupt, click.Abort):
        status = 130
    sys.exit(status)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("o2v: %(message)s"))
    logger = logging.getLogger("o2v_jax")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def _mistake(error: Exception) -> str:
    """The text of an error that the caller can mend; any other is raised again."""
    # JAX refuses a variable of its own as it is imported
    is_setting = any(part in str(error) for part in ("for JAX flag", "for environment 'JAX"))
    if not isinstance(error, O2VError) and not is_setting:
        raise error
    return str(error)


def _complain(message: str) -> int:
    click.echo("o2v: " + "; ".join(message.splitlines()), err=True)
    return 2


def _hang_up() -> int:
    """Whoever read our output has gone; what Python still wants to flush goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
