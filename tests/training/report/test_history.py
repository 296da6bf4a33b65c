"""The table and the picture of a run's epochs."""

import csv
import logging
import struct
import subprocess
import sys

import pytest

from o2v_jax.training.report.history import plot_curves, write_history

PNG = b"\x89PNG\r\n\x1a\n"


def epochs(count, *channels, names=("cross_entropy", "accuracy")):
    """The history of a run; every value is another one."""
    values = iter(range(1, 1000))
    return [
        {channel: {name: next(values) / 8 for name in names} for channel in channels}
        for _ in range(count)
    ]


def shape(path):
    """Width and height of a PNG, which the first chunk says."""
    head = path.read_bytes()[:24]
    assert head.startswith(PNG)
    return struct.unpack(">II", head[16:24])


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


def test_a_panel_for_every_metric(tmp_path):
    both = plot_curves(tmp_path / "a", epochs(5, "train", "validation"), 2, {"accuracy": 0.5})
    one = plot_curves(tmp_path / "b", epochs(5, "train", names=("mean_squared_error",)), 2)
    (wide, high), (narrow, same) = shape(both), shape(one)
    assert (wide, high) == (2 * narrow, same)
    assert wide > 1000
    assert [file.name for file in tmp_path.glob("*/*")] == ["curves.png"] * 2


@pytest.mark.parametrize("test", [{"cross_entropy": 4.0, "accuracy": 1.0}, None])
@pytest.mark.parametrize("count", [1, 100])
def test_runs_short_and_long(count, test, tmp_path):
    shape(plot_curves(tmp_path, epochs(count, "train", "validation"), count - 1, test))


def test_everything_shown_changes_the_picture(tmp_path):
    history = epochs(4, "train", "validation")
    test = {"cross_entropy": 1.0, "accuracy": 1.0}
    drawings = [(history, 1, test), (history, 2, test), (history, 1, None), (history[:3], 1, test)]
    drawings += [(epochs(4, "train"), 1, test)]
    pictures = {
        plot_curves(tmp_path, *drawing).read_bytes() for drawing in [*drawings, drawings[0]]
    }
    assert len(pictures) == len(drawings)


def test_losses_that_are_no_numbers_can_be_drawn(tmp_path):
    history = epochs(3, "train")
    history[1]["train"]["cross_entropy"] = float("inf")
    history[2]["train"]["cross_entropy"] = float("nan")
    shape(plot_curves(tmp_path, history, 0, {"cross_entropy": float("nan")}))


@pytest.mark.process
def test_drawing_says_nothing_and_leaves_no_traces(tmp_path):
    code = """
import logging, pathlib, sys, warnings
from o2v_jax.training.report.history import plot_curves
assert "matplotlib" not in sys.modules
plot_curves(pathlib.Path(sys.argv[1]), [{"train": {"cross_entropy": 1.0}}], 0)
assert "matplotlib.pyplot" not in sys.modules
assert logging.getLogger("matplotlib").level == logging.NOTSET
"""
    home = tmp_path / "file"
    home.touch()  # no folder: matplotlib warns that it cannot keep its font cache there
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    env = {"PATH": "", "PYTHONPATH": ":".join(sys.path), "MPLCONFIGDIR": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert shape(tmp_path / "curves.png")


def test_the_level_of_matplotlibs_logger_is_put_back(tmp_path):
    logger = logging.getLogger("matplotlib")
    logger.setLevel(logging.INFO)
    try:
        plot_curves(tmp_path, epochs(1, "train"), 0)
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(logging.NOTSET)
