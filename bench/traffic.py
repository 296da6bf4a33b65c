"""Bodies of requests, made of the same data as everything else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import bench.lengths as lengths_of
from o2v_jax import Hyperparameters, Ragged

MEGABYTE = 1_000_000
PAIR_BYTES = 70  # of a pair of SNLI's lengths at least, on average


def read_config(model: Path) -> Hyperparameters:
    """The hyperparameters of a model directory."""
    settings = orjson.loads((model / "config.json").read_bytes())["hyperparameters"]
    return Hyperparameters.from_strings(settings)


def draw_pairs(config: Hyperparameters, records: int, seed: int) -> list[dict[str, Any]]:
    """Records with both sides, of SNLI's lengths."""
    in0, in1 = lengths_of.draw_pairs("snli", records, config.enc0_vocab_size, seed)
    return [{"in0": in0.row(r).tolist(), "in1": in1.row(r).tolist()} for r in range(records)]


def make_bodies(config: Hyperparameters, requests: int, records: int, seed: int = 0) -> list[bytes]:
    """Requests with as many pairs each."""
    made = draw_pairs(config, requests * records, seed)
    return [encode_records(made[k : k + records]) for k in range(0, len(made), records)]


def make_large_bodies(config: Hyperparameters, requests: int, size: int = MEGABYTE) -> list[bytes]:
    """Requests of a given number of bytes, or a few less."""
    made = draw_pairs(config, requests * (size // PAIR_BYTES + 1), seed=5)
    found = []
    for k in range(requests):
        mine = made[k::requests]
        text = [len(orjson.dumps(record)) + 1 for record in mine]
        fitting = int(np.searchsorted(np.cumsum(text), size - 20))
        found.append(encode_records(mine[:fitting]))
    return found


def make_mixed_bodies(config: Hyperparameters, requests: int, seed: int = 7) -> list[bytes]:
    """Pairs and single sides, 1 to 300 records, short and long: most requests are small."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.zipf(1.8, requests), 300)
    longest = config.enc0_max_seq_len
    found = []
    for size in sizes:
        sides = [_draw_rows(rng, config, int(size), longest) for _ in (0, 1)]
        kinds: tuple[tuple[str, ...], ...] = (("in0", "in1"), ("in0", "in1"), ("in0",), ("in1",))
        names = kinds[rng.integers(4)]
        rows = [
            {n: side.row(r).tolist() for n, side in zip(names, sides, strict=False)}
            for r in range(size)
        ]
        found.append(encode_records(rows))
    return found


def encode_records(records: Sequence[dict[str, Any]]) -> bytes:
    """The body of a request."""
    return orjson.dumps({"instances": records})


def decode_scores(answer: bytes) -> np.ndarray:
    """Float64 `[records, classes]` of the body of an answer."""
    return np.array([row["scores"] for row in orjson.loads(answer)["predictions"]])


def _draw_rows(
    rng: np.random.Generator, config: Hyperparameters, records: int, longest: int
) -> Ragged:
    """Lengths from 1 up, short ones more often."""
    counts = np.zeros(longest + 1, np.int64)
    counts[1:] = 1 + 1000 // np.arange(1, longest + 1)
    return lengths_of.draw(counts, records, config.enc0_vocab_size, int(rng.integers(2**31)))
