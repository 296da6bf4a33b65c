"""bench.score: its measures, and the whole of it."""

from types import SimpleNamespace

import pytest

from bench import growth, lengths, matmul, score
from bench.measures import compute_useful_share, count_useful_flops, make_config
from bench.timing import alternate, time_in_turns
from o2v_jax import Ragged
from o2v_jax.scoring.shapes import choose_shapes

pytestmark = pytest.mark.slow

LEAST = {"hcnn": 0.85, "bilstm": 0.85, "pooled_embedding": 0.5}


@pytest.mark.parametrize("encoder", LEAST)
@pytest.mark.parametrize("distribution", ["snli", "tldr", "acl"])
def test_most_of_the_computed_tokens_are_useful(distribution, encoder):
    """But where a token costs little beside a call.

    A bilstm's calls cost so much that of 1,000 pairs it pads more than this to save a quarter of
    them; of as many as `bench.score` takes it need not.
    """
    sides = lengths.draw_pairs(distribution, 2000 if encoder == "bilstm" else 1000, 20_000)
    config = make_config(encoder, distribution)
    shapes = choose_shapes(config, lengths.read_histograms(distribution))
    assert LEAST[encoder] <= compute_useful_share(shapes, sides) <= 1
    assert len(shapes.list_programs()) <= 80


def test_useful_work_counts_each_distinct_token_once(config_of, model_of):
    model = model_of(config_of(enc0_layers=2))
    kernels = [layer["weight"].size for layer in model.params["source"].values()]
    sides = Ragged.of([[1, 2], [1, 2]]), Ragged.of([[3], [4]])
    assert count_useful_flops(model, sides) == 2 * (2 + 2) * sum(kernels)


def test_sides_take_turns():
    order = []
    alternate(lambda: order.append("ours"), lambda: order.append("theirs"), rounds=3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_every_side_is_timed_in_every_round():
    times = time_in_turns({name: lambda: None for name in "abc"}, rounds=4)
    assert {name: len(found) for name, found in times.items()} == {"a": 4, "b": 4, "c": 4}


def test_slope_is_the_power_by_which_cost_grows():
    x = [10.0, 100.0, 1000.0]
    assert growth.fit_slope(x, [3 * n for n in x]) == pytest.approx(1)
    assert growth.fit_slope(x, [n**2 for n in x]) == pytest.approx(2)


def test_the_rate_of_the_machine_is_measured():
    assert matmul.measure_gflops(repeats=1) > 0


def test_cost_is_measured_over_records():
    rows = growth.measure_by_records((20, 40), "single")
    assert [row["records"] for row in rows] == [20, 40]
    assert all(row["seconds"] > 0 for row in rows)


def test_the_command_without_peers_says_what_is_missing(measured, monkeypatch):
    monkeypatch.setitem(score.HOMES, "torch_eager", ("bench.peers.not_there", "Nothing"))
    arguments = "--encoder pooled_embedding --lengths single --records 8 --peer torch_eager"
    results = measured(score.main, *arguments.split(), "--no-growth")
    (row,) = results["rows"]
    assert row["ratio"] is None
    assert "pip install" in results["not_available"]["torch_eager"]


def test_the_command_compares_with_peers(measured, needs):
    needs("torch", "onnx", "onnxruntime")
    arguments = "--encoder pooled_embedding --records 20 --rounds 2 --no-growth --lengths single"
    peers = "--peer torch_eager --peer onnxruntime"
    results = measured(score.main, *arguments.split(), *peers.split())
    (row,) = results["rows"]
    assert row["compiled_while_timed"] == 0
    assert row["best_peer"] in {"torch_eager", "onnxruntime"}
    assert min(row["ratio"], row["torch_eager"], row["onnxruntime"]) > 0
    assert results["not_available"] == {}


def test_the_ratio_is_to_the_best_peer():
    peers = [SimpleNamespace(name="slow"), SimpleNamespace(name="fast")]
    times = {"ours": [1.0, 2.0], "slow": [9.0, 9.0], "fast": [3.0, 6.0], "slow, once": [2.0, 4.0]}
    expected = {"best_peer": "fast", "ratio": 3.0, "ratio_encoding_once": 2.0}
    assert score._compute_ratios(times, peers) == expected
