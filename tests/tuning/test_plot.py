"""The picture of a search: what stands on the scale, and what does not."""

import numpy as np
import pytest
from optuna.storages import InMemoryStorage

from o2v_jax.tuning import ObjectiveMetric, make_space
from o2v_jax.tuning.plot import draw_trials, plot
from o2v_jax.tuning.report import TrialRow
from o2v_jax.tuning.study import Study

LOSS = ObjectiveMetric("validation", "mean_squared_error")
ACCURACY = ObjectiveMetric("validation", "accuracy")


@pytest.fixture
def drawn(config_of):
    """A function of values, None for a trial pruned at once: the figure of their search."""
    space = make_space(config_of(), ["learning_rate", "dropout"])

    def draw(values, objective=LOSS):
        study = Study(InMemoryStorage(), space, objective, pruning=False)
        settings = {name: searched.examples[0] for name, searched in space.ranges.items()}
        rows = [
            TrialRow(n, "pruned" if v is None else "complete", v, 1.0, settings, "")
            for n, v in enumerate(values, start=1)
        ]
        return draw_trials(rows, study), rows, study

    return draw


def crosses(axes):
    """Heights of the grey crosses."""
    (found,) = (c for c in axes.collections if c.get_label() == "far off, or pruned at once")
    return found.get_offsets()[:, 1]


@pytest.mark.parametrize(
    ("values", "objective", "sign"),
    [
        ([1.0, 0.9, 0.8, 900.0, None, 0.85], LOSS, 1),
        ([0.6, 0.62, 0.65, 0.001, None, 0.64], ACCURACY, -1),
    ],
)
def test_what_is_off_the_scale_is_in_a_band_without_values(values, objective, sign, drawn):
    figure, *_ = drawn(values, objective)
    shown = [v for v in values if v is not None and 0.5 < v < 2]
    for axes in figure.axes:
        heights = crosses(axes)
        assert len(heights) == 2
        assert np.ptp(heights) == 0
        *ticks, band = axes.get_yticks()
        assert heights[0] == pytest.approx(band), (
            "a label of its own, and no number, stands beside them"
        )
        assert sign * (band - max(shown, key=lambda v: sign * v)) > 0
        assert all(sign * (band - tick) > 0 for tick in ticks)
    top = figure.axes[0]
    labels = [label.get_text() for label in top.get_yticklabels()]
    assert labels[-1] == "off scale"
    assert [*map(float, labels[:-1])] == pytest.approx(top.get_yticks()[:-1])
    (line,) = top.lines
    assert np.nanmax(np.abs(line.get_ydata())) <= 1, "the line does not run through the band"


def test_a_search_without_far_trials_has_no_band(drawn):
    figure, *_ = drawn([1.0, 0.9, 0.8])
    (top, *_) = figure.axes
    assert "off scale" not in [label.get_text() for label in top.get_yticklabels()]
    low, high = top.get_ylim()
    assert 0.75 < low < 0.8
    assert 1.0 < high < 1.05
    assert not top.patches


def test_the_picture_is_a_file(drawn, tmp_path):
    _, rows, study = drawn([1.0, 0.9, None])
    plot(rows, study, tmp_path / "tuning.png")
    assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")
