"""The directory that a preparation writes: at once or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from o2v_jax.checkpoint.replace import is_leftover
from o2v_jax.errors import InputError
from o2v_jax.preparation.split import PARTS

HYPERPARAMETERS = "hyperparameters.json"
LABELS = "labels.json"
SHARED_VOCABULARY = "vocab.json"
VOCABULARIES = ("vocab0.json", "vocab1.json")
FILES = (
    *(f"{part}.jsonl" for part in PARTS),
    *(SHARED_VOCABULARY, *VOCABULARIES, LABELS, HYPERPARAMETERS),
)


def check_target(directory: Path, *, force: bool) -> None:
    """Checks that a preparation may be written there.

    Args:
        directory: something new, an empty directory, or with `force` an earlier preparation.
        force: whether an earlier preparation may be replaced.

    Raises:
        InputError: it is something else.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise InputError(f"{directory}: is a file, but a directory is written")
    names = {path.name for path in directory.iterdir() if not is_leftover(path.name, directory)}
    if others := sorted(names.difference(FILES)):
        shown = ", ".join(others[:5])
        raise InputError(f"{directory}: holds other things ({shown}): choose another name")
    if names and not force:
        raise InputError(f"{directory}: holds an earlier preparation: --force replaces it")


def check_inputs(directory: Path, tables: Sequence[Path]) -> None:
    """Checks that no table would be replaced, and that the output would not become a table's part.

    Raises:
        InputError: a table lies within the directory, or is a folder that holds it.
    """
    for table in tables:
        place = table.resolve()
        if place.is_relative_to(directory):
            raise InputError(f"{table}: lies in the output {directory}, which would replace it")
        if directory.is_relative_to(place):
            raise InputError(f"{directory}: the output lies within {table}, which is read whole")


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Writes a JSON object, a name a line."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    path.write_bytes(orjson.dumps(dict(value), option=options))
