"""Search of an index, exact and approximate, beside faiss, usearch, `rank` and the memory's rate.

    python -m bench.search [--quick] [--part exact|approximate|http] [--items N] [--json FILE]

The vectors have length 1 and lie near a surface of 16 dimensions, as encodings do: neighbours of
vectors drawn independently in 64 or 512 dimensions would all be equally near. Queries are drawn
alike. What is found is compared before anything is timed; the sides take turns, and the figures
are medians.
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

import o2v_jax
from bench import options
from bench.peers import EXTRA
from bench.results import finish, keep
from bench.search_peers import (
    Found,
    Search,
    is_installed,
    start_faiss_flat,
    start_faiss_hnsw,
    start_usearch,
)
from bench.serve.plan import Plan
from bench.serve.search import measure_search
from bench.timing import Work, compute_ratio, measure_seconds, time_in_turns
from o2v_jax import Hyperparameters, InBatchObjective, Model, Ragged, Scorer
from o2v_jax.array_types import Floats, Index

K = 10
BATCH = 100  # queries of one call
SURFACE = 16  # dimensions that the vectors lie near
NOISE = 0.1  # how far from it, beside a distance of 1
TOKENS = 8  # of an item that `rank` encodes
PARTS = ("exact", "approximate", "http")
GOOD_RECALL = 0.98
AT_A_TIME = 2**16
PACKAGES = ("faiss-cpu", "usearch")

Row = dict[str, Any]


def make_vectors(count: int, dimensions: int, seed: int) -> Floats:
    """Vectors of length 1, float32 `[count, dimensions]`; the surface is the same for all seeds."""
    surface = np.random.default_rng(0).standard_normal((SURFACE, dimensions), np.float32)
    rng = np.random.default_rng(seed)
    vectors = np.empty((count, dimensions), np.float32)
    for start in range(0, count, AT_A_TIME):
        part = vectors[start : start + AT_A_TIME]
        noise = rng.standard_normal(part.shape, np.float32)
        np.matmul(rng.standard_normal((len(part), SURFACE), np.float32), surface, out=part)
        part += np.float32(NOISE * np.sqrt(SURFACE)) * noise
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def make_model(dimensions: int) -> Model:
    """A model whose scores are cosines."""
    config = Hyperparameters(
        enc0_network="pooled_embedding",
        enc0_vocab_size=20_000,
        enc0_max_seq_len=TOKENS,
        enc_dim=dimensions,
        objective=InBatchObjective(),
    )
    return Model(config, o2v_jax.init(config))


def measure_exact(count: int, dimensions: int, rounds: int) -> list[Row]:
    """Rows for one query and for a batch."""
    vectors, queries = make_vectors(count, dimensions, 1), make_vectors(BATCH, dimensions, 2)
    index = o2v_jax.Index.build(make_model(dimensions), vectors)
    peers = {"faiss": start_faiss_flat(vectors)} if is_installed("faiss") else {}
    for peer in peers.values():
        _compare(index, peer.search, queries)
    return [
        {"items": count, "dimensions": dimensions, **_time_exact(index, peers, some, rounds)}
        | {"memory_gb_per_s": vectors.nbytes / 1e9 / _time_reading(vectors, rounds)}
        for some in (queries[:1], queries)
    ]


def _time_exact(index: o2v_jax.Index, peers: dict[str, Found], queries: Floats, rounds: int) -> Row:
    works: dict[str, Work] = {"ours": partial(index.search, queries, K)}
    works |= {name: partial(peer.search, queries, K) for name, peer in peers.items()}
    times = time_in_turns(works, rounds)
    ours, faiss = times["ours"], times.get("faiss")
    return {
        "queries": len(queries),
        "ms": 1000 * median(ours),
        "queries_per_s": len(queries) / median(ours),
        "faiss_ms": 1000 * median(faiss) if faiss else None,
        "ratio_to_faiss": compute_ratio(faiss, ours) if faiss else None,
    }


def _time_reading(vectors: Floats, rounds: int) -> float:
    """Median seconds in which all numbers are read, by the fastest reader there is: BLAS."""
    numbers = vectors.ravel()
    return median(measure_seconds(lambda: np.dot(numbers, numbers)) for _ in range(rounds))


def measure_rank(count: int, dimensions: int) -> Row:
    """One query by `Scorer.rank` among objects as ids, which it encodes each time."""
    ids = np.random.default_rng(0).integers(1, 20_000, count * TOKENS, np.int32)
    items = Ragged(ids, np.arange(0, len(ids) + 1, TOKENS))
    scorer = Scorer(make_model(dimensions))
    scorer.rank([4, 7], items.take(np.arange(min(1000, count))), K)
    return {
        "items": count,
        "dimensions": dimensions,
        "rank_ms": 1000 * measure_seconds(lambda: scorer.rank([4, 7], items, K)),
    }


def measure_approximate(count: int, dimensions: int, rounds: int) -> list[Row]:
    """A row for each library, for one query and for a batch."""
    vectors, queries = make_vectors(count, dimensions, 1), make_vectors(BATCH, dimensions, 2)
    model = make_model(dimensions)
    right = _find_rows(o2v_jax.Index.build(model, vectors), queries)

    def measure_recall(search: Search) -> float:
        pairs = zip(search(queries, K), right, strict=True)
        return float(np.mean([np.isin(found, best).mean() for found, best in pairs]))

    began = time.perf_counter()
    index = o2v_jax.Index.build(
        model, vectors, approximate=True, queries=make_vectors(BATCH, dimensions, 3)
    )
    build_s = time.perf_counter() - began
    ours = Found(partial(_find_rows, index), build_s, index.info.expansion)
    sides = {"o2v_jax": ours, "usearch": start_usearch(vectors, index.info.expansion)}
    if is_installed("faiss"):
        sides["faiss HNSW"] = start_faiss_hnsw(
            vectors, lambda search: measure_recall(search) >= GOOD_RECALL
        )
    one, many = (_time_sides(sides, some, rounds) for some in (queries[:1], queries))
    return [
        {
            "items": count,
            "dimensions": dimensions,
            "library": name,
            "expansion": side.expansion,
            "recall_at_10": measure_recall(side.search),
            "build_s": side.build_s,
            "ms": 1000 * median(one[name]),
            "queries_per_s": BATCH / median(many[name]),
            "our_rate_over_its": compute_ratio(many[name], many["o2v_jax"]),
        }
        for name, side in sides.items()
    ]


def _time_sides(sides: dict[str, Found], queries: Floats, rounds: int) -> dict[str, list[float]]:
    works = {name: partial(side.search, queries, K) for name, side in sides.items()}
    return time_in_turns(works, rounds)


def measure_http(count: int, dimensions: int, plan: Plan) -> dict[str, list[Row]]:
    """Requests for searches beside requests for embeddings, by one server."""
    with TemporaryDirectory() as folder:
        model = o2v_jax.save(make_model(dimensions), Path(folder) / "model")
        return measure_search(replace(plan, model=model, items=count))


def _find_rows(index: o2v_jax.Index, queries: Floats, k: int = K) -> Index:
    return np.stack([hits.positions for hits in index.search(queries, k)])


def _compare(index: o2v_jax.Index, search: Search, queries: Floats) -> None:
    """Both find the same, but where rounding decides."""
    ours, theirs = _find_rows(index, queries), search(queries, K)
    same = np.mean([np.isin(a, b).mean() for a, b in zip(ours, theirs, strict=True)])
    if same < 0.999:
        raise click.ClickException(f"the searches share only {same:.4f} of what they find")


@click.command()
@options.add_common
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True)
@click.option("--items", type=click.IntRange(1000), help="1000000, with --quick 100000.")
@click.option("--dimensions", type=click.IntRange(SURFACE), multiple=True, help="64 and 512.")
@click.option("--rounds", type=click.IntRange(1), help="Default 11, with --quick 3; of http 5.")
@click.option("--seconds", type=float, help="Of one measurement of http; 5, with --quick 2.")
def main(
    quick: bool,
    device: str,
    file: Path | None,
    parts: tuple[str, ...],
    items: int | None,
    dimensions: tuple[int, ...],
    rounds: int | None,
    seconds: float | None,
) -> None:
    """Measure search."""
    options.use(device)
    items, chosen = items or (100_000 if quick else 1_000_000), parts or PARTS
    tables = {"exact": ("exact", "rank"), "approximate": ("approximate",), "http": ()}
    sections: dict[str, Any] = {name: [] for part in chosen for name in tables[part]}
    sections["not_available"] = {} if is_installed("faiss") else {"faiss": f"{EXTRA} brings it"}
    for size in dimensions or (64, 512):
        turns = rounds or (3 if quick else 11)
        if "exact" in chosen:
            sections["exact"] += map(_round, measure_exact(items, size, turns))
            sections["rank"].append(_round(measure_rank(items, size)))
        if "approximate" in chosen:
            sections["approximate"] += map(_round, measure_approximate(items, size, turns))
        keep("search", sections, file, quick=quick, packages=PACKAGES)
    if "http" in chosen:
        plan = Plan(
            model=Path(),
            device=device,
            peer=False,
            quick=quick,
            seconds=seconds or (2.0 if quick else 5.0),
            rounds=rounds or (1 if quick else 5),
            soak_s=0,
            requests=0,
        )
        sections |= measure_http(items, min(dimensions or (64,)), plan)
    finish("search", sections, file, quick=quick, packages=PACKAGES)


def _round(row: Row) -> Row:
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value
        for name, value in row.items()
    }


if __name__ == "__main__":
    main()
