"""The table of README.md: one row for each part, our figure beside the best peer's."""

from collections.abc import Mapping, Sequence
from typing import Any

Results = dict[str, Any]
Row = dict[str, Any]
SOURCES = ("score", "serve", "train", "coldstart")


def make_summary_rows(results: Mapping[str, Results]) -> list[Row]:
    """The rows of the table.

    Args:
        results: what the benchmarks named in `SOURCES` wrote.
    """
    sources = (_summarize_scoring, _summarize_serving, _summarize_training, _summarize_start)
    return [
        row | {"command": f"python -m bench.{name}"}
        for name, make in zip(SOURCES, sources, strict=True)
        for row in [make(results[name])]
    ]


def _summarize_scoring(results: Results) -> Row:
    row = _find(results["rows"], encoder="hcnn", lengths="snli")
    peer = row["best_peer"]
    return _make_row("sentence pairs scored a second (hcnn)", row["records_per_s"], peer, row[peer])


def _summarize_serving(results: Results) -> Row:
    ours, *peers = results["single"]
    peer = max(peers, key=lambda row: float(row["requests_per_s"]))
    rate = "requests_per_s"
    return _make_row("requests of one pair served a second", ours[rate], peer["server"], peer[rate])


def _summarize_training(results: Results) -> Row:
    row = _find(results["rows"], workload="document, row_sparse")
    what = "records trained a second (document, row_sparse)"
    return _make_row(what, row["records_per_s"], "torch_eager", row["torch_records_per_s"])


def _summarize_start(results: Results) -> Row:
    ours = _find(results["rows"], server="o2v, warm cache")["first_answer_s"]
    peer = _find(results["rows"], server="litserve")["first_answer_s"]
    return _make_row("seconds from start to first answer", ours, "litserve", peer) | {
        "times_as_fast": peer / ours
    }


def _make_row(what: str, ours: float, peer: str, theirs: float) -> Row:
    return {
        "what": what,
        "o2v_jax": ours,
        "best_peer": theirs,
        "peer": peer,
        "times_as_fast": ours / theirs,
    }


def _find(rows: Sequence[Row], **wanted: str) -> Row:
    return next(row for row in rows if wanted.items() <= row.items())
