"""What a run says while an epoch goes, on a terminal and in a log."""

import io
import re
import time

import pytest

from o2v_jax.training.report.metric_lines import Reporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def run_epoch(reporter, *, steps=5, done=0):
    """Goes through 100 records of 1,000 in equal steps; returns how often it asked for the loss."""
    asked = []

    def loss():
        asked.append(1)
        return 0.4321

    with reporter.open_bar("epoch 3", 1000, done=done) as bar:
        for _ in range(steps):
            bar.advance(100 // steps, loss, 50.0)
    return len(asked)


def test_a_log_line_says_how_far_the_epoch_is():
    stream = io.StringIO()
    run_epoch(Reporter(stream=stream, log_every=0.0), steps=2)
    first, second = stream.getvalue().splitlines()
    assert first == "epoch 3: 5.0 % of 1,000 records, loss 0.4321, 50 records/s, 0:00:19 left"
    assert second.startswith("epoch 3: 10.0 % of 1,000 records")


def test_a_resumed_epoch_begins_where_it_was():
    stream = io.StringIO()
    run_epoch(Reporter(stream=stream, log_every=0.0), steps=1, done=800)
    assert stream.getvalue().startswith("epoch 3: 90.0 % of 1,000 records")
    assert "0:00:02 left" in stream.getvalue()


def test_a_short_epoch_is_silent_in_a_log():
    stream = io.StringIO()
    assert run_epoch(Reporter(stream=stream)) == 0
    assert stream.getvalue() == ""


def test_log_lines_keep_their_distance():
    stream, began, steps = io.StringIO(), time.monotonic(), 0
    with Reporter(stream=stream, log_every=0.1).open_bar("epoch 0", 10**9) as bar:
        while time.monotonic() < began + 0.35:
            bar.advance(1, lambda: 0.5, 1.0)
            steps += 1
    lines = stream.getvalue().count("\n")
    assert 1 <= lines <= (time.monotonic() - began) / 0.1 < steps


def test_a_terminal_asks_for_the_loss_seldom():
    stream = Terminal()
    assert 1 <= run_epoch(Reporter(stream=stream), steps=100) <= 3
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    for words in ("epoch 3", "loss 0.4321", "50 records/s", "0:00:20 left"):
        assert words in shown


def test_metric_lines_on_a_terminal_are_whole():
    stream = Terminal()
    reporter = Reporter(stream=stream)
    with reporter.open_bar("epoch 3", 10):
        reporter.write_metrics("train", {"accuracy": 0.5}, epoch=3)
    line = "#quality_metric: host=algo-1, epoch=3, train accuracy <score>=0.5"
    assert line in stream.getvalue()


def test_no_rate_is_no_time_left():
    stream = io.StringIO()
    with Reporter(stream=stream, log_every=0.0).open_bar("epoch 0", 10) as bar:
        bar.advance(1, lambda: float("nan"), 0.0)
    assert "loss nan, 0 records/s, -:--:-- left" in stream.getvalue()
