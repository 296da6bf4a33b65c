"""The table of README.md: one row for each part, our figure beside the best peer's."""

from collections.abc import Mapping, Sequence
from typing import Any

Results = dict[str, Any]
Row = dict[str, Any]
SOURCES = ("score", "serve", "train", "coldstart")


def summary_rows(results: Mapping[str, Results]) -> list[Row]:
    """The rows of the table.

    Args:
        results: what the benchmarks named in `SOURCES` wrote.
    """
    sources = (_scoring, _serving, _training, _start)
    return [
        row | {"command": f"python -m bench.{name}"}
        for name, make in zip(SOURCES, sources, strict=True)
        for row in [make(results[name])]
    ]


def _scoring(results: Results) -> Row:
    row = _find(results["rows"], encoder="hcnn", lengths="snli")
    peer = row["best_peer"]
    return _row("sentence pairs scored a second (hcnn)", row["records_per_s"], peer, row[peer])


def _serving(results: Results) -> Row:
    ours, *peers = results["single"]
    peer = max(peers, key=lambda row: float(row["requests_per_s"]))
    rate = "requests_per_s"
    return _row("requests of one pair served a second", ours[rate], peer["server"], peer[rate])


def _training(results: Results) -> Row:
    row = _find(results["rows"], workload="document, row_sparse")
    what = "records trained a second (document, row_sparse)"
    return _row(what, row["records_per_s"], "torch_eager", row["torch_records_per_s"])


def _start(results: Results) -> Row:
    ours = _find(results["rows"], server="o2v, warm cache")["first_answer_s"]
    peer = _find(results["rows"], server="litserve")["first_answer_s"]
    return _row("seconds from start to first answer", ours, "litserve", peer) | {
        "times_as_fast": peer / ours
    }


def _row(what: str, ours: float, peer: str, theirs: float) -> Row:
    return {
        "what": what,
        "o2v_jax": ours,
        "best_peer": theirs,
        "peer": peer,
        "times_as_fast": ours / theirs,
    }


def _find(rows: Sequence[Row], **wanted: str) -> Row:
    return next(row for row in rows if wanted.items() <= row.items())
