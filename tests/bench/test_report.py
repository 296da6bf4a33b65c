"""bench.report: tables between markers, and plots."""

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import bench
from bench import report, waste
from bench.tables import markdown

MACHINE = {"commit": "abc", "cores": 2, "processor": "a processor", "device": "cpu"}
STEP = {
    "pairs": 1,
    "accepted_p50_ms": 1.0,
    "accepted_p99_ms": 2.0,
    "refused_p99_ms": None,
    "ping_p99_ms": 0.5,
    "refused_share": 0.0,
}
SERVE = {
    "single": [{"server": "o2v", "requests_per_s": 10.0}],
    "overload": [STEP | {"of_capacity": 1.0}, STEP | {"of_capacity": 2.0}],
}
GRID = [{"length": 8, "batch": batch, "ours": 9, "torch_eager": 5} for batch in (1, 4)]
README = "a\n<!-- bench:serve -->\nold\n<!-- /bench -->\nb\n<!-- bench:train -->\n<!-- /bench -->\n"


@pytest.fixture
def folder(tmp_path):
    for name, sections in {"serve": SERVE, "score": {"grid": GRID, "rows": []}}.items():
        results = {"benchmark": name, "date": "2025-01-02T03", "machine": MACHINE} | sections
        (tmp_path / f"{name}.json").write_text(json.dumps(results))
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_tables_are_rewritten_and_plots_are_drawn(folder):
    words = ["--results", str(folder), "--readme", str(folder / "README.md")]
    for _ in range(2):  # the second time changes nothing
        done = CliRunner().invoke(report.main, words, catch_exceptions=False)
        assert done.exit_code == 0
        text = (folder / "README.md").read_text()
        assert "| o2v | - | 10 |" in text
        assert "commit abc" in text
        assert "old" not in text
        assert text.endswith("b\n<!-- bench:train -->\n<!-- /bench -->\n")
        assert text.count("server") == 1
    assert {file.stem for file in folder.glob("*.png")} == {"throughput", "latency", "padding"}


def test_a_marker_without_a_table_is_an_error(folder):
    with pytest.raises(click.ClickException, match="no table is named sevre"):
        report.rewrite("<!-- bench:sevre -->\n<!-- /bench -->\n", folder)


def test_every_marker_of_the_readme_has_a_table():
    text = (Path(bench.__file__).parents[1] / "README.md").read_text()
    assert set(re.findall("<!-- bench:(\\S+) -->", text)) <= set(report.TABLES)


def test_table_is_markdown():
    assert markdown([{"a": 1, "b": 2.5}]) == "| a | b |\n| --- | --- |\n| 1 | 2.5 |"
    assert markdown([{"a": 12345.6}, {"b": None}]).endswith("| 12,346 | - |\n| - | - |")


def test_a_longer_ladder_pads_less():
    shares = [waste.share("snli", buckets, fitted=True) for buckets in (1, 4, 10)]
    assert 1 > shares[0] > shares[1] > shares[2] > 0
    assert waste.share("snli", 4, fitted=False) > shares[1]
