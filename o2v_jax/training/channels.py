"""The input channels of a SageMaker training job: what `input` says of them, and their files.

Nothing is ignored silently: an unknown channel is an error, and so is a form in which data are not
read.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from o2v_jax.arguments import show
from o2v_jax.data.vocabulary import read_json_object
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters.text import find_closest
from o2v_jax.training.job import CHANNELS

AUXILIARY = "auxiliary"
NAMES = (*CHANNELS, AUXILIARY)
# JSON Lines goes by many names, and some uploads by none
_CONTENT_TYPES = (
    "application/jsonlines",
    "application/x-jsonlines",
    "application/jsonl",
    "application/x-ndjson",
    "application/json",
    "application/octet-stream",
    "binary/octet-stream",
    "text/plain",
)
_MODES = ("File", "FastFile")
_SHOWN = 5

_log = logging.getLogger("o2v_jax")


def read_channels(prefix: Path) -> dict[str, tuple[Path, ...]]:
    """Finds the files of train, validation and test below `prefix`, in the order of their names.

    Nested files count, those whose name begins with a dot do not. An empty channel other than train
    is logged.

    Raises:
        InputError: train has no files, a channel has a name that is not known or a form that is not
            read, or its folder is missing.
    """
    folder = prefix / "input" / "data"
    described = describe_channels(prefix)
    _check_names(folder)
    for name in described:
        if not (folder / name).is_dir():
            _refuse_missing(folder, name, f"{_find_description(prefix).name} names it")
    files = {name: tuple(sorted(_walk_files(folder / name))) for name in CHANNELS}
    if not files["train"]:
        _refuse_missing(folder, "train")
    for name in CHANNELS[1:]:
        if not files[name] and (folder / name).is_dir():
            _log.warning("%s: the channel %s is empty: training goes on without it", folder, name)
    return files


def describe_channels(prefix: Path) -> dict[str, Mapping[str, Any]]:
    """Reads inputdataconfig.json, if it is there: what was asked for, by the channel's name.

    Raises:
        InputError: it is no map of channels, or a channel has a form that is not read.
    """
    file = _find_description(prefix)
    channels = read_settings(file) if file.exists() else {}
    for name, channel in channels.items():
        if not isinstance(channel, dict):
            raise InputError(f"{file}: channel {name} must be an object, but it is {show(channel)}")
        _check_name(name, str(file))
        _check_form(name, channel, file)
    return channels


def read_settings(file: Path) -> dict[str, Any]:
    """Reads a JSON object from a file of `input/config`.

    Raises:
        InputError: it is missing or holds none; with the file's whole path.
    """
    try:
        return read_json_object(file)
    except InputError as error:
        raise InputError(f"{file.parent}/{error}") from error


def _find_description(prefix: Path) -> Path:
    return prefix / "input" / "config" / "inputdataconfig.json"


def _check_form(name: str, channel: Mapping[str, Any], file: Path) -> None:
    mode = channel.get("TrainingInputMode") or "File"
    if mode not in _MODES:
        raise InputError(
            f"{file}: channel {name} has the TrainingInputMode {show(mode)}, which is not read: "
            "use File or FastFile"
        )
    wrapper = channel.get("RecordWrapperType") or "None"
    if wrapper != "None":
        raise InputError(
            f"{file}: channel {name} has the RecordWrapperType {show(wrapper)}, which is not read: "
            "use None"
        )
    kind = str(channel.get("ContentType") or _CONTENT_TYPES[0])
    if name != AUXILIARY and kind.partition(";")[0].strip().lower() not in _CONTENT_TYPES:
        raise InputError(
            f"{file}: channel {name} has the ContentType {show(kind)}, which is not read: "
            f"records are JSON Lines, {_CONTENT_TYPES[0]}"
        )


def _check_names(folder: Path) -> None:
    """Checks what lies beside the channels; the manifests that SageMaker puts there do no harm."""
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.name.startswith(".") or path.name == "lost+found":
            continue
        if path.is_fifo():
            raise InputError(
                f"{path}: is a pipe, and the input mode Pipe is not read: use File or FastFile"
            )
        if path.is_dir():
            _check_name(path.name, str(folder))
        elif not path.name.endswith("-manifest"):
            raise InputError(
                f"{path}: is in no channel: move it to a folder, such as {folder / 'train'}"
            )


def _check_name(name: str, where: str) -> None:
    if name in NAMES:
        return
    near = find_closest(name, NAMES, cutoff=0.4)
    meant = f"; did you mean {near}?" if near else ""
    raise InputError(
        f"{where}: channel {show(name)} is not read: channels are {', '.join(NAMES)}{meant}"
    )


def _refuse_missing(folder: Path, name: str, why: str = "") -> NoReturn:
    there = [path.name for path in sorted(folder.iterdir())] if folder.is_dir() else []
    there = [found for found in there if found in NAMES and found != name]
    listed = f"there is {', '.join(there)}" if there else "there is no other"
    reason = f"{why}; {listed}" if why else listed
    raise InputError(f"{folder / name}: the channel {name} is missing or empty ({reason})")


def _walk_files(channel: Path) -> Iterator[Path]:
    """The files below a folder; an editor's or a file system's hidden ones are not data."""
    if not channel.is_dir():
        return
    for folder, folders, names in os.walk(channel, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*folders, *names):
            path = Path(folder, name)
            if name.startswith(".") or (path.is_dir() and not path.is_symlink()):
                continue
            if not path.is_file():
                raise InputError(f"{path}: {_describe_kind(path)}")
            yield path


def _describe_kind(path: Path) -> str:
    """What a path is that is neither a file nor a folder of its own."""
    if path.is_symlink():
        return f"is a link to {'a folder, and not followed' if path.is_dir() else 'no file'}"
    return "is neither a file nor a folder"


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
