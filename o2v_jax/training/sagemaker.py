"""The directories of a SageMaker training container, `/opt/ml` or wherever the prefix says.

Source: the Amazon SageMaker developer guide, "How Amazon SageMaker provides training information".
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from o2v_jax.errors import InputError, Interrupted, O2VError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.job import CHANNELS, Job
from o2v_jax.training.reporting import HOST
from o2v_jax.vocabulary import read_json_object

FAILURE_SHOWN = 1024  # characters of the failure file that SageMaker shows

_log = logging.getLogger("o2v_jax")


def container_job(prefix: Path, **options: Any) -> Job:
    """The job that the files under `prefix` describe.

    Every file of a channel's directory is read, nested ones too, in the order of their names, but
    for those whose name begins with a dot. The channel auxiliary holds the files that
    hyperparameters name. State goes to `checkpoints`, tables and plots to `output/data`, and a job
    that is stopped leaves its best epoch so far as the model.

    Raises:
        O2VError: a file is missing or wrong, or the job asks for several hosts.
    """
    host = _only_host(prefix / "input" / "config" / "resourceconfig.json")
    settings = read_json_object(prefix / "input" / "config" / "hyperparameters.json")
    train, validation, test = (_files(prefix / "input" / "data" / name) for name in CHANNELS)
    if not train:
        raise InputError(f"{prefix}/input/data/train: the channel train is missing or empty")
    return Job(
        config=Hyperparameters.from_strings(settings),
        train=train,
        validation=validation,
        test=test,
        output=prefix / "model",
        checkpoints=prefix / "checkpoints" / "state",
        report=prefix / "output" / "data",
        auxiliary=prefix / "input" / "data" / "auxiliary",
        keep_interrupted=True,
        host=host,
        **options,
    )


@contextmanager
def failure_reported(prefix: Path) -> Iterator[None]:
    """Writes the reason to `output/failure` if the block fails, and lets the error go on.

    A reason that an earlier run left there is removed first.

    Raises:
        InputError: the prefix is no directory; nothing is made there.
    """
    if not prefix.is_dir():
        raise InputError(f"--prefix {prefix}: must be a directory that holds SageMaker's layout")
    failure = prefix / "output" / "failure"
    with _harmless(failure):
        failure.unlink(missing_ok=True)
    try:
        yield
    except Interrupted:  # SageMaker asked for it
        raise
    except (O2VError, OSError) as error:
        _write_failure(failure, str(error))
        raise
    except Exception as error:
        _write_failure(failure, f"internal error: {type(error).__name__}: {error}")
        raise


@contextmanager
def _harmless(file: Path) -> Iterator[None]:
    """A failure file that cannot be written or removed must not hide how the job went."""
    try:
        yield
    except OSError as error:
        _log.warning("%s: cannot be written (%s)", file, error.strerror)


def _write_failure(file: Path, reason: str) -> None:
    with _harmless(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        # a file's name may hold bytes that are no text, and a container may have no UTF-8 locale
        file.write_text(reason[:FAILURE_SHOWN], encoding="utf-8", errors="backslashreplace")


def _files(directory: Path) -> tuple[Path, ...]:
    """The files below a directory; an editor's or a file system's hidden ones are not data."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    shown = (path for path in paths if not _is_hidden(path.relative_to(directory)))
    return tuple(sorted(shown))


def _is_hidden(path: Path) -> bool:
    """Whether the file or a folder it is in has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def _only_host(file: Path) -> str:
    """The name of this host, which metric lines carry."""
    if not file.exists():
        return HOST
    resources = read_json_object(file)
    hosts, host = resources.get("hosts", [HOST]), resources.get("current_host", HOST)
    if not (isinstance(hosts, list) and isinstance(host, str)):
        raise InputError(f"{file}: hosts must be a list of names, current_host one of them")
    if len(hosts) > 1:
        names = ", ".join(map(str, hosts))
        raise InputError(f"{file}: training on several hosts ({names}) is not supported: use one")
    return host
