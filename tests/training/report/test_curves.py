"""The curves of a run's epochs."""

import logging
import struct
import subprocess
import sys

import numpy as np
import pytest

from o2v_jax.training.report.curves import draw_curves, find_outliers, plot_curves

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


@pytest.mark.slow
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
from o2v_jax.training.report.curves import plot_curves
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


def losses(*values, name="cross_entropy"):
    """A run whose validation values lie 0.01 above those of training."""
    return [{"train": {name: v}, "validation": {name: v + 0.01}} for v in values]


def test_the_axes_say_what_they_show():
    cross_entropy, accuracy = draw_curves(epochs(3, "train"), 1).axes
    assert cross_entropy.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert cross_entropy.get_ylabel() == "cross-entropy (nats, lower is better)"
    assert accuracy.get_ylabel() == "accuracy (share of records that are right)"


def test_squared_errors_are_shown_as_their_roots_beside_the_squares():
    figure = draw_curves(losses(4.0, 1.0, 0.25, name="mean_squared_error"), 2)
    (axes,) = figure.axes
    assert axes.get_ylabel() == "RMSE (unit of the label, lower is better)"
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [2, 1, 0.5])
    assert "train 0.5" in axes.get_legend().get_texts()[0].get_text()
    (right,) = axes.child_axes
    assert right.get_ylabel() == "MSE, mean squared error (unit squared)"
    figure.canvas.draw()
    low, high = axes.get_ylim()
    assert right.get_ylim() == pytest.approx((low * abs(low), high**2))


def test_a_bad_first_epoch_does_not_flatten_the_rest():
    (axes,) = draw_curves(losses(25.0, 0.9, 0.8, 0.7, 0.75), 3, {"cross_entropy": 1.1}).axes
    low, high = axes.get_ylim()
    assert 0.6 < low < 0.7
    assert 1.1 < high < 1.2, "the test data's value is shown"
    said = "epoch\noutside the axis: epoch 0 (train 25, validation 25)"
    assert axes.get_xlabel() == said
    arrows = [line for line in axes.lines if line.get_marker() == "^"]
    assert [line.get_xdata() for line in arrows] == [[0], [0]]


def test_a_bad_accuracy_points_down():
    (axes,) = draw_curves(losses(0.01, 0.69, 0.7, 0.71, name="accuracy"), 3).axes
    assert axes.get_ylim()[0] > 0.6
    assert [line.get_marker() for line in axes.lines].count("v") == 2


@pytest.mark.parametrize(
    ("values", "outside"),
    [
        ([1.1, 0.9, 0.8, 0.75, 0.72], []),  # as training goes
        ([1.0, 0.7, 0.65], []),
        ([25.0, 0.9, 0.8], [0]),
        ([25.0, 0.9], []),  # one other epoch has nothing to show
        ([0.9, 0.8, 30.0, 0.7], [2]),
        ([5.0, 0.5, 0.5, 0.5], []),
        ([40.0, 30.0, *np.linspace(2, 1, 28)], [0, 1]),
        ([40.0, *np.linspace(2, 1, 29)], [0]),
        ([0.5], []),
    ],
)
def test_what_is_outside(values, outside):
    best = int(np.argmin(values))
    found = find_outliers({"train": np.array(values)}, best)
    assert np.flatnonzero(found).tolist() == outside
    mirrored = find_outliers({"validation": -np.array(values)}, best)
    assert np.flatnonzero(mirrored).tolist() == outside
