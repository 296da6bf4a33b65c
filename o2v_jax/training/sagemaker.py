"""The directories of a SageMaker training container, `/opt/ml` or wherever the prefix says.

Source: the Amazon SageMaker developer guide, "How Amazon SageMaker provides training information".
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from o2v_jax.arguments import show
from o2v_jax.errors import InputError, Interrupted, O2VError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.hyperparameters.text import find_closest
from o2v_jax.training.channels import AUXILIARY, describe_channels, read_channels, read_settings
from o2v_jax.training.job import Job
from o2v_jax.training.loop.hosts import Hosts
from o2v_jax.training.report.folder import warn_if_unwritable
from o2v_jax.training.report.metric_lines import HOST
from o2v_jax.util import require_local

PORT = 8476  # where the first host listens for the others
FAILURE_SHOWN = 1024  # characters of the failure file that SageMaker shows
_ML = Path("/opt/ml")  # which `prefix` stands for
_CONFIG_FILES = (
    "hyperparameters.json",
    "inputdataconfig.json",
    "resourceconfig.json",
    "checkpointconfig.json",
)

_log = logging.getLogger("o2v_jax")


def make_container_job(prefix: Path, **options: Any) -> Job:
    """The job that the files under `prefix` describe.

    Every file of a channel's directory is read, nested ones too, in the order of their names, but
    for those whose name begins with a dot. The channel auxiliary holds the files that
    hyperparameters name. State goes where checkpointconfig.json says, else to `checkpoints`; tables
    and plots go to `output/data`. A job that is stopped leaves its best epoch so far as the model.

    Raises:
        O2VError: a file is missing or wrong, or the hosts do not all get the same data.
    """
    require_local(prefix)
    _check_names(prefix / "input" / "config")
    settings = read_settings(prefix / "input" / "config" / "hyperparameters.json")
    files = read_channels(prefix)
    return Job(
        config=Hyperparameters.from_strings(settings),
        train=files["train"],
        validation=files["validation"],
        test=files["test"],
        output=prefix / "model",
        checkpoints=_find_state_directory(prefix),
        synced_checkpoints=True,
        report=prefix / "output" / "data",
        auxiliary=prefix / "input" / "data" / AUXILIARY,
        keep_interrupted=True,
        hosts=read_container_hosts(prefix),
        failed=lambda reason: write_failure(prefix, reason),
        **options,
    )


@contextmanager
def report_failure(prefix: Path) -> Iterator[None]:
    """Writes the reason to `output/failure` if the block fails, and lets the error go on.

    A reason that an earlier run left there is removed first.

    Raises:
        InputError: the prefix is no directory; nothing is made there.
    """
    if not prefix.is_dir():
        raise InputError(f"--prefix {prefix}: must be a directory that holds SageMaker's layout")
    failure = prefix / "output" / "failure"
    with warn_if_unwritable(failure):
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


def write_failure(prefix: Path, reason: str) -> None:
    """Writes a reason to `output/failure`, if that can be written."""
    file = prefix / "output" / "failure"
    with warn_if_unwritable(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        # a file's name may hold bytes that are no text, and a container may have no UTF-8 locale
        file.write_text(reason[:FAILURE_SHOWN], encoding="utf-8", errors="backslashreplace")


def _check_names(folder: Path) -> None:
    """Refuses a file whose name is a misspelling of a missing one: it would be ignored."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [name for name in _CONFIG_FILES if name not in names]
    for name in sorted(names.difference(_CONFIG_FILES)):
        is_json = name.endswith(".json")
        near = find_closest(name, missing, cutoff=0.92) if missing and is_json else None
        if near:
            raise InputError(f"{folder / name}: is not read; did you mean {near}?")


def _find_state_directory(prefix: Path) -> Path:
    """The directory of the state, from checkpointconfig.json; /opt/ml there stands for `prefix`."""
    file = prefix / "input" / "config" / "checkpointconfig.json"
    settings = read_settings(file) if file.exists() else {}
    place = settings.get("LocalPath") or "/opt/ml/checkpoints"
    if not isinstance(place, str) or not Path(place).is_absolute():
        raise InputError(f"{file}: LocalPath must be an absolute path, but it is {show(place)}")
    path = Path(place)
    return (prefix / path.relative_to(_ML) if path.is_relative_to(_ML) else path) / "state"


def read_container_hosts(prefix: Path) -> Hosts:
    """The hosts of the job, by name; the first of them coordinates.

    Raises:
        InputError: the list of hosts is wrong, or they do not all get the whole of a channel.
    """
    file = prefix / "input" / "config" / "resourceconfig.json"
    resources = read_settings(file) if file.exists() else {}
    names = resources.get("hosts", [HOST])
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InputError(f"{file}: hosts must be a list of names")
    host = resources.get("current_host", None if len(names) > 1 else HOST)
    if not isinstance(host, str) or not host:
        raise InputError(f"{file}: current_host must be the name of this host, not {show(host)}")
    if len(names) < 2:  # noqa: PLR2004
        return Hosts((host,))
    if len(set(names)) < len(names):
        raise InputError(f"{file}: hosts must be different names, not {show(names)}")
    if host not in names:
        raise InputError(f"{file}: current_host {host!r} is not one of the hosts")
    _require_replicated(describe_channels(prefix), prefix / "input" / "config")
    ordered = tuple(sorted(names))
    return Hosts(ordered, ordered.index(host), f"{ordered[0]}:{PORT}")


def _require_replicated(channels: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    for name, channel in channels.items():
        if channel.get("S3DistributionType") == "ShardedByS3Key":
            raise InputError(
                f"{folder}/inputdataconfig.json: channel {name} has the distribution "
                "ShardedByS3Key, but every host needs all of it to make the same batches: use "
                "FullyReplicated"
            )
