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
from o2v_jax.training.hosts import Hosts
from o2v_jax.training.job import CHANNELS, Job
from o2v_jax.training.reporting import HOST
from o2v_jax.util import require_local
from o2v_jax.vocabulary import read_json_object

PORT = 8476  # where the first host listens for the others
FAILURE_SHOWN = 1024  # characters of the failure file that SageMaker shows

_log = logging.getLogger("o2v_jax")


def container_job(prefix: Path, **options: Any) -> Job:
    """The job that the files under `prefix` describe.

    Every file of a channel's directory is read, nested ones too, in the order of their names, but
    for those whose name begins with a dot. The channel auxiliary holds the files that
    hyperparameters name. State goes to `checkpoints`, tables and plots to `output/data`, and a job
    that is stopped leaves its best epoch so far as the model.

    Raises:
        O2VError: a file is missing or wrong, or the hosts do not all get the same data.
    """
    require_local(prefix)
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
        hosts=container_hosts(prefix),
        failed=lambda reason: write_failure(prefix, reason),
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
        write_failure(prefix, str(error))
        raise
    except Exception as error:
        write_failure(prefix, f"internal error: {type(error).__name__}: {error}")
        raise


@contextmanager
def _harmless(file: Path) -> Iterator[None]:
    """A failure file that cannot be written or removed must not hide how the job went."""
    try:
        yield
    except OSError as error:
        _log.warning("%s: cannot be written (%s)", file, error.strerror)


def write_failure(prefix: Path, reason: str) -> None:
    """Writes a reason to `output/failure`, if that can be written."""
    file = prefix / "output" / "failure"
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


def container_hosts(prefix: Path) -> Hosts:
    """The hosts of the job, by name; the first of them coordinates.

    Raises:
        InputError: the list of hosts is wrong, or they do not all get the whole of a channel.
    """
    file = prefix / "input" / "config" / "resourceconfig.json"
    resources = read_json_object(file) if file.exists() else {}
    names, host = resources.get("hosts", [HOST]), resources.get("current_host", HOST)
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InputError(f"{file}: hosts must be a list of names")
    if len(names) < 2:  # noqa: PLR2004
        return Hosts((str(host),))
    if host not in names:
        raise InputError(f"{file}: current_host {host!r} is not one of the hosts")
    _require_replicated(prefix / "input" / "config" / "inputdataconfig.json")
    ordered = tuple(sorted(names))
    return Hosts(ordered, ordered.index(host), f"{ordered[0]}:{PORT}")


def _require_replicated(file: Path) -> None:
    channels = read_json_object(file) if file.exists() else {}
    for name, channel in channels.items():
        kind = channel.get("S3DistributionType") if isinstance(channel, dict) else None
        if kind == "ShardedByS3Key":
            raise InputError(
                f"{file}: channel {name} has the distribution ShardedByS3Key, but every host needs "
                "all of it to make the same batches: use FullyReplicated"
            )
