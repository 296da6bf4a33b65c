"""bench.report: tables between markers, and plots."""

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import bench
from bench import report, waste
from bench.tables import format_table

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
SUMMARISED = {
    "score": {
        "rows": [
            {"encoder": "bilstm", "lengths": "snli"},
            {
                "encoder": "hcnn",
                "lengths": "snli",
                "records_per_s": 4.0,
                "best_peer": "torch_eager",
                "torch_eager": 2.0,
            },
        ]
    },
    "serve": {
        "single": [
            {"server": "o2v", "requests_per_s": 9.0},
            {"server": "litserve", "requests_per_s": 1.0},
            {"server": "torchserve", "requests_per_s": 3.0},
        ]
    },
    "train": {
        "rows": [
            {
                "workload": "document, row_sparse",
                "records_per_s": 8.0,
                "torch_records_per_s": 2.0,
            }
        ]
    },
    "coldstart": {
        "rows": [
            {"server": "o2v, warm cache", "first_answer_s": 1.0},
            {"server": "litserve", "first_answer_s": 5.0},
        ]
    },
}
README = "a\n<!-- bench:serve -->\nold\n<!-- /bench -->\nb\n<!-- bench:train -->\n<!-- /bench -->\n"


@pytest.fixture
def folder(tmp_path):
    for name, sections in {"serve": SERVE, "score": {"grid": GRID, "rows": []}}.items():
        results = {"benchmark": name, "date": "2025-01-02T03", "machine": MACHINE} | sections
        (tmp_path / f"{name}.json").write_text(json.dumps(results))
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "docs" / "benchmarks").mkdir(parents=True)
    (tmp_path / "docs" / "benchmarks" / "serving.md").write_text(README)
    return tmp_path


@pytest.mark.slow
def test_tables_are_rewritten_and_plots_are_drawn(folder):
    words = ["--results", str(folder), "--root", str(folder)]
    for _ in range(2):  # the second time changes nothing
        done = CliRunner().invoke(report.main, words, catch_exceptions=False)
        assert done.exit_code == 0
        for page in ("README.md", "docs/benchmarks/serving.md"):
            text = (folder / page).read_text()
            assert "| o2v | - | 10 |" in text
            assert "commit abc" in text
            assert "old" not in text
            assert text.endswith("b\n<!-- bench:train -->\n<!-- /bench -->\n")
            assert text.count("server") == 1
    assert {file.stem for file in folder.glob("*.png")} == {"throughput", "latency", "padding"}


def test_a_marker_without_a_table_is_an_error(folder):
    with pytest.raises(click.ClickException, match="no table is named sevre"):
        report.rewrite("<!-- bench:sevre -->\n<!-- /bench -->\n", folder)


def test_every_marker_has_a_table_and_every_table_a_marker():
    texts = [page.read_text() for page in report.list_pages(Path(bench.__file__).parents[1])]
    names = [name for text in texts for name in re.findall("<!-- bench:(\\S+) -->", text)]
    assert sorted(names) == sorted(report.TABLES)


def test_the_summary_compares_with_the_best_peer(tmp_path):
    for name, sections in SUMMARISED.items():
        results = {"benchmark": name, "machine": MACHINE} | sections
        assert report.TABLES["summary"].write(tmp_path) is None, "some results are missing"
        (tmp_path / f"{name}.json").write_text(json.dumps(results))
    table = report.TABLES["summary"].write(tmp_path)
    assert "| 4 | 2 | torch_eager | 2 | python -m bench.score |" in table
    assert "| 9 | 3 | torchserve | 3 | python -m bench.serve |" in table
    assert "| 8 | 2 | torch_eager | 4 | python -m bench.train |" in table
    assert "| 1 | 5 | litserve | 5 | python -m bench.coldstart |" in table
    assert "2 cores of a processor" in table


def test_table_is_markdown():
    assert format_table([{"a": 1, "b": 2.5}]) == "| a | b |\n| --- | --- |\n| 1 | 2.5 |"
    assert format_table([{"a": 12345.6}, {"b": None}]).endswith("| 12,346 | - |\n| - | - |")


def test_more_buckets_pad_less():
    shares = [waste.compute_padding("snli", buckets, fitted=True) for buckets in (1, 4, 10)]
    assert 1 > shares[0] > shares[1] > shares[2] > 0
    assert waste.compute_padding("snli", 4, fitted=False) > shares[1]
