"""`o2v transform` against `Scorer.score` alone on the same records, and Ray against one process.

    python -m bench.transform [--quick] [--device cpu|gpu] [--json FILE] [--ray-workers N]

The records are pairs with the lengths of a data set; the large file is the small one many times.
Every engine does both; what the large one takes longer gives the rate. MB are 1e6 bytes; peak is
what the command's own process held at most, which for Ray leaves the workers out.
"""

import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import click
import numpy as np
import orjson

import bench.lengths as lengths_of
import o2v_jax
from bench import options
from bench.measures import ENCODERS, VOCABULARY, make_model
from bench.processes import ROOT
from bench.results import finish
from bench.timing import time_in_turns
from o2v_jax import Model, Ragged
from o2v_jax.transform.engines.local import make_scorer
from o2v_jax.transform.read.rows import SLICE_ROWS

Row = dict[str, Any]
Sides = tuple[Ragged, Ragged]
_RATE = re.compile(r"([\d,]+) records, [\d,]+ records/s(?:, ([\d.]+)% padding)?")


def measure(
    encoder: str, distribution: str, records: int, times: int, rounds: int, engines: list[list[str]]
) -> list[Row]:
    """A row for `Scorer.score`, and two for every engine: a small file and one `times` as large."""
    model = make_model(encoder, distribution)
    sides = lengths_of.draw_pairs(distribution, records, VOCABULARY)
    alone = measure_scorer(model, sides, rounds)
    rows = [{"engine": "Scorer.score", "records": records, "records_per_s": round(alone)}]
    with TemporaryDirectory() as name:
        folder = Path(name)
        o2v_jax.save(model, folder / "model")
        small, large = folder / "small.jsonl", folder / "large.jsonl"
        small.write_bytes(content := encode_json_lines(sides))
        with large.open("wb") as stream:
            stream.writelines(content for _ in range(times))
        run_transform(folder, small, [])  # compiles
        rows += [
            run_transform(folder, file, engine) for engine in engines for file in (small, large)
        ]
    return rows


def measure_scorer(model: Model, sides: Sides, rounds: int) -> float:
    """Records a second of `Scorer.score` without anything around it."""
    scorer, records = make_scorer(model), len(sides[0])
    parts = [np.arange(first, records)[:SLICE_ROWS] for first in range(0, records, SLICE_ROWS)]
    slices = [(sides[0].take(part), sides[1].take(part)) for part in parts]

    def work() -> None:
        for in0, in1 in slices:
            scorer.score(in0, in1)

    work()
    return records / median(time_in_turns({"score": work}, rounds)["score"])


def run_transform(folder: Path, file: Path, engine: list[str]) -> Row:
    """Runs the command on a file; what it took."""
    command = [sys.executable, "-m", "o2v_jax", "transform", file, "--model", folder / "model"]
    command += ["--output", folder / "out", "--no-resume", *engine]
    began = time.perf_counter()
    with TemporaryFile() as err:
        process = subprocess.Popen([*map(str, command)], stderr=err, cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        err.seek(0)
        log = err.read().decode()
    every = list(_RATE.finditer(log))
    if process.returncode or not every:
        raise RuntimeError(f"o2v transform failed:\n{log}")
    found = every[-1]  # those before tell of progress
    return {
        "engine": " ".join(engine) or "local",
        "records": int(found[1].replace(",", "")),
        "input_mb": round(file.stat().st_size / 1e6, 1),
        "seconds": round(seconds, 2),
        "records_per_s": round(int(found[1].replace(",", "")) / seconds),
        "padding": found[2] and round(float(found[2]) / 100, 4),
        "peak_mb": round(used.ru_maxrss * 1.024e-3, 1),
    }


def compute_overheads(rows: list[Row]) -> list[Row]:
    """For every engine the rate at which it does what the large file has more, and the rest.

    `start_s` is everything that does not grow with the file: imports, the model, programs from the
    cache, and for Ray its own start.
    """
    alone, pairs = rows[0]["records_per_s"], zip(rows[1::2], rows[2::2], strict=True)
    found = []
    for small, large in pairs:
        row = {"engine": small["engine"]}
        longer, more = large["seconds"] - small["seconds"], large["records"] - small["records"]
        if longer > 0:  # else the files are too small to tell
            row["records_per_s"] = round(more / longer)
            row["of_scorer"] = round(more / longer / alone, 3)
            row["start_s"] = round(small["seconds"] - small["records"] * longer / more, 2)
        growth = round(large["peak_mb"] / small["peak_mb"], 3)
        found.append(row | {"memory_growth": growth})
    return found


def encode_json_lines(sides: Sides) -> bytes:
    """The records as a file."""
    numbers = range(len(sides[0]))
    records = ({f"in{side}": rows.row(n) for side, rows in enumerate(sides)} for n in numbers)
    style = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    return b"".join(orjson.dumps(record, option=style) for record in records)


@click.command()
@options.add_common
@click.option("--encoder", type=click.Choice(list(ENCODERS)), default="hcnn")
@click.option(
    "--lengths", "distribution", type=click.Choice(lengths_of.list_names()), default="snli"
)
@click.option("--records", type=click.IntRange(1), help="Default 20000, with --quick 200.")
@click.option("--times", type=click.IntRange(1), help="Of the large file; 20, with --quick 2.")
@click.option("--rounds", type=click.IntRange(1), help="Of Scorer.score; 5, with --quick 1.")
@click.option("--ray-workers", type=click.IntRange(0), default=1, help="0 leaves Ray out.")
def main(
    quick: bool,
    device: str,
    file: Path | None,
    encoder: str,
    distribution: str,
    records: int | None,
    times: int | None,
    rounds: int | None,
    ray_workers: int,
) -> None:
    """Measure batch transforms."""
    options.use(device)
    engines: list[list[str]] = [[]]
    if ray_workers and find_spec("ray"):
        engines.append(["--engine", "ray", "--ray-workers", str(ray_workers)])
    records, times = records or (200 if quick else 20_000), times or (2 if quick else 20)
    rounds = rounds or (1 if quick else 5)
    rows = measure(encoder, distribution, records, times, rounds, engines)
    sections = {"rows": rows, "overheads": compute_overheads(rows)}
    finish("transform", sections, file, quick=quick, packages=("ray",))


if __name__ == "__main__":
    main()
