"""The data that models are trained on: a prepared directory, or files of each channel."""

from collections.abc import Callable, Mapping
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

import click

from o2v_jax.errors import InputError
from o2v_jax.util import require_local

CHANNELS = ("train", "validation", "test")
F = TypeVar("F", bound=Callable[..., Any])


def channel_option(name: str, text: str) -> Callable[[F], F]:
    """An option for the files of a channel, which may be repeated."""
    return click.option(name, multiple=True, callback=expand_files, metavar="FILE", help=text)


def expand_paths(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[Path, ...]:
    """The files and folders that are named, those of a pattern in the order of their names."""
    return tuple(path for value in values for path in _expand(value, ctx, param))


def expand_files(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[Path, ...]:
    """As `expand_paths`, and of a folder the files in it."""
    from o2v_jax.preparation import find_files

    paths = expand_paths(ctx, param, values)
    try:
        return tuple(file for path in paths for file in find_files(path))
    except InputError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def read_training_data(
    data: Path | None,
    channels: Mapping[str, tuple[Path, ...]],
    given: Mapping[str, Any],
    vocabulary: Path | None,
) -> dict[str, Any]:
    """What a job is given: its files, hyperparameters by name, tokenizers and class names.

    Args:
        data: a prepared directory, instead of `channels` and `vocabulary`.
        channels: the files of each channel.
        given: hyperparameters by name, which overrule those of `data`.
        vocabulary: a JSON map token -> id, or a tokenizer.json, of the texts of both sides.

    Raises:
        InputError: a file is missing or wrong.
    """
    from o2v_jax.data.text_tokenizers import read_vocabulary
    from o2v_jax.data.tokenizers import share_text_vocabulary
    from o2v_jax.preparation import overrule, read_prepared

    if data is None:
        words = read_vocabulary(vocabulary) if vocabulary else None
        tokenizers = None if words is None else share_text_vocabulary(words)
        return {**channels, "hyperparameters": dict(given), "tokenizers": tokenizers}
    found = read_prepared(data)
    return {
        **{name: found.files.get(name, ()) for name in CHANNELS},
        "hyperparameters": overrule(found.hyperparameters, given),
        "tokenizers": found.tokenizers,
        "class_names": found.class_names,
    }


def read_hyperparameters(file: Path | None) -> dict[str, Any]:
    """The hyperparameters of a JSON map, by name; none without a file.

    Raises:
        InputError: it cannot be read, or is no such map.
    """
    from o2v_jax.data.vocabulary import read_json_object

    return read_json_object(file) if file else {}


def require_one_source(options: Mapping[str, Any]) -> None:
    """Refuses files of channels beside a prepared directory.

    Raises:
        click.UsageError: both are given.
    """
    beside = [name for name in (*CHANNELS, "vocabulary") if options.get(name)]
    if options.get("data") and beside:
        listed = ", ".join(f"--{name}" for name in beside)
        raise click.UsageError(f"--data names a prepared directory: leave {listed} out")


def _expand(value: str, ctx: click.Context, param: click.Parameter) -> list[Path]:
    try:
        require_local(value)
    except InputError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    if Path(value).exists():
        return [Path(value)]
    found = sorted(glob(value, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not found:
        raise click.BadParameter(f"Path {value!r} does not exist.", ctx, param)
    return [*map(Path, found)]
