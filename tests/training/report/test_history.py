"""The table of a run's epochs."""

import csv

import pytest

from o2v_jax.training.report.history import write_history


def epochs(count, *channels, names=("cross_entropy", "accuracy")):
    """The history of a run; every value is another one."""
    values = iter(range(1, 1000))
    return [
        {channel: {name: next(values) / 8 for name in names} for channel in channels}
        for _ in range(count)
    ]


def test_history_has_a_row_an_epoch(tmp_path):
    history = epochs(2, "train", "validation")
    path = write_history(tmp_path / "new" / "folder", history, [10.0, 12.5])
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert ",".join(rows[0]) == (
        "epoch,train_cross_entropy,train_accuracy,validation_cross_entropy,validation_accuracy,"
        "records_per_second"
    )
    assert rows[1:] == [
        ["0", "0.125", "0.25", "0.375", "0.5", "10.00"],
        ["1", "0.625", "0.75", "0.875", "1.0", "12.50"],
    ]


def test_history_keeps_every_digit(tmp_path):
    loss = 0.1 + 0.2
    path = write_history(tmp_path, [{"train": {"mean_squared_error": loss}}], [1.0])
    row = path.read_text().splitlines()[1]
    assert float(row.split(",")[1]) == loss


def test_a_resumed_run_writes_the_same_table(tmp_path):
    history, rates = epochs(3, "train"), [1.0, 2.0, 3.0]
    whole = write_history(tmp_path / "whole", history, rates).read_bytes()
    for done in (1, 2, 2, 3):
        path = write_history(tmp_path / "resumed", history[:done], rates[:done])
    assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == ["history.csv"]


def test_a_table_that_cannot_be_written_leaves_the_one_before(tmp_path):
    before = write_history(tmp_path, epochs(1, "train"), [1.0]).read_bytes()
    strange = [*epochs(1, "train"), *epochs(1, "other")]
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        write_history(tmp_path, strange, [1.0, 2.0])
    assert (tmp_path / "history.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
