"""Labelled records for training and evaluation."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from o2v_jax.errors import InputError, RecordError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.notices import Notices
from o2v_jax.ragged import Ragged, offsets_of
from o2v_jax.records import Records, read_lines


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pairs with labels: `in0` and `in1` of as many rows as `labels`, float32 `[records]`."""

    in0: Ragged
    in1: Ragged
    labels: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def histograms(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each side: how many sequences there are of every length, int64 `[longest + 1]`."""
        return tuple(np.bincount(side.lengths) for side in (self.in0, self.in1))  # type: ignore[return-value]


def read_dataset(files: Sequence[Path], config: Hyperparameters) -> Dataset:
    """Reads JSON Lines files of {"label": y, "in0": [...], "in1": [...]} records, in order.

    Raises:
        InputError: a file cannot be read, or there is no record in any.
        RecordError: names the file, the line and the JSON path of what is wrong.
    """
    chunks = (chunk for file in files for chunk in _read_file(file, config))
    return dataset(chunks, config, ", ".join(map(str, files)))


def _read_file(file: Path, config: Hyperparameters) -> Iterator[Records]:
    sizes = config.encoder(0).vocab_size, config.encoder(1).vocab_size
    try:
        with file.open("rb") as stream:
            yield from read_lines(stream, str(file), vocab_sizes=sizes, labelled=True)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def dataset(chunks: Iterable[Records], config: Hyperparameters, name: str) -> Dataset:
    """Labelled records as one data set; sequences are cut at the max_seq_len of their side.

    A warning is logged, once a side, if any are cut and if id 0 stands inside any.

    Raises:
        InputError: there is no record.
        RecordError: a record lacks a side, or its label is not one of this configuration.
    """
    kept = [_checked(chunk, config) for chunk in chunks]
    if not kept:
        raise InputError(f"{name}: holds no records")
    in0 = _concatenated([records.in0 for records in kept])
    in1 = _concatenated([records.in1 for records in kept])
    notices = Notices(config)
    for side, rows in enumerate((in0, in1)):
        notices.look(side, rows, name)
    longest = config.encoder(0).max_seq_len, config.encoder(1).max_seq_len
    labels = [records.labels for records in kept if records.labels is not None]
    return Dataset(
        in0.cut(longest[0]), in1.cut(longest[1]), np.concatenate(labels).astype(np.float32)
    )


def _checked(records: Records, config: Hyperparameters) -> Records:
    _check_pairs(records)
    _check_labels(records, config)
    return records


def _check_pairs(records: Records) -> None:
    incomplete = ~(records.has0 & records.has1)
    if incomplete.any():
        where = records.places.of(int(incomplete.argmax()))
        raise RecordError(where, "a labelled record needs both in0 and in1")


def _check_labels(records: Records, config: Hyperparameters) -> None:
    assert records.labels is not None  # noqa: S101 - read with labelled=True
    if config.output_layer != "softmax":
        wrong = ~np.isfinite(records.labels)
        rule = "a finite number"
    else:
        classes = config.num_classes
        wrong = ~np.isin(records.labels, np.arange(classes))
        rule = f"an integer class in 0..{classes - 1}"
    if wrong.any():
        at = int(wrong.argmax())
        raise RecordError(records.places.of(at, ".label"), f"{records.labels[at]:g} is not {rule}")


def _concatenated(parts: list[Ragged]) -> Ragged:
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.ids for part in parts]), offsets_of(lengths))
