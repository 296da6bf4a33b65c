"""bench.serve, bench.coldstart and bench.memory: real servers of a tiny model."""

import pytest

from bench import coldstart, imports, memory
from bench.serve.__main__ import main as serve
from bench.serve.compilations import _METRIC
from bench.serve.plan import Plan
from bench.serve.single import _choose_peers

pytestmark = pytest.mark.process

TINY = ["--seconds", "0.4", "--soak-seconds", "0.4", "--requests", "40", "--rounds", "1"]


def test_the_server_is_measured(measured, tiny):
    results = measured(serve, "--model", tiny, *TINY)
    names = [row["server"] for row in results["single"]]
    assert {*names, *results["not_available"]} == {"o2v", "litserve", "torchserve"}
    assert all(row["requests_per_s"] > 0 and row["not_200"] == 0 for row in results["single"])
    assert all(row["our_rate_over_its"] > 0 for row in results["single"][1:])
    assert results["client_limit"]["requests_per_s"] > 100
    assert [row["pairs"] for row in results["text"]] == [1, 100]
    assert all(row["ratio"] > 0 for row in results["text"])
    assert results["large"][0]["ratio"] > 0
    assert [row["of_capacity"] for row in results["overload"]] == [0.5, 1.0, 2.0]
    assert sum(row["accepted_per_s"] for row in results["overload"]) > 0
    assert results["overload_summary"][0]["pairs"] == 64
    assert results["compilations"][0]["requests"] == 40
    assert results["soak"][0]["rss_mb_late"] > 50


def test_a_peer_that_is_left_out_is_named(tiny):
    plan = Plan(tiny, "cpu", peer=False, quick=True, seconds=1, rounds=1, soak_s=1, requests=1)
    reason = "left out by --no-peer"
    assert _choose_peers(plan, []) == ({}, [], {"litserve": reason, "torchserve": reason})


def test_cold_starts_are_measured(measured, tiny):
    results = measured(coldstart.main, "--model", tiny, "--no-peer", "--rounds", 1)
    assert [row["server"] for row in results["rows"]] == ["o2v, empty cache", "o2v, warm cache"]
    assert all(0 < row["first_answer_s"] <= row["ready_s"] for row in results["rows"])
    assert {row["package"] for row in results["imports_ms"]} >= {"all", "jax", "numpy"}


def test_memory_is_measured(measured):
    words = ["--vocabulary", 2000, "--records", 50, "--mode", "embedding"]
    (row,) = measured(memory.main, *words)["rows"]
    assert row["preferred_mode"] == "embedding"
    assert row["params_mb"] > 2000 * 300 * 4e-6
    assert row["peak_mb"] >= row["steady_rss_mb"] > row["params_mb"]


def test_import_times_are_summed_by_package():
    text = "import time: self [us] | cumulative | imported package\n"
    text += "import time:       100 |        250 |   jax._src.a\nimport time:  50 |  50 | jax\n"
    assert imports.sum_by_package(text) == {"jax": 150}


def test_the_metric_of_waits_for_compilations_is_found():
    name = "o2v_compilations_waited_for_total"
    text = f"# HELP {name} x\n{name} 4.0\no2v_x 3\n"
    assert _METRIC.findall(text) == ["4.0"]
