"""The benchmark's own parts, and where PyTorch is installed the benchmark itself."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import lengths
from bench.measures import model_of, table, useful_share
from bench.timing import alternate
from o2v_jax import Scorer


def test_drawn_lengths_follow_the_histogram():
    counts, _ = lengths.histograms("snli")
    rows = lengths.draw(counts, 20_000, vocab_size=50, seed=0)
    mean = (np.arange(len(counts)) * counts).sum() / counts.sum()
    assert rows.lengths.mean() == pytest.approx(mean, rel=0.02)
    assert (rows.ids.min(), rows.ids.max()) == (1, 49)


@pytest.mark.parametrize("distribution", lengths.names())
def test_four_fifths_of_the_computed_tokens_are_useful(distribution):
    counts = lengths.histograms(distribution)
    sides = tuple(lengths.draw(c, 1000, 20_000, seed) for seed, c in enumerate(counts))
    scorer = Scorer(model_of("pooled_embedding", distribution))
    assert 0.80 <= useful_share(scorer, sides) <= 1
    assert len(scorer.layout.programs()) <= 60


def test_sides_take_turns():
    order = []
    alternate(lambda: order.append("ours"), lambda: order.append("theirs"), rounds=3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_table_is_markdown():
    assert table([{"a": 1, "b": 2.5}]) == "| a | b |\n| --- | --- |\n| 1 | 2.5 |"


def test_the_command_writes_its_results(tmp_path):
    pytest.importorskip("torch", reason="the bench extra, which brings PyTorch, is not installed")
    command = [sys.executable, "-m", "bench.score", "--quick", "--records", "40"]
    command += ["--encoder", "pooled_embedding", "--json", str(tmp_path / "score.json")]
    root = Path(lengths.__file__).parents[1]
    subprocess.run(command, cwd=root, check=True, timeout=300, capture_output=True)
    rows = json.loads((tmp_path / "score.json").read_text())["rows"]
    assert {row["lengths"] for row in rows} == set(lengths.names())
    assert all(row["ratio"] > 0 and row["compiled_while_timed"] == 0 for row in rows)
