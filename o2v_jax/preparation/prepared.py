"""A prepared directory, as `o2v prepare` writes it and `o2v train --data` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o2v_jax.arguments import show
from o2v_jax.checkpoint import parse_inputs, read_tokenizers
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.data.vocabulary import read_json_object
from o2v_jax.errors import InputError
from o2v_jax.preparation.split import SPLIT_NAMES
from o2v_jax.preparation.write import HYPERPARAMETERS, INPUTS, LABELS
from o2v_jax.util import require_local, translate_read_errors


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a prepared directory holds.

    Attributes:
        files: of each channel that is there: train, validation and test.
        hyperparameters: by name, as text.
        tokenizers: of in0 and in1; None: the directory does not say.
        class_names: in the order of the classes; empty where labels are numbers.
    """

    files: dict[str, tuple[Path, ...]]
    hyperparameters: dict[str, Any]
    tokenizers: Tokenizers | None
    class_names: tuple[str, ...]


def read_prepared(directory: Path) -> Prepared:
    """Reads all but the records of a prepared directory.

    Raises:
        InputError: it is a URL, it holds no train.jsonl or hyperparameters.json, or one of its
            files is wrong.
    """
    require_local(directory)
    for name in ("train.jsonl", HYPERPARAMETERS):
        if not (directory / name).is_file():
            raise InputError(
                f"{directory}: holds no {name}, so it is not what o2v prepare writes; name records "
                "by --train"
            )
    files = {part: directory / f"{part}.jsonl" for part in SPLIT_NAMES}
    return Prepared(
        {part: (file,) for part, file in files.items() if file.is_file()},
        _read_object(directory, HYPERPARAMETERS),
        _read_tokenizers(directory),
        _read_class_names(directory),
    )


def overrule(prepared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Given hyperparameters over those that follow from the data.

    Where enc1 is to copy enc0, what was prepared for enc1 is left out: it would contradict that.
    """
    copies = given.get("enc1_network") == "enc0"
    kept = {
        name: value for name, value in prepared.items() if not (copies and name.startswith("enc1_"))
    }
    return {**kept, **given}


def _read_object(directory: Path, name: str) -> dict[str, Any]:
    try:
        return read_json_object(directory / name)
    except InputError as error:
        raise InputError(f"{directory}/{error}") from error


def _read_tokenizers(directory: Path) -> Tokenizers | None:
    if not (directory / INPUTS).is_file():
        return None

    def read(name: str) -> bytes:
        with translate_read_errors(directory / name):
            return (directory / name).read_bytes()

    described = _read_object(directory, INPUTS)
    try:
        return read_tokenizers(parse_inputs(described), read)
    except InputError as error:
        raise InputError(f"{directory}: {error}") from error


def _read_class_names(directory: Path) -> tuple[str, ...]:
    """Names in the order of their numbers."""
    if not (directory / LABELS).is_file():
        return ()
    numbers = _read_object(directory, LABELS)
    names = sorted(numbers, key=lambda name: str(numbers[name]).zfill(9))
    if [numbers[name] for name in names] != [*range(len(names))]:
        reason = f"must map names to 0..{len(names) - 1}, each once, got {show(numbers)}"
        raise InputError(f"{directory / LABELS}: {reason}")
    return tuple(names)
