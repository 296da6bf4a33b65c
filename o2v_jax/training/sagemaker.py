"""The directories of a SageMaker training container, `/opt/ml` or wherever the prefix says.

Source: the Amazon SageMaker developer guide, "How Amazon SageMaker provides training information".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from o2v_jax.errors import InputError, O2VError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.training.job import CHANNELS, Job
from o2v_jax.training.reporting import HOST
from o2v_jax.vocabulary import read_json_object

FAILURE_SHOWN = 1024  # characters of the failure file that SageMaker shows


def container_job(prefix: Path, **options: Any) -> Job:
    """The job that the files under `prefix` describe.

    Every file of a channel's directory is read, nested ones too, in the order of their names, but
    for those whose name begins with a dot.

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
        host=host,
        **options,
    )


@contextmanager
def failure_reported(prefix: Path) -> Iterator[None]:
    """Writes the reason to `output/failure` if the block fails, and lets the error go on."""
    try:
        yield
    except O2VError as error:
        _write_failure(prefix, str(error))
        raise
    except Exception as error:
        _write_failure(prefix, f"internal error: {type(error).__name__}: {error}")
        raise


def _write_failure(prefix: Path, reason: str) -> None:
    file = prefix / "output" / "failure"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(reason[:FAILURE_SHOWN])


def _files(directory: Path) -> tuple[Path, ...]:
    """The files below a directory; an editor's or a file system's hidden ones are not data."""
    paths = sorted(directory.rglob("[!.]*"))
    return tuple(path for path in paths if path.is_file())


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
